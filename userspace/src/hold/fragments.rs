//! Held fragments: put together, judged as the packet that they are, released as they came.

use std::{borrow::Cow, sync::Arc};

use dropgate_abi::hold::{Held, part};

use super::{
    port::{Port, SLOTS_A_PORT},
    shared::Handed,
    socket::Socket,
    work::{Batch, tell},
    worker::{Finished, Worker},
};
use crate::{
    defragment::{Ended, Whole},
    inspect::{self, About, Answer, Context},
};

impl Worker {
    /// The first fragment of a packet has come: what comes behind it on its flow is not the flow's beginning.
    pub(super) fn announce(&mut self, held: &Held, batch: &Batch) {
        let owner = self.shared.owner(held);
        if owner == self.number {
            self.flows.expect(held, batch.new);
        } else {
            // without it the flow is only taken for one that began before
            self.hand_over(owner, Handed::Expected(*held));
        }
    }

    /// One fragment, and the packet that it completes.
    pub(super) fn fragment(
        &mut self,
        held: &Held,
        (shown, frame): (Cow<'_, [u8]>, &[u8]),
        (port, place): (&Arc<Port>, u32),
        (from, to): (&mut Socket, &mut Socket),
        batch: &Batch,
    ) {
        let Some(rules) = batch.rules.of(held.generation) else { return };
        let (shared, judged) = (&self.shared, &mut self.judged);
        let context = Context { rules, peers: &shared.peers, full: false, now_ns: batch.now_ns, unix_s: batch.unix_s };
        let answer = inspect::judge_fragment(held, &shown, &context, judged);
        if judged.tells() {
            judged.walk.port = shared.interface(place).into();
            let about = judged.about(held, &shown, Arc::default(), answer, rules);
            tell(shared, &about, &mut judged.watched, batch.now_ns);
        }
        if let Answer::Drop(reason) = answer {
            return self.ended(vec![Ended { held: *held, frame: frame.into(), reason, at_fault: false }], batch);
        }
        let (time, mut ended) = ((batch.now_ns, rules.fragments), Vec::new());
        let whole = self.defragment.take((held, frame, shown), origin(place), time, &mut ended);
        self.ended(ended, batch);
        let Some(Whole { held, frame, fragments }) = whole else { return };
        let owner = self.shared.owner(&held);
        if held.part == part::FIRST && owner != self.number {
            let parts = fragments.into_iter().map(|fragment| fragment.frame).collect();
            let port = Arc::clone(port);
            if let Some(whole) = self.hand_over(owner, Handed::Whole { port, place, held, frame: frame.into(), parts })
            {
                self.backlogged(&whole, to, batch);
            }
            return;
        }
        let parts: Vec<&[u8]> = fragments.iter().map(|fragment| &*fragment.frame).collect();
        if to.room() < parts.len() {
            let _ = to.flush();
        }
        if held.part == part::FIRST {
            self.packet(&held, (&frame, &parts), place, (from, to), batch);
        } else {
            parts.iter().for_each(|part| self.shared.totals.sent(to.send(part)));
        }
    }

    /// Fragments whose others have not come in time.
    pub(super) fn late_fragments(&mut self) {
        let batch = self.batch();
        let mut ended = Vec::new();
        self.defragment.expire(batch.now_ns, &mut ended);
        self.ended(ended, &batch);
    }

    /// Counts fragments that end here. A first one had a number among its flow's packets, so that the flow is told.
    fn ended(&mut self, ended: Vec<Ended>, batch: &Batch) {
        for Ended { held, frame, reason, at_fault } in ended {
            let about = Arc::new(About::of(&held, &frame));
            self.dropped(&about, reason, frame.len(), batch.now_ns);
            if at_fault {
                self.noticed(&about, reason, batch);
            }
            if held.part != part::FIRST {
                continue;
            }
            let owner = self.shared.owner(&held);
            if owner == self.number {
                self.flow_ended(&held, batch);
            } else {
                // without it the flow stays under inspection
                self.hand_over(owner, Handed::Ended(held));
            }
        }
    }

    /// A packet of a flow has ended before the flow saw it.
    pub(super) fn flow_ended(&mut self, held: &Held, batch: &Batch) {
        let flow = self.flows.seen(held, batch.new);
        let everything = batch.rules.of(held.generation).is_some_and(|rules| rules.inspection.everything);
        if flow.talk.is_finished() && !everything {
            let (app, sieved) = (flow.talk.app, flow.talk.is_sieved());
            self.finished.push(Finished { id: held.flow, app, sieved });
        }
    }
}

/// Tells interfaces apart, and what comes in there from what leaves: a datagram's fragments may come by several queues.
const fn origin(place: u32) -> u64 {
    let outward = place % SLOTS_A_PORT == SLOTS_A_PORT - 1;
    (place / SLOTS_A_PORT) as u64 * 2 + outward as u64
}
