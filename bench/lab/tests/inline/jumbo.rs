//! Frames longer than a page: in XDP they lie in several buffers. They are judged like any other, and held like any other.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, address::*};

use crate::{
    daemon::Daemon,
    frames::{Cable, Path},
    held::{ALL, nothing_lost},
    policies,
    traffic::*,
};

const LINES: &str =
    "\n[[zone.office.egress]]\nname = \"any\"\nudp = [7000]\ntcp = [80, 7002]\nicmp = [\"echo-request\"]\n";
const PATIENCE: Duration = Duration::from_millis(300);
const ARRIVAL: Duration = Duration::from_secs(3);

/// What links carry.
const JUMBO: u32 = 9000;
/// Bytes of the longest frame that fits into a page with what goes before it.
const PAGE: u64 = 3712;

/// The laboratory with links that take 9,000 bytes.
fn lab(kind: Kind) -> Gateway {
    let mut lab = Lab::gateway(kind).unwrap();
    carry(&lab, JUMBO);
    for host in [&lab.office, &lab.servers] {
        works(host, "ethtool -K eth0 gro on");
    }
    lab.start_servers().unwrap();
    lab
}

/// Makes the links between the office and the servers take so many bytes.
fn carry(lab: &Gateway, mtu: u32) {
    for (node, interface) in [(&lab.gw, "lan0"), (&lab.gw, "wan0"), (&lab.office, "eth0"), (&lab.servers, "eth0")] {
        node.ip(&format!("link set {interface} mtu {mtu}")).unwrap();
    }
}

/// Hosts leave to their cards what a card does. Segmentation the kernel takes back where the other end has native XDP.
fn leave_to_cards(lab: &Gateway) {
    for host in [&lab.office, &lab.servers] {
        works(host, "ethtool -K eth0 tx on tso on gso on gro on");
    }
}

fn datagrams(lab: &Gateway, daemon: &Daemon) {
    let [office, servers] = [&lab.office, &lab.servers].map(|host| RawSocket::open(host, "eth0").unwrap());
    let beyond = if lab.kind == Kind::Bridge { lab.servers.mac("eth0").unwrap() } else { lab.gw.mac("lan0").unwrap() };
    for (from, to) in [(OFFICE, SERVER), (OFFICE6, SERVER6)] {
        for (port, passes) in [(7000, true), (7001, false)] {
            for length in [3000, 4000, 5000, 8900] {
                let (before, payload) = (daemon.count("not_allowed"), vec![0x61; length]);
                let mut frame =
                    Cable::new(lab, &lab.office, "lan0").frame(&Path::new(from, to, (4000, port)).udp(&payload));
                frame[..6].copy_from_slice(&beyond);
                office.send(&frame).unwrap();
                let ours = |got: &[u8]| got.len() == frame.len() && got.ends_with(&payload);
                let limit = if passes { ARRIVAL } else { PATIENCE };
                let came = servers.receive(limit, ours).unwrap().is_some();
                assert_eq!(came, passes, "{to}, port {port}, {length} bytes: {}", daemon.status());
                assert_eq!(daemon.count("not_allowed") - before, u64::from(!passes));
            }
        }
    }
}

fn clients(lab: &Gateway) {
    let bytes = offer(lab, "large", 20_000_000);
    let got = lab.dir().join("got");
    for server in [SERVER, SERVER6] {
        works(&lab.office, &format!("curl -sf -m 15 -o {} http://{}/large", got.display(), host(server)));
        assert!(std::fs::read(&got).unwrap() == bytes, "{server}: other bytes");
        fails(&lab.office, &format!("curl -sf -m 1 http://{}:8088/", host(server)));
    }
    works(&lab.office, &format!("ping -c 1 -W 3 -M do -s 8900 {SERVER}"));
}

