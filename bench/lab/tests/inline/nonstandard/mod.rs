//! T1571 as ATT&CK's examples describe it: every one is made, by real clients where there are any, and ends as its line says.
//!
//! All of them run at once, each to an address of its own, so that what arrives there is told apart without looking at it.

mod rows;
mod talk;

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Lab, Namespace, wait_until};
use serde_json::Value;

use self::{
    rows::{Expected, NAMED_ALONE, NEEDED, REGISTERED, ROWS, Role, Row, Says},
    talk::{Ears, converse},
};
use crate::daemon::Daemon;

/// Conversations that run at once.
const AT_ONCE: usize = 32;
/// How long the events of what is over may take.
const EVENTS: Duration = Duration::from_secs(20);

/// A row, in one zone and one family.
#[derive(Clone, Copy)]
struct Case {
    row: &'static Row,
    expected: Expected,
    zone: &'static str,
    /// Its server's own address.
    server: IpAddr,
}

/// Every row in both zones and both families.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, row) in ROWS.iter().enumerate() {
        for (zone, expected, net) in [("office", row.narrow, "10"), ("iot", row.open, "20")] {
            let host = at + 20;
            // Both zones call servers of their own.
            let further = if zone == "iot" { 0x1000 } else { 0 };
            let addresses = match row.role {
                Role::Calls if zone == "office" => [format!("203.0.113.{host}"), format!("2001:db8:113::1:{host:x}")],
                Role::Calls => [format!("198.18.0.{host}"), format!("2001:db8:113::1:{:x}", host + further)],
                Role::Listens => [format!("10.{net}.0.{host}"), format!("fd00:{net}::1:{host:x}")],
            };
            cases.extend(addresses.map(|server| Case { row, expected, zone, server: server.parse().unwrap() }));
        }
    }
    cases
}

/// A reset for what does not show has everything come to the inspector, who has a name for it: where all of it is dropped, the
/// first byte may be enough for the kernel. Two zones: `office` reaches what it needs, `iot` everything, and can be reached; both with what is expected on each port.
fn policy() -> String {
    let mut text = String::from(
        r#"[gateway]
kind = "route"
outside = "wan0"
adopt = "0s"

[events]
rate = 100000

[inspection]
mismatch = "drop"
unknown = "drop"
pending = "reset"

[zone.office]
interface = "lan0"
prefixes = ["10.10.0.0/24", "fd00:10::/64"]

[zone.iot]
interface = "lan1"
prefixes = ["10.20.0.0/24", "fd00:20::/64"]

[[zone.iot.egress]]
name = "everything"
tcp = ["1-65535"]
udp = ["1-65535"]

[[outside.egress]]
name = "everything"
tcp = ["1-65535"]
udp = ["1-65535"]
to = ["zone:iot"]
"#,
    );
    for (port, expect) in NEEDED {
        let line = format!("[[zone.office.egress]]\nname = \"at-{port}\"\ntcp = {port}\nexpect = {expect:?}\n");
        writeln!(text, "\n{line}").unwrap();
    }
    text
}

#[test]
fn every_example_ends_as_its_line_says() {
    let lab = Lab::gateway(Kind::Route).unwrap();
    let cases = cases();
    addresses(&lab, &cases);
    // Without enforcement every one of them comes through: what does not arrive later was stopped.
    let free = run(&lab, &cases);
    for (case, (server, client)) in cases.iter().zip(&free) {
        let told = match case.row.says {
            Says::Vnc | Says::Shellcode => client,
            _ => server,
        };
        assert!(!told.is_empty(), "{}: nothing arrived without enforcement", describe(case));
    }
    let daemon = Daemon::start(&lab, &policy());
    let seen = run(&lab, &cases);
    let events = events(&daemon, &cases);
    let mut wrong = String::new();
    for (case, (server, client)) in cases.iter().zip(&seen) {
        if let Err(what) = judge(case, server, client, &events) {
            writeln!(wrong, "{}: {what}", describe(case)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}{}", daemon.status());
}

fn describe(case: &Case) -> String {
    let Row { attack, name, says, port, .. } = case.row;
    format!("{attack} {name}, {says:?} on {port}, {} {}", case.zone, case.server)
}

/// Gives every case's server its address; the way to those that are not on a link is known.
fn addresses(lab: &Gateway, cases: &[Case]) {
    lab.gw.ip("route add 198.18.0.0/24 via 203.0.113.9").unwrap();
    for host in [&lab.office, &lab.iot, &lab.servers] {
        let lines: Vec<String> = cases
            .iter()
            .filter(|case| place(lab, case).name() == host.name())
            .map(|case| match case.server {
                IpAddr::V4(address) => format!("addr add {address}/32 dev eth0"),
                IpAddr::V6(address) => format!("addr add {address}/128 dev eth0 nodad"),
            })
            .collect();
        host.ip(&lines.join("\n")).unwrap();
    }
}

/// Where a case's server is.
fn place<'a>(lab: &'a Gateway, case: &Case) -> &'a Namespace {
    match (case.row.role, case.zone) {
        (Role::Calls, _) => &lab.servers,
        (Role::Listens, "office") => &lab.office,
        (Role::Listens, _) => &lab.iot,
    }
}

