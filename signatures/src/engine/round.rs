//! One packet's way through the rules: what is known of it, and what rules ask of packets and of what is remembered.

use std::sync::Arc;

use super::{
    Outcome, Ruleset,
    compile::{Compiled, Contents, is_spoken},
    explain::{self, Explained, Failed},
    flow::FlowState,
    packet::Headers,
    shared::Shared,
    transform,
    verify::{Answer, Budget, Ending, Hay, Verified, verify},
};
use crate::{
    protocol::App,
    rule::{Arrow, BitScope, Condition, Effect, Protocol, Selected, Target},
    subject::{Direction, Flow, Subject},
};

/// Steps of verification that all rules together may take for one packet.
const PACKET_STEPS: u32 = 400_000;

/// Working memory of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Goes up with every packet; what carries another number is of an earlier one.
    pub(super) epoch: u64,
    /// Of each rule: the epoch in which it became a candidate, and of what.
    pub(super) marks: Vec<(u64, u8)>,
    pub(super) candidates: Vec<u32>,
    /// Of each set of addresses: the epoch, and whether the source and the destination are in it.
    addresses: Vec<(u64, [Option<bool>; 2])>,
    pub(super) variables: Vec<u64>,
    pub(super) matches: Vec<Match>,
    pub(super) limited: Vec<u32>,
    /// What groups of expressions hold that the rule which is asked now names.
    pub(super) captured: Vec<(Arc<str>, Box<[u8]>)>,
    /// The same of rules that have matched, as far as it is about the packet.
    pub(super) packet_variables: Vec<(Arc<str>, Box<[u8]>)>,
    /// Of each selector and direction: the epoch and its place among the fields that were asked for.
    pub(super) slots: Vec<(u64, u32)>,
    pub(super) trace: Option<Vec<Explained>>,
    /// Of the condition that was verified last and did not hold, how far any of its instances came.
    pub(super) furthest: Option<u16>,
}

/// A rule has matched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Match {
    pub rule: u32,
    pub transaction: Option<u64>,
    /// It is of the other direction than the packet.
    pub back: bool,
    pub in_stream: bool,
}

/// One packet, and all that is known with it.
pub(super) struct Round<'a> {
    pub ruleset: &'a Ruleset,
    pub subject: &'a Subject<'a>,
    pub headers: Headers<'a>,
    pub direction: Direction,
    /// That is the other one than the packet's.
    back: bool,
    pub flow: &'a mut FlowState,
    pub shared: &'a Shared,
    pub scratch: &'a mut Scratch,
    pub budget: Budget,
    /// The epoch in which the packet came.
    packet_epoch: u64,
}

impl<'a> Round<'a> {
    pub fn new(
        ruleset: &'a Ruleset,
        subject: &'a Subject<'a>,
        flow: &'a mut FlowState,
        shared: &'a Shared,
        scratch: &'a mut Scratch,
        out: &mut Outcome,
    ) -> Self {
        out.alerts.clear();
        out.limited.clear();
        out.captured.clear();
        out.dropped_by = None;
        out.verdict = super::Verdict::Continue;
        flow.adopt(ruleset.id);
        flow.protocol = subject.packet.protocol;
        scratch.epoch += 1;
        scratch.matches.clear();
        scratch.limited.clear();
        scratch.captured.clear();
        scratch.packet_variables.clear();
        scratch.candidates.clear();
        scratch.marks.resize(ruleset.index.compiled.len(), (0, 0));
        scratch.addresses.resize(ruleset.index.addresses.len(), (0, [None; 2]));
        scratch.slots.resize(ruleset.index.fields.selectors.len() * 2, (0, 0));
        let (headers, direction) = (Headers::new(subject.packet), subject.packet.direction);
        let (packet_epoch, budget) = (scratch.epoch, Budget::new(PACKET_STEPS));
        Self { ruleset, subject, headers, direction, back: false, flow, shared, scratch, budget, packet_epoch }
    }