/// Sends these bytes by TCP, one end to the other; the mean length of frames that way, as the flow counts them.
fn bulk(lab: &Gateway, daemon: &Daemon, server: &str, up: bool, bytes: &[u8]) -> u64 {
    let at = (server.parse::<IpAddr>().unwrap(), 7002);
    let listener = lab.servers.enter(|| TcpListener::bind(at)).unwrap().unwrap();
    let client = lab.office.enter(|| TcpStream::connect(at)).unwrap().unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let port = client.local_addr().unwrap().port();
    let (mut from, mut to) = if up { (client, accepted) } else { (accepted, client) };
    to.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    from.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut got = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            from.write_all(bytes).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        to.read_to_end(&mut got).unwrap_or_else(|error| panic!("{server}, up {up}: {error}, {}", daemon.status()));
    });
    assert!(got == bytes, "{server}, up {up}: other bytes");
    let ours = |flow: &serde_json::Value| flow["sport"] == port && flow["dport"] == 7002 && flow["translated"] == false;
    let flow = daemon.flows().into_iter().find(ours).unwrap();
    let way = if up { "to_server" } else { "to_client" };
    flow[format!("bytes_{way}")].as_u64().unwrap() / flow[format!("packets_{way}")].as_u64().unwrap()
}

#[test]
fn longer_than_a_page() {
    for (kind, fast) in [(Kind::Route, false), (Kind::Route, true), (Kind::Bridge, false)] {
        let lab = lab(kind);
        let mut policy = policies::office(kind, LINES);
        if fast {
            policy = policy.replacen("adopt =", "fast_forward = true\nadopt =", 1);
        }
        let daemon = Daemon::start(&lab, &policy);
        datagrams(&lab, &daemon);
        clients(&lab);
    }
}

/// What hosts leave to cards that they do not have: checksums, and as much else as the kernel lets them.
#[test]
fn merged() {
    let lab = lab(Kind::Route);
    leave_to_cards(&lab);
    let _daemon = Daemon::start(&lab, &policies::office(Kind::Route, LINES));
    clients(&lab);
}

/// What is longer than a page is held, looked into and released whole; also where hosts leave checksums to their cards, and what the
/// kernel has merged on its way out.
#[test]
fn held_whole() {
    for (kind, cards) in [
        (Kind::Route, false),
        (Kind::Route, true),
        (Kind::Masquerade, true),
        (Kind::Bridge, false),
        (Kind::Bridge, true),
    ] {
        let lab = lab(kind);
        if cards {
            leave_to_cards(&lab);
        }
        let daemon = Daemon::start(&lab, &(policies::office(kind, LINES) + ALL));
        if kind != Kind::Masquerade {
            datagrams(&lab, &daemon);
        }
        clients(&lab);
        let bytes = offer(&lab, "bulk", 10_000_000);
        for (server, up) in [(SERVER, true), (SERVER, false), (SERVER6, true), (SERVER6, false)] {
            let mean = bulk(&lab, &daemon, server, up, &bytes);
            assert!(mean > PAGE, "{kind:?} {server}, up {up}: {mean} bytes a packet");
        }
        assert_eq!((daemon.count("hold_too_long"), daemon.count("tcp_checksum")), (0, 0), "{kind:?}");
        nothing_lost(&daemon);
    }
}

/// Rules see all of it, where it lies in several chunks too, and what lies across their bounds.
#[test]
fn rules_see_what_lies_far_in() {
    const RULES: &str = "drop udp any any -> any 7000 (msg:\"far in\"; content:\"far-in-the-frame\"; sid:1;)\n";
    let lines = format!("{LINES}\n[inspection]\nmismatch = \"drop\"\n\n[signatures]\nfiles = [\"own.rules\"]\n");
    for kind in [Kind::Route, Kind::Bridge] {
        let lab = lab(kind);
        lab.write("own.rules", RULES).unwrap();
        let daemon = Daemon::start(&lab, &policies::office(kind, &lines));
        let [office, servers] = [&lab.office, &lab.servers].map(|host| RawSocket::open(host, "eth0").unwrap());
        let beyond = if kind == Kind::Bridge { lab.servers.mac("eth0").unwrap() } else { lab.gw.mac("lan0").unwrap() };
        // in each chunk, and across each bound: 42 bytes of headers lie before the payload
        let far = [3600, 3660, 3664, 3670, 4096, 5000, 7370, 7376, 7382, 8884];
        let cases = [None].into_iter().chain(far.into_iter().map(Some)).chain([None]);
        for (number, at) in cases.enumerate() {
            let mut payload = vec![0x61; 8900];
            payload[0] = number as u8;
            if let Some(at) = at {
                payload[at..at + 16].copy_from_slice(b"far-in-the-frame");
            }
            let mut frame =
                Cable::new(&lab, &lab.office, "lan0").frame(&Path::new(OFFICE, SERVER, (4000, 7000)).udp(&payload));
            frame[..6].copy_from_slice(&beyond);
            let before = daemon.count("signature");
            office.send(&frame).unwrap();
            let limit = if at.is_some() { PATIENCE } else { ARRIVAL };
            let came = servers.receive(limit, |got| got.ends_with(&payload)).unwrap().is_some();
            assert_eq!(came, at.is_none(), "{kind:?}, at {at:?}: {}", daemon.status());
            assert_eq!(daemon.count("signature") - before, u64::from(at.is_some()), "{kind:?}, at {at:?}");
        }
        assert_eq!(daemon.status()["inspection"]["sockets_dropped"], 0);
    }
}

