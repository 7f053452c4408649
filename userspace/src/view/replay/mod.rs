//! A capture through the datapath and the inspector, packet by packet, with the capture's own clock.

mod announced;
mod clock;
mod ended;
mod inspector;
mod line;
mod lines;
mod offload;
mod opening;
mod seen;
mod stand_in;
mod summary;

pub use self::{
    clock::{GAP_NS, START_NS},
    ended::FlowLine,
    line::{Line, ends, verdict},
    summary::{Summary, unexplained},
};

use self::{
    announced::Announcements,
    clock::CaptureClock,
    inspector::{Inspector, Outside},
    lines::Lines,
    offload::Offload,
    opening::Openings,
    seen::Seen,
    stand_in::StandIns,
};
use super::{
    peek::peek,
    ports::{Placer, Ports, Side, retagged, tagged},
    sides::Sides,
};
use crate::{
    capture::{CaptureError, Packet, Record},
    events::{self, Clock, Names, eve::Event, signatures},
    hold::Announcer,
    inspect::{Candidate, Rules, Targets, Watched},
    policy::Image,
};
use dropgate_abi::{
    event::FlowEnd,
    flow::Flow,
    hold::{Held, RELATED, Settle, settled},
    related::Related,
    walk::{Walk, action},
};
use std::sync::Arc;

/// What judges packets: the real object, through `BPF_PROG_TEST_RUN`.
pub trait Judge {
    /// Judges one frame. `hook`, `ifindex` and `from_ifindex` are those of [`super::ports::Place`]; `now_ns` never goes
    /// backwards.
    ///
    /// # Errors
    /// When the frame could not be shown to the program; that says nothing about the frame.
    fn judge(&mut self, hook: u8, ifindex: u32, from_ifindex: u32, now_ns: u64, frame: &[u8]) -> anyhow::Result<Walk>;

    /// Forgets everything but the policy: between captures, which have nothing to do with one another.
    ///
    /// # Errors
    /// When a memory cannot be emptied.
    fn forget(&mut self) -> anyhow::Result<()>;

    /// Judges by another policy from now on.
    ///
    /// # Errors
    /// When it cannot be put in force.
    fn replace(&mut self, _image: &Image) -> anyhow::Result<()> {
        anyhow::bail!("there is one policy only")
    }

    /// The walk of what carried the packet that was judged last, if that was found in a tunnel.
    fn outer(&self) -> Option<Walk> {
        None
    }

    /// Takes a number for a packet that is held, and tells what an inspector is to know of it. `None`: nothing can be told.
    fn hold(&mut self, _walk: &Walk) -> Option<Held> {
        None
    }

    /// Who knows what a proxy may be asked for.
    fn targets(&self) -> Option<Arc<dyn Targets>> {
        None
    }

    /// Who makes flows known to the programs that others have announced. Starts with none.
    fn announcer(&self) -> Option<Announcer> {
        None
    }

    /// What another flow has announced about the flow of a packet.
    fn announced(&self, _walk: &Walk) -> Option<Related> {
        None
    }

    /// What [`dropgate_abi::hold::settled`] says.
    ///
    /// # Errors
    /// When nobody could be asked.
    fn settle(&mut self, _request: &Settle) -> anyhow::Result<u32> {
        Ok(settled::GONE)
    }

    /// Hands over what the programs have told since, as records of their ring.
    fn told(&mut self, _each: &mut dyn FnMut(&[u8])) {}

    /// The flows it remembers.
    fn flows(&self) -> Vec<Flow> {
        Vec::new()
    }
}

/// The least that `BPF_PROG_TEST_RUN` takes: an Ethernet header.
const SHORTEST: usize = 14;

/// From the initiator's side to the other one, where the initiator is inside.
const INSIDE_OUT: (Side, Option<Side>) = (Side::Zone(0), Some(Side::Outside));

/// How a replay decides who is inside, and what it believes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The side that starts each flow stands in the first zone, whatever its address.
    pub initiator_inside: bool,
    /// That zone's state is loose.
    pub loose: bool,
    /// TCP checksums say nothing: every one is made right.
    pub any_checksum: bool,
}

