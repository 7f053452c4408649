//! Real clients: what a line allows works, everything else is dropped with its reason.

use std::{fs, time::Duration};

use dropgate_lab::{Gateway, Kind, Namespace, RawSocket, address::*};

use crate::{
    daemon::Daemon,
    frames::{ACK, Cable, Path, SYN},
    policies,
    setup::with_policy,
    traffic::{client, fails, host, offer, works},
};

#[test]
fn masquerading() {
    let (lab, daemon) = with_policy(Kind::Masquerade, &policies::clients(Kind::Masquerade));
    everywhere(&lab, &daemon);
    published_and_hairpin(&lab, &daemon);
    unsolicited(&lab, &daemon);
}

#[test]
fn routing() {
    let (lab, daemon) = with_policy(Kind::Route, &policies::clients(Kind::Route));
    everywhere(&lab, &daemon);
    assert_eq!(works(&lab.servers, &format!("curl -sf -m 5 http://{IOT}/")), "this is iot\n");
    denied(&lab.servers, &daemon, (SERVER, IOT), 8080, "not_allowed");
    denied(&lab.servers, &daemon, (SERVER, OFFICE), 80, "not_allowed");
    unsolicited(&lab, &daemon);
}

#[test]
fn bridging() {
    let (lab, daemon) = with_policy(Kind::Bridge, &policies::clients(Kind::Bridge));
    across(&lab, &daemon);
    routes_and_path_mtu(&lab);
    // not as the zones' router, which is a zone of its own
    let from_outside = |to: &str| format!("curl -sf -m 2 --interface {SERVER} http://{to}/");
    assert_eq!(works(&lab.servers, &from_outside(IOT)), "this is iot\n");
    let mark = daemon.events.mark();
    fails(&lab.servers, &from_outside(OFFICE));
    daemon.events.dropped(mark, SERVER, OFFICE, "not_allowed");
}

/// What does not depend on translation.
pub fn everywhere(lab: &Gateway, daemon: &Daemon) {
    across(lab, daemon);
    own_traffic(lab, daemon);
    routes_and_path_mtu(lab);
}

/// What is so on a bridge too.
pub fn across(lab: &Gateway, daemon: &Daemon) {
    allowed(lab, daemon);
    large_files(lab);
    for (from, to) in [(OFFICE, SERVER), (OFFICE6, SERVER6)] {
        denied(&lab.office, daemon, (from, to), 8088, "not_allowed");
        denied(&lab.office, daemon, (from, to), 22, "not_allowed");
    }
    for (from, to, other) in [(IOT, SERVER, SERVER_B), (IOT6, SERVER6, SERVER_B6)] {
        denied(&lab.iot, daemon, (from, to), 80, "not_allowed");
        denied(&lab.iot, daemon, (from, other), 443, "not_allowed");
    }
    zone_to_zone(lab, daemon);
}

fn allowed(lab: &Gateway, daemon: &Daemon) {
    let mark = daemon.events.mark();
    for (server, server_b) in [(SERVER, SERVER_B), (SERVER6, SERVER_B6)] {
        works(&lab.office, &format!("curl -sf -m 5 http://{}/", host(server)));
        works(&lab.office, &format!("curl -skf -m 5 https://{}/", host(server_b)));
        works(&lab.office, &format!("ping -c 2 -i 0.2 -W 3 {server}"));
        let answer = works(&lab.office, &format!("dig +short +time=3 +tries=1 @{server} www.example.test A"));
        assert_eq!(answer, format!("{SERVER}\n"));
        works(&lab.iot, &format!("curl -skf -m 5 https://{}/", host(server)));
    }
    for gw in [GW_OFFICE, GW_OFFICE6] {
        let mut ssh = lab.ssh(&lab.office);
        let said = dropgate_lab::run(ssh.args([gw, "echo", "hello"]), Duration::from_secs(15)).unwrap();
        assert_eq!(said.stdout, "hello\n", "{said:?}");
    }
    for (from, to) in [(OFFICE, SERVER), (SERVER, OFFICE), (SERVER, WAN), (OFFICE6, SERVER6), (SERVER6, WAN6)] {
        let drops = daemon.events.drops(mark, from, to);
        assert!(drops.is_empty(), "drops of allowed traffic: {drops:?}");
    }
    let services = &daemon.status()["counters"]["services"];
    for name in ["office/web", "office/dns", "office/diagnosis", "office/admin", "iot/cloud"] {
        assert!(services[name]["packets"].as_u64() > Some(0), "{name}: {services}");
    }
}

fn large_files(lab: &Gateway) {
    let bytes = offer(lab, "large", 20_000_000);
    let got = lab.dir().join("got");
    for server in [SERVER, SERVER6] {
        works(&lab.office, &format!("curl -sf -m 15 -o {} http://{}/large", got.display(), host(server)));
        assert!(fs::read(&got).unwrap() == bytes, "{server}: other bytes");
    }
}

