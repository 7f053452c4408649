//! HTTP: CONNECT, and requests with whole URIs.

use dropgate_abi::reason::Reason;

use dropgate_signatures::protocol::App;

use super::{HELLO_OK, connect, hello, list, proxy, refused, rules};
use crate::{
    inspect::{
        Answer, Beginning, Signatures,
        tests::wire::{SERVICE, Wire, expecting},
    },
    policy::model::{Expect, Midstream, Reaction},
    protocol::{
        Direction::{self, ToClient, ToServer},
        Protocol,
    },
};

#[test]
fn targets_of_connect() {
    for (target, reason) in [
        ("evil.example:443", Reason::proxy_target_name),
        ("www.example:22", Reason::proxy_target_name),
        ("10.9.9.9:443", Reason::proxy_target_denied),
        ("192.0.2.7:443", Reason::proxy_target_blocked),
        ("[::ffff:10.9.9.9]:443", Reason::proxy_target_denied),
        ("127.0.0.1:443", Reason::proxy_target_denied),
        ("localhost:80", Reason::proxy_target_denied),
        ("www.example", Reason::proxy_target_unseen),
        ("a@www.example:443", Reason::proxy_target_unseen),
        ("www.example:443 10.9.9.9:443", Reason::proxy_target_unseen),
    ] {
        refused(proxy, &[(ToServer, &connect(target))], reason);
    }
    let list = list();
    for target in ["www.example:443", "WWW.EXAMPLE.:443", "10.1.1.1:443", "[::ffff:10.1.1.1]:443", "[2001:db8::1]:443"]
    {
        let mut wire = Wire::new(rules(Protocol::Http, &list), 8080);
        assert_eq!(wire.client(&connect(target)), Answer::Release, "{target}: {:?}", wire.found);
    }
    assert_eq!(list.asked.lock().unwrap()[1], "www.example:443");
}

/// What is told names the target.
#[test]
fn a_target_is_told() {
    let mut wire = proxy();
    wire.client(&connect("evil.example:6667"));
    let finding = &wire.found[0];
    let asked = finding.asked.as_ref().unwrap();
    assert_eq!((asked.target.to_string().as_str(), asked.request.name()), ("evil.example:6667", "http-connect"));
    assert_eq!((finding.found, finding.reaction), (Some(Protocol::Http), Reaction::Drop));
}

#[test]
fn a_tunnel_carries_what_its_target_expects() {
    for part in [1, 9, usize::MAX >> 1] {
        let mut wire = proxy();
        let request = connect("www.example:443");
        let answer = wire.turns(&[(ToServer, &request), (ToClient, HELLO_OK), (ToServer, &hello())], part);
        assert!(Wire::passes(answer), "{:?}", wire.found);
        assert!(wire.talk.settled);
        assert_eq!(wire.confirm(), Some(Protocol::Http.number()));
        // said by either side
        for (direction, said) in [(ToServer, b"SSH-2.0-x\r\n".as_slice()), (ToClient, b"SSH-2.0-OpenSSH_9.9\r\n")] {
            refused(proxy, &[(ToServer, &request), (ToClient, HELLO_OK), (direction, said)], Reason::app_mismatch);
        }
    }
    let mut wire = proxy();
    wire.turns(&[(ToServer, &connect("www.example:443")), (ToClient, HELLO_OK), (ToServer, b"SSH-2.0-x\r\n")], 99);
    let within = wire.found[0].within.clone().unwrap();
    assert_eq!(within, (Some(Protocol::Http), "http-connect www.example:443".to_owned()));
    assert_eq!(wire.found[0].expected, ["tls"]);
    // with the answer, and before it
    let both = [HELLO_OK, b"SSH-2.0-OpenSSH_9.9\r\n"].concat();
    refused(proxy, &[(ToServer, &connect("www.example:443")), (ToClient, &both)], Reason::app_mismatch);
    let mut wire = proxy();
    assert_eq!(wire.client(&[connect("www.example:443"), b"SSH-2.0-x\r\n".to_vec()].concat()), Answer::Wait);
    assert_eq!(wire.server(HELLO_OK), Answer::Drop(Reason::app_mismatch));
}

