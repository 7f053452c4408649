//! Every sample against every detector, whole, cut, and with decisive bytes changed; and bytes that mean nothing.

use super::{samples::Sample, *};
use crate::protocol::first_bytes;

fn said(sample: &Sample) -> Vec<(Direction, &[u8])> {
    sample.said.iter().map(|(direction, datagram)| (*direction, datagram.as_slice())).collect()
}

fn told(said: &[(Direction, &[u8])]) -> Spoken {
    datagrams(Datagrams { said }, &mut Candidates::default())
}

#[test]
fn every_sample_is_itself() {
    for sample in samples::all() {
        let said = said(&sample);
        let mut candidates = Candidates::default();
        for length in 1..said.len() {
            let spoken = datagrams(Datagrams { said: &said[..length] }, &mut candidates);
            assert_eq!(spoken, Spoken::Pending, "{} after {length}", sample.name);
        }
        match datagrams(Datagrams { said: &said }, &mut candidates) {
            Spoken::Known(protocol, direction, bytes) => {
                assert_eq!(protocol, sample.protocol, "{}", sample.name);
                let most: usize = said.iter().filter(|(who, _)| *who == direction).map(|(_, what)| what.len()).sum();
                assert!(bytes > 0 && bytes <= most, "{}: {bytes} of {most}", sample.name);
            }
            other => panic!("{}: {other:?}", sample.name),
        }
    }
}

#[test]
fn flags_that_are_misused_hide_no_question() {
    let query = samples::all().into_iter().find(|sample| sample.name == "dns query").expect("there is one");
    let with = |flags: [u8; 2], change: fn(&mut Vec<u8>)| {
        let mut datagram = query.said[0].1.clone();
        datagram[2..4].copy_from_slice(&flags);
        change(&mut datagram);
        told(&[(query.said[0].0, &datagram)])
    };
    // an opcode that nobody has, the reserved bit, an error in a query
    for flags in [[0x49, 0x00], [0x01, 0x40], [0x01, 0x03]] {
        assert!(matches!(with(flags, |_| {}), Spoken::Known(Protocol::Dns, ..)), "{flags:?}");
        // nor is what is no plain name
        assert!(!matches!(with(flags, |said| said[13] = 1), Spoken::Known(..)), "{flags:?}");
    }
}

#[test]
fn no_other_detector_says_yes() {
    for sample in samples::all() {
        for (protocol, detector) in DETECTORS {
            let answer = detector(Datagrams { said: &said(&sample) });
            assert!(
                *protocol == sample.protocol || !matches!(answer, Answer::Yes(..)),
                "{} is taken for {protocol:?}",
                sample.name
            );
        }
    }
}

#[test]
fn cut_at_every_byte_it_is_never_another() {
    for sample in samples::all() {
        let whole = said(&sample);
        for at in 0..whole.len() {
            for length in 0..whole[at].1.len() {
                let mut cut = whole.clone();
                cut[at].1 = &cut[at].1[..length];
                for (protocol, detector) in DETECTORS {
                    let answer = detector(Datagrams { said: &cut });
                    assert!(
                        *protocol == sample.protocol || !matches!(answer, Answer::Yes(..)),
                        "{} cut to {length} is taken for {protocol:?}",
                        sample.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_decisive_byte_changed_is_not_told() {
    for sample in samples::all() {
        for &(at, byte) in &sample.decisive {
            let mut changed: Vec<(Direction, Vec<u8>)> = sample.said.clone();
            changed[at].1[byte] ^= 0x7f;
            let changed: Vec<(Direction, &[u8])> = changed.iter().map(|(who, what)| (*who, what.as_slice())).collect();
            assert!(
                !matches!(told(&changed), Spoken::Known(..)),
                "{} with byte {byte} of datagram {at} changed",
                sample.name
            );
        }
    }
}

/// Any byte changed to any of a few values: whatever it is then, it is not another protocol.
#[test]
fn any_byte_changed_is_never_another() {
    for sample in samples::all() {
        for at in 0..sample.said.len() {
            for byte in 0..sample.said[at].1.len().min(160) {
                for mask in [0x01, 0x80, 0xff] {
                    let mut changed = sample.said.clone();
                    changed[at].1[byte] ^= mask;
                    let changed: Vec<(Direction, &[u8])> =
                        changed.iter().map(|(who, what)| (*who, what.as_slice())).collect();
                    if let Spoken::Known(protocol, ..) = told(&changed) {
                        assert_eq!(protocol, sample.protocol, "{} byte {byte} by {mask:#x}", sample.name);
                    }
                }
            }
        }
    }
}

#[test]
fn bytes_that_mean_nothing_are_unknown() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..4000 {
        let flow: Vec<(Direction, Vec<u8>)> = (0..MOST_DATAGRAMS)
            .map(|_| {
                let length = next() as usize % 300;
                let direction = if next() & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
                (direction, (0..length).map(|_| next() as u8).collect())
            })
            .collect();
        let flow: Vec<(Direction, &[u8])> = flow.iter().map(|(who, what)| (*who, what.as_slice())).collect();
        let mut candidates = Candidates::default();
        for length in 1..=flow.len() {
            let spoken = datagrams(Datagrams { said: &flow[..length] }, &mut candidates);
            assert!(!matches!(spoken, Spoken::Known(..)), "{spoken:?} {:?}", &flow[..length]);
        }
        assert_eq!(told(&flow), Spoken::Unknown);
    }
}

#[test]
fn ordinary_other_datagrams_are_unknown() {
    let others: [&[u8]; 6] = [
        b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n",
        b"<134>Oct 11 22:14:15 host app: message",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        // NetBIOS name service
        b"\x80\x01\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20EEEFFDELFEEPFACACACACACACACACACA\x00\x00\x20\x00\x01",
        // CoAP
        b"\x40\x01\x12\x34\xbbtemperature",
        &[0; 64],
    ];
    for other in others {
        assert_eq!(told(&[(Direction::ToServer, other)]), Spoken::Unknown, "{}", other.escape_ascii());
    }
}

#[test]
fn nothing_said_is_pending_until_the_bound() {
    assert_eq!(told(&[]), Spoken::Pending);
    assert_eq!(told(&[(Direction::ToServer, &[][..]); 3]), Spoken::Pending);
    assert_eq!(told(&[(Direction::ToServer, &[][..]); MOST_DATAGRAMS]), Spoken::Unknown);
}

/// What the table of first bytes rules out, the detectors do too: every sample with every other first byte.
#[test]
fn first_bytes_that_are_impossible_are_none_of_the_protocol() {
    for sample in samples::all() {
        let Some(at) = sample.said.iter().position(|(who, _)| *who == Direction::ToServer) else { continue };
        let possible = first_bytes(true, &[sample.protocol]);
        assert!(possible.has(sample.said[at].1[0]), "{}", sample.name);
        let detectors = DETECTORS.iter().filter(|(protocol, _)| *protocol == sample.protocol);
        for (byte, (_, detector)) in (0..=u8::MAX).flat_map(|byte| detectors.clone().map(move |line| (byte, line))) {
            let mut changed: Vec<(Direction, Vec<u8>)> = sample.said[..=at].to_vec();
            changed[at].1[0] = byte;
            let changed: Vec<(Direction, &[u8])> = changed.iter().map(|(who, what)| (*who, what.as_slice())).collect();
            let answer = detector(Datagrams { said: &changed });
            assert!(possible.has(byte) || answer == Answer::No, "{} beginning with {byte:#04x}", sample.name);
        }
    }
}
