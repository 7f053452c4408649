//! Frames longer than a page, and frames that hosts on veth have merged: in XDP they lie in several buffers. They are judged like any
//! other; what would have to be held and is too long for it has its configured answer.

use std::time::Duration;

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, address::*};

use crate::{
    daemon::Daemon,
    frames::{Cable, Path},
    held::ALL,
    policies,
    traffic::*,
};

const LINES: &str = "\n[[zone.office.egress]]\nname = \"any\"\nudp = [7000]\ntcp = [80]\nicmp = [\"echo-request\"]\n";
const PATIENCE: Duration = Duration::from_millis(300);
const ARRIVAL: Duration = Duration::from_secs(3);

/// The laboratory with links that take 9,000 bytes.
fn lab(kind: Kind) -> Gateway {
    let mut lab = Lab::gateway(kind).unwrap();
    for (node, interface) in [(&lab.gw, "lan0"), (&lab.gw, "wan0"), (&lab.office, "eth0"), (&lab.servers, "eth0")] {
        node.ip(&format!("link set {interface} mtu 9000")).unwrap();
    }
    for host in [&lab.office, &lab.servers] {
        works(host, "ethtool -K eth0 gro on");
    }
    lab.start_servers().unwrap();
    lab
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

/// What hosts leave to cards that they do not have: super-packets of 64 KiB, without checksums.
#[test]
fn merged() {
    let lab = lab(Kind::Route);
    for host in [&lab.office, &lab.servers] {
        works(host, "ethtool -K eth0 tx on tso on gso on gro on");
    }
    let _daemon = Daemon::start(&lab, &policies::office(Kind::Route, LINES));
    clients(&lab);
}

/// What is too long to be held is dropped by name, or passes where the policy says so.
#[test]
fn too_long_to_be_held() {
    for open in [false, true] {
        let lab = lab(Kind::Route);
        let failure = if open { "\n[failure]\ntoo_long = \"pass\"\n" } else { "" };
        let daemon = Daemon::start(&lab, &(policies::office(Kind::Route, LINES) + ALL + failure));
        let [office, servers] = [&lab.office, &lab.servers].map(|host| RawSocket::open(host, "eth0").unwrap());
        for (at, (length, fits)) in [(3000, true), (3660, true), (8900, false)].into_iter().enumerate() {
            let ports = (4000 + at as u16, 7000);
            let payload = vec![0x61; length];
            let frame = Cable::new(&lab, &lab.office, "lan0").frame(&Path::new(OFFICE, SERVER, ports).udp(&payload));
            office.send(&frame).unwrap();
            let limit = if fits || open { ARRIVAL } else { PATIENCE };
            let came = servers.receive(limit, |got| got.ends_with(&payload)).unwrap().is_some();
            assert_eq!(came, fits || open, "{length} bytes, open {open}: {}", daemon.status());
        }
        assert_eq!(daemon.count("hold_too_long"), 1);
    }
}