#[test]
fn a_tunnel_that_is_not_inspected() {
    let mut wire = proxy();
    wire.turns(&[(ToServer, &connect("quiet.example:9")), (ToClient, HELLO_OK)], 99);
    assert!(wire.talk.settled && wire.found.is_empty());
}

/// A proxy that refuses may be asked again, and what is then asked is judged too.
#[test]
fn connect_again() {
    let refusal = b"HTTP/1.1 407 Login\r\nContent-Length: 5\r\n\r\nlogin".as_slice();
    let first = connect("www.example:443");
    let mut wire = proxy();
    let turns = [(ToServer, first.as_slice()), (ToClient, refusal), (ToServer, &first), (ToClient, HELLO_OK)];
    assert!(Wire::passes(wire.turns(&turns, 7)));
    assert!(Wire::passes(wire.client(&hello())) && wire.talk.settled);
    let evil = connect("evil.example:443");
    refused(proxy, &[turns[0], turns[1], (ToServer, &evil)], Reason::proxy_target_name);
}

const GET: &[u8] = b"GET http://www.example/ HTTP/1.1\r\nHost: www.example\r\n\r\n";
const POST: &[u8] = b"POST http://www.example/ HTTP/1.1\r\nContent-Length: 50\r\n\r\nGET http://evil.example/ HTTP/1.1\r\n\r\n0123456789012";
const CHUNKS: &[u8] =
    b"POST http://www.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EVIL: &[u8] = b"GET http://evil.example/ HTTP/1.1\r\n\r\n";

#[test]
fn requests_with_whole_uris() {
    for part in [1, 11, usize::MAX >> 1] {
        let list = list();
        let mut wire = Wire::new(rules(Protocol::Http, &list), 8080);
        for request in [GET, POST, CHUNKS, GET] {
            assert!(Wire::passes(wire.turns(&[(ToServer, request), (ToClient, OK)], part)), "{:?}", wire.found);
        }
        assert_eq!(list.asked.lock().unwrap().len(), 4);
        assert!(!wire.talk.settled, "it is used as a proxy still");
    }
    for earlier in [GET, POST, CHUNKS] {
        refused(proxy, &[(ToServer, earlier), (ToClient, OK), (ToServer, EVIL)], Reason::proxy_target_name);
        // in one packet, without waiting
        let both = [earlier, EVIL].concat();
        refused(proxy, &[(ToServer, &both)], Reason::proxy_target_name);
    }
    // CONNECT on a connection that asked for pages
    refused(
        proxy,
        &[(ToServer, GET), (ToClient, OK), (ToServer, &connect("10.9.9.9:22"))],
        Reason::proxy_target_denied,
    );
    for (uri, reason) in [
        ("http://10.9.9.9/", Reason::proxy_target_denied),
        ("http://www.example:8080/", Reason::proxy_target_name),
        ("http://www.example\\@evil.example/", Reason::proxy_target_unseen),
        ("http://a@b@www.example/", Reason::proxy_target_unseen),
        ("evil.example:80", Reason::proxy_target_unseen),
        ("http:evil.example", Reason::proxy_target_unseen),
    ] {
        refused(proxy, &[(ToServer, format!("GET {uri} HTTP/1.1\r\n\r\n").as_bytes())], reason);
    }
}

