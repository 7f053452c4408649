//! The topology without Dropgate: real clients reach real servers through plain kernel forwarding.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, process::Command, time::Duration};

use dropgate_lab::{Finished, Gateway, Kind, Lab, Namespace, RawSocket, address::*, run, trafgen};

const LIMIT: Duration = Duration::from_secs(15);

fn finish(mut command: Command) -> Finished {
    let finished = run(&mut command, LIMIT).unwrap();
    assert!(finished.success(), "{command:?}: {finished:?}");
    finished
}

fn client(from: &Namespace, program: &str, arguments: &[&str]) -> String {
    let mut command = from.command(program);
    command.args(arguments);
    finish(command).stdout
}

fn every_client_succeeds(lab: &Gateway) {
    for from in [&lab.office, &lab.iot] {
        for (server, server_b) in
            [(SERVER.to_owned(), SERVER_B.to_owned()), (format!("[{SERVER6}]"), format!("[{SERVER_B6}]"))]
        {
            for url in [
                format!("http://{server}/"),
                format!("http://{server}:8088/"),
                format!("https://{server}/"),
                format!("https://{server}:587/"),
                format!("https://{server_b}:8088/"),
                format!("https://{server}:8443/"),
            ] {
                let page = client(from, "curl", &["-skf", "--max-time", "5", &url]);
                assert_eq!(page, "this is servers\n", "{url}");
            }
        }
        let mut ssh = lab.ssh(from);
        ssh.args([GW_OFFICE, "echo", "hello"]);
        assert_eq!(finish(ssh).stdout, "hello\n");
        for server in [SERVER, SERVER6] {
            let at = format!("@{server}");
            assert_eq!(
                client(from, "dig", &["+short", "+time=3", &at, "www.example.test", "A"]),
                format!("{SERVER}\n")
            );
            assert_eq!(
                client(from, "dig", &["+short", "+tcp", &at, "www.example.test", "AAAA"]),
                format!("{SERVER6}\n")
            );
            assert_eq!(client(from, "redis-cli", &["-h", server, "ping"]), "PONG\n");
            let mut ssh = lab.ssh(from);
            ssh.args([server, "echo", "hello"]);
            assert_eq!(finish(ssh).stdout, "hello\n");
            client(from, "ping", &["-c", "1", "-W", "3", server]);
        }
        let route = client(from, "traceroute", &["-n", "-q", "1", "-w", "3", FAR]);
        assert!(route.contains(SERVER) && route.lines().last().unwrap().contains(FAR), "{route}");
    }
    let secure = client(&lab.office, "openssl", &["s_client", "-connect", &format!("{SERVER_B}:8088"), "-brief"]);
    assert!(secure.is_empty(), "{secure}");
    assert_eq!(
        client(&lab.gw, "dig", &["+short", &format!("@{SERVER}"), "www.example.test", "A"]),
        format!("{SERVER}\n")
    );
    assert_eq!(client(&lab.office, "curl", &["-sf", &format!("http://{IOT}:8080/")]), "this is iot\n");
}

/// An upload in full-sized packets only arrives if the narrow link's ICMP errors come back.
fn path_mtu_is_discovered(lab: &Gateway) {
    let body = lab.write("body", &"x".repeat(300_000)).unwrap();
    for url in [format!("http://{FAR}/upload"), format!("http://[{FAR6}]/upload")] {
        let answer = client(&lab.office, "curl", &["-sf", "--max-time", "10", "-T", body.to_str().unwrap(), &url]);
        assert_eq!(answer, "300000\n", "{url}");
    }
    let path = client(&lab.office, "ip", &["route", "get", FAR]);
    assert!(path.contains(&format!("mtu {FAR_MTU}")), "{path}");
}

#[test]
fn masquerading_gateway() {
    let mut lab = Lab::gateway(Kind::Masquerade).unwrap();
    lab.start_servers().unwrap();
    every_client_succeeds(&lab);
    path_mtu_is_discovered(&lab);
    let published = format!("http://{WAN}/");
    for from in [&lab.servers, &lab.office, &lab.iot] {
        assert_eq!(client(from, "curl", &["-sf", "--max-time", "5", &published]), "this is iot\n", "{}", from.name());
    }
    let sniffer = RawSocket::open(&lab.servers, "eth0").unwrap();
    client(&lab.office, "ping", &["-c", "1", SERVER]);
    let inside = |frame: &[u8]| frame.get(26..30) == Some(&[10, 10, 0, 5]);
    assert_eq!(sniffer.receive(Duration::from_millis(200), inside).unwrap(), None, "not translated");
}

