use dropgate_signatures::{
    buffer::Buffer::*,
    subject::{Direction::*, Field},
};
use proptest::prelude::*;
use serde_json::json;

use super::{hello::Hello, ja3::Ja3, ja4::ja4, *};
use crate::app::samples::{Turn, cut_anywhere, known, object, say, text};

/// Ours, self-signed for `gateway.example`.
const CERTIFICATE: &[u8] = include_bytes!("sample.der");

fn vector(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(body)].concat()
}

fn name(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(&[&[0][..], &vector(name)].concat()))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|name| [&[name.len() as u8], *name].concat()).collect();
    extension(16, &vector(&names))
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &vector(body)].concat()
}

fn client_hello(suites: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    let body = [
        &[3, 3][..],
        &[0x5a; 32],
        &[4, 1, 2, 3, 4],
        &vector(&words(suites)),
        &[1, 0],
        &if extensions.is_empty() { Vec::new() } else { vector(&extensions) },
    ];
    message(1, &body.concat())
}

fn server_hello(session: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let body =
        [&[3, 3][..], &[0x77; 32], &[session.len() as u8], session, &[0xc0, 0x2f, 0], &vector(&extensions.concat())];
    message(2, &body.concat())
}

fn certificates(chain: &[&[u8]]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
    let chain: Vec<u8> = chain.iter().flat_map(|der| sized(der)).collect();
    message(11, &sized(&chain))
}

fn usual() -> [Vec<u8>; 4] {
    let hello = client_hello(
        &[0x0a0a, 0x1301, 0xc02f],
        &[
            name(b"gateway.example"),
            extension(10, &vector(&words(&[0x1a1a, 29, 23]))),
            extension(11, &[1, 0]),
            extension(13, &vector(&words(&[0x0403, 0x0804]))),
            alpn(&[b"h2", b"http/1.1"]),
        ],
    );
    let answer = [server_hello(&[], &[alpn(&[b"h2"])]), certificates(&[CERTIFICATE, b"0"]), message(14, &[])].concat();
    let keys = [record(22, &message(16, &[7; 33])), record(20, &[1]), record(22, &[9; 40])].concat();
    let over = [record(20, &[1]), record(22, &[9; 40]), record(23, b"sealed")].concat();
    [record(22, &hello), record(22, &answer), keys, over]
}

fn turns(said: &[Vec<u8>; 4]) -> [Turn<'_>; 4] {
    [(ToServer, &said[0]), (ToClient, &said[1]), (ToServer, &said[2]), (ToClient, &said[3])]
}

fn only(tls: &Tls) -> &dyn Exchange {
    let all = tls.transactions();
    assert_eq!(all.len(), 1);
    all[0]
}

#[test]
fn handshake_is_read() {
    let said = usual();
    let tls = say(Tls::new(), &turns(&said));
    assert!(tls.is_opaque());
    let of = |buffer, direction| text(only(&tls), buffer, direction, 0);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(of(TlsSni, ToServer), some("gateway.example"));
    assert_eq!(of(TlsRandomTime, ToServer), some("ZZZZ"));
    assert_eq!(text(only(&tls), TlsAlpn, ToServer, 1), some("http/1.1"));
    assert_eq!(text(only(&tls), TlsAlpn, ToServer, 2), None);
    assert_eq!(of(TlsAlpn, ToClient), some("h2"));
    assert_eq!(of(TlsCertSubject, ToClient), some("C=SE, O=Dropgate Tests, CN=gateway.example"));
    assert_eq!(of(TlsCertIssuer, ToClient), some("C=SE, O=Dropgate Tests, CN=gateway.example"));
    assert_eq!(of(TlsCertSerial, ToClient), some("0A:BC:01:02"));
    assert_eq!(of(TlsCertFingerprint, ToClient), some("10:70:d8:e9:9b:11:f8:a7:12:a4:b7:af:a1:7b:89:e8:e0:80:45:50"));
    assert_eq!(text(only(&tls), TlsSubjectAltName, ToClient, 2), some("192.0.2.1"));
    assert_eq!(of(TlsCertSubject, ToServer), None);
    assert_eq!(only(&tls).buffer(TlsCerts, ToClient, 0), Field::whole(CERTIFICATE));
    assert_eq!(only(&tls).number("tls.cert_chain_len", ToClient, 0), Some(2));
    assert_eq!(of(Ja3String, ToServer), some("771,4865-49199,0-10-11-13-16,29-23,0"));
    assert_eq!(of(Ja3sString, ToClient), some("771,49199,16"));
    let event = object(only(&tls));
    assert_eq!(event["version"], "TLS 1.2");
    assert_eq!(event["notbefore"], "2026-11-22T10:46:53");
    assert_eq!(event["notafter"], "2126-10-29T10:46:53");
    assert_eq!(event["sni"], "gateway.example");
    assert_eq!(event["client_alpns"], json!(["h2", "http/1.1"]));
    assert_eq!(event.get("session_resumed"), None);
    assert_eq!(only(&tls).events(), [""; 0]);
}

