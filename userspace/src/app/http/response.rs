//! What servers say.

use dropgate_signatures::subject::Direction;

use super::{
    header::{End, Side, Taken, number},
    line::{ResponseLine, Version, is_response},
    message::{Progress, packings},
    multipart::parameter,
    pair::Pair,
    record,
    request::LONG,
    trouble,
};
use crate::app::{
    Limits,
    body::chunked::{Chunked, Piece},
};

/// Where a server is.
#[derive(Debug, Default)]
pub enum State {
    /// Before, or in, a first line.
    #[default]
    Line,
    Headers(End),
    Length(u64),
    Chunked(Box<Chunked>),
    Trailers(End),
    /// To the end.
    Rest,
    /// Behind a response, of the same feed.
    Behind,
    /// Nothing that follows is HTTP.
    Over,
}

/// A server.
#[derive(Debug, Default)]
pub struct Server {
    pub state: State,
    /// What was said of a line or a section that is not all there.
    pub held: Vec<u8>,
    /// The request that is being answered.
    pub current: Option<u64>,
    /// What follows is another protocol.
    pub switched: bool,
    /// Bytes are missing before what follows: who knows what that is, unless it begins as an answer does.
    pub gapped: bool,
}

impl Server {
    /// The next bytes; gives how many were used.
    pub fn step(&mut self, said: &[u8], pair: &mut Pair, limits: &Limits) -> usize {
        match &mut self.state {
            State::Line => self.line(said, pair, limits),
            State::Headers(_) | State::Trailers(_) => self.section(said, pair, limits, false),
            State::Length(left) => {
                let length = said.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                let over = *left == 0;
                trouble(pair, Direction::ToClient, |message| message.push(&said[..length], limits));
                if over {
                    self.complete(pair, limits);
                }
                length
            }
            State::Chunked(chunked) => {
                let (used, piece) = chunked.next(said);
                let mut broken = None;
                match piece {
                    Piece::Content(content) => {
                        trouble(pair, Direction::ToClient, |message| message.push(content, limits));
                        return used;
                    }
                    Piece::Frame => {
                        pair.response.length += used as u64;
                        return used;
                    }
                    Piece::Broken(held) => broken = Some(held.to_vec()),
                    Piece::Last => {}
                }
                pair.response.length += used as u64;
                if chunked.extended {
                    pair.notice("response_chunk_extension");
                }
                self.state = State::Trailers(End::default());
                if let Some(held) = broken {
                    pair.notice("invalid_response_chunk_len");
                    trouble(pair, Direction::ToClient, |message| message.push(&held, limits));
                    self.state = State::Rest;
                }
                used
            }
            State::Rest => {
                trouble(pair, Direction::ToClient, |message| message.push(said, limits));
                said.len()
            }
            State::Behind => {
                let end = memchr::memchr(b'\n', said).map_or(said.len(), |end| end + 1);
                let line = &said[..end];
                if is_response(line) || (line.len() < 4 && b"http".starts_with(&line.to_ascii_lowercase())) {
                    self.state = State::Line;
                    self.current = None;
                    return 0;
                }
                if !line.iter().all(u8::is_ascii_whitespace) {
                    pair.notice("response_body_unexpected");
                }
                trouble(pair, Direction::ToClient, |message| message.push(line, limits));
                end
            }
            State::Over => said.len(),
        }
    }

    /// A first line, or what browsers take for content where there is none.
    fn line(&mut self, said: &[u8], pair: &mut Pair, limits: &Limits) -> usize {
        let known = self.held.len();
        if known > 0 {
            self.held.extend_from_slice(said);
        }
        // most come in one piece, which need not be copied
        let so_far = if known == 0 { said } else { &self.held };
        // a line end, and the byte behind it
        let found = memchr::memchr2(b'\r', b'\n', &so_far[known.saturating_sub(2)..]);
        let end = found.map(|at| known.saturating_sub(2) + at);
        let whole = end.and_then(|end| match so_far[end..] {
            [b'\r', b'\n', _, ..] => Some(end + 2),
            [b'\r', b'\n'] | [_] => None,
            _ => Some(end + 1),
        });
        if so_far.len() > LONG && end.is_none() {
            pair.notice("response_field_too_long");
        }
        let begins = is_response(so_far);
        let whole = match (whole, end) {
            (Some(whole), _) => whole,
            // a response needs no byte behind CRLF, and neither does nothing
            (None, Some(end)) if so_far[end..] == *b"\r\n" && begins => end + 2,
            _ if so_far.len() > limits.header => so_far.len(),
            _ => {
                if known == 0 {
                    self.held.extend_from_slice(said);
                }
                return said.len();
            }
        };
        let held = std::mem::take(&mut self.held);
        let so_far = if known == 0 { said } else { &held };
        let (line, next) = (&so_far[..whole], so_far.get(whole).copied());
        let used = whole.saturating_sub(known);
        let content = line.len() - line.iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if content == 0 {
            return used;
        }
        if begins {
            self.begin(&line[..content], pair);
        } else if next != Some(b'H') && content > 2 {
            self.nameless(line, pair, limits);
        }
        used
    }

    /// The request was HTTP/0.9: all that follows is content.
    pub fn begin_content(&mut self, pair: &mut Pair, limits: &Limits) {
        self.nameless(b"", pair, limits);
        self.state = State::Rest;
    }

    /// Content without a first line.
    fn nameless(&mut self, line: &[u8], pair: &mut Pair, limits: &Limits) {
        if pair.response.progress < Progress::Body {
            pair.response.take_plain(limits.body[1]);
            let name = pair.uri.path.clone().unwrap_or_default();
            pair.response.is_file(&name, limits);
            pair.response.advance(Progress::Body);
        }
        trouble(pair, Direction::ToClient, |message| message.push(line, limits));
    }

