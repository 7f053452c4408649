//! Frames that no ordinary client sends, byte by byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dropgate_lab::{Gateway, Namespace};

pub const ICMP: u8 = 1;
pub const UDP: u8 = 17;
pub const TCP: u8 = 6;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;
pub const SYN: u8 = 2;
pub const ACK: u8 = 16;

/// The Ethernet header of frames between a host and the gateway, both ways alike.
#[derive(Clone, Copy)]
pub struct Cable {
    from: [u8; 6],
    to: [u8; 6],
}

impl Cable {
    /// From `eth0` of a host to `interface` of the gateway.
    pub fn new(lab: &Gateway, host: &Namespace, interface: &str) -> Self {
        Self { from: host.mac("eth0").unwrap(), to: lab.gw.mac(interface).unwrap() }
    }

    /// A frame with these VLAN tags (identifiers, outer first) and this IP packet.
    pub fn tagged(&self, tags: &[u16], packet: &[u8]) -> Vec<u8> {
        self.typed(tags, if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, packet)
    }

    /// Destination and source.
    pub fn head(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..6].copy_from_slice(&self.to);
        bytes[6..].copy_from_slice(&self.from);
        bytes
    }

    /// A frame with these VLAN tags and this ethertype.
    pub fn typed(&self, tags: &[u16], ethertype: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = self.head().to_vec();
        for (at, tag) in tags.iter().enumerate() {
            let kind: u16 = if at + 1 < tags.len() { 0x88a8 } else { 0x8100 };
            bytes.extend(kind.to_be_bytes());
            bytes.extend(tag.to_be_bytes());
        }
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// An untagged frame.
    pub fn frame(&self, packet: &[u8]) -> Vec<u8> {
        self.tagged(&[], packet)
    }
}

/// Where a packet goes, as numbers and ports.
#[derive(Clone, Copy)]
pub struct Path {
    pub from: IpAddr,
    pub to: IpAddr,
    pub ports: (u16, u16),
}

impl Path {
    pub fn new(from: &str, to: &str, ports: (u16, u16)) -> Self {
        Self { from: from.parse().unwrap(), to: to.parse().unwrap(), ports }
    }

    /// A UDP packet.
    pub fn udp(&self, payload: &[u8]) -> Vec<u8> {
        self.packet(UDP, &self.datagram(payload))
    }

    /// A TCP segment without payload.
    pub fn tcp(&self, flags: u8, seq: u32, ack: u32) -> Vec<u8> {
        let mut segment = [self.ports.0.to_be_bytes(), self.ports.1.to_be_bytes()].concat();
        segment.extend(seq.to_be_bytes());
        segment.extend(ack.to_be_bytes());
        segment.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        let sum = self.transport_sum(TCP, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        self.packet(TCP, &segment)
    }

    /// A UDP datagram of this payload in fragments of `part` bytes (a multiple of 8), first to last.
    pub fn fragments(&self, id: u16, payload: &[u8], part: usize) -> Vec<Vec<u8>> {
        let datagram = self.datagram(payload);
        let count = datagram.len().div_ceil(part);
        let cut = |(at, bytes): (usize, &[u8])| {
            let offset = u16::try_from(at * part / 8).unwrap();
            self.fragment(id, UDP, offset, at + 1 < count, bytes)
        };
        datagram.chunks(part).enumerate().map(cut).collect()
    }

    /// One fragment; `offset` in units of 8 bytes.
    pub fn fragment(&self, id: u16, protocol: u8, offset: u16, more: bool, bytes: &[u8]) -> Vec<u8> {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ip4(from, to, protocol, id, offset | u16::from(more) << 13, bytes),
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut extended = vec![protocol, 0];
                extended.extend((offset << 3 | u16::from(more)).to_be_bytes());
                extended.extend(u32::from(id).to_be_bytes());
                extended.extend(bytes);
                ip6(from, to, 44, &extended)
            }
            _ => panic!("addresses of two families"),
        }
    }

    /// An SCTP packet with an INIT chunk (RFC 9260, 3.3.2), its last word this tag.
    pub fn sctp_init(&self, tag: u32) -> Vec<u8> {
        let mut segment = [self.ports.0, self.ports.1].map(u16::to_be_bytes).concat();
        // No verification tag yet, and room for the checksum.
        segment.extend([0; 8]);
        segment.extend([1, 0, 0, 20]);
        for word in [tag, 0x0001_0000, 0x0001_0001, tag] {
            segment.extend(word.to_be_bytes());
        }
        let sum = crc32c(&segment);
        segment[8..12].copy_from_slice(&sum.to_le_bytes());
        self.packet(SCTP, &segment)
    }

    /// An ICMP or ICMPv6 message, from its type on; the checksum is filled in.
    pub fn icmp(&self, message: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        message[2..4].fill(0);
        let (protocol, sum) =
            if self.from.is_ipv4() { (ICMP, sum(&message)) } else { (ICMPV6, self.transport_sum(ICMPV6, &message)) };
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.packet(protocol, &message)
    }

    /// An IP packet.
    pub fn packet(&self, protocol: u8, bytes: &[u8]) -> Vec<u8> {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ip4(from, to, protocol, 1, 0, bytes),
            (IpAddr::V6(from), IpAddr::V6(to)) => ip6(from, to, protocol, bytes),
            _ => panic!("addresses of two families"),
        }
    }

    fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len() + 8).unwrap();
        let mut datagram = [self.ports.0, self.ports.1, length, 0].map(u16::to_be_bytes).concat();
        datagram.extend(payload);
        let sum = self.transport_sum(UDP, &datagram);
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
        datagram
    }

    pub fn transport_sum(&self, protocol: u8, bytes: &[u8]) -> u16 {
        let mut pseudo = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            _ => panic!("addresses of two families"),
        };
        pseudo.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        pseudo.extend([0, 0, 0, protocol]);
        pseudo.extend(bytes);
        // Zero would say that there is none.
        match sum(&pseudo) {
            0 => 0xffff,
            sum => sum,
        }
    }
}

fn ip4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, id: u16, fragment: u16, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + bytes.len()).unwrap();
    let mut packet = [0x4500, length, id, fragment, 0x4000 | u16::from(protocol), 0].map(u16::to_be_bytes).concat();
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = sum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(bytes);
    packet
}

fn ip6(from: Ipv6Addr, to: Ipv6Addr, next: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(bytes);
    packet
}

/// The checksum of SCTP (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let round = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), round))
}

/// The Internet checksum (RFC 1071).
pub fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
