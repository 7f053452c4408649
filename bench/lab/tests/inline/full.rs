//! Tables filled by floods: what was there first stays, what does not fit is dropped by name, and room comes back.

use dropgate_lab::{Gateway, Kind, RawSocket, address::*, wait_until};

use crate::{
    frames::{Cable, Path, SYN, UDP},
    policies,
    setup::{Connection, LIMIT, bare, guarded},
    traffic::*,
};

/// Hosts of `office` that do not exist, each with its ports.
fn flood(lab: &Gateway, packets: u32, packet: impl Fn(&str, u16) -> Vec<u8>) {
    let wire = RawSocket::open(&lab.office, "eth0").unwrap();
    let cable = Cable::new(lab, &lab.office, "lan0");
    for number in 0..packets {
        let from = format!("10.10.0.{}", 10 + number % 200);
        let port = 10_000 + u16::try_from(number / 200).unwrap();
        wire.send(&cable.frame(&packet(&from, port))).unwrap();
    }
}

/// The smallest flow table, and short lives for flows that got no answer.
const SMALL: &str = r#"
[[zone.office.egress]]
name = "web"
tcp = [80, 81]

[limits]
flows = 1024

[timeouts]
tcp_new = "2s"
"#;

#[test]
fn half_open_flows_push_nobody_out() {
    let (lab, daemon) = guarded(Kind::Route, SMALL);
    let mut settled: Vec<_> = (0..16).map(|_| Connection::open(&lab.office, SERVER)).collect();
    // Nobody is there.
    flood(&lab, 20_000, |from, port| Path::new(from, "203.0.113.77", (port, 80)).tcp(SYN, 1, 0));
    assert!(daemon.count("allowed") >= 20_000, "{}", daemon.status());
    assert_eq!(daemon.count("flow_table_full"), 0, "half-open flows give way");
    settled.iter_mut().for_each(Connection::ask);
    settled.push(Connection::open(&lab.office, SERVER));
    let status = daemon.status();
    assert!(status["flows"].as_u64() <= status["flows_max"].as_u64(), "{status}");

    // The server answers, so that all of them count as established.
    flood(&lab, 20_000, |from, port| Path::new(from, SERVER, (port, 80)).tcp(SYN, 1, 0));
    assert!(daemon.count("flow_table_full") > 0, "{}", daemon.status());
    settled.iter_mut().for_each(Connection::ask);
    let back = || Ok(client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}/")).success());
    wait_until("room in the table", LIMIT, back).unwrap();
    settled.iter_mut().for_each(Connection::ask);
}

const CAPPED: &str = r#"max_flows = 50

[[zone.office.egress]]
name = "web"
tcp = [80]

[[zone.office.egress]]
name = "voice"
udp = [7001]

[timeouts]
udp_new = "2s"
"#;

#[test]
fn a_zone_at_its_cap_recovers_without_the_daemon() {
    let (lab, mut daemon) = guarded(Kind::Route, CAPPED);
    let mut settled = Connection::open(&lab.office, SERVER);
    flood(&lab, 400, |from, port| Path::new(from, "203.0.113.77", (port, 7001)).udp(b"hello"));
    assert_eq!(daemon.flows().iter().filter(|flow| flow["zone"] == "office").count(), 50);
    assert!(daemon.count("zone_flow_cap") >= 350, "{}", daemon.status());
    daemon.kill();
    settled.ask();
    let back = || Ok(client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}/")).success());
    wait_until("room in the zone, with nobody to sweep", LIMIT, back).unwrap();
    settled.ask();
    daemon.restart();
    assert!(daemon.flows().iter().filter(|flow| flow["zone"] == "office").count() <= 50);
}

const TRACKED: &str = r#"
[[zone.office.egress]]
name = "voice"
udp = [7001]

[fragments]
udp = "track"

[timeouts]
fragment = "4s"
"#;

#[test]
fn first_fragments_beyond_the_table_are_dropped() {
    let (lab, daemon) = bare(&policies::office(Kind::Route, TRACKED));
    let wire = RawSocket::open(&lab.office, "eth0").unwrap();
    let cable = Cable::new(&lab, &lab.office, "lan0");
    let kept = Path::new(OFFICE, SERVER, (4_000, 7001)).fragments(7, &[0x55; 56], 32);
    wire.send(&cable.frame(&kept[0])).unwrap();
    // The table holds 32,768 datagrams, a sixteenth of them of one source.
    let from = |host: u16| Path::new(&format!("10.10.0.{host}"), SERVER, (4_001, 7001));
    let first = |host: u16, id: u16| {
        let tuple = from(host);
        cable.frame(&tuple.fragment(id, UDP, 0, true, &tuple.udp(&[0; 8])[20..]))
    };
    for number in 0..3_000 {
        wire.send(&first(100, 1_000 + number)).unwrap();
    }
    let (of_one, full) = (daemon.count("fragment_source_limit"), daemon.count("fragment_table_full"));
    assert_eq!((of_one, full), (3_000 - 2_048, 0), "{}", daemon.status());
    for number in 0..40_000 {
        wire.send(&first(101 + number % 40, 1_000 + number)).unwrap();
    }
    let full = daemon.count("fragment_table_full");
    assert!(full > 0, "{}", daemon.status());
    let before = daemon.count("fragment_tracked");
    wire.send(&cable.frame(&kept[1])).unwrap();
    assert_eq!(daemon.count("fragment_tracked"), before + 1, "{}", daemon.status());
    let room = || {
        let before = daemon.count("fragment_tracked");
        kept.iter().for_each(|packet| wire.send(&cable.frame(packet)).unwrap());
        Ok(daemon.count("fragment_tracked") == before + 1)
    };
    wait_until("room for fragments", LIMIT, room).unwrap();
}

#[test]
fn events_that_find_no_room_are_counted() {
    let policy = policies::office(Kind::Route, "").replace("rate = 10000", "rate = 1000000");
    let (lab, mut daemon) = bare(&policy);
    // It hangs, and reads nothing.
    daemon.signal(libc::SIGSTOP);
    flood(&lab, 40_000, |from, port| Path::new(from, SERVER, (port, 7001)).udp(b"hello"));
    daemon.signal(libc::SIGCONT);
    let counters = daemon.status()["counters"].clone();
    assert!(counters["reasons"]["not_allowed"]["packets"].as_u64() >= Some(40_000), "{counters}");
    let lost = counters["events_lost"].as_u64().unwrap();
    assert!(lost > 0, "{counters}");
    wait_until("the events that found room", LIMIT, || {
        let told = daemon.events.since(0).iter().filter(|event| event["event_type"] == "drop").count() as u64;
        let suppressed = counters["events_suppressed"].as_u64().unwrap();
        Ok(told + lost + suppressed >= 40_000)
    })
    .unwrap();
}
