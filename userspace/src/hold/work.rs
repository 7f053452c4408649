//! What a worker does with held packets.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dropgate_abi::{
    hold::{Held, Settle, part},
    reason::Reason,
};

use super::{
    port::{Port, Receiver, Way},
    shared::{Handed, Shared},
    socket::{BATCH, Socket},
    tell::Told,
    worker::{Finished, Worker},
};
use crate::{
    clock::now_ns,
    events::Clock,
    inspect::{self, About, Answer, Context, Generations, Waiting, Watched},
};

/// How long a packet waits until it is known what is spoken: less than a sender waits for its answer (RFC 6298 has a second,
/// Linux 200 ms).
const WAIT: Duration = Duration::from_millis(100);

/// What the packets of a batch have in common.
pub(super) struct Batch {
    pub rules: Arc<Generations>,
    pub now_ns: u64,
    /// The time of day, s since 1970.
    pub unix_s: i64,
    /// Flows may have been held by an inspector before this one.
    pub new: bool,
    /// What was seen in batches of lower numbers has left.
    pub number: u32,
}

/// Where something that was taken over has gone.
struct Left {
    port: Arc<Port>,
    /// Of the socket that it came by, and the credits that are due there.
    place: u32,
    credits: usize,
}

impl Worker {
    /// Those that have come by now: the rules of their generations were there before them.
    pub(super) fn batch(&mut self) -> Batch {
        let (rules, number) = (self.shared.rules.load_full(), self.flows.next_batch());
        let now_ns = now_ns();
        Batch { rules, now_ns, unix_s: Clock::system().unix_s(now_ns), new: self.is_new(), number }
    }

    /// Moves what one socket received out by another, but for what must not leave and what is another worker's; whether
    /// there was anything. Of each flow they leave in the order in which they came.
    pub(super) fn receive(&mut self, port: &Arc<Port>, by: &Receiver) -> bool {
        let onward = port.onward();
        let Some(mut pair) = port.pair(&onward, by.way, Some(by), self.number) else { return self.nowhere(port, by) };
        let (from, to) = pair.ends();
        let mut received = std::mem::take(&mut self.received);
        from.receive(&mut received, to.room());
        let count = received.len();
        if count == 0 {
            self.received = received;
            return false;
        }
        let (batch, memory) = (self.batch(), from.memory());
        let (mut bytes, mut handed, mut credits) = (0, 0, 0);
        for mut packet in received.drain(..) {
            if let Some((held, frame)) = Socket::read(&mut packet, &memory) {
                bytes += frame.len() as u64;
                credits += usize::from(held.buffers);
                if held.part == part::FIRST {
                    self.announce(&held, &batch);
                }
                let receiver = self.shared.receiver(&held);
                if receiver == self.number {
                    self.frame(&held, frame, (port, by.place), (from, to), &batch);
                } else {
                    let (port, place) = (Arc::clone(port), by.place);
                    match self.hand_over(receiver, Handed::Frame { port, place, held, frame: frame.into() }) {
                        // its credits go with it
                        None => (handed, credits) = (handed + 1, credits - usize::from(held.buffers)),
                        Some(frame) => self.backlogged(&frame, to, &batch),
                    }
                }
            } else {
                credits += Socket::credits(&mut packet, &memory);
                self.shared.totals.dropped.fetch_add(1, Ordering::Relaxed);
            }
            from.free(packet);
        }
        self.received = received;
        self.open_other_way(&batch);
        if !to.flush() {
            self.unsent.push((Arc::clone(port), by.way));
        }
        from.refill();
        drop(pair);
        if !port.is_gone() {
            self.shared.credits.give_back(by.place, credits);
        }
        self.shared.totals.packets.fetch_add(count as u64, Ordering::Relaxed);
        self.shared.totals.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.totals.handed.fetch_add(handed as u64, Ordering::Relaxed);
        self.ring();
        true
    }

    /// Drops what one socket received, because the other side of the bridge is not there; whether there was anything.
    fn nowhere(&mut self, port: &Port, by: &Receiver) -> bool {
        let (count, credits) = port.discard(by, &mut self.received);
        if !port.is_gone() {
            self.shared.credits.give_back(by.place, credits);
        }
        (0..count).for_each(|_| self.shared.totals.count(Reason::bridge_peer_absent, 0));
        count > 0
    }

