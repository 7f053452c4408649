//! What ends of a flow are told when a packet of it is rejected: a RST in the place of a segment and one back to who sent it; who
//! sent any other packet, that it is prohibited.

use std::net::IpAddr;

use dropgate_abi::tuple::V4;
use dropgate_signatures::rule::Ends;

use super::packet::{ICMP, ICMPV6, Packet, TCP};
use crate::reassembly::{checksum, completed, flag, partial};

/// Bytes of a TCP header without options, and of an ICMP header.
const HEADER: usize = 20;
const ICMP_HEADER: usize = 8;
/// The most bytes of an error with its IP header: RFC 1812, 4.3.2.3; RFC 4443, 2.4 (c).
const LONGEST: usize = 576;
const LONGEST_V6: usize = 1280;
/// Type and code: communication with the host is administratively prohibited (RFC 1122, 3.2.2.1), with the destination (RFC 4443, 3.1).
const PROHIBITED: [u8; 2] = [3, 10];
const PROHIBITED_V6: [u8; 2] = [1, 1];

/// Frames that tell the ends of a flow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replies {
    /// In the place of the packet.
    pub onward: Option<Vec<u8>>,
    /// To who sent it.
    pub back: Option<Vec<u8>>,
    /// It is an error (ICMP), and not to be sent too often (RFC 1812, 4.3.2.8).
    pub error: bool,
}

/// What is said to these ends in the place of a packet. The receiver of a segment takes a RST that has the number it expects
/// next, which is that of the segment; the sender one that has the number it said it expects. Whoever would receive another
/// packet is told nothing: an error is about a packet of one's own.
pub fn replies(packet: &Packet<'_>, ends: Ends) -> Replies {
    let (to_source, to_destination) = (ends != Ends::Destination, ends != Ends::Source);
    if packet.walk.protocol == TCP {
        let (onward, back) = resets(packet).unzip();
        Replies { onward: onward.filter(|_| to_destination), back: back.filter(|_| to_source), error: false }
    } else {
        Replies { onward: None, back: prohibited(packet).filter(|_| to_source), error: true }
    }
}

/// The RSTs of a segment, onward and back; none for a RST.
fn resets(packet: &Packet<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let word = |at: usize| Some(u32::from_be_bytes(*packet.transport().get(at..)?.first_chunk()?));
    let (seq, ack) = (word(4)?, word(8)?);
    let flags = packet.walk.tcp_flags;
    if flags & flag::RST != 0 {
        return None;
    }
    // SYN and FIN have a number of their own
    let numbered = u32::from(flags & flag::SYN != 0) + u32::from(flags & flag::FIN != 0);
    let length = u32::try_from(packet.payload().len()).ok()?.wrapping_add(numbered);
    let onward = segment(packet, false, seq, ack)?;
    let back = segment(packet, true, if flags & flag::ACK != 0 { ack } else { 0 }, seq.wrapping_add(length))?;
    Some((onward, back))
}

