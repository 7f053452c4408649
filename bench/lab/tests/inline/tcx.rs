//! Interfaces without native XDP: the same stages at tcx, on Ethernet devices and on such as have no Ethernet header.

use std::{fs, time::Duration};

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, Tunnel, address::*, run, wait_until};
use serde_json::Value;

use crate::{
    clients,
    daemon::{Daemon, START, program},
    frames::{ACK, Cable, Path, SYN},
    held::{ALL, nothing_lost},
    policies,
    setup::Connection,
    signatures,
    traffic::*,
};

const LIMIT: Duration = Duration::from_secs(10);
/// How long a frame that must not arrive is waited for, and how long one that must.
const PATIENCE: Duration = Duration::from_millis(200);
const ARRIVAL: Duration = Duration::from_secs(3);
/// Every interface of the laboratory's gateway.
const EVERY: &str = "\"lan0\", \"lan1\", \"wan0\"";
const PAIRS: &str = "\"lan0\", \"wan0\", \"lan1\", \"wan1\"";
/// Two ports, of which one expects HTTP.
const PORTS: &str = "\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\n\
    [[zone.office.egress]]\nname = \"alternative\"\ntcp = [8088]\nexpect = [\"http\"]\n";
const INSPECTED: &str = "\n[inspection]\n";

/// A policy in which these interfaces have tcx.
fn forced(policy: &str, interfaces: &str) -> String {
    policy.replacen("adopt = \"0s\"", &format!("adopt = \"0s\"\ntcx = [{interfaces}]"), 1)
}

fn started(kind: Kind, interfaces: &str, inspection: &str) -> (Gateway, Daemon) {
    let mut lab = Lab::gateway(kind).unwrap();
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &forced(&(policies::clients(kind) + inspection), interfaces));
    (lab, daemon)
}

/// How packets come in by an interface, and why not otherwise.
fn ingress(daemon: &Daemon, interface: &str) -> (String, String) {
    let status = daemon.status();
    let mut all = status["attached"].as_array().unwrap().iter();
    let at = all.find(|at| at["interface"] == interface && at["hook"] == "ingress").cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&at["mode"]), text(&at["why"]))
}

#[test]
fn clients_of_a_gateway_without_xdp() {
    for kind in [Kind::Route, Kind::Masquerade] {
        let (lab, daemon) = started(kind, EVERY, "");
        for interface in ["lan0", "lan1", "wan0"] {
            assert_eq!(ingress(&daemon, interface), ("tcx".into(), "the policy says so".into()), "{interface}");
        }
        clients::everywhere(&lab, &daemon);
        if kind == Kind::Masquerade {
            clients::published_and_hairpin(&lab, &daemon);
        }
        clients::unsolicited(&lab, &daemon);
    }
}

#[test]
fn everything_held_without_xdp() {
    for (kind, interfaces) in [(Kind::Route, EVERY), (Kind::Masquerade, EVERY), (Kind::Masquerade, "\"wan0\"")] {
        let (lab, daemon) = started(kind, interfaces, ALL);
        clients::everywhere(&lab, &daemon);
        if kind == Kind::Masquerade {
            clients::published_and_hairpin(&lab, &daemon);
        }
        nothing_lost(&daemon);
    }
}

/// What hosts leave to their cards comes merged and without checksums, and is held as a wire would have carried it.
#[test]
fn merged_packets_are_held_without_xdp() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    for (host, interface) in [(&lab.office, "eth0"), (&lab.servers, "eth0"), (&lab.servers, "eth1"), (&lab.far, "eth0")]
    {
        host.check("ethtool", ["-K", interface, "tx", "on", "tso", "on", "gso", "on", "gro", "on"]).unwrap();
    }
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &forced(&(policies::clients(Kind::Route) + ALL), EVERY));
    clients::everywhere(&lab, &daemon);
    assert_eq!(daemon.count("tcp_checksum"), 0);
    nothing_lost(&daemon);
}

#[test]
fn a_bridge_without_xdp() {
    for inspection in ["", ALL] {
        let (lab, daemon) = started(Kind::Bridge, PAIRS, inspection);
        clients::across(&lab, &daemon);
        clients::routes_and_path_mtu(&lab);
        if !inspection.is_empty() {
            nothing_lost(&daemon);
        }
    }
}

