//! Transport headers. Checksums are left zero: neither the programs nor the model look at them.

use std::net::{IpAddr, Ipv6Addr};

use super::Ip;

pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const GRE: u8 = 47;
pub const ESP: u8 = 50;
pub const ICMPV6: u8 = 58;
pub const NO_NEXT: u8 = 59;
pub const VRRP: u8 = 112;
pub const SCTP: u8 = 132;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

/// A TCP segment without options.
pub fn tcp(sport: u16, dport: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    tcp_words(sport, dport, flags, 5, payload)
}

/// A TCP segment that claims a header of `words` words; `rest` follows the first twenty bytes.
pub fn tcp_words(sport: u16, dport: u16, flags: u8, words: u8, rest: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(sport.to_be_bytes());
    segment.extend(dport.to_be_bytes());
    segment.extend([0, 0, 0, 1, 0, 0, 0, 1, words << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(rest);
    segment
}

/// A UDP datagram.
pub fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    udp_length(sport, dport, (8 + payload.len()) as u16, payload)
}

/// A UDP datagram that claims to be `length` bytes long.
pub fn udp_length(sport: u16, dport: u16, length: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(sport.to_be_bytes());
    datagram.extend(dport.to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// An SCTP common header and a payload.
pub fn sctp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(sport.to_be_bytes());
    packet.extend(dport.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

/// An ICMP or ICMPv6 query or reply with an identifier.
pub fn icmp(kind: u8, code: u8, id: u16) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(id.to_be_bytes());
    message.extend([0, 1]);
    message.extend(*b"payload!");
    message
}

/// An ICMP or ICMPv6 error that quotes a packet.
pub fn icmp_error(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend(quoted);
    message
}

/// The ICMP protocol number of a family.
pub fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { ICMP } else { ICMPV6 }
}

/// "Destination unreachable, port" in the family of `to`, as sent by `from` about `quoted`.
pub fn unreachable(from: IpAddr, to: IpAddr, tags: &[u16], quoted: &[u8]) -> Vec<u8> {
    let (kind, code) = if to.is_ipv4() { (3, 3) } else { (1, 4) };
    Ip::new(from, to).frame(tags, icmp_of(to), &icmp_error(kind, code, quoted))
}

/// A neighbour discovery message about `target` (RFC 4861; solicitation 135, advertisement 136).
pub fn neighbour(kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x60, 0, 0, 0];
    message.extend(target.octets());
    message
}

/// A router solicitation (133), advertisement (134) or redirect (137), with a body of zeros.
pub fn router(kind: u8) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.resize(40, 0);
    message
}

/// An MLD query (130), report (131, 143) or done (132).
pub fn listener(kind: u8) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.resize(24, 0);
    message
}