#[test]
fn certificates_are_shown_where_that_is_wanted() {
    let own = certificates(&[CERTIFICATE]);
    let mut said = usual();
    said[2].splice(..0, record(22, &own));
    let event = object(only(&say(Tls::new(), &turns(&said))));
    assert_eq!((event.get("chain"), event.get("client")), (None, None));
    let event = object(only(&say(Tls::new().showing(true), &turns(&said))));
    assert_eq!(event["chain"].as_array().unwrap().len(), 2);
    assert_eq!(event["certificate"], event["chain"][0]);
    assert_eq!(event["client"]["serial"], "0A:BC:01:02");
    assert_eq!(event["client"]["notbefore"], "2026-11-22T10:46:53");
    assert_eq!(event["client"]["certificate"], event["certificate"]);
}

#[test]
fn wherever_it_is_cut() {
    let said = usual();
    cut_anywhere(Tls::new, &turns(&said));
    // and wherever its records are
    let whole = say(Tls::new(), &turns(&said));
    let pieces = said[0][5..].chunks(3).flat_map(|part| record(22, part)).collect::<Vec<_>>();
    let other = [pieces, said[1].clone(), said[2].clone(), said[3].clone()];
    assert_eq!(known(&say(Tls::new(), &turns(&other))), known(&whole));
}

#[test]
fn what_is_not_said_yet_is_awaited() {
    let said = usual();
    let tls = say(Tls::new(), &turns(&said)[..1]);
    let handshake = only(&tls);
    assert_eq!(handshake.buffer(TlsCertSubject, ToClient, 0), Field::Pending);
    assert_eq!(handshake.buffer(TlsSni, ToServer, 0), Field::whole(b"gateway.example"));
    assert_eq!(handshake.test("tls.cert_expired", "", ToClient), None);
    assert!(handshake.records().is_empty());
    assert_eq!(handshake.context()[0].json()["sni"], "gateway.example");
    assert!(!tls.is_opaque());
}

#[test]
fn what_rules_ask() {
    let said = usual();
    let mut tls = say(Tls::new(), &turns(&said));
    tls.tick(0);
    let ask = |tls: &Tls, keyword: &str, argument: &str| only(tls).test(keyword, argument, ToClient);
    for (keyword, argument, answer) in [
        ("tls.version", "1.2", true),
        ("tls.version", "1.3", false),
        ("ssl_version", "tls1.2", true),
        ("ssl_version", "tls1.0,tls1.2", true),
        ("ssl_version", "!tls1.2", false),
        ("ssl_version", "!sslv2,!sslv3", true),
        // as the rule's reader leaves it when it takes the first `!` away
        ("ssl_version", "sslv2,!tls1.2", true),
        ("ssl_state", "server_hello", true),
        ("ssl_state", "client_hello", false),
        ("ssl_state", "server_keyx|server_hello", true),
        ("ssl_state", "!server_hello", false),
        ("tls.subject", "CN=gateway.example", true),
        ("tls.issuerdn", "CN=other", false),
        ("tls_cert_notbefore", ">2026-11-22", true),
        ("tls_cert_notbefore", ">2026-11-23", false),
        ("tls_cert_notafter", "2126<>2127", true),
        ("tls_cert_notafter", "<2126-10-29 10:46:53", false),
        ("tls_cert_notafter", "<2126-10-29 10:46:54", true),
        ("tls_cert_valid", "", false),
        ("tls_cert_expired", "", false),
        ("no.such", "", false),
    ] {
        assert_eq!(ask(&tls, keyword, argument), Some(answer), "{keyword} {argument}");
    }
    tls.tick(1_800_000_000);
    assert_eq!(ask(&tls, "tls_cert_valid", ""), Some(true));
    tls.tick(5_000_000_000);
    assert_eq!(ask(&tls, "tls_cert_expired", ""), Some(true));
    assert_eq!(only(&tls).test("ssl_state", "client_keyx", ToServer), Some(true));
}

