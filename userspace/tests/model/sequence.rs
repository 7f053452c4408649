//! Sequences of packets that are likely to meet each other's flows.

use std::net::IpAddr;

use super::{
    At, Hook,
    carried::Tunnel,
    policy::{Kind, Policy, Service, To},
    world::{self, PORTS, Rng},
};
use crate::packets::{self, ACK, Ext, FIN, Ip, PSH, RST, SYN, URG, icmp_of};

/// One packet, and how much later than the one before it comes (ns).
#[derive(Clone, Debug)]
pub struct Step {
    pub at: At,
    pub later: u64,
    pub frame: Vec<u8>,
}

/// Two parties that talk: the first one starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Talk {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub sport: u16,
    pub dport: u16,
}

impl Talk {
    pub(super) fn back(&self) -> Self {
        Self { src: self.dst, dst: self.src, protocol: self.protocol, sport: self.dport, dport: self.sport }
    }
}

pub struct Maker<'a> {
    pub rng: &'a mut Rng,
    pub policy: &'a Policy,
    calm: bool,
    pub(super) talks: Vec<Talk>,
    pub(super) tunnels: Vec<Tunnel>,
    /// Offset and identification of fragments under way.
    pub(super) fragments: Vec<(Talk, u16)>,
}

const MS: u64 = 1_000_000;

/// A sequence of some steps under a policy.
///
/// `calm`: nothing may expire. Where zones have caps, when an expired flow that nobody asks for makes room is not promised.
pub fn sequence(rng: &mut Rng, policy: &Policy, steps: usize, calm: bool) -> Vec<Step> {
    let mut maker = Maker { calm, rng, policy, talks: Vec::new(), tunnels: Vec::new(), fragments: Vec::new() };
    let mut out = Vec::new();
    while out.len() < steps {
        maker.step(&mut out);
    }
    out
}

/// A sequence of datagrams in pieces.
pub fn fragments(rng: &mut Rng, policy: &Policy, steps: usize, calm: bool) -> Vec<Step> {
    let mut maker = Maker { calm, rng, policy, talks: Vec::new(), tunnels: Vec::new(), fragments: Vec::new() };
    let mut out = Vec::new();
    while out.len() < steps {
        maker.datagram(&mut out);
    }
    out
}

impl<'p> Maker<'p> {
    pub(super) fn later(&mut self) -> u64 {
        if self.calm {
            return self.rng.below(3) as u64 * 100 * MS;
        }
        100 * MS
            * match self.rng.below(20) {
                0 => 1_000,
                1 => 300,
                2 | 3 => 110,
                4..=6 => 10 + self.rng.below(60) as u64,
                _ => self.rng.below(9) as u64,
            }
    }

    fn step(&mut self, out: &mut Vec<Step>) {
        if self.has_tunnels() && self.rng.percent(25) {
            return self.tunnel(out);
        }
        let fresh = self.talks.is_empty();
        match self.rng.below(100) {
            0..35 => self.start(out),
            35..65 if !fresh => self.go_on(out),
            65..72 if !fresh => self.error(out),
            72..78 => self.fragment(out),
            78..82 => self.datagram(out),
            82..93 => self.local(out),
            _ => self.odd(out),
        }
    }

    /// A packet at its first hook, and where the gateway masquerades sometimes at its last.
    pub(super) fn send(&mut self, out: &mut Vec<Step>, talk: &Talk, ip: &Ip, payload: &[u8]) {
        let (mut at, mut tags) = self.seen_first(talk.src, talk.dst);
        let home = tags.clone();
        if at.hook == Hook::Ingress && at.ifindex == 21 && self.rng.percent(10) {
            at.ifindex = 22;
        }
        if self.rng.percent(4) {
            at = At::ingress(self.rng.pick(&[11, 12, 21, 22, 99]), 0);
        }
        if self.rng.percent(3) {
            tags =
                self.rng.pick(&[vec![], vec![20], vec![0], vec![10, 100], vec![100, 10], vec![0x600a], vec![1, 2, 3]]);
        }
        let later = self.later();
        out.push(Step { at, later, frame: ip.frame(&tags, talk.protocol, payload) });
        let forwarded = world::seen_last(&at, &home, talk.dst);
        if let Some((at, tags)) = forwarded
            && (self.policy.kind == Kind::Masquerade || self.rng.percent(3))
            && self.rng.percent(50)
            // what a gateway forwards is whole: fragments were put together before translation
            && ip.fragment == (0, false)
            && !ip.ext.iter().any(|ext| matches!(ext, Ext::Fragment(..)))
        {
            out.push(Step { at, later: 0, frame: ip.frame(&tags, talk.protocol, payload) });
        }
        // a router beyond a bridge sends it to its own network, maybe by another pair
        if self.policy.kind == Kind::Bridge
            && let Some((lan, tags)) = world::home(talk.dst).filter(|(lan, _)| *lan < 21)
            && self.rng.percent(15)
        {
            let at = At::ingress(lan + 10, 0);
            out.push(Step { at, later: 0, frame: ip.frame(&tags, talk.protocol, payload) });
        }
    }

