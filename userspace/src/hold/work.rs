//! What a worker does with held packets.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crossbeam::channel::TrySendError;
use dropgate_abi::{
    hold::{Held, Settle, settled},
    reason::Reason,
};
use xdp::slab::Slab as _;

use super::{
    port::{Port, Receiver, Way},
    shared::Handed,
    socket::{BATCH, Socket},
    tell::Told,
    worker::Worker,
};
use crate::{
    clock::now_ns,
    inspect::{self, Answer, Context, Generations, Waiting},
};

/// How long a packet waits until it is known what is spoken: less than a sender waits for its answer (RFC 6298 has a second,
/// Linux 200 ms).
const WAIT: Duration = Duration::from_millis(100);

/// What the packets of a batch have in common.
struct Batch {
    rules: Arc<Generations>,
    now_ns: u64,
    /// Flows may have been held by an inspector before this one.
    new: bool,
}

impl Worker {
    /// Those that have come by now: the rules of their generations were there before them.
    fn batch(&self) -> Batch {
        Batch { rules: self.shared.rules.load_full(), now_ns: now_ns(), new: self.is_new() }
    }

    /// Moves what one socket received out by another, but for what must not leave and what is another worker's; whether
    /// there was anything. Of each flow they leave in the order in which they came.
    pub(super) fn receive(&mut self, port: &Arc<Port>, by: &Receiver) -> bool {
        let mut pair = port.pair(by.way, Some(by), self.number);
        let (from, to) = pair.ends();
        let count = from.receive(&mut self.hands, to.room());
        if count == 0 {
            return false;
        }
        let batch = self.batch();
        let (mut bytes, mut handed) = (0, 0);
        while let Some(mut packet) = self.hands.received.pop_back() {
            if let Some((held, frame)) = Socket::read(&mut packet) {
                bytes += frame.len() as u64;
                let owner = self.shared.owner(&held);
                if owner == self.number {
                    self.packet(&held, frame, (by.place, from, to), &batch);
                } else {
                    let frame = Handed { port: Arc::clone(port), place: by.place, held, frame: frame.into() };
                    handed += usize::from(self.hand_over(owner, frame));
                }
            }
            from.free(packet);
        }
        if !to.flush() {
            self.unsent.push((Arc::clone(port), by.way));
        }
        from.refill();
        drop(pair);
        self.shared.credits.give_back(by.place, count - handed);
        self.shared.totals.packets.fetch_add(count as u64, Ordering::Relaxed);
        self.shared.totals.bytes.fetch_add(bytes, Ordering::Relaxed);
        if handed > 0 {
            self.shared.totals.handed.fetch_add(handed as u64, Ordering::Relaxed);
            self.shared.workers.iter().filter(|door| !door.frames.is_empty()).for_each(|door| door.bell.ring());
        }
        true
    }

    /// Gives a packet to the worker that has its flow, with its credit; whether there was room.
    fn hand_over(&mut self, owner: usize, packet: Handed) -> bool {
        let Some(door) = self.shared.workers.get(owner) else { return false };
        match door.frames.try_send(packet) {
            Ok(()) => true,
            Err(TrySendError::Full(packet) | TrySendError::Disconnected(packet)) => {
                self.shared.totals.count(Reason::inspector_backlog, packet.frame.len());
                false
            }
        }
    }

    /// Does the same with what other workers have received; whether there was anything.
    pub(super) fn take_over(&mut self) -> bool {
        let room = BATCH.saturating_sub(self.backlog.len());
        self.backlog.extend(self.inbox.try_iter().take(room));
        if self.backlog.is_empty() {
            return false;
        }
        let batch = self.batch();
        let mut left: Vec<(Arc<Port>, u32)> = Vec::new();
        while let Some(Handed { port, place, held, frame }) = self.backlog.pop_front() {
            let mut pair = port.pair(port.way(place), None, self.number);
            let (from, to) = pair.ends();
            if to.room() == 0 {
                drop(pair);
                self.backlog.push_front(Handed { port, place, held, frame });
                break;
            }
            self.packet(&held, &frame, (place, from, to), &batch);
            drop(pair);
            left.push((port, place));
        }
        for (port, place) in &left {
            self.unsent.push((Arc::clone(port), port.way(*place)));
        }
        self.flush_again();
        for (port, place) in &left {
            if !port.is_gone() {
                self.shared.credits.give_back(*place, 1);
            }
        }
        !left.is_empty()
    }

    /// Makes the kernel send what it has not taken yet; whether there was anything. What it does not take stays in the ring, and
    /// goes first the next time.
    pub(super) fn flush_again(&mut self) -> bool {
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.sort_by_key(|(port, way)| (port.index, *way == Way::Out));
        unsent.dedup_by(|a, b| Arc::ptr_eq(&a.0, &b.0) && a.1 == b.1);
        let any = !unsent.is_empty();
        unsent.retain(|(port, way)| {
            let mut pair = port.pair(*way, None, self.number);
            !port.is_gone() && !pair.ends().1.flush()
        });
        self.unsent = unsent;
        any
    }

