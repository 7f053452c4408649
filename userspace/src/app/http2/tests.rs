//! HTTP/2 as it was said, and what becomes of it.

use dropgate_signatures::subject::Field;
use loona_hpack::Encoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use Direction::{ToClient, ToServer};
use dropgate_signatures::buffer::Buffer;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    Encoder::new().encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

fn requests() -> Vec<u8> {
    let fields = block(&[
        (":method", "POST"),
        (":path", "/a?b"),
        (":authority", "User@WWW.example.com:8443"),
        ("user-agent", "x/2"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
    ]);
    let (first, second) = fields.split_at(7);
    [
        PREFACE.to_vec(),
        frame(frame::SETTINGS, 0, 0, &[0, 1, 0, 0, 32, 0, 0, 2, 0, 0, 0, 0]),
        frame(frame::HEADERS, 0x20, 1, &[&[0, 0, 0, 0, 200], first].concat()),
        frame(frame::CONTINUATION, 4, 1, second),
        frame(frame::DATA, 8, 1, b"\x03hel\0\0\0"),
        frame(frame::DATA, 1, 1, b"lo"),
        frame(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
        frame(frame::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]),
    ]
    .concat()
}

fn responses() -> Vec<u8> {
    let early = block(&[(":status", "103"), ("link", "x")]);
    let fields = block(&[(":status", "200"), ("server", "s"), ("content-length", "4")]);
    [
        frame(frame::SETTINGS, 1, 0, &[]),
        frame(frame::HEADERS, 4, 1, &early),
        frame(frame::HEADERS, 4, 1, &[&[0x3f, 0xe1, 0x1f], &fields[..]].concat()),
        frame(frame::DATA, 0, 1, b"body"),
        frame(frame::HEADERS, 5, 1, &block(&[("trailer", "t")])),
    ]
    .concat()
}

fn heard(requests: &[u8], responses: &[u8], step: usize) -> Http2 {
    let mut parser = Http2::new(Limits::default());
    requests.chunks(step).for_each(|piece| parser.hear(ToServer, piece));
    responses.chunks(step).for_each(|piece| parser.hear(ToClient, piece));
    parser
}

fn of(exchange: &dyn Exchange, buffer: Buffer, way: Direction, instance: usize) -> Option<String> {
    match exchange.buffer(buffer, way, instance) {
        Field::Pending => Some("?".to_owned()),
        Field::Absent => None,
        Field::Part(data) => Some(String::from_utf8_lossy(&data.bytes).into_owned() + "..."),
        Field::Whole(data) => Some(String::from_utf8_lossy(&data.bytes).into_owned()),
    }
}

#[test]
fn a_stream_fills_the_buffers_of_http() {
    let said = (requests(), responses());
    for step in [1, 2, 5, 100, said.0.len()] {
        let parser = heard(&said.0, &said.1, step);
        let exchange = *parser.transactions().iter().find(|one| one.id() == 1).unwrap();
        let table: &[(Buffer, Direction, &str)] = &[
            (Buffer::HttpMethod, ToServer, "POST"),
            (Buffer::HttpUri, ToServer, "/a?b"),
            (Buffer::HttpHost, ToServer, "www.example.com"),
            (Buffer::HttpHostRaw, ToServer, "User@WWW.example.com:8443"),
            (Buffer::HttpUserAgent, ToServer, "x/2"),
            (Buffer::HttpCookie, ToServer, "a=b, c=d"),
            (Buffer::HttpRequestLine, ToServer, "POST /a?b HTTP/2\r\n"),
            (Buffer::HttpProtocol, ToServer, "HTTP/2"),
            (Buffer::HttpRequestBody, ToServer, "hello"),
            (Buffer::FileData, ToServer, "hello"),
            (Buffer::FileName, ToServer, "/a?b"),
            (Buffer::Http2HeaderName, ToServer, ":method"),
            (Buffer::HttpRequestHeader, ToServer, ":method: POST"),
            (Buffer::HttpStatCode, ToClient, "200"),
            (Buffer::HttpStatMsg, ToClient, ""),
            (Buffer::HttpResponseLine, ToClient, "HTTP/2 200\r\n"),
            (Buffer::HttpServer, ToClient, "s"),
            (Buffer::FileData, ToClient, "body"),
        ];
        for (buffer, way, contents) in table {
            assert_eq!(of(exchange, *buffer, *way, 0).as_deref(), Some(*contents), "{buffer:?} in steps of {step}");
        }
        assert_eq!(of(exchange, Buffer::Http2HeaderName, ToServer, 3).as_deref(), Some("user-agent"));
        assert_eq!(of(exchange, Buffer::Http2HeaderName, ToServer, 6), None);
        assert!(of(exchange, Buffer::HttpHeader, ToServer, 0).unwrap().contains("user-agent: x/2\r\ncookie: a=b\r\n"));
        assert!(of(exchange, Buffer::HttpHeaderNames, ToClient, 0).unwrap().ends_with("\r\ntrailer\r\n\r\n"));
        assert_eq!(exchange.number("http2.size_update", ToClient, 0), Some(4096));
        assert_eq!(exchange.number("http2.priority", ToServer, 0), Some(200));
        assert_eq!(
            (0..5).map_while(|at| exchange.number("http2.frametype", ToServer, at)).collect::<Vec<_>>(),
            [1, 9, 0, 0]
        );
        assert_eq!(exchange.events(), ["userinfo_in_uri"]);
        assert!(exchange.is_complete(ToServer) && exchange.is_complete(ToClient));
    }
}

#[test]
fn what_is_told_is_what_suricata_tells() {
    let parser = heard(&requests(), &responses(), 1000);
    let told: Vec<Vec<Value>> = parser
        .transactions()
        .iter()
        .map(|exchange| exchange.records().into_iter().map(|record| record.json()).collect())
        .collect();
    let counts: Vec<usize> = told.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 3, 0, 1, 0], "settings, the stream with two files, a window, the end, an acknowledgement");
    assert_eq!(
        told[0][0]["http2"]["request"]["settings"],
        json!([{"settings_id": "SETTINGSHEADERTABLESIZE", "settings_value": 8192}, {"settings_id": "SETTINGSENABLEPUSH", "settings_value": 0}])
    );
    assert_eq!(
        told[3][0]["http2"],
        json!({"stream_id": 0, "request": {"error_code": "ENHANCEYOURCALM"}, "response": {}})
    );
    let stream = &told[1][0];
    assert_eq!(stream["http2"], json!({"stream_id": 1, "request": {"priority": 200}, "response": {}}));
    assert_eq!(
        (&stream["http_method"], &stream["url"], &stream["status"]),
        (&json!("POST"), &json!("/a?b"), &json!(200))
    );
    assert_eq!(
        (&stream["version"], &stream["length"], &stream["http_user_agent"]),
        (&json!("2"), &json!(4), &json!("x/2"))
    );
    assert_eq!(stream["request_headers"][0], json!({"name": ":method", "value": "POST"}));
    assert_eq!(stream["response_headers"][2], json!({"table_size_update": 4096}));
    assert_eq!(told[1][2]["size"], 4);
    let settings = parser.transactions()[0];
    assert_eq!(settings.test("http2.settings", "SETTINGS_HEADER_TABLE_SIZE>1000", ToServer), Some(true));
    assert_eq!(settings.test("http2.settings", "SETTINGS_HEADER_TABLE_SIZE>1000", ToClient), Some(false));
    assert_eq!(parser.transactions()[2].number("http2.window", ToServer, 0), Some(256));
    assert_eq!(parser.transactions()[3].number("http2.errorcode", ToServer, 0), Some(11));
}

