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

/// The rate at which drops are told of.
pub(super) struct Limiter {
    second: u64,
    told: [u32; REASON_SLOTS as usize],
}

impl Default for Limiter {
    fn default() -> Self {
        Self { second: 0, told: [0; REASON_SLOTS as usize] }
    }
}

impl Limiter {
    /// Whether another drop for this reason is told of.
    pub(super) fn allows(&mut self, reason: Reason, now_ns: u64) -> bool {
        let second = now_ns / 1_000_000_000;
        if second != self.second {
            *self = Self { second, ..Self::default() };
        }
        match self.told.get_mut(usize::from(reason.0)) {
            Some(told) => {
                *told += 1;
                *told <= TOLD
            }
            None => false,
        }
    }
}
