//! Where messages begin and end.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;
use Direction::{ToClient, ToServer};

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let requests = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: h\r\n\r\nPOST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nabGET /4 HTTP/1.1\r\nHost: h\r\n\r\n";
    let responses = b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 304 Not\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let parser = exchanged(requests, responses);
    let told: Vec<_> =
        (0..4).map(|at| http(&parser, at)).map(|told| (told["url"].clone(), told["status"].clone())).collect();
    assert_eq!(serde_json::json!(told), serde_json::json!([["/1", 204], ["/2", 200], ["/3", 304], ["/4", 200]]));
    assert!((0..4).all(|at| events(&parser, at).is_empty()));
    assert_eq!(buffer(parser.transactions()[2], Buffer::HttpRequestBody, ToServer, 0).as_deref(), Some("ab"));
    assert_eq!(buffer(parser.transactions()[3], Buffer::FileData, ToClient, 0).as_deref(), Some("x"));
}

#[test]
fn an_interim_response_is_none() {
    let request = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut parser = exchanged(request, b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n");
    parser.hear(ToServer, b"ab");
    parser.hear(ToClient, OK);
    assert_eq!(parser.transactions().len(), 1);
    assert_eq!(http(&parser, 0)["status"], 200);
    assert_eq!(of(&parser, Buffer::HttpServer, ToClient).as_deref(), Some("s"));
    assert!(!of(&parser, Buffer::HttpHeader, ToClient).unwrap().contains("X: y"));
    assert_eq!(events(&parser, 0), [""; 0]);
}

#[test]
fn what_follows_connect_or_an_upgrade_is_not_http() {
    let cases: [(&[u8], &[u8], bool); 4] = [
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", true),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
            true,
        ),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
    ];
    for (request, response, opaque) in cases {
        let mut parser = exchanged(request, response);
        assert_eq!(parser.is_opaque(), opaque, "{}", request.escape_ascii());
        parser.hear(ToServer, GET);
        parser.hear(ToClient, OK);
        assert_eq!(parser.transactions().len(), if opaque { 1 } else { 2 });
    }
}

#[test]
fn what_a_client_says_before_connect_is_refused_is_read() {
    let connect = b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n";
    let parser = exchanged(&[connect, GET].concat(), b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(http(&parser, 1)["http_method"], "GET");
    assert_eq!(http(&parser, 0)["hostname"], "h");
    assert_eq!(http(&parser, 0)["http_port"], 443);
}

#[test]
fn bodies_are_taken_out_of_chunks_and_unpacked() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(b"what was packed").unwrap();
    let packed = packed.finish().unwrap();
    let mut response = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in packed.chunks(7) {
        response.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        response.extend_from_slice(piece);
        response.extend_from_slice(b"\r\n");
    }
    response.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
    let parser = exchanged(GET, &response);
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("what was packed"));
    assert!(of(&parser, Buffer::HttpHeader, ToClient).unwrap().ends_with("X-Trailer: t\r\n"));
    assert!(parser.transactions()[0].is_complete(ToClient));
    assert_eq!(events(&parser, 0), [""; 0]);
    let file = parser.transactions()[0].file(ToClient, 0).unwrap();
    assert_eq!((file.size, file.complete), (15, true));
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let parser = exchanged(GET, b"HTTP/1.1 200 OK\r\n\r\nsome");
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("some..."));
    assert_eq!(of(&ended(parser), Buffer::FileData, ToClient).as_deref(), Some("some"));
}

#[test]
fn files_are_named_by_those_who_send_them() {
    let response =
        b"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"e.txt\"\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(of(&exchanged(GET, response), Buffer::FileName, ToClient).as_deref(), Some("e.txt"));
    let put = b"PUT /up/load HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let parser = heard(&[(ToServer, put)]);
    assert_eq!(of(&parser, Buffer::FileName, ToServer).as_deref(), Some("/up/load"));
    assert_eq!(of(&parser, Buffer::FileData, ToServer).as_deref(), Some("abc"));
    let body = "--b\r\nContent-Disposition: form-data; name=\"n\"; filename=\"m.bin\"\r\n\r\n123\r\n--b\r\nContent-Disposition: form-data; filename=\"o\"\r\n\r\n45\r\n--b--\r\n";
    let post = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let parser = heard(&[(ToServer, post.as_bytes())]);
    let exchange = parser.transactions()[0];
    let file =
        |at| (buffer(exchange, Buffer::FileName, ToServer, at), buffer(exchange, Buffer::FileData, ToServer, at));
    assert_eq!(file(0), (Some("m.bin".to_owned()), Some("123".to_owned())));
    assert_eq!(file(1), (Some("o".to_owned()), Some("45".to_owned())));
    assert_eq!(file(2), (None, None));
    assert_eq!(of(&parser, Buffer::HttpRequestBody, ToServer).as_deref(), Some(body));
}

