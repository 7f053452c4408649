//! Ends of a connection that the server does not believe, or never hears of.

use super::{
    Case,
    Legal::{AtOnce, Cut},
    after, case,
};
use crate::{
    evasion::{
        client::EXPIRES,
        packet::{FIN, RST},
    },
    frames::ACK,
};

pub const CASES: &[Case] = &[
    case(
        "reset_in_the_window",
        "RFC 5961, 3.2",
        "app_mismatch",
        AtOnce,
        "passes and changes nothing: the receiver challenges it",
        |hand, truth, _| after(hand, truth, |hand| hand.at(1000, b"").flags(RST)),
    ),
    case("reset_beyond_the_window", "RFC 5961, 3.2", "tcp_reset_invalid", AtOnce, "dropped", |hand, truth, _| {
        after(hand, truth, |hand| hand.at(20_000_000, b"").flags(RST))
    }),
    case("reset_with_wrong_checksum", "RFC 9293, 3.1", "tcp_checksum", AtOnce, "dropped", |hand, truth, _| {
        after(hand, truth, |hand| hand.at(0, b"").flags(RST | ACK).wrong_checksum())
    }),
    case(
        "low_ttl_reset",
        "Ptacek and Newsham 1998",
        "tcp_after_reset",
        Cut,
        "believed: its sender may say nothing more",
        |hand, truth, _| after(hand, truth, |hand| hand.at(0, b"").flags(RST | ACK).ttl(EXPIRES)),
    ),
    case(
        "signed_reset",
        "RFC 2385",
        "tcp_after_reset",
        Cut,
        "believed: its sender may say nothing more",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, b"").flags(RST | ACK).option(&[&[19, 18], &[7; 16][..]].concat());
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "low_ttl_fin",
        "Ptacek and Newsham 1998",
        "tcp_after_fin",
        Cut,
        "believed: its sender has ended",
        |hand, truth, _| after(hand, truth, |hand| hand.at(0, b"").flags(FIN | ACK).ttl(EXPIRES)),
    ),
    case("fin_with_wrong_checksum", "RFC 9293, 3.1", "tcp_checksum", AtOnce, "dropped", |hand, truth, _| {
        after(hand, truth, |hand| hand.at(0, b"").flags(FIN | ACK).wrong_checksum())
    }),
    case(
        "fin_before_the_data",
        "RFC 9293, 3.10.7.4",
        "app_mismatch",
        AtOnce,
        "waits until the gap before it is filled",
        |hand, truth, _| after(hand, truth, |hand| hand.at(truth.len(), b"").flags(FIN | ACK)),
    ),
];