#[test]
fn routing_gateway() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    lab.start_servers().unwrap();
    every_client_succeeds(&lab);
    path_mtu_is_discovered(&lab);
    let sniffer = RawSocket::open(&lab.servers, "eth0").unwrap();
    client(&lab.office, "ping", &["-c", "1", SERVER]);
    let inside = |frame: &[u8]| frame.get(26..30) == Some(&[10, 10, 0, 5]);
    assert!(sniffer.receive(Duration::from_secs(2), inside).unwrap().is_some(), "translated");
}

/// A frame of a private ethertype, with these tags.
fn frame(tags: &[(u16, u16)], marker: u8) -> Vec<u8> {
    let mut bytes = [[0xff; 6], [2, 0, 0, 0, 0, 1]].concat();
    for (protocol, tag) in tags {
        bytes.extend(protocol.to_be_bytes());
        bytes.extend(tag.to_be_bytes());
    }
    bytes.extend([0x88, 0xb5]);
    bytes.extend([marker; 46]);
    bytes
}

#[test]
fn frames_arrive_as_they_were_sent() {
    let lab = Lab::gateway(Kind::Route).unwrap();
    let sender = RawSocket::open(&lab.office, "eth0").unwrap();
    let receiver = RawSocket::open(&lab.gw, "lan0").unwrap();
    let cases =
        [vec![], vec![(0x8100, 10)], vec![(0x8100, 0xe00a)], vec![(0x88a8, 100), (0x8100, 10)], vec![(0x9100, 7)]];
    for (marker, tags) in (1..).zip(cases) {
        let sent = frame(&tags, marker);
        sender.send(&sent).unwrap();
        let got = receiver.receive(Duration::from_secs(2), |bytes| bytes.last() == Some(&marker)).unwrap();
        assert_eq!(got, Some(sent), "{tags:?}");
    }
}

#[test]
fn trafgen_sends_what_it_is_given() {
    let lab = Lab::gateway(Kind::Route).unwrap();
    let receiver = RawSocket::open(&lab.gw, "lan0").unwrap();
    let sent = frame(&[], 0x77);
    let config = lab.write("flood.trafgen", &trafgen::config(std::slice::from_ref(&sent))).unwrap();
    client(&lab.office, "trafgen", &["-o", "eth0", "-i", config.to_str().unwrap(), "-n", "10", "-P", "1"]);
    let got = receiver.receive(Duration::from_secs(2), |bytes| bytes.last() == Some(&0x77)).unwrap();
    assert_eq!(got, Some(sent));
}

/// Names of this laboratory that are still there.
fn remains(id: &str) -> Vec<String> {
    ["/run/netns", std::env::temp_dir().to_str().unwrap()]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with(&format!("dg{id}-")) || *name == format!("dropgate-lab-{id}"))
        .collect()
}

#[test]
fn last_commands_run_in_their_namespace() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    let out = std::env::temp_dir().join(format!("dropgate-last-{}", lab.id()));
    let script = format!("ip -o -4 addr show dev eth0 > {}; ps -eo args >> {}", out.display(), out.display());
    lab.before_removal(&lab.office, Path::new("sh"), &["-c", &script]).unwrap();
    let mut server = lab.office.command("sleep");
    lab.serve("sleep", server.arg("71077")).unwrap();
    drop(lab);
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    assert!(text.contains(OFFICE), "{text}");
    assert!(text.contains("sleep 71077"), "servers were still running: {text}");
}

#[test]
fn nothing_is_left_after_a_panic() {
    let mut seen = String::new();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut lab = Lab::gateway(Kind::Route).unwrap();
        seen = lab.id().to_owned();
        let mut server = lab.office.command("sleep");
        lab.serve("sleep", server.arg("1000")).unwrap();
        assert!(!remains(&seen).is_empty());
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_eq!(remains(&seen), [""; 0]);
}