#[test]
fn what_is_odd_is_noticed() {
    let headers = |fields| frame(frame::HEADERS, 5, 1, &block(fields));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "invalid_client_magic"),
        ([PREFACE, &headers(&[(":authority", "a"), ("host", "b")])].concat(), "authority_host_mismatch"),
        ([PREFACE, &frame(frame::DATA, 0, 0, b"x")].concat(), "data_stream_zero"),
        (
            [
                PREFACE,
                &frame(frame::HEADERS, 4, 1, &block(&[("content-type", "application/dns-message")])),
                &frame(frame::DATA, 0, 1, &[0; 40_000]),
                &frame(frame::DATA, 1, 1, &[0; 25_536]),
            ]
            .concat(),
            "dns_request_too_long",
        ),
        ([PREFACE, &frame(frame::DATA, 8, 1, b"\x09x")].concat(), "invalid_frame_data"),
        ([PREFACE, &frame(frame::RST_STREAM, 0, 1, b"\0\0")].concat(), "invalid_frame_data"),
        (
            [PREFACE, &frame(frame::HEADERS, 4, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff])].concat(),
            "header_integer_overflow",
        ),
        ([PREFACE, &frame(frame::HEADERS, 4, 1, &[0xfe])].concat(), "invalid_header"),
        ([PREFACE, &frame(frame::PUSH_PROMISE, 0, 1, &[0; 70_000])].concat(), "long_frame_data"),
    ];
    for (said, event) in cases {
        let parser = heard(&said, b"", 50);
        let noticed: Vec<_> = parser.transactions().iter().flat_map(|one| one.events().to_vec()).collect();
        assert!(noticed.contains(&event), "{event}: {noticed:?}");
    }
}