#[test]
fn an_old_request_has_no_fields_and_neither_has_its_response() {
    let parser = exchanged(b"GET /old\r\n", b"HTTP/1.1 or not, content");
    assert_eq!(of(&parser, Buffer::HttpUri, ToServer).as_deref(), Some("/old"));
    assert_eq!(of(&parser, Buffer::HttpProtocol, ToServer), None);
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("HTTP/1.1 or not, content..."));
    let parser = exchanged(b"GET /new\r\nHost: h\r\n\r\n", OK);
    assert_eq!(events(&parser, 0), ["request_line_missing_protocol"]);
    assert_eq!(http(&parser, 0)["hostname"], "h");
    assert_eq!(http(&parser, 0)["status"], 200);
}

#[test]
fn a_response_that_nobody_asked_for_is_read() {
    let parser = heard(&[(ToClient, OK)]);
    assert_eq!(events(&parser, 0), ["unable_to_match_response_to_request"]);
    assert_eq!(http(&parser, 0)["url"], "/libhtp::request_uri_not_seen");
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("hello"));
}

#[test]
fn requests_without_responses_are_told_of_at_the_end() {
    let parser = ended(heard(&[(ToServer, &[GET, GET, &GET[..30]].concat())]));
    assert_eq!(parser.transactions().len(), 3);
    assert!(
        parser.transactions().iter().all(|exchange| exchange.is_complete(ToServer) && exchange.is_complete(ToClient))
    );
}

#[test]
fn content_without_a_first_line_is_content() {
    let parser = ended(exchanged(GET, b"nothing but content\r\nin lines"));
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("nothing but content\r\nin lines"));
    // what stands before a first line is left out
    let parser = exchanged(GET, b"junk\r\nHTTP/1.1 200 OK\r\nServer: s\r\n");
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("?"));
    let parser = exchanged(GET, &[b"junk\r\n\r\n\r", OK].concat());
    assert_eq!(of(&parser, Buffer::FileData, ToClient).as_deref(), Some("hello"));
}

#[test]
fn missing_bytes_are_gaps() {
    let mut parser = exchanged(GET, &OK[..OK.len() - 4]);
    parser.lost(ToClient, 2);
    parser.hear(ToClient, b"lo");
    parser.hear(ToServer, GET);
    parser.hear(ToClient, OK);
    let records = parser.transactions()[0].records();
    assert_eq!(records[1].json()["state"], "TRUNCATED");
    assert_eq!((&records[1].json()["size"], &records[1].json()["gaps"]), (&5.into(), &true.into()));
    assert_eq!(parser.transactions()[1].records()[1].json()["state"], "CLOSED");
    // in a header section
    let mut parser = exchanged(GET, &OK[..40]);
    parser.lost(ToClient, 100);
    parser.hear(ToServer, GET);
    parser.hear(ToClient, OK);
    assert_eq!(http(&parser, 1)["status"], 200);
    assert!(parser.transactions()[0].is_complete(ToClient));
}

#[test]
fn what_comes_behind_a_gap_may_be_anything() {
    let mut parser = Http1::new(Limits::default());
    parser.hear(ToServer, GET);
    parser.hear(ToClient, b"HTTP/1.1 200 OK\r\nContent-Le");
    parser.lost(ToClient, 1000);
    for _ in 0..3 {
        parser.hear(ToClient, b"what a body says");
    }
    assert_eq!(parser.transactions().len(), 1);
    parser.lost(ToServer, 1000);
    parser.hear(ToServer, b"what a body says\r\n");
    parser.hear(ToServer, GET);
    parser.hear(ToClient, OK);
    assert_eq!(parser.transactions().len(), 2);
    assert_eq!(http(&parser, 1)["status"], 200);
}

#[test]
fn memory_is_bounded() {
    let limits =
        Limits { body: [100, 100], header: 1000, transactions: 4, layers: 2, digests: u64::MAX, certificates: false };
    let mut parser = Http1::new(limits);
    for _ in 0..100 {
        parser.hear(ToServer, b"GET /aaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    assert!(parser.transactions().len() <= 5);
    parser.hear(ToClient, b"HTTP/1.1 200 OK\r\n\r\n");
    (0..1000).for_each(|_| parser.hear(ToClient, &[b'x'; 1000]));
    assert_eq!(of(&parser, Buffer::FileData, ToClient), Some("x".repeat(100) + "..."));
    (0..1000).for_each(|_| parser.hear(ToServer, &[b'x'; 1000]));
    assert!(parser.footprint() < 20_000, "{}", parser.footprint());
    // what is still said of a pair that had to make room is read to its end
    (0..1000).for_each(|_| parser.hear(ToClient, &[b'x'; 1000]));
    assert!(parser.footprint() < 20_000, "{}", parser.footprint());
}
