//! Datagrams whose protocol shows late: behind something else, or within STUN.

use dropgate_abi::{flow::app, reason::Reason};

use super::wire::{Wire, expecting};
use crate::{
    inspect::{Answer, Beginning},
    policy::model::Reaction,
    protocol::{
        Direction::{ToClient, ToServer},
        MOST_DATAGRAMS, Protocol,
    },
};

/// A flow of which no datagram has been sent yet.
fn flow(expected: &[Protocol], unknown: Reaction) -> Wire {
    let mut rules = expecting(expected);
    rules.inspection.unknown = unknown;
    let mut wire = Wire::new(rules, 3478);
    wire.another(Beginning::Seen);
    wire
}

/// A packet of a voice.
fn media(sequence: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 8, 0x61, sequence, 0, 0, 0, sequence * 80, 0x0a, 0x0b, 0x0c, 0x0d];
    packet.resize(60, 0xd5);
    packet
}

/// A report of one who receives, encrypted.
const REPORT: &[u8] =
    b"\x80\xc9\x00\x01\x0a\x0b\x0c\x0d\x98\x0f\x9c\xc5\x80\x00\x00\x01\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00";

/// A binding request.
fn binding() -> Vec<u8> {
    [b"\x00\x01\x00\x00\x21\x12\xa4\x42".as_slice(), &[7; 12]].concat()
}

/// A record of DTLS that carries data.
fn sealed() -> Vec<u8> {
    [b"\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x09\x00\x20".as_slice(), &[0x41; 32]].concat()
}

/// What opens the way through a translating gateway is told of, and what follows is looked at nevertheless.
#[test]
fn a_flow_that_begins_with_something_else() {
    let mut wire = flow(&[Protocol::Rtp], Reaction::Alert);
    assert_eq!(wire.datagram(ToServer, &[0; 16]), Answer::Release);
    assert_eq!((wire.found[0].reason, wire.talk.app), (Reason::app_unknown, app::UNKNOWN));
    for sequence in 1..=3 {
        assert!(!wire.talk.settled);
        assert_eq!(wire.datagram(ToServer, &media(sequence)), Answer::Release);
    }
    assert!(wire.talk.settled && wire.found.len() == 1, "{:?}", wire.found);
    assert_eq!(wire.talk.app, Protocol::Rtp.number());
    // and where it is not expected, it is not
    let mut wire = flow(&[Protocol::Dns], Reaction::Alert);
    assert_eq!(wire.datagram(ToServer, &[0; 16]), Answer::Release);
    let answers = [1, 2, 3].map(|sequence| wire.datagram(ToServer, &media(sequence)));
    assert_eq!(answers[2], Answer::Drop(Reason::app_mismatch));
    // nor where what is unknown ends
    let mut wire = flow(&[Protocol::Rtp], Reaction::Drop);
    assert_eq!(wire.datagram(ToServer, &[0; 16]), Answer::Drop(Reason::app_unknown));
}

#[test]
fn nothing_that_is_known_is_told_of_once_and_left() {
    let mut wire = flow(&[Protocol::Rtp], Reaction::Alert);
    let sent = (1..).take_while(|_| {
        assert_eq!(wire.datagram(ToServer, &[0; 16]), Answer::Release);
        !wire.talk.settled
    });
    assert_eq!(sent.count() + 1, MOST_DATAGRAMS);
    assert_eq!((wire.found.len(), wire.talk.app), (1, app::UNKNOWN));
}

/// Two that found each other by STUN: what they speak then is the flow's name (RFC 7983).
#[test]
fn what_stun_leads_to() {
    let voice: Vec<Vec<u8>> = (1..=3).map(media).collect();
    let reports = vec![REPORT.to_vec(); MOST_DATAGRAMS];
    let mixed = vec![REPORT.to_vec(), media(1), sealed()];
    for (said, name) in [(voice, Protocol::Rtp), (reports, Protocol::Stun), (mixed, Protocol::Dtls)] {
        let mut wire = flow(&[Protocol::Stun], Reaction::Drop);
        assert_eq!(wire.datagram(ToServer, &binding()), Answer::Release);
        for datagram in &said {
            assert!(!wire.talk.settled, "{name:?}");
            assert_eq!(wire.datagram(ToClient, datagram), Answer::Release);
        }
        assert!(wire.talk.settled && wire.found.is_empty(), "{name:?}: {:?}", wire.found);
        assert_eq!(wire.talk.app, name.number(), "{name:?}");
    }
}

/// A connection that was opened in advance is not forgotten before it is used.
#[test]
fn a_silent_connection_lasts() {
    let mut wire = Wire::new(expecting(&[Protocol::Http]), 80);
    assert!(wire.talk.lasts());
    wire.client(b"GE");
    assert!(!wire.talk.lasts());
    assert!(!flow(&[Protocol::Dns], Reaction::Drop).talk.lasts(), "there is no connection");
}
