//! Beginnings of a connection, and what comes with them.

use super::{
    Case,
    Legal::{AtOnce, InSpiteOfNoise, SaidAgain},
    case, early,
};
use crate::{
    evasion::{client::EXPIRES, packet::FIN},
    frames::SYN,
};

pub const CASES: &[Case] = &[
    case(
        "data_on_syn",
        "RFC 9293, 3.10.7.2",
        "app_mismatch",
        SaidAgain,
        "inspected before the SYN is released",
        |hand, truth, _| {
            let mut syn = hand.syn();
            syn.bytes = truth.to_vec();
            hand.send(&syn);
            hand.opened(&syn);
            truth.to_vec()
        },
    ),
    case(
        "decoy_on_syn",
        "RFC 7413",
        "tcp_bytes_differ",
        AtOnce,
        "a server that does not take it gets it again, and it must be the same",
        |hand, truth, decoy| {
            let mut syn = hand.syn();
            syn.bytes = decoy.to_vec();
            hand.send(&syn);
            hand.opened(&syn);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    early(case(
        "fast_open",
        "RFC 7413",
        "app_mismatch",
        AtOnce,
        "inspected before the SYN is released",
        |hand, truth, _| {
            let mut syn = hand.syn();
            syn.bytes = truth.to_vec();
            hand.send(&syn);
            hand.opened(&syn);
            truth.to_vec()
        },
    )),
    case(
        "syn_of_another_number_first",
        "RFC 9293, 3.10.7",
        "app_mismatch",
        AtOnce,
        "the SYN+ACK says which one counts",
        |hand, truth, _| {
            let syn = hand.syn();
            let seq = syn.seq.wrapping_add(5000);
            hand.send(&syn.seq(seq).ttl(EXPIRES));
            hand.open();
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "syn_of_another_number_with_data",
        "RFC 7413",
        "tcp_syn_conflict",
        InSpiteOfNoise,
        "dropped",
        |hand, truth, decoy| {
            let syn = hand.syn();
            hand.send(&syn);
            let seq = syn.seq.wrapping_add(5000);
            let mut other = syn.clone().seq(seq).ttl(EXPIRES);
            other.bytes = decoy.to_vec();
            hand.send(&other);
            hand.opened(&syn);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case(
        "syn_in_an_open_connection",
        "RFC 5961, 4.2",
        "app_mismatch",
        AtOnce,
        "passes and changes nothing: the receiver challenges it",
        |hand, truth, _| {
            hand.open();
            let syn = hand.syn();
            let seq = syn.seq.wrapping_add(5000);
            hand.send(&syn.seq(seq));
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case("syn_with_fin", "RFC 9293, 3.10.7", "tcp_syn_fin", AtOnce, "dropped", |hand, truth, _| {
        let syn = hand.syn();
        hand.send(&syn.flags(SYN | FIN));
        hand.open();
        hand.say(0, truth);
        truth.to_vec()
    }),
    case(
        "handshake_ends_with_data",
        "RFC 9293, 3.5",
        "app_mismatch",
        AtOnce,
        "inspected like any data",
        |hand, truth, _| {
            let syn = hand.syn();
            hand.send(&syn);
            hand.opened_silently();
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
];
