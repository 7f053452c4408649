//! A bridge: what goes on keeps its tags, control of the network passes, and links belong together.

use std::time::Duration;

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, address::*, run, wait_until};

use crate::{
    clients,
    daemon::{Daemon, program},
    frames::{Cable, Path},
    held::{ALL, nothing_lost},
    policies,
    setup::{Connection, LIMIT, guarded},
    traffic::*,
};

const WEB: &str = "\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\nudp = [7000]\n";
/// How long a frame that must not arrive is waited for.
const PATIENCE: Duration = Duration::from_millis(200);
const ARRIVAL: Duration = Duration::from_secs(3);

/// A host of `office` and what stands at the other end, both by raw frames.
struct Ends {
    office: RawSocket,
    servers: RawSocket,
    cable: Cable,
}

impl Ends {
    fn new(lab: &Gateway) -> Self {
        let [office, servers] = [&lab.office, &lab.servers].map(|host| RawSocket::open(host, "eth0").unwrap());
        Self { office, servers, cable: Cable::new(lab, &lab.office, "wan0") }
    }

    /// Whether a frame of `office` arrives as it was sent.
    fn crosses(&self, frame: &[u8], limit: Duration) -> bool {
        self.office.send(frame).unwrap();
        self.servers.receive(limit, |got| got == frame).unwrap().is_some()
    }
}

/// Every packet is held and sent on by the interface on the other side.
#[test]
fn everything_is_held() {
    let mut lab = Lab::gateway(Kind::Bridge).unwrap();
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &(policies::clients(Kind::Bridge) + ALL));
    clients::across(&lab, &daemon);
    clients::routes_and_path_mtu(&lab);
    nothing_lost(&daemon);
}

#[test]
fn frames_that_are_no_packets() {
    let (lab, daemon) = guarded(Kind::Bridge, WEB);
    let ends = Ends::new(&lab);
    let body = [0x42; 46];
    // spanning tree (IEEE 802.1D: a length, and the header of LLC behind it), link aggregation, port access, discovery
    let tree = [&[1, 0x80, 0xc2, 0, 0, 0][..], &ends.cable.head()[6..], &[0, 38, 0x42, 0x42, 3], &[0; 35]].concat();
    assert!(ends.crosses(&tree, ARRIVAL), "{}", daemon.status());
    for ethertype in [0x8809, 0x888e, 0x88cc] {
        assert!(ends.crosses(&ends.cable.typed(&[], ethertype, &body), ARRIVAL), "{ethertype:#x}: {}", daemon.status());
    }
    for ethertype in [0x88f7, 0x8137, 0x0842] {
        let before = daemon.count("ethertype_denied");
        assert!(!ends.crosses(&ends.cable.typed(&[], ethertype, &body), PATIENCE), "{ethertype:#x}");
        assert_eq!(daemon.count("ethertype_denied"), before + 1);
    }
}

/// Two networks with the same addresses, told apart by their tags.
#[test]
fn tags_are_kept() {
    let zone = |name: &str, tags: &str, port: u16| {
        format!(
            "\n[zone.{name}]\ninterface = \"lan0\"\nvlan = {tags}\nprefixes = [\"10.10.0.0/24\"]\n\
             [[zone.{name}.egress]]\nname = \"only\"\nudp = [{port}]\n"
        )
    };
    let policy = policies::office(Kind::Bridge, WEB) + &zone("tagged", "10", 7001) + &zone("twice", "[100, 10]", 7002);
    let lab = Lab::gateway(Kind::Bridge).unwrap();
    let daemon = Daemon::start(&lab, &policy);
    let ends = Ends::new(&lab);
    let path = |port| Path::new(OFFICE, SERVER, (4000, port));
    for (tags, port) in [(&[][..], 7000), (&[10], 7001), (&[100, 10], 7002)] {
        for other in [7000, 7001, 7002] {
            let frame = ends.cable.tagged(tags, &path(other).udp(b"over the bridge"));
            let limit = if other == port { ARRIVAL } else { PATIENCE };
            assert_eq!(ends.crosses(&frame, limit), other == port, "{tags:?}, port {other}: {}", daemon.status());
        }
        // an answer passes with the same tags alone
        let answer = |tags: &[u16]| ends.cable.tagged(tags, &Path::new(SERVER, OFFICE, (port, 4000)).udp(b"an answer"));
        for (with, passes) in [(&[20][..], false), (&[], tags.is_empty()), (tags, true)] {
            let frame = answer(with);
            ends.servers.send(&frame).unwrap();
            let limit = if passes { ARRIVAL } else { PATIENCE };
            let came = ends.office.receive(limit, |got| got == frame).unwrap().is_some();
            assert_eq!(came, passes, "{tags:?}, answered with {with:?}: {}", daemon.status());
        }
    }
    assert!(daemon.count("vlan_unknown") >= 1);
}

