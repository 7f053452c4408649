//! Neighbour discovery, router advertisements, ARP and multicast listeners, with the kernels of real hosts.

use std::{
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Lab, Namespace, RawSocket, address::*, wait_until};

use crate::{
    daemon::Daemon,
    frames::Path,
    policies,
    setup::{LIMIT, Wire, guarded},
    traffic::*,
};

const WEB: &str = "\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\n";
const ALL_NODES: &str = "ff02::1";
const ALL_ROUTERS: &str = "ff02::2";

#[test]
fn cold_caches_are_filled() {
    let (lab, daemon) = guarded(Kind::Route, WEB);
    for (server, reason, family) in [(SERVER6, "neighbour_discovery", "-6"), (SERVER, "arp", "-4")] {
        for round in 0..3 {
            let (mark, before) = (daemon.events.mark(), daemon.count(reason));
            for node in [&lab.office, &lab.gw, &lab.servers] {
                works(node, &format!("ip {family} neighbour flush all"));
            }
            assert_eq!(works(&lab.office, &format!("curl -sf -m 5 http://{}/", host(server))), "this is servers\n");
            // Question and answer, for each of the two cables.
            assert!(daemon.count(reason) >= before + 4, "round {round}: {}", daemon.status());
            let drops = daemon.events.since(mark).into_iter().filter(|event| event["event_type"] == "drop");
            assert_eq!(drops.count(), 0, "round {round}: {:?}", daemon.events.since(mark));
        }
    }
    // Every answer was one that the gateway asked for.
    for reason in ["na_unsolicited", "arp_unsolicited", "nd_hop_limit"] {
        assert_eq!(daemon.count(reason), 0, "{}", daemon.status());
    }
}

/// A host without an IPv6 address gets one from the gateway's router advertisements, and reaches the outside by it.
#[test]
fn a_host_configures_itself() {
    let (mut lab, daemon) = guarded(Kind::Route, WEB);
    let mut command = lab.gw.command("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root", "--pid-file="]);
    command.args(["--port=0", "--log-facility=-", "--bind-interfaces", "--interface=lan0", "--enable-ra"]);
    command.arg("--dhcp-range=fd00:10::,ra-only").arg(format!("--dhcp-leasefile={}", lab.dir().join("ra").display()));
    lab.serve("router", &mut command).unwrap();
    lab.office.ip("address flush dev eth0 scope global\nroute flush default").unwrap();
    lab.office
        .sysctl(&[("net/ipv6/conf/eth0/accept_ra", "1"), ("net/ipv6/conf/eth0/router_solicitations", "3")])
        .unwrap();
    let mark = daemon.events.mark();
    // A host asks for routers when its link comes up.
    lab.office.ip("link set eth0 down\nlink set eth0 up").unwrap();
    let own = || works(&lab.office, "ip -6 -o address show dev eth0 scope global");
    wait_until("an address of its own", LIMIT, || Ok(own().contains("fd00:10::") && !own().contains("tentative")))
        .unwrap();
    let routes = works(&lab.office, "ip -6 route show default");
    assert!(routes.contains("proto ra"), "{routes}");
    assert_eq!(works(&lab.office, &format!("curl -sf -m 5 http://{}/", host(SERVER6))), "this is servers\n");
    assert!(daemon.count("neighbour_discovery") >= 2, "{}", daemon.status());
    let drops: Vec<_> = daemon.events.since(mark).into_iter().filter(|event| event["event_type"] == "drop").collect();
    assert!(drops.is_empty(), "{drops:?}");
}

/// A message of neighbour discovery that names an address.
fn message(kind: u8, flags: u8, target: &str) -> Vec<u8> {
    let target: Ipv6Addr = target.parse().unwrap();
    [&[kind, 0, 0, 0, flags, 0, 0, 0], &target.octets()[..]].concat()
}

/// With the hardware address of the sender: of whoever is asked for (1) or of whoever is named (2).
fn naming(mut bytes: Vec<u8>, option: u8, mac: [u8; 6]) -> Vec<u8> {
    bytes.extend([option, 1]);
    bytes.extend(mac);
    bytes
}

/// With this hop limit, which no checksum covers.
fn limited(mut packet: Vec<u8>, hops: u8) -> Vec<u8> {
    packet[7] = hops;
    packet
}

/// What the gateway believes of a neighbour.
fn believed(gw: &Namespace, address: &str) -> String {
    works(gw, &format!("ip neighbour show {address} dev lan0"))
}

/// Tells the gateway where `office` is. `permanent`: for good, so that it asks no more; `stale`: until it hears otherwise.
fn told(lab: &Gateway, state: &str) {
    let mac = lab.office.mac("eth0").unwrap().map(|byte| format!("{byte:02x}")).join(":");
    for address in [OFFICE, OFFICE6] {
        lab.gw.ip(&format!("neighbour replace {address} lladdr {mac} dev lan0 nud {state}")).unwrap();
    }
}

