use std::collections::BTreeMap;

use dropgate_abi::policy::FirstBytes;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};

use super::{
    DETECTORS, WANT_HELLO, midstream,
    samples::{Sample, client_hello, records, samples},
    stream,
};
use crate::protocol::{Answer, Candidates, Direction, Protocol, Spoken, Stream, first_bytes};

/// The conversation byte by byte: what was said when.
fn prefixes(sample: &Sample) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
    let total: usize = sample.turns.iter().map(|(_, bytes)| bytes.len()).sum();
    (0..=total).map(move |mut left| {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        for (direction, bytes) in &sample.turns {
            let part = left.min(bytes.len());
            left -= part;
            match direction {
                Direction::ToServer => to_server.extend_from_slice(&bytes[..part]),
                Direction::ToClient => to_client.extend_from_slice(&bytes[..part]),
            }
        }
        (to_server, to_client)
    })
}

fn spoken(to_server: &[u8], to_client: &[u8]) -> Spoken {
    stream(Stream { to_server, to_client }, &mut Candidates::default())
}

#[test]
fn every_sample_at_every_byte() {
    for sample in samples() {
        let mut candidates = Candidates::default();
        let mut known = None;
        for (to_server, to_client) in prefixes(&sample) {
            let said = Stream { to_server: &to_server, to_client: &to_client };
            let kept = stream(said, &mut candidates);
            let fresh = stream(said, &mut Candidates::default());
            let place =
                format!("{:?}, {}, {} + {} bytes", sample.protocol, sample.name, to_server.len(), to_client.len());
            match (known, kept) {
                (None, Spoken::Pending) => assert_eq!(fresh, Spoken::Pending, "{place}"),
                (_, Spoken::Known(protocol, direction, bytes)) => {
                    assert_eq!(protocol, sample.protocol, "{place}");
                    let length = if direction == Direction::ToServer { to_server.len() } else { to_client.len() };
                    assert!(bytes > 0 && bytes <= length, "{place}: evidence of {bytes} bytes");
                    assert!(
                        matches!(fresh, Spoken::Known(protocol, ..) if protocol == sample.protocol),
                        "{place}: {fresh:?}"
                    );
                    known = Some(protocol);
                }
                _ => panic!("{place}: {kept:?} after {known:?}"),
            }
        }
        assert!(known.is_some(), "{:?}, {}: never known", sample.protocol, sample.name);
    }
}

