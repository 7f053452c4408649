//! Ways to show a device in the path something else than the server gets, one function each.
//!
//! Each is given what the client really says, and as many bytes of something else, for decoys; it returns what the stream is
//! to hold in the end. Whatever the server has not acknowledged then is said again, plainly.

use super::{
    client::{EXPIRES, Hand},
    packet::{FIN, RST, URG},
};
use crate::frames::{ACK, SYN};

/// What comes of it when the client means no harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Legal {
    /// The server answers to what the trick sent; what decoys there are say the same as the truth.
    AtOnce,
    /// As [`Legal::AtOnce`], although decoys hold other bytes: no receiver takes them.
    InSpiteOfNoise,
    /// What the trick sent does not arrive, by the gateway's kernel or by us; said again plainly, it does.
    SaidAgain,
    /// No client does this and goes on: the connection stands still.
    Cut,
}

/// Families that it exists in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum In {
    Both,
    V4,
    V6,
}

pub struct Case {
    pub name: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// What Dropgate does with it.
    pub handling: &'static str,
    /// Why what must not get through does not; one of the reasons that are counted for such a flow.
    pub reason: &'static str,
    pub legal: Legal,
    pub family: In,
    /// To the server that takes data on a SYN.
    pub early: bool,
    pub run: fn(&mut Hand, &[u8], &[u8]) -> Vec<u8>,
}

const fn case(
    name: &'static str,
    source: &'static str,
    reason: &'static str,
    legal: Legal,
    handling: &'static str,
    run: fn(&mut Hand, &[u8], &[u8]) -> Vec<u8>,
) -> Case {
    Case { name, source, handling, reason, legal, family: In::Both, early: false, run }
}

const fn v4(case: Case) -> Case {
    Case { family: In::V4, ..case }
}

const fn v6(case: Case) -> Case {
    Case { family: In::V6, ..case }
}

const fn early(case: Case) -> Case {
    Case { early: true, ..case }
}

use Legal::*;

