//! Packets that are not the usual conversation: fragments, what a link carries besides, frames with something wrong.

use std::net::IpAddr;

use super::{
    At, Hook,
    policy::Kind,
    sequence::{Maker, Step},
    world,
};
use crate::packets::{self, Ext, Ip, SYN, ip};

impl Maker<'_> {
    pub(super) fn fragment(&mut self, out: &mut Vec<Step>) {
        if !self.fragments.is_empty() && self.rng.percent(60) {
            let (talk, id) = self.rng.pick(&self.fragments);
            let id = if self.rng.percent(10) { id ^ 1 } else { id };
            let offset = self.rng.pick(&[24, 24, 24, 8, 16, 1480]);
            let more = self.rng.percent(30);
            let length = if self.rng.percent(10) { 13 } else { 16 };
            let ip = Ip::new(talk.src, talk.dst).fragment(offset, more, id);
            return self.send(out, &talk, &ip, &vec![0; length]);
        }
        let talk = self.talk();
        let id = self.rng.below(4) as u16;
        let mut payload = self.payload(&talk, SYN, false);
        payload.resize(24, 0);
        match self.rng.below(20) {
            0 => payload.truncate(8),
            1 => payload.truncate(16),
            2 => payload.truncate(19),
            _ => {}
        }
        let ip = Ip::new(talk.src, talk.dst).fragment(0, true, id);
        self.send(out, &talk, &ip, &payload);
        if self.rng.percent(60) {
            let ip = Ip::new(talk.src, talk.dst).fragment(24, self.rng.percent(50), id);
            self.send(out, &talk, &ip, &[0; 16]);
        }
        self.fragments.push((talk, id));
    }

    /// A small datagram in pieces, and what goes wrong with one: lost, repeated, out of order, over another one, without an end
    /// or with two.
    pub(super) fn datagram(&mut self, out: &mut Vec<Step>) {
        let talk = match self.fragments.first() {
            Some((talk, _)) if self.rng.percent(70) => talk.clone(),
            _ => self.talk(),
        };
        let id = self.rng.below(3) as u16;
        let mut payload = self.payload(&talk, SYN, false);
        payload.resize(24, 0);
        let mut parts = vec![(0, 24, true)];
        for _ in 0..self.rng.below(4) {
            let (_, from, _) = parts[parts.len() - 1];
            parts.push((from, from + 8 * (1 + self.rng.below(3)), true));
        }
        let (_, from, _) = parts[parts.len() - 1];
        parts.push((from, from + 1 + self.rng.below(20), false));
        for _ in 0..self.rng.below(3) {
            let at = self.rng.below(parts.len());
            let (from, to, more) = parts[at];
            match self.rng.below(7) {
                0 => {
                    parts.remove(at);
                }
                1 => parts.push((from, to, more)),
                2 => {
                    let other = self.rng.below(parts.len());
                    parts.swap(at, other);
                }
                3 => parts.insert(at, (from.saturating_sub(8), to, more)),
                4 => parts.push((from, to + 8, more)),
                5 => parts.insert(at + 1, (from + 8, to.max(from + 8) + 8, self.rng.percent(70))),
                _ => parts.insert(at, (from, to, !more)),
            }
            if parts.is_empty() {
                return;
            }
        }
        for (from, to, more) in parts {
            let ip = Ip::new(talk.src, talk.dst).fragment(from as u16, more, id);
            let bytes =
                if from == 0 { payload.iter().copied().chain([0; 64]).take(to).collect() } else { vec![0; to - from] };
            self.send(out, &talk, &ip, &bytes);
        }
        self.fragments.push((talk, id));
    }

    /// What a link carries besides: ARP, neighbour discovery, DHCP, chatter, other ethertypes.
    pub(super) fn local(&mut self, out: &mut Vec<Step>) {
        let host = self.host();
        let (mut at, tags) = world::seen_first(host, host);
        if self.policy.kind == Kind::Bridge && at.hook == Hook::Ingress && at.ifindex < 21 && self.rng.percent(40) {
            // the other side of its pair
            at.ifindex += 10;
        }
        let v6 = |text: &str| match ip(text) {
            IpAddr::V6(address) => address,
            IpAddr::V4(_) => unreachable!(),
        };
        let link = self.rng.pick(&["fe80::5", "fd10::5", "fd40::5", "2001:db8:1::7"]);
        let code = if self.rng.percent(92) { 0 } else { 1 };
        let nd = |ttl: u8, dst: &str, mut message: Vec<u8>| {
            message[1] = code;
            Ip::from(link, dst).ttl(ttl).frame(&tags, 58, &message)
        };
        let ttl = if self.rng.percent(90) { 255 } else { 254 };
        let frame = match self.rng.below(12) {
            0 | 1 => {
                let IpAddr::V4(sender) = self.rng.pick(&[ip("10.10.0.5"), ip("10.20.0.5")]) else { unreachable!() };
                let gateway = "10.10.0.1".parse().expect("an address");
                if self.rng.percent(40) {
                    at = At::egress(at.ifindex, 0, 0);
                    packets::ethernet(&tags, packets::ARP, &packets::arp(1, gateway, sender))
                } else {
                    let operation = self.rng.pick(&[1, 2, 2, 2, 3]);
                    packets::ethernet(&tags, packets::ARP, &packets::arp(operation, sender, gateway))
                }
            }
            2 => packets::ethernet(&tags, self.rng.pick(&[0x88cc, 0x8847, 0x9100, 0x0026]), &[0; 46]),
            3 if self.rng.percent(50) => {
                at = At::egress(at.ifindex, 0, 0);
                nd(255, "ff02::1:ff00:5", packets::neighbour(135, v6("fd10::5")))
            }
            3 => nd(ttl, "fd10::1", packets::neighbour(135, v6("fd10::1"))),
            4 => nd(ttl, "fd10::1", packets::neighbour(136, v6(self.rng.pick(&["fd10::5", "fe80::5"])))),
            5 => nd(ttl, "ff02::2", packets::router(self.rng.pick(&[133, 134, 137]))),
            6 => nd(1, "ff02::16", packets::listener(self.rng.pick(&[130, 131, 132, 143]))),
            7 if self.rng.percent(30) => {
                Ip::from("198.51.100.7", "255.255.255.255").frame(&tags, 17, &packets::udp(67, 68, &[0; 24]))
            }
            7 => Ip::from("0.0.0.0", "255.255.255.255").frame(&tags, 17, &packets::udp(68, 67, &[0; 24])),
            8 => Ip::from("fe80::5", "ff02::1:2").frame(&tags, 17, &packets::udp(546, 547, &[0; 24])),
            _ if host.is_ipv4() => {
                let (dst, port) = self.rng.pick(&[
                    ("224.0.0.251", 5353),
                    ("239.255.255.250", 1900),
                    ("224.0.0.252", 5355),
                    ("255.255.255.255", 9999),
                    ("10.10.0.255", 137),
                    ("224.0.0.1", 0),
                ]);
                let ip = Ip::new(host, ip(dst));
                if port == 0 {
                    ip.frame(&tags, 2, &[0x11; 8])
                } else {
                    ip.frame(&tags, 17, &packets::udp(40_000, port, &[0; 8]))
                }
            }
            _ => Ip::new(host, ip("ff02::fb")).frame(&tags, 17, &packets::udp(5353, 5353, &[0; 8])),
        };
        let later = self.later();
        out.push(Step { at, later, frame });
    }

    /// A frame with something wrong with it.
    pub(super) fn odd(&mut self, out: &mut Vec<Step>) {
        let mut talk = self.talk();
        let v4 = talk.src.is_ipv4();
        let (at, tags) = self.seen_first(talk.src, talk.dst);
        let other = if v4 {
            self.rng.pick(&[
                "0.0.0.0",
                "127.0.0.1",
                "224.0.0.9",
                "255.255.255.255",
                "10.10.0.255",
                "10.10.0.1",
                "10.20.0.5",
                "9.9.9.9",
            ])
        } else {
            self.rng.pick(&["::", "::1", "ff02::9", "fd10::1", "fd20::5", "2001:db8:9::9"])
        };
        let mut lengths = None;
        match self.rng.below(6) {
            0 | 1 => talk.src = ip(other),
            2 => talk.dst = ip(other),
            3 => lengths = Some(self.rng.below(90) as u16).filter(|_| self.rng.percent(50)),
            4 => (talk.sport, talk.dport) = self.rng.pick(&[(0, talk.dport), (talk.sport, 0)]),
            _ => talk.dst = talk.src,
        }
        let flags = self.flags();
        let payload = self.payload(&talk, flags, false);
        let mut ip = self.ip(&talk);
        ip.length = lengths;
        if !v4 && lengths.is_none() && self.rng.percent(30) {
            let links = [
                Ext::HopByHop(0),
                Ext::Destination(0),
                Ext::Routing(4, 0),
                Ext::Routing(0, 0),
                Ext::Fragment(0, false, 7),
                Ext::Authentication,
            ];
            ip.ext = (0..self.rng.below(9)).map(|_| self.rng.pick(&links)).collect();
        }
        let mut frame = ip.frame(&tags, talk.protocol, &payload);
        let start = 14 + 4 * tags.len();
        match self.rng.below(4) {
            0 => {
                // the kernel runs egress programs on whole IP headers only
                let least = if at.hook == Hook::Egress { start + 40 } else { 15 };
                let cut = start + self.rng.below(frame.len() - start + 1);
                frame.truncate(cut.max(least));
            }
            1 => {
                // a bit of the IP or transport header
                let at = start + self.rng.below((frame.len() - start).min(48));
                frame[at] ^= 1 << self.rng.below(8);
            }
            _ => {}
        }
        let later = self.later();
        out.push(Step { at, later, frame });
    }
}
