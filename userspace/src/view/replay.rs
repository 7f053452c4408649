//! A capture through the datapath, packet by packet, with the capture's own clock.

use super::{
    peek::peek,
    ports::{Place, Placer, Ports, Side, retagged, tagged},
    sides::Sides,
    text::{self, endpoint, protocol},
};
use crate::{
    capture::{CaptureError, Packet, Record},
    events::{self, Clock, Names, eve::Event},
};
use dropgate_abi::{
    flow::Flow,
    reason::{Kind, Reason},
    walk::{Walk, action, hook},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What judges packets: the real object, through `BPF_PROG_TEST_RUN`.
pub trait Judge {
    /// Judges one frame. `hook`, `ifindex` and `from_ifindex` are those of [`Place`]; `now_ns` never goes backwards.
    ///
    /// # Errors
    /// When the frame could not be shown to the program; that says nothing about the frame.
    fn judge(&mut self, hook: u8, ifindex: u32, from_ifindex: u32, now_ns: u64, frame: &[u8]) -> anyhow::Result<Walk>;

    /// Forgets everything but the policy: between captures, which have nothing to do with one another.
    ///
    /// # Errors
    /// When a memory cannot be emptied.
    fn forget(&mut self) -> anyhow::Result<()>;

    /// Hands over what the programs have told since, as records of their ring.
    fn told(&mut self, _each: &mut dyn FnMut(&[u8])) {}

    /// The flows it remembers.
    fn flows(&self) -> Vec<Flow> {
        Vec::new()
    }
}

/// Monotonic time of the first packet: late enough that nothing underflows.
pub const START_NS: u64 = 1_000_000_000_000;
/// Longest step of the clock: longer than any flow lives, and short of the wrap of the flow table's own clock.
pub const GAP_NS: u64 = 8 * 86_400 * 1_000_000_000;

/// The least that `BPF_PROG_TEST_RUN` takes: an Ethernet header.
const SHORTEST: usize = 14;

/// How a replay decides who is inside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The side that starts each flow stands in the first zone, whatever its address.
    pub initiator_inside: bool,
}

/// A verdict, or why there is none. One JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Name of the capture, when a run has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Number of the packet in its capture, from 1.
    pub frame: u64,
    /// Time of capture.
    pub time: String,
    /// `pass`, `drop`; `skip` for what cannot become a frame, `error` when the program could not be asked.
    pub action: &'static str,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    pub zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    pub service: Option<String>,
    /// Line of the policy file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    pub flow: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<String>,
    /// Of a frame whose IP header was not read: it is no IP packet, or the reason says what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ethertype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<&'static str>,
    /// The snap length cut this packet; what was cut is zeros.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// More about a skip or an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Summary {
    pub packets: u64,
    pub passed: u64,
    pub dropped: u64,
    pub skipped: u64,
    /// Packets that could not be judged, and captures that could not be read to their end.
    pub errors: u64,
    /// Passes without a reason that explains them: each one is a defect.
    pub unexplained: u64,
    /// Packets by reason, skips included.
    pub reasons: BTreeMap<String, u64>,
}

/// A replay in progress: one judge and one clock over any number of captures.
pub struct Replay<'a, J: Judge> {
    judge: &'a mut J,
    ports: &'a Ports,
    names: &'a Names,
    options: Options,
    now_ns: u64,
    summary: Summary,
    events: Option<EventSink<'a>>,
}

/// Where the events go that a gateway would have written.
pub type EventSink<'a> = Box<dyn FnMut(&Event) + 'a>;

/// What the caller is told for each packet: the line, and the walk if the packet was judged, with the clock that turns
/// its time into that of the capture.
pub type Sink<'s> = dyn FnMut(&Line, Option<(&Walk, &Clock)>) -> anyhow::Result<()> + 's;

impl<'a, J: Judge> Replay<'a, J> {
    /// A run that has seen nothing yet.
    pub fn new(judge: &'a mut J, ports: &'a Ports, names: &'a Names, options: Options) -> Self {
        Self { judge, ports, names, options, now_ns: START_NS, summary: Summary::default(), events: None }
    }