/// The tags that the kernel has taken out are judged, and are where they were when the frame goes on, held or not.
#[test]
fn tags_without_xdp() {
    let zone = |name: &str, tags: &str, port: u16| {
        format!(
            "\n[zone.{name}]\ninterface = \"lan0\"\nvlan = {tags}\nprefixes = [\"10.10.0.0/24\"]\n\
             [[zone.{name}.egress]]\nname = \"only\"\nudp = [{port}]\n"
        )
    };
    let plain = "\n[[zone.office.egress]]\nname = \"plain\"\nudp = [7000]\n";
    let policy =
        policies::office(Kind::Bridge, plain) + &zone("tagged", "10", 7001) + &zone("twice", "[100, 10]", 7002);
    for inspection in ["", ALL] {
        let lab = Lab::gateway(Kind::Bridge).unwrap();
        let daemon = Daemon::start(&lab, &forced(&(policy.clone() + inspection), PAIRS));
        let [office, servers] = [&lab.office, &lab.servers].map(|host| RawSocket::open(host, "eth0").unwrap());
        let cable = Cable::new(&lab, &lab.office, "wan0");
        for (tags, port) in [(&[][..], 7000), (&[10], 7001), (&[100, 10], 7002)] {
            for other in [7000, 7001, 7002] {
                let frame = cable.tagged(tags, &Path::new(OFFICE, SERVER, (4000, other)).udp(b"over the bridge"));
                office.send(&frame).unwrap();
                let limit = if other == port { ARRIVAL } else { PATIENCE };
                let came = servers.receive(limit, |got| got == frame).unwrap().is_some();
                assert_eq!(came, other == port, "{inspection:?} {tags:?}, port {other}: {}", daemon.status());
            }
            let answer = cable.tagged(tags, &Path::new(SERVER, OFFICE, (port, 4000)).udp(b"an answer"));
            servers.send(&answer).unwrap();
            let came = office.receive(ARRIVAL, |got| got == answer).unwrap().is_some();
            assert!(came, "{inspection:?} {tags:?}, answered: {}", daemon.status());
        }
        let tree = [&[1, 0x80, 0xc2, 0, 0, 0][..], &cable.head()[6..], &[0, 38, 0x42, 0x42, 3], &[0; 35]].concat();
        office.send(&tree).unwrap();
        assert!(servers.receive(ARRIVAL, |got| got == tree).unwrap().is_some(), "{}", daemon.status());
        if !inspection.is_empty() {
            nothing_lost(&daemon);
        }
    }
}

/// From native XDP to tcx and back, while a connection lives; restarts; the end.
#[test]
fn from_one_build_to_the_other() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    lab.start_servers().unwrap();
    let native = policies::office(Kind::Route, PORTS) + INSPECTED;
    let mut daemon = Daemon::start(&lab, &native);
    let mut open = Connection::open(&lab.office, SERVER);
    for round in 0..2 {
        for (text, mode) in [(forced(&native, "\"lan0\""), "tcx"), (native.clone(), "native")] {
            fs::write(daemon.policy(), &text).unwrap();
            daemon.apply(daemon.policy());
            assert_eq!(ingress(&daemon, "lan0").0, mode, "round {round}");
            assert_eq!(works(&lab.gw, "ip link show lan0").contains("xdp"), mode == "native", "round {round}");
            open.ask();
            wrong_protocol(&lab, &daemon);
            daemon.kill();
            open.ask();
            daemon.restart();
            assert_eq!(ingress(&daemon, "lan0").0, mode, "round {round}");
            open.ask();
            wrong_protocol(&lab, &daemon);
        }
    }
    fs::write(daemon.policy(), forced(&native, EVERY)).unwrap();
    daemon.apply(daemon.policy());
    daemon.detach();
    assert!(daemon.ended().success());
    works(&lab.office, &format!("curl -skf -m 2 https://{SERVER_B}:8088/"));
    let left = works(&lab.gw, "ip -br link");
    assert!(!left.contains("dg"), "{left}");
}

