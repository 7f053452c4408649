//! SCTP services, by raw packets: the kernel here has no SCTP.

use dropgate_lab::{RawSocket, address::*};

use crate::{frames::Path, setup::Wire};

const LINES: &str = "\n[[zone.office.egress]]\nname = \"signalling\"\nsctp = [5060, \"3868-3870\"]\n";

#[test]
fn only_the_ports_of_a_service_are_reached() {
    let wire = Wire::new(LINES);
    for (family, (from, to)) in [(OFFICE, SERVER), (OFFICE6, SERVER6)].into_iter().enumerate() {
        let tag = 0x6472_6f70 + u32::try_from(family).unwrap();
        let path = |port| Path::new(from, to, (4_000, port));
        for port in [5060, 3868, 3870] {
            wire.passes(&[], &path(port).sctp_init(tag << 8 | u32::from(port)));
        }
        for port in [5061, 3867, 3871] {
            let packet = path(port).sctp_init(tag << 8 | u32::from(port));
            wire.dropped(&[], &packet, &path(port), "not_allowed");
        }
        // A port of TCP or UDP is none of SCTP, nor the other way round.
        wire.dropped(&[], &path(5060).udp(b"no sctp!"), &path(5060), "not_allowed");
    }
    // the server's kernel speaks no SCTP: what it answers by ICMP belongs to the service too
    let counters = wire.daemon.status()["counters"].clone();
    let errors = counters["reasons"]["icmp_error"]["packets"].as_u64().unwrap_or(0);
    assert_eq!(counters["services"]["office/signalling"]["packets"].as_u64(), Some(6 + errors), "{counters}");
    assert_eq!(counters["reasons"]["allowed"]["packets"], 6, "{counters}");
    answers(&wire);
}

/// What the server sends back belongs to the flow; what nobody asked for does not come in.
fn answers(wire: &Wire) {
    let sender = RawSocket::open(&wire.lab.servers, "eth0").unwrap();
    let receiver = RawSocket::open(&wire.lab.office, "eth0").unwrap();
    let cable = crate::frames::Cable::new(&wire.lab, &wire.lab.servers, "wan0");
    for (from, to) in [(SERVER, OFFICE), (SERVER6, OFFICE6)] {
        let asked = Path::new(from, to, (5060, 4_000)).sctp_init(0x0a0b_0c0d);
        let unasked = Path::new(from, to, (5060, 4_001));
        let mark = wire.daemon.events.mark();
        sender.send(&cable.frame(&unasked.sctp_init(0x0a0b_0c0e))).unwrap();
        sender.send(&cable.frame(&asked)).unwrap();
        wire.daemon.events.dropped(mark, from, to, "not_allowed");
        // In order: had the first one passed, it would have come first.
        let came = receiver.receive(crate::setup::LIMIT, |frame| {
            frame.windows(4).any(|part| part == [10, 11, 12, 13] || part == [10, 11, 12, 14])
        });
        let came = came.unwrap().expect("the answer");
        assert!(
            came.ends_with(&asked[asked.len() - 8..]) && came.windows(4).any(|part| part == [10, 11, 12, 13]),
            "{came:x?}"
        );
    }
}