    /// The same with somebody to tell events.
    pub fn telling(self, events: EventSink<'a>) -> Self {
        Self { events: Some(events), ..self }
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
            room: Vec::new(),
        };
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.summary.errors += 1;
                    self.end_flows(&capture);
                    return Ok(Some(error));
                }
            };
            self.summary.packets += 1;
            let (mut line, judged) = match &record {
                Record::Skipped(skipped) => {
                    let detail = Some(skipped.reason.to_string());
                    (Line::unjudged(skipped.number, skipped.timestamp_ns, "skip", skipped.reason.name(), detail), None)
                }
                Record::Packet(packet) => self.packet(packet, &mut capture),
            };
            if let (Some(events), Some((_, clock))) = (&mut self.events, &judged) {
                // a packet that was captured before the one shown last says nothing about the time of flows
                if capture.wall.is_none_or(|before| clock.wall_ns(0) >= before.wall_ns(0)) {
                    capture.wall = Some(*clock);
                }
                self.judge.told(&mut |record| events::record(record, self.names, clock).iter().for_each(&mut *events));
            }
            self.count(&line, judged.as_ref().map(|(walk, _)| walk));
            line.file = file.map(str::to_owned);
            sink(&line, judged.as_ref().map(|(walk, clock)| (walk, clock)))?;
        }
        self.end_flows(&capture);
        Ok(None)
    }

    /// Tells of every flow that the capture's end has found in the table.
    fn end_flows(&mut self, capture: &OneCapture) {
        let (Some(events), Some(clock)) = (&mut self.events, &capture.wall) else { return };
        for flow in self.judge.flows() {
            events(&events::ended(&flow, self.now_ns, "shutdown", self.names, clock));
        }
    }

    fn packet(&mut self, packet: &Packet, capture: &mut OneCapture) -> (Line, Option<(Walk, Clock)>) {
        self.now_ns = capture.clock.at(packet.timestamp_ns);
        let seen = peek(&packet.frame);
        let (from, to) = if self.options.initiator_inside {
            let inside = Side::Zone(0);
            match capture.sides.sender_inside(&seen) {
                true => (inside, Some(Side::Outside)),
                false => (Side::Outside, Some(inside)),
            }
        } else {
            (capture.placer.from(self.ports, &seen, packet.synthetic), Placer::to(self.ports, &seen))
        };
        let unjudged = |action, reason, detail| {
            let mut line = Line::unjudged(packet.number, packet.timestamp_ns, action, reason, detail);
            line.cut = packet.cut;
            (line, None)
        };
        let Some(place) = self.ports.place(from, to) else {
            let detail = "the policy names no outside interface by which this packet could come or go";
            return unjudged("skip", "no_port", Some(detail.to_owned()));
        };
        let frame = if self.options.initiator_inside {
            retagged(&packet.frame, &place, &mut capture.room)
        } else {
            tagged(&packet.frame, &seen, &place, &mut capture.room)
        };
        if frame.len() < SHORTEST {
            let detail =
                format!("{} bytes are no Ethernet header, and the kernel runs no program on them", frame.len());
            return unjudged("skip", "short_frame", Some(detail));
        }
        match self.judge.judge(place.hook, place.ifindex, place.from_ifindex, self.now_ns, frame) {
            Ok(walk) => {
                let mut line = Line::judged(packet.number, packet.timestamp_ns, &walk, &place, self.names);
                line.cut = packet.cut;
                (line, Some((walk, Clock::fixed(self.now_ns, packet.timestamp_ns))))
            }
            Err(error) => unjudged("error", "not_judged", Some(format!("{error:#}"))),
        }
    }

    fn count(&mut self, line: &Line, walk: Option<&Walk>) {
        *self.summary.reasons.entry(line.reason.clone()).or_default() += 1;
        *match line.action {
            "pass" => &mut self.summary.passed,
            "drop" => &mut self.summary.dropped,
            "skip" => &mut self.summary.skipped,
            _ => &mut self.summary.errors,
        } += 1;
        if walk.is_some_and(unexplained) {
            self.summary.unexplained += 1;
        }
    }
}