    /// Inspects what other workers have received; whether there was anything.
    pub(super) fn take_over(&mut self) -> bool {
        let room = BATCH.saturating_sub(self.backlog.len());
        self.backlog.extend(self.inbox.try_iter().take(room));
        if self.backlog.is_empty() {
            return false;
        }
        let batch = self.batch();
        let mut left = Vec::new();
        let mut any = false;
        while let Some(handed) = self.backlog.pop_front() {
            if !self.take(&handed, &batch, &mut left) {
                self.backlog.push_front(handed);
                break;
            }
            any = true;
        }
        self.open_other_way(&batch);
        self.unsent.extend(left.iter().map(|left| (Arc::clone(&left.port), left.port.way(left.place))));
        self.flush_again();
        for Left { place, credits, .. } in left.iter().filter(|left| !left.port.is_gone()) {
            self.shared.credits.give_back(*place, *credits);
        }
        self.ring();
        any
    }

    /// Takes one thing over; whether there is room to send it.
    fn take(&mut self, handed: &Handed, batch: &Batch, left: &mut Vec<Left>) -> bool {
        let (port, place) = match handed {
            Handed::Frame { port, place, .. } | Handed::Whole { port, place, .. } => (port, *place),
            Handed::Expected(held) => {
                self.flows.expect(held, batch.new);
                return true;
            }
            Handed::Ended(held) => {
                self.flow_ended(held, batch);
                return true;
            }
        };
        let onward = port.onward();
        let Some(mut pair) = port.pair(&onward, port.way(place), None, self.number) else {
            left.push(Left { port: Arc::clone(port), place, credits: handed.credits() });
            return true;
        };
        let (from, to) = pair.ends();
        if !handed.frames().all(|frame| to.takes(frame)) {
            return false;
        }
        match handed {
            Handed::Frame { held, frame, .. } => {
                self.frame(held, frame, (port, place), (from, to), batch);
            }
            Handed::Whole { held, frame, parts, .. } => {
                let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
                self.packet(held, (frame, &parts), place, (from, to), batch);
            }
            Handed::Expected(_) | Handed::Ended(_) => {}
        }
        left.push(Left { port: Arc::clone(port), place, credits: handed.credits() });
        true
    }

    /// Makes the kernel send what it has not taken yet; whether there was anything. What it does not take stays in the ring, and
    /// goes first the next time.
    pub(super) fn flush_again(&mut self) -> bool {
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.sort_by_key(|(port, way)| (port.index, *way == Way::Out));
        unsent.dedup_by(|a, b| Arc::ptr_eq(&a.0, &b.0) && a.1 == b.1);
        let any = !unsent.is_empty();
        unsent.retain(|(port, way)| {
            let onward = port.onward();
            let pair = port.pair(&onward, *way, None, self.number);
            !port.is_gone() && pair.is_some_and(|mut pair| !pair.ends().1.flush())
        });
        self.unsent = unsent;
        any
    }

    /// One frame: a packet, or a fragment.
    fn frame(
        &mut self,
        held: &Held,
        frame: &[u8],
        (port, place): (&Arc<Port>, u32),
        (from, to): (&mut Socket, &mut Socket),
        batch: &Batch,
    ) {
        let Some(shown) = inspect::shown(held, frame) else {
            return self.shared.totals.count(Reason::tunnel_uninspected, frame.len());
        };
        match held.part {
            part::WHOLE => self.packet(held, (&shown, &[frame]), place, (from, to), batch),
            part::ERROR => self.error(held, (&shown, frame), place, to, batch),
            _ => self.fragment(held, (shown, frame), (port, place), (from, to), batch),
        }
    }