/// The headers of a segment up to its options, with RST in place of its flags; turned round if it goes `back`.
fn segment(packet: &Packet<'_>, back: bool, seq: u32, ack: u32) -> Option<Vec<u8>> {
    let (l3, l4) = (usize::from(packet.walk.l3), usize::from(packet.walk.l4));
    let mut frame = packet.frame.get(..l4 + HEADER)?.to_vec();
    if back {
        turn(&mut frame, packet)?;
        let (source, destination) = frame.get_mut(l4..l4 + 4)?.split_at_mut(2);
        source.swap_with_slice(destination);
    }
    let tcp = frame.get_mut(l4..)?;
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = (HEADER as u8 / 4) << 4;
    tcp[13] = flag::RST | flag::ACK;
    tcp[14..].fill(0);
    // the sum is the same both ways
    let sum = checksum(packet.source(), packet.destination(), tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    measure(&mut frame, packet.walk.family, l3, l4)?;
    Some(frame)
}

/// An error about a packet, from whom it was sent to; none about errors, nor about what was sent to many (RFC 1122, 3.2.2; RFC
/// 4443, 2.4 (e)).
fn prohibited(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let walk = &packet.walk;
    let asks = match (walk.protocol, packet.transport().first()?) {
        (ICMP, kind) => matches!(kind, 0 | 8 | 13 | 14),
        (ICMPV6, kind) => *kind >= 128,
        _ => true,
    };
    if !asks || !is_single(packet.destination()) || !is_single(packet.source()) || packet.frame.first()? & 1 != 0 {
        return None;
    }
    let l3 = usize::from(walk.l3);
    let v4 = walk.family == V4;
    // without the options and extension headers that it came with
    let (header, longest) = if v4 { (20, LONGEST) } else { (40, LONGEST_V6) };
    let l4 = l3 + header;
    let quoted = packet.frame.get(l3..packet.payload.end)?;
    let quoted = &quoted[..quoted.len().min(longest - header - ICMP_HEADER)];
    let mut frame = packet.frame.get(..l4)?.to_vec();
    turn(&mut frame, packet)?;
    let [kind, code] = if v4 { PROHIBITED } else { PROHIBITED_V6 };
    frame.extend([kind, code, 0, 0, 0, 0, 0, 0]);
    frame.extend(quoted);
    let ip = frame.get_mut(l3..l4)?;
    if v4 {
        // no options, no type of service but precedence of control, not a fragment, lives as long as any packet
        ip[0] = 0x45;
        ip[1] = 0xc0;
        ip[4..8].fill(0);
        (ip[8], ip[9]) = (64, ICMP);
    } else {
        ip[..4].copy_from_slice(&[0x60, 0, 0, 0]);
        (ip[6], ip[7]) = (ICMPV6, 64);
    }
    let error = frame.get_mut(l4..)?;
    if !v4 {
        let pseudo_header = partial(ICMPV6, packet.source(), packet.destination(), error.len());
        error[2..4].copy_from_slice(&pseudo_header.to_be_bytes());
    }
    let sum = completed(error);
    error[2..4].copy_from_slice(&sum.to_be_bytes());
    measure(&mut frame, walk.family, l3, l4)?;
    Some(frame)
}

/// Whether it is the address of one host.
fn is_single(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(broadcast || address.is_multicast() || address.is_unspecified())
}

/// Turns the addresses of a frame round, whose headers are those of the packet.
fn turn(frame: &mut [u8], packet: &Packet<'_>) -> Option<()> {
    let l3 = usize::from(packet.walk.l3);
    let (to, from) = frame.get_mut(..12)?.split_at_mut(6);
    to.swap_with_slice(from);
    let (at, length) = if packet.walk.family == V4 { (l3 + 12, 4) } else { (l3 + 8, 16) };
    let (source, destination) = frame.get_mut(at..at + 2 * length)?.split_at_mut(length);
    source.swap_with_slice(destination);
    Some(())
}

/// Writes the length of a packet into its IP header, which ends at `l4`; IPv4 counts that header and has a checksum, IPv6 counts what is behind the
/// first 40 bytes.
fn measure(frame: &mut [u8], family: u8, l3: usize, l4: usize) -> Option<()> {
    let length = u16::try_from(frame.len().checked_sub(l3)?).ok()?;
    if family == V4 {
        let header = frame.get_mut(l3..l4)?;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[10..12].fill(0);
        let sum = completed(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        frame.get_mut(l3 + 4..l3 + 6)?.copy_from_slice(&length.checked_sub(40)?.to_be_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::Direction,
        reassembly::{Checksum, Segment},
    };
    use etherparse::{
        Icmpv4Type, Icmpv6Type, IpHeaders, PacketBuilder, PacketBuilderStep, SlicedPacket, TransportSlice,
        icmpv4::DestUnreachableHeader, icmpv6,
    };

    /// Of IPv4 and IPv6, from the same ports.
    fn builders() -> [PacketBuilderStep<IpHeaders>; 2] {
        let ethernet = || PacketBuilder::ethernet2([2; 6], [4; 6]);
        [ethernet().ipv4([10, 10, 0, 5], [203, 0, 113, 9], 64), ethernet().ipv6([1; 16], [3; 16], 64)]
    }

    #[test]
    fn a_segment_that_has_a_number_without_payload() {
        for builder in builders() {
            let mut bytes = Vec::new();
            builder.tcp(40_000, 443, 1000, 8192).syn().write(&mut bytes, &[]).expect("room");
            let said = replies(&Packet::read(&bytes).expect("a packet"), Ends::Source);
            assert_eq!((said.onward, said.error), (None, false));
            let back = said.back.expect("a reset");
            assert_eq!(Packet::read(&back).expect("a packet").transport()[4..12], [0, 0, 0, 0, 0, 0, 3, 0xe9]);
        }
    }

    #[test]
    fn a_reset_is_not_answered() {
        for builder in builders() {
            let mut bytes = Vec::new();
            builder.tcp(40_000, 443, 1000, 8192).rst().write(&mut bytes, &[]).expect("room");
            assert_eq!(replies(&Packet::read(&bytes).expect("a packet"), Ends::Both), Replies::default());
        }
    }

    #[test]
    fn who_sent_a_datagram_is_told() {
        for builder in builders() {
            let mut bytes = Vec::new();
            builder.udp(40_000, 53).write(&mut bytes, &[b'x'; 1400]).expect("room");
            let packet = Packet::read(&bytes).expect("a packet");
            assert_eq!(replies(&packet, Ends::Destination).back, None);
            let said = replies(&packet, Ends::Both);
            assert_eq!((said.onward, said.error), (None, true));
            let frame = said.back.expect("an error");
            let error = SlicedPacket::from_ethernet(&frame).expect("a packet");
            let (quoted, longest) = match error.transport.expect("a transport") {
                TransportSlice::Icmpv4(icmp) => {
                    assert_eq!(
                        icmp.icmp_type(),
                        Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::HostProhibited)
                    );
                    assert_eq!(completed(icmp.slice()), 0, "checksum");
                    (icmp.payload().to_vec(), 576)
                }
                TransportSlice::Icmpv6(icmp) => {
                    let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Prohibited);
                    assert_eq!(icmp.icmp_type(), kind);
                    assert!(icmp.is_checksum_valid([3; 16], [1; 16]), "checksum");
                    (icmp.payload().to_vec(), 1280)
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(quoted, packet.frame[14..][..quoted.len()]);
            assert_eq!((frame.len() - 14, &frame[..6]), (longest, &[2; 6][..]));
            let read = Packet::read(&frame).expect("a packet");
            assert_eq!((read.source(), read.destination()), (packet.destination(), packet.source()));
            // an error about an error is never sent
            assert_eq!(replies(&read, Ends::Both).back, None);
        }
    }

    #[test]
    fn what_was_sent_to_many_is_not_answered() {
        let v4 = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 10, 0, 5], [224, 0, 0, 251], 64);
        let mut many = [0; 16];
        (many[0], many[15]) = (0xff, 1);
        let v6 = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], many, 64);
        for builder in [v4, v6] {
            let mut bytes = Vec::new();
            builder.udp(5353, 5353).write(&mut bytes, b"hello").expect("room");
            assert_eq!(replies(&Packet::read(&bytes).expect("a packet"), Ends::Both).back, None);
        }
    }

    #[test]
    fn both_ends_are_told() {
        for builder in builders() {
            let mut bytes = Vec::new();
            builder.tcp(40_000, 443, 1000, 8192).ack(77).psh().write(&mut bytes, b"hello").expect("room");
            let packet = Packet::read(&bytes).expect("a packet");
            let (onward, back) = super::resets(&packet).expect("resets");
            for (frame, seq, sport, first) in [(&onward, 1000, 40_000, 2), (&back, 77, 443, 4)] {
                let reset = Packet::read(frame).expect("a packet");
                let way = Direction::ToServer;
                let tcp = Segment::read(way, reset.source(), reset.destination(), reset.transport(), Checksum::Verify)
                    .expect("a segment");
                assert_eq!((tcp.seq, reset.walk.sport, tcp.flags), (seq, sport, flag::RST | flag::ACK));
                assert!(reset.payload().is_empty());
                assert_eq!(frame[6], first, "sender's Ethernet address");
            }
            let back = Packet::read(&back).expect("a packet");
            assert_eq!(back.transport()[8..12], 1005u32.to_be_bytes());
        }
    }
}
