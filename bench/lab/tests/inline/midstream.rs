//! Connections that are older than their inspection.

use dropgate_lab::{Kind, address::*};
use std::time::Duration;

use crate::{
    daemon::Daemon,
    policies,
    setup::{Connection, with_servers},
};

fn policy(expect: &str, midstream: &str) -> String {
    let lines = format!(
        "[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\nexpect = \"{expect}\"\n\n[inspection]\nmidstream = \"{midstream}\"\n"
    );
    policies::office(Kind::Route, &lines).replace("adopt = \"0s\"", "adopt = \"20s\"")
}

/// Taken in at first attach.
#[test]
fn taken_in() {
    let cases = [
        ("http", "pass", None),
        ("tls", "pass", None),
        ("http", "identify", None),
        ("tls", "identify", Some("app_mismatch")),
        ("http", "drop", Some("tcp_mid_stream")),
    ];
    for (expect, midstream, cut) in cases {
        let lab = with_servers(Kind::Route);
        let mut connection = Connection::open(&lab.office, SERVER);
        let daemon = Daemon::start(&lab, &policy(expect, midstream));
        match cut {
            None => {
                connection.ask();
                let flow = daemon.flow(SERVER, 80).unwrap();
                let known = if midstream == "identify" { "http".into() } else { serde_json::Value::Null };
                assert_eq!(flow.get("app_proto").cloned().unwrap_or_default(), known, "{expect} {midstream}: {flow}");
            }
            Some(reason) => {
                connection.request();
                assert!(!connection.answered(Duration::from_secs(1)), "{expect} {midstream}");
                assert!(daemon.count(reason) > 0, "{expect} {midstream}: {}", daemon.status());
            }
        }
    }
}

/// A connection whose protocol was known stays settled when the daemon is killed and started again, whatever the answer
/// for those that were met in mid-stream.
#[test]
fn settled_across_a_restart() {
    let lab = with_servers(Kind::Masquerade);
    let lines = "[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\n\n[inspection]\nmidstream = \"drop\"\n";
    let mut daemon = Daemon::start(&lab, &policies::office(Kind::Masquerade, lines));
    let mut connection = Connection::open(&lab.office, SERVER);
    connection.ask();
    let before = daemon.flow(SERVER, 80).unwrap();
    assert_eq!(before["app_proto"], "http", "{before}");
    daemon.kill();
    connection.ask();
    daemon.restart();
    connection.ask();
    let after = daemon.flow(SERVER, 80).unwrap();
    assert_eq!((&after["flow"], &after["app_proto"]), (&before["flow"], &before["app_proto"]), "{after}");
    assert_eq!(daemon.count("tcp_mid_stream"), 0);
}
