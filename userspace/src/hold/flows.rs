//! What the inspector knows of the flows whose packets it holds.

use std::{collections::HashMap, hash::BuildHasherDefault};

use dropgate_abi::hold::{Held, NUMBERS};

use crate::inspect::{Beginning, Talk};

/// Flows remembered before the idle ones are forgotten.
const MANY: usize = 1 << 14;

/// A flow under inspection.
#[derive(Debug)]
pub struct Flow {
    pub hash: u64,
    /// The lowest sequence number seen: those below were held by an earlier daemon.
    first: u32,
    /// The highest sequence number seen.
    last: u32,
    /// Packets seen.
    seen: u32,
    /// What was said on it.
    pub talk: Talk,
}

impl Flow {
    /// Packets of the flow that were held, if every one of them has been seen. Sequence numbers wrap at [`NUMBERS`].
    pub const fn complete(&self) -> Option<u32> {
        let held = self.last.wrapping_add(1) & NUMBERS;
        if held.wrapping_sub(self.first) & NUMBERS == self.seen & NUMBERS { Some(held) } else { None }
    }
}

/// The flows, in two generations by age: those that were not seen for a while are forgotten together. A flow that is seen
/// again after that begins anew, with what it holds then.
#[derive(Default)]
pub struct Flows {
    young: Table,
    old: Table,
}

type Table = HashMap<u64, Flow, BuildHasherDefault<Identity>>;

impl Flows {
    /// A packet of a flow; the flow as it is now. `new`: what came earlier of a flow that is not known, if anything
    /// did, came before this inspector.
    pub fn seen(&mut self, held: &Held, new: bool) -> &mut Flow {
        if self.young.len() >= MANY {
            self.age();
        }
        let old = &mut self.old;
        let flow = self.young.entry(held.flow).or_insert_with(|| {
            old.remove(&held.flow).unwrap_or(Flow {
                hash: held.hash,
                first: held.sequence,
                last: held.sequence,
                seen: 0,
                talk: Talk::new(match (held.sequence, new) {
                    (0, _) => Beginning::Seen,
                    (_, true) => Beginning::Before,
                    (_, false) => Beginning::Forgotten,
                }),
            })
        });
        flow.seen = flow.seen.wrapping_add(1);
        if before(held.sequence, flow.first) {
            flow.first = held.sequence;
        }
        if before(flow.last, held.sequence) {
            flow.last = held.sequence;
        }
        flow
    }

    /// A flow.
    pub fn get(&self, id: u64) -> Option<&Flow> {
        self.young.get(&id)
    }

    /// A flow, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Flow> {
        // in that order: one that is not young may be old
        if self.young.contains_key(&id) { self.young.get_mut(&id) } else { self.old.get_mut(&id) }
    }

    /// A flow has left inspection.
    pub fn forget(&mut self, id: u64) {
        self.young.remove(&id);
        self.old.remove(&id);
    }

    /// Time passes: what has not been seen since this was called last is forgotten, but for flows of which nothing more is
    /// wanted, which are small, and for those that announce others, which may be silent while the others speak.
    pub fn age(&mut self) {
        let mut idle = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        idle.retain(|_, flow| flow.talk.settled || flow.talk.announces());
        if idle.len() < MANY {
            self.old.extend(idle);
        }
    }

    /// Flows remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Whether a sequence number comes before another.
const fn before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) & NUMBERS > NUMBERS / 2
}

/// Identities of flows are random already, and nobody outside chooses them.
#[derive(Default)]
struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        // the table takes its tags from the top bits, which an identity leaves empty
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(flow: u64, sequence: u32) -> Held {
        Held { flow, sequence, ..Held::default() }
    }

    #[test]
    fn complete_when_every_number_was_seen() {
        let mut flows = Flows::default();
        assert_eq!(flows.seen(&held(1, 0), true).complete(), Some(1));
        // the other direction's packet is still on its way
        assert_eq!(flows.seen(&held(1, 2), true).complete(), None);
        assert_eq!(flows.seen(&held(1, 1), true).complete(), Some(3));
    }

    #[test]
    fn a_flow_met_later_counts_from_there() {
        let mut flows = Flows::default();
        assert_eq!(flows.seen(&held(7, 41), true).complete(), Some(42));
        // one that was held before it, in the other direction
        assert_eq!(flows.seen(&held(7, 40), true).complete(), Some(42));
        assert_eq!(flows.seen(&held(7, 42), true).complete(), Some(43));
    }

    #[test]
    fn numbers_wrap() {
        let mut flows = Flows::default();
        assert_eq!(flows.seen(&held(7, NUMBERS), true).complete(), Some(0));
        assert!(before(NUMBERS, 0) && !before(0, NUMBERS));
        assert_eq!(flows.seen(&held(7, 0), true).complete(), Some(1));
    }

    #[test]
    fn idle_flows_are_forgotten() {
        let mut flows = Flows::default();
        flows.seen(&held(1, 0), true);
        flows.seen(&held(2, 0), true);
        flows.age();
        flows.seen(&held(2, 1), true);
        flows.age();
        flows.age();
        assert_eq!(flows.len(), 0);
        flows.seen(&held(2, 9), true);
        assert_eq!(flows.get(2).and_then(Flow::complete), Some(10));
    }
}
