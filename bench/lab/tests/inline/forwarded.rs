//! `fast_forward`: settled flows leave without the kernel's stack, and whatever is not plain still goes by it.

use std::time::{Duration, Instant};

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, address::*, run, wait_until};

use crate::{
    clients,
    daemon::{Daemon, program},
    frames::{Cable, Path, sum},
    held::{ALL, nothing_lost},
    policies,
    setup::{Connection, LIMIT},
    traffic::*,
};

const UDP: &str = "\n[[zone.office.egress]]\nname = \"any\"\nudp = [7000]\ntcp = [80]\n";
const PATIENCE: Duration = Duration::from_millis(300);
const ARRIVAL: Duration = Duration::from_secs(3);

fn fast(policy: &str) -> String {
    policy.replacen("adopt =", "fast_forward = true\nadopt =", 1)
}

/// The laboratory with hosts whose ends of veth take what XDP sends (see `Kind::Bridge` there).
fn lab() -> Gateway {
    let lab = Lab::gateway(Kind::Route).unwrap();
    for host in [&lab.office, &lab.iot, &lab.servers] {
        works(host, "ethtool -K eth0 gro on");
    }
    lab
}

fn forwarding(policy: &str) -> (Gateway, Daemon) {
    let mut lab = lab();
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &fast(policy));
    (lab, daemon)
}

/// Which interfaces packets are forwarded by, as `status` has it.
fn forwards(daemon: &Daemon) -> Vec<(String, bool)> {
    let status = daemon.status();
    let attached = status["attached"].as_array().unwrap().iter();
    attached.filter_map(|at| Some((at["interface"].as_str()?.to_owned(), at["fast_forward"].as_bool()?))).collect()
}

#[test]
fn real_clients() {
    let (lab, daemon) = forwarding(&policies::clients(Kind::Route));
    assert_eq!(forwards(&daemon), ["lan0", "lan1", "wan0"].map(|name| (name.to_owned(), true)));
    clients::everywhere(&lab, &daemon);
    assert!(daemon.count("forwarded") > 1000, "{}", daemon.status());
}

/// Everything that is inspected is held first; what has settled leaves the short way.
#[test]
fn inspected_first() {
    let (lab, daemon) = forwarding(&(policies::clients(Kind::Route) + ALL));
    clients::across(&lab, &daemon);
    clients::routes_and_path_mtu(&lab);
    nothing_lost(&daemon);
    assert!(daemon.count("forwarded") > 0 && daemon.count("held") > 0, "{}", daemon.status());
}

/// A flow of datagrams between a host of `office` and a server, and what comes of single frames of it.
struct Wire {
    lab: Gateway,
    daemon: Daemon,
    office: RawSocket,
    servers: RawSocket,
    cable: Cable,
}

impl Wire {
    fn new() -> Self {
        let lab = lab();
        let daemon = Daemon::start(&lab, &fast(&policies::office(Kind::Route, UDP)));
        let [office, servers] = [&lab.office, &lab.servers].map(|host| RawSocket::open(host, "eth0").unwrap());
        let cable = Cable::new(&lab, &lab.office, "lan0");
        Self { lab, daemon, office, servers, cable }
    }

    /// Makes the gateway ask for the hardware address of a server.
    fn knows(&self, server: &str) {
        let known = || {
            client(&self.lab.gw, &format!("ping -c 1 -W 0.1 {server}"));
            Ok(works(&self.lab.gw, &format!("ip neigh show {server} dev wan0")).contains("lladdr"))
        };
        wait_until("the neighbour", LIMIT, known).unwrap();
    }

    /// Sends a packet of `office`; what arrives of it at the server, and how many packets were forwarded meanwhile.
    fn crosses(&self, frame: &[u8], limit: Duration) -> (Option<Vec<u8>>, u64) {
        let before = self.daemon.count("forwarded");
        let mark = &frame[frame.len() - 8..];
        self.office.send(frame).unwrap();
        let came = self.servers.receive(limit, |got| got.windows(8).any(|part| part == mark)).unwrap();
        (came, self.daemon.count("forwarded") - before)
    }
}