    /// One packet, and what follows from it.
    fn packet(&mut self, held: &Held, frame: &[u8], (place, from, to): (u32, &mut Socket, &mut Socket), batch: &Batch) {
        let (shared, judged) = (&self.shared, &mut self.judged);
        let flow = self.flows.seen(held, batch.new);
        let Some(rules) = batch.rules.of(held.generation) else { return };
        let full = shared.memory.is_full(rules.inspection.memory, flow.talk.keeps());
        let context = Context { rules, peers: &shared.peers, full, now_ns: batch.now_ns };
        let answer = inspect::judge(held, frame, &mut flow.talk, &context, judged);
        let mut ended = None;
        match answer {
            Answer::Release => match flow.refused(held.flow, shared) {
                None => shared.totals.sent(to.send(&mut self.hands, frame)),
                refused => ended = refused,
            },
            Answer::Wait => {
                let frames = std::iter::once(frame.into()).chain(judged.let_go.drain(..));
                for frame in frames {
                    if flow.talk.wait(place, frame) {
                        self.deadlines.push_back((batch.now_ns + WAIT.as_nanos() as u64, held.flow));
                    }
                }
                if flow.talk.has_waited() {
                    self.due.push(held.flow);
                }
            }
            Answer::Keep => {
                shared.totals.kept.fetch_add(1, Ordering::Relaxed);
            }
            Answer::Drop(reason) => ended = Some(reason),
        }
        for frame in judged.let_go.drain(..) {
            match flow.refused(held.flow, shared) {
                None => shared.totals.sent(to.send(&mut self.hands, &frame)),
                Some(reason) => shared.totals.count(reason, frame.len()),
            }
        }
        flow.charge();
        if let Some(app) = judged.finished {
            self.finished.push((held.flow, app));
        }
        if judged.uninspected {
            shared.totals.count(Reason::inspector_memory, frame.len());
        }
        if let Some(finding) = &judged.found {
            (shared.tell)(Told::Finding(*held, judged.walk, finding.clone()));
        }
        if let Some((reason, app)) = judged.condemned {
            let request =
                Settle { hash: held.hash, flow: held.flow, drop_reason: reason.0 as u8, app, ..Settle::default() };
            shared.kernel.settle(&request);
        }
        if let Some((onward, back)) = judged.resets.take() {
            to.send(&mut self.hands, &onward);
            from.send(&mut self.hands, &back);
            let _ = from.flush();
        }
        if let Some(reason) = ended {
            self.dropped(held, reason, frame.len(), batch.now_ns);
        }
    }

    /// Counts a packet that ends here, and tells of it.
    fn dropped(&mut self, held: &Held, reason: Reason, bytes: usize, now_ns: u64) {
        self.shared.totals.count(reason, bytes);
        if self.limiter.allows(reason, now_ns) {
            (self.shared.tell)(Told::Dropped(*held, self.judged.walk, reason));
        }
    }

    /// Packets that have waited in vain leave; `all`: every one that waits. Whether there were any.
    pub(super) fn expire(&mut self, all: bool, ports: &[Arc<Port>]) -> bool {
        let now = now_ns();
        while let Some((_, id)) = self.deadlines.pop_front_if(|(deadline, _)| all || *deadline <= now) {
            self.due.push(id);
        }
        let any = !self.due.is_empty();
        self.let_go(ports);
        any
    }

    /// What waited of the flows that are due leaves, each packet the way it would have gone.
    pub(super) fn let_go(&mut self, ports: &[Arc<Port>]) {
        for id in std::mem::take(&mut self.due) {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            let refused = flow.refused(id, &self.shared);
            for Waiting { place, frame } in flow.talk.let_go() {
                if let Some(reason) = refused {
                    self.shared.totals.count(reason, frame.len());
                    continue;
                }
                // an interface that is gone has no more need of it
                let Some(port) = ports.iter().find(|port| port.has(place)) else { continue };
                let mut pair = port.pair(port.way(place), None, self.number);
                let (_, to) = pair.ends();
                self.shared.totals.sent(to.send(&mut self.hands, &frame));
                if !to.flush() {
                    self.unsent.push((Arc::clone(port), port.way(place)));
                }
            }
            flow.charge();
        }
    }

    /// Lets the flows of the last round leave inspection, once their packets have all left.
    pub(super) fn settle_finished(&mut self) {
        if !self.unsent.is_empty() {
            return;
        }
        self.finished.dedup();
        for (id, app) in std::mem::take(&mut self.finished) {
            let Some(flow) = self.flows.get(id) else { continue };
            let Some(held) = flow.complete().filter(|_| !flow.talk.keeps()) else { continue };
            let request = Settle { hash: flow.hash, flow: id, held, app, ..Settle::default() };
            match self.shared.kernel.settle(&request) {
                settled::DONE => {
                    self.shared.totals.settled.fetch_add(1, Ordering::Relaxed);
                    self.flows.forget(id);
                }
                settled::GONE => self.flows.forget(id),
                // more of it was held meanwhile, and will be seen
                _ => {}
            }
        }
    }
}
