//! The same bytes in IP fragments.

use super::{
    Case,
    Legal::{AtOnce, Eventually, SaidAgain},
    case, v6,
};
use crate::{
    evasion::{
        client::{EXPIRES, Hand},
        packet::Segment,
    },
    frames::{ICMPV6, Path, TCP},
};

/// Bytes of a fragment: the first one holds the TCP header.
const PART: usize = 40;

pub const CASES: &[Case] = &[
    case(
        "in_fragments",
        "RFC 791, 3.2; RFC 8200, 4.5",
        "app_mismatch",
        AtOnce,
        "put together before it is judged; the fragments leave as they came",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, truth);
            parts(hand, &segment).iter().for_each(|part| hand.send_packet(part));
            truth.to_vec()
        },
    ),
    case(
        "last_fragment_first",
        "RFC 791, 3.2; RFC 8200, 4.5",
        "app_mismatch",
        AtOnce,
        "waits for the first one",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, truth);
            parts(hand, &segment).iter().rev().for_each(|part| hand.send_packet(part));
            truth.to_vec()
        },
    ),
    case(
        "every_fragment_twice",
        "RFC 8200, 4.5",
        "fragment_already_held",
        AtOnce,
        "the second copy is dropped",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, truth);
            for part in parts(hand, &segment) {
                hand.send_packet(&part);
                hand.send_packet(&part);
            }
            truth.to_vec()
        },
    ),
    case(
        "fragments_that_overlap",
        "RFC 5722; RFC 1858, 3.2",
        "datagram_overlap",
        SaidAgain,
        "the datagram is dropped, whether their bytes differ or not",
        |hand, truth, decoy| {
            hand.open();
            let (segment, other) = (hand.at(0, truth), hand.at(0, decoy));
            let parts = parts(hand, &segment);
            let bytes = other.transport(&hand.path);
            hand.send_packet(&parts[0]);
            hand.send_packet(&fragment(hand, &segment, PART - 8, true, &bytes[PART - 8..PART * 2]));
            parts[1..].iter().for_each(|part| hand.send_packet(part));
            truth.to_vec()
        },
    ),
    case(
        "low_ttl_fragment_then_truth",
        "RFC 5722; Ptacek and Newsham 1998",
        "datagram_overlap",
        Eventually,
        "of two fragments in one place that differ the datagram is dropped, of equal ones the second",
        |hand, truth, decoy| {
            hand.open();
            let (segment, other) = (hand.at(0, truth), hand.at(0, decoy).ttl(EXPIRES));
            let (parts, decoys) = (parts(hand, &segment), parts(hand, &other));
            for (part, decoy) in parts.iter().zip(&decoys).skip(1) {
                hand.send_packet(decoy);
                hand.send_packet(part);
            }
            hand.send_packet(&parts[0]);
            truth.to_vec()
        },
    ),
    case(
        "low_ttl_fragment_replaced",
        "Ptacek and Newsham 1998",
        "datagram_again",
        Eventually,
        "what has the identification of a datagram that has left is dropped",
        |hand, truth, decoy| {
            hand.open();
            let segment = hand.at(0, decoy);
            let half = PART * 2 - (segment.transport(&hand.path).len() - decoy.len());
            let mixed = [&decoy[..half], &truth[half..]].concat();
            let other = balanced(&hand.path, &segment, &mixed);
            let (parts, others) = (parts(hand, &segment), parts(hand, &other));
            parts[..2].iter().for_each(|part| hand.send_packet(part));
            let expiring = self::parts(hand, &segment.clone().ttl(EXPIRES));
            expiring[2..].iter().for_each(|part| hand.send_packet(part));
            others[2..].iter().for_each(|part| hand.send_packet(part));
            if truth == decoy { truth.to_vec() } else { Vec::new() }
        },
    ),
    case("tiny_first_fragment", "RFC 1858, 3", "fragment_tiny", SaidAgain, "dropped", |hand, truth, _| {
        hand.open();
        let segment = hand.at(0, truth);
        let bytes = segment.transport(&hand.path);
        hand.send_packet(&fragment(hand, &segment, 0, true, &bytes[..8]));
        hand.send_packet(&fragment(hand, &segment, 8, false, &bytes[8..]));
        truth.to_vec()
    }),
    case("header_overwritten", "RFC 3128", "fragment_overlap", SaidAgain, "dropped", |hand, truth, _| {
        hand.open();
        let segment = hand.at(0, truth);
        let bytes = segment.transport(&hand.path);
        hand.send_packet(&fragment(hand, &segment, 0, true, &bytes[..PART]));
        hand.send_packet(&fragment(hand, &segment, 8, false, &bytes[8..]));
        truth.to_vec()
    }),
    case("two_ends", "RFC 791, 3.2", "datagram_length", SaidAgain, "the datagram is dropped", |hand, truth, _| {
        hand.open();
        let segment = hand.at(0, truth);
        let parts = parts(hand, &segment);
        hand.send_packet(&fragment(hand, &segment, PART * 4, false, b"the end!"));
        parts.iter().for_each(|part| hand.send_packet(part));
        truth.to_vec()
    }),
    v6(case("atomic_fragment", "RFC 6946", "app_mismatch", AtOnce, "a whole packet", |hand, truth, _| {
        hand.open();
        let segment = hand.at(0, truth);
        hand.send_packet(&fragment(hand, &segment, 0, false, &segment.transport(&hand.path)));
        truth.to_vec()
    })),
    v6(case(
        "atomic_fragment_of_a_known_identification",
        "RFC 6946",
        "app_mismatch",
        Eventually,
        "a whole packet; a kernel that puts datagrams together in the gateway drops it",
        |hand, truth, decoy| {
            hand.open();
            let (segment, other) = (hand.at(0, truth), hand.at(truth.len(), decoy));
            hand.send_packet(&parts(hand, &other)[0]);
            hand.send_packet(&fragment(hand, &segment, 0, false, &segment.transport(&hand.path)));
            truth.to_vec()
        },
    )),
    v6(case(
        "another_protocol_in_later_fragments",
        "RFC 8200, 4.5",
        "app_mismatch",
        AtOnce,
        "the first fragment says which it is",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, truth);
            let bytes = segment.transport(&hand.path);
            hand.send_packet(&fragment(hand, &segment, 0, true, &bytes[..PART]));
            hand.send_packet(&fragment_of(hand, &segment, ICMPV6, PART, false, &bytes[PART..]));
            truth.to_vec()
        },
    )),
    v6(case("fragment_header_twice", "RFC 8200, 4.1", "ip6_ext_order", SaidAgain, "dropped", |hand, truth, _| {
        hand.open();
        let mut segment = hand.at(0, truth);
        segment.extensions = vec![(44, vec![0; 7])];
        parts(hand, &segment).iter().for_each(|part| hand.send_packet(part));
        truth.to_vec()
    })),
    v6(case(
        "headers_without_the_transport_header",
        "RFC 7112",
        "fragment_tiny",
        SaidAgain,
        "dropped",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, truth);
            let options = [&[TCP, 2, 1, 20][..], &[0; 20]].concat();
            let bytes = [options, segment.transport(&hand.path)].concat();
            hand.send_packet(&fragment_of(hand, &segment, 60, 0, true, &bytes[..24]));
            hand.send_packet(&fragment_of(hand, &segment, 60, 24, false, &bytes[24..]));
            truth.to_vec()
        },
    )),
    v6(case(
        "options_before_the_fragment_header",
        "RFC 8200, 4.5",
        "app_mismatch",
        AtOnce,
        "looked through",
        |hand, truth, _| {
            hand.open();
            let mut segment = hand.at(0, truth);
            segment.extensions = vec![(60, vec![0, 1, 4, 0, 0, 0, 0])];
            parts(hand, &segment).iter().for_each(|part| hand.send_packet(part));
            truth.to_vec()
        },
    )),
];