/// Credits come back from frames of several chunks: with few of them, traffic goes on, also when a policy is put in force.
#[test]
fn credits_of_long_frames_come_back() {
    let few = format!("{ALL}held = 64\nlate = \"10s\"\n");
    for workers in [1, 2] {
        let lab = lab(Kind::Route);
        leave_to_cards(&lab);
        let policy = policies::office(Kind::Route, LINES) + &few + &format!("workers = {workers}\n");
        let daemon = Daemon::start(&lab, &policy);
        let policy = lab.write("policy.toml", &policy).unwrap();
        let servers = RawSocket::open(&lab.servers, "eth0").unwrap();
        let office = RawSocket::open(&lab.office, "eth0").unwrap();
        let bytes = offer(&lab, "bulk", 2_000_000);
        for round in 0..4u8 {
            bulk(&lab, &daemon, SERVER, true, &bytes);
            bulk(&lab, &daemon, SERVER6, false, &bytes);
            daemon.apply(&policy);
            // 64 credits are 21 frames of three chunks
            for number in 0..60 {
                let mut payload = vec![0x61; 8900];
                payload[..2].copy_from_slice(&[round, number]);
                let path = Path::new(OFFICE, SERVER, (4000, 7000));
                office.send(&Cable::new(&lab, &lab.office, "lan0").frame(&path.udp(&payload))).unwrap();
                let came = servers.receive(ARRIVAL, |got| got.ends_with(&payload)).unwrap().is_some();
                assert!(came, "{workers} workers, round {round}, number {number}: {}", daemon.status());
            }
        }
        let status = daemon.status();
        assert_eq!(status["inspection"]["lost"], 0, "{status}");
        assert_eq!(status["inspection"]["sockets_dropped"], 0, "{status}");
    }
}

/// What is longer than a link's frames were when it was taken on is dropped by name, or passes where the policy says so.
#[test]
fn too_long_to_be_held() {
    for open in [false, true] {
        let lab = Lab::gateway(Kind::Route).unwrap();
        let failure = if open { "\n[failure]\ntoo_long = \"pass\"\n" } else { "" };
        let daemon = Daemon::start(&lab, &(policies::office(Kind::Route, LINES) + ALL + failure));
        carry(&lab, JUMBO);
        let [office, servers] = [&lab.office, &lab.servers].map(|host| RawSocket::open(host, "eth0").unwrap());
        for (at, (length, fits)) in [(1000, true), (1472, true), (1500, false), (8900, false)].into_iter().enumerate() {
            let ports = (4000 + at as u16, 7000);
            let payload = vec![0x61; length];
            let frame = Cable::new(&lab, &lab.office, "lan0").frame(&Path::new(OFFICE, SERVER, ports).udp(&payload));
            office.send(&frame).unwrap();
            let limit = if fits || open { ARRIVAL } else { PATIENCE };
            let came = servers.receive(limit, |got| got.ends_with(&payload)).unwrap().is_some();
            assert_eq!(came, fits || open, "{length} bytes, open {open}: {}", daemon.status());
        }
        assert_eq!(daemon.count("hold_too_long"), 2);
    }
}
