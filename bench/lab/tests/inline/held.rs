//! Packets held and released: real clients do not notice.

use std::{fs, time::Duration};

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, address::*};
use serde_json::Value;

use crate::{
    clients,
    daemon::Daemon,
    frames::{Cable, Path},
    policies,
    traffic::{client, host, offer, works},
};

/// Every packet of every service is held to its end.
pub const ALL: &str = "\n[inspection]\neverything = true\n";

/// What may end with the inspector on a path where packets are lost: further copies of what is there already.
const ENDED: [&str; 1] = ["tcp_already_held"];

fn inspected(kind: Kind, inspection: &str) -> (Gateway, Daemon) {
    let mut lab = Lab::gateway(kind).unwrap();
    lab.start_servers().unwrap();
    let daemon = Daemon::start(&lab, &(policies::clients(kind) + inspection));
    (lab, daemon)
}

/// What the inspector has done, once what it holds has left.
fn inspection(daemon: &Daemon) -> Value {
    // its look at the sockets' statistics is half a second old at most
    std::thread::sleep(Duration::from_millis(700));
    daemon.status()["inspection"].clone()
}

pub fn nothing_lost(daemon: &Daemon) -> Value {
    let done = inspection(daemon);
    assert!(done["held"]["packets"].as_u64() > Some(0), "{done}");
    assert_eq!((&done["lost"], &done["sockets_dropped"]), (&0.into(), &0.into()), "{done}");
    let reasons = &daemon.status()["counters"]["reasons"];
    let ended: u64 = ENDED.iter().filter_map(|reason| reasons[reason]["packets"].as_u64()).sum();
    assert_eq!(done["received"], done["released"].as_u64().unwrap() + ended, "{done} {reasons}");
    done
}

#[test]
fn everything_held_masquerading() {
    let (lab, daemon) = inspected(Kind::Masquerade, ALL);
    clients::everywhere(&lab, &daemon);
    clients::published_and_hairpin(&lab, &daemon);
    let done = nothing_lost(&daemon);
    assert_eq!(done["settled"], 0, "{done}");
}

#[test]
fn everything_held_routing() {
    let (lab, daemon) = inspected(Kind::Route, ALL);
    clients::everywhere(&lab, &daemon);
    nothing_lost(&daemon);
}

/// Hosts whose network cards are none, and who leave to them what a card does: checksums, and cutting up what is too long.
/// Nothing of it is ever done on such a wire, and what is held is taken off it.
#[test]
fn hosts_that_leave_work_to_their_cards() {
    for (kind, inspection) in [(Kind::Masquerade, ALL), (Kind::Route, ALL), (Kind::Masquerade, "\n[inspection]\n")] {
        let mut lab = Lab::gateway(kind).unwrap();
        for (host, interface) in [
            (&lab.office, "eth0"),
            (&lab.iot, "eth0"),
            (&lab.servers, "eth0"),
            (&lab.servers, "eth1"),
            (&lab.far, "eth0"),
        ] {
            host.check("ethtool", ["-K", interface, "tx", "on", "tso", "on", "gso", "on", "gro", "on"]).unwrap();
        }
        lab.start_servers().unwrap();
        let daemon = Daemon::start(&lab, &(policies::clients(kind) + inspection));
        clients::everywhere(&lab, &daemon);
        assert_eq!(daemon.count("tcp_checksum"), 0, "{kind:?}");
        nothing_lost(&daemon);
    }
}

/// A download leaves inspection once its protocol is known, with all its bytes, and goes on in the kernel.
#[test]
fn a_download_leaves_inspection() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = inspected(kind, "\n[inspection]\n");
        let bytes = offer(&lab, "large", 50_000_000);
        let got = lab.dir().join("got");
        for server in [SERVER, SERVER6] {
            works(&lab.office, &format!("curl -sf -m 15 -o {} http://{}/large", got.display(), host(server)));
            assert!(fs::read(&got).unwrap() == bytes, "{server}: other bytes");
        }
        let done = nothing_lost(&daemon);
        assert_eq!(done["settled"], 2, "{kind:?}: {done}");
        let share = done["share_bytes"].as_f64().unwrap();
        assert!(share < 0.1, "{kind:?}: {done}");
    }
}

/// Of a short connection one packet is held: its beginning passes, and what acknowledges the request ends inspection in the kernel.
#[test]
fn one_packet_of_a_short_connection() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = inspected(kind, "\n[inspection]\n");
        for _ in 0..10 {
            for server in [SERVER, SERVER6] {
                let get = format!(
                    "curl -sf -m 15 -o {}/got -H Connection:close http://{}/",
                    lab.dir().display(),
                    host(server)
                );
                works(&lab.office, &get);
            }
        }
        let done = nothing_lost(&daemon);
        // Where the machine stands still between a request and its answer, the request is said again, and that connection may be
        // held to its end, which is seven packets.
        let (settled, received) = (done["settled"].as_u64().unwrap(), done["received"].as_u64().unwrap());
        let inspected: Vec<Value> = daemon.flows().into_iter().filter(|flow| flow["inspected"] == true).collect();
        assert!(settled >= 18 && (20..=34).contains(&received), "{kind:?}: {done} {inspected:?}");
    }
}

