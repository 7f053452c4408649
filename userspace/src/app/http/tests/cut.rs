//! However the bytes arrive, the same comes of them; and whatever they are, nothing breaks.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// All that can be seen of a connection: buffers, events and records.
fn seen(parser: &Http1) -> String {
    let mut text = String::new();
    for exchange in parser.transactions() {
        for way in [Direction::ToServer, Direction::ToClient] {
            for name in
                Buffer::ALL.iter().filter(|name| name.name().starts_with("http.") || name.name().starts_with("file."))
            {
                for instance in 0..3 {
                    let _ = writeln!(text, "{name:?} {:?}", buffer(exchange, *name, way, instance));
                }
            }
            let _ = writeln!(text, "{}", exchange.is_complete(way));
        }
        let _ = writeln!(text, "{:?} {:?}", exchange.events(), exchange.records());
    }
    text
}

/// A connection of which both sides' bytes arrive in such pieces.
fn cut(requests: &[u8], responses: &[u8], pieces: &[usize], end: bool) -> String {
    let mut parser = Http1::new(Limits::default());
    for (way, said) in [(Direction::ToServer, requests), (Direction::ToClient, responses)] {
        let mut rest = said;
        let mut lengths = pieces.iter().cycle();
        while !rest.is_empty() {
            let length = lengths.next().map_or(rest.len(), |length| rest.len().min(*length));
            parser.hear(way, &rest[..length]);
            rest = &rest[length..];
        }
    }
    seen(&if end { ended(parser) } else { parser })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET /%41 HTTP/1.1",
        "PATCH /b HTTP/1.0",
        "OPTIONS * HTTP/1.1",
        "GET  /c\t HTTP/1.1",
    ]);
    let field = prop::sample::select(vec!["A: b\r\n", "Host: h\n", "A:c\r\n d\r\n", "junk\r\n", "Cookie: e\r\n"]);
    let body = prop::sample::select(vec![
        "\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nT: u\r\n\r\n",
    ]);
    let multipart = "--x\r\nContent-Disposition: form-data; filename=\"f\"\r\n\r\ncontent\r\n--x--\r\n";
    let post = prop::sample::select(vec![
        format!(
            "POST /p HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n{multipart}",
            multipart.len()
        ),
        "POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
    ]);
    prop_oneof![
        3 => (line, prop::collection::vec(field, 0..4), body)
            .prop_map(|(line, fields, body)| format!("{line}\r\n{}{body}", fields.concat()).into_bytes()),
        1 => post.prop_map(String::into_bytes),
    ]
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 404 Not\n",
        "http/1.1 500 \r\n",
        "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n",
    ]);
    let field =
        prop::sample::select(vec!["A: b\r\n", "Set-Cookie: h\n", "A:c\r\n d\r\n", "junk\r\n", "C: d\n\r", "E: f\r"]);
    let body = prop::sample::select(vec![
        "Content-Length: 0\r\n\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nT: u\r\n\r\n",
    ]);
    (line, prop::collection::vec(field, 0..4), body)
        .prop_map(|(line, fields, body)| format!("{line}{}{body}", fields.concat()).into_bytes())
}

proptest! {
    #[test]
    fn cut_anywhere_it_is_the_same(
        requests in prop::collection::vec(request(), 1..4),
        responses in prop::collection::vec(response(), 0..4),
        pieces in prop::collection::vec(1usize..40, 1..8),
        end: bool,
    ) {
        let (requests, responses) = (requests.concat(), responses.concat());
        let whole = cut(&requests, &responses, &[usize::MAX], end);
        prop_assert_eq!(&cut(&requests, &responses, &pieces, end), &whole);
        prop_assert_eq!(&cut(&requests, &responses, &[1], end), &whole);
    }

    #[test]
    fn whatever_is_said_nothing_breaks(
        said in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60), any::<prop::sample::Index>()), 0..20)
    ) {
        let pieces: [&[u8]; 6] = [b"GET / HTTP/1.1\r\n", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 9\r\n", b"5\r\n"];
        let mut parser = Http1::new(Limits::default());
        for (server, bytes, piece) in said {
            let way = if server { Direction::ToClient } else { Direction::ToServer };
            match bytes.first() {
                Some(0) => parser.lost(way, 5),
                _ => parser.hear(way, &[*piece.get(&pieces), &bytes[..]].concat()),
            }
            seen(&parser);
        }
        let parser = ended(parser);
        seen(&parser);
        for exchange in parser.transactions() {
            prop_assert!(exchange.is_complete(Direction::ToServer) && exchange.is_complete(Direction::ToClient));
        }
    }
}

#[test]
fn it_may_break_off_anywhere() {
    for end in 0..=GET.len() {
        let parser = ended(heard(&[(Direction::ToServer, &GET[..end])]));
        assert!(parser.transactions().len() <= 1);
        assert!(parser.transactions().iter().all(|exchange| exchange.is_complete(Direction::ToServer)));
    }
    for end in 0..=OK.len() {
        let parser = ended(exchanged(GET, &OK[..end]));
        assert!(parser.transactions()[0].is_complete(Direction::ToClient));
    }
}
