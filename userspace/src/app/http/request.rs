//! What clients say.

use dropgate_signatures::subject::Direction;

use super::{
    header::{End, Side, Taken, is_space, number},
    line::{RequestLine, Version, is_method},
    message::{Progress, packings},
    multipart::Multipart,
    pair::Pair,
    trouble,
    uri::{Uri, host_and_port, is_host, port},
};
use crate::app::{
    Limits,
    body::chunked::{Chunked, Piece},
};

/// Bytes of a line or a field that Suricata calls too long.
pub const LONG: usize = 18_000;

/// Where a client is.
#[derive(Debug, Default)]
pub enum State {
    /// Before, or in, a first line.
    #[default]
    Line,
    /// Behind a first line that names no protocol.
    Nameless,
    Headers(End),
    Length(u64),
    Chunked(Box<Chunked>),
    Trailers(End),
    /// To the end.
    Rest,
    /// Behind a request, whose response has not begun, of the same feed.
    Behind,
    /// Behind CONNECT, until the server has agreed.
    Tunnel,
    /// Nothing that follows is read.
    Over,
}

/// A client.
#[derive(Debug, Default)]
pub struct Client {
    pub state: State,
    /// What was said of a line or a section that is not all there.
    pub held: Vec<u8>,
    /// The request that is being said.
    pub current: u64,
    /// Bytes are missing before what follows: who knows what that is, unless it begins as a request does.
    pub gapped: bool,
}

impl Client {
    /// The next bytes; gives how many were used.
    pub fn step(&mut self, said: &[u8], pair: &mut Pair, limits: &Limits) -> usize {
        match &mut self.state {
            State::Line => self.line(said, pair, limits),
            State::Nameless => {
                // white space may follow a request without a protocol; anything else makes it one that forgot it
                let blank = said.iter().take_while(|byte| is_space(**byte)).count();
                if blank < said.len() {
                    pair.notice("request_line_missing_protocol");
                    self.state = State::Headers(End::default());
                    return 0;
                }
                blank
            }
            State::Headers(_) | State::Trailers(_) => self.section(said, pair, limits, false),
            State::Length(left) => {
                let length = said.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                let over = *left == 0;
                trouble(pair, Direction::ToServer, |message| message.push(&said[..length], limits));
                if over {
                    self.complete(pair, limits);
                }
                length
            }
            State::Chunked(chunked) => {
                let (used, piece) = chunked.next(said);
                match piece {
                    Piece::Content(content) => {
                        trouble(pair, Direction::ToServer, |message| message.push(content, limits));
                        return used;
                    }
                    Piece::Frame => {
                        pair.request.length += used as u64;
                        return used;
                    }
                    Piece::Last | Piece::Broken(_) => {}
                }
                let broken = match piece {
                    Piece::Broken(held) => Some(held.to_vec()),
                    _ => None,
                };
                pair.request.length += used as u64;
                if chunked.extended {
                    pair.notice("request_chunk_extension");
                }
                if let Some(held) = broken {
                    pair.notice("invalid_request_chunk_len");
                    trouble(pair, Direction::ToServer, |message| message.push(&held, limits));
                    self.state = State::Rest;
                } else {
                    self.state = State::Trailers(End::default());
                }
                used
            }
            State::Rest => {
                trouble(pair, Direction::ToServer, |message| message.push(said, limits));
                said.len()
            }
            State::Behind => self.behind(said, pair, limits),
            State::Tunnel => {
                let room = limits.header.saturating_sub(self.held.len());
                self.held.extend_from_slice(&said[..said.len().min(room)]);
                said.len()
            }
            State::Over => said.len(),
        }
    }

