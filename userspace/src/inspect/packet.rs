//! A held frame, its headers read by the very stages that XDP runs.

use std::ops::Range;

use dropgate_abi::walk::{Walk, parsed};
use etherparse::checksum::Sum16BitWords;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// A frame and where its parts are.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    pub frame: &'a [u8],
    pub walk: Walk,
    /// What the transport carries.
    pub payload: Range<usize>,
    pub tcp: Option<Tcp>,
}

/// Fields of a TCP header that are not in [`Walk`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tcp {
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub urgent: u16,
    /// From this many bits to the left the window is read, if this is a SYN that says so (RFC 7323, 2).
    pub window_scale: Option<u8>,
    pub checksum_ok: bool,
}

impl<'a> Packet<'a> {
    /// Reads a frame; `None` for one that XDP would not have held: a fragment, or what is neither TCP nor UDP.
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        let (walk, _) = dropgate_xdp::read(frame);
        if walk.family == 0 || walk.l4 == 0 || walk.parsed & parsed::FRAGMENT != 0 {
            return None;
        }
        let l4 = usize::from(walk.l4);
        let end = (usize::from(walk.l3) + usize::from(walk.ip_len)).min(frame.len());
        let (header, tcp) = match walk.protocol {
            TCP => {
                let header = frame.get(l4..end)?;
                let length = usize::from(*header.get(12)? >> 4) * 4;
                (length, Some(Tcp::read(&walk, header, length)?))
            }
            UDP => (8, None),
            _ => return None,
        };
        let start = l4 + header;
        (start <= end).then_some(Self { frame, walk, payload: start..end, tcp })
    }

    /// What the transport carries.
    pub fn payload(&self) -> &'a [u8] {
        self.frame.get(self.payload.clone()).unwrap_or_default()
    }
}

impl Tcp {
    fn read(walk: &Walk, segment: &[u8], length: usize) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*segment.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?));
        let options = segment.get(20..length)?;
        Some(Self {
            seq: word(4)?,
            ack: word(8)?,
            window: half(14)?,
            urgent: half(18)?,
            window_scale: window_scale(options),
            checksum_ok: checksum(walk, segment) == 0,
        })
    }
}

/// The window scale option (RFC 7323, 2.2), at most 14.
fn window_scale(mut options: &[u8]) -> Option<u8> {
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [3, 3, shift, ..] => return Some((*shift).min(14)),
            [_, length, ..] => options = options.get(usize::from(*length).max(2)..)?,
            _ => return None,
        }
    }
}

/// The checksum over a segment and its pseudo header, as it is to be written into the segment; zero when the segment has it.
pub fn checksum(walk: &Walk, segment: &[u8]) -> u16 {
    let words = if walk.family == 4 { 1 } else { 4 };
    let mut sum = Sum16BitWords::new();
    for address in [walk.src, walk.dst] {
        for word in &address[..words] {
            sum = sum.add_4bytes(word.to_ne_bytes());
        }
    }
    let length = segment.len() as u32;
    sum = sum.add_4bytes(length.to_be_bytes()).add_2bytes([0, walk.protocol]).add_slice(segment);
    sum.ones_complement().to_be()
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
        let tcp = packet.tcp.expect("a segment");
        assert_eq!((tcp.seq, tcp.window, tcp.window_scale, tcp.checksum_ok), (1000, 8192, Some(7), true));
        assert_eq!(packet.payload(), b"hello");
        // padding of short frames is no payload
        let mut padded = bytes.clone();
        padded.extend([0xee; 20]);
        assert_eq!(Packet::read(&padded).expect("a packet").payload(), b"hello");
        let mut wrong = bytes;
        *wrong.last_mut().expect("a byte") ^= 1;
        assert!(!Packet::read(&wrong).expect("a packet").tcp.expect("a segment").checksum_ok);
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