/// A replay in progress: one judge and one clock over any number of captures.
pub struct Replay<'a, J: Judge> {
    judge: &'a mut J,
    ports: &'a Ports,
    names: &'a Names,
    options: Options,
    rules: Option<Rules>,
    now_ns: u64,
    summary: Summary,
    events: Option<EventSink<'a>>,
    explaining: Option<u64>,
    explained: Option<Vec<Candidate>>,
    /// Reused from one packet to the next.
    watched: Watched,
}

/// Where the events go that a gateway would have written.
pub type EventSink<'a> = Box<dyn FnMut(&Event) + 'a>;

/// What the caller is told.
pub enum Shown<'s> {
    /// Of each packet its line and, if it was judged, its walk, with the clock that turns its time into that of the capture.
    Packet(&'s Line, Option<(&'s Walk, &'s Clock)>),
    /// Of each flow its line, when it ends.
    Flow(&'s FlowLine),
}

/// Where it is told.
pub type Sink<'s> = dyn FnMut(Shown<'_>) -> anyhow::Result<()> + 's;

impl<'a, J: Judge> Replay<'a, J> {
    /// A run that has seen nothing yet, and inspects nothing.
    pub fn new(judge: &'a mut J, ports: &'a Ports, names: &'a Names, options: Options) -> Self {
        let summary = Summary::default();
        let (explaining, explained) = (None, None);
        Self {
            judge,
            ports,
            names,
            options,
            rules: None,
            now_ns: START_NS,
            summary,
            events: None,
            explaining,
            explained,
            watched: Watched::default(),
        }
    }

    /// The same with an inspector.
    pub fn inspecting(self, rules: Option<&Rules>) -> Self {
        let targets = self.judge.targets();
        Self { rules: rules.map(|rules| Rules { targets, capture: true, ..rules.clone() }), ..self }
    }

    /// The same with somebody to tell events.
    pub fn telling(self, events: EventSink<'a>) -> Self {
        Self { events: Some(events), ..self }
    }

    /// The same, to tell what rules are asked about a packet of the capture, by its number.
    pub fn explaining(self, packet: u64) -> Self {
        Self { explaining: Some(packet), ..self }
    }

    /// Rules that were candidates for that packet, in the order in which they were asked; `None`: no rule was asked about it.
    pub fn explained(&self) -> Option<&[Candidate]> {
        self.explained.as_deref()
    }

    /// What the run has come to so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Counts a capture that could not even be opened.
    pub fn unreadable(&mut self) {
        self.summary.errors += 1;
    }

    /// Replays one capture, from an empty flow table on. Returns the fault at which the capture ended, if it did not end well.
    ///
    /// # Errors
    /// Those of the sink and of a judge that cannot forget, which end the run.
    pub fn capture(
        &mut self,
        file: Option<&str>,
        records: impl Iterator<Item = Result<Record, CaptureError>>,
        sink: &mut Sink<'_>,
    ) -> anyhow::Result<Option<CaptureError>> {
        self.judge.forget()?;
        self.now_ns = START_NS;
        // what was told before is not of this capture
        self.judge.told(&mut |_| {});
        let mut capture = OneCapture {
            placer: Placer::default(),
            sides: Sides::default(),
            clock: CaptureClock::new(self.now_ns),
            wall: None,
            shown: None,
            room: Vec::new(),
            lines: Lines::default(),
            inspector: Inspector::explaining(self.explaining),
            announcements: Announcements::new(self.judge.announcer(), self.options.initiator_inside),
            offload: if self.options.any_checksum { Offload::of_any() } else { Offload::default() },
            stand_ins: StandIns::default(),
            openings: Openings::default(),
            seen: Seen::default(),
            ended: Vec::new(),
        };
        let mut fault = None;
        for record in records {
            match record {
                Ok(Record::Packet(packet)) => self.packet(&packet, &mut capture),
                Ok(Record::Skipped(skipped)) => {
                    let detail = Some(skipped.reason.to_string());
                    let name = skipped.reason.name();
                    let line = Line::unjudged(skipped.number, skipped.timestamp_ns, "skip", name, detail);
                    capture.lines.push(line, None);
                }
                Err(error) => {
                    self.summary.errors += 1;
                    fault = Some(error);
                    break;
                }
            }
            self.summary.packets += 1;
            self.show(file, &mut capture, false, sink)?;
            self.listen(file, &mut capture, sink)?;
        }
        self.pass_time(&mut capture, true);
        self.explained = capture.inspector.explained.take();
        self.show(file, &mut capture, true, sink)?;
        for flow in self.judge.flows() {
            self.end(file, &flow, (self.now_ns, "shutdown"), &mut capture, sink)?;
        }
        Ok(fault)
    }