/// Without an inspector: what needs one is dropped or passes, as configured; the rest goes on as ever.
#[test]
fn the_inspector_gone() {
    for (answer, open) in [("drop", false), ("pass", true)] {
        let failure = format!("{ALL}late = \"300ms\"\n\n[failure]\ninspector = \"{answer}\"\n");
        let (lab, mut daemon) = inspected(Kind::Masquerade, &failure);
        let fetch = format!("curl -sf -m 2 http://{SERVER}/");
        works(&lab.office, &fetch);

        // a stuck one, first
        daemon.signal(libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(client(&lab.office, &fetch).success(), open, "stuck, `{answer}`");
        daemon.signal(libc::SIGCONT);
        std::thread::sleep(Duration::from_millis(200));
        works(&lab.office, &fetch);
        let late = daemon.count("inspector_late");
        assert!(late > 0);

        daemon.kill();
        assert_eq!(client(&lab.office, &fetch).success(), open, "killed, `{answer}`");
        // what is never inspected needs nobody
        works(&lab.office, &format!("ping -c 1 -W 2 {SERVER}"));
        daemon.restart();
        // on a machine that does other things too its last sign of life is old by then
        assert!(daemon.count("inspector_absent") > 0 || daemon.count("inspector_late") > late);
        works(&lab.office, &fetch);
        nothing_lost(&daemon);
    }
}

/// One datagram service, all of it held.
const NUMBERED: &str = "[[zone.office.egress]]\nname = \"numbered\"\nudp = [5000]\n";

/// Sends `count` numbered datagrams of one flow.
fn send_numbered(lab: &Gateway, count: u32) {
    let wire = RawSocket::open(&lab.office, "eth0").unwrap();
    let cable = Cable::new(lab, &lab.office, "lan0");
    for number in 0..count {
        let datagram = Path::new(OFFICE, SERVER, (4000, 5000)).udp(&number.to_be_bytes());
        wire.send(&cable.frame(&datagram)).unwrap();
    }
}

/// The numbers that arrive, in their order, until none has come for a while.
fn arrived(server: &RawSocket) -> Vec<u32> {
    let ours = |frame: &[u8]| frame.get(36..38) == Some(&5000u16.to_be_bytes());
    let mut numbers = Vec::new();
    while let Some(frame) = server.receive(Duration::from_millis(700), ours).unwrap() {
        numbers.push(u32::from_be_bytes(*frame[42..].first_chunk().unwrap()));
    }
    numbers
}

/// With the inspector stopped, as many packets are held as may be; the others get the configured answer, and the sockets
/// themselves drop nothing. What was held leaves when it goes on.
#[test]
fn credits_run_out() {
    for (answer, open) in [("drop", false), ("pass", true)] {
        let lab = Lab::gateway(Kind::Route).unwrap();
        let lines = format!(
            "{NUMBERED}\n[inspection]\neverything = true\nheld = 64\nlate = \"20s\"\n\n[failure]\ncredits = \"{answer}\"\n"
        );
        let mut daemon = Daemon::start(&lab, &policies::office(Kind::Route, &lines));
        lab.gw.check("ping", ["-c1", "-W2", SERVER]).ok();
        let server = RawSocket::open(&lab.servers, "eth0").unwrap();
        daemon.signal(libc::SIGSTOP);
        send_numbered(&lab, 200);
        let meanwhile = arrived(&server);
        daemon.signal(libc::SIGCONT);
        let afterwards = arrived(&server);
        assert_eq!(afterwards, (0..64).collect::<Vec<_>>(), "`{answer}`: what was held");
        assert_eq!(meanwhile, if open { (64..200).collect() } else { vec![] }, "`{answer}`");
        assert_eq!(daemon.count("hold_credits"), 136);
        assert_eq!(daemon.count("held"), 64);
        nothing_lost(&daemon);
    }
}

/// A flood of packets that must all be held: what there is no credit for is dropped by name, the rest leaves in order.
#[test]
fn a_flood_keeps_its_order() {
    const COUNT: u32 = 100_000;
    let lab = Lab::gateway(Kind::Route).unwrap();
    let lines = format!("{NUMBERED}\n[inspection]\neverything = true\n");
    let daemon = Daemon::start(&lab, &policies::office(Kind::Route, &lines));
    let server = RawSocket::open(&lab.servers, "eth0").unwrap();
    let numbers = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| arrived(&server));
        send_numbered(&lab, COUNT);
        receiver.join().unwrap()
    });
    assert!(numbers.is_sorted_by(|a, b| a < b), "out of order");
    let done = nothing_lost(&daemon);
    let held = daemon.count("held");
    assert_eq!(held + daemon.count("hold_credits"), u64::from(COUNT), "{done}");
    assert!(held > u64::from(COUNT) / 10, "{done}");
    // the far end's own queue may have been too short, but not for most
    assert!(numbers.len() as u64 * 2 > held, "{} of {held} arrived", numbers.len());
}