    /// One packet, that came in `parts`, and what follows from it.
    pub(super) fn packet(
        &mut self,
        held: &Held,
        (frame, parts): (&[u8], &[&[u8]]),
        place: u32,
        (from, to): (&mut Socket, &mut Socket),
        batch: &Batch,
    ) {
        let (shared, judged) = (&self.shared, &mut self.judged);
        let flow = self.flows.seen(held, batch.new);
        let Some(rules) = batch.rules.of(held.generation) else { return };
        let full = shared.memory.is_full(rules.inspection.memory, flow.talk.keeps());
        let context = Context { rules, peers: &shared.peers, full, now_ns: batch.now_ns, unix_s: batch.unix_s };
        if let Some(way) = flow.watched
            && let Some(acknowledgement) = shared.kernel.acknowledged(held.hash, held.flow)
        {
            flow.talk.heard(way, acknowledgement);
        }
        let answer = inspect::judge_parts(held, (frame, parts), &mut flow.talk, &context, judged);
        let mut ended = None;
        // the flows that a packet announces are known before it leaves
        for announced in &judged.announced {
            shared.announcer.announce(announced, batch.now_ns);
        }
        if let Some(app) = judged.noted {
            let note = Settle { hash: held.hash, flow: held.flow, app, note: 1, ..Settle::default() };
            shared.kernel.settle(&note);
        }
        match answer {
            Answer::Release => match flow.refused(held.flow, shared) {
                None => parts.iter().for_each(|part| shared.totals.sent(to.send(part))),
                refused => ended = refused,
            },
            Answer::Wait => {
                if flow.talk.wait_parts(place, parts.iter().map(|part| Box::from(*part))) {
                    self.deadlines.push_back((batch.now_ns + WAIT.as_nanos() as u64, held.flow));
                }
                for frame in judged.let_go.drain(..) {
                    flow.talk.wait(place, frame);
                }
                if flow.talk.has_waited() {
                    self.due.push(held.flow);
                }
            }
            Answer::Keep => {
                shared.totals.kept.fetch_add(parts.len() as u64, Ordering::Relaxed);
            }
            Answer::Drop(reason) => ended = Some(reason),
        }
        for frame in judged.let_go.drain(..) {
            match flow.refused(held.flow, shared) {
                None => shared.totals.sent(to.send(&frame)),
                Some(reason) => shared.totals.count(reason, frame.len()),
            }
        }
        shared.totals.discarded.fetch_add(judged.discarded.len() as u64, Ordering::Relaxed);
        for (reason, frame) in judged.discarded.drain(..) {
            shared.totals.count(reason, frame.len());
        }
        flow.charge();
        if let Some(app) = judged.finished {
            self.finished.push(Finished { id: held.flow, app, sieved: judged.sieved });
        }
        if let Some(awaited) = judged.awaited {
            self.awaited.push((held.flow, awaited));
        }
        if judged.uninspected {
            shared.totals.count(Reason::inspector_memory, frame.len());
        }
        if let Some(note) = judged.noticed.take() {
            (shared.tell)(Told::Noticed(held.flow, note));
        }
        let about = (ended.is_some() || judged.tells()).then(|| {
            judged.walk.port = shared.interface(place).into();
            judged.about(held, frame, flow.talk.told_note(), ended.map_or(answer, Answer::Drop), rules)
        });
        if let Some(about) = &about {
            for finding in &judged.found {
                (shared.tell)(Told::Finding(Arc::clone(about), finding.clone()));
            }
            tell(shared, about, &mut judged.watched, batch.now_ns);
        }
        if let Some((reason, app)) = judged.condemned {
            let request =
                Settle { hash: held.hash, flow: held.flow, drop_reason: reason.0 as u8, app, ..Settle::default() };
            shared.kernel.settle(&request);
        }
        let replies = std::mem::take(&mut judged.replies);
        if let Some(onward) = replies.onward {
            to.send(&onward);
        }
        if let Some(back) = replies.back.filter(|_| !replies.error || self.limiter.allows_error(batch.now_ns)) {
            from.send(&back);
            let _ = from.flush();
        }
        let odd = judged.odd;
        if let Some(about) = about {
            self.told_of(&about, (ended.map_or(answer, Answer::Drop), odd), parts, batch.now_ns);
        }
    }

    /// An ICMP error about a packet of a flow.
    fn error(&mut self, held: &Held, (shown, frame): (&[u8], &[u8]), place: u32, to: &mut Socket, batch: &Batch) {
        let (shared, judged) = (&self.shared, &mut self.judged);
        let Some(rules) = batch.rules.of(held.generation) else { return };
        let context = Context { rules, peers: &shared.peers, full: false, now_ns: batch.now_ns, unix_s: batch.unix_s };
        let answer = inspect::judge_error(held, shown, &context, judged);
        if answer == Answer::Release {
            shared.totals.sent(to.send(frame));
            if !judged.tells() {
                return;
            }
        }
        judged.walk.port = shared.interface(place).into();
        let about = judged.about(held, shown, Arc::default(), answer, rules);
        let odd = judged.odd;
        tell(shared, &about, &mut judged.watched, batch.now_ns);
        self.told_of(&about, (answer, odd), &[frame], batch.now_ns);
    }

