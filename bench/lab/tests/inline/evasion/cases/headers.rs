//! Headers and options around the same bytes.

use super::{
    Case,
    Legal::{AtOnce, SaidAgain},
    case, v4, v6,
};
use crate::evasion::client::Hand;

/// Options of an extension header of eight bytes, behind its first one: padding (RFC 8200, 4.2).
const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

pub const CASES: &[Case] = &[
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
    case("priority_tag", "IEEE 802.1Q, 9.6", "app_mismatch", AtOnce, "read as an untagged frame", |hand, truth, _| {
        hand.open();
        let packet = hand.at(0, truth).packet(&hand.path);
        hand.send_tagged(&[0], &packet);
        truth.to_vec()
    }),
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
    v6(case(
        "hop_by_hop_options_behind_others",
        "RFC 8200, 4.1",
        "ip6_ext_order",
        SaidAgain,
        "dropped",
        |hand, truth, _| with_extensions(hand, truth, &[(60, PADDING), (0, PADDING)]),
    )),
    v6(case("destination_options_thrice", "RFC 8200, 4.1", "ip6_ext_order", SaidAgain, "dropped", |hand, truth, _| {
        with_extensions(hand, truth, &[(60, PADDING); 3])
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
