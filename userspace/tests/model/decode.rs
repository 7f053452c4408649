//! What a frame says, read the slow way: every header is a slice, every length is checked against it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dropgate_abi::reason::Reason;

use super::{
    bridge::Link,
    tunnels::{Carrier, Realm},
};

/// What stands behind the Ethernet header.
#[derive(Clone, Debug)]
pub enum Content {
    /// Operation, sender address, target address.
    Arp(u16, IpAddr, IpAddr),
    ArpMalformed,
    Other(u16),
    /// A session of PPPoE: what stands behind its ethertype.
    Session(Vec<u8>),
    Ip(Packet),
    /// An IP packet that cannot be read, and why.
    Unreadable(Reason),
}

/// VLAN identifiers, outer first, zero for none; and the content.
pub type Frame = ([u16; 2], Content);

#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    pub offset: usize,
    pub more: bool,
    pub id: u32,
    /// Bytes of payload it carries.
    pub length: usize,
    /// IPv6: what the fragment header says comes next.
    pub next: u8,
}

/// An ICMP query or reply: the type of the query, and whether this is the reply.
pub type Query = (u8, bool);

#[derive(Clone, Debug)]
pub struct Packet {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub ttl: u8,
    pub protocol: u8,
    /// Not an atomic one.
    pub fragment: Option<Fragment>,
    /// A first fragment that does not hold its whole transport header.
    pub tiny: bool,
    /// Of a first fragment: what is wrong with its headers. Addresses and fragment hold all the same.
    pub wrong: Option<Reason>,
    pub sport: u16,
    pub dport: u16,
    pub tcp_flags: Option<u8>,
    pub icmp_type: Option<u8>,
    pub query: Option<Query>,
    /// The transport header and what follows; nothing for a later fragment.
    pub transport: Vec<u8>,
    /// What stands in the frame behind its end.
    pub beyond: Vec<u8>,
    /// What it was found in, and the tunnel that its flows are of.
    pub carried: Option<Carrier>,
    pub realm: Option<Realm>,
    /// The pair of a bridge that it crosses.
    pub link: Link,
}

impl Packet {
    pub fn is_icmp(&self) -> bool {
        self.protocol == icmp_of(self.src)
    }

    pub fn later_fragment(&self) -> bool {
        self.fragment.as_ref().is_some_and(|fragment| fragment.offset > 0)
    }
}

/// ICMP's protocol number in the family of an address.
pub fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 1 } else { 58 }
}

fn number(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// Reads a frame; the error is the frame stage's.
pub fn frame(bytes: &[u8]) -> Result<Frame, Reason> {
    if bytes.len() < 14 {
        return Err(Reason::frame_truncated);
    }
    let mut ethertype = number(&bytes[12..]);
    let mut rest = &bytes[14..];
    let mut tags = Vec::new();
    while [0x8100, 0x88a8, 0x9100].contains(&ethertype) {
        // a third tag is too deep, whether it is complete or not
        if tags.len() == 2 {
            return Err(Reason::vlan_too_deep);
        }
        if rest.len() < 4 {
            return Err(Reason::vlan_truncated);
        }
        tags.push(number(rest) & 0x0fff);
        ethertype = number(&rest[2..]);
        rest = &rest[4..];
    }
    tags.resize(2, 0);
    let content = match ethertype {
        0x0806 => arp(rest),
        0x0800 => ip4(rest).map_or_else(Content::Unreadable, Content::Ip),
        0x86dd => ip6(rest).map_or_else(Content::Unreadable, Content::Ip),
        0x8864 => Content::Session(rest.to_vec()),
        other => Content::Other(other),
    };
    Ok(([tags[0], tags[1]], content))
}

fn arp(bytes: &[u8]) -> Content {
    if bytes.len() < 28 || bytes[..6] != [0, 1, 8, 0, 6, 4] {
        return Content::ArpMalformed;
    }
    let address = |at: usize| IpAddr::V4(Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]));
    Content::Arp(number(&bytes[6..]), address(14), address(24))
}

pub fn ip4(bytes: &[u8]) -> Result<Packet, Reason> {
    if bytes.len() < 20 {
        return Err(Reason::ip4_truncated);
    }
    if bytes[0] >> 4 != 4 {
        return Err(Reason::ip4_bad_version);
    }
    let header = usize::from(bytes[0] & 15) * 4;
    let total = usize::from(number(&bytes[2..]));
    if header < 20 {
        return Err(Reason::ip4_bad_header_length);
    }
    // of a header beyond both its packet and the frame, this is the shorter thing to say
    if total < header || total > bytes.len() {
        return Err(Reason::ip4_bad_total_length);
    }
    let offset = usize::from(number(&bytes[6..]) & 0x1fff) * 8;
    let more = bytes[6] & 0x20 != 0;
    let fragment = (more || offset > 0).then(|| Fragment {
        offset,
        more,
        id: u32::from(number(&bytes[4..])),
        length: total - header,
        next: bytes[9],
    });
    let src = Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into();
    let dst = Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]).into();
    let packet = transport(src, dst, bytes[8], bytes[9], fragment, &bytes[header..total])?;
    Ok(Packet { beyond: bytes[total..].to_vec(), ..packet })
}

