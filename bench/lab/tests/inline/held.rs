//! Packets held and released: real clients do not notice.

use std::time::Duration;

use dropgate_lab::{Gateway, Kind, Lab};
use serde_json::Value;

use crate::{clients, daemon::Daemon, policies};

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