/// Who asks stands on one side, who answers on the other; answers that nobody asked for are told of.
#[test]
fn neighbours() {
    let (lab, daemon) = guarded(Kind::Bridge, WEB);
    for (server, family) in [(SERVER, "-4"), (SERVER6, "-6")] {
        for node in [&lab.office, &lab.servers] {
            works(node, &format!("ip {family} neighbour flush all"));
        }
        works(&lab.office, &format!("curl -sf -m 5 http://{}/", host(server)));
    }
    assert_eq!((daemon.count("arp_unsolicited"), daemon.count("na_unsolicited")), (0, 0), "{}", daemon.status());
    assert!(daemon.count("arp") >= 2 && daemon.count("neighbour_discovery") >= 2, "{}", daemon.status());
    let ends = Ends::new(&lab);
    let mac = &ends.cable.head()[6..];
    let reply = [&[0, 1, 8, 0, 6, 4, 0, 2][..], mac, &[10, 10, 0, 77], &[2; 6], &[203, 0, 113, 9], &[0; 18]].concat();
    assert!(ends.crosses(&ends.cable.typed(&[], 0x0806, &reply), ARRIVAL));
    assert_eq!(daemon.count("arp_unsolicited"), 1, "{}", daemon.status());
}

#[test]
fn sides_of_different_length() {
    let lab = Lab::gateway(Kind::Bridge).unwrap();
    lab.gw.ip("link set wan0 mtu 1400").unwrap();
    let policy = lab.write("policy.toml", &policies::office(Kind::Bridge, WEB)).unwrap();
    let refused = run(lab.gw.command(program()).args(["run", "--policy"]).arg(&policy), LIMIT).unwrap();
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("DG027") && refused.stderr.contains("ip link set lan0 mtu 1400"), "{refused:?}");
    lab.gw.ip("link set lan0 mtu 1400").unwrap();
    let daemon = Daemon::start(&lab, &policies::office(Kind::Bridge, WEB));
    assert_eq!(daemon.status()["generation"], 1);
}

fn carrier(lab: &Gateway) -> bool {
    works(&lab.servers, "ip -o link show dev eth0").contains("LOWER_UP")
}

/// With `link = "follow"` those behind one side see that the other one is gone.
#[test]
fn links_follow() {
    let mut lab = Lab::gateway(Kind::Bridge).unwrap();
    lab.start_servers().unwrap();
    let policy = policies::office(Kind::Bridge, WEB).replace("adopt =", "link = \"follow\"\nadopt =");
    let mut daemon = Daemon::start(&lab, &policy);
    let promiscuous = |is: bool| {
        let links = works(&lab.gw, "ip -o link");
        assert_eq!(links.matches("PROMISC").count(), if is { 4 } else { 0 }, "{links}");
    };
    promiscuous(true);
    assert!(carrier(&lab));
    for round in 0..2 {
        lab.office.ip("link set eth0 down").unwrap();
        wait_until("the end of the other link", LIMIT, || Ok(!carrier(&lab))).unwrap();
        if round == 1 {
            // a daemon that comes after it knows who took the link down
            daemon.kill();
            daemon.restart();
            assert!(!carrier(&lab));
        }
        lab.office.ip("link set eth0 up\nroute replace default via 10.10.0.1").unwrap();
        wait_until("the other link", LIMIT, || Ok(carrier(&lab))).unwrap();
        let works = || Ok(client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}/")).success());
        wait_until("what is allowed", LIMIT, works).unwrap();
    }
    lab.office.ip("link set eth0 down").unwrap();
    wait_until("the end of the other link", LIMIT, || Ok(!carrier(&lab))).unwrap();
    daemon.detach();
    assert!(carrier(&lab), "what was taken down was not brought up");
    promiscuous(false);
}

/// An interface that is gone takes nobody's frames, and is there again when it comes back.
#[test]
fn a_side_goes_and_returns() {
    for inspection in ["", ALL] {
        let mut lab = Lab::gateway(Kind::Bridge).unwrap();
        lab.start_servers().unwrap();
        let daemon = Daemon::start(&lab, &(policies::office(Kind::Bridge, WEB) + inspection));
        let reaches = || client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}/")).success();
        assert!(reaches());
        lab.gw.ip("link del wan0").unwrap();
        wait_until("word of its end", LIMIT, || Ok(daemon.status()["missing"] == serde_json::json!(["wan0"]))).unwrap();
        let before = daemon.count("bridge_peer_absent");
        let told = || Ok(!reaches() && daemon.count("bridge_peer_absent") > before);
        wait_until("a drop", LIMIT, told).unwrap();
        lab.veth((&lab.gw, "wan0"), (&lab.servers, "eth0")).unwrap();
        lab.servers.check("ethtool", ["-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "on"]).unwrap();
        lab.servers.ip("addr add 203.0.113.9/24 dev eth0\naddr add 10.10.0.1/24 dev eth0").unwrap();
        // it has another hardware address now
        works(&lab.office, "ip neighbour flush all");
        wait_until("what is allowed", LIMIT, || Ok(reaches())).unwrap();
        assert!(!client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:8088/")).success());
    }
}

/// Without its daemon a bridge goes on.
#[test]
fn killed() {
    let (lab, mut daemon) = guarded(Kind::Bridge, WEB);
    let mut connection = Connection::open(&lab.office, SERVER);
    daemon.kill();
    connection.ask();
    works(&lab.office, &format!("curl -sf -m 5 http://{SERVER}/"));
    fails(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:8088/"));
    daemon.restart();
    connection.ask();
}