fn path(family: u8) -> Path {
    let (from, to) = if family == 4 { (OFFICE, SERVER) } else { (OFFICE6, SERVER6) };
    Path::new(from, to, (4000, 7000))
}

/// What leaves is what the kernel would have sent: addresses of the link, TTL, checksum, and not a byte else.
#[test]
fn as_the_kernel_would() {
    let wire = Wire::new();
    let gateway = wire.lab.gw.mac("wan0").unwrap();
    let server = wire.lab.servers.mac("eth0").unwrap();
    for (family, ttl) in [(4, 8), (6, 7)] {
        wire.knows(if family == 4 { SERVER } else { SERVER6 });
        let mut arrived: Vec<Vec<u8>> = Vec::new();
        for (round, text) in ["first 0000000", "other 1111111", "third 2222222"].into_iter().enumerate() {
            let sent = wire.cable.frame(&path(family).udp(text.as_bytes()));
            let (came, forwarded) = wire.crosses(&sent, ARRIVAL);
            let came = came.unwrap_or_else(|| panic!("IPv{family}, {text}: {}", wire.daemon.status()));
            // the first one of a flow shows the kernel where it goes
            assert_eq!(forwarded, u64::from(round > 0), "IPv{family}, {text}");
            assert_eq!((&came[..6], &came[6..12]), (&server[..], &gateway[..]));
            let mut expected = sent[14..].to_vec();
            expected[ttl] -= 1;
            if family == 4 {
                expected[10..12].fill(0);
                let right = sum(&expected[..20]);
                expected[10..12].copy_from_slice(&right.to_be_bytes());
            }
            assert_eq!(came[14..], expected, "IPv{family}, {text}");
            arrived.push(came);
        }
    }
}

/// Every value of the checksum that a TTL can leave behind.
#[test]
fn checksums() {
    let wire = Wire::new();
    wire.knows(SERVER);
    wire.crosses(&wire.cable.frame(&path(4).udp(b"first of this flow")), ARRIVAL);
    let base = path(4).udp(b"a datagram 00000000");
    // the identification moves the sum through where it carries
    let word = |at: u16| {
        let mut packet = base.clone();
        packet[10..12].fill(0);
        packet[4..6].fill(0);
        let left = sum(&packet[..20]);
        packet[4..6].copy_from_slice(&left.wrapping_sub(at).to_be_bytes());
        let right = sum(&packet[..20]);
        packet[10..12].copy_from_slice(&right.to_be_bytes());
        let end = packet.len() - 8;
        packet[end..].copy_from_slice(format!("{at:08x}").as_bytes());
        packet[26..28].fill(0);
        packet
    };
    let near = |at: u16| (0..8).map(move |by| at.wrapping_sub(4).wrapping_add(by));
    for at in [0, 0x00ff, 0x0100, 0xfe00, 0xfeff, 0xff00].into_iter().flat_map(near) {
        let packet = word(at);
        assert_eq!(sum(&packet[..20]), 0);
        let (came, forwarded) = wire.crosses(&wire.cable.frame(&packet), ARRIVAL);
        let came = came.unwrap_or_else(|| panic!("{at:#06x} did not arrive"));
        assert_eq!(sum(&came[14..34]), 0, "{at:#06x}: {:02x?}", &came[14..34]);
        assert!(forwarded <= 1);
    }
    assert!(wire.daemon.count("forwarded") >= 40, "{}", wire.daemon.status());
}

