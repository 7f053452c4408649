//! Frames that no client sends: VLAN tags, fragments, spoofed sources.

use dropgate_lab::{RawSocket, address::*};

use crate::{
    frames::{ACK, Path, SYN},
    setup::{LIMIT, Wire},
};

const VOICE: &str = "\n[[zone.office.egress]]\nname = \"voice\"\nudp = [7001]\n";

/// The same path in both families.
fn paths(port: u16, service: u16) -> [Path; 2] {
    [Path::new(OFFICE, SERVER, (port, service)), Path::new(OFFICE6, SERVER6, (port, service))]
}

#[test]
fn tags_do_not_get_past_the_policy() {
    // A zone behind a tag beside the untagged one, with its own line.
    let tagged = "
[zone.phones]
interface = \"lan0\"
vlan = 10
prefixes = [\"10.40.0.0/24\", \"fd00:40::/64\"]

[[zone.phones.egress]]
name = \"voice\"
udp = [7002]
";
    let mut wire = Wire::new(&format!("{VOICE}{tagged}"));
    // What the program lets in, tags and all: there may be no VLAN devices that would route it.
    wire.receiver = RawSocket::open(&wire.lab.gw, "lan0").unwrap();
    let phone = |service| {
        [("10.40.0.5", SERVER), ("fd00:40::5", SERVER6)].map(|(from, to)| Path::new(from, to, (4_000, service)))
    };
    for (at, path) in paths(4_000, 7001).iter().enumerate() {
        wire.passes(&[], &path.udp(format!("untagged {at}").as_bytes()));
        // A host of the untagged network cannot speak from within a tag.
        wire.dropped(&[10], &path.udp(format!("in ten, {at}").as_bytes()), path, "wrong_side");
        let new = Path { ports: (4_002, 7001), ..*path };
        wire.dropped(&[10], &new.udp(format!("in ten, {at}").as_bytes()), &new, "source_not_in_zone");
        wire.dropped(&[20], &path.udp(format!("in twenty, {at}").as_bytes()), path, "vlan_unknown");
        wire.dropped(&[10, 10], &path.udp(format!("in two, {at}").as_bytes()), path, "vlan_unknown");
    }
    for path in phone(7002) {
        let packet = path.udp(b"from a phone");
        wire.passes(&[10], &packet);
        wire.dropped(&[], &packet, &path, "wrong_side");
        let new = Path { ports: (4_002, 7002), ..path };
        wire.dropped(&[], &new.udp(b"untagged"), &new, "source_not_in_zone");
    }
    for path in phone(7001) {
        wire.dropped(&[10], &path.udp(b"not for phones"), &path, "not_allowed");
    }
    let deep = wire.daemon.count("vlan_too_deep");
    wire.send(&[10, 10, 10], &paths(4_001, 7001)[0].udp(b"in three"));
    assert_eq!(wire.daemon.count("vlan_too_deep"), deep + 1);
}

#[test]
fn fragments_are_dropped_unless_tracked() {
    let wire = Wire::new(VOICE);
    for (at, path) in paths(4_000, 7001).into_iter().enumerate() {
        for part in path.fragments(7, format!("dropped {at}: {:048}", at).as_bytes(), 32) {
            wire.dropped(&[], &part, &path, "fragment_denied");
        }
        wire.passes(&[], &path.udp(b"and a whole one passes"));
    }
}

#[test]
fn tracked_fragments_share_the_verdict_of_their_first() {
    let wire = Wire::new(&format!("{VOICE}\n[fragments]\nudp = \"track\"\n"));
    for (number, path) in (100..).zip(paths(4_000, 7001)) {
        // A mark of eight bytes ends each fragment: 8 bytes of header, then 56 of payload in parts of 32.
        let payload =
            |mark: &str| format!("{:>24}{:>32}", format!("{mark}first{number}"), format!("{mark}later{number}"));
        let in_order = path.fragments(number, payload("a-").as_bytes(), 32);
        in_order.iter().for_each(|part| wire.passes(&[], part));
        // The later one first: it is nobody's, and after the first one it passes.
        let reversed = path.fragments(number + 10, payload("b-").as_bytes(), 32);
        wire.dropped(&[], &reversed[1], &path, "fragment_first_missing");
        wire.passes(&[], &reversed[0]);
        wire.passes(&[], &reversed[1]);
        // What follows a first one that was dropped is dropped too.
        let other = Path { ports: (4_000, 7002), ..path };
        let denied = other.fragments(number + 20, payload("c-").as_bytes(), 32);
        wire.dropped(&[], &denied[0], &other, "not_allowed");
        wire.dropped(&[], &denied[1], &other, "fragment_of_dropped");
        // The same identification between others, or in another protocol, is another datagram.
        let next = Path::new(&path.from.to_string(), if path.to.is_ipv4() { SERVER_B } else { SERVER_B6 }, path.ports);
        let stray = next.fragments(number, payload("d-").as_bytes(), 32);
        wire.dropped(&[], &stray[1], &next, "fragment_first_missing");
    }
    // Through the gateway, the kernel at the far end puts them together.
    let socket = wire.lab.servers.enter(|| std::net::UdpSocket::bind((SERVER, 7001)).unwrap()).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let client = wire.lab.office.enter(|| std::net::UdpSocket::bind((OFFICE, 0)).unwrap()).unwrap();
    client.send_to(&[0x5a; 5_000], (SERVER, 7001)).unwrap();
    let mut got = vec![0; 9_000];
    // What the raw sender sent is read first.
    while socket.recv(&mut got).expect("a datagram in fragments") != 5_000 {}
    assert!(got[..5_000].iter().all(|byte| *byte == 0x5a));
}

#[test]
fn sources_that_cannot_be_there() {
    let wire = Wire::new(VOICE);
    for (from, to, reason) in [
        (IOT, SERVER, "source_not_in_zone"),
        ("192.0.2.1", SERVER, "source_not_in_zone"),
        (GW_OFFICE, SERVER, "source_is_self"),
        (SERVER, SERVER_B, "source_not_in_zone"),
        (IOT6, SERVER6, "source_not_in_zone"),
        (GW_OFFICE6, SERVER6, "source_is_self"),
    ] {
        let path = Path::new(from, to, (4_000, 7001));
        wire.dropped(&[], &path.udp(from.as_bytes()), &path, reason);
    }
    let path = Path::new(OFFICE, SERVER, (4_000, 80));
    wire.dropped(&[], &path.tcp(ACK, 0x6472_6f70, 0x6761_7465), &path, "tcp_no_flow");
    wire.dropped(&[], &path.tcp(SYN | ACK, 0x6472_6f71, 0x6761_7466), &path, "syn_ack_unsolicited");
    wire.dropped(&[], &path.tcp(SYN, 0x6472_6f72, 0x6761_7467), &path, "not_allowed");
}
