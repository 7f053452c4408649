//! What the inspector knows of the flows whose packets it holds.

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc};

use dropgate_abi::{
    hold::{Held, NUMBERS},
    reason::Reason,
};

use super::{
    memory::{Charge, Memory},
    shared::Shared,
};
use crate::{
    inspect::{Beginning, Talk},
    protocol::Direction,
};

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
    /// By direction: the batch in which its latest packet was.
    batches: [u32; 2],
    /// The oldest generation that judged a packet of it which is with us.
    pub generation: u32,
    /// A later generation, and why it lets none of them leave.
    reviewed: (u32, Option<Reason>),
    /// The direction that passes while the other one is held until it is acknowledged.
    pub watched: Option<Direction>,
    /// What was said on it.
    pub talk: Talk,
    /// The memory that it takes.
    charge: Charge,
}

impl Flow {
    /// The direction whose packets have all left, if only the other one's are in this batch.
    pub fn left(&self, batch: u32) -> Option<u8> {
        match self.batches.map(|at| at == batch) {
            [true, false] => Some(1),
            [false, true] => Some(0),
            _ => None,
        }
    }

    /// Packets of the flow that were held, if every one of them has been seen.
    pub const fn complete(&self) -> Option<u32> {
        let held = self.last.wrapping_add(1) & NUMBERS;
        if held.wrapping_sub(self.first) & NUMBERS == self.seen & NUMBERS { Some(held) } else { None }
    }

    /// Why no packet of it that is with us may leave, by the generation in force, if that is not the one that judged them.
    pub fn refused(&mut self, id: u64, shared: &Shared) -> Option<Reason> {
        let now = shared.generation();
        if self.generation == now {
            return None;
        }
        if self.reviewed.0 != now {
            self.reviewed = (now, shared.kernel.review(self.hash, id));
        }
        self.reviewed.1
    }

    /// Counts the memory that it takes now.
    pub fn charge(&mut self) {
        self.charge.set(self.talk.footprint());
    }
}

/// The flows, in two generations by age: those that were not seen for a while are forgotten together. A flow that is seen
/// again after that begins anew, with what it holds then.
#[derive(Default)]
pub struct Flows {
    young: Table,
    old: Table,
    /// Number of the batch whose packets are seen now.
    batch: u32,
    /// Flows that were forgotten and of which there may be something to tell, until somebody does.
    pub untold: Vec<Flow>,
    /// Frames that were forgotten with their flows, until somebody counts them.
    pub discarded: u64,
    memory: Arc<Memory>,
}

type Table = HashMap<u64, Flow, BuildHasherDefault<Identity>>;

impl Flows {
    /// None yet. What they take is counted in `memory`.
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { memory, ..Self::default() }
    }

    /// A packet of a flow; the flow as it is now. `new`: what came earlier of a flow that is not known, if anything
    /// did, came before this inspector.
    pub fn seen(&mut self, held: &Held, new: bool) -> &mut Flow {
        let batch = self.batch;
        let flow = self.expect(held, new);
        flow.seen = flow.seen.wrapping_add(1);
        flow.batches[usize::from(held.direction & 1)] = batch;
        flow
    }

    /// A packet of a flow of which a part has come; [`Flows::seen`] is for all of it. Until then the flow is not complete, and
    /// what comes behind that packet does not look like its beginning.
    pub fn expect(&mut self, held: &Held, new: bool) -> &mut Flow {
        if self.young.len() >= MANY {
            self.age();
        }
        let (old, memory) = (&mut self.old, &self.memory);
        let flow = self.young.entry(held.flow).or_insert_with(|| {
            old.remove(&held.flow).unwrap_or(Flow {
                hash: held.hash,
                first: held.sequence,
                last: held.sequence,
                seen: 0,
                batches: [self.batch.wrapping_sub(1); 2],
                generation: held.generation,
                reviewed: (0, None),
                watched: None,
                charge: Charge::new(Arc::clone(memory)),
                talk: Talk::new(match (held.sequence, new) {
                    (0, _) => Beginning::Seen,
                    (_, true) => Beginning::Before,
                    (_, false) => Beginning::Forgotten,
                }),
            })
        });
        if !flow.talk.keeps() {
            flow.generation = held.generation;
        }
        if before(held.sequence, flow.first) {
            flow.first = held.sequence;
        }
        if before(flow.last, held.sequence) {
            flow.last = held.sequence;
        }
        flow
    }

    /// What was seen so far has left; the number of the next batch.
    pub const fn next_batch(&mut self) -> u32 {
        self.batch = self.batch.wrapping_add(1);
        self.batch
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
    /// wanted, which are small, for those that announce others, which may be silent while the others speak, for those to
    /// proxies, which must not pass for something else after a pause, and for connections that were opened in advance.
    pub fn age(&mut self) {
        let mut idle = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        let (mut forgotten, untold) = (0, &mut self.untold);
        let mut keep = |idle: &mut Table, stays: &dyn Fn(&Talk) -> bool| {
            for (_, flow) in idle.extract_if(|_, flow| !stays(&flow.talk)) {
                forgotten += flow.talk.frames() as u64;
                if flow.talk.is_watched() {
                    untold.push(flow);
                }
            }
        };
        keep(&mut idle, &|talk| talk.settled || talk.lasts());
        if idle.len() >= MANY {
            // to open a connection costs a host nothing: those that say nothing are not to displace the others
            keep(&mut idle, &|talk| !talk.is_silent());
        }
        if idle.len() >= MANY {
            keep(&mut idle, &|_| false);
        }
        self.old.extend(idle);
        self.discarded += forgotten;
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
    fn a_direction_has_left_when_the_batch_holds_only_the_other() {
        let mut flows = Flows::default();
        let back = |sequence| Held { direction: 1, ..held(7, sequence) };
        let first = flows.next_batch();
        assert_eq!(flows.seen(&held(7, 0), true).left(first), Some(1));
        assert_eq!(flows.seen(&back(1), true).left(first), None);
        let second = flows.next_batch();
        assert_eq!(flows.seen(&back(2), true).left(second), Some(0));
        let third = flows.next_batch();
        assert_eq!(flows.get(7).map(|flow| flow.left(third)), Some(None));
    }

    #[test]
    fn what_has_come_in_part_is_missing() {
        let mut flows = Flows::default();
        flows.expect(&held(1, 0), true);
        let flow = flows.seen(&held(1, 1), true);
        assert_eq!((flow.complete(), flow.talk.beginning), (None, Beginning::Seen));
        assert_eq!(flows.seen(&held(1, 0), true).complete(), Some(2));
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
