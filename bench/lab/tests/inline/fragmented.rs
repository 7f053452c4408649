//! Datagrams in fragments under inspection: put together, judged, and released as they came.

use std::{net::UdpSocket, time::Duration};

use dropgate_lab::{Gateway, Kind, Lab, address::*};

use crate::{
    daemon::Daemon,
    frames::{Path, UDP},
    policies,
    setup::{LIMIT, Wire},
};

/// DNS, which is looked at, and something that is not.
const LINES: &str = r#"
[[zone.office.egress]]
name = "dns"
udp = [53]
expect = ["dns"]

[[zone.office.egress]]
name = "voice"
udp = [7001]
inspect = false

[fragments]
udp = "track"

[timeouts]
fragment = "2s"

[inspection]
unknown = "drop"
"#;

/// How long frames that must not arrive are waited for: more than what a packet waits for at the inspector.
const PATIENCE: Duration = Duration::from_millis(400);

/// A query, with as much behind it as makes `length` bytes.
fn query(length: usize) -> Vec<u8> {
    let mut message = vec![0x13, 0x57, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend(b"\x03www\x07example\x04test\0\0\x01\0\x01");
    message.resize(length, 0xaa);
    message
}

/// Both families, to one port.
fn paths(port: u16) -> [Path; 2] {
    [Path::new(OFFICE, SERVER, (4_000, port)), Path::new(OFFICE6, SERVER6, (4_000, port))]
}

/// Offsets of the fragments of datagram `id` that arrive, in their order, until none has come for a while.
fn arrived(wire: &Wire, id: u16) -> Vec<u16> {
    let short = |frame: &[u8], at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let offset = |frame: &[u8]| match short(frame, 12)? {
        0x0800 if short(frame, 18)? == id => Some((short(frame, 20)? & 0x1fff) * 8),
        0x86dd if frame.get(20) == Some(&44) && short(frame, 60)? == id => Some(short(frame, 56)? & 0xfff8),
        _ => None,
    };
    let mut offsets = Vec::new();
    while let Some(frame) = wire.receiver.receive(PATIENCE, |frame| offset(frame).is_some()).unwrap() {
        offsets.extend(offset(&frame));
    }
    offsets
}

/// Sends fragments in this order.
fn send(wire: &Wire, parts: &[Vec<u8>], order: &[usize]) {
    order.iter().for_each(|at| wire.send(&[], &parts[*at]));
}

/// What came to the inspector has left it or ended.
fn nothing_lost(daemon: &Daemon, ended: u64) {
    std::thread::sleep(Duration::from_millis(700));
    let status = daemon.status();
    let done = &status["inspection"];
    assert_eq!((&done["lost"], &done["sockets_dropped"]), (&0.into(), &0.into()), "{status}");
    assert_eq!(done["received"], done["released"].as_u64().unwrap() + ended, "{status}");
}

#[test]
fn released_in_their_order() {
    let wire = Wire::new(LINES);
    let mut sent = 0;
    for (number, path) in (100..).step_by(20).zip(paths(53)) {
        for (id, order) in (number..).zip([[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]]) {
            send(&wire, &path.fragments(id, &query(80), 32), &order);
            assert_eq!(arrived(&wire, id), [0, 32, 64], "{order:?}: {}", wire.daemon.status());
            sent += 3;
        }
        assert!(wire.daemon.count("held") >= sent);
    }
    nothing_lost(&wire.daemon, 0);
    let flow = wire.daemon.flow(SERVER, 53).expect("a flow");
    assert_eq!(flow["app_proto"], "dns", "{flow}");
    // what needs no inspection passes in order; what comes before its first one waits for it
    for (id, path) in (200..).step_by(20).zip(paths(7001)) {
        let tracked = wire.daemon.count("fragment_tracked");
        send(&wire, &path.fragments(id, &[0x5a; 80], 32), &[0, 1, 2]);
        assert_eq!(arrived(&wire, id), [0, 32, 64]);
        assert_eq!(wire.daemon.count("fragment_tracked"), tracked + 2);
        send(&wire, &path.fragments(id + 1, &[0x5a; 80], 32), &[2, 0, 1]);
        assert_eq!(arrived(&wire, id + 1), [0, 32, 64], "{}", wire.daemon.status());
        assert_eq!(wire.daemon.count("fragment_tracked"), tracked + 2);
    }
    nothing_lost(&wire.daemon, 0);
}

/// The first datagram of a flow decides, whatever it comes in: none of it arrives, nor of what follows on the flow.
#[test]
fn what_does_not_belong_there() {
    let wire = Wire::new(LINES);
    for (id, path) in (100..).step_by(20).zip(paths(53)) {
        for (at, order) in (0..).zip([[0, 1, 2], [2, 1, 0]]) {
            let path = Path { ports: (5_000 + at, 53), ..path };
            let before = wire.daemon.count("app_unknown");
            send(&wire, &path.fragments(id + at, &[0x55; 80], 32), &order);
            assert_eq!(arrived(&wire, id + at), [0u16; 0], "{order:?}");
            assert_eq!(wire.daemon.count("app_unknown"), before + 3, "{}", wire.daemon.status());
            send(&wire, &path.fragments(id + at + 10, &query(80), 32), &[0, 1, 2]);
            assert_eq!(arrived(&wire, id + at + 10), [0u16; 0]);
        }
        // nor does the beginning of a datagram that never ends hide what comes behind it
        let begun = Path { ports: (5_500, 53), ..path };
        let before = wire.daemon.count("app_unknown");
        wire.send(&[], &begun.fragments(id + 9, &query(80), 32)[0]);
        wire.dropped(&[], &begun.udp(&[0x55; 80]), &begun, "app_unknown");
        assert_eq!(wire.daemon.count("app_unknown"), before + 1);
        // one that the policy denies takes those with it that came before it
        let denied = Path { ports: (5_000, 54), ..path };
        send(&wire, &denied.fragments(id + 15, &query(80), 32), &[2, 0, 1]);
        assert_eq!(arrived(&wire, id + 15), [0u16; 0]);
    }
    assert_eq!(wire.daemon.count("not_allowed"), 2);
    assert_eq!(wire.daemon.count("fragment_of_dropped"), 2 + 8);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(wire.daemon.count("datagram_incomplete"), 2 + 2);
}

/// Fragments that lie over others, in the ways of the field (teardrop and its kin), and the honest ones among them.
#[test]
fn what_overlaps_does_not_arrive() {
    let wire = Wire::new(LINES);
    for (number, path) in (100..).step_by(50).zip(paths(53)) {
        let message = query(80);
        let over = |id, at, more, length| path.fragment(id, UDP, at, more, &vec![0x55; length]);
        let other_first = Path { ports: (6_000 + number + 7, 53), ..path }.fragments(number + 7, &[0x55; 80], 32);
        for (id, (name, over, place, reason)) in (number..).zip([
            ("inside the second", over(number, 5, true, 8), 1, "datagram_overlap"),
            ("over the first one's end", over(number + 1, 3, true, 16), 1, "datagram_overlap"),
            ("another transport header", over(number + 2, 0, true, 32), 1, "not_allowed"),
            ("the second with other bytes, before it", over(number + 3, 4, true, 32), 1, "datagram_overlap"),
            ("the second with other bytes, behind it", over(number + 4, 4, true, 32), 2, "datagram_overlap"),
            ("the last one, another length", over(number + 5, 8, false, 32), 2, "udp_bad_length"),
            ("around everything", over(number + 6, 1, true, 128), 0, "datagram_overlap"),
            ("the first with other bytes", other_first[0].clone(), 1, "datagram_overlap"),
            ("behind the last one", over(number + 8, 11, true, 32), 0, "datagram_length"),
        ]) {
            let path = Path { ports: (6_000 + id, 53), ..path };
            let mut parts = path.fragments(id, &message, 32);
            parts.insert(place, over);
            let before = wire.daemon.count(reason);
            send(&wire, &parts, &[0, 1, 2, 3]);
            assert_eq!(arrived(&wire, id), [0u16; 0], "{name}");
            assert!(wire.daemon.count(reason) > before, "{name}: {}", wire.daemon.status());
        }
        // the first one that another transport header took away
        std::thread::sleep(Duration::from_secs(3));
        // a copy of one that is there is no overlap
        let id = number + 20;
        let again = wire.daemon.count("fragment_already_held");
        send(&wire, &path.fragments(id, &message, 32), &[0, 1, 1, 2]);
        assert_eq!(arrived(&wire, id), [0, 32, 64]);
        assert_eq!(wire.daemon.count("fragment_already_held"), again + 1);
        // without its end it is no datagram
        let incomplete = wire.daemon.count("datagram_incomplete");
        let other = Path { ports: (7_000, 53), ..path };
        send(&wire, &other.fragments(id + 1, &message, 32), &[0, 1]);
        assert_eq!(arrived(&wire, id + 1), [0u16; 0]);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(wire.daemon.count("datagram_incomplete"), incomplete + 2);
        // that flow goes on
        send(&wire, &other.fragments(id + 2, &message, 32), &[0, 1, 2]);
        assert_eq!(arrived(&wire, id + 2), [0, 32, 64]);
    }
}

/// Asks by a datagram in fragments and gets one back.
fn asks(lab: &Gateway, server: &str, local: &str) {
    let far = lab.servers.enter(|| UdpSocket::bind((server, 53)).unwrap()).unwrap();
    far.set_read_timeout(Some(LIMIT)).unwrap();
    let near = lab.office.enter(|| UdpSocket::bind((local, 0)).unwrap()).unwrap();
    near.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut got, mut answer) = (vec![0; 65_536], query(9_000));
    answer[2] |= 0x80;
    for length in [2_000, 9_000, 30_000] {
        near.send_to(&query(length), (server, 53)).unwrap();
        let (count, from) = far.recv_from(&mut got).expect("a query in fragments");
        assert_eq!(got[..count], query(length));
        far.send_to(&answer, from).unwrap();
        let count = near.recv(&mut got).expect("an answer in fragments");
        assert!(got[..count] == answer, "another answer");
    }
}

/// By the kernels at both ends, both ways, also behind translation: there the kernel puts together and takes apart again.
#[test]
fn clients_and_servers() {
    for kind in [Kind::Route, Kind::Masquerade] {
        for everything in ["", "everything = true\n"] {
            let lab = Lab::gateway(kind).unwrap();
            let daemon = Daemon::start(&lab, &policies::office(kind, &format!("{LINES}{everything}")));
            asks(&lab, SERVER, OFFICE);
            asks(&lab, SERVER6, OFFICE6);
            nothing_lost(&daemon, 0);
            for reason in ["app_unknown", "app_mismatch", "fragment_first_missing", "datagram_incomplete"] {
                assert_eq!(daemon.count(reason), 0, "{kind:?}: {}", daemon.status());
            }
        }
    }
}