#[test]
fn version_13_shows_no_certificate() {
    let hello = record(22, &client_hello(&[0x1301], &[extension(43, &[4, 3, 4, 3, 3])]));
    let answer =
        [record(22, &server_hello(&[1, 2, 3, 4], &[extension(43, &[3, 4])])), record(20, &[1]), record(23, &[5; 90])]
            .concat();
    let tls = say(Tls::new(), &[(ToServer, &hello), (ToClient, &answer), (ToServer, &record(20, &[1]))]);
    let event = object(only(&tls));
    assert_eq!((&event["version"], event.get("session_resumed")), (&json!("TLS 1.3"), None));
    assert_eq!(only(&tls).buffer(TlsCerts, ToClient, 0), Field::Absent);
    assert!(tls.is_opaque());
}

#[test]
fn drafts_had_shorter_hellos() {
    for (version, title) in
        [([3, 4], "TLS 1.3 draft-<16"), ([0x7f, 0x0e], "TLS 1.3 draft-<16"), ([0x7f, 0x12], "TLS 1.3 draft-18")]
    {
        // neither a session nor a compression method
        let answer = message(2, &[&version[..], &[7; 32], &[0x13, 0x01], &words(&[0])].concat());
        let tls = say(
            Tls::new(),
            &[(ToServer, &record(22, &client_hello(&[0x1301], &[]))), (ToClient, &record(22, &answer))],
        );
        assert_eq!(only(&tls).context()[0].json()["version"], title);
        assert_eq!(only(&tls).events(), [""; 0]);
        assert_eq!(only(&tls).test("tls.version", "1.3", ToClient), Some(true));
    }
}

#[test]
fn resumed_session_is_told() {
    let hello = record(22, &client_hello(&[0xc02f], &[]));
    let answer = [record(22, &server_hello(&[1, 2, 3, 4], &[])), record(20, &[1])].concat();
    let tls = say(Tls::new(), &[(ToServer, &hello), (ToClient, &answer)]);
    assert_eq!(object(only(&tls))["session_resumed"], true);
}

#[test]
fn what_is_wrong_is_noted() {
    let two = client_hello(&[1], &[name(b"one.example"), name(b"two.example")]);
    let empty = client_hello(&[1], &[name(b"")]);
    let odd = client_hello(&[1], &[extension(0, &[0, 4, 1, 0, 1, b'x'])]);
    let cases: &[(&str, Direction, Vec<u8>)] = &[
        ("invalid_record_type", ToServer, [record(22, &two), vec![25, 3, 1, 0, 1, 0]].concat()),
        ("invalid_ssl_record", ToServer, b"GET / HTTP/1.1\r\n".to_vec()),
        ("invalid_record_version", ToServer, vec![22, 4, 0, 0, 9]),
        ("invalid_tls_header", ToServer, vec![22, 3, 1, 0xff, 0xff]),
        ("invalid_handshake_message", ToServer, record(22, &message(77, &[]))),
        ("invalid_handshake_message", ToServer, record(22, &message(1, &[3, 3]))),
        ("handshake_invalid_length", ToServer, record(22, &[1, 0xff, 0, 0])),
        ("multiple_sni_extensions", ToServer, record(22, &two)),
        ("invalid_sni_length", ToServer, record(22, &empty)),
        ("invalid_sni_type", ToServer, record(22, &odd)),
        ("certificate_invalid_length", ToClient, record(22, &message(11, &[0, 0, 9, 0, 0, 6, 0]))),
        ("invalid_certificate", ToClient, record(22, &certificates(&[b"nothing"]))),
        ("invalid_handshake_message", ToClient, record(22, &certificates(&[b"nothing"]))),
        ("invalid_ssl_record", ToClient, record(22, &certificates(&[b"nothing"]))),
        ("invalid_alert_message", ToClient, record(21, &[1, 2, 3])),
        ("heartbeat_message", ToServer, record(24, &[&[1, 0, 4][..], &[0; 20]].concat())),
        ("overflow_heartbeat_message", ToServer, record(24, &[1, 0x40, 0])),
        ("invalid_heartbeat_message", ToServer, record(24, &[9, 0, 0])),
        ("invalid_sslv2_header", ToServer, vec![0x80, 1, 1]),
    ];
    for (event, direction, said) in cases {
        let tls = say(Tls::new(), &[(*direction, said)]);
        assert!(only(&tls).events().contains(event), "{event}: {:?}", only(&tls).events());
        cut_anywhere(Tls::new, &[(*direction, said)]);
    }
    let asked = record(24, &[&[1, 0, 4][..], &[0; 20]].concat());
    let leaked = record(24, &[&[2, 0, 90][..], &[0; 120]].concat());
    let tls = say(Tls::new(), &[(ToServer, &asked), (ToClient, &leaked)]);
    assert!(only(&tls).events().contains(&"dataleak_heartbeat_mismatch"));
}

