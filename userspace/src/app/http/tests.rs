//! HTTP/1 as it was said, and what becomes of it.

mod cut;
mod framing;
mod oddities;

use dropgate_signatures::{
    buffer::Buffer,
    subject::{Direction, Field},
};
use serde_json::Value;

use super::Http1;
use crate::app::{Exchange, Limits, Parser};

const GET: &[u8] =
    b"GET /a/%62?c=d HTTP/1.1\r\nHost: WWW.Example.com:8080\r\nUser-Agent: x/1\r\nCookie: k=v\r\nAccept: */*\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=x\r\nSet-Cookie: a=b\r\nServer: s\r\nContent-Length: 5\r\n\r\nhello";

/// What was said, by turns.
fn heard(said: &[(Direction, &[u8])]) -> Http1 {
    let mut parser = Http1::new(Limits::default());
    said.iter().for_each(|(direction, bytes)| parser.hear(*direction, bytes));
    parser
}

/// A request and its response, by themselves.
fn exchanged(request: &[u8], response: &[u8]) -> Http1 {
    heard(&[(Direction::ToServer, request), (Direction::ToClient, response)])
}

fn ended(mut parser: Http1) -> Http1 {
    parser.end(Direction::ToServer);
    parser.end(Direction::ToClient);
    parser
}

/// A buffer of an exchange as text; `...` behind what may go on, `?` for what may come.
fn buffer(exchange: &dyn Exchange, buffer: Buffer, direction: Direction, instance: usize) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match exchange.buffer(buffer, direction, instance) {
        Field::Pending => Some("?".to_owned()),
        Field::Absent => None,
        Field::Part(data) => Some(text(&data.bytes) + "..."),
        Field::Whole(data) => Some(text(&data.bytes)),
    }
}

/// One of the first exchange.
fn of(parser: &Http1, name: Buffer, direction: Direction) -> Option<String> {
    buffer(parser.transactions()[0], name, direction, 0)
}

fn http(parser: &Http1, at: usize) -> Value {
    parser.transactions()[at].records().remove(0).json()
}

fn events(parser: &Http1, at: usize) -> Vec<&'static str> {
    parser.transactions()[at].events().to_vec()
}

#[test]
fn a_request_and_its_response_fill_their_buffers() {
    use Direction::{ToClient, ToServer};
    let parser = exchanged(GET, OK);
    let table: &[(Buffer, Direction, &str)] = &[
        (Buffer::HttpMethod, ToServer, "GET"),
        (Buffer::HttpUri, ToServer, "/a/b?c=d"),
        (Buffer::HttpUriRaw, ToServer, "/a/%62?c=d"),
        (Buffer::HttpRequestLine, ToServer, "GET /a/%62?c=d HTTP/1.1"),
        (Buffer::HttpProtocol, ToServer, "HTTP/1.1"),
        (Buffer::HttpHost, ToServer, "www.example.com"),
        (Buffer::HttpHostRaw, ToServer, "WWW.Example.com:8080"),
        (Buffer::HttpUserAgent, ToServer, "x/1"),
        (Buffer::HttpAccept, ToServer, "*/*"),
        (Buffer::HttpCookie, ToServer, "k=v"),
        (Buffer::HttpHeader, ToServer, "Host: WWW.Example.com:8080\r\nUser-Agent: x/1\r\nAccept: */*\r\n"),
        (Buffer::HttpHeaderNames, ToServer, "\r\nHost\r\nUser-Agent\r\nCookie\r\nAccept\r\n\r\n"),
        (Buffer::HttpRequestHeader, ToServer, "Host: WWW.Example.com:8080"),
        (Buffer::HttpProtocol, ToClient, "HTTP/1.1"),
        (Buffer::HttpResponseLine, ToClient, "HTTP/1.1 200 OK"),
        (Buffer::HttpStatCode, ToClient, "200"),
        (Buffer::HttpStatMsg, ToClient, "OK"),
        (Buffer::HttpContentType, ToClient, "text/plain; charset=x"),
        (Buffer::HttpContentLen, ToClient, "5"),
        (Buffer::HttpCookie, ToClient, "a=b"),
        (Buffer::HttpServer, ToClient, "s"),
        (Buffer::HttpResponseBody, ToClient, "hello"),
        (Buffer::FileData, ToClient, "hello"),
        (Buffer::FileName, ToClient, "/a/b"),
    ];
    for (name, direction, contents) in table {
        assert_eq!(of(&parser, *name, *direction).as_deref(), Some(*contents), "{name:?}");
    }
    let raw = String::from_utf8_lossy(&GET[b"GET /a/%62?c=d HTTP/1.1\r\n".len()..]).into_owned();
    assert_eq!(of(&parser, Buffer::HttpHeaderRaw, ToServer), Some(raw));
    let start = String::from_utf8_lossy(GET).into_owned();
    assert_eq!(of(&parser, Buffer::HttpStart, ToServer), Some(start));
    for absent in [Buffer::HttpReferer, Buffer::HttpRequestBody, Buffer::FileData, Buffer::HttpContentType] {
        assert_eq!(of(&parser, absent, ToServer), None, "{absent:?}");
    }
    let exchange = parser.transactions()[0];
    assert_eq!(buffer(exchange, Buffer::HttpRequestHeader, ToServer, 3).as_deref(), Some("Accept: */*"));
    assert_eq!(buffer(exchange, Buffer::HttpRequestHeader, ToServer, 4), None);
    assert_eq!(buffer(exchange, Buffer::HttpUri, ToServer, 1), None);
    assert!(exchange.is_complete(ToServer) && exchange.is_complete(ToClient));
}

