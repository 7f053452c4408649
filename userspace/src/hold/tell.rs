//! What the inspector tells of, and how often.

use std::sync::Arc;

use dropgate_abi::reason::{REASON_SLOTS, Reason};
use dropgate_signatures::rule::Rule;

use crate::inspect::{About, Alerted, Finding, Logged, Note};

/// What the inspector tells of.
pub enum Told {
    Dropped(Arc<About>, Reason),
    /// A packet is odd, whatever becomes of it.
    Odd(Arc<About>, Reason),
    Finding(Arc<About>, Finding),
    Alert(Arc<About>, Alerted),
    Said(Arc<About>, Logged),
    /// A rule has hit its limits of work, so often since this was told last.
    Limited(Arc<About>, Arc<Rule>, u64),
    /// What the event of a flow's end is to tell.
    Noticed(u64, Arc<Note>),
}

/// Where it is told.
pub type Tell = Box<dyn Fn(Told) + Send + Sync>;

/// Drops of each reason that are told in a second; the others are only counted.
const TOLD: u32 = 100;

/// Errors (ICMP) that senders of rejected datagrams are told in a second, as many as the kernel sends (`net.ipv4.icmp_msgs_per_sec`).
const ERRORS: u32 = 1_000;

/// The rate at which drops are told of.
pub(super) struct Limiter {
    second: u64,
    told: [u32; REASON_SLOTS as usize],
    errors: u32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { second: 0, told: [0; REASON_SLOTS as usize], errors: 0 }
    }
}

impl Limiter {
    /// Whether another drop for this reason is told of.
    pub(super) fn allows(&mut self, reason: Reason, now_ns: u64) -> bool {
        self.go_on(now_ns);
        match self.told.get_mut(usize::from(reason.0)) {
            Some(told) => {
                *told += 1;
                *told <= TOLD
            }
            None => false,
        }
    }

    /// Whether another sender is told an error.
    pub(super) fn allows_error(&mut self, now_ns: u64) -> bool {
        self.go_on(now_ns);
        self.errors += 1;
        self.errors <= ERRORS
    }

    fn go_on(&mut self, now_ns: u64) {
        let second = now_ns / 1_000_000_000;
        if second != self.second {
            *self = Self { second, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_second() {
        let mut limiter = Limiter::default();
        let errors = (0..2 * ERRORS).filter(|_| limiter.allows_error(5)).count();
        let told = (0..2 * TOLD).filter(|_| limiter.allows(Reason::signature, 999_999_999)).count();
        assert_eq!((errors, told), (ERRORS as usize, TOLD as usize));
        assert!(limiter.allows(Reason::tcp_checksum, 999_999_999), "another reason");
        assert!(
            limiter.allows(Reason::signature, 1_000_000_000) && limiter.allows_error(1_000_000_000),
            "the next second"
        );
    }
}