pub fn ip6(bytes: &[u8]) -> Result<Packet, Reason> {
    if bytes.len() < 40 {
        return Err(Reason::ip6_truncated);
    }
    if bytes[0] >> 4 != 6 {
        return Err(Reason::ip6_bad_version);
    }
    let length = usize::from(number(&bytes[4..]));
    let mut next = bytes[6];
    let mut rest = &bytes[40..];
    // a jumbogram says its length in a hop-by-hop option; an empty packet may have padding behind it
    if length == 0 && next == 0 {
        return Err(Reason::ip6_jumbogram);
    }
    if length > rest.len() {
        return Err(Reason::ip6_bad_payload_length);
    }
    let beyond;
    (rest, beyond) = rest.split_at(length);
    let address = |at: usize| {
        let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes");
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let (src, dst, ttl) = (address(8), address(24), bytes[7]);
    let mut fragment = None;
    // behind the header that makes it a fragment a packet has an identity, whatever else is wrong with it
    let wrong = |fragment: Option<Fragment>, reason| {
        let Some(fragment) = fragment else { return Err(reason) };
        let packet = transport(src, dst, ttl, 59, Some(fragment), &[])?;
        Ok(Packet { wrong: Some(reason), ..packet })
    };
    let mut seen: Vec<u8> = Vec::new();
    // RFC 8200, 4.1: hop-by-hop first, each header once, destination options twice: six at most. Decided: an
    // authentication header is looked through, because what it guards is judged by its ports like anything else.
    while [0, 43, 44, 51, 60].contains(&next) {
        // hop-by-hop there is out of order whatever the number
        if seen.len() == 6 && next != 0 {
            return wrong(fragment, Reason::ip6_ext_too_many);
        }
        let times = seen.iter().filter(|other| **other == next).count();
        if (next == 0 && !seen.is_empty()) || times >= if next == 60 { 2 } else { 1 } {
            return wrong(fragment, Reason::ip6_ext_order);
        }
        let size = match rest.get(1) {
            Some(_) if next == 44 => 8,
            // RFC 4302, 2.2: in words of four bytes, less two
            Some(words) if next == 51 => 4 * (usize::from(*words) + 2),
            Some(units) => 8 + 8 * usize::from(*units),
            None => 8,
        };
        if rest.len() >= 8 && next == 43 && rest[2] == 0 {
            return wrong(fragment, Reason::ip6_routing_type0);
        }
        if size > rest.len() {
            // RFC 7112: a first fragment holds the whole chain
            if let Some(fragment) = fragment {
                let mut packet = transport(src, dst, ttl, 59, Some(fragment), &[])?;
                packet.tiny = true;
                return Ok(packet);
            }
            return Err(Reason::ip6_ext_truncated);
        }
        seen.push(next);
        let was = next;
        next = rest[0];
        if was == 44 {
            let field = number(&rest[2..]);
            let (offset, more) = (usize::from(field & !7), field & 1 == 1);
            if offset > 0 || more {
                let id = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]);
                fragment = Some(Fragment { offset, more, id, length: rest.len() - 8, next });
            }
            if offset > 0 {
                rest = &rest[8..];
                break;
            }
        }
        rest = &rest[size..];
    }
    let packet = transport(src, dst, ttl, next, fragment, rest)?;
    Ok(Packet { beyond: beyond.to_vec(), ..packet })
}

