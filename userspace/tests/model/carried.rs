//! Packets in tunnels, for generated sequences: answers in them, the same flows outside, headers with something wrong.

use super::{
    policy::Service,
    sequence::{Maker, Step, Talk},
    world,
};
use crate::packets::{self, ACK, Ip, SYN, icmp_of};

/// A tunnel under way.
#[derive(Clone, Debug)]
pub(super) struct Tunnel {
    /// What carries its packets. Of a session the source alone matters.
    talk: Talk,
    /// Whose lines let it through; empty: nobody's.
    who: String,
    session: bool,
    /// Of GRE.
    flags: u16,
    network: u32,
    /// Of frames inside; none: packets alone, where the carrier allows it.
    tags: Option<Vec<u16>>,
    /// Identification of fragments in it.
    id: u16,
    inner: Vec<Talk>,
}

fn carries(service: &Service) -> bool {
    service.protocol.iter().any(|protocol| [4, 41, 47].contains(protocol))
        || service.udp.iter().any(|(low, high)| (*low..=*high).contains(&4789))
}

impl<'p> Maker<'p> {
    /// Lines that let tunnels through: whose, and which.
    fn carriers(&self) -> Vec<(&'p str, &'p Service)> {
        self.lines().into_iter().filter(|(_, service)| carries(service)).collect()
    }

    /// Whether there is reason to send packets in tunnels.
    pub(super) fn has_tunnels(&self) -> bool {
        self.policy.pppoe == Some("judge") || !self.carriers().is_empty()
    }

    fn new_tunnel(&mut self) -> Tunnel {
        let carriers = self.carriers();
        let session = match self.policy.pppoe {
            Some("judge") => carriers.is_empty() || self.rng.percent(30),
            _ => self.rng.percent(5),
        };
        let lines = if session || carriers.is_empty() { self.lines() } else { carriers };
        let mut talk = self.talk();
        let mut who = "";
        if !lines.is_empty() {
            let line = self.rng.pick(&lines);
            if let Some(by_line) = (0..4).find_map(|_| self.by_line(line.0, line.1)) {
                (who, talk) = (line.0, by_line);
            }
        }
        if ![4, 41, 47].contains(&talk.protocol) {
            (talk.protocol, talk.sport, talk.dport) = (17, self.rng.pick(&[40_000, 4789]), 4789);
        }
        let id = 0x100 + self.tunnels.len() as u16;
        let bridged = talk.protocol == 17 || self.rng.percent(30);
        Tunnel {
            who: who.into(),
            session,
            flags: self.rng.pick(&[0, 0, 0x2000, 0x8000, 0x1000, 0xb000]),
            network: self.rng.pick(&[0, 7, 7, 8, 0x10_0000]),
            tags: bridged.then(|| self.rng.pick(&[vec![], vec![], vec![20], vec![20, 30]])),
            id,
            inner: Vec::new(),
            talk,
        }
    }

    /// Two parties in a tunnel: mostly such that the first one may be where the tunnel's packets come in.
    fn talk_inside(&mut self, tunnel: &Tunnel) -> Talk {
        let place = |talk: &Talk| world::seen_first(talk.src, talk.dst);
        let fits = |talk: &Talk| match tunnel.talk.protocol {
            4 if !tunnel.session => talk.src.is_ipv4(),
            41 if !tunnel.session => talk.src.is_ipv6(),
            _ => true,
        };
        let nested = self.rng.percent(10);
        let mut lines = self.lines();
        lines.retain(|(who, service)| *who == tunnel.who && carries(service) == nested);
        for _ in 0..if lines.is_empty() { 0 } else { 6 } {
            let (who, service) = self.rng.pick(&lines);
            if let Some(talk) =
                self.by_line(who, service).filter(|talk| fits(talk) && place(talk) == place(&tunnel.talk))
            {
                return talk;
            }
        }
        let mut talk = self.talk();
        for _ in 0..8 {
            if fits(&talk) && place(&talk) == place(&tunnel.talk) {
                break;
            }
            talk = self.talk();
        }
        talk
    }

    pub(super) fn tunnel(&mut self, out: &mut Vec<Step>) {
        if self.tunnels.is_empty() || self.rng.percent(15) {
            let tunnel = self.new_tunnel();
            self.tunnels.push(tunnel);
        }
        let which = self.rng.below(self.tunnels.len());
        let mut tunnel = self.tunnels[which].clone();
        let fresh = tunnel.inner.is_empty() || self.rng.percent(25);
        let mut inner = if fresh { self.talk_inside(&tunnel) } else { self.rng.pick(&tunnel.inner) };
        if !tunnel.inner.contains(&inner) {
            self.tunnels[which].inner.push(inner.clone());
            if self.rng.percent(30) {
                self.talks.push(inner.clone());
            }
        }
        let first = fresh || self.rng.percent(20);
        let back = !first && self.rng.percent(60);
        if back {
            (tunnel.talk, inner) = (tunnel.talk.back(), inner.back());
        }
        match self.rng.below(30) {
            0 => tunnel.talk = tunnel.talk.back(),
            1 => inner = inner.back(),
            2 => tunnel.network ^= 1,
            3 => inner.sport ^= 1,
            _ => {}
        }
        let other = self.flags();
        let flags = if first { SYN } else { self.rng.pick(&[SYN | ACK, ACK, other]) };
        let id = tunnel.id | (tunnel.network as u16 & 1) << 12;
        for packet in self.packets_inside(&inner, id, flags, back) {
            if tunnel.session {
                self.in_session(out, &tunnel, &inner, &packet);
            } else {
                self.in_packet(out, &tunnel, &inner, &packet);
            }
        }
    }

