//! Who started each flow, for captures whose addresses lie in no zone.
//!
//! The side that starts a flow is taken to be inside. A SYN says it plainly; a SYN+ACK or an echo reply says that the
//! other side did. In mid-stream a well-known port tells the server; failing that, whoever is seen first is the initiator.
//! A tuple is only used again, from either end, once its flow has ended: the other SYN of a simultaneous open or of a
//! split handshake does not change who started.

use super::peek::{Icmp, Peek};
use std::{collections::HashMap, net::IpAddr};

/// Flows remembered at most; beyond it the table starts anew.
const FLOWS_MAX: usize = 1 << 20;
/// Ports below it belong to servers.
const WELL_KNOWN: u16 = 1024;

type Endpoint = (IpAddr, u16);

/// Who started a flow.
#[derive(Clone, Copy, Debug)]
struct Started {
    by: Endpoint,
    /// A FIN or RST was seen: a SYN starts it anew.
    ended: bool,
}

/// Where a packet comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    pub inside: bool,
    /// Nothing of its flow was seen before.
    pub first: bool,
}

impl Sender {
    const fn known(inside: bool) -> Self {
        Self { inside, first: false }
    }
}

/// Initiators by flow.
#[derive(Debug, Default)]
pub struct Sides {
    /// By protocol and both endpoints, the smaller first.
    flows: HashMap<(u8, Endpoint, Endpoint), Started>,
    /// The initiator of the latest flow between two hosts, for fragments and what carries no ports.
    pairs: HashMap<(IpAddr, IpAddr), IpAddr>,
}

impl Sides {
    /// Where the sender of this packet stands. It is inside if it has started the flow the packet belongs to.
    pub fn sender(&mut self, packet: &Peek) -> Sender {
        let (Some(src), Some(dst)) = (packet.src, packet.dst) else {
            return Sender::known(true);
        };
        if let Some(Icmp::Error(quoted)) = &packet.icmp {
            return Sender::known(self.error_inside(src, dst, quoted.as_deref()));
        }
        let (from, to) = match (packet.ports, &packet.icmp) {
            (Some((sport, dport)), _) => ((src, sport), (dst, dport)),
            (None, Some(Icmp::Query { identifier } | Icmp::Reply { identifier })) => {
                ((src, *identifier), (dst, *identifier))
            }
            _ => return Sender::known(self.pair_inside(src, dst)),
        };
        let key = key(packet.protocol, from, to);
        let starts = packet.syn && !packet.ack;
        if let Some(known) = self.flows.get_mut(&key).filter(|known| !(starts && known.ended)) {
            known.ended |= packet.ends;
            return Sender::known(known.by == from);
        }
        let initiator = if sender_starts(packet) { from } else { to };
        self.remember(key, Started { by: initiator, ended: packet.ends }, src, dst);
        Sender { inside: initiator == from, first: true }
    }

    fn remember(&mut self, key: (u8, Endpoint, Endpoint), started: Started, src: IpAddr, dst: IpAddr) {
        if self.flows.len() >= FLOWS_MAX || self.pairs.len() >= FLOWS_MAX {
            self.flows.clear();
            self.pairs.clear();
        }
        self.flows.insert(key, started);
        self.pairs.insert(pair(src, dst), started.by.0);
    }

    fn pair_inside(&mut self, src: IpAddr, dst: IpAddr) -> bool {
        if self.pairs.len() >= FLOWS_MAX {
            self.pairs.clear();
        }
        *self.pairs.entry(pair(src, dst)).or_insert(src) == src
    }

