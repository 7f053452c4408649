//! What rules do to packets.

use std::sync::Arc;

use dropgate_abi::reason::Reason;
use dropgate_signatures::{engine::Ruleset, protocol::App};

use super::wire::{Wire, expecting};
use crate::{
    inspect::{Answer, Rules, Signatures},
    policy::model::Reaction,
    protocol::{Direction, Protocol},
    samples::rules,
};

fn signed(text: &str) -> Rules {
    let signatures = Signatures { ruleset: Arc::new(Ruleset::compile(rules(text))), ..Signatures::default() };
    Rules { signatures: Some(signatures), ..expecting(&[Protocol::Http]) }
}

/// A packet that came before its turn and is dropped by a rule about packets does not leave when its turn comes.
#[test]
fn what_is_dropped_out_of_turn_stays_dropped() {
    for (rule, leaves) in [
        ("drop tcp any any -> any any (dsize:7; content:\"badness\"; sid:1;)", false),
        ("alert tcp any any -> any any (dsize:7; content:\"badness\"; sid:1;)", true),
    ] {
        let mut wire = Wire::new(signed(rule), 80);
        let answer = wire.ahead(Direction::ToServer, 6, b"badness");
        assert_eq!(answer, if leaves { Answer::Keep } else { Answer::Drop(Reason::signature) }, "{rule}");
        assert_eq!(wire.judged.watched.alerts.len(), 1, "{rule}");
        assert_ne!(wire.client(b"GET / "), Answer::Drop(Reason::signature), "{rule}");
        let left = wire.judged.let_go.iter().any(|frame| frame.ends_with(b"badness")) || wire.talk.frames() > 1;
        assert_eq!(left, leaves, "{rule}");
    }
}

/// Rules where whatever is said passes, and is told of.
fn telling(text: &str) -> Rules {
    let mut rules = signed(text);
    rules.inspection.unknown = Reaction::Alert;
    rules.inspection.mismatch = Reaction::Alert;
    rules.signatures.as_mut().unwrap().log = true;
    rules
}

/// One side says something: the rules that match, and the types of what is told.
fn said(wire: &mut Wire, direction: Direction, bytes: &[u8]) -> (Vec<u32>, Vec<&'static str>) {
    assert_eq!(wire.say(direction, bytes), Answer::Release);
    let told = &wire.judged.watched;
    (
        told.alerts.iter().map(|alerted| alerted.rule.sid).collect(),
        told.logged.iter().map(|logged| logged.record.event_type).collect(),
    )
}

#[test]
fn each_end_may_speak_something_else() {
    let rules = telling(
        "alert tcp any any -> any any (app-layer-protocol:http1,to_server; app-layer-protocol:ssh,to_client; sid:1;)\n\
         alert ip any any -> any any (flow:established; app-layer-event:applayer_mismatch_protocol_both_directions; sid:2;)\n\
         alert tcp any any -> any any (app-layer-protocol:ssh; sid:3;)\n",
    );
    let mut wire = Wire::new(rules, 80);
    assert_eq!(said(&mut wire, Direction::ToServer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, [0; 0]);
    let (rules, told) = said(&mut wire, Direction::ToClient, b"SSH-2.0-x\r\n");
    assert_eq!((rules, told.contains(&"anomaly")), (vec![1, 2, 3], true));
    let (rules, told) = said(&mut wire, Direction::ToClient, b"more\r\n");
    assert_eq!((rules, told.contains(&"anomaly")), (vec![], false), "once");
    assert_eq!(wire.talk.told_note().mismatch, Some((Direction::ToClient, App::Ssh)));
}

#[test]
fn a_server_is_read_though_its_client_speaks_nothing_that_is_known() {
    let rules = "alert http any any -> any any (http.response_line; content:\"400\"; sid:1;)";
    let mut wire = Wire::new(telling(rules), 80);
    assert_eq!(said(&mut wire, Direction::ToServer, b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8").0, [0; 0]);
    let answer = b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno";
    let (rules, told) = said(&mut wire, Direction::ToClient, answer);
    assert_eq!((rules, told.contains(&"fileinfo")), (vec![1], true));
    let mut wire = Wire::new(telling("alert smtp any any -> any any (app-layer-event:smtp.invalid_reply; sid:1;)"), 25);
    assert_eq!(said(&mut wire, Direction::ToServer, &b"g\x09\xe4YdYi\xd8HO~\xff\r\n".repeat(20)).0, [0; 0]);
    let greeting = b"220 mail.example ESMTP Sendmail 8.14.3/8.14.3; Thu, 20 Feb 2014 04:02:39 +0900\r\n500 5.5.1 Command\r\nnone\r\n";
    assert_eq!(said(&mut wire, Direction::ToClient, greeting).0, [1]);
}

#[test]
fn a_server_that_says_nothing_is_not_awaited_for_long() {
    let mut wire =
        Wire::new(telling("alert http any any -> any any (http.response_line; content:\"400\"; sid:1;)"), 80);
    let mut heard = 0;
    while wire.talk.is_watched() || heard == 0 {
        said(&mut wire, Direction::ToServer, &[0xfe; 1000]);
        heard += 1000;
        assert!(heard < 32 << 10);
    }
}

#[test]
fn what_passes_is_told_of_all_the_same() {
    let mut wire =
        Wire::new(telling("pass tcp any any -> any 80 (sid:1;)\nalert http any any -> any any (sid:2;)"), 80);
    assert_eq!(said(&mut wire, Direction::ToServer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (vec![], vec![]));
    let (rules, told) = said(&mut wire, Direction::ToClient, b"HTTP/1.1 204 Fine\r\n\r\n");
    assert_eq!((rules, told.contains(&"http")), (vec![], true));
}

#[test]
fn a_handshake_is_over_behind_its_last_acknowledgement() {
    let rules = telling("alert tcp any any -> any any (flow:not_established; sid:1;)\n");
    let mut wire = Wire::new(rules, 80);
    assert_eq!(said(&mut wire, Direction::ToServer, b"").0, [1], "it acknowledges the server's SYN");
    assert_eq!(said(&mut wire, Direction::ToServer, b"").0, [0; 0]);
}
