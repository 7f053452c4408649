//! When a flow leaves inspection, and what leaves before it is known what is spoken.

use dropgate_abi::reason::Reason;

use super::wire::{Wire, expecting};
use crate::{
    inspect::{Answer, Awaited, Rules},
    policy::model::Reaction,
    protocol::{
        Direction::{ToClient, ToServer},
        Protocol,
    },
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n";

#[test]
fn once_the_receiver_has_what_was_inspected() {
    let mut wire = Wire::new(expecting(&[Protocol::Http]), 80);
    assert_eq!(wire.client(REQUEST), Answer::Release);
    assert!(wire.talk.settled);
    assert_eq!(wire.judged.finished, None);
    // the receiver may not have had it: it cannot be given other bytes now
    assert_eq!(wire.instead(ToServer, &[b'x'; REQUEST.len()]), Answer::Drop(Reason::tcp_bytes_differ));
    assert_eq!(wire.instead(ToServer, REQUEST), Answer::Release);
    assert_eq!(wire.judged.finished, None);
    assert_eq!(wire.server(b""), Answer::Release);
    assert_eq!(wire.judged.finished, Some(Protocol::Http.number()));
}

#[test]
fn once_the_programs_saw_it_acknowledged() {
    let mut wire = Wire::new(expecting(&[Protocol::Http]), 80);
    assert_eq!(wire.client(REQUEST), Answer::Release);
    let number = 1001 + REQUEST.len() as u32;
    let awaited = Awaited { direction: ToServer, number, app: Protocol::Http.number() };
    assert_eq!((wire.judged.finished, wire.judged.awaited), (None, Some(awaited)));
    // the client goes on before it is: all of it is waited for
    assert_eq!(wire.client(b"more"), Answer::Release);
    assert_eq!(wire.judged.awaited, Some(Awaited { number: number + 4, ..awaited }));
    // other bytes do not take the place of those that were inspected
    assert_eq!(wire.instead(ToServer, b"less"), Answer::Drop(Reason::tcp_bytes_differ));
    wire.talk.heard(ToClient, (number - 1, 65_000));
    assert_eq!(wire.client(b""), Answer::Release);
    assert_eq!(wire.judged.finished, None);
    wire.talk.heard(ToClient, (number, 65_000));
    assert_eq!(wire.client(b""), Answer::Release);
    assert_eq!((wire.judged.finished, wire.judged.awaited), (Some(Protocol::Http.number()), None));
    // to the end of the flow, nothing is waited for
    let mut rules = expecting(&[Protocol::Http]);
    rules.inspection.everything = true;
    let mut wire = Wire::new(rules, 80);
    wire.client(REQUEST);
    assert_eq!(wire.judged.awaited, None);
}

#[test]
fn whatever_it_turns_out_to_be() {
    // an upgrade that is not asked for to the end: HTTP or WebSocket, and neither belongs there
    let mut wire = Wire::new(expecting(&[Protocol::Ssh]), 22);
    assert_eq!(wire.client(&REQUEST[..REQUEST.len() - 2]), Answer::Drop(Reason::app_mismatch));
    assert_eq!(wire.found[0].found, Some(Protocol::Http));
    let mut wire = Wire::new(expecting(&[Protocol::WebSocket]), 80);
    assert_eq!(wire.client(&REQUEST[..REQUEST.len() - 2]), Answer::Wait);
}

#[test]
fn not_even_its_first_byte() {
    let mut wire = Wire::new(expecting(&[Protocol::Tls]), 443);
    assert_eq!(wire.client(b"S"), Answer::Wait);
    assert!(wire.talk.let_go().is_empty());
    assert_eq!(wire.server(b""), Answer::Drop(Reason::app_mismatch));
    assert_eq!((wire.found.len(), wire.found[0].found), (1, None));
    // with a name, if it shows in time
    let mut wire = Wire::new(expecting(&[Protocol::Tls]), 443);
    assert_eq!(wire.client(b"S"), Answer::Wait);
    assert_eq!(wire.client(b"SH-2.0-x\r\n"), Answer::Drop(Reason::app_mismatch));
    assert_eq!(wire.found[0].found, Some(Protocol::Ssh));
    // what may be unknown may have to be heard to go on
    let mut rules: Rules = expecting(&[Protocol::Tls]);
    rules.inspection.unknown = Reaction::Alert;
    let mut wire = Wire::new(rules, 443);
    assert_eq!(wire.client(b"S"), Answer::Wait);
    assert_eq!(wire.talk.let_go().len(), 1);
    assert_eq!(wire.server(b""), Answer::Release);
}

/// What is with us of a flow that ends, ends with it, and is told.
#[test]
fn or_ends_here_for_a_reason() {
    let mut wire = Wire::new(expecting(&[Protocol::Tls]), 443);
    assert_eq!(wire.client(b"S"), Answer::Wait);
    assert_eq!(wire.ahead(ToServer, 10, b"out of turn"), Answer::Keep);
    assert!(wire.judged.discarded.is_empty());
    assert_eq!(wire.client(b"SH-2.0-x\r\n"), Answer::Drop(Reason::app_mismatch));
    let ended: Vec<_> = wire.judged.discarded.iter().map(|(reason, frame)| (*reason, frame.len() - 54)).collect();
    assert_eq!(ended, [(Reason::app_mismatch, 11), (Reason::app_mismatch, 1)]);
    // a reset ends what waited for a gap to be filled
    let mut wire = Wire::new(expecting(&[Protocol::Tls]), 443);
    assert_eq!(wire.ahead(ToServer, 9, b"out of turn"), Answer::Keep);
    assert_eq!(wire.reset(ToServer), Answer::Release);
    let ended: Vec<_> = wire.judged.discarded.iter().map(|(reason, frame)| (*reason, frame.len() - 54)).collect();
    assert_eq!(ended, [(Reason::tcp_after_reset, 11)]);
    assert!(!wire.talk.keeps());
}

/// The flow table is told what a flow speaks that stays under inspection, once.
#[test]
fn what_is_followed_has_a_name() {
    let mut wire = Wire::new(expecting(&[Protocol::Smtp]), 25);
    let mut noted = Vec::new();
    for (direction, said) in [
        (ToClient, b"220 mail.example ESMTP\r\n".as_slice()),
        (ToServer, b"EHLO a.example\r\n"),
        (ToClient, b"250 mail.example\r\n"),
        (ToServer, b"NOOP\r\n"),
    ] {
        assert!(Wire::passes(wire.say(direction, said)));
        noted.extend(wire.judged.noted);
        assert_eq!(wire.judged.finished, None);
    }
    assert_eq!(noted, [Protocol::Smtp.number()]);
    // one of which nothing more is wanted is told of when it leaves
    let mut wire = Wire::new(expecting(&[Protocol::Http]), 80);
    assert_eq!(wire.client(REQUEST), Answer::Release);
    assert_eq!((wire.talk.settled, wire.judged.noted), (true, None));
    // and never leaves where everything is held
    let mut rules: Rules = expecting(&[Protocol::Http]);
    rules.inspection.everything = true;
    let mut wire = Wire::new(rules, 80);
    assert_eq!(wire.client(REQUEST), Answer::Release);
    assert_eq!(wire.judged.noted, Some(Protocol::Http.number()));
}

#[test]
fn in_the_order_in_which_it_came() {
    let mut wire = Wire::new(expecting(&[Protocol::Http]), 80);
    let (first, second) = REQUEST.split_at(20);
    assert_eq!(wire.ahead(ToServer, first.len(), second), Answer::Keep);
    assert!(wire.judged.let_go.is_empty());
    assert_eq!(wire.client(first), Answer::Keep);
    let lengths: Vec<usize> = wire.judged.let_go.iter().map(|frame| frame.len() - 54).collect();
    assert_eq!(lengths, [second.len(), first.len()]);
    assert_eq!(wire.ahead(ToClient, 0, b""), Answer::Release);
}
