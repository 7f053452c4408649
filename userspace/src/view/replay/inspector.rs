//! What becomes of the packets that the programs hold: the inspector of a gateway, with the capture's clock and one packet at
//! a time. What a gateway does for the sake of its sockets and threads (`crate::hold`) has no place here.

use super::{EventSink, Judge, announced::Announcements, lines::Lines, seen::Seen};
use crate::{
    defragment::{Defragment, Ended, Whole},
    events::{self, Clock, LimitedRules, Names, eve::Event},
    inspect::{
        self, About, Answer, Beginning, Candidate, Context, Finding, Judged, Note, Peers, Rules, Talk, Waiting,
        Watched, judge_parts,
    },
    policy::model::Reaction,
};
use dropgate_abi::{
    hold::{Held, Settle, part},
    reason::Reason,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// How long a packet waits until it is known what is spoken, as a gateway has it.
const WAIT: Duration = Duration::from_millis(100);
/// After this long without a packet a flow is forgotten, at the latest after twice that.
const IDLE_NS: u64 = 60_000_000_000;

/// An inspector of one capture.
#[derive(Default)]
pub struct Inspector {
    flows: HashMap<u64, Subject>,
    /// What was known of flows that are forgotten: it is wanted when they end.
    known: HashMap<u64, Known>,
    defragment: Defragment,
    /// Flows whose packets wait, and until when (ns); in order of time.
    deadlines: VecDeque<(u64, u64)>,
    judged: Judged,
    peers: Peers,
    aged_ns: u64,
    limited: LimitedRules,
    /// Packet of the capture of which it is told what rules were asked.
    explaining: Option<u64>,
    /// Those, once rules were asked about it.
    pub explained: Option<Vec<Candidate>>,
}

/// What is known of a flow.
#[derive(Clone, Default)]
pub struct Known {
    /// What was found out about it, and the reaction to that.
    pub found: Option<(Reason, Reaction)>,
    /// [`dropgate_abi::flow::Flow::app`].
    pub app: u8,
    /// [`Held::announced`].
    pub announced: u8,
    /// What the event of its end is to tell.
    pub note: Arc<Note>,
}

/// A flow under inspection, and what is known of one that was.
struct Subject {
    talk: Talk,
    /// Packets of it that were held.
    held: u32,
    seen_ns: u64,
    /// What was found out about it; its `app` is what `talk` says.
    known: Known,
}

/// What a decision is made with, and where it goes.
pub struct Outside<'a, 'e, J> {
    pub judge: &'a mut J,
    pub rules: &'a Rules,
    pub announcements: &'a Announcements,
    pub lines: &'a mut Lines,
    pub events: Option<&'a mut EventSink<'e>>,
    pub seen: &'a Seen,
    pub names: &'a Names,
    pub clock: &'a Clock,
    pub now_ns: u64,
}

impl Inspector {
    /// One that tells what rules are asked about a packet of the capture, by its number.
    pub fn explaining(packet: Option<u64>) -> Self {
        Self { explaining: packet, ..Self::default() }
    }

    /// Takes a packet that is held. `origin`: a number that tells interfaces and their directions apart.
    pub fn take<J: Judge>(&mut self, held: &Held, frame: &[u8], origin: u64, outside: &mut Outside<'_, '_, J>) {
        let Some(shown) = inspect::shown(held, frame) else {
            return outside.lines.dropped(frame, Reason::tunnel_uninspected);
        };
        match held.part {
            part::WHOLE => return self.packet(held, (&shown, &[frame]), origin, outside),
            part::ERROR => return self.error(held, (&shown, frame), origin, outside),
            _ => {}
        }
        if held.part == part::FIRST {
            // what comes behind it is not the flow's beginning
            subject(&mut self.flows, held, outside.now_ns);
        }
        if self.fragment(held, (&shown, frame), origin, outside) != Answer::Release {
            return;
        }
        let (time, mut ended) = ((outside.now_ns, outside.rules.fragments), Vec::new());
        let whole = self.defragment.take((held, frame, shown), origin, time, &mut ended);
        self.ended(ended, outside);
        let Some(Whole { held, frame, fragments }) = whole else { return };
        let parts: Vec<&[u8]> = fragments.iter().map(|fragment| &*fragment.frame).collect();
        if held.part == part::FIRST {
            self.packet(&held, (&frame, &parts), origin, outside);
        } else {
            parts.iter().for_each(|part| outside.lines.released(part));
        }
    }

    /// Judges an ICMP error about a packet of a flow.
    fn error<J: Judge>(
        &mut self,
        held: &Held,
        (shown, frame): (&[u8], &[u8]),
        origin: u64,
        outside: &mut Outside<'_, '_, J>,
    ) {
        let judged = &mut self.judged;
        let context = Context {
            rules: outside.rules,
            peers: &self.peers,
            full: false,
            now_ns: outside.now_ns,
            unix_s: outside.clock.unix_s(outside.now_ns),
        };
        judged.watched.explain = self.explaining.is_some() && outside.clock.packet() == self.explaining;
        let answer = inspect::judge_error(held, shown, &context, judged);
        if answer == Answer::Release {
            outside.lines.released(frame);
        }
        judged.walk.port = origin;
        let about = judged.about(held, shown, Arc::default(), answer, outside.rules);
        outside.told_of(&about, (answer, judged.odd), &[frame]);
        if std::mem::take(&mut judged.watched.explain) {
            self.explained = judged.watched.explained.take();
        }
        outside.watched(&about, &mut judged.watched, &mut self.limited);
    }

    /// Judges a fragment by itself.
    fn fragment<J: Judge>(
        &mut self,
        held: &Held,
        (shown, frame): (&[u8], &[u8]),
        origin: u64,
        outside: &mut Outside<'_, '_, J>,
    ) -> Answer {
        let context = Context {
            rules: outside.rules,
            peers: &self.peers,
            full: false,
            now_ns: outside.now_ns,
            unix_s: outside.clock.unix_s(outside.now_ns),
        };
        let answer = inspect::judge_fragment(held, shown, &context, &mut self.judged);
        if self.judged.tells() {
            self.judged.walk.port = origin;
            let about = self.judged.about(held, shown, Arc::default(), answer, outside.rules);
            outside.watched(&about, &mut self.judged.watched, &mut self.limited);
        }
        if let Answer::Drop(reason) = answer {
            self.ended(vec![Ended { held: *held, frame: frame.into(), reason, at_fault: false }], outside);
        }
        answer
    }

    /// Judges a packet that came in `parts`.
    fn packet<J: Judge>(
        &mut self,
        held: &Held,
        (frame, parts): (&[u8], &[&[u8]]),
        origin: u64,
        outside: &mut Outside<'_, '_, J>,
    ) {
        let (now_ns, judged) = (outside.now_ns, &mut self.judged);
        let flow = subject(&mut self.flows, held, now_ns);
        // a capture may take what memory it needs: it is one
        let context = Context {
            rules: outside.rules,
            peers: &self.peers,
            full: false,
            now_ns,
            unix_s: outside.clock.unix_s(now_ns),
        };
        judged.watched.explain = self.explaining.is_some() && outside.clock.packet() == self.explaining;
        let answer = judge_parts(held, (frame, parts), &mut flow.talk, &context, judged);
        // the flows that a packet announces are known before it leaves
        judged.announced.iter().for_each(|announced| outside.announcements.make_known(announced, now_ns));
        if let Some(app) = judged.noted {
            outside.settle(&Settle { hash: held.hash, flow: held.flow, app, note: 1, ..Settle::default() });
        }
        match answer {
            Answer::Release => parts.iter().for_each(|part| outside.lines.released(part)),
            Answer::Wait => {
                if flow.talk.wait_parts(0, parts.iter().map(|part| Box::from(*part))) {
                    self.deadlines.push_back((now_ns + WAIT.as_nanos() as u64, held.flow));
                }
                for frame in judged.let_go.drain(..) {
                    flow.talk.wait(0, frame);
                }
            }
            Answer::Keep => {}
            Answer::Drop(_) => {}
        }
        judged.let_go.drain(..).for_each(|frame| outside.lines.released(&frame));
        judged.discarded.drain(..).for_each(|(reason, frame)| outside.lines.dropped(&frame, reason));
        if let Some(note) = judged.noticed.take() {
            flow.known.note = note;
        }
        judged.walk.port = origin;
        let about = judged.about(held, frame, flow.talk.told_note(), answer, outside.rules);
        outside.told_of(&about, (answer, judged.odd), parts);
        if std::mem::take(&mut judged.watched.explain) {
            self.explained = judged.watched.explained.take();
        }
        outside.watched(&about, &mut judged.watched, &mut self.limited);
        for finding in &judged.found {
            flow.known.found = Some((finding.reason, finding.reaction));
            outside.found(&about, finding);
        }
        if let Some((reason, app)) = judged.condemned {
            outside.lines.condemned(held.flow, reason);
            let drop_reason = reason.0 as u8;
            outside.settle(&Settle { hash: held.hash, flow: held.flow, drop_reason, app, ..Settle::default() });
        }
        if flow.talk.has_waited() {
            flow.talk.let_go().iter().for_each(|Waiting { frame, .. }| outside.lines.released(frame));
        }
        if let Some(app) = judged.finished.filter(|_| !flow.talk.keeps()) {
            let sieved = judged.sieved.into();
            let request =
                Settle { hash: held.hash, flow: held.flow, held: flow.held, app, sieved, ..Settle::default() };
            outside.settle(&request);
        }
    }

    /// Time has passed: what has waited long enough leaves; `all`: everything that waits.
    pub fn pass_time<J: Judge>(&mut self, all: bool, outside: &mut Outside<'_, '_, J>) {
        let now_ns = outside.now_ns;
        while let Some((_, id)) = self.deadlines.pop_front_if(|(deadline, _)| all || *deadline <= now_ns) {
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            flow.talk.let_go().iter().for_each(|Waiting { frame, .. }| outside.lines.released(frame));
            if !all && flow.talk.is_waiting() {
                self.deadlines.push_back((now_ns + WAIT.as_nanos() as u64, id));
            }
        }
        let mut ended = Vec::new();
        self.defragment.expire(now_ns, &mut ended);
        self.ended(ended, outside);
        if now_ns.saturating_sub(self.aged_ns) > IDLE_NS {
            self.aged_ns = now_ns;
            let (known, watched, limited) = (&mut self.known, &mut self.judged.watched, &mut self.limited);
            self.flows.retain(|id, flow| {
                let idle = now_ns.saturating_sub(flow.seen_ns) > IDLE_NS;
                let stays = flow.talk.settled || flow.talk.lasts() || !idle;
                if !stays {
                    flow.finish((watched, limited), outside);
                    known.insert(*id, flow.known());
                }
                stays
            });
        }
    }

    /// Fragments that end here.
    fn ended<J: Judge>(&mut self, ended: Vec<Ended>, outside: &mut Outside<'_, '_, J>) {
        for Ended { held, frame, reason, at_fault } in ended {
            let about = About::of(&held, &frame);
            outside.dropped(&about, reason, &frame);
            if at_fault {
                outside.noticed(&about, reason, (&mut self.judged.watched, &mut self.limited));
            }
        }
    }

    /// A flow has ended: what was found out about it, and what it speaks where its entry in the table does not say.
    pub fn end<J: Judge>(&mut self, flow: u64, outside: Option<&mut Outside<'_, '_, J>>) -> Known {
        let known = self.known.remove(&flow).unwrap_or_default();
        match self.flows.remove(&flow) {
            Some(mut flow) => {
                if let Some(outside) = outside {
                    flow.finish((&mut self.judged.watched, &mut self.limited), outside);
                }
                flow.known().or(known)
            }
            None => known,
        }
    }
}

/// A packet of a flow; the flow as it is now.
fn subject<'a>(flows: &'a mut HashMap<u64, Subject>, held: &Held, now_ns: u64) -> &'a mut Subject {
    let flow = flows.entry(held.flow).or_insert_with(|| {
        let beginning = if held.sequence == 0 { Beginning::Seen } else { Beginning::Forgotten };
        let known = Known { announced: held.announced, ..Known::default() };
        Subject { talk: Talk::new(beginning), held: 0, seen_ns: now_ns, known }
    });
    // a datagram in fragments is complete after packets that came behind its first one
    flow.held = flow.held.max(held.sequence.wrapping_add(1));
    flow.seen_ns = now_ns;
    flow
}