#[test]
fn what_is_told_is_what_suricata_tells() {
    let parser = exchanged(GET, OK);
    let exchange = parser.transactions()[0];
    let records = exchange.records();
    let expected = serde_json::json!({
        "hostname": "www.example.com", "http_port": 8080, "url": "/a/%62?c=d", "http_user_agent": "x/1",
        "http_content_type": "text/plain", "http_method": "GET", "protocol": "HTTP/1.1", "status": 200, "length": 5,
    });
    assert_eq!(records[0].json(), expected);
    assert_eq!((records.len(), records[1].event_type), (2, "fileinfo"));
    assert_eq!(records[1].json()["filename"], "/a/b");
    assert_eq!(records[1].json()["size"], 5);
    assert_eq!(exchange.beside(&records[1], &records), [records[0].clone()]);
    assert!(exchange.beside(&records[0], &records).is_empty());
}

#[test]
fn a_part_of_a_file_has_its_place() {
    let part = |range: &str| {
        let response = format!("HTTP/1.1 206 Partial\r\nContent-Range: {range}\r\nContent-Length: 5\r\n\r\nhello");
        let told = exchanged(GET, response.as_bytes()).transactions()[0].records().remove(1).json();
        (told.get("start").cloned(), told.get("end").cloned())
    };
    assert_eq!(part("bytes 5-9/20"), (Some(5.into()), Some(9.into())));
    for range in ["bytes 5-9/*", "bytes 9-5/20", "bytes 5-9/7", "bytes */20", "odd"] {
        assert_eq!(part(range), (None, None), "{range}");
    }
}

#[test]
fn nobody_is_asked_to_connect_to_a_path() {
    let parser =
        exchanged(b"CONNECT / HTTP/1.1\r\nUser-Agent: x\r\n\r\n", b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(of(&parser, Buffer::HttpHost, Direction::ToServer), None);
    assert!(events(&parser, 0).contains(&"request_uri_host_invalid"));
    assert_eq!(http(&parser, 0)["url"], "/");
}

#[test]
fn more_is_told_of_where_more_was_said() {
    let request = b"GET http://h/x HTTP/1.0\r\nReferer: r\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
    let response = b"HTTP/1.0 20x Odd\r\nLocation: l\xff\r\nContent-Range: bytes 0-4/*\r\nContent-Length: 0\r\n\r\n";
    let told = http(&exchanged(request, response), 0);
    let expected = serde_json::json!({
        "hostname": "h", "url": "http://h/x", "xff": "1.2.3.4", "http_refer": "r", "http_method": "GET", "protocol": "HTTP/1.0",
        "status_string": "20x", "redirect": "l\\xff", "content_range": {"raw": "bytes 0-4/*", "start": 0, "end": 4}, "length": 0,
    });
    assert_eq!(told, expected);
}

#[test]
fn what_is_not_there_yet_may_come() {
    use Direction::{ToClient, ToServer};
    let parser = heard(&[(ToServer, &GET[..40])]);
    assert_eq!(of(&parser, Buffer::HttpMethod, ToServer).as_deref(), Some("GET"));
    for pending in [Buffer::HttpHeader, Buffer::HttpHost, Buffer::HttpRequestBody, Buffer::FileData] {
        assert_eq!(of(&parser, pending, ToServer).as_deref(), Some("?"), "{pending:?}");
    }
    assert_eq!(of(&parser, Buffer::HttpStatCode, ToClient).as_deref(), Some("?"));
    let parser = exchanged(GET, &OK[..OK.len() - 2]);
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("hel..."));
    assert!(!parser.transactions()[0].is_complete(ToClient));
    let parser = ended(parser);
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("hel"));
    assert!(parser.is_opaque());
}

#[test]
fn a_revision_says_that_something_has_changed() {
    let mut parser = Http1::new(Limits::default());
    let mut last = [0, 0];
    for byte in GET {
        parser.hear(Direction::ToServer, &[*byte]);
    }
    for byte in &OK[OK.len() - 5..] {
        if last[1] == 0 {
            parser.hear(Direction::ToClient, &OK[..OK.len() - 5]);
        }
        parser.hear(Direction::ToClient, &[*byte]);
        let now = [Direction::ToServer, Direction::ToClient].map(|way| parser.transactions()[0].revision(way));
        assert!(now[0] > 0 && now[0] >= last[0] && now[1] > last[1]);
        last = now;
    }
}

#[test]
fn what_is_forgotten_is_gone() {
    let mut parser = exchanged(&[GET, GET].concat(), OK);
    assert_eq!(parser.transactions().len(), 2);
    let before = parser.footprint();
    parser.forget(0);
    assert!(parser.footprint() < before);
    parser.hear(Direction::ToClient, b"HTTP/1.1 404 No\r\n\r\n");
    assert_eq!(parser.transactions().len(), 1);
    assert_eq!(http(&parser, 0)["status"], 404);
}
