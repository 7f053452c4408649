//! Segments that were captured before the network card had finished them.

use std::{borrow::Cow, collections::HashSet, net::IpAddr};

use crate::{
    inspect::Packet,
    reassembly::{checksum, partial},
};

const TCP: u8 = 6;
/// Where the checksum stands in a TCP header.
const FIELD: std::ops::Range<usize> = 16..18;

/// Whose checksums are to be believed, in one capture.
#[derive(Default)]
pub struct Offload {
    /// Senders of which a segment had the right one.
    right: HashSet<IpAddr>,
    /// None of them are.
    never: bool,
}

impl Offload {
    /// Of a capture whose checksums say nothing: every one is made right.
    pub fn of_any() -> Self {
        Self { never: true, ..Self::default() }
    }

    /// A frame with the TCP checksum that it had on the wire. A sender that leaves the sum to its card writes that of the
    /// pseudo-header alone (Linux, Windows), or none; one whose sums were never right had its addresses changed after the
    /// capture, or a card that cannot be told from that. Whatever else is wrong stays wrong. Of a packet that the snap length has
    /// `cut` the sum cannot be told, and is taken for right.
    pub fn complete<'a>(&mut self, frame: &'a [u8], cut: bool) -> Cow<'a, [u8]> {
        self.completed(frame, cut).map_or(Cow::Borrowed(frame), Cow::Owned)
    }

    fn completed(&mut self, frame: &[u8], cut: bool) -> Option<Vec<u8>> {
        let packet = Packet::read(frame).filter(|packet| packet.walk.protocol == TCP)?;
        let tcp = packet.transport();
        let (source, destination) = (packet.source(), packet.destination());
        if checksum(source, destination, tcp) == 0 {
            self.right.insert(source);
            return None;
        }
        let written = u16::from_be_bytes(*tcp.get(FIELD)?.first_chunk()?);
        // merged segments count the length of one of them, or none
        let left = |length: usize| written == partial(TCP, source, destination, length);
        let left = written == 0 || left(tcp.len()) || left(0);
        if !left && !cut && !self.never && self.right.contains(&source) {
            return None;
        }
        let at = usize::from(packet.walk.l4);
        let mut whole = frame.to_vec();
        whole.get_mut(at..)?.get_mut(FIELD)?.fill(0);
        let sum = checksum(source, destination, whole.get(at..at + tcp.len())?);
        whole.get_mut(at..)?.get_mut(FIELD)?.copy_from_slice(&sum.to_be_bytes());
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn frame() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 10, 0, 5], [203, 0, 113, 9], 64)
            .tcp(40_000, 80, 1000, 8192)
            .write(&mut bytes, b"GET / HTTP/1.1\r\n")
            .expect("room");
        bytes
    }

    fn with(sum: u16) -> Vec<u8> {
        let mut bytes = frame();
        bytes[50..52].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn what_the_card_would_have_written() {
        let right = frame();
        let packet = Packet::read(&right).unwrap();
        let pseudo = partial(TCP, packet.source(), packet.destination(), packet.transport().len());
        for sum in [pseudo, 0] {
            assert_eq!(Offload::default().complete(&with(sum), false), right);
        }
        assert!(matches!(Offload::default().complete(&right, false), Cow::Borrowed(_)));
    }

    #[test]
    fn a_wrong_sum_stays_wrong_unless_it_cannot_be_told() {
        let (wrong, mut offload) = (with(0xbeef), Offload::default());
        assert_eq!(offload.complete(&wrong, false), frame(), "never right so far");
        offload.complete(&frame(), false);
        assert_eq!(offload.complete(&wrong, false), wrong);
        assert_eq!(offload.complete(&wrong, true), frame());
        let mut offload = Offload::of_any();
        offload.complete(&frame(), false);
        assert_eq!(offload.complete(&wrong, false), frame(), "whatever was right before");
    }

    #[test]
    fn cut_at_every_byte() {
        let bytes = with(0);
        for length in 0..bytes.len() {
            Offload::default().complete(&bytes[..length], true);
        }
    }
}