fn transport(
    src: IpAddr,
    dst: IpAddr,
    ttl: u8,
    protocol: u8,
    fragment: Option<Fragment>,
    bytes: &[u8],
) -> Result<Packet, Reason> {
    let mut packet = Packet {
        src,
        dst,
        ttl,
        protocol,
        fragment,
        tiny: false,
        wrong: None,
        sport: 0,
        dport: 0,
        tcp_flags: None,
        icmp_type: None,
        query: None,
        transport: bytes.to_vec(),
        beyond: Vec::new(),
        carried: None,
        realm: None,
        link: None,
    };
    if packet.later_fragment() {
        packet.transport.clear();
        return Ok(packet);
    }
    let first = packet.fragment.is_some();
    // RFC 792 is about IPv4, RFC 4443 about IPv6
    if [1, 58].contains(&protocol) && !packet.is_icmp() {
        packet.wrong = Some(Reason::icmp_other_version);
        return if first { Ok(packet) } else { Err(Reason::icmp_other_version) };
    }
    let (header, truncated) = match protocol {
        6 => (20, Reason::tcp_truncated),
        17 => (8, Reason::udp_truncated),
        132 => (12, Reason::sctp_truncated),
        _ if packet.is_icmp() => (8, Reason::icmp_truncated),
        _ => return Ok(packet),
    };
    if bytes.len() < header {
        // the rest of the header is in another fragment
        packet.tiny = first;
        return if first { Ok(packet) } else { Err(truncated) };
    }
    if packet.is_icmp() {
        read_icmp(&mut packet, bytes);
        return Ok(packet);
    }
    (packet.sport, packet.dport) = (number(bytes), number(&bytes[2..]));
    if protocol == 6 {
        let header = usize::from(bytes[12] >> 4) * 4;
        if header < 20 || (header > bytes.len() && !first) {
            packet.wrong = Some(Reason::tcp_bad_header_length);
        }
        packet.tiny = header > bytes.len();
        packet.tcp_flags = Some(bytes[13] & 0x3f);
    }
    if protocol == 17 {
        let length = usize::from(number(&bytes[4..]));
        // the length of a first fragment's header is that of the whole datagram
        if length < 8 || (!first && length != bytes.len()) {
            packet.wrong = Some(Reason::udp_bad_length);
        }
    }
    match packet.wrong {
        Some(reason) if !first => Err(reason),
        _ => Ok(packet),
    }
}

fn read_icmp(packet: &mut Packet, bytes: &[u8]) {
    let kind = bytes[0];
    packet.icmp_type = Some(kind);
    packet.query = match (packet.protocol, kind) {
        (1, 8 | 13) | (58, 128) => Some((kind, false)),
        (1, 0) => Some((8, true)),
        (1, 14) => Some((13, true)),
        (58, 129) => Some((128, true)),
        _ => None,
    };
    if packet.query.is_some() {
        packet.sport = number(&bytes[4..]);
        packet.dport = packet.sport;
    }
}

/// The packet that an ICMP error quotes, as far as it matters: addresses, protocol, ports.
///
/// `None`: too short to tell, or unreadable. Lengths inside are not checked against what is quoted, which is cut.
pub fn quoted(bytes: &[u8], v4: bool) -> Option<Packet> {
    // what is quoted is cut off anywhere behind the first eight bytes of transport header; make up for the missing part
    if v4 {
        let header = usize::from(bytes.first()? & 15) * 4;
        if bytes.len() < 20 || bytes[0] >> 4 != 4 || header < 20 || bytes.len() < header {
            return None;
        }
        let later = number(&bytes[6..]) & 0x1fff > 0;
        let body = &bytes[header..];
        let src = Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into();
        let dst = Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]).into();
        return quoted_transport(src, dst, bytes[9], later, body);
    }
    if bytes.len() < 40 || bytes[0] >> 4 != 6 {
        return None;
    }
    let address = |at: usize| {
        let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes");
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let (mut next, mut body, mut later) = (bytes[6], &bytes[40..], false);
    let mut count = 0;
    while [0, 43, 44, 51, 60].contains(&next) && !later {
        let units = usize::from(*body.get(1)?);
        let size = match next {
            44 => 8,
            51 => 4 * (units + 2),
            _ => 8 + 8 * units,
        };
        count += 1;
        if body.len() < size || count > 6 {
            return None;
        }
        later = next == 44 && number(&body[2..]) & !7 > 0;
        next = body[0];
        body = &body[size..];
    }
    quoted_transport(address(8), address(24), next, later, body)
}

fn quoted_transport(src: IpAddr, dst: IpAddr, protocol: u8, later: bool, body: &[u8]) -> Option<Packet> {
    let mut packet = Packet {
        src,
        dst,
        ttl: 0,
        protocol,
        fragment: later.then_some(Fragment { offset: 8, more: false, id: 0, length: 0, next: 0 }),
        tiny: false,
        wrong: None,
        sport: 0,
        dport: 0,
        tcp_flags: None,
        icmp_type: None,
        query: None,
        transport: Vec::new(),
        beyond: Vec::new(),
        carried: None,
        realm: None,
        link: None,
    };
    if later {
        return Some(packet);
    }
    let icmp = packet.is_icmp();
    if icmp || [6, 17, 132].contains(&protocol) {
        // RFC 792: at least 64 bits of the original datagram's data
        if body.len() < 8 {
            return None;
        }
        if icmp {
            read_icmp(&mut packet, body);
        } else {
            (packet.sport, packet.dport) = (number(body), number(&body[2..]));
        }
    }
    Some(packet)
}