/// The kernel answers what has to be answered, and sees what it has to see.
#[test]
fn what_goes_by_the_kernel() {
    let wire = Wire::new();
    for family in [4, 6] {
        let (server, own) = if family == 4 { (SERVER, GW_OFFICE) } else { (SERVER6, GW_OFFICE6) };
        wire.knows(server);
        let plain = |mark: &str| path(family).udp(format!("the payload {mark:>8}").as_bytes());
        let frame = |packet: &[u8]| wire.cable.frame(packet);
        wire.crosses(&frame(&plain("first")), ARRIVAL);
        assert_eq!(wire.crosses(&frame(&plain("settled")), ARRIVAL).1, 1);
        // a TTL that ends here
        let mut ends = plain("ends");
        ends[if family == 4 { 8 } else { 7 }] = 1;
        if family == 4 {
            ends[10..12].fill(0);
            let right = sum(&ends[..20]);
            ends[10..12].copy_from_slice(&right.to_be_bytes());
        }
        assert_eq!(wire.crosses(&frame(&ends), PATIENCE), (None, 0));
        let exceeded = |got: &[u8]| match family {
            4 => got[23] == 1 && got[34] == 11 && got[26..30] == own.parse::<std::net::Ipv4Addr>().unwrap().octets(),
            _ => got[20] == 58 && got[54] == 3 && got[22..38] == own.parse::<std::net::Ipv6Addr>().unwrap().octets(),
        };
        assert!(wire.office.receive(ARRIVAL, exceeded).unwrap().is_some(), "IPv{family}: no `time exceeded`");
        // a frame for somebody else, on an interface that takes them all
        wire.lab.gw.ip("link set lan0 promisc on").unwrap();
        let mut other = frame(&plain("another"));
        other[5] ^= 1;
        assert_eq!(wire.crosses(&other, PATIENCE), (None, 0), "IPv{family}");
        wire.lab.gw.ip("link set lan0 promisc off").unwrap();
        // longer than the way out takes: the kernel says so
        wire.lab.gw.ip("link set wan0 mtu 1400").unwrap();
        let mut long = path(family).udp(&[0x61; 1420]);
        let end = long.len() - 8;
        long[end..].copy_from_slice(b"too long");
        long[if family == 4 { 26 } else { 46 }..][..2].fill(0);
        if family == 4 {
            // DF
            long[6] = 0x40;
            long[10..12].fill(0);
            let right = sum(&long[..20]);
            long[10..12].copy_from_slice(&right.to_be_bytes());
            assert_eq!(wire.crosses(&frame(&long), PATIENCE), (None, 0));
        }
        let told = |got: &[u8]| match family {
            4 => got[23] == 1 && got[34..36] == [3, 4],
            _ => true,
        };
        assert!(family == 6 || wire.office.receive(ARRIVAL, told).unwrap().is_some(), "no `fragmentation needed`");
        wire.lab.gw.ip("link set wan0 mtu 1500").unwrap();
        // a neighbour that nobody knows is asked for
        wire.lab.gw.ip(&format!("neigh del {server} dev wan0")).unwrap();
        let (came, forwarded) = wire.crosses(&frame(&plain("unknown")), ARRIVAL);
        assert!(came.is_some() && forwarded == 0, "IPv{family}: {forwarded}");
        assert_eq!(wire.crosses(&frame(&plain("known")), ARRIVAL).1, 1);
    }
    // options are the kernel's to read
    let options = |mark: &[u8; 8]| {
        let packet = path(4).udp(&[&b"with options "[..], mark].concat());
        let mut long = packet[..20].to_vec();
        long.extend([1, 1, 1, 0]);
        long.extend(&packet[20..]);
        long[0] = 0x46;
        let length = u16::try_from(long.len()).unwrap();
        long[2..4].copy_from_slice(&length.to_be_bytes());
        long[10..12].fill(0);
        let right = sum(&long[..24]);
        long[10..12].copy_from_slice(&right.to_be_bytes());
        long
    };
    let (came, forwarded) = wire.crosses(&wire.cable.frame(&options(b"options1")), ARRIVAL);
    assert!(came.is_some() && forwarded == 0);
    // a gateway that does not forward does not do so here either
    wire.lab.gw.sysctl(&[("net/ipv4/ip_forward", "0")]).unwrap();
    assert_eq!(wire.crosses(&wire.cable.frame(&path(4).udp(b"not forwarded")), PATIENCE), (None, 0));
}