impl Known {
    /// What is not known is as it was known before.
    fn or(self, before: Self) -> Self {
        let number = |now, before| if now == 0 { before } else { now };
        Self {
            found: self.found.or(before.found),
            app: number(self.app, before.app),
            announced: number(self.announced, before.announced),
            note: if *self.note == Note::default() { before.note } else { self.note },
        }
    }
}

impl Subject {
    /// What was not complete is told of.
    fn finish<J: Judge>(
        &mut self,
        (out, limited): (&mut Watched, &mut LimitedRules),
        outside: &mut Outside<'_, '_, J>,
    ) {
        let Some(signatures) = &outside.rules.signatures else { return };
        let Some(about) = inspect::finish(&mut self.talk, signatures, outside.now_ns, out) else { return };
        self.known.note = Arc::clone(&about.note);
        outside.watched(&about, out, limited);
    }

    fn known(&self) -> Known {
        Known { app: self.talk.app, ..self.known.clone() }
    }
}

impl<J: Judge> Outside<'_, '_, J> {
    fn dropped(&mut self, about: &About, reason: Reason, frame: &[u8]) {
        self.lines.dropped(frame, reason);
        let told = events::inspection::dropped(about, reason, self.now_ns, self.names, self.clock);
        told.into_iter().for_each(|event| self.tell(event));
    }

