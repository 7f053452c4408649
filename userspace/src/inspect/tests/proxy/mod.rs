//! What a proxy is asked for, and what passes through it.

use std::sync::{Arc, Mutex};

use dropgate_abi::reason::Reason;

use super::wire::{Wire, expecting};
use crate::{
    inspect::{Access, Answer, Rules, Target, Targets},
    policy::model::Expect,
    protocol::{Direction, Protocol},
};

mod http;
mod kept;
mod socks;

/// An allowlist by heart: targets as they are shown, with the services that allow them. What was asked is written down.
#[derive(Debug, Default)]
struct List {
    allowed: Vec<(&'static str, u32)>,
    asked: Mutex<Vec<String>>,
}

impl Targets for List {
    fn access(&self, _: u16, target: &Target) -> Access {
        let target = target.to_string();
        let found = self.allowed.iter().find(|(allowed, _)| *allowed == target);
        let blocked = target.starts_with("192.0.2.");
        self.asked.lock().unwrap().push(target);
        match found {
            Some((_, service)) => Access::Allowed { service: *service, inspected: *service != QUIET },
            None if blocked => Access::Blocked,
            None => Access::Denied,
        }
    }
}

const TLS: u32 = 20;
const WEB: u32 = 21;
const SOCKS: u32 = 22;
/// A service whose flows are not inspected.
const QUIET: u32 = 23;

const HELLO_OK: &[u8] = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n";

fn list() -> Arc<List> {
    let allowed = vec![
        ("www.example:443", TLS),
        ("www.example:80", WEB),
        ("10.1.1.1:443", TLS),
        ("10.1.1.1:80", WEB),
        ("[2001:db8::1]:443", TLS),
        ("proxy.example:3128", WEB),
        ("socks.example:1080", SOCKS),
        ("quiet.example:9", QUIET),
    ];
    Arc::new(List { allowed, ..List::default() })
}

fn rules(expect: Protocol, list: &Arc<List>) -> Rules {
    let mut rules = expecting(&[expect]);
    rules.targets = Some(Arc::clone(list) as _);
    rules.expect.insert(TLS, Expect::Only(vec![Protocol::Tls]));
    rules.expect.insert(WEB, Expect::Only(vec![Protocol::Http]));
    rules.expect.insert(SOCKS, Expect::Only(vec![Protocol::Socks]));
    rules
}

/// A service that says nothing of proxies.
fn proxy() -> Wire {
    Wire::new(rules(Protocol::Http, &list()), 8080)
}

fn socks() -> Wire {
    Wire::new(rules(Protocol::Socks, &list()), 1080)
}

fn hello() -> Vec<u8> {
    let hello = crate::protocol::samples::client_hello();
    [&[0x16, 3, 1, 0, hello.len() as u8], hello.as_slice()].concat()
}

fn connect(target: &str) -> Vec<u8> {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes()
}

/// The last packet of what the client says is dropped, for this reason; whatever the parts.
fn refused(wire: impl Fn() -> Wire, turns: &[(Direction, &[u8])], reason: Reason) {
    for part in [1, 5, usize::MAX >> 1] {
        let mut wire = wire();
        let answer = wire.turns(turns, part);
        assert_eq!(answer, Answer::Drop(reason), "in parts of {part}: {:?}", wire.found);
        assert_eq!(wire.judged.condemned.map(|(reason, _)| reason), Some(reason));
        assert_eq!(wire.found.len(), 1);
    }
}