/// One packet of a flow goes by the kernel every few seconds, and a route that changes is followed at once.
#[test]
fn the_kernel_sees_a_packet_now_and_then() {
    let wire = Wire::new();
    wire.knows(SERVER);
    let start = Instant::now();
    let mut by_the_kernel = 0;
    let mut sent = 0_u32;
    while start.elapsed() < Duration::from_secs(20) {
        let frame = wire.cable.frame(&path(4).udp(format!("datagram {sent:08}").as_bytes()));
        let (came, forwarded) = wire.crosses(&frame, ARRIVAL);
        assert!(came.is_some());
        by_the_kernel += 1 - forwarded;
        sent += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    // the first one, and one every 8.6 s
    assert!((2..=4).contains(&by_the_kernel), "{by_the_kernel} of {sent}");
    wire.lab.gw.ip(&format!("route add blackhole {SERVER}/32")).unwrap();
    let frame = wire.cable.frame(&path(4).udp(b"datagram to nowhere"));
    assert_eq!(wire.crosses(&frame, PATIENCE), (None, 0));
}

/// An interface whose driver cannot send what XDP gives it is left to the kernel, and nothing is lost when that changes.
#[test]
fn drivers_that_cannot() {
    let (lab, daemon) = forwarding(&policies::office(Kind::Route, UDP));
    let mut connection = Connection::open(&lab.office, SERVER);
    let says = |wan: bool| {
        let wanted = ["lan0", "lan1", "wan0"].map(|name| (name.to_owned(), wan || name != "wan0"));
        wait_until("word of the driver", LIMIT, || Ok(forwards(&daemon) == wanted)).unwrap();
    };
    says(true);
    connection.ask();
    assert!(daemon.count("forwarded") > 0);
    works(&lab.servers, "ethtool -K eth0 gro off");
    says(false);
    connection.ask();
    works(&lab.servers, "ethtool -K eth0 gro on");
    says(true);
    connection.ask();
}

/// A push cuts forwarded flows, forwarding goes on without the daemon, and ends with it.
#[test]
fn pushes_and_deaths() {
    let policy = policies::office(Kind::Route, UDP);
    let (lab, mut daemon) = forwarding(&policy);
    let mut connection = Connection::open(&lab.office, SERVER);
    daemon.kill();
    connection.ask();
    daemon.restart();
    let before = daemon.count("forwarded");
    connection.ask();
    assert!(daemon.count("forwarded") > before, "{}", daemon.status());
    let arguments = ["explain", "--from", OFFICE, "--to", SERVER, "--udp", "7000", "--sport", "4000"];
    let said = daemon.call(&arguments);
    println!("{said:?}");
    // without it flows go on by the kernel
    let slow = lab.write("slow.toml", &policy).unwrap();
    daemon.apply(&slow);
    connection.ask();
    let before = daemon.count("forwarded");
    connection.ask();
    assert_eq!(daemon.count("forwarded"), before);
    let again = lab.write("again.toml", &fast(&policy)).unwrap();
    daemon.apply(&again);
    connection.ask();
    let none = lab.write("none.toml", &fast(&policy).replace("tcp = [80]", "")).unwrap();
    daemon.apply(&none);
    connection.request();
    assert!(!connection.answered(PATIENCE));
    assert!(daemon.count("flow_revoked") > 0);
}

#[test]
fn only_where_the_kernel_routes() {
    let lab = Lab::gateway(Kind::Masquerade).unwrap();
    let policy = lab.write("policy.toml", &fast(&policies::office(Kind::Masquerade, UDP))).unwrap();
    let refused = run(lab.gw.command(program()).arg("check").arg(&policy), LIMIT).unwrap();
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(format!("{refused:?}").contains("DG028"), "{refused:?}");
}
