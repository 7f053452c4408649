//! Segments whose bytes are not what the server is to read: it throws them away, or never has them.

use super::{
    Case,
    Legal::{AtOnce, InSpiteOfNoise},
    after, case, v4, v6,
};
use crate::evasion::{client::EXPIRES, packet::PSH};

pub const CASES: &[Case] = &[
    case(
        "low_ttl_decoy",
        "Ptacek and Newsham 1998",
        "tcp_bytes_differ",
        AtOnce,
        "the decoy is the first copy, and the truth another one",
        |hand, truth, decoy| after(hand, truth, |hand| hand.at(0, decoy).ttl(EXPIRES)),
    ),
    case("wrong_checksum_decoy", "RFC 9293, 3.1", "tcp_checksum", InSpiteOfNoise, "dropped", |hand, truth, decoy| {
        after(hand, truth, |hand| hand.at(0, decoy).wrong_checksum())
    }),
    v4(case(
        "wrong_header_checksum_decoy",
        "RFC 1812, 5.2.2",
        "tcp_bytes_differ",
        AtOnce,
        "the gateway's kernel drops the decoy; it was the first copy all the same",
        |hand, truth, decoy| {
            hand.open();
            let mut segment = hand.at(0, decoy);
            segment.wrong_ip_checksum = true;
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    )),
    case(
        "signed_decoy",
        "RFC 2385",
        "tcp_bytes_differ",
        AtOnce,
        "a receiver without the key drops it; it was the first copy all the same",
        |hand, truth, decoy| {
            hand.open();
            let segment = hand.at(0, decoy).option(&[&[19, 18], &[7; 16][..]].concat());
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "decoy_without_ack",
        "RFC 9293, 3.10.7.4",
        "tcp_without_ack",
        InSpiteOfNoise,
        "dropped",
        |hand, truth, decoy| after(hand, truth, |hand| hand.at(0, decoy).flags(PSH)),
    ),
    case("decoy_without_flags", "RFC 9293, 3.1", "tcp_flags_none", InSpiteOfNoise, "dropped", |hand, truth, decoy| {
        after(hand, truth, |hand| hand.at(0, decoy).flags(0))
    }),
    case(
        "old_timestamp_decoy",
        "RFC 7323, 5.3",
        "tcp_timestamp_old",
        InSpiteOfNoise,
        "dropped",
        |hand, truth, decoy| after(hand, truth, |hand| hand.at(0, decoy).timestamp_moved(-100_000)),
    ),
    case(
        "wrong_acknowledgement_decoy",
        "RFC 5961, 5.2",
        "tcp_ack_invalid",
        InSpiteOfNoise,
        "dropped",
        |hand, truth, decoy| {
            hand.open();
            let segment = hand.at(0, decoy);
            let ack = segment.ack.wrapping_add(1_000_000);
            hand.send(&segment.ack(ack));
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "decoy_beyond_the_window",
        "RFC 9293, 3.10.7.4",
        "tcp_out_of_window",
        InSpiteOfNoise,
        "dropped",
        |hand, truth, decoy| {
            hand.open();
            hand.say(20_000_000, decoy);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "decoy_before_the_window",
        "RFC 9293, 3.10.7.4",
        "tcp_out_of_window",
        InSpiteOfNoise,
        "dropped",
        |hand, truth, decoy| {
            hand.open();
            let segment = hand.at(0, decoy);
            let seq = segment.seq.wrapping_sub(100_000);
            hand.send(&segment.seq(seq));
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    v6(case(
        "decoy_with_an_option_to_discard",
        "RFC 8200, 4.2",
        "tcp_bytes_differ",
        AtOnce,
        "the receiver discards the decoy; it was the first copy all the same",
        |hand, truth, decoy| {
            hand.open();
            let mut segment = hand.at(0, decoy);
            segment.extensions = vec![(60, vec![0, 0x5e, 4, 0, 0, 0, 0])];
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    )),
];
