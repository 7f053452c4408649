//! Frames for tests, byte by byte. Nothing here is shared with the product: what it gets wrong, it gets wrong alone.
//!
//! Lengths and header fields are right unless a test asks for wrong ones.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

pub mod transport;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use transport::*;

pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;
pub const VLAN: u16 = 0x8100;
pub const VLAN_OUTER: u16 = 0x88a8;

/// An address from its text.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// An Ethernet frame with any number of tags, outer first. Two tags: the outer one is 802.1ad.
pub fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02];
    for (at, tag) in tags.iter().enumerate() {
        let outer = tags.len() > 1 && at == 0;
        frame.extend((if outer { VLAN_OUTER } else { VLAN }).to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A PPPoE session's payload: header, protocol and what that carries.
pub fn session(protocol: u16, inner: &[u8]) -> Vec<u8> {
    let length = (inner.len() as u16 + 2).to_be_bytes();
    [&[0x11, 0, 0, 9][..], &length, &protocol.to_be_bytes(), inner].concat()
}

/// An ARP packet: 1 asks, 2 answers.
pub fn arp(operation: u16, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend([2, 0, 0, 0, 0, 2]);
    packet.extend(sender.octets());
    packet.extend([2, 0, 0, 0, 0, 1]);
    packet.extend(target.octets());
    packet
}

/// An IPv6 extension header.
#[derive(Clone, Debug, PartialEq)]
pub enum Ext {
    /// Hop-by-hop options, padded; the number of 8-byte units beyond the first.
    HopByHop(u8),
    /// Destination options, likewise.
    Destination(u8),
    /// Routing: type and segments left.
    Routing(u8, u8),
    /// Fragment header: offset in bytes, more fragments, identification.
    Fragment(u16, bool, u32),
    /// Authentication with a digest of four bytes.
    Authentication,
    /// Any number with raw bytes behind the next-header byte.
    Raw(u8, Vec<u8>),
}

impl Ext {
    fn number(&self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::Routing(..) => 43,
            Self::Fragment(..) => 44,
            Self::Authentication => 51,
            Self::Destination(_) => 60,
            Self::Raw(number, _) => *number,
        }
    }

    fn bytes(&self, next: u8) -> Vec<u8> {
        match self {
            Self::HopByHop(units) | Self::Destination(units) => {
                let length = 8 + 8 * usize::from(*units);
                let mut bytes = vec![0; length];
                bytes[0] = next;
                bytes[1] = *units;
                bytes[2] = 1; // PadN over the rest
                bytes[3] = (length - 4).min(255) as u8;
                bytes
            }
            Self::Authentication => vec![next, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
            Self::Routing(kind, left) => vec![next, 0, *kind, *left, 0, 0, 0, 0],
            Self::Fragment(offset, more, id) => {
                let mut bytes = vec![next, 0];
                bytes.extend((offset & !7 | u16::from(*more)).to_be_bytes());
                bytes.extend(id.to_be_bytes());
                bytes
            }
            Self::Raw(_, raw) => [&[next][..], raw].concat(),
        }
    }
}

/// An IP packet in the making.
#[derive(Clone, Debug)]
pub struct Ip {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub ttl: u8,
    /// IPv4 options; a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers.
    pub ext: Vec<Ext>,
    /// IPv4: offset in bytes, more fragments. (IPv6: [`Ext::Fragment`].)
    pub fragment: (u16, bool),
    pub id: u16,
    /// Instead of the right version.
    pub version: Option<u8>,
    /// Instead of the right IPv4 header length, in words.
    pub header_words: Option<u8>,
    /// Instead of the right total length (IPv4) or payload length (IPv6).
    pub length: Option<u16>,
}

impl Ip {
    pub fn new(src: IpAddr, dst: IpAddr) -> Self {
        Self {
            src,
            dst,
            ttl: 64,
            options: Vec::new(),
            ext: Vec::new(),
            fragment: (0, false),
            id: 0x1234,
            version: None,
            header_words: None,
            length: None,
        }
    }

    /// As [`Ip::new`], from text.
    pub fn from(src: &str, dst: &str) -> Self {
        Self::new(ip(src), ip(dst))
    }

    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    pub fn ext(mut self, ext: &[Ext]) -> Self {
        self.ext = ext.to_vec();
        self
    }

    /// A fragment in either family: offset in bytes, more fragments, identification.
    pub fn fragment(mut self, offset: u16, more: bool, id: u16) -> Self {
        match self.src {
            IpAddr::V4(_) => (self.fragment, self.id) = ((offset, more), id),
            IpAddr::V6(_) => self.ext.push(Ext::Fragment(offset, more, u32::from(id))),
        }
        self
    }

    pub fn version(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    pub fn header_words(mut self, words: u8) -> Self {
        self.header_words = Some(words);
        self
    }

    pub fn length(mut self, length: u16) -> Self {
        self.length = Some(length);
        self
    }

    /// The ethertype of this family.
    pub fn ethertype(&self) -> u16 {
        if self.src.is_ipv4() { IPV4 } else { IPV6 }
    }

    /// The packet around a payload of `protocol`.
    pub fn packet(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.packet4(src, dst, protocol, payload),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.packet6(src, dst, protocol, payload),
            _ => panic!("source and destination of two families"),
        }
    }

    /// The frame around that packet.
    pub fn frame(&self, tags: &[u16], protocol: u8, payload: &[u8]) -> Vec<u8> {
        ethernet(tags, self.ethertype(), &self.packet(protocol, payload))
    }

    fn packet4(&self, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let words = 5 + self.options.len() / 4;
        let total = self.length.unwrap_or((words * 4 + payload.len()) as u16);
        let first = self.version.unwrap_or(4) << 4 | self.header_words.unwrap_or(words as u8);
        let mut packet = vec![first, 0];
        packet.extend(total.to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend(((self.fragment.0 / 8) | (u16::from(self.fragment.1) << 13)).to_be_bytes());
        packet.extend([self.ttl, protocol, 0, 0]);
        packet.extend(src.octets());
        packet.extend(dst.octets());
        packet.extend(&self.options);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn packet6(&self, src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut chain = Vec::new();
        for (at, ext) in self.ext.iter().enumerate() {
            let next = self.ext.get(at + 1).map_or(protocol, Ext::number);
            chain.extend(ext.bytes(next));
        }
        let length = self.length.unwrap_or((chain.len() + payload.len()) as u16);
        let mut packet = vec![self.version.unwrap_or(6) << 4, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([self.ext.first().map_or(protocol, Ext::number), self.ttl]);
        packet.extend(src.octets());
        packet.extend(dst.octets());
        packet.extend(chain);
        packet.extend(payload);
        packet
    }
}

/// The Internet checksum (RFC 1071) over some pieces, each of even length but the last.
pub fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