#[test]
fn memory_and_work_are_bounded() {
    let mut parser = Http2::new(Limits {
        transactions: 8,
        header: 4000,
        body: [100, 100],
        layers: 2,
        digests: u64::MAX,
        certificates: false,
    });
    parser.hear(ToServer, PREFACE);
    // a large field, said again and again by its number
    let large = "x".repeat(3000);
    parser.hear(ToServer, &frame(frame::HEADERS, 4, 1, &block(&[("large", &large)])));
    for stream in 1..200u32 {
        parser.hear(ToServer, &frame(frame::HEADERS, 4, 2 * stream + 1, &vec![0xbe; 10_000]));
    }
    assert!(parser.footprint() < 300_000, "{}", parser.footprint());
    let parser = heard(&requests(), &responses()[..9], 10);
    assert!(!parser.is_opaque());
}

#[test]
fn missing_content_is_a_gap_and_anything_else_the_end() {
    let mut parser = heard(&requests(), b"", 1000);
    let answer = responses();
    let content = answer.len() - frame(frame::HEADERS, 5, 1, &block(&[("trailer", "t")])).len() - 4;
    parser.hear(ToClient, &answer[..content]);
    parser.lost(ToClient, 2);
    parser.hear(ToClient, &answer[content + 2..]);
    let records = parser.transactions()[1].records();
    assert_eq!(records[2].json()["gaps"], true);
    assert!(!parser.is_opaque());
    parser.lost(ToClient, 2);
    assert!(parser.is_opaque());
}

proptest! {
    #[test]
    fn whatever_is_said_nothing_breaks(said in prop::collection::vec((0u8..11, any::<u8>(), 0u32..6, prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..20), step in 1usize..30) {
        let mut parser = Http2::new(Limits::default());
        parser.hear(ToServer, PREFACE);
        for (kind, flags, stream, payload, server) in said {
            let way = if server { ToClient } else { ToServer };
            frame(kind, flags, stream, &payload).chunks(step).for_each(|piece| parser.hear(way, piece));
            for exchange in parser.transactions() {
                exchange.records();
                Buffer::ALL.iter().for_each(|buffer| _ = exchange.buffer(*buffer, way, 0));
            }
        }
        parser.end(ToServer);
        parser.end(ToClient);
        for exchange in parser.transactions() {
            prop_assert!(exchange.is_complete(ToServer) && exchange.is_complete(ToClient));
        }
    }

    #[test]
    fn any_bytes_at_all(said: Vec<u8>) {
        let mut parser = Http2::new(Limits::default());
        parser.hear(ToServer, &said);
        parser.hear(ToClient, &said);
    }
}
