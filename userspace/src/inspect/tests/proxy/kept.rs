//! Services whose servers are proxies: a connection is read to its end, whatever comes first.

use dropgate_abi::reason::Reason;

use super::{HELLO_OK, connect, hello, list, refused, rules};
use crate::{
    inspect::{
        Answer,
        tests::wire::{SERVICE, Wire},
    },
    policy::model::{Proxied, Reaction},
    protocol::{
        Direction::{ToClient, ToServer},
        Protocol,
    },
};

const GET: &[u8] = b"GET /status HTTP/1.1\r\nHost: proxy\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: proxy\r\n\r\n";
/// Its body looks like a request.
const POST: &[u8] = b"POST /form HTTP/1.1\r\nContent-Length: 40\r\n\r\nCONNECT evil.example:22 HTTP/1.1\r\n\r\n1234";
const CHUNKS: &[u8] = b"PUT /form HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
const WEBSOCKET: &[u8] =
    b"GET /chat HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";

/// A service that says so, on any port.
fn says(reaction: Option<Reaction>, port: u16) -> Wire {
    let mut rules = rules(Protocol::Http, &list());
    rules.proxied.insert(SERVICE, Proxied { reaction });
    Wire::new(rules, port)
}

fn named() -> Wire {
    says(Some(Reaction::Drop), 8080)
}

/// One that says nothing, where proxies wait.
fn by_port() -> Wire {
    Wire::new(rules(Protocol::Http, &list()), 3128)
}

#[test]
fn behind_any_other_request() {
    for wire in [named, by_port] {
        for (first, answer) in [(GET, OK), (HEAD, EMPTY), (POST, OK), (CHUNKS, OK), (WEBSOCKET, OK)] {
            let (tunnel, denied) = (connect("evil.example:443"), b"GET http://10.9.9.9/ HTTP/1.1\r\n\r\n");
            refused(wire, &[(ToServer, first), (ToClient, answer), (ToServer, &tunnel)], Reason::proxy_target_name);
            refused(wire, &[(ToServer, first), (ToClient, answer), (ToServer, denied)], Reason::proxy_target_denied);
            let mut wire = wire();
            let tunnel = connect("www.example:443");
            let turns = [(ToServer, first), (ToClient, answer), (ToServer, &tunnel), (ToClient, HELLO_OK)];
            for turn in turns {
                assert!(Wire::passes(wire.turns(&[turn], 7)), "{:?}", wire.found);
                assert!(!wire.talk.settled);
            }
            assert_eq!(wire.client(b"SSH-2.0-x\r\n"), Answer::Drop(Reason::app_mismatch));
        }
    }
}

/// In one packet with what comes before it; behind what may change the connection, with the answer to that.
#[test]
fn pipelined() {
    let evil = connect("evil.example:443");
    for first in [GET, HEAD, POST, CHUNKS] {
        refused(named, &[(ToServer, &[first, &evil].concat())], Reason::proxy_target_name);
    }
    let mut wire = named();
    assert_eq!(wire.client(&[WEBSOCKET, &evil].concat()), Answer::Wait);
    assert!(wire.talk.let_go().is_empty());
    assert_eq!(wire.server(OK), Answer::Drop(Reason::proxy_target_name));
}

/// What a client says in haste behind a CONNECT stays until the proxy has answered, and leaves then.
#[test]
fn haste() {
    let (tunnel, hello) = (connect("www.example:443"), hello());
    let (half, rest) = hello.split_at(20);
    let mut wire = named();
    assert_eq!(wire.client(&[&tunnel, half].concat()), Answer::Wait);
    for _ in 0..9 {
        assert!(wire.talk.let_go().is_empty() && wire.talk.is_waiting());
    }
    // half a hello tells nothing yet, and may have to be heard
    assert_eq!(wire.server(HELLO_OK), Answer::Wait);
    assert_eq!(wire.talk.let_go().len(), 2);
    assert!(Wire::passes(wire.client(rest)) && wire.talk.settled, "{:?}", wire.found);
}

#[test]
fn what_cannot_be_followed() {
    for said in [
        "GET / http://evil.example/ HTTP/1.1\r\n\r\n",
        "GET evil.example HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        refused(named, &[(ToServer, GET), (ToClient, OK), (ToServer, said.as_bytes())], Reason::proxy_target_unseen);
    }
    let mut rules = rules(Protocol::Http2, &list());
    rules.proxied.insert(SERVICE, Proxied { reaction: Some(Reaction::Drop) });
    let mut wire = Wire::new(rules, 8080);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert_eq!(wire.client(preface), Answer::Drop(Reason::proxy_target_unseen));
}

/// A request that takes its time does not outlast what reads it.
#[test]
fn slow_requests() {
    for (wire, passes) in [(named as fn() -> Wire, false), (|| says(None, 8080), true)] {
        let mut wire = wire();
        assert_eq!(wire.client(b"CONN"), Answer::Wait);
        wire.now_ns += 31_000_000_000;
        assert_eq!(Wire::passes(wire.client(b"E")), passes, "{:?}", wire.found);
    }
    let mut wire = named();
    assert_eq!(wire.client(b"CONNECT evil.example:443 HTTP/1.1\r\n"), Answer::Wait);
    wire.now_ns += 31_000_000_000;
    assert_eq!(wire.client(b"\r\n"), Answer::Drop(Reason::proxy_target_name));
}

/// What one service says goes before what all do.
#[test]
fn reactions() {
    let evil = connect("evil.example:443");
    let mut wire = says(Some(Reaction::Alert), 8080);
    wire.turns(&[(ToServer, GET), (ToClient, OK)], 99);
    assert_eq!(wire.client(&evil), Answer::Release);
    assert_eq!((wire.found.len(), wire.found[0].reason), (1, Reason::proxy_target_name));
    // also where proxies wait
    let mut wire = says(None, 3128);
    assert_eq!(wire.client(&evil), Answer::Release);
    assert!(wire.talk.settled && wire.found.is_empty());
}

/// It is remembered while it is silent, and not when it has ended.
#[test]
fn until_its_end() {
    let mut wire = named();
    wire.client(GET);
    // what it is, is told once, though it stays
    assert_eq!(wire.judged.noted, Some(Protocol::Http.number()));
    wire.server(OK);
    assert_eq!(wire.judged.noted, None);
    assert!(wire.talk.lasts());
    for direction in [ToServer, ToClient] {
        assert_eq!(wire.end(direction), Answer::Release);
        assert!(wire.talk.lasts());
    }
    wire.client(b"");
    assert!(!wire.talk.lasts());
}
