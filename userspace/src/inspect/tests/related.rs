//! What control channels announce, and for whom.

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use super::wire::{CLIENT, REALM, SERVER, Wire, ZONE, expecting};
use crate::{
    inspect::{Announced, Answer},
    protocol::{
        Direction::{self, ToClient, ToServer},
        Protocol,
    },
};

fn login(wire: &mut Wire) {
    let turns: [(Direction, &[u8]); 4] = [
        (ToClient, b"220 FTP server ready\r\n"),
        (ToServer, b"USER anonymous\r\n"),
        (ToClient, b"331 and the password?\r\n"),
        (ToServer, b"PASS a@b\r\n"),
    ];
    wire.turns(&turns, usize::MAX);
}

fn ftp() -> Wire {
    let mut wire = Wire::new(expecting(&[Protocol::Ftp]), 21);
    login(&mut wire);
    wire
}

#[test]
fn a_control_flow_stays_under_inspection_and_is_named() {
    let mut wire = Wire::new(expecting(&[Protocol::Ftp]), 21);
    wire.server(b"220 FTP server ready\r\n");
    let mut noted = vec![wire.judged.noted];
    for (direction, said) in [(ToServer, b"USER a\r\n".as_slice()), (ToClient, b"331 ok\r\n"), (ToServer, b"NOOP\r\n")]
    {
        wire.say(direction, said);
        noted.push(wire.judged.noted);
        assert_eq!(wire.judged.finished, None);
    }
    assert_eq!(noted.iter().flatten().collect::<Vec<_>>(), [&Protocol::Ftp.number()]);
    assert!(wire.talk.announces() && wire.found.is_empty());
}

/// A transfer that is broken off (RFC 959, 4.1.3): the commands of Telnet before it are urgent.
#[test]
fn an_abort_passes() {
    let mut wire = ftp();
    wire.turns(&[(ToServer, b"TYPE I\r\n"), (ToClient, b"200 ok\r\n")], usize::MAX);
    assert!(wire.talk.announces());
    assert_eq!(wire.urgent(ToServer, b"\xff\xf4\xff\xf2"), Answer::Release);
    assert_eq!(wire.client(b"ABOR\r\n"), Answer::Release);
    // before it is known what is spoken, nothing urgent does
    let mut wire = Wire::new(expecting(&[Protocol::Ftp]), 21);
    assert_eq!(wire.urgent(ToServer, b"U"), Answer::Drop(Reason::tcp_urgent));
}

#[test]
fn passive_is_announced_with_the_packet_that_says_so() {
    for part in [usize::MAX, 1] {
        let mut wire = ftp();
        wire.turns(&[(ToServer, b"PASV\r\n")], part);
        assert_eq!(wire.judged.announced, []);
        wire.turns(&[(ToClient, b"227 Entering Passive Mode (10,0,0,1,195,80)\r\n")], part);
        let expected = Announced {
            initiator: CLIENT.into(),
            responder: SERVER.into(),
            port: 50_000,
            udp: false,
            from_server: false,
            once: true,
            speaks: None,
            control_port: 21,
            control_udp: false,
            zone: ZONE,
            realm: REALM,
        };
        assert_eq!(wire.judged.announced, [expected]);
        wire.client(b"NOOP\r\n");
        assert_eq!(wire.judged.announced, []);
    }
}

#[test]
fn active_is_believed_of_the_client_itself_alone() {
    let mut wire = ftp();
    wire.client(b"PORT 10,10,0,5,195,80\r\n");
    let announced: Vec<(IpAddr, IpAddr, u16, bool)> =
        wire.judged.announced.iter().map(|one| (one.initiator, one.responder, one.port, one.from_server)).collect();
    assert_eq!(announced, [(SERVER.into(), CLIENT.into(), 50_000, true)]);
    for bounce in [
        "PORT 10,10,0,6,195,80",
        "PORT 203,0,113,9,195,80",
        "EPRT |1|10.10.0.6|50000|",
        "PORT 10,10,0,5,3,255",
        "EPRT |1|10.10.0.5|22|",
    ] {
        wire.client(format!("{bounce}\r\n").as_bytes());
        assert_eq!(wire.judged.announced, [], "{bounce}");
    }
}

/// What is not as expected announces nothing, though it may go on.
#[test]
fn a_mismatch_announces_nothing() {
    let mut rules = expecting(&[Protocol::Ssh]);
    rules.inspection.mismatch = crate::policy::model::Reaction::Alert;
    let mut wire = Wire::new(rules, 22);
    login(&mut wire);
    wire.client(b"PORT 10,10,0,5,195,80\r\n");
    assert!(wire.judged.announced.is_empty() && !wire.talk.announces());
}

/// Behind an upgrade to TLS nobody can read.
#[test]
fn encrypted_it_announces_nothing() {
    let mut wire = Wire::new(expecting(&[Protocol::Ftp]), 21);
    let turns: [(Direction, &[u8]); 3] =
        [(ToClient, b"220 FTP server ready\r\n"), (ToServer, b"AUTH TLS\r\n"), (ToClient, b"234 go on\r\n")];
    wire.turns(&turns, usize::MAX);
    wire.client(b"PORT 10,10,0,5,195,80\r\n");
    assert!(wire.judged.announced.is_empty() && !wire.talk.announces());
}

#[test]
fn sip_over_tcp() {
    let mut wire = Wire::new(expecting(&[Protocol::Sip]), 5060);
    let invite = |address: &str| {
        let body = format!("v=0\r\nc=IN IP4 {address}\r\nm=audio 40000 RTP/AVP 0\r\n");
        format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    wire.client(invite("10.10.0.5").as_bytes());
    let ports: Vec<(u16, bool, Option<Protocol>)> =
        wire.judged.announced.iter().map(|one| (one.port, one.udp, one.speaks)).collect();
    assert_eq!(ports, [(40_000, true, Some(Protocol::Rtp)), (40_001, true, Some(Protocol::Rtp))]);
    // media elsewhere than the signalling
    wire.client(invite("10.10.0.77").as_bytes());
    assert_eq!(wire.judged.announced, []);
}
