//! The stages from anomaly to state.

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use super::{
    At, Model, Verdict,
    allow::Start,
    decode::{self, Packet},
    flows::{Direction, Flow, Party, Place, Tcp},
};

/// Classes of traffic that have rules of their own, by number.
fn neighbour_discovery(packet: &Packet) -> Option<u8> {
    packet.icmp_type.filter(|kind| packet.protocol == 58 && (133..=137).contains(kind))
}

fn is_icmp_error(packet: &Packet) -> bool {
    match packet.icmp_type {
        Some(kind) if packet.protocol == 1 => [3, 4, 11, 12].contains(&kind),
        // RFC 4443, 2.1: the high bit is clear in errors
        Some(kind) => packet.protocol == 58 && kind < 128,
        None => false,
    }
}

impl Model {
    /// Everything wrong with a packet, none of it first.
    pub(super) fn anomalies(&self, packet: &Packet) -> Vec<Reason> {
        let mut found = Vec::new();
        let mut note = |wrong: bool, reason| {
            if wrong {
                found.push(reason);
            }
        };
        if let Some(flags) = packet.tcp_flags {
            let (fin, syn, rst, ack) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0, flags & 16 != 0);
            note(flags == 0, Reason::tcp_flags_none);
            note(flags == 0x3f, Reason::tcp_flags_all);
            note(syn && fin, Reason::tcp_syn_fin);
            note(syn && rst, Reason::tcp_syn_rst);
            note(fin && !ack, Reason::tcp_fin_without_ack);
        }
        let has_ports = [6, 17, 132].contains(&packet.protocol) && !packet.later_fragment() && !packet.tiny;
        note(has_ports && (packet.sport == 0 || packet.dport == 0), Reason::port_zero);
        note(packet.src == packet.dst, Reason::land);
        note(packet.src.is_multicast(), Reason::source_multicast);
        note(is_limited_broadcast(packet.src), Reason::source_broadcast);
        note(packet.src.is_loopback(), Reason::source_loopback);
        note(packet.dst.is_loopback(), Reason::destination_loopback);
        // RFC 3376, 4.2.13: a host may join groups before it has an address
        let asks_for_an_address = (packet.protocol == 2 && packet.src.is_ipv4())
            || (packet.protocol == 17 && (packet.sport, packet.dport) == (68, 67))
            || (packet.protocol == 58
                && packet.icmp_type.is_some_and(|kind| [131, 132, 133, 135, 143].contains(&kind)));
        note(packet.src.is_unspecified() && !asks_for_an_address, Reason::source_unspecified);
        note(packet.dst.is_unspecified(), Reason::destination_unspecified);
        found
    }

    /// A decision about a fragment; none for whole packets and for first fragments that are judged by their ports.
    pub(super) fn fragment(&mut self, at: At, place: Place, packet: &Packet) -> Option<Verdict> {
        let fragment = packet.fragment.as_ref()?;
        let wrong = Self::wrong_fragment(packet, fragment);
        if let Some(first) = wrong.first() {
            return Some(Verdict::drop(*first).or(&wrong));
        }
        if self.translated(at) && matches!(place, Place::Forwarded(_)) {
            // Decided: the kernel has taken apart again what was judged whole.
            return (fragment.offset > 0).then(|| Verdict::pass(Reason::translated));
        }
        self.fragment_by_policy(at, packet)
    }

    /// The decision about a packet of a known flow, or an ICMP error.
    pub(super) fn flow(&mut self, at: At, place: Place, translated: bool, packet: &Packet) -> Option<Verdict> {
        if is_icmp_error(packet) {
            return Some(self.icmp_error(at, translated, packet));
        }
        let (index, direction) = self.find(at.now, translated, packet)?;
        let starts = packet.tcp_flags.is_some_and(starts);
        if starts && self.flows[index].over() {
            return None;
        }
        self.judge_again(index);
        let fits = self.fits(&self.flows[index], direction, place, packet);
        let times = self.policy.timeouts.clone();
        let flow = &self.flows[index];
        // what is recorded of a translation is judged on its other side
        let carried = match flow.ledger || flow.service.is_none() {
            true => Ok(false),
            false => self.tunnelled((&flow.party, flow.service.as_deref()), flow.server.1, packet),
        };
        let flow = &mut self.flows[index];
        let zone = flow.party.name();
        let mut verdict = if flow.revoked {
            let verdict = Verdict::drop(Reason::flow_revoked);
            if fits { verdict } else { verdict.or(&[Reason::wrong_side]) }
        } else if !fits {
            Verdict::drop(Reason::wrong_side)
        } else {
            match carried {
                Err(reason) => Verdict { service: flow.service.clone(), ..Verdict::drop(reason) },
                Ok(inside) => {
                    flow.update(direction, packet, &times, at.now);
                    Verdict { service: flow.service.clone(), inside, ..Verdict::pass(Reason::flow) }
                }
            }
        };
        verdict.zone = zone;
        Some(verdict)
    }

    fn find(&self, now: u64, translated: bool, packet: &Packet) -> Option<(usize, Direction)> {
        self.flows
            .iter()
            .enumerate()
            .filter(|(_, flow)| !flow.expired(now))
            .find_map(|(index, flow)| Some((index, flow.direction(packet, translated)?)))
    }

    /// An ICMP error passes if it is about a packet of a known flow, whoever sends it.
    fn icmp_error(&mut self, at: At, translated: bool, packet: &Packet) -> Verdict {
        let body = packet.transport.get(8..).unwrap_or_default();
        let Some(quoted) = decode::quoted(body, packet.src.is_ipv4()) else {
            return Verdict::drop(Reason::icmp_error_malformed).or(&[Reason::icmp_error_unrelated]);
        };
        let (carried, realm, link) = (packet.carried, packet.realm.clone(), packet.link);
        let quoted = Packet { carried, realm, link, ..quoted };
        if quoted.later_fragment() {
            return Verdict::drop(Reason::icmp_error_unrelated).or(&[Reason::icmp_error_malformed]);
        }
        // what a cut quotation says can be told as either
        let unrelated = Verdict::drop(Reason::icmp_error_unrelated).or(&[Reason::icmp_error_malformed]);
        // Decided: it must go to whoever sent the quoted packet. Anything else is an answer to nobody.
        if quoted.src != packet.dst {
            return unrelated;
        }
        let Some((index, _)) = self.find(at.now, translated, &quoted) else { return unrelated };
        self.judge_again(index);
        if self.flows[index].revoked {
            return unrelated.or(&[Reason::flow_revoked]);
        }
        let error = Start {
            src: packet.src,
            dst: packet.dst,
            protocol: packet.protocol,
            dport: 0,
            icmp_type: packet.icmp_type,
        };
        // "dropped, whatever else is allowed"
        match self.blocked(&error) {
            Some(reason) => Verdict::drop(reason).or(&[Reason::blocked_destination]),
            None => Verdict {
                service: self.flows[index].service.clone(),
                zone: self.flows[index].party.name(),
                ..Verdict::pass(Reason::icmp_error)
            },
        }
    }

    /// A flow of an older generation is judged by this one, from its initiator's side.
    fn judge_again(&mut self, index: usize) {
        let flow = &self.flows[index];
        if flow.generation == self.generation {
            return;
        }
        if flow.ledger {
            self.flows[index].generation = self.generation;
            return;
        }
        let start = Start {
            src: flow.client.0,
            dst: flow.server.0,
            protocol: flow.protocol,
            dport: flow.server.1,
            icmp_type: flow.query.map(|(kind, _)| kind).or(flow.message),
        };
        let party = self.source(flow.came_in, start.src).ok();
        let service = party.clone().and_then(|party| match self.blocked(&start) {
            Some(_) => None,
            None => self.allowed(&party, &start),
        });
        let peer = self.peer(start.dst);
        let generation = self.generation;
        let flow = &mut self.flows[index];
        flow.generation = generation;
        flow.revoked = service.is_none();
        if let (Some(party), Some(_)) = (party, &service) {
            (flow.party, flow.peer) = (party, peer);
            flow.service = service;
        }
    }

    /// To the server by where the client is; to the client by where its peer lives.
    ///
    /// What leaves was looked at where it came in, and the gateway does not forge its own packets.
    fn fits(&self, flow: &Flow, direction: Direction, place: Place, packet: &Packet) -> bool {
        let Place::Port(ifindex, tags) = place else { return true };
        // Decided: a loose zone's packets may take any path.
        if flow.loose {
            return true;
        }
        if self.bridges() {
            return self.fits_bridge(flow, direction, place, packet);
        }
        if flow.ledger {
            // whatever was sent out there: a zone's addresses are forged on the outside
            let answers = direction == Direction::ToClient && self.is_outside(ifindex);
            return answers && self.source(place, packet.src).is_ok();
        }
        match (direction, &flow.peer) {
            (Direction::ToServer, _) => flow.came_in == place,
            (_, Party::Zone(name)) => self.zones_at(ifindex, tags).iter().any(|zone| &zone.name == name),
            (_, Party::Outside) => self.is_outside(ifindex) && tags == [0, 0],
            _ => false,
        }
    }

    /// What leaves translated: its replies are let in.
    pub(super) fn record(&mut self, at: At, place: Place, packet: &Packet) -> Verdict {
        let mut flow = self.new_flow(true, place, Party::Published, None, packet);
        flow.ledger = true;
        self.add(flow, packet, at.now);
        Verdict::pass(Reason::translated)
    }

    pub(super) fn new_flow(
        &self,
        translated: bool,
        place: Place,
        party: Party,
        service: Option<String>,
        packet: &Packet,
    ) -> Flow {
        Flow {
            translated,
            realm: packet.realm.clone(),
            link: packet.link,
            protocol: packet.protocol,
            query: packet.query,
            message: packet.icmp_type.filter(|_| packet.query.is_none()),
            client: (packet.src, packet.sport),
            server: (packet.dst, packet.dport),
            generation: self.generation,
            came_in: place,
            loose: matches!(&party, Party::Zone(name) if self.zone_named(name).is_some_and(|zone| zone.loose)),
            party,
            peer: self.peer(packet.dst),
            service,
            state: Tcp::Established,
            fins: [false; 2],
            replied: false,
            revoked: false,
            ledger: false,
            last_seen: 0,
            timeout: 0,
        }
    }

    /// Puts a flow into the table with its first packet, in place of what had its tuple.
    pub(super) fn add(&mut self, mut flow: Flow, packet: &Packet, now: u64) {
        self.flows.retain(|other| other.direction(packet, flow.translated).is_none());
        if packet.tcp_flags.is_some_and(starts) {
            flow.state = Tcp::SynSent;
        }
        flow.replied = flow.client != (packet.src, packet.sport);
        flow.last_seen = now;
        flow.timeout = flow.idle_ms(&self.policy.timeouts) * 1_000_000;
        self.flows.push(flow);
    }

    pub(super) fn zone(&self, _at: At, place: Place, packet: &Packet) -> Result<Party, Reason> {
        self.source(place, packet.src)
    }
}

/// Whether a segment with these flags starts a connection.
pub fn starts(flags: u8) -> bool {
    flags & 0b1_0111 == 0b10
}

pub fn is_limited_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}