/// TLS on a port where HTTP is expected ends (T1571); HTTP there does not.
fn wrong_protocol(lab: &Gateway, daemon: &Daemon) {
    let (mark, before) = (daemon.events.mark(), daemon.count("app_mismatch") + daemon.count("first_byte_impossible"));
    works(&lab.office, &format!("curl -sf -m 5 http://{SERVER}:8088/"));
    fails(&lab.office, &format!("curl -skf -m 1 https://{SERVER_B}:8088/"));
    let after = daemon.count("app_mismatch") + daemon.count("first_byte_impossible");
    assert!(after > before, "{}", daemon.status());
    assert!(daemon.events.drops(mark, OFFICE, SERVER).is_empty());
}

/// A driver that has no native XDP: macvlan, on an end of a pair whose other end is the hosts'.
#[test]
fn a_driver_without_xdp() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    lab.gw
        .ip("link set lan0 down\nlink set lan0 name under0\nlink set under0 up
        addr flush dev under0
        link add lan0 link under0 type macvlan mode private\nlink set lan0 up
        addr add 10.10.0.1/24 dev lan0\naddr add fd00:10::1/64 dev lan0 nodad")
        .unwrap();
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &(policies::clients(Kind::Route) + ALL));
    assert_eq!(ingress(&daemon, "lan0"), ("tcx".into(), "its driver has no native XDP".into()));
    assert_eq!(ingress(&daemon, "wan0"), ("native".into(), String::new()));
    clients::everywhere(&lab, &daemon);
    nothing_lost(&daemon);
}

