//! From a packet to what rules say of it.

use super::{
    FlowState, Outcome, Ruleset, Scratch, Shared, Verdict, Wants,
    compile::{Index, bit},
    explain::Failed,
    groups::Carrier,
    matcher::{PACKET, STREAM, Scanned},
    outcome,
    round::Round,
    stream::Window,
};
use crate::{
    protocol::App,
    subject::{Direction, Flow, Subject},
};

const UDP: u8 = 17;

impl Ruleset {
    /// Shows it a packet and what that has brought. Alerts come in the order in which rules are asked.
    pub fn inspect(
        &self,
        subject: &Subject<'_>,
        flow: &mut FlowState,
        shared: &Shared,
        scratch: &mut Scratch,
        out: &mut Outcome,
    ) {
        let back = Subject { packet: subject.packet.reversed(), stream: None, ..*subject };
        let mut round = Round::new(self, subject, flow, shared, scratch, out);
        if round.flow.verdict != Verdict::Continue {
            out.verdict = round.flow.verdict;
            return;
        }
        if self.index.compiled.is_empty() {
            return;
        }
        round.packet();
        round.transactions();
        round.last_words(&back);
        outcome::conclude(&mut round, out);
    }
}

impl Round<'_> {
    /// Rules about the packet and about the stream.
    fn packet(&mut self) {
        let direction = self.direction as usize;
        let app = self.subject.flow.map_or(App::Unknown, |flow| flow.app);
        if !self.subject.packet.network.is_empty() || self.subject.packet.cut {
            self.events();
            if self.subject.flow.is_none() || !std::mem::replace(&mut self.flow.addresses_asked[direction], true) {
                let (ruleset, packet) = (self.ruleset, &self.subject.packet);
                let rules = ruleset.index.only_addresses[direction].about(packet.source, packet.destination);
                rules.for_each(|rule| self.candidate(rule, PACKET));
            }
            if !self.is_said() {
                self.payload(Carrier::of_packet(self.subject.packet.protocol));
            }
        }
        let said = self.subject.flow.map_or(App::Unknown, |flow| flow.spoken_by(self.direction));
        // what one end speaks is asked once it has said something
        let packet = &self.subject.packet;
        let earlier = packet.network.is_empty() && self.subject.flow.is_some_and(|flow| flow.said[direction] > 0);
        let speaks = !packet.payload.is_empty() || earlier;
        if speaks && said != App::Unknown && self.flow.apps_asked[direction] != Some(said) {
            self.flow.apps_asked[direction] = Some(said);
            if self.subject.flow.is_some_and(|flow| flow.original_app.is_some()) {
                // what it became shows once, and not from each end
                self.flow.apps_asked = [Some(said); 2];
            }
            let rules = &self.ruleset.index.spoken[direction];
            rules.iter().for_each(|rule| self.candidate(*rule, PACKET));
        }
        let window = self.stream();
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        candidates.sort_unstable();
        if self.subject.packet.cut {
            let ported = self.subject.packet.source_port != 0;
            candidates.retain(|rule| {
                let rule = self.compiled(*rule);
                rule.without_bytes && (ported || !rule.ports)
            });
        }
        for rule in &candidates {
            self.ask(*rule, app, window.as_ref());
        }
        self.scratch.candidates = candidates;
    }

    /// Makes a rule a candidate.
    pub fn candidate(&mut self, rule: u32, of: u8) {
        let mark = &mut self.scratch.marks[rule as usize];
        if mark.0 != self.scratch.epoch {
            *mark = (self.scratch.epoch, 0);
            self.scratch.candidates.push(rule);
        }
        mark.1 |= of;
    }

    /// Rules about what was noticed.
    fn events(&mut self) {
        for event in self.subject.packet.events {
            let rules = self.ruleset.index.events.get(*event);
            rules.into_iter().flatten().for_each(|rule| self.candidate(*rule, PACKET));
        }
    }

    /// Rules of the packet's groups.
    fn payload(&mut self, carrier: Carrier) {
        let (ruleset, packet) = (self.ruleset, &self.subject.packet);
        let table = &ruleset.index.tables[carrier as usize][self.direction as usize];
        for group in table.groups(packet.source_port, packet.destination_port) {
            let group = &ruleset.index.groups[group as usize];
            group.always.iter().for_each(|rule| self.candidate(*rule, PACKET));
            let Some(matcher) = group.matcher.as_ref().filter(|_| !self.headers.payload.is_empty()) else { continue };
            matcher.scan(self.headers.payload, 0, 0, Scanned::Packet, |rule, _, _| self.candidate(rule, PACKET));
        }
    }

    /// What parsers make of a datagram that matches a rule about its protocol is what it matched.
    fn said_with(&self, rule: u32) -> Option<u64> {
        let datagram = self.subject.packet.protocol == UDP && !self.compiled(rule).rule.apps.is_empty();
        let mut said = self.subject.transactions.iter().rev().filter(|_| datagram);
        said.find(|of| of.revision(self.direction) > 0).map(|of| of.id())
    }

    /// Asks a candidate.
    fn ask(&mut self, rule: u32, app: App, window: Option<&Window>) {
        let of = self.scratch.marks[rule as usize].1;
        if let Err(failed) = self.header(rule, app) {
            self.failed(rule, None, failed);
            return;
        }
        if of & STREAM != 0
            && let Some(window) = window
            && self.ask_stream(rule, window)
        {
            return;
        }
        if of & PACKET != 0 {
            let compiled = self.compiled(rule);
            let holds = self.tests(rule, None).and_then(|()| {
                let of = |(at, _): (usize, _)| Failed::Condition(compiled.contents[at].condition);
                self.contents(rule, None).map_err(of)
            });
            match holds {
                Ok(()) => self.matched(rule, self.said_with(rule), false),
                Err(failed) => {
                    self.failed(rule, None, failed);
                }
            }
        }
    }
}

impl Index {
    /// See [`Ruleset::wants`].
    pub(super) fn wants(&self, flow: &Flow, direction: usize, ports: (u16, u16), state: &FlowState) -> Wants {
        let groups = |carrier: Carrier| {
            let table = &self.tables[carrier as usize][direction];
            table.groups(ports.0, ports.1).map(|group| &self.groups[group as usize])
        };
        if self.compiled.is_empty() {
            return Wants::default();
        }
        let first = !state.addresses_asked[direction] && !self.only_addresses[direction].is_empty();
        let spoken = !self.spoken[direction].is_empty()
            && state.apps_asked[direction] != Some(flow.spoken_by(Direction::BOTH[direction]));
        // what is not known yet may be anything
        let spoken_bit = if flow.app == App::Unknown || !flow.established { u64::MAX } else { bit(flow.app) };
        let begun = flow.established;
        let carriers = match state.protocol {
            // nothing was shown yet
            0 => &Carrier::ALL[1..],
            protocol => &[Carrier::of_packet(protocol)][..],
        };
        let packets = carriers.iter().copied().any(|carrier| {
            groups(carrier).any(|group| {
                // what is asked of streams is asked of datagrams as they come
                let apps = if carrier == Carrier::TcpPacket { group.packets } else { group.packets | group.streams };
                !begun || apps & spoken_bit != 0
            })
        });
        let stream = groups(Carrier::TcpStream).any(|group| group.streams & spoken_bit != 0);
        let stream = stream.then_some(super::LOOK_BACK);
        let transactions = self.fields.of(flow.app, direction);
        let transactions = transactions.is_some_and(|of| !of.is_empty());
        Wants {
            packets: packets || first || spoken,
            stream,
            transactions: transactions || matches!(flow.app, App::Unknown) && self.transactions,
        }
    }
}
