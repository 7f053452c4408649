//! What is spoken on a port, and what should be: T1571 as it looks on the wire, and clients that do nothing wrong.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Lab, Namespace, address::*};

use crate::{
    daemon::Daemon,
    policies, setup,
    traffic::{fails, host, works},
};

/// Ports that are open to everything, as far as headers go.
const LINES: &str = r#"
[[zone.office.egress]]
name = "web"
tcp = [80, 443, 8088]
udp = [443]

[[zone.office.egress]]
name = "mail"
tcp = [587]

[[zone.office.egress]]
name = "dns"
udp = [53]

[[zone.office.egress]]
name = "remote"
tcp = [22]

[[zone.office.egress]]
name = "cache"
tcp = [6379]

[[zone.office.egress]]
name = "high"
tcp = [14146]

[[zone.office.egress]]
name = "anything"
tcp = [9000]
expect = "any"

[[zone.office.egress]]
name = "tunnel"
tcp = [9001]
expect = ["tls", "ssh"]

[inspection]
unknown = "drop"
"#;

/// What a server's end got, and what the client read.
#[derive(PartialEq, Eq, Debug)]
struct Exchange {
    server: Vec<u8>,
    client: Vec<u8>,
    reset: bool,
}

/// Connects, says the parts one after the other, and waits for an answer that the server gives to the first bytes it gets.
fn exchange(lab: &Gateway, server: &str, port: u16, parts: &[&[u8]]) -> Exchange {
    let listener = lab.servers.enter(|| TcpListener::bind((server, port)).unwrap()).unwrap();
    std::thread::scope(|scope| {
        let far = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(900))).unwrap();
            let mut got = Vec::new();
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut part) {
                if got.is_empty() {
                    let _ = stream.write_all(b"welcome");
                }
                got.extend(&part[..length]);
            }
            got
        });
        let mut stream = lab.office.enter(|| TcpStream::connect((server, port)).unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
        for part in parts {
            if stream.write_all(part).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut client = vec![0; 64];
        let read = stream.read(&mut client);
        let reset = matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset);
        client.truncate(read.unwrap_or(0));
        drop(stream);
        Exchange { server: far.join().unwrap(), client, reset }
    })
}

/// It came to nothing: the server did not see a byte of it, for this reason.
fn cut(lab: &Gateway, daemon: &Daemon, port: u16, parts: &[&[u8]], reason: &str) {
    for server in [SERVER, SERVER6] {
        let before = daemon.count(reason);
        let seen = exchange(lab, server, port, parts);
        assert_eq!((seen.server.as_slice(), seen.client.as_slice()), (&b""[..], &b""[..]), "port {port}");
        assert!(daemon.count(reason) > before, "port {port}: `{reason}` was not counted: {}", daemon.status());
    }
}

/// Byte by byte: what tells comes later than a packet may wait. The server gets a part of it at most, and the client nothing.
fn never_whole(lab: &Gateway, daemon: &Daemon, port: u16, bytes: &[u8], reason: &str) {
    for server in [SERVER, SERVER6] {
        let before = daemon.count(reason);
        let seen = exchange(lab, server, port, &single_bytes(bytes));
        assert!(bytes.starts_with(&seen.server) && seen.server.len() < bytes.len(), "{seen:?}");
        assert!(daemon.count(reason) > before, "port {port}: `{reason}` was not counted: {}", daemon.status());
    }
}

fn whole(lab: &Gateway, port: u16, parts: &[&[u8]]) {
    for server in [SERVER, SERVER6] {
        let seen = exchange(lab, server, port, parts);
        assert_eq!(seen.server, parts.concat(), "port {port}");
        assert_eq!(seen.client, b"welcome", "port {port}");
    }
}

fn single_bytes(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(1).collect()
}

const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.9\r\n";
const HTTP: &[u8] = b"GET /update HTTP/1.1\r\nHost: c2.example\r\n\r\n";
/// A TLS record header, and something else behind it.
const FAKE_TLS: &[u8] = b"\x16\x03\x01\x00\x20\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";

