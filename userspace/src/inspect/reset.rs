//! A RST in the place of a segment, and one back to who sent it.

use dropgate_signatures::rule::Ends;

use super::packet::Packet;
use crate::reassembly::checksum;

const RST: u8 = 4;
const ACK: u8 = 16;
/// Bytes of a TCP header without options.
const HEADER: usize = 20;

/// Frames that end the connection of a segment: one for its receiver, one for its sender. The receiver takes a RST that has
/// the number it expects next, which is that of the segment; the sender one that has the number it said it expects. Only for
/// these ends.
pub fn resets(packet: &Packet<'_>, ends: Ends) -> Resets {
    let (onward, back) = both(packet).unzip();
    Resets { onward: onward.filter(|_| ends != Ends::Source), back: back.filter(|_| ends != Ends::Destination) }
}

/// Frames that end a connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resets {
    /// In the place of the packet.
    pub onward: Option<Vec<u8>>,
    /// To who sent it.
    pub back: Option<Vec<u8>>,
}

fn both(packet: &Packet<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let word = |at: usize| Some(u32::from_be_bytes(*packet.transport().get(at..)?.first_chunk()?));
    let (seq, ack) = (word(4)?, word(8)?);
    let payload = u32::try_from(packet.payload().len()).ok()?;
    let onward = segment(packet, false, seq, ack)?;
    let back = segment(packet, true, ack, seq.wrapping_add(payload))?;
    Some((onward, back))
}

/// The headers of a segment up to its options, with RST in place of its flags; turned round if it goes `back`.
fn segment(packet: &Packet<'_>, back: bool, seq: u32, ack: u32) -> Option<Vec<u8>> {
    let walk = &packet.walk;
    let (l3, l4) = (usize::from(walk.l3), usize::from(walk.l4));
    let mut frame = packet.frame.get(..l4 + HEADER)?.to_vec();
    if back {
        let (to, from) = frame.split_at_mut(6);
        to.swap_with_slice(&mut from[..6]);
        let (at, length) = if walk.family == 4 { (l3 + 12, 4) } else { (l3 + 8, 16) };
        let (source, destination) = frame.get_mut(at..at + 2 * length)?.split_at_mut(length);
        source.swap_with_slice(destination);
        let (source, destination) = frame.get_mut(l4..l4 + 4)?.split_at_mut(2);
        source.swap_with_slice(destination);
    }
    let tcp = frame.get_mut(l4..)?;
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = (HEADER as u8 / 4) << 4;
    tcp[13] = RST | ACK;
    tcp[14..].fill(0);
    // the sum is the same both ways
    let sum = checksum(packet.source(), packet.destination(), tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    // lengths: IPv4 counts its header, IPv6 what is behind it
    let length = u16::try_from(frame.len() - l3).ok()?;
    if walk.family == 4 {
        let header = frame.get_mut(l3..l4)?;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[10..12].fill(0);
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(header).ones_complement().to_be();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        frame.get_mut(l3 + 4..l3 + 6)?.copy_from_slice(&length.checked_sub(40)?.to_be_bytes());
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::Direction,
        reassembly::{Checksum, Segment},
    };
    use etherparse::PacketBuilder;

    #[test]
    fn both_ends_are_told() {
        let v4 = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 10, 0, 5], [203, 0, 113, 9], 64);
        let v6 = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], [3; 16], 64);
        for builder in [v4, v6] {
            let mut bytes = Vec::new();
            builder.tcp(40_000, 443, 1000, 8192).ack(77).psh().write(&mut bytes, b"hello").expect("room");
            let packet = Packet::read(&bytes).expect("a packet");
            let (onward, back) = both(&packet).expect("resets");
            for (frame, seq, sport, first) in [(&onward, 1000, 40_000, 2), (&back, 77, 443, 4)] {
                let reset = Packet::read(frame).expect("a packet");
                let way = Direction::ToServer;
                let tcp = Segment::read(way, reset.source(), reset.destination(), reset.transport(), Checksum::Verify)
                    .expect("a segment");
                assert_eq!((tcp.seq, reset.walk.sport, tcp.flags), (seq, sport, RST | ACK));
                assert!(reset.payload().is_empty());
                assert_eq!(frame[6], first, "sender's Ethernet address");
            }
            let back = Packet::read(&back).expect("a packet");
            assert_eq!(back.transport()[8..12], 1005u32.to_be_bytes());
        }
    }
}