    /// What became of a packet that ends here, or what is odd about one that does not.
    fn told_of(&mut self, about: &About, (answer, odd): (Answer, Option<Reason>), parts: &[&[u8]]) {
        if let Answer::Drop(reason) = answer {
            parts.iter().for_each(|part| self.dropped(about, reason, part));
        } else if let Some(odd) = odd {
            let told = events::inspection::odd(about, odd, self.now_ns, self.names, self.clock);
            told.into_iter().for_each(|event| self.tell(event));
        }
    }

    /// What rules say of a packet that was dropped without being shown to them.
    fn noticed(&mut self, about: &About, reason: Reason, (watched, limited): (&mut Watched, &mut LimitedRules)) {
        let Some(signatures) = &self.rules.signatures else { return };
        inspect::dropped(&about.walk, reason, &[], signatures, self.now_ns, watched);
        self.watched(about, watched, limited);
    }

    fn found(&mut self, about: &About, finding: &Finding) {
        self.tell(events::inspection::found(about, finding, self.now_ns, self.names, self.clock));
    }

    fn tell(&mut self, mut event: Event) {
        if let Some(events) = &mut self.events {
            self.seen.correct(&mut event, self.clock);
            events(&event);
        }
    }

    /// What rules and parsers say.
    fn watched(&mut self, about: &About, watched: &mut Watched, limited: &mut LimitedRules) {
        if self.events.is_none() {
            return watched.clear();
        }
        for alert in watched.alerts.drain(..) {
            self.tell(events::signatures::alert(about, &alert, self.now_ns, self.names, self.clock));
        }
        for said in watched.logged.drain(..) {
            self.tell(events::signatures::said(about, said, self.now_ns, self.names, self.clock));
        }
        for rule in watched.limited.drain(..) {
            let Some(times) = limited.note(&rule, self.now_ns) else { continue };
            let of = (&*rule, times);
            self.tell(events::signatures::limited(about, of, self.now_ns, self.names, self.clock));
        }
    }

    /// Asks `dropgate_settle`.
    fn settle(&mut self, request: &Settle) {
        // one that could not be settled is held on, and asked for again
        let _ = self.judge.settle(request);
    }
}