#[test]
fn protocols_where_they_do_not_belong() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = setup::guarded(kind, LINES);
        let fails_for = |line: &str, reason: &str| {
            let before = daemon.count(reason);
            fails(&lab.office, line);
            assert!(daemon.count(reason) > before, "`{line}`: `{reason}` was not counted: {}", daemon.status());
        };
        // the ports of T1571's description
        works(&lab.office, &format!("curl -sf -m 5 http://{SERVER}:8088/"));
        fails_for(&format!("curl -skf -m 2 https://{SERVER_B}:8088/"), "app_mismatch");
        fails_for(&format!("curl -skf -m 2 https://{SERVER}:587/"), "app_mismatch");
        cut(&lab, &daemon, 14146, &[HTTP], "app_mismatch");
        cut(&lab, &daemon, 9001, &[HTTP], "app_mismatch");
        never_whole(&lab, &daemon, 9001, HTTP, "app_mismatch");
        let alert = daemon.events.since(0).into_iter().find(|event| event["event_type"] == "alert").expect("an alert");
        assert_eq!(alert["alert"]["metadata"]["mitre_technique_id"][0], "T1571", "{alert}");
        assert_eq!((&alert["app_proto"], &alert["alert"]["action"]), (&"tls".into(), &"blocked".into()), "{alert}");
        assert_eq!(alert["inspection"]["expected"][0], "http", "{alert}");
        // what belongs where it is, also byte by byte
        whole(&lab, 9001, &[SSH]);
        whole(&lab, 9001, &single_bytes(SSH));
        whole(&lab, 9000, &[b"\x00\x01\x02 whatever"]);
        cut(&lab, &daemon, 9001, &[b"\x00\x01\x02 whatever this is, it is nothing known"], "app_unknown");
    }
}

/// SSH and FakeTLS on 443, on an address where no web server holds the port.
#[test]
fn other_things_on_443() {
    let lab = Lab::gateway(Kind::Masquerade).unwrap();
    let daemon = Daemon::start(&lab, &policies::office(Kind::Masquerade, LINES));
    for bytes in [SSH, FAKE_TLS] {
        cut(&lab, &daemon, 443, &[bytes], "app_mismatch");
        cut(&lab, &daemon, 443, &single_bytes(bytes), "app_mismatch");
    }
    cut(&lab, &daemon, 443, &[b"\x00\x01\x02\x03 raw and binary, and nothing that is known"], "app_unknown");
}

#[test]
fn a_reset_tells_both_ends() {
    let (lab, daemon) =
        setup::guarded(Kind::Masquerade, &LINES.replace("[inspection]", "[inspection]\nmismatch = \"reset\""));
    for server in [SERVER, SERVER6] {
        let seen = exchange(&lab, server, 9001, &[HTTP]);
        assert!(seen.server.is_empty() && seen.reset, "{seen:?}");
    }
    assert!(daemon.count("app_mismatch") >= 2);
}

#[test]
fn clients_that_do_nothing_wrong() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = setup::guarded(kind, LINES);
        for server in [SERVER, SERVER6] {
            works(&lab.office, &format!("curl -sf -m 5 http://{}/", host(server)));
            works(&lab.office, &format!("curl -skf -m 5 https://{}/", host(server)));
            works(&lab.office, &format!("dig +short +time=3 +tries=1 @{server} www.example.test A"));
            assert_eq!(works(&lab.office, &format!("redis-cli -h {server} ping")), "PONG\n");
        }
        ssh(&lab, &lab.office, SERVER);
        let flows = daemon.flows();
        for (port, spoken) in [(80, "http"), (443, "tls"), (53, "dns"), (6379, "redis"), (22, "ssh")] {
            let flow = flows.iter().find(|flow| flow["dport"] == port && flow["translated"] == false);
            assert_eq!(flow.map(|flow| &flow["app_proto"]), Some(&spoken.into()), "{flows:?}");
        }
        for reason in ["app_mismatch", "app_unknown", "app_pending"] {
            assert_eq!(daemon.count(reason), 0, "{}", daemon.status());
        }
    }
}

fn ssh(lab: &Gateway, from: &Namespace, server: &str) {
    let mut ssh = lab.ssh(from);
    let said = dropgate_lab::run(ssh.args([server, "echo", "hello"]), Duration::from_secs(15)).unwrap();
    assert_eq!(said.stdout, "hello\n", "{said:?}");
}