/// A segment in fragments.
fn parts(hand: &Hand, segment: &Segment) -> Vec<Vec<u8>> {
    let bytes = segment.transport(&hand.path);
    let last = bytes.len().div_ceil(PART) - 1;
    let part = |(at, part): (usize, &[u8])| fragment(hand, segment, at * PART, at < last, part);
    bytes.chunks(PART).enumerate().map(part).collect()
}

/// A fragment of a segment, from this byte of it on.
fn fragment(hand: &Hand, segment: &Segment, at: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    fragment_of(hand, segment, TCP, at, more, bytes)
}

/// One that names what follows the fragment header, in IPv6.
fn fragment_of(hand: &Hand, segment: &Segment, next: u8, at: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let (id, offset) = (hand.path.ports.0, u16::try_from(at / 8).unwrap());
    if hand.path.from.is_ipv4() {
        return segment.ip4(&hand.path, id, offset | u16::from(more) << 13, bytes);
    }
    let mut segment = segment.clone();
    let field = (offset << 3 | u16::from(more)).to_be_bytes();
    segment.extensions.push((44, [&[0][..], &field, &u32::from(id).to_be_bytes()].concat()));
    segment.ip6(&hand.path, next, bytes)
}

/// The segment with other bytes, the last two of which make its checksum the same.
fn balanced(path: &Path, segment: &Segment, bytes: &[u8]) -> Segment {
    let wanted = segment.transport(path)[16..18].to_vec();
    let at = bytes.len() - 2 - bytes.len() % 2;
    let mut other = Segment { bytes: bytes.to_vec(), ..segment.clone() };
    let found = (0..=u16::MAX).any(|word| {
        other.bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
        other.transport(path)[16..18] == wanted
    });
    assert!(found, "no word makes it the same");
    other
}