/// Puts a tun device in the place of the gateway's interface, and one in that of the host's behind it.
fn tunnelled(lab: &Gateway, interface: &str) -> Tunnel {
    lab.gw.ip(&format!("link del {interface}")).unwrap();
    if interface == "wan0" {
        let tunnel = Tunnel::new((&lab.gw, "wan0"), (&lab.servers, "eth0")).unwrap();
        lab.gw
            .ip("addr add 203.0.113.1/24 dev wan0
            addr add 2001:db8:113::1/64 dev wan0 nodad
            route add default via 203.0.113.9
            route add ::/0 via 2001:db8:113::9")
            .unwrap();
        lab.servers
            .ip("addr add 203.0.113.9/24 dev eth0
            addr add 203.0.113.10/24 dev eth0
            addr add 2001:db8:113::9/64 dev eth0 nodad
            addr add 2001:db8:113::10/64 dev eth0 nodad")
            .unwrap();
        if lab.kind == Kind::Route {
            lab.servers
                .ip("route add 10.10.0.0/24 via 203.0.113.1
                route add 10.20.0.0/24 via 203.0.113.1
                route add fd00:10::/64 via 2001:db8:113::1
                route add fd00:20::/64 via 2001:db8:113::1")
                .unwrap();
        }
        return tunnel;
    }
    let tunnel = Tunnel::new((&lab.gw, interface), (&lab.office, "eth0")).unwrap();
    lab.gw.ip(&format!("addr add 10.10.0.1/24 dev {interface}\naddr add fd00:10::1/64 dev {interface} nodad")).unwrap();
    lab.office
        .ip("addr add 10.10.0.5/24 dev eth0
        addr add fd00:10::5/64 dev eth0 nodad
        route add default via 10.10.0.1
        route add ::/0 via fd00:10::1")
        .unwrap();
    tunnel
}

fn over_tunnel(kind: Kind, interface: &str, inspection: &str) -> (Tunnel, Gateway, Daemon) {
    let mut lab = Lab::gateway(kind).unwrap();
    let tunnel = tunnelled(&lab, interface);
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &(policies::clients(kind) + inspection));
    assert_eq!(ingress(&daemon, interface), ("tcx".into(), "it has no Ethernet header".into()));
    assert_eq!(ingress(&daemon, "lan1").0, "native");
    (tunnel, lab, daemon)
}

/// Real clients on one side of a tunnel and real servers on the other.
#[test]
fn clients_across_a_tunnel() {
    for (kind, interface) in [(Kind::Route, "wan0"), (Kind::Masquerade, "wan0"), (Kind::Route, "lan0")] {
        for inspection in ["", ALL] {
            let (_tunnel, lab, daemon) = over_tunnel(kind, interface, inspection);
            clients::everywhere(&lab, &daemon);
            if kind == Kind::Masquerade {
                clients::published_and_hairpin(&lab, &daemon);
            }
            if !inspection.is_empty() {
                nothing_lost(&daemon);
            }
        }
    }
}

/// What nobody asked for does not come in by a tunnel, and what is no IP packet does not either.
#[test]
fn unasked_by_a_tunnel() {
    let (tunnel, _lab, daemon) = over_tunnel(Kind::Route, "wan0", "");
    for (from, to) in [(SERVER, OFFICE), (SERVER6, OFFICE6)] {
        let packet = |ports| Path::new(from, to, ports);
        for (packet, reason) in [
            (packet((443, 40_001)).tcp(SYN | ACK, 7, 8), "syn_ack_unsolicited"),
            (packet((443, 40_002)).tcp(ACK, 7, 8), "tcp_no_flow"),
            (packet((5000, 40_003)).tcp(SYN, 7, 0), "not_allowed"),
        ] {
            let (mark, before) = (daemon.events.mark(), daemon.count(reason));
            tunnel.inject(&packet).unwrap();
            daemon.events.dropped(mark, from, to, reason);
            assert_eq!(daemon.count(reason), before + 1, "{reason}");
        }
        let mut short = packet((443, 40_004)).tcp(SYN, 7, 0);
        short.truncate(if from == SERVER { 12 } else { 30 });
        let reason = if from == SERVER { "ip4_truncated" } else { "ip6_truncated" };
        let before = daemon.count(reason);
        // the kernel itself takes no packet that is shorter than its header
        let _ = tunnel.inject(&short);
        wait_until("the drop", LIMIT, || Ok(from == SERVER || daemon.count(reason) == before + 1)).unwrap();
    }
}

/// What is dropped there is shown to rules all the same, behind the header that it lacks.
#[test]
fn dropped_packets_of_a_tunnel_are_shown_to_rules() {
    let rules = "alert icmp any any -> any any (msg:\"a way round\"; itype:5; content:\"quoted\"; sid:51;)\n";
    let lab = Lab::gateway(Kind::Route).unwrap();
    let tunnel = tunnelled(&lab, "wan0");
    lab.write("own.rules", rules).unwrap();
    let daemon = Daemon::start(&lab, &policies::office(Kind::Route, &signatures::lines(&["own.rules"])));
    let mark = daemon.events.mark();
    let path = Path::new(SERVER, OFFICE, (4_000, 80));
    tunnel.inject(&path.icmp(&[&[5, 1, 0, 0, 192, 0, 2, 99][..], &path.udp(b"quoted")].concat())).unwrap();
    let told = signatures::alert(&daemon, mark, 51);
    assert_eq!((&told["alert"]["action"], &told["icmp_type"]), (&"blocked".into(), &5.into()), "{told}");
}

#[test]
fn wrong_protocols_restarts_and_the_end_of_a_tunnel() {
    for interface in ["lan0", "wan0"] {
        let mut lab = Lab::gateway(Kind::Route).unwrap();
        let _tunnel = tunnelled(&lab, interface);
        lab.start_servers().unwrap();
        let mut daemon = Daemon::start(&lab, &(policies::office(Kind::Route, PORTS) + INSPECTED));
        let mut open = Connection::open(&lab.office, SERVER);
        wrong_protocol(&lab, &daemon);
        daemon.kill();
        open.ask();
        fails(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:443/"));
        daemon.restart();
        open.ask();
        wrong_protocol(&lab, &daemon);
        daemon.detach();
        assert!(daemon.ended().success());
        works(&lab.office, &format!("curl -skf -m 2 https://{SERVER_B}:8088/"));
    }
}

/// A link whose packets begin with something unknown, and a tunnel in a bridge, are refused by name.
#[test]
fn links_that_are_refused() {
    let lab = Lab::gateway(Kind::Bridge).unwrap();
    let _tunnel = tunnelled(&lab, "lan0");
    let policy = lab.write("policy.toml", &policies::clients(Kind::Bridge)).unwrap();
    let refused = run(lab.gw.command(program()).args(["run", "--policy"]).arg(&policy), START).unwrap();
    assert_eq!(refused.code(), Some(3), "{refused:?}");
    assert!(refused.stderr.contains("`lan0`") && refused.stderr.contains("no Ethernet header"), "{refused:?}");
}