const PING: &str = "
[[zone.office.egress]]
name = \"ping\"
icmp = [\"echo-request\"]
icmpv6 = [\"echo-request\"]
to = [\"self\", \"any\"]
";
/// Nobody's.
const FORGED: [u8; 6] = [2, 0xde, 0xad, 0xbe, 0xef, 1];

#[test]
fn what_was_routed_is_no_neighbour() {
    let wire = Wire::new(PING);
    let stack = RawSocket::open(&wire.lab.gw, "lan0").unwrap();
    told(&wire.lab, "stale");
    let to_gw = Path::new(OFFICE6, GW_OFFICE6, (0, 0));
    let own = wire.lab.office.mac("eth0").unwrap();
    let cases = [
        ("solicitation", to_gw, naming(message(135, 0, GW_OFFICE6), 1, own)),
        ("advertisement", to_gw, naming(message(136, 0x60, OFFICE6), 2, FORGED)),
        ("router solicitation", Path::new(OFFICE6, ALL_ROUTERS, (0, 0)), vec![133, 0, 0, 0, 0, 0, 0, 0]),
        (
            "router advertisement",
            Path::new("fe80::1", ALL_NODES, (0, 0)),
            vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("redirect", to_gw, [message(137, 0, SERVER6), vec![0; 16]].concat()),
    ];
    for (name, path, bytes) in cases {
        for hops in [64, 254] {
            let (mark, before) = (wire.daemon.events.mark(), wire.daemon.count("nd_hop_limit"));
            let packet = limited(path.icmp(&bytes), hops);
            wire.send(&[], &packet);
            wire.daemon.events.dropped(mark, &path.from.to_string(), &path.to.to_string(), "nd_hop_limit");
            assert_eq!(wire.daemon.count("nd_hop_limit"), before + 1, "{name}");
            let seen = stack.receive(Duration::from_millis(20), |frame| frame.ends_with(&packet)).unwrap();
            assert_eq!(seen, None, "{name} with {hops} hops came in");
        }
    }
    // From a neighbour a solicitation is answered, and a router's word from within a zone is not taken.
    let answers = RawSocket::open(&wire.lab.office, "eth0").unwrap();
    wire.send(&[], &limited(to_gw.icmp(&naming(message(135, 0, GW_OFFICE6), 1, own)), 255));
    let answer =
        answers.receive(LIMIT, |frame| frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(54) == Some(&136));
    assert!(answer.unwrap().is_some(), "{}", wire.daemon.status());
    for (path, bytes) in [
        (Path::new("fe80::1", ALL_NODES, (0, 0)), vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
        (to_gw, [message(137, 0, SERVER6), vec![0; 16]].concat()),
    ] {
        let (mark, before) = (wire.daemon.events.mark(), wire.daemon.count("nd_rogue_router"));
        wire.send(&[], &limited(path.icmp(&bytes), 255));
        wire.daemon.events.dropped(mark, &path.from.to_string(), &path.to.to_string(), "nd_rogue_router");
        assert_eq!(wire.daemon.count("nd_rogue_router"), before + 1);
    }
    assert!(!believed(&wire.lab.gw, OFFICE6).contains("02:de:ad"));
}

/// An ARP reply of `office` to the gateway that names this hardware address.
fn arp_reply(wire: &Wire, mac: [u8; 6]) -> Vec<u8> {
    let (office, gw): (Ipv4Addr, Ipv4Addr) = (OFFICE.parse().unwrap(), GW_OFFICE.parse().unwrap());
    let to = wire.lab.gw.mac("lan0").unwrap();
    let mut frame = [to, wire.lab.office.mac("eth0").unwrap()].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend(mac);
    frame.extend(office.octets());
    frame.extend(to);
    frame.extend(gw.octets());
    frame
}

#[test]
fn answers_that_nobody_asked_for() {
    let counted = policies::office(Kind::Route, PING);
    let dropped = counted.replace("outside =", "unsolicited = \"drop\"\noutside =");
    let wire = Wire::with_policy(&counted);
    let (lab, daemon) = (&wire.lab, &wire.daemon);
    // What a neighbour says unasked is taken for true at once, so that the test sees whether it was heard.
    lab.gw.sysctl(&[("net/ipv4/conf/lan0/arp_accept", "1"), ("net/ipv4/neigh/lan0/locktime", "0")]).unwrap();
    let advertisement = |mac| {
        let packet = Path::new(OFFICE6, GW_OFFICE6, (0, 0)).icmp(&naming(message(136, 0x20, OFFICE6), 2, mac));
        wire.cable.frame(&limited(packet, 255))
    };
    let forgeries = [("arp", OFFICE, arp_reply(&wire, FORGED)), ("na", OFFICE6, advertisement(FORGED))];
    // The gateway has asked for both of late, and an answer is awaited for five seconds.
    told(lab, "permanent");
    std::thread::sleep(Duration::from_millis(5_200));
    for (kind, address, forgery) in &forgeries {
        told(lab, "stale");
        let reason = format!("{kind}_unsolicited");
        let (mark, before) = (daemon.events.mark(), daemon.count(&reason));
        wire.sender.send(forgery).unwrap();
        wait_until("the forgery", LIMIT, || Ok(believed(&lab.gw, address).contains("02:de:ad"))).unwrap();
        assert_eq!(daemon.count(&reason), before + 1, "{}", daemon.status());
        let heard = || Ok(daemon.events.since(mark).iter().any(|event| event["dropgate"]["reason"] == reason.as_str()));
        wait_until("an anomaly", LIMIT, heard).unwrap();
    }
    daemon.apply(&lab.write("drop.toml", &dropped).unwrap());
    for (kind, address, forgery) in &forgeries {
        told(lab, "stale");
        let reason = format!("{kind}_unsolicited_dropped");
        let (mark, before) = (daemon.events.mark(), daemon.count(&reason));
        wire.sender.send(forgery).unwrap();
        let heard = || {
            Ok(daemon
                .events
                .since(mark)
                .iter()
                .any(|event| event["event_type"] == "drop" && event["dropgate"]["reason"] == reason.as_str()))
        };
        wait_until("a drop", LIMIT, heard).unwrap();
        assert_eq!(daemon.count(&reason), before + 1, "{}", daemon.status());
        assert!(!believed(&lab.gw, address).contains("02:de:ad"), "the gateway believes it");
        assert_eq!(daemon.count(&format!("{kind}_unsolicited")), 1);
    }
    // What it does ask for is answered all the same.
    for (family, server) in [("-4", SERVER), ("-6", SERVER6)] {
        works(&lab.gw, &format!("ip {family} neighbour flush dev lan0"));
        works(&lab.office, &format!("ping -c 1 -W 3 {server}"));
    }
    assert!(believed(&lab.gw, OFFICE).contains("lladdr") && believed(&lab.gw, OFFICE6).contains("lladdr"));
}

/// What a host says to nobody in particular: listeners' reports pass, the rest is counted without a word.
#[test]
fn chatter_is_counted_quietly() {
    let lab = Lab::gateway(Kind::Route).unwrap();
    let quiet = policies::office(Kind::Route, "");
    let daemon = Daemon::start(&lab, &quiet);
    let mark = daemon.events.mark();
    let (chatter, listeners) = (daemon.count("chatter"), daemon.count("multicast_listener"));
    let socket = lab.office.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let socket6 = lab.office.enter(|| UdpSocket::bind("[::]:0").unwrap()).unwrap();
    // The kernel reports both to routers, by IGMP and by MLD.
    socket.join_multicast_v4(&Ipv4Addr::new(239, 1, 2, 3), &OFFICE.parse().unwrap()).unwrap();
    socket6.join_multicast_v6(&"ff05::1:3".parse().unwrap(), interface_index(&lab, "eth0")).unwrap();
    wait_until("a report of IGMP", LIMIT, || Ok(daemon.count("chatter") > chatter)).unwrap();
    wait_until("a report of MLD", LIMIT, || Ok(daemon.count("multicast_listener") > listeners)).unwrap();
    let before = daemon.count("chatter");
    // mDNS and SSDP.
    for to in [("224.0.0.251", 5353), ("239.255.255.250", 1900), ("10.10.0.255", 137)] {
        socket.set_broadcast(true).unwrap();
        socket.send_to(b"anybody there?", to).unwrap();
    }
    assert!(daemon.count("chatter") >= before + 3, "{}", daemon.status());
    // Events keep their order.
    socket.send_to(b"denied", (SERVER, 7001)).unwrap();
    daemon.events.dropped(mark, OFFICE, SERVER, "not_allowed");
    let told = |event: &serde_json::Value| event["dropgate"]["reason"] == "chatter";
    assert!(!daemon.events.since(mark).iter().any(told), "chatter was told of");
    daemon.apply(&lab.write("log.toml", &quiet.replace("outside =", "chatter = \"log\"\noutside =")).unwrap());
    socket.send_to(b"anybody there?", ("224.0.0.251", 5353)).unwrap();
    daemon.events.dropped(mark, OFFICE, "224.0.0.251", "chatter");
}

fn interface_index(lab: &Gateway, interface: &str) -> u32 {
    let shown = works(&lab.office, &format!("ip -o link show dev {interface}"));
    shown.split(':').next().unwrap().trim().parse().unwrap()
}