    /// Judges a packet and, if it is held, lets the inspector do so.
    fn packet(&mut self, packet: &Packet, capture: &mut OneCapture) {
        self.now_ns = capture.clock.at(packet.timestamp_ns);
        let clock = Clock::fixed(self.now_ns, packet.timestamp_ns).at_packet(packet.number);
        // a packet that was captured before the one shown last says nothing about the time of flows
        if capture.wall.is_none_or(|before| clock.wall_ns(0) >= before.wall_ns(0)) {
            capture.wall = Some(clock);
        }
        capture.shown = Some(clock);
        self.pass_time(capture, false);
        capture.seen.show(packet);
        let seen = peek(&packet.frame);
        let (from, to) = if self.options.initiator_inside {
            let sender = capture.sides.sender(&seen);
            if sender.first && !sender.inside && self.options.loose {
                self.open(&packet.frame, capture);
            }
            match sender.inside {
                true => INSIDE_OUT,
                false => (Side::Outside, Some(Side::Zone(0))),
            }
        } else {
            (capture.placer.from(self.ports, &seen, packet.synthetic), Placer::to(self.ports, &seen))
        };
        let OneCapture { lines, inspector, announcements, room, offload, stand_ins, seen: seen_flows, .. } = capture;
        let mut unjudged = |action, reason, detail| {
            let mut line = Line::unjudged(packet.number, packet.timestamp_ns, action, reason, detail);
            line.cut = packet.cut;
            lines.push(line, None);
        };
        let Some(place) = self.ports.place(from, to) else {
            let detail = "the policy names no outside interface by which this packet could come or go";
            return unjudged("skip", "no_port", Some(detail.to_owned()));
        };
        let frame = if self.options.initiator_inside {
            retagged(&packet.frame, &place, room)
        } else {
            tagged(&packet.frame, &seen, &place, room)
        };
        if frame.len() < SHORTEST {
            let detail =
                format!("{} bytes are no Ethernet header, and the kernel runs no program on them", frame.len());
            return unjudged("skip", "short_frame", Some(detail));
        }
        let inside = self.options.initiator_inside && from == Side::Zone(0);
        let other = self.options.initiator_inside.then(|| stand_ins.show(frame, &seen, inside)).flatten();
        let shown = other.as_deref().unwrap_or(frame);
        let mut walk = match self.judge.judge(place.hook, place.ifindex, place.from_ifindex, self.now_ns, shown) {
            Ok(walk) => walk,
            Err(error) => return unjudged("error", "not_judged", Some(format!("{error:#}"))),
        };
        let held = if walk.action == action::HOLD { self.judge.hold(&walk) } else { None };
        stand_ins.restore(&mut walk);
        if walk.flow_id != 0 {
            seen_flows.packet(&walk, self.now_ns, &packet.frame, self.options.initiator_inside);
        }
        let mut line = Line::judged(packet.number, packet.timestamp_ns, &walk, &place, self.names);
        line.cut = packet.cut;
        match (self.rules.as_ref(), held) {
            (Some(rules), Some(held)) => {
                // rules see the tags that it has in the capture, where the stages can read them
                let read = dropgate_xdp::read(&packet.frame).0;
                let tagged = self.options.initiator_inside && read.family != 0 && read.vlan[0] != 0;
                let whole = offload.complete(if tagged { &packet.frame } else { frame }, packet.cut);
                lines.hold(line, (walk, clock), held.flow, &whole);
                let (judge, names, now_ns) = (&mut *self.judge, self.names, self.now_ns);
                let events = self.events.as_mut();
                let seen = &*seen_flows;
                let mut outside =
                    Outside { judge, rules, announcements, lines, events, seen, names, clock: &clock, now_ns };
                inspector.take(&held, &whole, walk.port, &mut outside);
            }
            _ => lines.push(line, Some((walk, clock))),
        }
    }