/// A connection that must come to nothing, with its reason in the events and in the counters.
fn denied(from: &Namespace, daemon: &Daemon, path: (&str, &str), port: u16, reason: &str) {
    let (mark, before) = (daemon.events.mark(), daemon.count(reason));
    fails(from, &format!("curl -sf -m 1 http://{}:{port}/", host(path.1)));
    daemon.events.dropped_where(mark, path.0, path.1, reason, |event| event["dest_port"] == port);
    assert!(daemon.count(reason) > before, "`{reason}` was not counted");
}

fn zone_to_zone(lab: &Gateway, daemon: &Daemon) {
    for (from, to) in [(OFFICE, IOT), (OFFICE6, IOT6)] {
        assert_eq!(works(&lab.office, &format!("curl -sf -m 5 http://{}:8080/", host(to))), "this is iot\n");
        denied(&lab.office, daemon, (from, to), 80, "not_allowed");
        denied(&lab.iot, daemon, (to, from), 8080, "not_allowed");
    }
}

fn own_traffic(lab: &Gateway, daemon: &Daemon) {
    for (own, server) in [(WAN, SERVER), (WAN6, SERVER6)] {
        let answer = works(&lab.gw, &format!("dig +short +time=3 +tries=1 @{server} www.example.test A"));
        assert_eq!(answer, format!("{SERVER}\n"));
        denied(&lab.gw, daemon, (own, server), 80, "not_allowed");
    }
}

/// ICMP errors find their way back.
pub fn routes_and_path_mtu(lab: &Gateway) {
    for (gateway, far) in [(GW_OFFICE, FAR), (GW_OFFICE6, FAR6)] {
        // One probe after the other: hosts answer few at once (RFC 1812, 4.3.2.8), and which come first is for none to say.
        let route = works(&lab.office, &format!("traceroute -n -N 1 -q 1 -w 3 {far}"));
        let hops: Vec<&str> = route.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        let right = match hops[..] {
            // a bridge is no hop, and the servers are the router behind it
            [first, last] => lab.kind == Kind::Bridge && first == gateway && last == far,
            [first, hop, last] => lab.kind != Kind::Bridge && first == gateway && hop != "*" && last == far,
            _ => false,
        };
        assert!(right, "{route}");
    }
    let body = lab.write("body", &"x".repeat(300_000)).unwrap();
    for far in [FAR, FAR6] {
        let upload = format!("curl -sf -m 10 -T {} http://{}/upload", body.display(), host(far));
        assert_eq!(works(&lab.office, &upload), "300000\n");
    }
    let path = works(&lab.office, &format!("ip route get {FAR}"));
    assert!(path.contains(&format!("mtu {FAR_MTU}")), "{path}");
}

pub fn published_and_hairpin(lab: &Gateway, daemon: &Daemon) {
    for from in [&lab.servers, &lab.office, &lab.iot] {
        assert_eq!(works(from, &format!("curl -sf -m 5 http://{WAN}/")), "this is iot\n", "{}", from.name());
    }
    let services = &daemon.status()["counters"]["services"];
    assert!(services["publish/www"]["packets"].as_u64() > Some(0), "{services}");
}

/// What nobody asked for does not get in: from the outside to the gateway and to the zones.
pub fn unsolicited(lab: &Gateway, daemon: &Daemon) {
    denied(&lab.servers, daemon, (SERVER, WAN), 22, "not_published");
    let wire = RawSocket::open(&lab.servers, "eth0").unwrap();
    let inside = RawSocket::open(&lab.office, "eth0").unwrap();
    let cable = Cable::new(lab, &lab.servers, "wan0");
    for to in [WAN, OFFICE] {
        let syn_ack = Path::new(SERVER, to, (443, 40_001)).tcp(SYN | ACK, 7, 8);
        let data = Path::new(SERVER, to, (443, 40_002)).tcp(ACK, 7, 8);
        let answer = Path::new(SERVER, to, (53, 40_003)).udp(b"an answer");
        for (packet, reason) in [(syn_ack, "syn_ack_unsolicited"), (data, "tcp_no_flow"), (answer, "dns_unsolicited")] {
            let mark = daemon.events.mark();
            wire.send(&cable.frame(&packet)).unwrap();
            daemon.events.dropped(mark, SERVER, to, reason);
        }
    }
    let ours = |frame: &[u8]| frame.get(26..30) == Some(&[203, 0, 113, 9]);
    assert_eq!(inside.receive(Duration::from_millis(200), ours).unwrap(), None, "something came in");
    let last = client(&lab.office, &format!("curl -sf -m 5 http://{}/", host(SERVER)));
    assert!(last.success(), "{last:?}");
}