    /// A first line.
    fn line(&mut self, said: &[u8], pair: &mut Pair, limits: &Limits) -> usize {
        let end = memchr::memchr(b'\n', said).map(|end| end + 1);
        let used = end.unwrap_or(said.len());
        let room = limits.header.saturating_sub(self.held.len());
        self.held.extend_from_slice(&said[..used.min(room)]);
        if self.held.len() > LONG {
            pair.notice("request_field_too_long");
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.held);
            self.begin(&line, pair);
        }
        used
    }

    /// A first line that is all there.
    fn begin(&mut self, line: &[u8], pair: &mut Pair) {
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        // blank lines before a request say nothing
        if end == 0 || (line.len() == 2 && is_space(line[0])) {
            return;
        }
        let mut read = RequestLine::read(&line[..end]);
        for event in std::mem::take(&mut read.events) {
            pair.notice(event);
        }
        if let Some(target) = &read.target {
            pair.uri = if read.method == b"CONNECT" { Uri::connect(target) } else { Uri::read(target) };
            let nowhere = read.method == b"CONNECT" && pair.uri.host.is_none();
            if nowhere || pair.uri.is_bad_port() || pair.uri.host.as_deref().is_some_and(|host| !is_host(host)) {
                pair.notice("request_uri_host_invalid");
            }
        }
        self.state = if read.protocol.is_none() { State::Nameless } else { State::Headers(End::default()) };
        pair.request_line = read;
        pair.request.advance(Progress::Headers);
    }

    /// A header section, or trailers.
    fn section(&mut self, said: &[u8], pair: &mut Pair, limits: &Limits, last: bool) -> usize {
        let (State::Headers(end) | State::Trailers(end)) = &mut self.state else { return said.len() };
        let Taken { used, section, known } = end.take(&mut self.held, said, Side::Request, last, limits.header);
        if known > LONG {
            pair.notice("request_field_too_long");
        }
        let Some(section) = section else { return used };
        let mut events = Vec::new();
        pair.request.headers.read(&section, Side::Request, &mut |oddity| events.push(super::request_event(oddity)));
        events.into_iter().for_each(|event| pair.notice(event));
        if matches!(self.state, State::Trailers(_)) {
            pair.request.length += section.len() as u64;
            self.complete(pair, limits);
        } else {
            self.described(pair, limits);
        }
        used
    }

    /// All fields are there: what follows?
    fn described(&mut self, pair: &mut Pair, limits: &Limits) {
        host(pair);
        let headers = &pair.request.headers;
        let chunked = headers.get("transfer-encoding").map(|value| {
            let lower: Vec<u8> = value.iter().filter(|byte| **byte != 0).map(u8::to_ascii_lowercase).collect();
            memchr::memmem::find(&lower, b"chunked").is_some()
        });
        let length = headers.get("content-length").map(number);
        let authorization = headers.get("authorization").map(<[u8]>::to_ascii_lowercase);
        let (packings, events) = packings(headers.get("content-encoding").unwrap_or_default(), limits.layers);
        let multipart = headers.get("content-type").and_then(Multipart::new);
        events.into_iter().for_each(|event| pair.notice(event));
        let known = [&b"basic"[..], b"digest", b"bearer"];
        if authorization.is_some_and(|value| !known.iter().any(|kind| value.starts_with(kind))) {
            pair.notice("request_auth_unrecognized");
        }
        let old = pair.request_line.version < Version::V11;
        self.state = match (chunked, length) {
            (Some(true), _) => {
                if old {
                    pair.notice("invalid_transfer_encoding_value_in_request");
                }
                State::Chunked(Box::default())
            }
            (Some(false), _) => {
                pair.notice("invalid_transfer_encoding_value_in_request");
                State::Behind
            }
            (None, Some(None)) => {
                pair.notice("invalid_content_length_field_in_request");
                State::Behind
            }
            (None, Some(Some(0)) | None) => State::Behind,
            (None, Some(Some(length))) => State::Length(length),
        };
        let method = &pair.request_line.method;
        if method == b"CONNECT" {
            self.state = State::Tunnel;
        }
        pair.request.expect(limits.body[0], &packings);
        if let (b"POST", Some(multipart)) = (&method[..], multipart) {
            pair.request.is_multipart(multipart);
        } else if matches!(&method[..], b"POST" | b"PUT") {
            let name = pair.uri.path.clone().unwrap_or_default();
            pair.request.is_file(&name, limits);
        }
        pair.request.advance(Progress::Body);
        if matches!(self.state, State::Behind | State::Tunnel) {
            trouble(pair, Direction::ToServer, |message| message.finish(true, limits));
        }
    }

    /// Behind a request, of the same feed: another one, or what nobody asked for.
    fn behind(&mut self, said: &[u8], pair: &mut Pair, limits: &Limits) -> usize {
        let end = memchr::memchr(b'\n', said).map_or(said.len(), |end| end + 1);
        let line = &said[..end];
        let start = line.iter().position(|byte| !is_space(*byte)).unwrap_or(line.len());
        let method = &line[start..];
        let method = &method[..method.iter().position(|byte| is_space(*byte)).unwrap_or(method.len())];
        if method.is_empty() {
            return end;
        }
        let begins = method.len() == line.len() - start && method.len() < 16;
        if is_method(method) || begins {
            self.state = State::Line;
            return 0;
        }
        pair.notice("request_body_unexpected");
        trouble(pair, Direction::ToServer, |message| message.push(line, limits));
        end
    }

    fn complete(&mut self, pair: &mut Pair, limits: &Limits) {
        self.state = State::Behind;
        trouble(pair, Direction::ToServer, |message| message.finish(true, limits));
    }

    /// Nothing more is said, or nothing more of this request: what was not complete is.
    pub fn end(&mut self, pair: &mut Pair, limits: &Limits) {
        match self.state {
            State::Line if !self.held.is_empty() => {
                pair.notice("request_line_incomplete");
                let line = std::mem::take(&mut self.held);
                self.begin(&line, pair);
            }
            State::Headers(_) | State::Trailers(_) => {
                self.section(b"", pair, limits, true);
            }
            _ => {}
        }
        if pair.request.progress != Progress::Complete && pair.is_known() {
            if pair.request.progress < Progress::Body {
                pair.request.expect(0, &[]);
                pair.request.advance(Progress::Body);
            }
            trouble(pair, Direction::ToServer, |message| message.finish(true, limits));
        }
        self.state = State::Over;
    }
}

/// The host that a request goes to, by its target or else by `Host`.
fn host(pair: &mut Pair) {
    pair.host = pair.uri.host.clone();
    pair.port = pair.uri.port.as_deref().and_then(port);
    let Some(value) = pair.request.headers.get("host").map(<[u8]>::to_vec) else {
        if pair.request_line.version >= Version::V11 {
            pair.notice("missing_host_header");
        }
        return;
    };
    let (name, digits) = host_and_port(&value);
    let number = digits.map(port);
    if !is_host(name) || number == Some(None) {
        pair.notice("request_header_host_invalid");
    }
    match &pair.host {
        None => {
            pair.host = Some(name.to_ascii_lowercase());
            pair.port = number.flatten();
        }
        Some(host) => {
            let other = !host.eq_ignore_ascii_case(name);
            if other || (digits.is_some() && pair.port.is_some() && number.flatten() != pair.port) {
                pair.notice("host_header_ambiguous");
            }
        }
    }
}
