//! Datagrams that have left, while their receiver may not have all of them.
//!
//! A fragment may get lost behind the gateway, by a TTL that was chosen for that. What comes later with the same identification
//! would then be put together with what the receiver has got, to something that nobody inspected.

use std::collections::{HashSet, VecDeque};

use super::{Limits, fragment::Key};

/// The identities of what has left, and until when each is remembered.
#[derive(Debug, Default)]
pub struct Left {
    keys: HashSet<Key>,
    until: VecDeque<(u64, Key)>,
}

impl Left {
    /// Whether a datagram with this identity has left of late.
    pub fn holds(&self, key: &Key) -> bool {
        self.keys.contains(&key.anywhere())
    }

    /// Remembers one, at the cost of the oldest.
    pub fn add(&mut self, key: Key, now_ns: u64, limits: &Limits) {
        let key = key.anywhere();
        if self.until.len() >= limits.left {
            self.forget();
        }
        if self.keys.insert(key) {
            self.until.push_back((now_ns.saturating_add(limits.received.as_nanos() as u64), key));
        }
    }

    /// Forgets those whose time is up.
    pub fn expire(&mut self, now_ns: u64) {
        while self.until.front().is_some_and(|(until, _)| *until <= now_ns) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some((_, oldest)) = self.until.pop_front() {
            self.keys.remove(&oldest);
        }
    }
}