    /// What has waited long enough leaves; `all`: everything that waits.
    fn pass_time(&mut self, capture: &mut OneCapture, all: bool) {
        let OneCapture { lines, inspector, announcements, seen, wall: Some(clock), .. } = capture else { return };
        let Some(rules) = self.rules.as_ref() else { return };
        let (judge, names, now_ns) = (&mut *self.judge, self.names, self.now_ns);
        let events = self.events.as_mut();
        let mut outside = Outside { judge, rules, announcements, lines, events, seen, names, clock, now_ns };
        inspector.pass_time(all, &mut outside);
    }

    /// Shows the lines that are ready.
    fn show(
        &mut self,
        file: Option<&str>,
        capture: &mut OneCapture,
        end: bool,
        sink: &mut Sink<'_>,
    ) -> anyhow::Result<()> {
        for mut entry in capture.lines.ready(end) {
            let judged = entry.judged.as_ref().map(|(walk, clock)| (walk, clock));
            self.summary.count(&entry.line, judged.map(|(walk, _)| walk));
            entry.line.file = file.map(str::to_owned);
            sink(Shown::Packet(&entry.line, judged))?;
        }
        Ok(())
    }

    /// Takes what the programs have told: events, and flows that have left the table.
    fn listen(&mut self, file: Option<&str>, capture: &mut OneCapture, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let Some(clock) = capture.shown else { return Ok(()) };
        let mut ended = std::mem::take(&mut capture.ended);
        let Self { judge, events, names, rules, watched, .. } = self;
        judge.told(&mut |record| match events::Record::read(record) {
            Some(events::Record::Ended(event)) => ended.push(event),
            Some(events::Record::Packet(mut event, frame)) => {
                if let Some(events) = &mut *events {
                    capture.stand_ins.restore(&mut event.walk);
                    let mut told = events::of_packet(&event, names, &clock);
                    if let Some(signatures) = rules.as_ref().and_then(|rules| rules.signatures.as_ref()) {
                        let packet = (&event.walk, &*frame);
                        told.extend(signatures::noticed(packet, (signatures, &mut *watched), names, &clock));
                    }
                    for mut event in told {
                        capture.seen.correct(&mut event, &clock);
                        events(&event);
                    }
                }
            }
            None => {}
        });
        for FlowEnd { now_ns, flow, .. } in ended {
            self.end(file, &flow, (now_ns, "forced"), capture, sink)?;
        }
        Ok(())
    }

    /// A flow has ended, at a time: `otherwise` than by its time-out.
    fn end(
        &mut self,
        file: Option<&str>,
        flow: &Flow,
        (now_ns, otherwise): (u64, &'static str),
        capture: &mut OneCapture,
        sink: &mut Sink<'_>,
    ) -> anyhow::Result<()> {
        let OneCapture { inspector, stand_ins, openings, announcements, lines, seen, wall: Some(clock), .. } = capture
        else {
            return Ok(());
        };
        let mut flow = *flow;
        openings.leave_out(&mut flow);
        stand_ins.restore_key(&mut flow.key);
        let (judge, names, events) = (&mut *self.judge, self.names, self.events.as_mut());
        let mut outside = self.rules.as_ref().map(|rules| Outside {
            judge,
            rules,
            announcements,
            lines,
            events,
            seen: &*seen,
            names,
            clock,
            now_ns,
        });
        let known = inspector.end(flow.id, outside.as_mut());
        if flow.spoken() == 0 {
            // no longer what it was announced as
            (flow.app, flow.hold) = (known.app, flow.hold & !RELATED);
        }
        if let Some(events) = &mut self.events {
            let mut event = events::ended(&flow, now_ns, (otherwise, &known.note), self.names, clock);
            seen.correct(&mut event, clock);
            events(&event);
        }
        seen.forget(flow.id);
        let mut line = FlowLine::new(&flow, now_ns, (self.names, clock), self.rules.as_ref(), known);
        line.file = file.map(str::to_owned);
        sink(Shown::Flow(&line))
    }
}

/// State of one capture.
struct OneCapture {
    placer: Placer,
    sides: Sides,
    clock: CaptureClock,
    /// The capture's time of day, as of its latest packet.
    wall: Option<Clock>,
    /// The same of its last packet alone, which may have been captured before others.
    shown: Option<Clock>,
    room: Vec<u8>,
    lines: Lines,
    inspector: Inspector,
    announcements: Announcements,
    offload: Offload,
    stand_ins: StandIns,
    openings: Openings,
    seen: Seen,
    /// Flows that made room for an opening.
    ended: Vec<FlowEnd>,
}