    /// An error travels against the packet it quotes, and may come from any router on the way.
    fn error_inside(&self, src: IpAddr, dst: IpAddr, quoted: Option<&Peek>) -> bool {
        let Some((quoted_src, quoted_dst)) = quoted.and_then(|quoted| Some((quoted.src?, quoted.dst?))) else {
            return self.pairs.get(&pair(src, dst)).is_some_and(|initiator| *initiator == src);
        };
        let ports = quoted.and_then(|quoted| match (&quoted.icmp, quoted.ports) {
            (Some(Icmp::Query { identifier } | Icmp::Reply { identifier }), _) => Some((*identifier, *identifier)),
            (_, ports) => ports,
        });
        let protocol = quoted.map_or(0, |quoted| quoted.protocol);
        let flow =
            ports.and_then(|(sport, dport)| self.flows.get(&key(protocol, (quoted_src, sport), (quoted_dst, dport))));
        let initiator =
            flow.map(|started| started.by.0).or_else(|| self.pairs.get(&pair(quoted_src, quoted_dst)).copied());
        // of an unknown flow the quoted sender is taken to be the initiator, to whom the error returns
        initiator.is_some_and(|initiator| initiator != quoted_src)
    }
}

fn sender_starts(packet: &Peek) -> bool {
    if matches!(packet.icmp, Some(Icmp::Reply { .. })) || packet.syn && packet.ack {
        return false;
    }
    if packet.syn {
        return true;
    }
    match packet.ports {
        Some((sport, dport)) => !(sport < WELL_KNOWN && dport >= WELL_KNOWN),
        None => true,
    }
}

fn key(protocol: u8, a: Endpoint, b: Endpoint) -> (u8, Endpoint, Endpoint) {
    if a <= b { (protocol, a, b) } else { (protocol, b, a) }
}

fn pair(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    if a <= b { (a, b) } else { (b, a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(src: u8, sport: u16, dst: u8, dport: u16) -> Peek {
        Peek {
            src: Some(IpAddr::from([192, 0, 2, src])),
            dst: Some(IpAddr::from([192, 0, 2, dst])),
            protocol: 6,
            ports: Some((sport, dport)),
            ..Peek::default()
        }
    }

    fn inside(sides: &mut Sides, packet: &Peek) -> bool {
        sides.sender(packet).inside
    }

    #[test]
    fn a_syn_starts_and_its_answer_does_not() {
        let mut sides = Sides::default();
        assert!(!inside(&mut sides, &Peek { syn: true, ack: true, ..packet(1, 5000, 2, 6000) }));
        assert!(inside(&mut sides, &Peek { ack: true, ..packet(2, 6000, 1, 5000) }));
        // the other SYN of a split handshake
        assert!(!inside(&mut sides, &Peek { syn: true, ..packet(1, 5000, 2, 6000) }));
        assert!(!inside(&mut sides, &Peek { ack: true, ends: true, ..packet(1, 5000, 2, 6000) }));
        // the tuple used again from the other end
        assert!(inside(&mut sides, &Peek { syn: true, ..packet(1, 5000, 2, 6000) }));
        assert!(!inside(&mut sides, &packet(2, 6000, 1, 5000)));
    }

    #[test]
    fn in_mid_stream_the_well_known_port_serves() {
        let mut sides = Sides::default();
        assert!(!inside(&mut sides, &packet(1, 443, 2, 50000)));
        assert!(inside(&mut sides, &packet(2, 50000, 1, 443)));
        assert!(inside(&mut sides, &packet(3, 123, 4, 123)));
        assert!(!inside(&mut sides, &packet(4, 123, 3, 123)));
    }

    #[test]
    fn an_error_returns_to_who_sent_the_quoted_packet() {
        let mut sides = Sides::default();
        assert!(inside(&mut sides, &packet(1, 5000, 2, 33434)));
        let error = |quoted: Peek, src: u8, dst: u8| Peek {
            protocol: 1,
            ports: None,
            icmp: Some(Icmp::Error(Some(Box::new(quoted)))),
            ..packet(src, 0, dst, 0)
        };
        assert!(!inside(&mut sides, &error(packet(1, 5000, 2, 33434), 77, 1)));
        assert!(inside(&mut sides, &error(packet(2, 33434, 1, 5000), 1, 2)));
        assert!(!inside(&mut sides, &error(packet(8, 1, 9, 2), 9, 8)));
    }

    #[test]
    fn fragments_follow_their_hosts() {
        let mut sides = Sides::default();
        assert!(!inside(&mut sides, &packet(1, 53, 2, 50000)));
        let fragment = Peek { ports: None, fragment: true, ..packet(1, 0, 2, 0) };
        assert!(!inside(&mut sides, &fragment));
    }
}