/// Runs all cases; what the server's end and the client's end got of each.
fn run(lab: &Gateway, cases: &[Case]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let ears = [&lab.servers, &lab.office, &lab.iot].map(|host| {
        let here: Vec<&Case> = cases.iter().filter(|case| place(lab, case).name() == host.name()).collect();
        Ears::open(host, here.iter().map(|case| (case.server, case.row)))
    });
    let next = AtomicUsize::new(0);
    let heard: Vec<Mutex<Vec<u8>>> = cases.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let from = match (case.row.role, case.zone) {
                        (Role::Listens, _) => &lab.servers,
                        (Role::Calls, "office") => &lab.office,
                        (Role::Calls, _) => &lab.iot,
                    };
                    let got = converse(from, case.server, case.row);
                    let at = cases.iter().position(|other| other.server == case.server).unwrap();
                    *heard[at].lock().unwrap() = got;
                }
            });
        }
    });
    let mut got: HashMap<IpAddr, Vec<u8>> = ears.into_iter().flat_map(Ears::close).collect();
    let heard = heard.into_iter().map(|client| client.into_inner().unwrap());
    cases.iter().map(|case| got.remove(&case.server).unwrap_or_default()).zip(heard).collect()
}

/// What was told of each server and its port, once something was of each that must not be reached.
fn events(daemon: &Daemon, cases: &[Case]) -> HashMap<(IpAddr, u16), Vec<Value>> {
    let mut found: HashMap<(IpAddr, u16), Vec<Value>> = HashMap::new();
    // What is missing is reported by its line.
    let _ = wait_until("an event of each case", EVENTS, || {
        found.clear();
        for event in daemon.events.since(0) {
            for (address, port) in [("src_ip", "src_port"), ("dest_ip", "dest_port")] {
                let address = event[address].as_str().and_then(|text| text.parse().ok());
                let port = event[port].as_u64().and_then(|port| port.try_into().ok());
                if let (Some(address), Some(port)) = (address, port) {
                    found.entry((address, port)).or_default().push(event.clone());
                }
            }
        }
        Ok(cases.iter().all(|case| {
            let told = found.get(&(case.server, case.row.port)).map_or(&[][..], Vec::as_slice);
            match case.expected {
                Expected::Allowed => true,
                Expected::Denied => told.iter().any(|event| event["event_type"] == "drop"),
                _ => told.iter().any(|event| event["event_type"] == "alert"),
            }
        }))
    });
    found
}

/// Whether a case ended as its line says.
fn judge(case: &Case, server: &[u8], client: &[u8], events: &HashMap<(IpAddr, u16), Vec<Value>>) -> Result<(), String> {
    let told = events.get(&(case.server, case.row.port)).map_or(&[][..], Vec::as_slice);
    let alert = told.iter().find(|event| event["event_type"] == "alert");
    let dropped = told.iter().find(|event| event["event_type"] == "drop");
    if case.expected == Expected::Allowed {
        let arrived = server.starts_with(b"GET ") && String::from_utf8_lossy(client).contains(talk::PAGE);
        let quiet = alert.is_none() && dropped.is_none();
        return if arrived && quiet { Ok(()) } else { Err(format!("it was to pass: {} {told:?}", show(server))) };
    }
    if !server.is_empty() || !client.is_empty() {
        return Err(format!("bytes arrived: at the server {}, at the client {}", show(server), show(client)));
    }
    let (found, reason) = match case.expected {
        Expected::Mismatch(protocol) => (protocol, "app_mismatch"),
        Expected::Unknown => ("failed", "app_unknown"),
        _ => {
            let reason = dropped.map(|event| &event["dropgate"]["reason"]);
            let denied = alert.is_none() && reason.is_some_and(|reason| reason == "not_allowed");
            return if denied { Ok(()) } else { Err(format!("the port was to be denied: {told:?}")) };
        }
    };
    let alert = alert.ok_or_else(|| format!("no alert, but {told:?}"))?;
    let expected = expected(case);
    let right = alert["alert"]["metadata"]["mitre_technique_id"][0] == "T1571"
        && alert["alert"]["action"] == "blocked"
        && alert["inspection"]["found"] == found
        && alert["inspection"]["expected"] == serde_json::json!(expected)
        && alert["inspection"]["server_port"] == case.row.port
        && alert["dropgate"]["reason"] == reason;
    if right { Ok(()) } else { Err(format!("expected {reason}, found {found} for {expected:?}: {alert}")) }
}

/// What is expected on a row's port.
fn expected(case: &Case) -> &'static [&'static str] {
    let row = case.row;
    if row.says == Says::Datagram || case.zone == "iot" && NAMED_ALONE.contains(&row.port) {
        return &[];
    }
    let named = NEEDED.iter().chain(REGISTERED).find(|(port, _)| *port == row.port);
    named.map_or(&[], |(_, expect)| expect)
}

fn show(bytes: &[u8]) -> String {
    format!("{} bytes: {}", bytes.len(), bytes[..bytes.len().min(48)].escape_ascii())
}