/// State of one capture.
struct OneCapture {
    placer: Placer,
    sides: Sides,
    clock: CaptureClock,
    /// The capture's time of day, as of its last packet.
    wall: Option<Clock>,
    room: Vec<u8>,
}

/// A capture's clock, made monotonic: it starts where the run stands, never goes backwards, and never jumps further than
/// [`GAP_NS`], after which everything has expired anyway (the flow table's own clock wraps after 52 days).
struct CaptureClock {
    now_ns: u64,
    last: Option<u64>,
}

impl CaptureClock {
    fn new(start_ns: u64) -> Self {
        Self { now_ns: start_ns, last: None }
    }

    fn at(&mut self, timestamp_ns: u64) -> u64 {
        let last = *self.last.get_or_insert(timestamp_ns);
        self.now_ns = self.now_ns.saturating_add(timestamp_ns.saturating_sub(last).min(GAP_NS));
        self.last = Some(last.max(timestamp_ns));
        self.now_ns
    }
}

/// Whether a verdict lacks what explains it: a pass for a reason that is none, a pass by a service without its line, a
/// verdict that is neither pass nor drop, or the reason of last resort.
pub fn unexplained(walk: &Walk) -> bool {
    let Some(info) = walk.reason.info() else {
        return true;
    };
    if walk.reason == Reason::internal || !matches!(walk.action, action::PASS | action::DROP | action::HOLD) {
        return true;
    }
    match info.kind {
        Kind::Drop | Kind::AnomalyDrop => walk.action == action::PASS,
        Kind::Pass => walk.action == action::DROP || walk.reason == Reason::allowed && walk.line == 0,
        Kind::Anomaly | Kind::Error => false,
    }
}

impl Line {
    fn unjudged(frame: u64, timestamp_ns: u64, action: &'static str, reason: &str, detail: Option<String>) -> Self {
        Self {
            file: None,
            frame,
            time: crate::events::format_time(timestamp_ns.into()),
            action,
            reason: reason.to_owned(),
            stage: None,
            zone: None,
            peer: None,
            service: None,
            line: None,
            flow: None,
            direction: None,
            src: None,
            sport: None,
            dst: None,
            dport: None,
            proto: None,
            ethertype: None,
            interface: None,
            hook: None,
            cut: false,
            detail,
        }
    }

    fn judged(frame: u64, timestamp_ns: u64, walk: &Walk, place: &Place, names: &Names) -> Self {
        let known = walk.family != 0;
        let ports = known && walk.l4 != 0 && matches!(walk.protocol, 6 | 17 | 132);
        let service = names.service(walk.service);
        Self {
            stage: walk.reason.info().map(|info| info.stage.name()),
            zone: names.zone(walk.zone),
            peer: names.zone(walk.peer),
            service: service.map(|service| service.name.clone()),
            line: (walk.line != 0).then_some(walk.line).or_else(|| service.map(|service| service.line)),
            flow: (walk.flow_id != 0).then_some(walk.flow_id),
            direction: (walk.flow_id != 0).then_some(if walk.direction == 0 { "to_server" } else { "to_client" }),
            src: known.then(|| text::address(walk.family, walk.src)),
            sport: ports.then_some(walk.sport),
            dst: known.then(|| text::address(walk.family, walk.dst)),
            dport: ports.then_some(walk.dport),
            proto: known.then(|| protocol(walk.protocol)),
            ethertype: (!known && walk.ethertype != 0).then(|| text::ethertype(walk.ethertype)),
            interface: names.interface(place.ifindex),
            hook: Some(if place.hook == hook::EGRESS { "egress" } else { "ingress" }),
            ..Self::unjudged(frame, timestamp_ns, verdict(walk), walk.reason.name(), None)
        }
    }

