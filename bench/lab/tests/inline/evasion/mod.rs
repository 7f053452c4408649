//! Evasion: what a client can do to have a device in the path see something else than the server reads.
//!
//! Every case is made twice in each family, by a client made by hand against a web server on a real TCP stack two hops
//! behind the gateway. Once the client says a TLS hello: no byte of it may be read by the server, whatever else is. Once
//! it says what belongs there: the server must read all of it and answer.

mod cases;
mod client;
mod packet;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Lab, address::*, wait_until};

use self::{
    cases::{Case, GROUPS, In, Legal},
    client::{FROM, Hand},
    server::Server,
};
use crate::{daemon::Daemon, policies};

/// Clients at once.
const AT_ONCE: usize = 16;
/// How long an answer that must come at once is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that must not.
const SOON: Duration = Duration::from_millis(500);
/// How long the events of what is over may take.
const EVENTS: Duration = Duration::from_secs(15);

/// The reason of what the kernel drops without asking.
const FIRST_BYTE: &str = "first_byte_impossible";

const LINES: &str = r#"
[[zone.office.egress]]
name = "web"
tcp = [80, 8080]
expect = ["http"]

[inspection]
mismatch = "drop"
unknown = "drop"
pending = "PENDING"
"#;

/// A case, to a server of one family, with good or bad intent.
struct Attempt {
    case: &'static Case,
    server: IpAddr,
    legal: bool,
    /// The client's own.
    port: u16,
}

/// What came of it.
struct Outcome {
    /// What the stream was to hold in the end.
    stream: Vec<u8>,
    decoy: Vec<u8>,
    /// What the server read.
    read: Vec<u8>,
    answered: bool,
    /// The trick alone was enough.
    at_once: bool,
}

#[test]
fn what_is_read_was_inspected_routing() {
    what_is_read_was_inspected(Kind::Route, "drop");
}

#[test]
fn what_is_read_was_inspected_masquerading() {
    what_is_read_was_inspected(Kind::Masquerade, "reset");
}

/// `pending`: what becomes of what does not show. Where that is dropped like the rest, the kernel drops a first byte that
/// nothing expected begins with, and need not ask; else everything comes to the inspector.
fn what_is_read_was_inspected(kind: Kind, pending: &str) {
    let lab = Lab::gateway(kind).unwrap();
    let mac = lab.office.mac("eth0").unwrap().map(|byte| format!("{byte:02x}")).join(":");
    lab.gw.ip(&FROM.map(|from| format!("neigh add {from} lladdr {mac} dev lan0 nud permanent")).join("\n")).unwrap();
    // 2: servers may take data on a SYN; 0x200: without a cookie.
    lab.far.sysctl(&[("net/ipv4/tcp_fastopen", "514")]).unwrap();
    let servers = [Server::start(&lab.far, 80, false), Server::start(&lab.far, 8080, true)];
    let daemon = Daemon::start(&lab, &policies::office(kind, &LINES.replace("PENDING", pending)));
    let attempts = attempts();
    let outcomes = run(&lab, &servers, &attempts);
    let reasons = reasons(&daemon, &attempts);
    let mut wrong = String::new();
    for (attempt, outcome) in attempts.iter().zip(&outcomes) {
        let given = [attempt.port, 0].into_iter().filter_map(|port| reasons.get(&port));
        let reasons: &BTreeSet<String> = &given.flatten().cloned().collect();
        let early = pending == "drop" && reasons.contains(FIRST_BYTE);
        if let Err(what) = judge(attempt, outcome, reasons, early) {
            let Attempt { case, server, legal, .. } = attempt;
            let intent = if *legal { "legal" } else { "forbidden" };
            writeln!(wrong, "{}, {intent}, {server}: {what}; reasons: {reasons:?}", case.name).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}{}", daemon.status()["counters"]["reasons"]);
}

fn attempts() -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for case in GROUPS.iter().flat_map(|(_, cases)| *cases) {
        for server in [FAR, FAR6] {
            let server: IpAddr = server.parse().unwrap();
            if case.family == In::Both || (case.family == In::V6) == server.is_ipv6() {
                for legal in [false, true] {
                    let port = 20_000 + u16::try_from(attempts.len()).unwrap();
                    attempts.push(Attempt { case, server, legal, port });
                }
            }
        }
    }
    attempts
}

