//! A blocklist pushed while connections are open: those it names are cut, in both directions and both families.

use std::time::Duration;

use dropgate_lab::{Gateway, Kind, Namespace, address::*};
use serde_json::Value;

use crate::{
    daemon::Daemon,
    policies,
    setup::{Connection, LIMIT, with_policy},
    traffic::*,
};

/// What every host of `office` may reach, and what the outside may.
const OPEN: &str =
    "\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\nicmp = [\"echo-request\"]\nicmpv6 = [\"echo-request\"]\n";
const INWARD: &str =
    "\n[[outside.egress]]\nname = \"device\"\ntcp = [80]\nto = [\"zone:iot/10.20.0.8\", \"zone:iot/fd00:20::8\"]\n";
/// Longer than the first retransmissions of a connection that was cut.
const PATIENCE: Duration = Duration::from_millis(700);

/// An open connection, and what its events call its ends.
struct Open {
    connection: Connection,
    from: &'static str,
    to: &'static str,
}

impl Open {
    fn new(host: &Namespace, from: &'static str, to: &'static str) -> Self {
        Self { connection: Connection::open(host, to), from, to }
    }

    fn is_cut(&mut self, daemon: &Daemon) {
        let (mark, before) = (daemon.events.mark(), daemon.count("flow_revoked"));
        self.connection.request();
        assert!(!self.connection.answered(PATIENCE), "{} to {} goes on: {}", self.from, self.to, daemon.status());
        daemon.events.dropped_where(mark, self.from, self.to, "flow_revoked", |event| event["dest_port"] == 80);
        assert!(daemon.count("flow_revoked") > before, "{}", daemon.status());
    }
}

/// A connection attempt that comes to nothing, for this reason.
fn refused(daemon: &Daemon, host_of: &Namespace, (from, to): (&str, &str), reason: &str) {
    let (mark, before) = (daemon.events.mark(), daemon.count(reason));
    fails(host_of, &format!("curl -sf -m 0.4 http://{}/", host(to)));
    daemon.events.dropped_where(mark, from, to, reason, |event: &Value| event["dest_port"] == 80);
    assert!(daemon.count(reason) > before);
}

fn push(lab: &Gateway, daemon: &Daemon, policy: &str, lines: &str) {
    let file = lab.write("blocked.toml", &format!("{policy}{lines}")).unwrap();
    daemon.apply(&file);
}

#[test]
fn open_connections_are_cut_routed() {
    let policy = policies::office(Kind::Route, OPEN) + INWARD;
    let (lab, daemon) = with_policy(Kind::Route, &policy);
    // So that what the servers send to others comes from their first address.
    lab.servers.ip(&format!("address change {SERVER_B6}/64 dev eth0 preferred_lft 0")).unwrap();
    let mut out = [(OFFICE, SERVER), (OFFICE6, SERVER6)].map(|(from, to)| Open::new(&lab.office, from, to));
    let mut bystanders = [SERVER_B, SERVER_B6].map(|to| Connection::open(&lab.office, to));
    let mut inward = [(SERVER, IOT), (SERVER6, IOT6)].map(|(from, to)| Open::new(&lab.servers, from, to));

    // Towards the servers: what the outside began goes on.
    push(&lab, &daemon, &policy, &format!("\n[blocklist]\nto = [\"{SERVER}\", \"{SERVER6}\"]\n"));
    for one in &mut out {
        one.is_cut(&daemon);
        refused(&daemon, &lab.office, (one.from, one.to), "blocked_destination");
        fails(&lab.office, &format!("ping -c 1 -W 0.4 {}", one.to));
    }
    bystanders.iter_mut().for_each(Connection::ask);
    // From them, by a list in a file.
    lab.write("bad.txt", &format!("# what is known to be bad\n{SERVER}/32\n{SERVER6}\n")).unwrap();
    push(&lab, &daemon, &policy, "\n[blocklist]\nfrom = [\"@bad\"]\n\n[lists]\nbad = \"bad.txt\"\n");
    for one in &mut inward {
        one.is_cut(&daemon);
        refused(&daemon, &lab.servers, (one.from, one.to), "blocked_source");
    }
    bystanders.iter_mut().for_each(Connection::ask);
    // Off the list, what was cut goes on: its ends have kept sending.
    push(&lab, &daemon, &policy, "");
    for one in &mut inward {
        assert!(one.connection.answered(LIMIT), "{} to {}: {}", one.from, one.to, daemon.status());
        one.connection.ask();
    }
}

/// Behind translation, of which the blocklist's addresses know nothing: a client of the zone, and a published service.
#[test]
fn open_connections_are_cut_masqueraded() {
    let publish = format!("\n[[publish]]\nname = \"www\"\ntcp = [80]\naddress = \"{WAN}\"\nto = \"{IOT}\"\n");
    let policy = policies::office(Kind::Masquerade, OPEN) + &publish;
    let (lab, daemon) = with_policy(Kind::Masquerade, &policy);
    // One that was cut before sends again only after a while, so that each push cuts others.
    let open = || [(OFFICE, SERVER), (OFFICE6, SERVER6)].map(|(from, to)| Open::new(&lab.office, from, to));
    let (mut first, mut second) = (open(), open());
    let mut bystanders = [SERVER_B, SERVER_B6].map(|to| Connection::open(&lab.office, to));
    let mut inward = Open::new(&lab.servers, SERVER, WAN);
    push(&lab, &daemon, &policy, &format!("\n[blocklist]\nfrom = [\"{SERVER}\"]\n"));
    inward.is_cut(&daemon);
    refused(&daemon, &lab.servers, (SERVER, WAN), "blocked_source");
    push(&lab, &daemon, &policy, &format!("\n[blocklist]\nfrom = [\"{OFFICE}/32\", \"{OFFICE6}\"]\n"));
    for one in &mut first {
        one.is_cut(&daemon);
        refused(&daemon, &lab.office, (one.from, one.to), "blocked_source");
    }
    push(&lab, &daemon, &policy, &format!("\n[blocklist]\nto = [\"{SERVER}\", \"{SERVER6}\"]\n"));
    for one in &mut second {
        one.is_cut(&daemon);
        refused(&daemon, &lab.office, (one.from, one.to), "blocked_destination");
    }
    bystanders.iter_mut().for_each(Connection::ask);
}
