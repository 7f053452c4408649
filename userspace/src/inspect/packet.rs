//! A held frame, its headers read by the very stages that XDP runs.

use std::{net::IpAddr, ops::Range};

use dropgate_abi::{
    tuple::{Address, V4},
    walk::{Walk, parsed},
};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// A frame and where its parts are.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    pub frame: &'a [u8],
    pub walk: Walk,
    /// What the transport carries.
    pub payload: Range<usize>,
}

impl<'a> Packet<'a> {
    /// Reads a frame; `None` for one that is not judged: a fragment alone.
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        let (walk, _) = dropgate_xdp::read(frame);
        if walk.family == 0 || walk.l4 == 0 || walk.parsed & parsed::FRAGMENT != 0 {
            return None;
        }
        let l4 = usize::from(walk.l4);
        let end = (usize::from(walk.l3) + usize::from(walk.ip_len)).min(frame.len());
        let header = match walk.protocol {
            TCP => usize::from(*frame.get(l4 + 12)? >> 4) * 4,
            UDP | ICMP | ICMPV6 => 8,
            SCTP => 12,
            _ => 0,
        };
        let start = l4 + header;
        (start <= end).then_some(Self { frame, walk, payload: start..end })
    }

    /// The IP header, with whatever stands between it and the transport's.
    pub fn network(&self) -> &'a [u8] {
        self.frame.get(usize::from(self.walk.l3)..usize::from(self.walk.l4)).unwrap_or_default()
    }

    /// The transport's header; nothing of protocols that have none here.
    pub fn transport_header(&self) -> &'a [u8] {
        self.frame.get(usize::from(self.walk.l4)..self.payload.start).unwrap_or_default()
    }

    /// The transport's header and what it carries.
    pub fn transport(&self) -> &'a [u8] {
        self.frame.get(usize::from(self.walk.l4)..self.payload.end).unwrap_or_default()
    }

    pub fn source(&self) -> IpAddr {
        address(self.walk.family, self.walk.src)
    }

    pub fn destination(&self) -> IpAddr {
        address(self.walk.family, self.walk.dst)
    }

    /// What the transport carries.
    pub fn payload(&self) -> &'a [u8] {
        self.frame.get(self.payload.clone()).unwrap_or_default()
    }
}

/// An address as programs note it.
pub fn address(family: u8, words: Address) -> IpAddr {
    let bytes = |word: u32| word.to_ne_bytes();
    if family == V4 {
        return IpAddr::from(bytes(words[0]));
    }
    let mut octets = [0; 16];
    for (place, word) in octets.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&bytes(word));
    }
    IpAddr::from(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 10, 0, 5], [203, 0, 113, 9], 64)
            .tcp(40_000, 443, 1000, 8192)
            .syn()
            .options(&[etherparse::TcpOptionElement::WindowScale(7)])
            .expect("options fit");
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).expect("room");
        bytes
    }

    #[test]
    fn parts_of_a_segment() {
        let bytes = frame(b"hello");
        let packet = Packet::read(&bytes).expect("a packet");
        assert_eq!(packet.transport().len(), 24 + 5);
        assert_eq!(packet.destination().to_string(), "203.0.113.9");
        assert_eq!(packet.payload(), b"hello");
        // padding of short frames is no payload
        let mut padded = bytes;
        padded.extend([0xee; 20]);
        assert_eq!(Packet::read(&padded).expect("a packet").payload(), b"hello");
    }

    #[test]
    fn cut_at_every_byte() {
        let bytes = frame(b"hello");
        for length in 0..bytes.len() {
            if let Some(packet) = Packet::read(&bytes[..length]) {
                assert!(packet.payload.end <= length);
            }
        }
    }
}