fn run(lab: &Gateway, servers: &[Server; 2], attempts: &[Attempt]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, Outcome>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(attempt) = attempts.get(at) else { return };
                    let outcome = attempted(lab, servers, attempt);
                    done.lock().unwrap().insert(at, outcome);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

fn attempted(lab: &Gateway, servers: &[Server; 2], attempt: &Attempt) -> Outcome {
    let Attempt { case, legal, .. } = attempt;
    let hello = hello();
    let request = request(hello.len());
    let noise: Vec<u8> = request.iter().map(|byte| byte ^ 0x2a).collect();
    let (truth, decoy) = match (legal, case.legal) {
        (false, _) => (hello, request),
        (true, Legal::InSpiteOfNoise) => (request, noise),
        (true, _) => (request.clone(), request),
    };
    let server = &servers[usize::from(case.early)];
    let mut hand = Hand::new(lab, attempt.server, (attempt.port, if case.early { 8080 } else { 80 }));
    let stream = (case.run)(&mut hand, &truth, &decoy);
    let patience = if matches!(case.legal, Legal::SaidAgain | Legal::Eventually) { SOON } else { PATIENCE };
    let at_once = *legal && case.legal != Legal::Cut && hand.answered(patience);
    hand.insist(&stream);
    let answered = hand.answered(Duration::ZERO);
    hand.abort(stream.len());
    Outcome { read: server.got(attempt.port), stream, decoy, answered, at_once }
}

/// Reasons for which packets of each attempt were dropped, by its port, once all are there that must be.
fn reasons(daemon: &Daemon, attempts: &[Attempt]) -> BTreeMap<u16, BTreeSet<String>> {
    let mut reasons: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    // What is missing is reported by its case.
    let _ = wait_until("the events of each case", EVENTS, || {
        reasons.clear();
        for event in daemon.events.since(0) {
            let ports = [&event["src_port"], &event["dest_port"]];
            let port = ports.into_iter().filter_map(|port| port.as_u64()?.try_into().ok()).find(|port| *port >= 20_000);
            // What was dropped before it was known what it carries has no ports.
            if let Some(reason) = event["dropgate"]["reason"].as_str() {
                reasons.entry(port.unwrap_or(0)).or_default().insert(reason.to_owned());
            }
        }
        let complete = |attempt: &Attempt| {
            let wanted = attempt.case.reason;
            let given = |port| reasons.get(&port).is_some_and(|had| had.contains(wanted));
            let early = reasons.get(&attempt.port).is_some_and(|had| had.contains(FIRST_BYTE));
            attempt.legal || wanted.is_empty() || early || given(attempt.port) || given(0)
        };
        Ok(attempts.iter().all(complete))
    });
    reasons
}

/// Whether an attempt ended as its case says; `early`: for the kernel its first byte may have been enough.
fn judge(attempt: &Attempt, outcome: &Outcome, reasons: &BTreeSet<String>, early: bool) -> Result<(), String> {
    let Outcome { stream, decoy, read, answered, at_once } = outcome;
    let case = attempt.case;
    let shown = read.escape_ascii();
    if !attempt.legal {
        if !decoy.starts_with(read) {
            return Err(format!("the server read `{shown}`"));
        }
        let named = early || case.reason.is_empty() || reasons.contains(case.reason);
        return if named { Ok(()) } else { Err(format!("`{}` was not given", case.reason)) };
    }
    if case.legal == Legal::Cut {
        return if read.is_empty() { Ok(()) } else { Err(format!("the server read `{shown}`")) };
    }
    if !answered || read != stream {
        return Err(format!("a legal client was broken: the server read `{shown}`"));
    }
    match (*at_once, case.legal) {
        (false, Legal::AtOnce | Legal::InSpiteOfNoise) => Err("it had to be said again".to_owned()),
        (true, Legal::SaidAgain) => Err("it need not have been said again".to_owned()),
        _ => Ok(()),
    }
}

/// `docs/evasion.md` has every case, as it stands here. `DROPGATE_BLESS=1` writes them anew.
#[test]
fn the_table_has_every_case() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/evasion.md");
    const START: &str = "<!-- cases: generated from bench/lab/tests/inline/evasion/cases; a test compares -->\n";
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, table) = page.split_once(START).expect("the line before the cases");
    if std::env::var_os("DROPGATE_BLESS").is_some() {
        std::fs::write(PAGE, format!("{before}{START}{}", table_of_cases())).unwrap();
    } else {
        assert_eq!(table, table_of_cases(), "docs/evasion.md differs; write it with `DROPGATE_BLESS=1`");
    }
}

fn table_of_cases() -> String {
    let mut text = String::new();
    for (group, cases) in GROUPS {
        writeln!(text, "\n### {group}\n").unwrap();
        writeln!(text, "| case | described in | handling | reason | a legal client |\n| --- | --- | --- | --- | --- |")
            .unwrap();
        for Case { name, source, handling, reason, legal, family, .. } in *cases {
            let family = match family {
                In::Both => "",
                In::V4 => ", IPv4",
                In::V6 => ", IPv6",
            };
            let reason = if reason.is_empty() { String::new() } else { format!("`{reason}`") };
            let legal = match legal {
                Legal::AtOnce => "is answered",
                Legal::InSpiteOfNoise => "is answered, whatever the decoy holds",
                Legal::SaidAgain => "is answered when it says it plainly",
                Legal::Eventually => "is answered, at the latest when it says it plainly",
                Legal::Cut => "does not do it: the connection stands still",
            };
            writeln!(text, "| `{name}`{family} | {source} | {handling} | {reason} | {legal} |").unwrap();
        }
    }
    text
}

/// A client's hello, RFC 8446, 4.1.2: as many suites as fill it up, and a server's name.
fn hello() -> Vec<u8> {
    let name = b"c2.example.net";
    let mut body = vec![3, 3];
    body.extend((0..32u8).map(|at| at.wrapping_mul(37) ^ 0x9d));
    body.push(0);
    let suites: Vec<u8> = [0x13, 0x01, 0x13, 0x02, 0x13, 0x03, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x30].to_vec();
    body.extend([0, u8::try_from(suites.len()).unwrap()]);
    body.extend(suites);
    body.extend([1, 0]);
    let length = u8::try_from(name.len()).unwrap();
    let mut extensions = vec![0, 0, 0, length + 5, 0, length + 3, 0, 0, length];
    extensions.extend(name);
    extensions.extend([0, 43, 0, 3, 2, 3, 4]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

/// A request of this length.
fn request(length: usize) -> Vec<u8> {
    let (start, end) = ("GET /page HTTP/1.1\r\nHost: www.example.net\r\nX-Padding: ", "\r\n\r\n");
    let padding = "-".repeat(length - start.len() - end.len());
    format!("{start}{padding}{end}").into_bytes()
}
