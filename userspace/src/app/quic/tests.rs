use dropgate_signatures::{
    buffer::Buffer::*,
    subject::{Direction::*, Field},
};

use super::*;
use crate::{
    app::samples::{Turn, known, object, say, text},
    protocol::quic::{
        header::{V1, V2},
        tests::{HELLO, ID, bytes, frame, initial},
    },
};

fn quic(turns: &[Turn<'_>]) -> Quic {
    say(Quic::new(Limits::default()), turns)
}

/// The ClientHello of RFC 9001's appendix.
#[test]
fn hello_is_read_in_any_order() {
    let hello = bytes(HELLO);
    let (first, second) = hello.split_at(100);
    let one = initial(V1, &ID, b"", 0, &frame(100, second));
    let two = initial(V1, &ID, b"", 1, &frame(0, first));
    let quic = quic(&[(ToServer, &one)]);
    assert!(quic.transactions().is_empty());
    let quic = say(quic, &[(ToServer, &two), (ToServer, &two)]);
    let all = quic.transactions();
    assert_eq!(all.len(), 1);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(text(all[0], QuicSni, ToServer, 0), some("example.com"));
    assert_eq!(text(all[0], TlsSni, ToServer, 0), some("example.com"));
    assert_eq!(
        all[0].buffer(QuicVersion, ToServer, 0),
        Field::Whole(dropgate_signatures::subject::Data { bytes: vec![0, 0, 0, 1].into() })
    );
    assert_eq!(text(all[0], Ja3String, ToServer, 0), some("771,4865-4866,0-65281-10-16-5-51-43-13-45-28-57,29-23-24,"));
    assert!(text(all[0], Ja4Hash, ToServer, 0).is_some_and(|ja4| ja4.starts_with("q13d0211an_")));
    let event = object(all[0]);
    assert_eq!((&event["version"], &event["sni"]), (&"1".into(), &"example.com".into()));
    assert_eq!(event["extensions"][0]["values"][0], "example.com");
    assert_eq!(event["extensions"][3]["name"], "alpn");
}

#[test]
fn version_2_has_keys_of_its_own() {
    let quic = quic(&[(ToServer, &initial(V2, &ID, b"", 0, &frame(0, &bytes(HELLO))))]);
    assert_eq!(object(quic.transactions()[0])["version"], "v2");
    assert_eq!(text(quic.transactions()[0], QuicSni, ToServer, 0), Some("example.com".to_owned()));
}

#[test]
fn what_cannot_be_opened_is_noted() {
    let mut broken = initial(V1, &ID, b"", 0, &frame(0, &bytes(HELLO)));
    broken[600] ^= 1;
    let quic = quic(&[(ToServer, &broken)]);
    assert_eq!(quic.transactions()[0].events(), ["failed_decrypt"]);
    for cut in 0..broken.len() {
        known(&say(Quic::new(Limits::default()), &[(ToServer, &broken[..cut])]));
    }
}

#[test]
fn hello_of_google() {
    let tags: &[(&[u8; 4], &[u8])] = &[(b"PAD\0", b"--"), (b"SNI\0", b"one.example"), (b"UAID", b"Agent/1")];
    let mut index = Vec::new();
    let mut values = Vec::new();
    for (tag, value) in tags {
        values.extend_from_slice(value);
        index.extend_from_slice(*tag);
        index.extend((values.len() as u32).to_le_bytes());
    }
    let head = b"\x09\x01\x02\x03\x04\x05\x06\x07\x08Q043\x01abcdefghijklCHLO\x03\0\0\0";
    let said = [&head[..], &index, &values].concat();
    let quic = quic(&[(ToServer, &said)]);
    let hello = quic.transactions()[0];
    assert_eq!(text(hello, QuicCyuString, ToServer, 0), Some("43,PAD-SNI-UAID".to_owned()));
    assert_eq!(text(hello, QuicUa, ToServer, 0), Some("Agent/1".to_owned()));
    let event = object(hello);
    assert_eq!((&event["version"], &event["sni"]), (&"Q043".into(), &"one.example".into()));
    for cut in 0..said.len() {
        known(&say(Quic::new(Limits::default()), &[(ToServer, &said[..cut])]));
    }
}