#[test]
fn nothing_is_read_behind_what_ends_it() {
    let [hello, ..] = usual();
    let refused = [record(21, &[2, 40]), hello.clone()].concat();
    let odd = [record(22, &certificates(&[b"nothing"])), hello].concat();
    for said in [&refused, &odd] {
        for cut in 1..=said.len() {
            let mut tls = Tls::new();
            said.chunks(cut).for_each(|part| tls.hear(ToServer, part));
            assert_eq!(text(only(&tls), TlsSni, ToServer, 0), None, "in parts of {cut}");
        }
        cut_anywhere(Tls::new, &[(ToServer, said)]);
    }
}

#[test]
fn hello_of_ssl_2() {
    let hello = [&[0x80, 28, 1, 0, 2, 0, 3, 0, 0, 0, 16][..], &[7, 0, 0xc0], &[9; 16]].concat();
    let tls = say(Tls::new(), &[(ToServer, &hello)]);
    assert_eq!(only(&tls).test("ssl_version", "sslv2", ToServer), Some(true));
    assert_eq!(only(&tls).test("ssl_state", "client_hello", ToServer), Some(true));
    assert!(!tls.is_opaque());
    let answer = [&[0x80, 11, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0][..]].concat();
    let tls = say(tls, &[(ToClient, &answer)]);
    assert!(tls.is_opaque());
}

/// The examples that the authors of JA3 and JA4 publish with their specifications.
#[test]
fn fingerprints_are_those_of_the_specifications() {
    let hello = Hello {
        legacy_version: 769,
        suites: vec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
        extensions: vec![0, 10, 11],
        groups: vec![23, 24, 25],
        point_formats: vec![0],
        ..Hello::default()
    };
    assert_eq!(Ja3::of_client(&hello).hash, "ada70206e40642a3e4461f35503241d5");
    let hello = Hello {
        legacy_version: 0x0303,
        versions: vec![0x8a8a, 0x0304, 0x0303],
        suites: vec![
            0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ],
        extensions: vec![
            0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
            0xff01, 0x000b, 0x000a, 0x0015,
        ],
        signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        alpn: vec![b"h2".to_vec()],
        ..Hello::default()
    };
    assert_eq!(ja4(&hello, false), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    let nothing = Hello { legacy_version: 0x0301, ..Hello::default() };
    assert_eq!(ja4(&nothing, true), "q10i000000_000000000000_000000000000");
}

#[test]
fn long_message_is_not_kept() {
    let mut tls = Tls::new();
    let many = record(22, &[&[11, 2, 0, 0][..], &[0; 16000]].concat());
    for _ in 0..100 {
        tls.hear(ToClient, &many);
    }
    assert!(tls.footprint() < 2 * record::MESSAGE_MAX + 4096);
}

proptest! {
    /// What was said, with bytes changed.
    #[test]
    fn nothing_makes_it_panic(changes in prop::collection::vec((0..2000usize, any::<u8>()), 0..8), cut in 0..600usize) {
        let mut said = usual();
        for (at, byte) in changes {
            let turn = &mut said[at % 2];
            let at = at % turn.len();
            turn[at] = byte;
        }
        let whole = say(Tls::new(), &turns(&said));
        let mut cuts = Tls::new();
        for (way, said) in turns(&said) {
            said.chunks(cut + 1).for_each(|part| cuts.hear(way, part));
        }
        prop_assert_eq!(known(&whole), known(&cuts));
    }
}
