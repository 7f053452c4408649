//! Rules against real clients: what they drop and reject, what they let alone, and how others take their place.

use dropgate_lab::{Gateway, Kind, address::*, wait_until};
use serde_json::Value;

use crate::{
    daemon::Daemon,
    policies,
    setup::{LIMIT, with_servers},
    traffic::{fails, works},
};

const LINES: &str = r#"
[[zone.office.egress]]
name = "web"
tcp = [80, 443]

[[zone.office.egress]]
name = "names"
udp = [53]

[inspection]
mismatch = "drop"

[signatures]
files = ["own.rules"]
"#;

const RULES: &str = r#"
drop http any any -> any any (msg:"a path"; flow:established,to_server; http.uri; content:"/evil"; classtype:trojan-activity; metadata:mitre_technique_id T1071.001; sid:1; rev:2;)
reject http any any -> any any (msg:"an agent"; flow:established,to_server; http.user_agent; content:"bad/1.0"; sid:2;)
alert http any any -> any any (msg:"an answer"; flow:established,to_client; http.stat_code; content:"404"; sid:3;)
drop dns any any -> any any (msg:"a name"; dns.query; content:"evil.example"; endswith; sid:4;)
drop tls any any -> any any (msg:"a server"; tls.sni; content:"evil.example"; sid:5;)
"#;

fn start(kind: Kind, rules: &str) -> (Gateway, Daemon) {
    let lab = with_servers(kind);
    lab.write("own.rules", rules).unwrap();
    let daemon = Daemon::start(&lab, &policies::office(kind, LINES));
    (lab, daemon)
}

/// The first alert of a rule.
fn alert(daemon: &Daemon, mark: u64, sid: u64) -> Value {
    let mut found = None;
    let waited = wait_until("an alert", LIMIT, || {
        found = daemon.events.since(mark).into_iter().find(|event| event["alert"]["signature_id"] == sid);
        Ok(found.is_some())
    });
    waited.unwrap();
    found.unwrap()
}

fn curl(path: &str) -> String {
    format!("curl -sf -m 3 http://{SERVER}{path}")
}

fn clients(kind: Kind) {
    let (lab, daemon) = start(kind, RULES);
    works(&lab.office, &curl("/"));
    let mark = daemon.events.mark();
    fails(&lab.office, &format!("curl -s -m 1 http://{SERVER}/evil/path?a=b"));
    let of_path = alert(&daemon, mark, 1);
    assert_eq!(of_path["alert"]["action"], "blocked");
    assert_eq!(of_path["alert"]["category"], "A Network Trojan was detected");
    assert_eq!(of_path["http"]["url"], "/evil/path?a=b");
    assert_eq!(of_path["dropgate"]["attack"][0], "T1071.001");
    // it is percent-encoded, and said to be something else
    fails(&lab.office, &format!("curl -s -m 1 --path-as-is http://{SERVER}/good/../%65vil"));
    fails(&lab.office, &format!("curl -s -m 2 -A bad/1.0 http://{SERVER}/"));
    assert_eq!(alert(&daemon, mark, 2)["alert"]["action"], "blocked");
    // an alert lets it go on
    works(&lab.office, &format!("curl -s -m 3 http://{SERVER}/nothing-here"));
    assert_eq!(alert(&daemon, mark, 3)["alert"]["action"], "allowed");
    let dig = |name: &str| format!("dig +short +time=1 +tries=1 @{SERVER} {name} A");
    works(&lab.office, &dig("www.example.test"));
    fails(&lab.office, &dig("c2.evil.example"));
    assert_eq!(alert(&daemon, mark, 4)["alert"]["action"], "blocked");
    works(&lab.office, &format!("curl -skf -m 3 https://{SERVER}/"));
    fails(&lab.office, &format!("curl -skf -m 1 --resolve c2.evil.example:443:{SERVER} https://c2.evil.example/"));
    assert_eq!(alert(&daemon, mark, 5)["tls"]["sni"], "c2.evil.example");
    assert!(daemon.count("signature") > 0);
    works(&lab.office, &curl("/"));
}

#[test]
fn clients_of_a_gateway_that_routes() {
    clients(Kind::Route);
}

#[test]
fn clients_of_a_gateway_that_masquerades() {
    clients(Kind::Masquerade);
}

/// A push brings other rules, and none of the old ones; one that names no file that is there changes nothing.
#[test]
fn a_push_of_other_rules() {
    let (lab, daemon) = start(Kind::Route, RULES);
    fails(&lab.office, &format!("curl -s -m 1 http://{SERVER}/evil"));
    lab.write("own.rules", &RULES.replace("/evil", "/worse")).unwrap();
    daemon.apply(daemon.policy());
    works(&lab.office, &format!("curl -s -m 3 http://{SERVER}/evil"));
    fails(&lab.office, &format!("curl -s -m 1 http://{SERVER}/worse"));
    let missing = lab.write("missing.toml", &policies::office(Kind::Route, &LINES.replace("own", "none"))).unwrap();
    let refused = daemon.call(&["apply", missing.to_str().unwrap()]);
    assert_eq!(refused.status.and_then(|status| status.code()), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("none.rules"), "{refused:?}");
    fails(&lab.office, &format!("curl -s -m 1 http://{SERVER}/worse"));
}