    /// For people: one aligned line.
    pub fn human(&self) -> String {
        let family = if self.src.as_deref().is_some_and(|src| src.contains(':')) { 6 } else { 4 };
        let end = |address: &Option<String>, port: Option<u16>| match (address, port) {
            (Some(address), Some(port)) if family == 6 => format!("[{address}]:{port}"),
            (Some(address), Some(port)) => format!("{address}:{port}"),
            (Some(address), None) => address.clone(),
            (None, _) => "-".to_owned(),
        };
        let tuple = match (&self.proto, self.detail.as_ref().or(self.ethertype.as_ref())) {
            (Some(proto), _) => format!("{proto} {} -> {}", end(&self.src, self.sport), end(&self.dst, self.dport)),
            (None, Some(known)) => known.clone(),
            (None, None) => "-".to_owned(),
        };
        let place = match (&self.zone, &self.peer) {
            (Some(zone), Some(peer)) => format!("  {zone} -> {peer}"),
            (Some(zone), None) => format!("  {zone}"),
            _ => String::new(),
        };
        let service = match (&self.service, self.line) {
            (Some(name), Some(line)) => format!("  `{name}` line {line}"),
            (Some(name), None) => format!("  `{name}`"),
            (None, Some(line)) => format!("  line {line}"),
            (None, None) => String::new(),
        };
        let cut = if self.cut { "  (cut)" } else { "" };
        format!("{:>7}  {:<5} {:<24} {tuple}{place}{service}{cut}", self.frame, self.action, self.reason)
    }
}

/// `pass`, `drop`, or `error` for an action that is neither.
pub fn verdict(walk: &Walk) -> &'static str {
    match walk.action {
        action::PASS => "pass",
        action::DROP => "drop",
        // every packet that is held is released, so far
        action::HOLD => "pass",
        _ => "error",
    }
}

/// Source and destination of a walk, for people.
pub fn ends(walk: &Walk) -> (String, String) {
    let ports = walk.l4 != 0 && matches!(walk.protocol, 6 | 17 | 132);
    (
        endpoint(walk.family, walk.src, ports.then_some(walk.sport)),
        endpoint(walk.family, walk.dst, ports.then_some(walk.dport)),
    )
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let mut table = text::Table::new(&["reason", ">packets"]);
        for (reason, count) in reasons {
            table.row([reason.clone(), count.to_string()]);
        }
        write!(
            f,
            "{} packets: {} passed, {} dropped, {} skipped, {} errors, {} unexplained\n\n{table}",
            self.packets, self.passed, self.dropped, self.skipped, self.errors, self.unexplained
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_backwards_nor_jumps_over_weeks() {
        let mut clock = CaptureClock::new(START_NS);
        assert_eq!(clock.at(500), START_NS);
        assert_eq!(clock.at(700), START_NS + 200);
        assert_eq!(clock.at(600), START_NS + 200);
        assert_eq!(clock.at(800), START_NS + 300);
        assert_eq!(clock.at(u64::MAX), START_NS + 300 + GAP_NS);
        assert_eq!(clock.at(0), START_NS + 300 + GAP_NS);
    }

    #[test]
    fn a_pass_must_explain_itself() {
        let pass = |reason, line| Walk { action: action::PASS, reason, line, ..Walk::default() };
        assert!(!unexplained(&pass(Reason::allowed, 3)));
        assert!(!unexplained(&pass(Reason::arp, 0)));
        assert!(unexplained(&pass(Reason::allowed, 0)));
        assert!(unexplained(&pass(Reason::not_allowed, 0)));
        assert!(unexplained(&pass(Reason::internal, 0)));
        assert!(unexplained(&pass(Reason(9999), 0)));
        assert!(unexplained(&Walk { reason: Reason::land, ..Walk::default() }));
        assert!(!unexplained(&Walk { action: action::DROP, reason: Reason::land, ..Walk::default() }));
    }
}