/// Every case, in the order of the table in `docs/evasion.md`.
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
        "low_ttl_decoy",
        "Ptacek and Newsham 1998",
        "tcp_bytes_differ",
        AtOnce,
        "the decoy is the first copy, and the truth another one",
        |hand, truth, decoy| {
            hand.open();
            let segment = hand.at(0, decoy).ttl(EXPIRES);
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case("wrong_checksum_decoy", "RFC 9293, 3.1", "tcp_checksum", InSpiteOfNoise, "dropped", |hand, truth, decoy| {
        hand.open();
        let segment = hand.at(0, decoy).wrong_checksum();
        hand.send(&segment);
        hand.say(0, truth);
        truth.to_vec()
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
        |hand, truth, decoy| {
            hand.open();
            let segment = hand.at(0, decoy).flags(super::packet::PSH);
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case("decoy_without_flags", "RFC 9293, 3.1", "tcp_flags_none", InSpiteOfNoise, "dropped", |hand, truth, decoy| {
        hand.open();
        let segment = hand.at(0, decoy).flags(0);
        hand.send(&segment);
        hand.say(0, truth);
        truth.to_vec()
    }),
    case(
        "old_timestamp_decoy",
        "RFC 7323, 5.3",
        "tcp_timestamp_old",
        InSpiteOfNoise,
        "dropped",
        |hand, truth, decoy| {
            hand.open();
            let segment = hand.at(0, decoy).timestamp_moved(-100_000);
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
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
    case(
        "reset_in_the_window",
        "RFC 5961, 3.2",
        "app_mismatch",
        AtOnce,
        "passes and changes nothing: the receiver challenges it",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(1000, b"").flags(RST);
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case("reset_beyond_the_window", "RFC 5961, 3.2", "tcp_reset_invalid", AtOnce, "dropped", |hand, truth, _| {
        hand.open();
        let segment = hand.at(20_000_000, b"").flags(RST);
        hand.send(&segment);
        hand.say(0, truth);
        truth.to_vec()
    }),
    case("reset_with_wrong_checksum", "RFC 9293, 3.1", "tcp_checksum", AtOnce, "dropped", |hand, truth, _| {
        hand.open();
        let segment = hand.at(0, b"").flags(RST | ACK).wrong_checksum();
        hand.send(&segment);
        hand.say(0, truth);
        truth.to_vec()
    }),
    case(
        "low_ttl_reset",
        "Ptacek and Newsham 1998",
        "tcp_after_reset",
        Cut,
        "believed: its sender may say nothing more",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, b"").flags(RST | ACK).ttl(EXPIRES);
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
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
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, b"").flags(FIN | ACK).ttl(EXPIRES);
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
    case("fin_with_wrong_checksum", "RFC 9293, 3.1", "tcp_checksum", AtOnce, "dropped", |hand, truth, _| {
        hand.open();
        let segment = hand.at(0, b"").flags(FIN | ACK).wrong_checksum();
        hand.send(&segment);
        hand.say(0, truth);
        truth.to_vec()
    }),
    case(
        "fin_before_the_data",
        "RFC 9293, 3.10.7.4",
        "app_mismatch",
        AtOnce,
        "waits until the gap before it is filled",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(truth.len(), b"").flags(FIN | ACK);
            hand.send(&segment);
            hand.say(0, truth);
            truth.to_vec()
        },
    ),
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
            [decoy, truth].concat()
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
    case(
        "options_that_make_no_sense",
        "RFC 9293, 3.1",
        "app_mismatch",
        AtOnce,
        "not read further",
        |hand, truth, _| {
            hand.open();
            let segment = hand.at(0, truth).option(&[253, 0, 9, 9, 9, 9]);
            hand.send(&segment);
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
    case(
        "priority_tag",
        "IEEE 802.1Q, 9.6",
        "vlan_unknown",
        SaidAgain,
        "dropped, like every tag that no zone has",
        |hand, truth, _| {
            hand.open();
            let packet = hand.at(0, truth).packet(&hand.path);
            hand.send_tagged(&[0], &packet);
            truth.to_vec()
        },
    ),
    v4(case("no_operation_options", "RFC 791, 3.1", "app_mismatch", AtOnce, "looked through", |hand, truth, _| {
        with_ip_options(hand, truth, &[1, 1, 1, 0])
    })),
    v4(case("record_route", "RFC 791, 3.1", "app_mismatch", AtOnce, "looked through", |hand, truth, _| {
        with_ip_options(hand, truth, &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    })),
    v4(case("router_alert", "RFC 2113", "app_mismatch", AtOnce, "looked through", |hand, truth, _| {
        with_ip_options(hand, truth, &[148, 4, 0, 0])
    })),
    v4(case(
        "loose_source_route",
        "RFC 7126, 4.3",
        "app_mismatch",
        SaidAgain,
        "looked through; the gateway's kernel refuses it",
        |hand, truth, _| with_ip_options(hand, truth, &[131, 7, 4, 198, 51, 100, 9, 0]),
    )),
    v4(case(
        "strict_source_route",
        "RFC 7126, 4.4",
        "app_mismatch",
        SaidAgain,
        "looked through; the gateway's kernel refuses it",
        |hand, truth, _| with_ip_options(hand, truth, &[137, 7, 4, 198, 51, 100, 9, 0]),
    )),
    v6(case("hop_by_hop_options", "RFC 8200, 4.3", "app_mismatch", AtOnce, "looked through", |hand, truth, _| {
        with_extensions(hand, truth, &[(0, &[0, 1, 4, 0, 0, 0, 0])])
    })),
    v6(case("destination_options", "RFC 8200, 4.6", "app_mismatch", AtOnce, "looked through", |hand, truth, _| {
        with_extensions(hand, truth, &[(60, &[0, 1, 4, 0, 0, 0, 0])])
    })),
    v6(case("many_extension_headers", "RFC 8200, 4.1", "app_mismatch", AtOnce, "looked through", |hand, truth, _| {
        let padding: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
        with_extensions(hand, truth, &[(0, padding), (60, padding), (43, &[0, 77, 0, 0, 0, 0, 0]), (60, padding)])
    })),
    v6(case("routing_header_of_type_0", "RFC 5095", "ip6_routing_type0", SaidAgain, "dropped", |hand, truth, _| {
        with_extensions(hand, truth, &[(43, &[0, 0, 0, 0, 0, 0, 0])])
    })),
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

fn with_ip_options(hand: &mut Hand, truth: &[u8], options: &[u8]) -> Vec<u8> {
    hand.open();
    let mut segment = hand.at(0, truth);
    segment.ip_options = options.to_vec();
    hand.send(&segment);
    truth.to_vec()
}

fn with_extensions(hand: &mut Hand, truth: &[u8], headers: &[(u8, &[u8])]) -> Vec<u8> {
    hand.open();
    let mut segment = hand.at(0, truth);
    segment.extensions = headers.iter().map(|(number, body)| (*number, body.to_vec())).collect();
    hand.send(&segment);
    truth.to_vec()
}

/// A hello in two records instead of one; anything else as it is.
fn two_records(truth: &[u8]) -> Vec<u8> {
    if truth[0] != 22 {
        return truth.to_vec();
    }
    let (first, second) = truth[5..].split_at(30);
    let record = |part: &[u8]| [&[22, 3, 1, 0, u8::try_from(part.len()).unwrap()], part].concat();
    [record(first), record(second)].concat()
}