    fn in_packet(&mut self, out: &mut Vec<Step>, tunnel: &Tunnel, inner: &Talk, packet: &[u8]) {
        let payload = self.around(tunnel, inner, packet);
        let mut ip = self.ip(&tunnel.talk);
        if self.rng.percent(4) {
            ip = Ip::new(tunnel.talk.src, tunnel.talk.dst).fragment(self.rng.pick(&[0, 0, 24]), true, 9);
        }
        let before = out.len();
        self.send(out, &tunnel.talk, &ip, &payload);
        if self.rng.percent(15) {
            // what a receiver does not read
            let padding = vec![0x45; self.rng.pick(&[1, 8, 64])];
            out[before..].iter_mut().for_each(|step| step.frame.extend(&padding));
        }
    }

    /// A packet, or two fragments of one.
    fn packets_inside(&mut self, inner: &Talk, id: u16, flags: u8, back: bool) -> Vec<Vec<u8>> {
        let mut ip = self.ip(inner);
        let mut payload = self.payload(inner, flags, back);
        let plain = |talk: &Talk| Ip::new(talk.src, talk.dst);
        match self.rng.below(24) {
            0 | 1 => {
                // about the other direction
                let quoted = self.payload(&inner.back(), ACK, !back);
                let quoted = plain(&inner.back()).packet(inner.protocol, &quoted);
                let kind = if inner.src.is_ipv4() { 3 } else { 1 };
                return vec![plain(inner).packet(icmp_of(inner.src), &packets::icmp_error(kind, 0, &quoted))];
            }
            2 | 3 => {
                payload.resize(24, 0);
                let first = plain(inner).fragment(0, true, id).packet(inner.protocol, &payload);
                let later = plain(inner).fragment(24, self.rng.percent(50), id).packet(inner.protocol, &[0; 16]);
                return if self.rng.percent(30) { vec![later] } else { vec![first, later] };
            }
            4 => ip.length = Some(self.rng.below(90) as u16),
            _ => {}
        }
        let mut packet = ip.packet(inner.protocol, &payload);
        if self.rng.percent(4) {
            let at = self.rng.below(packet.len().min(48));
            packet[at] ^= 1 << self.rng.below(8);
        }
        vec![packet]
    }

    /// The tunnel's header around a packet, mostly in order.
    fn around(&mut self, tunnel: &Tunnel, inner: &Talk, packet: &[u8]) -> Vec<u8> {
        let fragment = match inner.src.is_ipv4() {
            true => packet[6..8] != [0, 0],
            false => packet[6] == 44,
        };
        let mut ethertype = if inner.src.is_ipv4() { packets::IPV4 } else { packets::IPV6 };
        let mut bytes = packet.to_vec();
        if self.rng.percent(3) {
            ethertype = self.rng.pick(&[0x0806, 0x88cc, 0x8847, 0x8864, packets::IPV4, packets::IPV6]);
        }
        if let Some(tags) = &tunnel.tags
            && [17, 47].contains(&tunnel.talk.protocol)
        {
            let tags = if self.rng.percent(3) { &vec![1, 2, 3] } else { tags };
            (bytes, ethertype) = (packets::ethernet(tags, ethertype, &bytes), 0x6558);
        }
        let mut header = Vec::new();
        match tunnel.talk.protocol {
            47 => {
                header.extend(tunnel.flags.to_be_bytes());
                header.extend(ethertype.to_be_bytes());
                if tunnel.flags & 0x8000 != 0 {
                    header.extend([0; 4]);
                }
                if tunnel.flags & 0x2000 != 0 {
                    header.extend(tunnel.network.to_be_bytes());
                }
                if tunnel.flags & 0x1000 != 0 {
                    header.extend([0, 0, 0, 9]);
                }
            }
            17 => header.extend([0x0800_0000u32.to_be_bytes(), (tunnel.network << 8).to_be_bytes()].concat()),
            _ => {}
        }
        if !header.is_empty() && self.rng.percent(8) {
            let at = self.rng.below(header.len());
            let bit = 1 << self.rng.below(8);
            // fragments of two tunnels are told apart by four bits of what tells the tunnels apart, and may meet by chance
            header[at] ^= if fragment { 0 } else { bit };
        }
        let mut bytes = [header, bytes].concat();
        if self.rng.percent(6) {
            bytes.truncate(self.rng.below(bytes.len() + 1));
        }
        match tunnel.talk.protocol {
            17 => packets::udp(tunnel.talk.sport, tunnel.talk.dport, &bytes),
            _ => bytes,
        }
    }

    /// A frame of a session, where its interface has it.
    fn in_session(&mut self, out: &mut Vec<Step>, tunnel: &Tunnel, inner: &Talk, packet: &[u8]) {
        let protocol = if inner.src.is_ipv4() { 0x0021u16 } else { 0x0057 };
        let protocol = if self.rng.percent(6) { self.rng.pick(&[0xc021, 0x8057, 0x80fd, 0x0021]) } else { protocol };
        let mut bytes = packets::session(protocol, packet);
        match self.rng.below(16) {
            0 => {
                let at = self.rng.below(6);
                bytes[at] ^= 1 << self.rng.below(8);
            }
            1 => bytes.truncate(self.rng.below(bytes.len() + 1)),
            2 => bytes.extend([0x45; 64]),
            3 => bytes[5] = bytes[5].wrapping_sub(9),
            _ => {}
        }
        let (mut at, mut tags) = self.seen_first(tunnel.talk.src, tunnel.talk.dst);
        if self.rng.percent(4) {
            at = super::At::ingress(self.rng.pick(&[11, 12, 21, 99]), 0);
        }
        if self.rng.percent(4) {
            tags = self.rng.pick(&[vec![], vec![20], vec![100, 10]]);
        }
        let later = self.later();
        out.push(Step { at, later, frame: packets::ethernet(&tags, 0x8864, &bytes) });
    }
}
