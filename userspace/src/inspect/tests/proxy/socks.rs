//! SOCKS 4, 4a and 5.

use dropgate_abi::reason::Reason;

use super::{hello, list, refused, rules, socks};
use crate::{
    inspect::{
        Answer,
        tests::wire::{SERVICE, Wire},
    },
    policy::model::{Expect, Reaction},
    protocol::{
        Direction::{ToClient, ToServer},
        Protocol,
    },
};

const GRANTED5: &[u8] = b"\x05\x00\x00\x01\x0a\x00\x00\x01\x04\x38";

/// Where SOCKS is asked for.
fn socks_requests(address: [u8; 4], name: &str) -> Vec<(&'static str, Vec<u8>)> {
    let with_name = [&[3, name.len() as u8], name.as_bytes()].concat();
    let v4 = [b"\x04\x01\x01\xbb".as_slice(), &address, b"me\0"].concat();
    let v4a = [b"\x04\x01\x01\xbb\x00\x00\x00\x01me\0", name.as_bytes(), b"\0"].concat();
    vec![
        ("4", v4),
        ("4a", v4a),
        ("5 address", [b"\x05\x01\x00\x01".as_slice(), &address, b"\x01\xbb"].concat()),
        ("5 name", [b"\x05\x01\x00".as_slice(), &with_name, b"\x01\xbb"].concat()),
    ]
}

/// A wire on which that much was agreed before the request.
fn greeted(request: &str) -> Wire {
    let mut wire = socks();
    if request.starts_with('5') {
        assert!(Wire::passes(wire.client(b"\x05\x02\x00\x02")));
        assert!(Wire::passes(wire.server(b"\x05\x02")));
        assert!(Wire::passes(wire.client(b"\x01\x02me\x03pwd")));
        assert!(Wire::passes(wire.server(b"\x01\x00")));
    }
    wire
}

#[test]
fn targets_of_socks() {
    for (kind, request) in socks_requests([10, 9, 9, 9], "evil.example") {
        let named = kind == "4a" || kind == "5 name";
        let reason = if named { Reason::proxy_target_name } else { Reason::proxy_target_denied };
        refused(|| greeted(kind), &[(ToServer, &request)], reason);
    }
    for (kind, request) in socks_requests([10, 1, 1, 1], "www.example") {
        let granted: &[u8] = if kind.starts_with('4') { b"\0\x5a\0\0\0\0\0\0" } else { GRANTED5 };
        for (said, passes) in [(hello(), true), (b"SSH-2.0-x\r\n".to_vec(), false)] {
            for part in [1, 6, 99] {
                let mut wire = greeted(kind);
                assert!(
                    Wire::passes(wire.turns(&[(ToServer, &request), (ToClient, granted)], part)),
                    "{:?}",
                    wire.found
                );
                let answer = wire.turns(&[(ToServer, &said)], part);
                assert_eq!(Wire::passes(answer), passes, "{kind} in {part}: {answer:?} {:?}", wire.found);
                assert_eq!(wire.talk.settled, passes, "{kind}");
            }
        }
    }
}

/// All of it in one packet, before any answer.
#[test]
fn socks_in_haste() {
    let evil = b"\x05\x01\x00\x05\x01\x00\x01\x0a\x09\x09\x09\x01\xbb";
    assert_eq!(socks().client(evil), Answer::Drop(Reason::proxy_target_denied));
    let login = [&evil[..3], b"\x01\x02me\x03pwd", &evil[3..]].concat();
    assert_eq!(socks().client(&login), Answer::Drop(Reason::proxy_target_denied));
    for (said, passes) in [(hello(), true), (b"SSH-2.0-x\r\n".to_vec(), false)] {
        let mut wire = socks();
        assert!(Wire::passes(wire.client(b"\x05\x01\x00\x05\x01\x00\x01\x0a\x01\x01\x01\x01\xbb")));
        assert!(Wire::passes(wire.server(&[b"\x05\x00", GRANTED5].concat())), "{:?}", wire.found);
        assert_eq!(Wire::passes(wire.client(&said)), passes);
    }
    // a login that the server did not ask for: it reads that as something else
    let mut wire = socks();
    wire.client(b"\x05\x02\x00\x02\x01\x02me\x03pwd\x05\x01\x00\x01\x0a\x01\x01\x01\x01\xbb");
    assert_eq!(wire.server(b"\x05\x00"), Answer::Drop(Reason::proxy_target_unseen));
}

