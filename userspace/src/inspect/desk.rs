//! What is done with held packets, one after the other: judged, released, kept back for a while or ended, and their flows let
//! go once nothing more is wanted of them. No I/O and no clock: an [`Outlet`] does what is decided.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use dropgate_abi::{
    hold::{Held, Settle, settled},
    reason::Reason,
    walk::Walk,
};

use super::{Answer, Finding, Flows, Generations, Judged, Rules, Talk, Waiting, judge};

/// How long a packet waits until it is known what is spoken: less than a sender waits for its answer (RFC 6298 has a second,
/// Linux 200 ms).
const WAIT: Duration = Duration::from_millis(100);

/// Who has the packets, and does what is decided.
pub trait Outlet {
    /// A frame leaves, the way of those that came by the socket at `place`.
    fn release(&mut self, place: u32, frame: &[u8]);

    /// A frame is kept until its turn comes; it is handed back by [`Outlet::release`], or never.
    fn kept(&mut self);

    /// A frame ends here.
    fn dropped(&mut self, held: &Held, walk: &Walk, reason: Reason, frame: &[u8]);

    /// Something was found out about a flow.
    fn found(&mut self, held: &Held, walk: &Walk, finding: &Finding);

    /// A connection is ended: `onward` goes to the receiver of what came by the socket at `place`, `back` to its sender.
    fn reset(&mut self, place: u32, onward: &[u8], back: &[u8]);

    /// Asks `dropgate_settle`; see [`settled`].
    fn settle(&mut self, request: &Settle) -> u32;
}

/// What is known of the flows whose packets are held, and what is due.
#[derive(Default)]
pub struct Desk {
    flows: Flows,
    rules: Generations,
    /// Flows that may leave inspection once what was decided has been done, and what they speak.
    finished: Vec<(u64, u8)>,
    /// Flows whose packets have waited long enough.
    due: Vec<u64>,
    /// Flows whose packets wait, and until when (ns); in order of time.
    deadlines: VecDeque<(u64, u64)>,
    judged: Judged,
}

impl Desk {
    /// Takes in what a generation says, before its first packet.
    pub fn rules(&mut self, generation: u32, rules: Arc<Rules>) {
        self.rules.add(generation, rules);
    }

    /// What is known of a flow.
    pub fn talk(&self, flow: u64) -> Option<&Talk> {
        self.flows.find(flow).map(|flow| &flow.talk)
    }

    /// Judges a packet that came by the socket at `place`. `now_ns`: any clock that goes on. `new`: flows may have been held by
    /// an inspector before this one.
    pub fn packet(
        &mut self,
        held: &Held,
        frame: &[u8],
        (place, now_ns, new): (u32, u64, bool),
        outlet: &mut impl Outlet,
    ) {
        let judged = &mut self.judged;
        let flow = self.flows.seen(held, new);
        let Some(rules) = self.rules.of(held.generation) else { return };
        match judge(held, frame, &mut flow.talk, rules, now_ns, judged) {
            Answer::Release => outlet.release(place, frame),
            Answer::Wait => {
                for frame in std::iter::once(frame.into()).chain(judged.let_go.drain(..)) {
                    if flow.talk.wait(place, frame) {
                        self.deadlines.push_back((now_ns + WAIT.as_nanos() as u64, held.flow));
                    }
                }
                if flow.talk.has_waited() {
                    self.due.push(held.flow);
                }
            }
            Answer::Keep => outlet.kept(),
            Answer::Drop(reason) => outlet.dropped(held, &judged.walk, reason, frame),
        }
        for frame in judged.let_go.drain(..) {
            outlet.release(place, &frame);
        }
        if let Some(app) = judged.finished {
            self.finished.push((held.flow, app));
        }
        if let Some(finding) = &judged.found {
            outlet.found(held, &judged.walk, finding);
        }
        if let Some((reason, app)) = judged.condemned {
            let drop_reason = reason.0 as u8;
            outlet.settle(&Settle { hash: held.hash, flow: held.flow, drop_reason, app, ..Settle::default() });
        }
        if let Some((onward, back)) = judged.resets.take() {
            outlet.reset(place, &onward, &back);
        }
    }

    /// What waited too long, and what waits no more, leaves; then the flows of which nothing more is wanted leave inspection.
    /// `all`: everything that waits.
    pub fn done(&mut self, now_ns: u64, all: bool, outlet: &mut impl Outlet) {
        while let Some((_, id)) = self.deadlines.pop_front_if(|(deadline, _)| all || *deadline <= now_ns) {
            self.due.push(id);
        }
        for id in self.due.drain(..) {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            for Waiting { place, frame } in flow.talk.let_go() {
                outlet.release(place, &frame);
            }
        }
        for (id, app) in self.finished.drain(..) {
            let Some(flow) = self.flows.find(id) else { continue };
            let Some(held) = flow.complete().filter(|_| !flow.talk.keeps()) else { continue };
            match outlet.settle(&Settle { hash: flow.hash, flow: id, held, app, ..Settle::default() }) {
                settled::DONE | settled::GONE => self.flows.forget(id),
                // more of it was held meanwhile, and will be seen
                _ => {}
            }
        }
    }

    /// Time passes: see [`Flows::age`].
    pub fn age(&mut self) {
        self.flows.age();
    }

    /// A flow is over.
    pub fn forget(&mut self, flow: u64) {
        self.flows.forget(flow);
    }
}