    /// Where a packet comes in first. What comes by a bridge has the tags that it leaves with.
    pub(super) fn seen_first(&mut self, src: IpAddr, dst: IpAddr) -> (At, Vec<u16>) {
        let (at, tags) = world::seen_first(src, dst);
        let beyond = (at.hook, at.ifindex) == (Hook::Ingress, 21) && self.policy.kind == Kind::Bridge;
        match world::home(dst).filter(|_| beyond && self.rng.percent(85)) {
            Some((lan, tags)) if lan < 21 => (At { ifindex: lan + 10, ..at }, tags),
            _ => (at, tags),
        }
    }

    pub(super) fn ip(&mut self, talk: &Talk) -> Ip {
        let mut ip = Ip::new(talk.src, talk.dst);
        if self.rng.percent(10) {
            if talk.src.is_ipv4() {
                ip.options = vec![1; self.rng.pick(&[4, 8, 40])];
            } else {
                let chains = [
                    vec![Ext::HopByHop(0)],
                    vec![Ext::Authentication, Ext::Destination(0)],
                    vec![Ext::Destination(1), Ext::Routing(4, 0), Ext::Destination(0)],
                    vec![Ext::Fragment(0, false, 7)],
                    vec![
                        Ext::HopByHop(1),
                        Ext::Destination(0),
                        Ext::Routing(2, 1),
                        Ext::Fragment(0, false, 7),
                        Ext::Destination(2),
                    ],
                ];
                ip.ext = self.rng.pick(&chains);
            }
        }
        ip
    }

    pub(super) fn payload(&mut self, talk: &Talk, flags: u8, reply: bool) -> Vec<u8> {
        let (sport, dport) = (talk.sport, talk.dport);
        match talk.protocol {
            6 => packets::tcp(sport, dport, flags, &[0; 8]),
            17 => packets::udp(sport, dport, &[0; 12]),
            132 => packets::sctp(sport, dport, &[0; 4]),
            1 if self.rng.percent(8) => packets::icmp(if reply { 14 } else { 13 }, 0, sport),
            1 => packets::icmp(if reply { 0 } else { 8 }, 0, sport),
            58 => packets::icmp(if reply { 129 } else { 128 }, 0, sport),
            _ => vec![0; 16],
        }
    }

    fn start(&mut self, out: &mut Vec<Step>) {
        let talk = self.talk();
        let flags = if self.rng.percent(80) { SYN } else { self.flags() };
        let ip = self.ip(&talk);
        let payload = self.payload(&talk, flags, false);
        self.send(out, &talk, &ip, &payload);
        self.talks.push(talk);
    }

    pub(super) fn flags(&mut self) -> u8 {
        let good = [SYN, SYN | ACK, ACK, ACK, ACK | PSH, FIN | ACK, FIN | ACK, RST, RST | ACK, SYN | URG];
        let bad = [0, 0x3f, SYN | FIN, SYN | RST, FIN, 0xc0, FIN | PSH | URG];
        if self.rng.percent(95) { self.rng.pick(&good) } else { self.rng.pick(&bad) }
    }

    /// More of a talk: an answer, a repetition, another flag, a near miss.
    fn go_on(&mut self, out: &mut Vec<Step>) {
        let mut talk = self.rng.pick(&self.talks);
        let back = self.rng.percent(60);
        if back {
            talk = talk.back();
        }
        match self.rng.below(25) {
            0 => talk.sport ^= 1,
            1 => talk.dport = self.rng.pick(&PORTS),
            _ => {}
        }
        let flags = match self.rng.below(3) {
            0 if back => SYN | ACK,
            0 => ACK,
            _ => self.flags(),
        };
        let ip = self.ip(&talk);
        let reply = if self.rng.percent(8) { !back } else { back };
        let payload = self.payload(&talk, flags, reply);
        self.send(out, &talk, &ip, &payload);
    }

    /// An ICMP error about some talk, from one who took part or a router.
    fn error(&mut self, out: &mut Vec<Step>) {
        let mut talk = self.rng.pick(&self.talks);
        if self.rng.percent(50) {
            talk = talk.back();
        }
        if self.rng.percent(10) {
            talk.dport ^= 1;
        }
        let v4 = talk.src.is_ipv4();
        let quoted_ip = self.ip(&talk);
        let payload = self.payload(&talk, ACK, false);
        let mut quoted = quoted_ip.packet(talk.protocol, &payload);
        if self.rng.percent(10) {
            quoted.truncate(self.rng.pick(&[0, 10, 19, 22, 39]));
        } else if self.rng.percent(20) && quoted_ip.ext.is_empty() {
            quoted.truncate(if v4 { 20 + quoted_ip.options.len() } else { 40 } + 8);
        }
        let router = match self.rng.below(3) {
            0 => talk.dst,
            1 => world::gateway_host(self.rng, v4),
            _ => world::outside_host(self.rng, v4),
        };
        let mut to = talk.src;
        if self.rng.percent(5) {
            to = world::outside_host(self.rng, v4);
        }
        let kind = if v4 { self.rng.pick(&[3, 11, 12]) } else { self.rng.pick(&[1, 2, 3, 4]) };
        let sent = Talk { src: router, dst: to, protocol: icmp_of(to), sport: 0, dport: 0 };
        self.send(out, &sent, &Ip::new(router, to), &packets::icmp_error(kind, 0, &quoted));
    }