    /// A first line that is all there.
    fn begin(&mut self, line: &[u8], pair: &mut Pair) {
        let mut read = ResponseLine::read(line);
        for event in std::mem::take(&mut read.events) {
            pair.notice(event);
        }
        pair.response_line = read;
        pair.response.advance(Progress::Headers);
        self.state = State::Headers(End::default());
    }

    /// A header section, or trailers.
    fn section(&mut self, said: &[u8], pair: &mut Pair, limits: &Limits, last: bool) -> usize {
        let (State::Headers(end) | State::Trailers(end)) = &mut self.state else { return said.len() };
        let Taken { used, section, known } = end.take(&mut self.held, said, Side::Response, last, limits.header);
        if known > LONG {
            pair.notice("response_field_too_long");
        }
        let Some(section) = section else { return used };
        let mut events = Vec::new();
        pair.response.headers.read(&section, Side::Response, &mut |oddity| events.push(super::response_event(oddity)));
        events.into_iter().for_each(|event| pair.notice(event));
        if matches!(self.state, State::Trailers(_)) {
            pair.response.length += section.len() as u64;
            self.complete(pair, limits);
        } else {
            self.described(pair, limits);
        }
        used
    }

    /// All fields are there: what follows?
    fn described(&mut self, pair: &mut Pair, limits: &Limits) {
        let headers = &pair.response.headers;
        let coding = headers
            .get("transfer-encoding")
            .map(|value| value.iter().filter(|byte| **byte != 0).map(u8::to_ascii_lowercase).collect::<Vec<_>>());
        let length = headers.get("content-length").map(number);
        let code = pair.response_line.code;
        let bare = coding.is_none() && length.is_none();
        let method = &pair.request_line.method;
        let tunnel = method == b"CONNECT" && (200..300).contains(&code);
        if tunnel || (code == 101 && bare) {
            self.switched = true;
            self.state = State::Over;
            pair.response.advance(Progress::Body);
            trouble(pair, Direction::ToClient, |message| message.finish(true, limits));
            return;
        }
        if code == 100 && coding.is_none() && !matches!(length, Some(Some(1..))) {
            if pair.continued {
                pair.notice("100_continue_already_seen");
            }
            pair.continued = true;
            pair.response.headers.clear();
            self.state = State::Line;
            return;
        }
        let bodiless = matches!(code, 100..200 | 204 | 304);
        let none = method == b"HEAD" || (bodiless && bare);
        let (packings, events) = packings(headers.get("content-encoding").unwrap_or_default(), limits.layers);
        let name =
            headers.get("content-disposition").and_then(|value| parameter(value, b"filename")).map(<[u8]>::to_vec);
        let ranges = headers
            .get("content-type")
            .is_some_and(|value| memchr::memmem::find(&value.to_ascii_lowercase(), b"multipart/byteranges").is_some());
        let chunked = coding.as_deref().filter(|coding| memchr::memmem::find(coding, b"chunked").is_some());
        let abnormal = chunked.is_some_and(|coding| coding != b"chunked");
        let chunked = chunked.is_some();
        events.into_iter().for_each(|event| pair.notice(event));
        if bodiless && !bare {
            pair.notice("response_body_unexpected");
        }
        let state = match length {
            _ if none => State::Behind,
            _ if chunked => {
                if abnormal {
                    pair.notice("response_abnormal_transfer_encoding");
                }
                if pair.response_line.version < Version::V11 {
                    pair.notice("response_chunked_old_proto");
                }
                State::Chunked(Box::default())
            }
            Some(Some(0)) => State::Behind,
            Some(Some(length)) => State::Length(length),
            Some(None) => {
                pair.notice("invalid_content_length_field_in_response");
                State::Rest
            }
            None => {
                if ranges {
                    pair.notice("response_multipart_byteranges");
                }
                State::Rest
            }
        };
        let name = name.or_else(|| pair.uri.path.clone()).unwrap_or_default();
        pair.response.expect(limits.body[1], &packings);
        pair.response.is_file(&name, limits);
        if let Some((first, last)) = pair.response.headers.get("content-range").and_then(record::part) {
            pair.response.is_part(first, last);
        }
        pair.response.advance(Progress::Body);
        self.state = state;
        if matches!(self.state, State::Behind) {
            trouble(pair, Direction::ToClient, |message| message.finish(true, limits));
        }
    }

    fn complete(&mut self, pair: &mut Pair, limits: &Limits) {
        self.state = State::Behind;
        trouble(pair, Direction::ToClient, |message| message.finish(true, limits));
    }

    /// Nothing more is said: what was not complete is.
    pub fn end(&mut self, pair: &mut Pair, limits: &Limits) {
        match self.state {
            State::Line if !self.held.is_empty() => {
                let line = std::mem::take(&mut self.held);
                let content = line.len() - line.iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                if is_response(&line) {
                    self.begin(&line[..content], pair);
                } else if content > 0 {
                    self.nameless(&line, pair, limits);
                }
            }
            State::Headers(_) | State::Trailers(_) => {
                self.section(b"", pair, limits, true);
            }
            _ => {}
        }
        if pair.response.progress != Progress::Complete {
            if pair.response.progress < Progress::Body {
                pair.response.advance(Progress::Body);
            }
            trouble(pair, Direction::ToClient, |message| message.finish(true, limits));
        }
        self.state = State::Over;
    }
}
