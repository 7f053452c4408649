//! What is said in the conversations: a page, a name, a handshake.

use std::iter;

use dropgate::protocol::Direction::{self, ToClient, ToServer};

type Said = Vec<(Direction, Vec<u8>)>;

/// Bytes of the page that is asked for.
const PAGE: usize = 2048;

/// So many requests on one connection, each answered with a page of text.
pub fn requests(count: usize) -> Said {
    let body = text(PAGE);
    let turn = |number: usize| {
        let request = format!(
            "GET /catalogue/items/{number}?sort=price&page=2 HTTP/1.1\r\nHost: shop.example.test\r\nUser-Agent: Mozilla/5.0 \
             (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n\
             Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\nReferer: http://shop.example.test/catalogue\r\n\
             Cookie: session=4f1d6c2ba9e37d50; seen=1\r\nConnection: keep-alive\r\n\r\n"
        );
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\n\
             Content-Length: {PAGE}\r\nConnection: keep-alive\r\nCache-Control: max-age=60\r\n\r\n"
        )
        .into_bytes();
        answer.extend(&body);
        [(ToServer, request.into_bytes()), (ToClient, answer)]
    };
    (0..count).flat_map(turn).collect()
}

/// The same as a load generator and a server say it that say as little as they can: a line as the page.
pub fn short_requests(count: usize) -> Said {
    let request = b"GET / HTTP/1.1\r\nHost: 203.0.113.9\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Type: text/html\r\n\
        Content-Length: 16\r\nLast-Modified: Sun, 22 Nov 2026 11:59:00 GMT\r\nConnection: keep-alive\r\n\
        ETag: \"6921a7c4-10\"\r\nAccept-Ranges: bytes\r\n\r\n";
    let turn = [(ToServer, request.to_vec()), (ToClient, answer.to_vec()), (ToClient, b"this is servers\n".to_vec())];
    iter::repeat_n(turn, count).flatten().collect()
}

/// So many names asked for and answered on one flow.
pub fn queries(count: usize) -> Said {
    let turn = |number: usize| {
        let name = format!("cdn{number}");
        let mut question = Vec::new();
        for label in [name.as_str(), "images", "shop", "example", "test"] {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        let header = |flags: [u8; 2], answers: u8| {
            [&(number as u16).to_be_bytes()[..], &flags, &[0, 1, 0, answers, 0, 0, 0, 0]].concat()
        };
        let query = [header([1, 0], 0), question.clone()].concat();
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 7];
        let answer = [header([0x81, 0x80], 1), question, record.to_vec()].concat();
        [(ToServer, query), (ToClient, answer)]
    };
    (0..count).flat_map(turn).collect()
}

/// A TLS 1.2 handshake with a certificate, up to the first data.
pub fn handshake() -> Said {
    let hello = message(1, &[client_version(), extensions(true)].concat());
    let server = [&[3, 3][..], &[0x77; 32], &[0], &[0xc0, 0x2f, 0], &extensions(false)].concat();
    let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
    let chain = sized(&sized(CERTIFICATE));
    let answer = [message(2, &server), message(11, &chain), message(14, &[])].concat();
    let keys = [record(22, &message(16, &[7; 33])), record(20, &[1]), record(22, &[9; 40])].concat();
    let over = [record(20, &[1]), record(22, &[9; 40]), record(23, &[5; 200])].concat();
    vec![(ToServer, record(22, &hello)), (ToClient, record(22, &answer)), (ToServer, keys), (ToClient, over)]
}

/// Ours, self-signed for `gateway.example`.
const CERTIFICATE: &[u8] = include_bytes!("../../../userspace/src/app/tls/sample.der");

fn client_version() -> Vec<u8> {
    let suites: Vec<u8> = [0x1301_u16, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030].map(u16::to_be_bytes).concat();
    [&[3, 3][..], &[0x5a; 32], &[0], &vector(&suites), &[1, 0]].concat()
}

fn extensions(client: bool) -> Vec<u8> {
    let name = [&[0][..], &vector(b"shop.example.test")].concat();
    let mut all = vec![extension(16, &vector(b"\x08http/1.1"))];
    if client {
        all.push(extension(0, &vector(&name)));
        all.push(extension(10, &vector(&[0, 29, 0, 23])));
        all.push(extension(11, &[1, 0]));
        all.push(extension(13, &vector(&[4, 3, 8, 4])));
    }
    vector(&all.concat())
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(body)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &vector(body)].concat()
}

/// A page of words.
pub fn text(len: usize) -> Vec<u8> {
    let words = b"<p>The quick brown fox jumps over the lazy dog, and then some more of the same follows: prices, dates, names. </p>\n";
    words.iter().copied().cycle().take(len).collect()
}

/// What looks like nothing: encrypted.
pub fn sealed(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}