/// The answers before that to CONNECT are told apart from it.
#[test]
fn answers_in_order() {
    let ask = |status: &str| {
        let mut wire = proxy();
        wire.client(&[GET, &connect("www.example:443")].concat());
        wire.server(OK);
        wire.server(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        wire
    };
    let mut refused = ask("403 Forbidden");
    assert_eq!(refused.client(GET), Answer::Release, "{:?}", refused.found);
    assert_eq!(ask("200 OK").client(GET), Answer::Drop(Reason::app_mismatch));
    // a chunked page that looks like an answer inside
    let mut wire = proxy();
    wire.client(&[GET, &connect("www.example:443")].concat());
    let page = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n13\r\nHTTP/1.1 200 OK\r\n\r\n\r\n0\r\n\r\n";
    wire.server(page);
    wire.server(b"HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(wire.client(GET), Answer::Release, "{:?}", wire.found);
}

/// To a server, not to a proxy: nothing more is wanted of it.
#[test]
fn an_ordinary_request() {
    for method in ["GET", "HEAD", "POST"] {
        let mut wire = proxy();
        assert_eq!(wire.client(format!("{method} /a:b HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()), Answer::Release);
        assert!(wire.talk.settled, "{method}");
    }
}

#[test]
fn proxies_within_proxies() {
    let through = |depth: usize| {
        let mut wire = proxy();
        for _ in 0..depth {
            wire.client(&connect("proxy.example:3128"));
            wire.server(HELLO_OK);
        }
        wire
    };
    assert_eq!(through(2).client(&connect("evil.example:443")), Answer::Drop(Reason::proxy_target_name));
    let mut wire = through(2);
    wire.client(&connect("www.example:443"));
    wire.server(HELLO_OK);
    assert_eq!(wire.client(b"SSH-2.0-x\r\n"), Answer::Drop(Reason::app_mismatch));
    let mut wire = through(3);
    wire.client(&connect("www.example:443"));
    assert_eq!(wire.server(HELLO_OK), Answer::Drop(Reason::proxy_nested));
    // SOCKS through HTTP
    let mut wire = proxy();
    wire.client(&connect("socks.example:1080"));
    wire.server(HELLO_OK);
    wire.client(b"\x05\x01\x00");
    wire.server(b"\x05\x00");
    assert_eq!(wire.client(b"\x05\x01\x00\x01\x0a\x09\x09\x09\x01\xbb"), Answer::Drop(Reason::proxy_target_denied));
}

#[test]
fn reactions() {
    for (reaction, settled, found) in [(Some(Reaction::Alert), false, 1), (None, true, 0)] {
        let mut rules = rules(Protocol::Http, &list());
        rules.inspection.proxied = reaction;
        let mut wire = Wire::new(rules, 8080);
        assert_eq!(wire.client(&connect("evil.example:443")), Answer::Release);
        assert_eq!((wire.talk.settled, wire.found.len()), (settled, found));
        // what is registered for the port is expected still
        wire.server(HELLO_OK);
        let answer = wire.client(b"SSH-2.0-x\r\n");
        assert_eq!(answer == Answer::Drop(Reason::app_mismatch), reaction.is_some());
    }
    let mut rules = rules(Protocol::Http, &list());
    rules.inspection.proxied = Some(Reaction::Reset);
    let mut wire = Wire::new(rules, 8080);
    wire.client(&connect("evil.example:443"));
    assert!(wire.judged.replies.onward.is_some());
    // nobody knows the allowlist
    let mut wire = Wire::new(expecting(&[Protocol::Http]), 8080);
    assert_eq!(wire.client(&connect("www.example:443")), Answer::Drop(Reason::proxy_target_name));
}

/// Told of many times, a flow is told of no more.
#[test]
fn alerts_are_bounded() {
    let mut rules = rules(Protocol::Http, &list());
    rules.inspection.proxied = Some(Reaction::Alert);
    let mut wire = Wire::new(rules, 8080);
    for _ in 0..100 {
        assert_eq!(wire.client(EVIL), Answer::Release);
        wire.server(OK);
    }
    assert_eq!(wire.found.len(), 16);
}

/// Each of those that one packet asks for.
#[test]
fn alerts_of_one_packet() {
    let mut rules = rules(Protocol::Http, &list());
    rules.inspection.proxied = Some(Reaction::Alert);
    let mut wire = Wire::new(rules, 8080);
    wire.client(&[EVIL, GET, EVIL].concat());
    assert_eq!(wire.found.len(), 2);
}

/// What upgrades: WebSocket for a proxy is not looked into, anything else has to be what the service expects.
#[test]
fn upgrades() {
    let ask = |uri: &str, to: &str| {
        format!("GET {uri} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {to}\r\nSec-WebSocket-Key: a\r\n\r\n")
    };
    let changed = b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n";
    let mut wire = proxy();
    wire.client(ask("http://www.example/", "websocket").as_bytes());
    assert!(!wire.talk.settled);
    wire.server(b"HTTP/1.1 101 Switching\r\n\r\n");
    assert!(wire.talk.settled && wire.found.is_empty());
    refused(proxy, &[(ToServer, ask("http://evil.example/", "websocket").as_bytes())], Reason::proxy_target_name);
    for uri in ["/", "http://www.example/"] {
        let mut wire = proxy();
        wire.client(ask(uri, "h2c").as_bytes());
        wire.server(changed);
        assert_eq!(wire.client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Answer::Drop(Reason::app_mismatch), "{uri}");
        assert_eq!(wire.found[0].found, Some(Protocol::Http2));
    }
    // not taken up
    let mut wire = proxy();
    wire.client(ask("/", "h2c").as_bytes());
    wire.server(OK);
    assert!(wire.talk.settled && wire.found.is_empty());
}

/// Conversations that rules are to read, where nobody judges what proxies are asked for.
fn read() -> Wire {
    let mut rules = rules(Protocol::Http, &list());
    rules.inspection.proxied = None;
    rules.inspection.midstream = Midstream::Identify;
    rules.expect.insert(SERVICE, Expect::Any);
    rules.signatures = Some(Signatures { log: true, ..Signatures::default() });
    Wire::new(rules, 8080)
}

/// What is told of that, by protocol.
fn told(mut wire: Wire, turns: &[(Direction, &[u8])]) -> Vec<App> {
    let mut told = Vec::new();
    for (direction, said) in turns {
        assert_eq!(wire.say(*direction, said), Answer::Release);
        told.extend(wire.judged.watched.logged.iter().map(|logged| logged.app));
    }
    assert!(wire.found.is_empty(), "{:?}", wire.found);
    told
}

#[test]
fn what_passes_is_read_where_it_is_not_judged() {
    let get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let request = connect("evil.example:80");
    let turns: [(Direction, &[u8]); 4] =
        [(ToServer, &request), (ToClient, HELLO_OK), (ToServer, get), (ToClient, answer)];
    assert_eq!(told(read(), &turns), [App::Http1, App::Http1]);
}

#[test]
fn another_version_of_http_is_read_after_an_upgrade() {
    let upgrade = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    let agreed =
        [b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", &settings[..]].concat();
    let turns: [(Direction, &[u8]); 4] = [
        (ToServer, upgrade),
        (ToClient, &agreed),
        (ToServer, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (ToServer, settings),
    ];
    assert!(told(read(), &turns).starts_with(&[App::Http1, App::Http2]));
    // what begins within a flow that was met in mid-stream has a beginning
    let mut wire = read();
    wire.another(Beginning::Before);
    assert!(told(wire, &turns).starts_with(&[App::Http1, App::Http2]));
}

#[test]
fn what_asked_for_another_version_of_http_is_answered_in_it() {
    let upgrade = b"GET /one HTTP/1.1\r\nHost: h.example\r\nConnection: Upgrade, HTTP2-Settings\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    // `:status: 200`, and nothing else on stream 1
    let answer = b"\0\0\x01\x01\x05\0\0\0\x01\x88";
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
    let turns: [(Direction, &[u8]); 5] =
        [(ToServer, upgrade), (ToClient, agreed), (ToClient, settings), (ToServer, &preface), (ToClient, answer)];
    let mut wire = read();
    let mut told = Vec::new();
    for (direction, said) in turns {
        assert_eq!(wire.say(direction, said), Answer::Release);
        told.extend(wire.judged.watched.logged.drain(..).map(|logged| logged.record.json()));
    }
    let one = told.iter().find(|object| object["http2"]["stream_id"] == 1).unwrap();
    assert_eq!(
        (&one["http_method"], &one["url"], &one["hostname"]),
        (&"GET".into(), &"/one".into(), &"h.example".into())
    );
    assert_eq!(one["status"], 200);
    assert_eq!(one["request_headers"][2], serde_json::json!({"name": ":authority", "value": "h.example"}));
    let carried = told.iter().find(|object| object["http2"]["request"]["settings"][0]["settings_value"] == 100);
    assert_eq!(carried.unwrap()["http2"]["stream_id"], 0);
}
