//! Rules against real clients: what they drop and reject, what they let alone, and how others take their place.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, address::*, wait_until};
use serde_json::Value;

use crate::{
    daemon::Daemon,
    frames::Path,
    policies,
    setup::{LIMIT, Wire, with_servers},
    traffic::{fails, works},
};

/// What clients are allowed here, and looked into.
const SERVICES: &str = r#"
[[zone.office.egress]]
name = "web"
tcp = [80, 443]

[[zone.office.egress]]
name = "names"
udp = [53]

[inspection]
mismatch = "drop"
"#;

/// That, with rules in these files.
pub fn lines(files: &[&str]) -> String {
    format!("{SERVICES}\n[signatures]\nfiles = {files:?}\n")
}

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
    let daemon = Daemon::start(&lab, &policies::office(kind, &lines(&["own.rules"])));
    (lab, daemon)
}

/// The first alert of a rule.
pub fn alert(daemon: &Daemon, mark: u64, sid: u64) -> Value {
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

/// Who sends a datagram that is rejected is told that it is prohibited.
fn datagrams_are_answered(kind: Kind) {
    let rules = "reject udp any any -> any 53 (msg:\"a datagram\"; content:\"evil\"; sid:6;)\n";
    let (lab, daemon) = start(kind, rules);
    let servers = [(SERVER, libc::EHOSTUNREACH), (SERVER6, libc::EACCES)];
    for (server, prohibited) in servers {
        let mark = daemon.events.mark();
        let told = lab.office.enter(|| {
            let socket = UdpSocket::bind((if server == SERVER { "0.0.0.0" } else { "::" }, 0)).unwrap();
            socket.connect(SocketAddr::new(server.parse().unwrap(), 53)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            // a busy inspector may be late for one of them
            let mut tries = (0..4).map(|_| {
                let sent = socket.send(b"something evil").and_then(|_| socket.recv(&mut [0; 512]));
                sent.unwrap_err().raw_os_error()
            });
            tries.find(|told| *told != Some(libc::EAGAIN)).flatten()
        });
        assert_eq!(told.unwrap(), Some(prohibited), "{kind:?}, {server}");
        let alert = alert(&daemon, mark, 6);
        assert_eq!(
            (&alert["alert"]["action"], &alert["verdict"]["reject"][0]),
            (&"blocked".into(), &"icmp-prohib".into())
        );
    }
}

#[test]
fn senders_of_datagrams_to_a_gateway_that_routes() {
    datagrams_are_answered(Kind::Route);
}

#[test]
fn senders_of_datagrams_to_a_gateway_that_masquerades() {
    datagrams_are_answered(Kind::Masquerade);
}

/// A rule whose expression takes more steps than it may is told of by its number, and holds up nobody.
#[test]
fn a_rule_that_hits_its_limits() {
    let rules = "drop http any any -> any any (msg:\"endless\"; http.uri; pcre:\"/^\\/(?:a+)+$/\"; sid:31; rev:4;)\n";
    let (lab, daemon) = start(Kind::Route, rules);
    let mark = daemon.events.mark();
    works(&lab.office, &format!("curl -s -m 3 http://{SERVER}/{}", "a".repeat(2_000) + "b"));
    let mut limited = Value::Null;
    wait_until("an event of the limit", LIMIT, || {
        let told = daemon.events.since(mark).into_iter().find(|event| event["anomaly"]["event"] == "rule_limited");
        limited = told.map(|event| event["dropgate"]["limited"].clone()).unwrap_or_default();
        Ok(!limited.is_null())
    })
    .unwrap();
    assert_eq!((&limited["signature_id"], &limited["rev"]), (&31.into(), &4.into()), "{limited}");
    let status = daemon.status();
    assert_eq!(status["signatures"]["limited"][0]["sid"], 31, "{}", status["signatures"]);
}

/// Whether a connection to the server can be opened.
fn opens(lab: &Gateway, port: u16) -> bool {
    let server = SocketAddr::new(SERVER.parse().unwrap(), port);
    lab.office.enter(|| TcpStream::connect_timeout(&server, Duration::from_secs(2)).is_ok()).unwrap()
}

/// A connection that a rule is against is not even opened: by its SYN alone, and by who is at its other end.
#[test]
fn connections_that_are_not_opened() {
    let rules = "drop tcp any any -> any 443 (msg:\"a SYN\"; flags:S,12; sid:11;)\n";
    let (lab, daemon) = start(Kind::Masquerade, rules);
    let mark = daemon.events.mark();
    assert!(!opens(&lab, 443));
    let told = alert(&daemon, mark, 11);
    assert_eq!((&told["alert"]["action"], &told["flow"]["pkts_toserver"]), (&"blocked".into(), &1.into()), "{told}");
    assert!(opens(&lab, 80));
    works(&lab.office, &curl("/"));
    lab.write("own.rules", &format!("drop ip any any -> [192.0.2.77,{SERVER}] any (msg:\"a bad host\"; sid:12;)\n"))
        .unwrap();
    daemon.apply(daemon.policy());
    assert!(!opens(&lab, 80));
    assert_eq!(alert(&daemon, mark, 12)["alert"]["action"], "blocked");
    lab.write("own.rules", "").unwrap();
    daemon.apply(daemon.policy());
    assert!(opens(&lab, 443));
    works(&lab.office, &curl("/"));
}

/// What the programs drop without holding it is shown to rules by what is wrong with it; fragments are put together where rules ask
/// what is wrong with them.
#[test]
fn what_is_malformed_is_told_of() {
    let rules = "alert pkthdr any any -> any any (msg:\"a header\"; decode-event:tcp.hlen_too_small; sid:21;)\n\
        alert pkthdr any any -> any any (msg:\"an overlap\"; decode-event:ipv4.frag_overlap; sid:22;)\n";
    let lines = lines(&["own.rules"]) + "\n[fragments]\nudp = \"track\"\n[timeouts]\nfragment = \"1s\"\n";
    let wire = Wire::with_files(&policies::office(Kind::Route, &lines), &[("own.rules", rules)]);
    let path = Path::new(OFFICE, SERVER, (4_000, 80));
    let mark = wire.daemon.events.mark();
    let mut segment = path.tcp(2, 1000, 0);
    segment[20 + 12] = 0x40;
    wire.send(&[], &segment);
    let told = alert(&wire.daemon, mark, 21);
    assert_eq!((&told["alert"]["action"], &told["src_ip"]), (&"blocked".into(), &OFFICE.into()), "{told}");
    let names = Path::new(OFFICE, SERVER, (4_001, 53));
    let mut parts = names.fragments(7, &[0x5a; 80], 32);
    let second = names.fragment(7, 17, 24, true, &[0x55; 16]);
    parts.insert(1, second);
    parts.iter().for_each(|part| wire.send(&[], part));
    assert_eq!(alert(&wire.daemon, mark, 22)["alert"]["action"], "blocked");
}

/// A server without anybody on a port says so: a rule may let that be heard, or not.
fn unreachable(kind: Kind) {
    let lab = with_servers(kind);
    let probe = "\n[[zone.office.egress]]\nname = \"probe\"\nudp = [4242]\n";
    let rules =
        |action: &str| format!("{action} icmp any any -> any any (msg:\"nobody there\"; itype:3; icode:3; sid:41;)\n");
    lab.write("own.rules", &rules("alert")).unwrap();
    let daemon = Daemon::start(&lab, &policies::office(kind, &(lines(&["own.rules"]) + probe)));
    let refused = || {
        let probe = || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            socket.connect((SERVER, 4242)).unwrap();
            socket.send(b"anybody?").unwrap();
            socket.recv(&mut [0; 16]).unwrap_err().kind()
        };
        lab.office.enter(probe).unwrap()
    };
    let mark = daemon.events.mark();
    assert_eq!(refused(), ErrorKind::ConnectionRefused);
    let told = alert(&daemon, mark, 41);
    assert_eq!((&told["alert"]["action"], &told["icmp_type"]), (&"allowed".into(), &3.into()), "{told}");
    lab.write("own.rules", &rules("drop")).unwrap();
    daemon.apply(daemon.policy());
    let mark = daemon.events.mark();
    assert_eq!(refused(), ErrorKind::WouldBlock);
    let told = alert(&daemon, mark, 41);
    assert_eq!((&told["alert"]["action"], &told["dest_ip"]), (&"blocked".into(), &OFFICE.into()), "{told}");
    assert_eq!(daemon.count("signature"), 1);
    // the flow that it was about goes on
    lab.write("own.rules", "").unwrap();
    daemon.apply(daemon.policy());
    assert_eq!(refused(), ErrorKind::ConnectionRefused);
}

#[test]
fn unreachable_through_a_gateway_that_routes() {
    unreachable(Kind::Route);
}

#[test]
fn unreachable_through_a_gateway_that_masquerades() {
    unreachable(Kind::Masquerade);
}

/// What the programs drop, because nobody asked for it, is shown to rules with what it says.
#[test]
fn what_is_dropped_is_told_of_with_its_bytes() {
    let rules = "alert icmp any any -> any any (msg:\"a way round\"; itype:5; content:\"quoted\"; icmpv4.hdr; content:\"|c0 00 02 63|\"; sid:51;)\n\
        drop pkthdr any any -> any any (msg:\"a code\"; decode-event:icmpv4.unknown_code; sid:52;)\n";
    let lines = lines(&["own.rules"]) + "\n[[zone.office.egress]]\nname = \"ping\"\nicmp = [8]\n";
    let wire = Wire::with_files(&policies::office(Kind::Route, &lines), &[("own.rules", rules)]);
    let path = Path::new(OFFICE, SERVER, (4_000, 80));
    let mark = wire.daemon.events.mark();
    wire.send(&[], &path.icmp(&[&[5, 1, 0, 0, 192, 0, 2, 99][..], &path.udp(b"quoted")].concat()));
    let told = alert(&wire.daemon, mark, 51);
    assert_eq!((&told["alert"]["action"], &told["icmp_type"]), (&"blocked".into(), &5.into()), "{told}");
    wire.passes(&[], &path.icmp(&[8, 0, 0, 0, 0, 1, 0, 1]));
    let odd = path.icmp(&[8, 9, 0, 0, 0, 1, 0, 2]);
    wire.dropped(&[], &odd, &path, "signature");
    assert_eq!(alert(&wire.daemon, mark, 52)["alert"]["action"], "blocked");
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
    let missing = lab.write("missing.toml", &policies::office(Kind::Route, &lines(&["none.rules"]))).unwrap();
    let refused = daemon.call(&["apply", missing.to_str().unwrap()]);
    assert_eq!(refused.status.and_then(|status| status.code()), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("none.rules"), "{refused:?}");
    fails(&lab.office, &format!("curl -s -m 1 http://{SERVER}/worse"));
}

/// A rule about fragments is asked of each by itself; of a datagram that lacks one nothing arrives.
#[test]
fn fragments_by_themselves() {
    let lab = with_servers(Kind::Route);
    let rules = "alert udp any any -> any any (msg:\"one\"; fragbits:M; sid:1;)\n\
        drop ip any any -> any any (msg:\"a part\"; fragoffset:>180; sid:2;)\n";
    lab.write("own.rules", rules).unwrap();
    let policy = policies::office(Kind::Route, &lines(&["own.rules"]))
        + "\n[fragments]\nudp = \"track\"\n[timeouts]\nfragment = \"1s\"\n";
    let daemon = Daemon::start(&lab, &policy.replace("mismatch = \"drop\"", "mismatch = \"alert\""));
    let mark = daemon.events.mark();
    let client = lab.office.enter(|| UdpSocket::bind((OFFICE, 4053)).unwrap()).unwrap();
    client.send_to(&[7; 2000], (SERVER, 53)).unwrap();
    let first = alert(&daemon, mark, 1);
    assert_eq!((&first["proto"], &first["alert"]["action"]), (&"UDP".into(), &"allowed".into()));
    assert_eq!(alert(&daemon, mark, 2)["alert"]["action"], "blocked");
    daemon.events.dropped(mark, OFFICE, SERVER, "signature");
    // what waits for the other one ends at its time
    daemon.events.dropped(mark, OFFICE, SERVER, "datagram_incomplete");
}
