//! Packets held and released: real clients do not notice.

use std::{fs, time::Duration};

use dropgate_lab::{Gateway, Kind, Lab, address::*};
use serde_json::Value;

use crate::{
    clients,
    daemon::Daemon,
    policies,
    traffic::{client, host, offer, works},
};

/// Every packet of every service is held to its end.
const ALL: &str = "\n[inspection]\ndepth = \"unlimited\"\n";

fn inspected(kind: Kind, inspection: &str) -> (Gateway, Daemon) {
    let mut lab = Lab::gateway(kind).unwrap();
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &(policies::clients(kind) + inspection));
    (lab, daemon)
}

/// What the inspector has done, once what it holds has left.
fn inspection(daemon: &Daemon) -> Value {
    // its look at the sockets' statistics is half a second old at most
    std::thread::sleep(Duration::from_millis(700));
    daemon.status()["inspection"].clone()
}

fn nothing_lost(daemon: &Daemon) -> Value {
    let done = inspection(daemon);
    assert!(done["held"]["packets"].as_u64() > Some(0), "{done}");
    assert_eq!((&done["lost"], &done["sockets_dropped"]), (&0.into(), &0.into()), "{done}");
    assert_eq!(done["received"], done["released"], "{done}");
    done
}

#[test]
fn everything_held_masquerading() {
    let (lab, daemon) = inspected(Kind::Masquerade, ALL);
    clients::everywhere(&lab, &daemon);
    clients::published_and_hairpin(&lab, &daemon);
    let done = nothing_lost(&daemon);
    assert_eq!(done["settled"], 0, "{done}");
}

#[test]
fn everything_held_routing() {
    let (lab, daemon) = inspected(Kind::Route, ALL);
    clients::everywhere(&lab, &daemon);
    nothing_lost(&daemon);
}

/// A download leaves inspection at its depth, with all its bytes, and goes on in the kernel.
#[test]
fn a_download_leaves_inspection() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = inspected(kind, "\n[inspection]\ndepth = \"16KiB\"\n");
        let bytes = offer(&lab, "large", 50_000_000);
        let got = lab.dir().join("got");
        for server in [SERVER, SERVER6] {
            works(&lab.office, &format!("curl -sf -m 15 -o {} http://{}/large", got.display(), host(server)));
            assert!(fs::read(&got).unwrap() == bytes, "{server}: other bytes");
        }
        let done = nothing_lost(&daemon);
        assert_eq!(done["settled"], 2, "{kind:?}: {done}");
        let share = done["share_bytes"].as_f64().unwrap();
        assert!(share < 0.1, "{kind:?}: {done}");
    }
}

/// Without an inspector: what needs one is dropped or passes, as configured; the rest goes on as ever.
#[test]
fn the_inspector_gone() {
    for (answer, open) in [("drop", false), ("pass", true)] {
        let failure = format!("{ALL}late = \"300ms\"\n\n[failure]\ninspector = \"{answer}\"\n");
        let (lab, mut daemon) = inspected(Kind::Masquerade, &failure);
        let fetch = format!("curl -sf -m 2 http://{SERVER}/");
        works(&lab.office, &fetch);

        // a stuck one, first
        daemon.signal(libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(client(&lab.office, &fetch).success(), open, "stuck, `{answer}`");
        daemon.signal(libc::SIGCONT);
        std::thread::sleep(Duration::from_millis(200));
        works(&lab.office, &fetch);
        assert!(daemon.count("inspector_late") > 0);

        daemon.kill();
        assert_eq!(client(&lab.office, &fetch).success(), open, "killed, `{answer}`");
        // what is never inspected needs nobody
        works(&lab.office, &format!("ping -c 1 -W 2 {SERVER}"));
        daemon.restart();
        assert!(daemon.count("inspector_absent") > 0);
        works(&lab.office, &fetch);
        nothing_lost(&daemon);
    }
}
