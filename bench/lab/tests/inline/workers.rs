//! Several receive queues, and a worker for each.

use std::{collections::BTreeMap, time::Duration};

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, address::*};

use crate::{
    clients,
    daemon::Daemon,
    frames::{Cable, Path},
    held::{ALL, nothing_lost},
    policies,
    traffic::{client, offer, works},
};

/// Two queues each way between the gateway and its hosts.
fn widen(lab: &Gateway) {
    for (interface, host) in [("lan0", &lab.office), ("lan1", &lab.iot), ("wan0", &lab.servers)] {
        lab.gw.check("ethtool", ["-L", interface, "rx", "2", "tx", "2"]).unwrap();
        host.check("ethtool", ["-L", "eth0", "rx", "2", "tx", "2"]).unwrap();
    }
}

fn two(kind: Kind, lines: &str) -> (Gateway, Daemon) {
    let mut lab = Lab::gateway(kind).unwrap();
    widen(&lab);
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &(policies::clients(kind) + lines));
    // on each interface a socket for each queue, and one behind the hold device
    assert_eq!(daemon.status()["inspection"]["sockets"], 9);
    (lab, daemon)
}

#[test]
fn clients_do_not_notice() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = two(kind, ALL);
        clients::everywhere(&lab, &daemon);
        let done = nothing_lost(&daemon);
        assert!(done["handed"].as_u64() > Some(0), "{done}");
    }
}

/// Both directions of a download come by different queues, and it leaves inspection with all its bytes.
#[test]
fn a_download_leaves_inspection() {
    let (lab, daemon) = two(Kind::Masquerade, "\n[inspection]\n");
    let bytes = offer(&lab, "large", 20_000_000);
    let got = lab.dir().join("got");
    for _ in 0..8 {
        works(&lab.office, &format!("curl -sf -m 15 -o {} http://{SERVER}/large", got.display()));
        assert!(std::fs::read(&got).unwrap() == bytes, "other bytes");
    }
    let done = nothing_lost(&daemon);
    assert_eq!(done["settled"], 8, "{done}");
    assert!(done["share_bytes"].as_f64().unwrap() < 0.1, "{done}");
}

/// Datagrams of many flows, numbered in each: whatever queue they come by, each flow's leave in their order.
#[test]
fn each_flow_keeps_its_order() {
    const FLOWS: u16 = 16;
    const COUNT: u32 = 4000;
    let lab = Lab::gateway(Kind::Route).unwrap();
    widen(&lab);
    let lines =
        "[[zone.office.egress]]\nname = \"numbered\"\nudp = [5000]\n\n[inspection]\neverything = true\nheld = 16384\n";
    let daemon = Daemon::start(&lab, &policies::office(Kind::Route, lines));
    let server = RawSocket::open(&lab.servers, "eth0").unwrap();
    let wire = RawSocket::open(&lab.office, "eth0").unwrap();
    let cable = Cable::new(&lab, &lab.office, "lan0");
    let seen = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut seen: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
            let ours = |frame: &[u8]| frame.get(36..38) == Some(&5000u16.to_be_bytes());
            while let Some(frame) = server.receive(Duration::from_millis(900), ours).unwrap() {
                let flow = u16::from_be_bytes(*frame[34..].first_chunk().unwrap());
                seen.entry(flow).or_default().push(u32::from_be_bytes(*frame[42..].first_chunk().unwrap()));
            }
            seen
        });
        for number in 0..COUNT {
            for flow in 0..FLOWS {
                let datagram = Path::new(OFFICE, SERVER, (4000 + flow, 5000)).udp(&number.to_be_bytes());
                wire.send(&cable.frame(&datagram)).unwrap();
            }
        }
        receiver.join().unwrap()
    });
    assert_eq!(seen.len(), usize::from(FLOWS));
    for (flow, numbers) in &seen {
        assert!(numbers.is_sorted_by(|a, b| a < b), "flow {flow} is out of order");
        assert!(numbers.len() as u32 * 2 > COUNT, "{} of flow {flow}", numbers.len());
    }
    let done = nothing_lost(&daemon);
    assert!(done["handed"].as_u64() > Some(0), "{done}");
}

/// Killed with two workers under load, and started again.
#[test]
fn killed_and_back() {
    let (lab, mut daemon) = two(Kind::Masquerade, ALL);
    let fetch = format!("curl -sf -m 3 http://{SERVER}/");
    for _ in 0..3 {
        works(&lab.office, &fetch);
        daemon.kill();
        assert!(!client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}/")).success(), "nobody inspects");
        daemon.restart();
        works(&lab.office, &fetch);
    }
    nothing_lost(&daemon);
}

/// Where the policy does not say, as many as there are queues; one worker serves both, and four share what they bring.
#[test]
fn as_many_as_the_policy_says() {
    for (lines, workers) in [("", 2), ("workers = 1\n", 1), ("workers = 4\n", 4)] {
        let (lab, daemon) = two(Kind::Route, &format!("{ALL}{lines}"));
        for _ in 0..4 {
            works(&lab.office, &format!("curl -sf -m 5 http://{SERVER}/"));
        }
        let done = nothing_lost(&daemon);
        assert_eq!(done["workers"], workers, "{done}");
        assert_eq!(done["handed"].as_u64() > Some(0), workers > 1, "{done}");
    }
}