/// What has not shown in time what it speaks; silence before the first byte does not count.
#[test]
fn what_does_not_show() {
    let lines = LINES.replace("[inspection]", "[inspection]\npending = \"drop\"\npatience = \"300ms\"");
    let lab = Lab::gateway(Kind::Route).unwrap();
    let daemon = Daemon::start(&lab, &policies::office(Kind::Route, &lines));
    let listener = lab.servers.enter(|| TcpListener::bind((SERVER, 9001)).unwrap()).unwrap();
    for (parts, whole) in [([&b"SS"[..], b"H-2"], false), ([b"", SSH], true)] {
        let mut stream = lab.office.enter(|| TcpStream::connect((SERVER, 9001)).unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(Duration::from_millis(800))).unwrap();
        let before = daemon.count("app_pending");
        for part in parts {
            stream.write_all(part).unwrap();
            std::thread::sleep(Duration::from_millis(500));
        }
        let mut got: Vec<u8> = Vec::new();
        let mut part = [0; 64];
        while let Ok(length @ 1..) = far.read(&mut part) {
            got.extend(&part[..length]);
        }
        assert_eq!(got, if whole { SSH } else { parts[0] });
        // the end of the connection that was cut is sent again and again
        assert!(whole || daemon.count("app_pending") > before);
    }
}

/// A first byte that nothing expected begins with is dropped in the kernel: nobody holds the packet. What needs more than one
/// byte still comes to the inspector.
#[test]
fn what_the_first_byte_decides() {
    const IMPOSSIBLE: &str = "first_byte_impossible";
    let lines = LINES.replace("[inspection]", "[inspection]\nmismatch = \"drop\"\npending = \"drop\"");
    for kind in [Kind::Masquerade, Kind::Route] {
        let lab = Lab::gateway(kind).unwrap();
        let daemon = Daemon::start(&lab, &policies::office(kind, &lines));
        let mark = daemon.events.mark();
        cut(&lab, &daemon, 443, &[SSH], IMPOSSIBLE);
        cut(&lab, &daemon, 443, &single_bytes(SSH), IMPOSSIBLE);
        cut(&lab, &daemon, 9001, &[b"\0\x01 whatever this is"], IMPOSSIBLE);
        for reason in ["app_mismatch", "app_unknown", "app_pending"] {
            assert_eq!(daemon.count(reason), 0, "{}", daemon.status());
        }
        let events = daemon.events.since(mark);
        let alert = events.iter().find(|event| event["event_type"] == "alert").expect("an alert");
        assert_eq!(alert["dropgate"]["reason"], IMPOSSIBLE, "{alert}");
        assert_eq!(alert["alert"]["metadata"]["mitre_technique_id"][0], "T1571", "{alert}");
        assert_eq!(alert["alert"]["action"], "blocked", "{alert}");
        assert_eq!(
            (&alert["inspection"]["expected"][0], &alert["app_proto"]),
            (&"tls".into(), &"ssh".into()),
            "{alert}"
        );
        assert_eq!(alert["inspection"]["evidence"], "5353482d322e302d4f70656e5353485f392e390d0a", "{alert}");
        // a first byte that fits, and then something else
        cut(&lab, &daemon, 443, &[FAKE_TLS], "app_mismatch");
        cut(&lab, &daemon, 443, &single_bytes(FAKE_TLS), "app_mismatch");
        whole(&lab, 9001, &single_bytes(SSH));
        drop((daemon, lab));

        let (lab, daemon) = setup::guarded(kind, &lines);
        for server in [SERVER, SERVER6] {
            works(&lab.office, &format!("curl -skf -m 5 https://{}/", host(server)));
            works(&lab.office, &format!("curl -sf -m 5 http://{}/", host(server)));
            assert_eq!(works(&lab.office, &format!("redis-cli -h {server} ping")), "PONG\n");
        }
        ssh(&lab, &lab.office, SERVER);
        assert_eq!(daemon.count(IMPOSSIBLE), 0, "{}", daemon.status());
    }
}