#[test]
fn socks_that_cannot_be_seen() {
    for (name, turns) in [
        (
            "datagrams",
            vec![
                (ToServer, b"\x05\x01\x00".as_slice()),
                (ToClient, b"\x05\x00"),
                (ToServer, b"\x05\x03\x00\x01\0\0\0\0\0\0"),
            ],
        ),
        ("login by GSSAPI", vec![(ToServer, b"\x05\x01\x01"), (ToClient, b"\x05\x01")]),
        (
            "after a refusal",
            vec![(ToServer, b"\x05\x01\x00"), (ToClient, b"\x05\xff"), (ToServer, b"\x05\x01\x00\x01")],
        ),
        (
            "a name that is none",
            vec![(ToServer, b"\x05\x01\x00"), (ToClient, b"\x05\x00"), (ToServer, b"\x05\x01\x00\x03\x03a b\0\x50")],
        ),
    ] {
        let mut wire = socks();
        assert_eq!(wire.turns(&turns, 99), Answer::Drop(Reason::proxy_target_unseen), "{name}: {:?}", wire.found);
    }
}

/// BIND is answered twice.
#[test]
fn socks_bind() {
    let mut wire = socks();
    wire.client(b"\x05\x01\x00");
    wire.server(b"\x05\x00");
    assert!(Wire::passes(wire.client(b"\x05\x02\x00\x01\x0a\x01\x01\x01\x01\xbb")));
    assert!(Wire::passes(wire.server(GRANTED5)));
    assert!(Wire::passes(wire.server(GRANTED5)));
    assert_eq!(wire.server(b"SSH-2.0-OpenSSH_9.9\r\n"), Answer::Drop(Reason::app_mismatch));
}

/// A service where anything may be spoken, or where something else is expected and the difference is only told of.
fn lenient(any: bool) -> Wire {
    let mut rules = rules(Protocol::Http, &list());
    rules.inspection.mismatch = Reaction::Alert;
    if any {
        rules.expect.insert(SERVICE, Expect::Any);
    }
    Wire::new(rules, 9000)
}

/// The request alone is believed: its answer would come from a proxy that has connected.
#[test]
fn socks_where_it_is_not_expected() {
    for any in [true, false] {
        for (kind, request) in socks_requests([10, 9, 9, 9], "evil.example").into_iter().take(2) {
            let reason = if kind == "4a" { Reason::proxy_target_name } else { Reason::proxy_target_denied };
            for said in [request.clone(), [&request, b"SSH-2.0-x\r\n".as_slice()].concat()] {
                for part in [1, 7, 99] {
                    let mut wire = lenient(any);
                    assert_eq!(wire.turns(&[(ToServer, &said)], part), Answer::Drop(reason), "{kind} {:?}", wire.found);
                    let told: Vec<Reason> = wire.found.iter().map(|finding| finding.reason).collect();
                    assert_eq!(told, if any { vec![reason] } else { vec![Reason::app_mismatch, reason] });
                }
            }
        }
        for (kind, request) in socks_requests([10, 1, 1, 1], "www.example").into_iter().take(2) {
            let mut wire = lenient(any);
            assert!(Wire::passes(wire.client(&request)), "{kind}");
            assert!(Wire::passes(wire.server(b"\0\x5a\0\0\0\0\0\0")), "{kind}");
            assert!(Wire::passes(wire.client(&hello())) && wire.talk.settled, "{kind} {:?}", wire.found);
        }
    }
}

/// What is no request, and what is not to be judged, is not taken for one.
#[test]
fn what_is_no_socks() {
    for said in [
        b"\x04\x01\x01\xbb\x0a\x09\x09\x09me\x01\0".as_slice(),
        b"\x04\x03\x01\xbb\x0a\x09\x09\x09me\0",
        b"\x04\x01\0\0\x0a\x09\x09\x09me\0",
        b"\x04\x01\x01\xbb\0\0\0\0me\0",
    ] {
        let mut wire = lenient(true);
        assert!(Wire::passes(wire.client(said)) && wire.found.is_empty(), "{said:?}: {:?}", wire.found);
    }
    let mut rules = rules(Protocol::Http, &list());
    rules.expect.insert(SERVICE, Expect::Any);
    rules.inspection.proxied = None;
    let mut wire = Wire::new(rules, 9000);
    let (_, request) = &socks_requests([10, 9, 9, 9], "evil.example")[0];
    assert!(Wire::passes(wire.client(request)) && wire.found.is_empty());
}
