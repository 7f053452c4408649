//! What one worker hands to another.

use std::sync::Arc;

use crossbeam::channel::TrySendError;
use dropgate_abi::reason::Reason;

use super::{shared::Handed, socket::Socket, work::Batch, worker::Worker};
use crate::{inspect::About, policy::model::Answer};

impl Worker {
    /// Wakes the workers that have something to take over.
    pub(super) fn ring(&self) {
        let others = self.shared.workers.iter().filter(|door| !door.frames.is_empty());
        others.for_each(|door| door.bell.ring());
    }

    /// Gives something to another worker, or has it back if there is no room.
    pub(super) fn hand_over(&self, receiver: usize, what: Handed) -> Option<Handed> {
        let Some(door) = self.shared.workers.get(receiver) else { return Some(what) };
        door.frames.try_send(what).err().map(TrySendError::into_inner)
    }

    /// Another worker has no room for what it was to inspect: too many packets are held for it, and the answer is the one that
    /// is configured for that. Its flow stays under inspection from then on, because not all of its packets were seen.
    pub(super) fn backlogged(&mut self, what: &Handed, to: &mut Socket, batch: &Batch) {
        let (held, frame, parts) = match what {
            Handed::Frame { held, frame, .. } => (held, frame, std::slice::from_ref(frame)),
            Handed::Whole { held, frame, parts, .. } => (held, frame, parts.as_slice()),
            Handed::Expected(_) | Handed::Ended(_) => return,
        };
        let reason = Reason::inspector_backlog;
        let open = batch.rules.of(held.generation).is_some_and(|rules| rules.failure.credits == Answer::Pass);
        let refused = if held.generation == self.shared.generation() {
            None
        } else {
            self.shared.kernel.review(held.hash, held.flow)
        };
        if !open || refused.is_some() {
            let reason = refused.unwrap_or(reason);
            let about = Arc::new(About::of(held, frame));
            return parts.iter().for_each(|part| self.dropped(&about, reason, part.len(), batch.now_ns));
        }
        for part in parts {
            self.shared.totals.count(reason, part.len());
            self.shared.totals.sent(to.send(part));
        }
    }
}