#[test]
fn a_detector_never_takes_a_sample_of_another() {
    for sample in samples() {
        for (to_server, to_client) in prefixes(&sample) {
            for (protocol, detector) in DETECTORS {
                let answer = detector(Stream { to_server: &to_server, to_client: &to_client });
                // HTTP it was, until the server agreed
                let was = sample.protocol == Protocol::WebSocket && *protocol == Protocol::Http;
                if *protocol != sample.protocol && !was {
                    assert!(
                        !matches!(answer, Answer::Yes(..)),
                        "{protocol:?} takes {:?}, {}: {to_server:x?} {to_client:x?}",
                        sample.protocol,
                        sample.name
                    );
                } else {
                    assert!(
                        answer != Answer::No || was,
                        "{:?}, {}: {to_server:x?} {to_client:x?}",
                        sample.protocol,
                        sample.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_what_decides() {
    for mut sample in samples() {
        for at in sample.magic.clone() {
            for bit in 0..8 {
                // letters of either case are the same where text is read in any case; the sixth bit makes them
                sample.turns[0].1[at] ^= 1 << bit;
                let (to_server, to_client) = prefixes(&sample).last().unwrap();
                let found = spoken(&to_server, &to_client);
                assert!(
                    !matches!(found, Spoken::Known(protocol, ..) if protocol == sample.protocol),
                    "{:?}, {}: byte {at}, bit {bit}",
                    sample.protocol,
                    sample.name
                );
                sample.turns[0].1[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn every_protocol_has_a_sample_and_a_place() {
    assert!(DETECTORS.len() <= 64);
    assert_eq!(
        DETECTORS[..WANT_HELLO].iter().map(|(protocol, _)| *protocol).collect::<Vec<_>>(),
        [Protocol::Tls, Protocol::FakeTls]
    );
    for (protocol, _) in DETECTORS {
        assert!(samples().iter().any(|sample| sample.protocol == *protocol), "{protocol:?}");
    }
}

#[test]
fn binary_is_unknown_after_its_first_bytes() {
    for first in 0..=255u8 {
        // no protocol says this, whatever the first byte is
        let said: Vec<u8> = std::iter::once(first)
            .chain([0x93, 0xfe, 0x07, 0xc8, 0xb1, 0x9d, 0xf3].into_iter().cycle())
            .take(24)
            .collect();
        assert_eq!(spoken(&said, &[]), Spoken::Unknown, "{first:#x} from the client");
        assert_eq!(spoken(&[], &said), Spoken::Unknown, "{first:#x} from the server");
        assert_eq!(spoken(&said, &said), Spoken::Unknown, "{first:#x} from both");
    }
}

#[test]
fn zeros_are_unknown() {
    assert_eq!(spoken(&[0; 64], &[]), Spoken::Unknown);
    assert_eq!(spoken(&[], &[0; 300]), Spoken::Unknown);
}

#[test]
fn text_that_no_protocol_says_is_unknown_after_a_line() {
    for text in [
        "hello there\r\n",
        "id\r\n",
        "cmd /c whoami\r\n",
        "{\"op\":1}\n",
        "<stream>\r\n",
        "INFO {}\r\n",
        "USER a\r\n\0",
    ] {
        assert_eq!(spoken(text.as_bytes(), &[]), Spoken::Unknown, "{text}");
    }
}

#[test]
fn a_hello_with_one_wrong_length_is_fake() {
    let hello = records(&client_hello(), 4096);
    // message, session id, cipher suites, compression methods, extensions, first extension
    for at in [8, 43, 77, 82, 85, 89] {
        let mut hello = hello.clone();
        hello[at] = hello[at].wrapping_add(1);
        let found = spoken(&hello, &[]);
        assert!(!matches!(found, Spoken::Known(Protocol::Tls, ..)), "byte {at}: {found:?}");
    }
}

#[test]
fn extensions_of_any_length_are_walked_to_where_it_is_enough() {
    let mut hello = client_hello();
    // an extension of padding takes it over many records
    let padding = 60_000u16;
    hello.extend_from_slice(&[0, 21]);
    hello.extend_from_slice(&padding.to_be_bytes());
    hello.extend(std::iter::repeat_n(0, padding.into()));
    let extensions = u16::from_be_bytes([hello[79], hello[80]]) + padding + 4;
    hello[79..81].copy_from_slice(&extensions.to_be_bytes());
    let length = (hello.len() as u32 - 4).to_be_bytes();
    hello[1..4].copy_from_slice(&length[1..]);
    assert!(matches!(spoken(&records(&hello, 1 << 14), &[]), Spoken::Known(Protocol::Tls, ..)));
}

#[test]
fn empty_lines_come_before_http() {
    let http = |spoken: Spoken| matches!(spoken, Spoken::Known(Protocol::Http, ..));
    assert!(http(spoken(b"\r\n\nGET / HTTP/1.1\r\n", b"")));
    assert!(http(spoken(b"", b"\r\nHTTP/1.1 200 OK\r\n\r\n")));
    assert!(http(spoken(b"\r\nGET / HTTP/1.1\r\n\r\n", b"\r\n")));
    assert!(!http(spoken(b"\r\n\r\n\r\nGET / HTTP/1.1\r\n", b"")));
}

#[test]
fn a_long_target_is_enough() {
    let mut said = b"GET /".to_vec();
    said.resize(800, b'a');
    assert_eq!(spoken(&said, &[]), Spoken::Pending);
    said.resize(1200, b'a');
    assert!(matches!(spoken(&said, &[]), Spoken::Known(Protocol::Http, Direction::ToServer, _)));
    let said = [b"GET ".as_slice(), &b"a ".repeat(600)].concat();
    assert!(matches!(spoken(&said, &[]), Spoken::Known(Protocol::Http, Direction::ToServer, _)));
    let said = [b"WHAT /".as_slice(), &[b'a'; 1200]].concat();
    assert_eq!(spoken(&said, &[]), Spoken::Unknown);
}

#[test]
fn met_in_the_middle() {
    let record = [23, 3, 3, 0, 4, 1, 2, 3, 4];
    let tls = midstream(Stream { to_server: &[], to_client: &record });
    assert_eq!(tls, Spoken::Known(Protocol::Tls, Direction::ToClient, 9));
    let two = [record, record].concat();
    assert_eq!(midstream(Stream { to_server: &two[..12], to_client: &[] }), Spoken::Pending);
    assert_eq!(
        midstream(Stream { to_server: &two, to_client: &[] }),
        Spoken::Known(Protocol::Tls, Direction::ToServer, 14)
    );
    // the answer's sender was taken for the client
    let answer = b"HTTP/1.1 200 OK\r\n";
    let found = midstream(Stream { to_server: answer, to_client: &[] });
    assert_eq!(found, Spoken::Known(Protocol::Http, Direction::ToServer, 12));
    assert_eq!(midstream(Stream { to_server: &[0x93; 40], to_client: &[] }), Spoken::Unknown);
}

#[test]
fn chains_of_messages_tell_by_their_middle() {
    let ping: (&[u8], &[u8]) = (&[0xc0, 0], &[0xd0, 0]);
    let published: (&[u8], &[u8]) = (b"\x32\x0b\0\x05Bus17\0\x01ab", &[0x40, 2, 0, 1]);
    let words: (&[u8], &[u8]) = (b"\x81\x83\x01\x02\x03\x04abc\x89\x80\0\0\0\0", b"\x81\x04Welc\x8a\0");
    for (protocol, (client, server)) in
        [(Protocol::Mqtt, ping), (Protocol::Mqtt, published), (Protocol::WebSocket, words)]
    {
        let told = |spoken| matches!(spoken, Spoken::Known(found, ..) if found == protocol);
        assert!(told(midstream(Stream { to_server: client, to_client: server })), "{protocol:?}");
        assert!(told(midstream(Stream { to_server: server, to_client: client })), "{protocol:?}, exchanged");
        assert_eq!(midstream(Stream { to_server: client, to_client: &[] }), Spoken::Pending, "{protocol:?}");
        // one byte that does not belong there
        let off = [server, b"\xff"].concat();
        assert!(!told(midstream(Stream { to_server: client, to_client: &off })), "{protocol:?}");
    }
    let published = [&b"\x30\x90\x4e\0\x05Bus17"[..], &[7; 200]].concat();
    let found = midstream(Stream { to_server: &published, to_client: &[0x20, 2, 0, 0] });
    assert!(matches!(found, Spoken::Known(Protocol::Mqtt, ..)), "what is published is long: {found:?}");
    let refused = midstream(Stream { to_server: &published, to_client: &[0x20, 2, 1, 5] });
    assert!(!matches!(refused, Spoken::Known(..)), "{refused:?}");
    // a frame that only a client may send, from both
    let masked = words.0;
    let found = midstream(Stream { to_server: masked, to_client: masked });
    assert!(!matches!(found, Spoken::Known(..)), "{found:?}");
}

#[test]
fn a_socks_request_that_does_not_wait() {
    let said = [5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 0, 80];
    for short in 1..said.len() {
        assert_eq!(spoken(&said[..short], &[]), Spoken::Pending, "{short}");
    }
    assert_eq!(spoken(&said, &[]), Spoken::Known(Protocol::Socks, Direction::ToServer, 13));
    assert!(matches!(spoken(&said, &[5, 0]), Spoken::Known(Protocol::Socks, Direction::ToClient, 2)));
    assert_eq!(spoken(&said, b"no"), Spoken::Unknown);
}

#[test]
fn others_who_connect_as_rdp_does() {
    // S7: a connection request with parameters
    assert_eq!(
        spoken(b"\x03\0\0\x16\x11\xe0\0\0\0\x01\0\xc0\x01\x0a\xc1\x02\x01\0\xc2\x02\x01\x02", &[]),
        Spoken::Unknown
    );
}

/// But for a few: short forms, such as those of Telnet's commands, fit some random bytes.
#[test]
fn random_bytes_are_unknown() {
    const STREAMS: usize = 20_000;
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut known: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..STREAMS {
        let mut said = [0; 200];
        random.fill_bytes(&mut said);
        for spoken in [spoken(&said, &[]), spoken(&[], &said)] {
            match spoken {
                Spoken::Unknown => {}
                Spoken::Pending => *known.entry("pending").or_default() += 1,
                Spoken::Known(protocol, ..) => *known.entry(protocol.name()).or_default() += 1,
            }
        }
    }
    assert!(known.values().sum::<u32>() as usize <= STREAMS / 1000, "{known:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(to_server in proptest::collection::vec(any::<u8>(), 0..400), to_client in proptest::collection::vec(any::<u8>(), 0..400)) {
        spoken(&to_server, &to_client);
    }

    #[test]
    fn a_sample_with_noise_is_answered(at in 0..samples().len(), noise in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..8)) {
        let mut sample = samples().swap_remove(at);
        for (place, byte) in noise {
            let bytes = &mut sample.turns[0].1;
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        for (to_server, to_client) in prefixes(&sample) {
            spoken(&to_server, &to_client);
        }
    }

    #[test]
    fn records_split_anywhere(most in 1usize..200) {
        let found = spoken(&records(&client_hello(), most), &[]);
        let tls = matches!(found, Spoken::Known(Protocol::Tls, ..));
        prop_assert!(tls, "{found:?}");
    }
}

/// What the table of first bytes rules out, the detectors do too; and no sample begins with it.
#[test]
fn first_bytes_that_are_impossible_are_none_of_the_protocol() {
    for (protocol, detector) in DETECTORS {
        let possible = first_bytes(false, &[*protocol]);
        assert_ne!(possible, FirstBytes::NONE, "{protocol:?} has no line");
        for byte in 0..=u8::MAX {
            let answer = detector(Stream { to_server: &[byte], to_client: &[] });
            assert!(possible.has(byte) || answer == Answer::No, "{protocol:?} beginning with {byte:#04x}: {answer:?}");
        }
    }
    for sample in samples() {
        let said = sample.turns.iter().find(|(direction, _)| *direction == Direction::ToServer);
        let first = said.and_then(|(_, bytes)| bytes.first());
        let possible = first_bytes(false, &[sample.protocol]);
        assert!(first.is_none_or(|byte| possible.has(*byte)), "{:?}, {}", sample.protocol, sample.name);
    }
}
