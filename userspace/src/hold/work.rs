//! What is done with a batch of held packets.

use std::{collections::VecDeque, os::fd::BorrowedFd, sync::atomic::Ordering, time::Duration};

use dropgate_abi::{
    bytes_of,
    hold::{Held, Settle, part, passes, settled},
    reason::Reason,
    walk::Walk,
};
use xdp::slab::Slab as _;

use super::{
    flows::Flows,
    socket::{Hands, Socket},
    tell::{Limiter, Tell, Told},
    totals::Totals,
};
use crate::{
    datapath::test_run,
    defragment::Defragment,
    inspect::{self, Answer, Generations, Judged},
};

/// How long a packet waits until it is known what is spoken: less than a sender waits for its answer (RFC 6298 has a second,
/// Linux 200 ms).
const WAIT: Duration = Duration::from_millis(100);
/// What a batch of packets is decided with.
pub(super) struct Work<'a> {
    pub flows: &'a mut Flows,
    pub defragment: &'a mut Defragment,
    pub finished: &'a mut Vec<(u64, u8)>,
    pub due: &'a mut Vec<u64>,
    pub deadlines: &'a mut VecDeque<(u64, u64)>,
    pub totals: &'a Totals,
    pub rules: &'a Generations,
    pub tell: &'a Tell,
    pub limiter: &'a mut Limiter,
    pub settle: BorrowedFd<'a>,
    pub now_ns: u64,
    /// The inspector is: flows may have been held by one before it.
    pub new: bool,
}

impl Work<'_> {
    /// Moves what one socket received out by another, but for what must not leave; how many packets there were. Of each flow
    /// they leave in the order in which they came.
    pub fn pass(
        &mut self,
        (place, from): (u32, &mut Socket),
        to: &mut Socket,
        hands: &mut Hands,
        judged: &mut Judged,
    ) -> usize {
        let count = from.receive(hands, to.room());
        if count == 0 {
            return 0;
        }
        let batch = self.flows.next_batch();
        let mut bytes = 0;
        while let Some(mut packet) = hands.received.pop_back() {
            if let Some((held, frame)) = Socket::read(&mut packet) {
                bytes += frame.len() as u64;
                if held.part == part::WHOLE {
                    self.packet(&held, (frame, &[frame]), (place, from, to), hands, judged);
                } else {
                    self.fragment(&held, frame, (place, from, to), hands, judged);
                }
            }
            from.free(packet);
        }
        self.open_other_way(batch);
        // what the kernel did not take now stays in the ring, and goes first the next time
        let _ = to.flush();
        from.refill();
        self.finished.dedup();
        self.totals.packets.fetch_add(count as u64, Ordering::Relaxed);
        self.totals.bytes.fetch_add(bytes, Ordering::Relaxed);
        count
    }

    /// Answers to what is about to leave need not be held where nothing more is wanted of their flow. Only this direction has
    /// packets that are still here, so none is overtaken.
    fn open_other_way(&self, batch: u32) {
        for (id, app) in self.finished.iter() {
            let Some(flow) = self.flows.get(*id).filter(|flow| !flow.talk.keeps()) else { continue };
            if let (Some(way), Some(held)) = (flow.left(batch), flow.complete()) {
                let only = passes(way) as u8;
                let request = Settle { hash: flow.hash, flow: *id, held, app: *app, only, ..Settle::default() };
                ask(self.settle, &request);
            }
        }
    }

    /// One packet, that came in `parts`, and what follows from it.
    pub(super) fn packet(
        &mut self,
        held: &Held,
        (frame, parts): (&[u8], &[&[u8]]),
        (place, from, to): (u32, &mut Socket, &mut Socket),
        hands: &mut Hands,
        judged: &mut Judged,
    ) {
        let flow = self.flows.seen(held, self.new);
        let Some(rules) = self.rules.of(held.generation) else { return };
        let answer = inspect::judge_parts(held, (frame, parts), &mut flow.talk, rules, self.now_ns, judged);
        match answer {
            Answer::Release => parts.iter().for_each(|part| self.totals.sent(to.send(hands, part))),
            Answer::Wait => {
                if flow.talk.wait_parts(place, parts.iter().map(|part| Box::from(*part))) {
                    self.deadlines.push_back((self.now_ns + WAIT.as_nanos() as u64, held.flow));
                }
                for frame in judged.let_go.drain(..) {
                    flow.talk.wait(place, frame);
                }
                if flow.talk.has_waited() {
                    self.due.push(held.flow);
                }
            }
            Answer::Keep => {
                self.totals.kept.fetch_add(parts.len() as u64, Ordering::Relaxed);
            }
            Answer::Drop(reason) => parts.iter().for_each(|part| self.dropped(held, reason, part.len(), &judged.walk)),
        }
        for frame in judged.let_go.drain(..) {
            self.totals.sent(to.send(hands, &frame));
        }
        if let Some(app) = judged.finished {
            self.finished.push((held.flow, app));
        }
        if let Some(finding) = &judged.found {
            (self.tell)(Told::Finding(*held, judged.walk, finding.clone()));
        }
        if let Some((reason, app)) = judged.condemned {
            let request =
                Settle { hash: held.hash, flow: held.flow, drop_reason: reason.0 as u8, app, ..Settle::default() };
            ask(self.settle, &request);
        }
        if let Some((onward, back)) = judged.resets.take() {
            to.send(hands, &onward);
            from.send(hands, &back);
            let _ = from.flush();
        }
    }

    /// Counts a frame that ends here, and tells of it.
    pub(super) fn dropped(&mut self, held: &Held, reason: Reason, bytes: usize, walk: &Walk) {
        self.totals.count(reason, bytes);
        if self.limiter.allows(reason, self.now_ns) {
            (self.tell)(Told::Dropped(*held, *walk, reason));
        }
    }
}

/// Asks `dropgate_settle`; see [`settled`].
pub(super) fn ask(program: BorrowedFd<'_>, request: &Settle) -> u32 {
    test_run(program, bytes_of(request), 1, None).map_or(settled::BUSY, |ran| ran.action)
}
