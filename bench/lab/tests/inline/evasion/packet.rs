//! A TCP segment in an IP packet, with every field that can be wrong.

use std::net::IpAddr;

use crate::frames::{Path, TCP, sum};

pub const FIN: u8 = 1;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const URG: u8 = 32;

/// A segment; what is not said is as an ordinary client has it.
#[derive(Clone, Debug)]
pub struct Segment {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    /// Value and echo of the timestamps option (RFC 7323, 3.2).
    pub timestamp: Option<(u32, u32)>,
    /// Other options, padded by whoever builds the header.
    pub options: Vec<u8>,
    pub bytes: Vec<u8>,
    pub ttl: u8,
    /// IPv4 options, a multiple of four bytes.
    pub ip_options: Vec<u8>,
    /// IPv6 extension headers: number, and everything but the number of the next one.
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub wrong_checksum: bool,
    pub wrong_ip_checksum: bool,
}

impl Segment {
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    pub fn seq(mut self, seq: u32) -> Self {
        self.seq = seq;
        self
    }

    pub fn ack(mut self, ack: u32) -> Self {
        self.ack = ack;
        self
    }

    pub fn option(mut self, option: &[u8]) -> Self {
        self.options.extend(option);
        self
    }

    pub fn wrong_checksum(mut self) -> Self {
        self.wrong_checksum = true;
        self
    }

    /// The value of its timestamp is moved by this much.
    pub fn timestamp_moved(mut self, by: i32) -> Self {
        self.timestamp = self.timestamp.map(|(value, echo)| (value.wrapping_add_signed(by), echo));
        self
    }

    /// The TCP header and what it carries.
    pub fn transport(&self, path: &Path) -> Vec<u8> {
        let mut options = Vec::new();
        if let Some((value, echo)) = self.timestamp {
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        options.extend(&self.options);
        options.resize(options.len().next_multiple_of(4), 0);
        let mut bytes = [path.ports.0, path.ports.1].map(u16::to_be_bytes).concat();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([u8::try_from((20 + options.len()) / 4).unwrap() << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(options);
        bytes.extend(&self.bytes);
        let right = path.transport_sum(TCP, &bytes);
        let said = if self.wrong_checksum { right ^ 0x5555 } else { right };
        bytes[16..18].copy_from_slice(&said.to_be_bytes());
        bytes
    }

    /// The whole packet.
    pub fn packet(&self, path: &Path) -> Vec<u8> {
        let transport = self.transport(path);
        if path.from.is_ipv4() { self.ip4(path, 1, 0, &transport) } else { self.ip6(path, TCP, &transport) }
    }

    /// An IPv4 packet; `fragment`: the offset in units of eight bytes, and the flags above it.
    pub fn ip4(&self, path: &Path, id: u16, fragment: u16, bytes: &[u8]) -> Vec<u8> {
        let (IpAddr::V4(from), IpAddr::V4(to)) = (path.from, path.to) else { panic!("addresses of another family") };
        let header = 20 + self.ip_options.len();
        let length = u16::try_from(header + bytes.len()).unwrap();
        let mut packet = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
        packet.extend([length, id, fragment].map(u16::to_be_bytes).concat());
        packet.extend([self.ttl, TCP, 0, 0]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(&self.ip_options);
        let sum = sum(&packet) ^ if self.wrong_ip_checksum { 0x5555 } else { 0 };
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(bytes);
        packet
    }

    /// An IPv6 packet with the segment's extension headers before `next`.
    pub fn ip6(&self, path: &Path, next: u8, bytes: &[u8]) -> Vec<u8> {
        let (IpAddr::V6(from), IpAddr::V6(to)) = (path.from, path.to) else { panic!("addresses of another family") };
        let numbers = self.extensions.iter().map(|(number, _)| *number).chain([next]);
        let first = numbers.clone().next().unwrap_or(next);
        let mut body: Vec<u8> = Vec::new();
        for ((_, header), next) in self.extensions.iter().zip(numbers.skip(1)) {
            body.push(next);
            body.extend(header);
        }
        body.extend(bytes);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], first, self.ttl];
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(body);
        packet
    }
}
