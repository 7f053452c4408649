//! A quick look into a frame: enough to choose where it comes in, never to judge it.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame shows at first sight. Malformed frames show less; the datapath names what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    pub source_mac: [u8; 6],
    /// VLAN identifiers, outer first; 0: none.
    pub tags: [u16; 2],
    /// Whether there is any VLAN tag, a priority tag included.
    pub tagged: bool,
    /// Of the IP packet; of an ARP packet the sender.
    pub src: Option<IpAddr>,
    /// Of the IP packet; of an ARP packet the target.
    pub dst: Option<IpAddr>,
    pub protocol: u8,
    /// TCP, UDP or SCTP.
    pub ports: Option<(u16, u16)>,
    pub fragment: bool,
    /// Flags of a TCP segment.
    pub syn: bool,
    pub ack: bool,
    /// FIN or RST.
    pub ends: bool,
    /// ICMP or ICMPv6.
    pub icmp: Option<Icmp>,
}

/// What an ICMP message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// A query or anything else that starts something.
    Query { identifier: u16 },
    /// The answer to a query.
    Reply { identifier: u16 },
    /// An error, with the packet it quotes if that can be read.
    Error(Option<Box<Peek>>),
}

/// Looks into an Ethernet frame.
pub fn peek(frame: &[u8]) -> Peek {
    let mut found = Peek::default();
    if let Some(mac) = frame.get(6..12) {
        found.source_mac.copy_from_slice(mac);
    }
    let Ok(sliced) = LaxSlicedPacket::from_ethernet(frame) else {
        return found;
    };
    let mut tags = sliced.vlan_ids().into_iter();
    found.tags = [tags.next().map_or(0, |id| id.value()), tags.next().map_or(0, |id| id.value())];
    found.tagged = sliced.vlan().is_some();
    packet(&sliced, &mut found, true);
    found
}

fn packet(sliced: &LaxSlicedPacket<'_>, found: &mut Peek, quotes: bool) {
    match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            found.src = Some(ip.header().source_addr().into());
            found.dst = Some(ip.header().destination_addr().into());
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            found.src = Some(ip.header().source_addr().into());
            found.dst = Some(ip.header().destination_addr().into());
        }
        Some(LaxNetSlice::Arp(arp)) => {
            found.src = arp_address(arp.sender_protocol_addr());
            found.dst = arp_address(arp.target_protocol_addr());
        }
        None => {}
    }
    let Some(payload) = sliced.ip_payload() else {
        return;
    };
    found.protocol = payload.ip_number.0;
    found.fragment = payload.fragmented;
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            found.ports = Some((tcp.source_port(), tcp.destination_port()));
            (found.syn, found.ack, found.ends) = (tcp.syn(), tcp.ack(), tcp.fin() || tcp.rst());
        }
        Some(TransportSlice::Udp(udp)) => found.ports = Some((udp.source_port(), udp.destination_port())),
        Some(TransportSlice::Icmpv4(icmp)) => {
            let kind = icmp.type_u8();
            found.icmp = Some(match kind {
                3 | 4 | 5 | 11 | 12 => Icmp::Error(quoted(icmp.payload(), quotes)),
                0 | 14 | 16 | 18 => Icmp::Reply { identifier: identifier(icmp.bytes5to8()) },
                _ => Icmp::Query { identifier: identifier(icmp.bytes5to8()) },
            });
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let kind = icmp.type_u8();
            found.icmp = Some(match kind {
                ..=127 => Icmp::Error(quoted(icmp.payload(), quotes)),
                129 => Icmp::Reply { identifier: identifier(icmp.bytes5to8()) },
                _ => Icmp::Query { identifier: identifier(icmp.bytes5to8()) },
            });
        }
        Some(TransportSlice::Igmp(_)) => {}
        // also a TCP header cut short, as ICMP errors quote it: all transports start with the ports
        None => {
            if let (6 | 17 | 132, false, Some(&[a, b, c, d])) =
                (found.protocol, found.fragment, payload.payload.get(..4))
            {
                found.ports = Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
            }
        }
    }
}

fn identifier(bytes: [u8; 4]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn quoted(bytes: &[u8], quotes: bool) -> Option<Box<Peek>> {
    // an error never quotes an error: one level is all there is
    if !quotes {
        return None;
    }
    let sliced = LaxSlicedPacket::from_ip(bytes).ok()?;
    let mut found = Peek::default();
    packet(&sliced, &mut found, false);
    found.src.is_some().then(|| Box::new(found))
}

fn arp_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn tcp() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .single_vlan(10.try_into().unwrap())
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(4000, 80, 1, 1024)
            .syn()
            .write(&mut frame, &[])
            .unwrap();
        frame
    }

    #[test]
    fn tuple_tags_and_flags() {
        let found = peek(&tcp());
        assert_eq!((found.source_mac, found.tags, found.tagged), ([1; 6], [10, 0], true));
        assert_eq!(found.src, Some("10.0.0.1".parse().unwrap()));
        assert_eq!((found.ports, found.syn, found.ack), (Some((4000, 80)), true, false));
    }

    #[test]
    fn an_error_shows_what_it_quotes() {
        let inner = &tcp()[18..18 + 28];
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([192, 0, 2, 1], [10, 0, 0, 1], 64)
            .icmpv4_raw(11, 0, [0; 4])
            .write(&mut frame, inner)
            .unwrap();
        let Some(Icmp::Error(Some(quote))) = peek(&frame).icmp else { panic!("no quote") };
        assert_eq!(quote.dst, Some("10.0.0.2".parse().unwrap()));
        assert_eq!(quote.ports, Some((4000, 80)));
    }

    #[test]
    fn cut_anywhere_it_does_not_panic() {
        let frame = tcp();
        for length in 0..frame.len() {
            peek(&frame[..length]);
        }
    }
}