    /// Two parties: mostly as a line of the policy would have them.
    pub(super) fn talk(&mut self) -> Talk {
        if !self.talks.is_empty() && self.rng.percent(15) {
            return self.rng.pick(&self.talks);
        }
        let lines = self.lines();
        if !self.policy.publish.is_empty() && self.rng.percent(25) {
            return self.published();
        }
        if lines.is_empty() || self.rng.percent(20) {
            return self.stray();
        }
        let (who, service) = self.rng.pick(&lines);
        self.by_line(who, service).unwrap_or_else(|| self.stray())
    }

    /// Whose lines there are, and the lines.
    pub(super) fn lines(&self) -> Vec<(&'p str, &'p Service)> {
        let policy = self.policy;
        let mut lines: Vec<(&str, &Service)> = Vec::new();
        for zone in &policy.zones {
            lines.extend(zone.egress.iter().map(|service| (zone.name.as_str(), service)));
        }
        lines.extend(policy.gateway_egress.iter().map(|service| ("self", service)));
        lines.extend(policy.outside_egress.iter().map(|service| ("outside", service)));
        lines
    }

    fn sport(&mut self) -> u16 {
        self.rng.pick(&[40_000, 40_000, 40_001, 50_000, 53])
    }

    /// Any host, mostly one of the policy's zones.
    pub(super) fn host(&mut self) -> IpAddr {
        let zone = self.rng.pick(&self.policy.zones).name;
        let v4 = self.rng.percent(60);
        match world::zone_host(self.rng, &zone, v4) {
            Some(host) if self.rng.percent(60) => host,
            _ => world::host(self.rng),
        }
    }

    fn stray(&mut self) -> Talk {
        let src = self.host();
        let v4 = src.is_ipv4();
        let dst = match self.rng.below(4) {
            0 => world::gateway_host(self.rng, v4),
            1 => world::outside_host(self.rng, v4),
            _ => std::iter::repeat_with(|| world::host(self.rng))
                .find(|dst| dst.is_ipv4() == v4 && *dst != src)
                .expect("the world has several"),
        };
        let protocol = self.rng.pick(&[6, 6, 17, 17, icmp_of(src), 132, 47, 1, 58, 59]);
        Talk { src, dst, protocol, sport: self.sport(), dport: self.rng.pick(&PORTS) }
    }

    fn published(&mut self) -> Talk {
        let line = self.rng.pick(&self.policy.publish);
        let src = std::iter::repeat_with(|| world::host(self.rng)).find(IpAddr::is_ipv4).expect("there are some");
        let dst = if self.rng.percent(60) { line.address } else { line.to };
        let dport = if dst == line.to { line.to_port.unwrap_or(line.ports[0].0) } else { line.ports[0].1 };
        Talk { src, dst, protocol: line.transport, sport: self.sport(), dport }
    }

    pub(super) fn by_line(&mut self, who: &str, service: &Service) -> Option<Talk> {
        let v4 = self.rng.percent(60);
        let src = match who {
            "self" => world::gateway_host(self.rng, v4),
            "outside" => world::outside_host(self.rng, v4),
            zone => world::zone_host(self.rng, zone, v4)?,
        };
        let dst = match self.rng.pick(&service.to) {
            To::Any => world::outside_host(self.rng, v4),
            To::Gateway => world::gateway_host(self.rng, v4),
            To::Zone(zone) => world::zone_host(self.rng, &zone, v4)?,
            To::Prefix(prefix) | To::ZonePrefix(_, prefix) => Some(prefix.address)
                .filter(|address| prefix.bits >= 32 && address.is_ipv4() == v4)
                .unwrap_or_else(|| world::outside_host(self.rng, v4)),
        };
        let kinds: Vec<(u8, &[(u16, u16)])> = [(6, &service.tcp), (17, &service.udp), (132, &service.sctp)]
            .into_iter()
            .filter(|(_, ranges)| !ranges.is_empty())
            .map(|(protocol, ranges)| (protocol, &ranges[..]))
            .collect();
        let (protocol, dport) = if kinds.is_empty() {
            let icmp = if service.icmp.is_empty() { service.protocol[0] } else { icmp_of(src) };
            (icmp, 0)
        } else {
            let (protocol, ranges) = self.rng.pick(&kinds);
            let (low, high) = self.rng.pick(ranges);
            let near = [low, high, low.saturating_sub(1).max(1), high.saturating_add(1), low.midpoint(high)];
            (protocol, self.rng.pick(&near))
        };
        (src != dst).then(|| Talk { src, dst, protocol, sport: self.sport(), dport })
    }
}
