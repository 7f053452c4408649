//! STARTTLS: what follows has to be TLS.

use dropgate_abi::reason::Reason;

use super::wire::{Wire, expecting};
use crate::{
    inspect::Answer,
    protocol::{
        Direction::{self, ToClient, ToServer},
        Protocol,
    },
};

type Turns = Vec<(Direction, &'static [u8])>;

/// A conversation of each protocol up to the server's agreement.
fn agreed() -> Vec<(Protocol, u16, Turns)> {
    vec![
        (
            Protocol::Smtp,
            587,
            vec![
                (ToClient, b"220-mail.example ESMTP\r\n220 at your service\r\n"),
                (ToServer, b"EHLO me.example\r\n"),
                (ToClient, b"250-mail.example\r\n250-STARTTLS\r\n250 SIZE 1000\r\n"),
                (ToServer, b"starttls\r\n"),
                (ToClient, b"220 2.0.0 Ready to start TLS\r\n"),
            ],
        ),
        (
            Protocol::Ftp,
            21,
            vec![
                (ToClient, b"220 FTP server ready\r\n"),
                (ToServer, b"FEAT\r\n"),
                (ToClient, b"211-Features:\r\n AUTH TLS\r\n211 End\r\n"),
                (ToServer, b"AUTH TLS\r\n"),
                (ToClient, b"234 Proceed with negotiation.\r\n"),
            ],
        ),
        (
            Protocol::Pop3,
            110,
            vec![
                (ToClient, b"+OK POP3 ready\r\n"),
                (ToServer, b"CAPA\r\n"),
                (ToClient, b"+OK list follows\r\nSTLS\r\n+OK\r\n.\r\n"),
                (ToServer, b"STLS\r\n"),
                (ToClient, b"+OK begin TLS\r\n"),
            ],
        ),
        (
            Protocol::Imap,
            143,
            vec![
                (ToClient, b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
                (ToServer, b"a1 CAPABILITY\r\n"),
                (ToClient, b"* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n"),
                (ToServer, b"a2 STARTTLS\r\n"),
                (ToClient, b"a2 OK begin TLS\r\n"),
            ],
        ),
        (
            Protocol::Ldap,
            389,
            vec![
                (ToServer, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
                (ToClient, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
            ],
        ),
        (Protocol::Postgresql, 5432, vec![(ToServer, b"\0\0\0\x08\x04\xd2\x16\x2f"), (ToClient, b"S")]),
    ]
}

/// The start of a hello of TLS, as long as identification wants it.
fn hello() -> Vec<u8> {
    let hello = crate::protocol::samples::client_hello();
    [&[0x16, 3, 1, 0, hello.len() as u8], hello.as_slice()].concat()
}

#[test]
fn tls_after_the_upgrade() {
    for (protocol, port, turns) in agreed() {
        for part in [1, 3, usize::MAX >> 1] {
            let mut wire = Wire::new(expecting(&[protocol]), port);
            let answer = wire.turns(&turns, part);
            assert!(Wire::passes(answer), "{protocol:?} {answer:?} {:?}", wire.found);
            assert!(!wire.talk.settled, "{protocol:?} is followed");
            for byte in hello().chunks(part) {
                assert!(Wire::passes(wire.client(byte)), "{protocol:?}: {:?}", wire.found);
            }
            assert!(wire.talk.settled && wire.found.is_empty(), "{protocol:?}: {:?}", wire.found);
            assert_eq!(wire.confirm(), Some(protocol.number()), "{protocol:?}");
        }
    }
}

#[test]
fn anything_else_after_the_upgrade() {
    let fake = b"\x16\x03\x01\x00\x20\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff".as_slice();
    let others: [(&[u8], Reason, Option<Protocol>); 4] = [
        (b"SSH-2.0-OpenSSH_9.9\r\n", Reason::app_mismatch, Some(Protocol::Ssh)),
        (fake, Reason::app_mismatch, Some(Protocol::FakeTls)),
        (b"GET / HTTP/1.1\r\n\r\n", Reason::app_mismatch, Some(Protocol::Http)),
        (b"\x01\x02\x03\x04 nothing that is known \xff\xfe\xfd\xfc", Reason::app_unknown, None),
    ];
    for (protocol, port, turns) in agreed() {
        for (said, reason, found) in others {
            let mut wire = Wire::new(expecting(&[protocol]), port);
            wire.turns(&turns, 7);
            assert_eq!(wire.client(said), Answer::Drop(reason), "{protocol:?}");
            let [finding] = wire.found.as_slice() else { panic!("{:?}", wire.found) };
            assert_eq!((finding.found, &finding.expected), (found, &vec!["tls"]), "{protocol:?}");
            let within = finding.within.clone().unwrap();
            assert_eq!(within, (Some(protocol), "STARTTLS".to_owned()));
            let (direction, evidence) = finding.evidence.clone().unwrap();
            assert!(direction == ToServer && said.starts_with(&evidence));
        }
    }
}

/// What the client says behind its wish, before it is granted, is what follows the change: nothing may be slipped in.
#[test]
fn commands_slipped_in() {
    let turns: Turns = agreed().remove(0).2;
    let mut wire = Wire::new(expecting(&[Protocol::Smtp]), 587);
    wire.turns(&turns[..3], 64);
    assert_eq!(wire.client(b"STARTTLS\r\nMAIL FROM:<me@example>\r\n"), Answer::Wait);
    assert!(matches!(wire.server(b"220 go ahead\r\n"), Answer::Drop(_)));
}

/// A refusal, a login, or a message: it goes on in plain text.
#[test]
fn it_goes_on_without() {
    let turns: Turns = agreed().remove(0).2;
    let mut wire = Wire::new(expecting(&[Protocol::Smtp]), 587);
    wire.turns(&turns[..4], 64);
    assert_eq!(wire.server(b"454 not now\r\n"), Answer::Release);
    assert_eq!(wire.client(b"MAIL FROM:<me@example>\r\n"), Answer::Release);
    assert!(!wire.talk.settled);
    assert_eq!(wire.server(b"250 ok\r\n"), Answer::Release);
    assert_eq!(wire.client(b"DATA\r\n"), Answer::Release);
    assert_eq!(wire.confirm(), Some(Protocol::Smtp.number()));

    // asked for again, and granted
    let mut wire = Wire::new(expecting(&[Protocol::Smtp]), 587);
    wire.turns(&turns[..4], 64);
    wire.server(b"454 not now\r\n");
    wire.turns(&turns[3..], 64);
    assert_eq!(wire.client(b"SSH-2.0-x\r\n"), Answer::Drop(Reason::app_mismatch));

    let mut wire = Wire::new(expecting(&[Protocol::Postgresql]), 5432);
    wire.turns(&[(ToServer, b"\0\0\0\x08\x04\xd2\x16\x2f"), (ToClient, b"N")], 64);
    assert_eq!(wire.client(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0"), Answer::Release);
    assert!(wire.talk.settled && wire.found.is_empty());
}

/// No longer than the depth of inspection.
#[test]
fn it_is_bounded() {
    let mut wire = Wire::new(expecting(&[Protocol::Smtp]), 587);
    wire.server(b"220 mail.example ESMTP\r\n");
    for _ in 0..2000 {
        assert_eq!(wire.client(b"NOOP\r\n"), Answer::Release);
        wire.server(b"250 ok\r\n");
        if wire.talk.settled {
            return;
        }
    }
    panic!("it is still followed");
}

/// MySQL's client does not wait for an answer.
#[test]
fn mysql() {
    let greeting = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0caching_sha2_password\0";
    let mut request = b"\x20\0\0\x01\x05\xae\xff\x01\0\0\0\x01\xff".to_vec();
    request.resize(36, 0);
    for (behind, wrong) in [(hello(), false), (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), true)] {
        let mut wire = Wire::new(expecting(&[Protocol::Mysql]), 3306);
        assert!(Wire::passes(wire.server(greeting)));
        assert!(Wire::passes(wire.client(&request)), "{:?}", wire.found);
        assert_eq!(!Wire::passes(wire.client(&behind)), wrong, "{:?}", wire.found);
    }
}
