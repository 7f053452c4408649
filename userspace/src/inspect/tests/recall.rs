//! Flows met in mid-stream, UDP peers that go on, and flows for which there is no memory.

use dropgate_abi::reason::Reason;

use super::wire::{Wire, expecting};
use crate::{
    inspect::{Answer, Beginning, Rules},
    policy::model::{self, Midstream, Reaction},
    protocol::{Direction::ToServer, Protocol},
};

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n";
/// Ten minutes, for which peers are remembered.
const KEPT_NS: u64 = 600 * 1_000_000_000;

fn midstream(expected: &[Protocol], midstream: Midstream) -> Wire {
    let mut rules = expecting(expected);
    rules.inspection.midstream = midstream;
    let mut wire = Wire::new(rules, 443);
    wire.another(Beginning::Before);
    wire
}

#[test]
fn a_stream_met_in_its_middle() {
    for (expected, answer, settled, found) in [
        (Protocol::Tls, Midstream::Pass, true, None),
        (Protocol::Http, Midstream::Identify, true, None),
        (Protocol::Tls, Midstream::Identify, false, Some(Reason::app_mismatch)),
        (Protocol::Http, Midstream::Drop, false, None),
    ] {
        let mut wire = midstream(&[expected], answer);
        let judged = wire.client(HTTP);
        assert_eq!(wire.talk.settled, settled, "{expected:?} {answer:?}");
        assert_eq!(wire.found.first().map(|finding| finding.reason), found, "{expected:?} {answer:?}");
        assert_eq!(Wire::passes(judged), settled, "{expected:?} {answer:?}: {judged:?}");
    }
    let mut wire = midstream(&[Protocol::Http], Midstream::Drop);
    assert_eq!(wire.client(HTTP), Answer::Drop(Reason::tcp_mid_stream));
    assert_eq!(wire.judged.condemned, Some((Reason::tcp_mid_stream, 0)));
}

/// Nothing that is known can be told from it.
#[test]
fn a_middle_that_tells_nothing_passes() {
    let mut wire = midstream(&[Protocol::Tls], Midstream::Identify);
    assert!(Wire::passes(wire.client(&[0x93; 4000])));
    assert!(wire.talk.settled && wire.found.is_empty(), "{:?}", wire.found);
}

/// Records of TLS, met after the hello: told by their form, and not called fake.
#[test]
fn records_in_mid_stream() {
    let record = |length: u8| [vec![0x17, 3, 3, 0, length], vec![0xa5; length.into()]].concat();
    let mut wire = midstream(&[Protocol::Tls], Midstream::Identify);
    assert!(Wire::passes(wire.client(&[record(40), record(60), record(30)].concat())));
    assert!(wire.talk.settled && wire.found.is_empty(), "{:?}", wire.found);
    assert_eq!(wire.talk.app, Protocol::Tls.number());
}

/// An initiation of WireGuard.
fn initiation() -> Vec<u8> {
    let mut message = vec![1, 0, 0, 0, 1, 2, 3, 4];
    message.resize(132, 0x5a);
    message.resize(148, 0);
    message
}

/// What a session says after a while: nothing that tells.
const LATER: &[u8] = &[0x4d; 90];

fn udp(expected: &[Protocol]) -> Wire {
    let mut wire = Wire::new(expecting(expected), 51_820);
    wire.another(Beginning::Seen);
    wire
}

#[test]
fn a_session_that_was_idle() {
    let mut wire = udp(&[Protocol::Wireguard]);
    assert!(Wire::passes(wire.datagram(ToServer, &initiation())));
    assert!(wire.talk.settled);
    // its flow is gone, and the session goes on
    wire.another(Beginning::Seen);
    wire.now_ns += KEPT_NS / 2;
    assert!(Wire::passes(wire.datagram(ToServer, LATER)));
    assert!(wire.talk.settled && wire.talk.app == Protocol::Wireguard.number());
    // silent for too long
    wire.another(Beginning::Seen);
    wire.now_ns += 3 * KEPT_NS;
    let answers: Vec<Answer> = (0..10).map(|_| wire.datagram(ToServer, LATER)).collect();
    assert!(answers.contains(&Answer::Drop(Reason::app_unknown)), "{answers:?}");
}

#[test]
fn what_tells_is_not_recalled() {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01";
    // what it says now counts, whatever was spoken before
    let mut wire = udp(&[Protocol::Wireguard]);
    wire.datagram(ToServer, &initiation());
    wire.another(Beginning::Seen);
    assert_eq!(wire.datagram(ToServer, query), Answer::Drop(Reason::app_mismatch));
    // a protocol each of whose datagrams tells is not remembered
    let mut wire = udp(&[Protocol::Dns]);
    assert!(Wire::passes(wire.datagram(ToServer, query)) && wire.talk.settled);
    wire.another(Beginning::Seen);
    let answers: Vec<Answer> = (0..10).map(|_| wire.datagram(ToServer, LATER)).collect();
    assert!(answers.contains(&Answer::Drop(Reason::app_unknown)), "{answers:?}");
}

fn full(answer: model::Answer) -> Wire {
    let mut rules: Rules = expecting(&[Protocol::Tls]);
    rules.failure.memory = answer;
    rules.inspection.mismatch = Reaction::Drop;
    Wire::new(rules, 443)
}

#[test]
fn no_memory_left() {
    let mut wire = full(model::Answer::Drop);
    wire.full = true;
    assert_eq!(wire.client(HTTP), Answer::Drop(Reason::inspector_memory));
    assert!(!wire.talk.settled);

    let mut wire = full(model::Answer::Pass);
    wire.full = true;
    assert!(Wire::passes(wire.client(HTTP)) && wire.judged.uninspected);
    assert!(wire.talk.settled && wire.talk.footprint() == 0);
}

/// A fail-open answer lets go what was kept, and nothing overtakes what waits.
#[test]
fn giving_up_lets_everything_go() {
    let mut wire = full(model::Answer::Pass);
    // the start of a hello, which waits for the rest
    assert_eq!(wire.client(b"\x16\x03\x01"), Answer::Wait);
    wire.skip(ToServer, 100);
    assert_eq!(wire.client(b"out of turn"), Answer::Keep);
    assert!(wire.talk.keeps());
    wire.skip(ToServer, 100);
    wire.full = true;
    assert_eq!(wire.client(b"more"), Answer::Wait);
    assert_eq!(wire.judged.let_go.len(), 1);
}