    /// Tells what became of a packet that ends here, or what is odd about one that does not.
    fn told_of(&mut self, about: &Arc<About>, (answer, odd): (Answer, Option<Reason>), parts: &[&[u8]], now_ns: u64) {
        match (answer, odd) {
            (Answer::Drop(reason), _) => parts.iter().for_each(|part| self.dropped(about, reason, part.len(), now_ns)),
            (_, Some(odd)) if self.limiter.allows(odd, now_ns) => (self.shared.tell)(Told::Odd(Arc::clone(about), odd)),
            _ => {}
        }
    }

    /// Tells what flows that were forgotten have left incomplete.
    pub(super) fn tell_ends(&mut self) {
        let batch = self.batch();
        let (shared, watched) = (&self.shared, &mut self.judged.watched);
        for mut flow in self.flows.untold.drain(..) {
            let rules = batch.rules.of(flow.generation);
            let Some(signatures) = rules.and_then(|rules| rules.signatures.as_ref()) else { continue };
            if let Some(about) = inspect::finish(&mut flow.talk, signatures, batch.now_ns, watched) {
                (shared.tell)(Told::Noticed(about.held.flow, Arc::clone(&about.note)));
                tell(shared, &about, watched, batch.now_ns);
            }
        }
    }

    /// Counts a frame that ends here, and tells of it.
    pub(super) fn dropped(&mut self, about: &Arc<About>, reason: Reason, bytes: usize, now_ns: u64) {
        self.shared.totals.count(reason, bytes);
        if self.limiter.allows(reason, now_ns) {
            (self.shared.tell)(Told::Dropped(Arc::clone(about), reason));
        }
    }

    /// Shows rules what was wrong with a packet that was not shown to them.
    pub(super) fn noticed(&mut self, about: &Arc<About>, reason: Reason, batch: &Batch) {
        let rules = batch.rules.of(about.held.generation);
        let Some(signatures) = rules.and_then(|rules| rules.signatures.as_ref()) else { return };
        inspect::dropped(&about.walk, reason, &[], signatures, batch.now_ns, &mut self.judged.watched);
        tell(&self.shared, about, &mut self.judged.watched, batch.now_ns);
    }

    /// Packets that have waited in vain leave; `all`: every one that waits. Whether there were any.
    pub(super) fn expire(&mut self, all: bool, ports: &[Arc<Port>]) -> bool {
        let now = now_ns();
        while let Some((_, id)) = self.deadlines.pop_front_if(|(deadline, _)| all || *deadline <= now) {
            self.due.push(id);
        }
        let due = self.due.clone();
        self.let_go(ports);
        // some wait for an answer, and for what it turns them into then
        let flows = &mut self.flows;
        let waits = |id: &&u64| !all && flows.get_mut(**id).is_some_and(|flow| flow.talk.is_waiting());
        self.deadlines.extend(due.iter().filter(waits).map(|id| (now + WAIT.as_nanos() as u64, *id)));
        !due.is_empty()
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
                let onward = port.onward();
                let Some(mut pair) = port.pair(&onward, port.way(place), None, self.number) else { continue };
                let (_, to) = pair.ends();
                self.shared.totals.sent(to.send(&frame));
                if !to.flush() {
                    self.unsent.push((Arc::clone(port), port.way(place)));
                }
            }
            flow.charge();
        }
    }
}

/// Tells what rules and parsers say.
pub(super) fn tell(shared: &Shared, about: &Arc<About>, watched: &mut Watched, now_ns: u64) {
    for alert in watched.alerts.drain(..) {
        shared.totals.alert(&alert);
        (shared.tell)(Told::Alert(Arc::clone(about), alert));
    }
    for said in watched.logged.drain(..) {
        (shared.tell)(Told::Said(Arc::clone(about), said));
    }
    for rule in watched.limited.drain(..) {
        if let Some(times) = shared.totals.limited(&rule, now_ns) {
            (shared.tell)(Told::Limited(Arc::clone(about), rule, times));
        }
    }
}
