//! Bytes cut, ordered and repeated in ways that receivers put right again.

use super::{
    Case,
    Legal::{AtOnce, InSpiteOfNoise, SaidAgain},
    case,
};
use crate::evasion::packet::URG;

pub const CASES: &[Case] = &[
    case(
        "one_byte_segments",
        "Ptacek and Newsham 1998",
        "app_mismatch",
        AtOnce,
        "put together before it is judged",
        |hand, truth, _| {
            hand.open();
            truth.iter().enumerate().for_each(|(at, byte)| hand.say(at, &[*byte]));
            truth.to_vec()
        },
    ),
    case(
        "two_segments",
        "RFC 9293, 3.10.7.4",
        "app_mismatch",
        AtOnce,
        "put together before it is judged",
        |hand, truth, _| {
            hand.open();
            let half = truth.len() / 2;
            hand.say(0, &truth[..half]);
            hand.say(half, &truth[half..]);
            truth.to_vec()
        },
    ),
    case(
        "two_records",
        "RFC 8446, 5.1",
        "app_mismatch",
        AtOnce,
        "a hello is read through the boundaries of records",
        |hand, truth, _| {
            hand.open();
            let said = two_records(truth);
            hand.say(0, &said);
            said
        },
    ),
    case(
        "last_segment_first",
        "RFC 9293, 3.10.7.4",
        "app_mismatch",
        AtOnce,
        "what lies beyond a gap waits until it is filled",
        |hand, truth, _| {
            hand.open();
            for (at, part) in truth.chunks(16).enumerate().rev() {
                hand.say(at * 16, part);
            }
            truth.to_vec()
        },
    ),
    case(
        "every_segment_twice",
        "RFC 9293, 3.8.1",
        "app_mismatch",
        AtOnce,
        "the second copy is compared, and passes",
        |hand, truth, _| {
            hand.open();
            for (at, part) in truth.chunks(16).enumerate() {
                hand.say(at * 16, part);
                hand.say(at * 16, part);
            }
            truth.to_vec()
        },
    ),
    case(
        "segments_that_overlap",
        "RFC 9293, 3.10.7.4",
        "app_mismatch",
        AtOnce,
        "what is known is compared, what is new inspected",
        |hand, truth, _| {
            hand.open();
            for at in (0..truth.len()).step_by(12) {
                hand.say(at, &truth[at..truth.len().min(at + 24)]);
            }
            truth.to_vec()
        },
    ),
    case(
        "decoy_ahead_then_truth",
        "Ptacek and Newsham 1998",
        "tcp_bytes_differ",
        AtOnce,
        "the first copy of a byte counts, also beyond a gap",
        |hand, truth, decoy| {
            hand.open();
            hand.say(1, &decoy[1..]);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "truth_ahead_then_decoy",
        "Ptacek and Newsham 1998",
        "tcp_bytes_differ",
        InSpiteOfNoise,
        "the first copy of a byte counts, also beyond a gap",
        |hand, truth, decoy| {
            hand.open();
            hand.say(8, &truth[8..]);
            hand.say(0, decoy);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "decoy_acknowledged_then_truth",
        "RFC 9293, 3.10.7.4",
        "",
        AtOnce,
        "the receiver has the first copy, and takes no other",
        |hand, truth, decoy| {
            hand.open();
            hand.say(0, decoy);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "window_closed_by_the_client",
        "RFC 9293, 3.8.6.1",
        "app_mismatch",
        AtOnce,
        "the other direction waits, this one does not",
        |hand, truth, _| {
            hand.window = 0;
            hand.open();
            hand.say(0, truth);
            hand.listen(std::time::Duration::from_millis(100), |_| false);
            hand.window = 0xf000;
            hand.say(hand.acknowledged(), b"");
            truth.to_vec()
        },
    ),
    case(
        "numbers_that_wrap",
        "RFC 9293, 3.4",
        "app_mismatch",
        AtOnce,
        "places in the stream do not wrap",
        |hand, truth, _| {
            hand.begin_at(u32::MAX - 40);
            hand.open();
            for (at, part) in truth.chunks(16).enumerate() {
                hand.say(at * 16, part);
            }
            truth.to_vec()
        },
    ),
    case(
        "keep_alive_with_garbage",
        "RFC 9293, 3.8.4",
        "app_mismatch",
        AtOnce,
        "a byte that the receiver has already",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, b"?");
            let seq = segment.seq.wrapping_sub(1);
            hand.send(&segment.seq(seq));
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case("congestion_flags", "RFC 3168, 6.1", "app_mismatch", AtOnce, "no matter", |hand, truth, _| {
        hand.open();
        let segment = hand.at(0, truth);
        let flags = segment.flags | 0xc0;
        hand.send(&segment.flags(flags));
        truth.to_vec()
    }),
    case(
        "urgent_decoy",
        "RFC 9293, 3.8.5",
        "tcp_urgent",
        SaidAgain,
        "dropped while it is not known what is spoken: receivers take urgent bytes out of the stream",
        |hand, truth, decoy| {
            // Sockets leave urgent bytes out: what is inspected would begin with the decoy, and what is read with the truth.
            hand.open();
            if decoy == truth {
                let mut segment = hand.at(0, truth);
                (segment.flags, segment.urgent) = (segment.flags | URG, 1);
                hand.send(&segment);
                return truth.to_vec();
            }
            for (at, byte) in decoy.iter().enumerate() {
                let mut segment = hand.at(at, &[*byte]);
                (segment.flags, segment.urgent) = (segment.flags | URG, 1);
                hand.send(&segment);
            }
            hand.say(decoy.len(), truth);
            // Said again plainly, it would be a request, and what follows it.
            Vec::new()
        },
    ),
];

/// A hello in two records instead of one; anything else as it is.
fn two_records(truth: &[u8]) -> Vec<u8> {
    if truth[0] != 22 {
        return truth.to_vec();
    }
    let (first, second) = truth[5..].split_at(30);
    let record = |part: &[u8]| [&[22, 3, 1, 0, u8::try_from(part.len()).unwrap()], part].concat();
    [record(first), record(second)].concat()
}