    /// What is asked from here on is asked of the other direction.
    pub fn turn(&mut self, subject: &'a Subject<'a>) {
        self.scratch.epoch += 1;
        self.packet_epoch = self.scratch.epoch;
        (self.subject, self.headers) = (subject, Headers::new(subject.packet));
        (self.direction, self.back) = (subject.packet.direction, !self.back);
    }

    /// A rule, prepared.
    pub fn compiled(&self, rule: u32) -> &'a Compiled {
        &self.ruleset.index.compiled[rule as usize]
    }

    /// Says that a rule was a candidate and did not match, to whoever asked for it.
    pub fn failed(&mut self, rule: u32, transaction: Option<u64>, failed: Failed) -> bool {
        if let Some(trace) = &mut self.scratch.trace {
            let check = explain::check(&self.ruleset.index.compiled[rule as usize].rule, failed, self.scratch.furthest);
            trace.push(Explained { rule, transaction, failed: Some(failed), check });
        }
        false
    }

    /// Whether what stands in front of the options holds, and `flow`.
    pub fn header(&mut self, number: u32, app: App) -> Result<(), Failed> {
        let compiled = self.compiled(number);
        let (rule, packet) = (&compiled.rule, &self.subject.packet);
        let protocol = match rule.header.protocol {
            Protocol::Ip | Protocol::PacketHeader | Protocol::App(_) => true,
            Protocol::Ipv4 => packet.source.is_ipv4(),
            Protocol::Ipv6 => packet.source.is_ipv6(),
            Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream => packet.protocol == 6,
            Protocol::Udp => packet.protocol == 17,
            Protocol::Icmp => matches!(packet.protocol, 1 | 58),
            Protocol::Icmpv4 => packet.protocol == 1,
            Protocol::Icmpv6 => packet.protocol == 58,
            Protocol::Sctp => packet.protocol == 132,
            Protocol::Igmp => packet.protocol == 2,
            Protocol::Number(protocol) => packet.protocol == protocol,
        };
        if !protocol {
            return Err(Failed::Protocol);
        }
        if !is_spoken(&rule.apps, app) {
            return Err(Failed::App);
        }
        let keyword = &rule.flow;
        let one_way = keyword.to_server != keyword.to_client;
        let flow = self.subject.flow.as_ref();
        let fragment = keyword.only_fragments || keyword.no_fragments;
        if !compiled.directions[self.direction as usize]
            || one_way && flow.is_none()
            || keyword.established && !flow.is_some_and(|flow| flow.established)
            || keyword.not_established && flow.is_some_and(|flow| flow.established)
            || fragment && self.headers.is_fragment() != keyword.only_fragments
        {
            return Err(Failed::Flow);
        }
        let to_client = self.direction == Direction::ToClient;
        let (forth, back) = match rule.header.arrow {
            Arrow::To => (true, false),
            Arrow::Both => (true, true),
            Arrow::Transaction => (!to_client, to_client),
        };
        if compiled.ports && !(forth && self.ports(compiled, false) || back && self.ports(compiled, true)) {
            return Err(Failed::Ports);
        }
        if forth && self.hosts(compiled, false) || back && self.hosts(compiled, true) {
            return Ok(());
        }
        Err(Failed::Addresses)
    }

    fn ports(&self, compiled: &Compiled, back: bool) -> bool {
        use super::address::has_port;
        let packet = &self.subject.packet;
        if self.headers.is_fragment() {
            return false;
        }
        if !matches!(packet.protocol, 6 | 17 | 132) {
            return true;
        }
        let header = &compiled.rule.header;
        let (source, destination) = (packet.source_port, packet.destination_port);
        let (source, destination) = if back { (destination, source) } else { (source, destination) };
        has_port(&header.source_ports, source) && has_port(&header.destination_ports, destination)
    }

    fn hosts(&mut self, compiled: &Compiled, back: bool) -> bool {
        let (source, destination) = if back { (1, 0) } else { (0, 1) };
        self.is_in(compiled.source, source) && self.is_in(compiled.destination, destination)
    }

    /// Whether one end of the packet is in a set. It is looked up once for a packet.
    fn is_in(&mut self, set: Option<u32>, end: usize) -> bool {
        let Some(set) = set else { return true };
        let (epoch, known) = &mut self.scratch.addresses[set as usize];
        if *epoch != self.packet_epoch {
            (*epoch, *known) = (self.packet_epoch, [None; 2]);
        }
        let address = if end == 0 { self.subject.packet.source } else { self.subject.packet.destination };
        *known[end].get_or_insert_with(|| self.ruleset.index.addresses.contains(set, address))
    }

    /// Whether all conditions about packets and about what is remembered hold.
    pub fn tests(&mut self, number: u32, transaction_bits: Option<&[u64]>) -> Result<(), Failed> {
        let compiled = self.compiled(number);
        for at in &compiled.tests {
            if !self.test(&compiled.rule.conditions[usize::from(*at)], transaction_bits) {
                return Err(Failed::Condition(*at));
            }
        }
        Ok(())
    }

    fn test(&mut self, condition: &Condition, transaction_bits: Option<&[u64]>) -> bool {
        let packet = &self.subject.packet;
        let now_ns = self.subject.now_ns;
        match condition {
            Condition::Packet(test) => !packet.network.is_empty() && self.headers.holds(test, self.subject),
            Condition::App(app, negated) => {
                speaks(self.subject.flow.map_or(App::Unknown, |flow| flow.app), *app) == Some(!negated)
            }
            Condition::AppBy(end, app, negated) => {
                let end = end.unwrap_or(packet.direction);
                // of an end that has said nothing yet it is not known
                let silent =
                    |flow: &Flow| packet.protocol == 6 && end != packet.direction && flow.said[end as usize] == 0;
                let flow = self.subject.flow.filter(|flow| !silent(flow));
                speaks(flow.map_or(App::Unknown, |flow| flow.spoken_by(end)), *app) == Some(!negated)
            }
            Condition::OriginalApp(app, negated) => {
                let original = self.subject.flow.and_then(|flow| flow.original_app);
                original.is_some_and(|spoken| is_spoken(std::slice::from_ref(app), spoken) != *negated)
            }
            Condition::Event(event) => packet.events.iter().any(|of| **of == **event),
            Condition::Flowbits(flowbits) => self.subject.flow.is_some() && self.flow.flowbits(flowbits),
            Condition::Flowint(flowint) => self.subject.flow.is_some() && self.flow.flowint(flowint),
            Condition::Xbits(bits) | Condition::Hostbits(bits) if bits.scope == BitScope::Transaction => {
                let is_set =
                    transaction_bits.is_some_and(|held| held.contains(&super::variables::name_hash(&bits.name)));
                is_set == (bits.action == crate::rule::BitAction::IsSet)
            }
            Condition::Xbits(bits) | Condition::Hostbits(bits) => {
                self.shared.bits(bits, packet.source, packet.destination, now_ns)
            }
            _ => true,
        }
    }

    /// Whether what is looked for in payloads and headers is there. `stream` is what was said on it. What was not there is named
    /// by its index, with what may be known of why.
    pub fn contents(&mut self, number: u32, stream: Option<Hay<'_>>) -> Result<(), (usize, Verified)> {
        let compiled = self.compiled(number);
        self.scratch.variables.clear();
        self.scratch.captured.clear();
        for (at, contents) in compiled.contents.iter().enumerate() {
            self.scratch.furthest = None;
            let verified = self.content(number, contents, stream);
            if verified.answer != Answer::Holds {
                return Err((at, verified));
            }
        }
        Ok(())
    }

    fn content(&mut self, number: u32, contents: &Contents, stream: Option<Hay<'_>>) -> Verified {
        const NEVER: Verified = Verified { answer: Answer::Never, missing: None, furthest: 0 };
        let packet = &self.subject.packet;
        let octets;
        let hay = match &contents.selected {
            Selected::Payload => match stream {
                Some(hay) => hay,
                None => Hay::whole(self.headers.payload),
            },
            Selected::PacketHeader(keyword) => match self.headers.header(keyword) {
                Some(bytes) => Hay::whole(bytes),
                None => return NEVER,
            },
            Selected::Address(end) => {
                let address = if *end == Target::Source { packet.source } else { packet.destination };
                octets = match address {
                    std::net::IpAddr::V4(address) => address.octets().to_vec(),
                    std::net::IpAddr::V6(address) => address.octets().to_vec(),
                };
                Hay::whole(&octets)
            }
            Selected::Base64 | Selected::Buffer(_) => return NEVER,
        };
        if contents.transforms.is_empty() {
            return self.verify(number, &contents.steps, hay);
        }
        let bytes = transform::apply(&contents.transforms, hay.bytes);
        self.verify(number, &contents.steps, Hay { bytes: &bytes, base: 0, ending: Ending::Whole })
    }

    /// Asks whether steps hold, and notes if that took too much work.
    pub fn verify(&mut self, number: u32, steps: &super::verify::Steps, hay: Hay<'_>) -> Verified {
        let verified = verify(steps, hay, &mut self.scratch.variables, &mut self.budget, self.shared);
        if verified.answer == Answer::Holds {
            let captured = steps.captured(hay.bytes).into_iter();
            self.scratch.captured.extend(captured.map(|(name, bytes)| (name, bytes.into())));
        }
        self.scratch.furthest = self.scratch.furthest.max(Some(verified.furthest));
        if std::mem::take(&mut self.budget.limited) {
            self.scratch.limited.push(number);
        }
        verified
    }

    /// A rule has matched: what it does is done at once, so that those behind it see it.
    pub fn matched(&mut self, number: u32, transaction: Option<u64>, in_stream: bool) {
        if let Some(trace) = &mut self.scratch.trace {
            trace.push(Explained { rule: number, transaction, failed: None, check: None });
        }
        let packet = &self.subject.packet;
        for effect in &self.compiled(number).rule.effects {
            match effect {
                Effect::Flowbits(flowbits) => {
                    self.flow.flowbits(flowbits);
                }
                Effect::Flowint(flowint) => {
                    self.flow.flowint(flowint);
                }
                Effect::Xbits(bits) | Effect::Hostbits(bits) if bits.scope == BitScope::Transaction => {
                    let of = self.flow.transactions.iter_mut().find(|of| Some(of.id) == transaction);
                    if let Some(of) = of {
                        super::variables::change(&mut of.bits, super::variables::name_hash(&bits.name), bits.action);
                    }
                }
                Effect::Xbits(bits) | Effect::Hostbits(bits) => {
                    self.shared.bits(bits, packet.source, packet.destination, self.subject.now_ns);
                }
                Effect::Bypass | Effect::Tag => {}
            }
        }
        for (name, bytes) in self.scratch.captured.drain(..) {
            match name.split_once(':') {
                Some(("flow", name)) if self.subject.flow.is_some() => self.flow.variables.capture(name, &bytes),
                Some(("pkt", name)) => self.scratch.packet_variables.push((name.into(), bytes)),
                _ => {}
            }
        }
        let back = self.back;
        self.scratch.matches.push(Match { rule: number, transaction, back, in_stream });
    }
}

/// Whether what is spoken is what is asked for; `None`: it is not known yet, and neither it nor another one.
fn speaks(spoken: App, asked: App) -> Option<bool> {
    match asked {
        App::Unknown => Some(spoken == App::Unknown),
        _ => (spoken != App::Unknown).then(|| is_spoken(&[asked], spoken)),
    }
}
