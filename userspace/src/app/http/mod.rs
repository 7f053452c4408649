//! HTTP/1 (RFC 9110, RFC 9112), read as libhtp reads it with Suricata's settings, because that is what rules are written for: in
//! doubt as browsers and servers do, and never refused.

pub(super) mod buffers;
pub(super) mod header;
mod line;
pub(super) mod message;
mod multipart;
mod pair;
mod record;
mod request;
mod response;
#[cfg(test)]
mod tests;
pub(super) mod uri;

use std::collections::VecDeque;

use dropgate_signatures::subject::{Direction, Transaction as _};

use self::{
    header::Oddity,
    line::{is_method, is_response},
    message::{Message, Progress},
    pair::Pair,
    request::Client,
    response::Server,
};
use super::{Exchange, Limits, Parser, body::packed::Trouble};

/// A parser of HTTP/1.
#[derive(Debug)]
pub struct Http1 {
    limits: Limits,
    pairs: VecDeque<Pair>,
    /// Pairs so far.
    next: u64,
    client: Client,
    server: Server,
    /// What is said of a pair that is not there any more.
    spare: Pair,
}

impl Http1 {
    /// A connection of which nothing was said.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            pairs: VecDeque::new(),
            next: 0,
            client: Client::default(),
            server: Server::default(),
            spare: Pair::default(),
        }
    }

    fn client(&mut self, said: &[u8]) {
        let mut rest = said;
        while !rest.is_empty() {
            if matches!(self.client.state, request::State::Line) && self.client.held.is_empty() {
                // blank lines begin no request
                let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                rest = &rest[blank..];
                if rest.is_empty() || self.client.gapped && !begins_request(rest) {
                    break;
                }
                self.client.gapped = false;
                if !self.is_open() {
                    self.client.current = self.begin();
                }
            }
            let pair = find(&mut self.pairs, self.client.current).unwrap_or(&mut self.spare);
            rest = &rest[self.client.step(rest, pair, &self.limits)..];
        }
        // what follows in another feed begins a request
        if matches!(self.client.state, request::State::Behind) {
            self.client.state = request::State::Line;
        }
    }

    /// A request has begun, but not its first line is known.
    fn is_open(&self) -> bool {
        let current = self.pairs.iter().rev().find(|pair| pair.id == self.client.current);
        current.is_some_and(|pair| pair.request.progress == Progress::Nothing)
    }

    fn begin(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        self.pairs.push_back(Pair::new(id));
        id
    }

    fn server(&mut self, said: &[u8]) {
        self.answer();
        let mut rest = said;
        while !rest.is_empty() {
            if matches!(self.server.state, response::State::Line) && self.server.current.is_none() {
                let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                rest = &rest[blank..];
                if rest.is_empty() || self.server.gapped && !is_response(rest) {
                    break;
                }
                self.server.gapped = false;
                let id = self.asked();
                self.server.current = Some(id);
                let pair = find(&mut self.pairs, id).filter(|pair| pair.is_plain());
                if let Some(pair) = pair {
                    self.server.begin_content(pair, &self.limits);
                }
            }
            let pair = self.server.current.and_then(|id| find(&mut self.pairs, id)).unwrap_or(&mut self.spare);
            rest = &rest[self.server.step(rest, pair, &self.limits)..];
            self.agreed();
        }
        if matches!(self.server.state, response::State::Behind) {
            self.server.state = response::State::Line;
            self.server.current = None;
        }
    }

    /// A server begins to speak: a request that named no protocol is HTTP/0.9, if nothing more came.
    fn answer(&mut self) {
        if matches!(self.client.state, request::State::Nameless)
            && let Some(pair) = find(&mut self.pairs, self.client.current)
        {
            self.client.end(pair, &self.limits);
            self.client.state = request::State::Line;
        }
    }

    /// The request that a response belongs to: the first that has none.
    fn asked(&mut self) -> u64 {
        let open = self.pairs.iter().find(|pair| pair.response.progress == Progress::Nothing);
        if let Some(pair) = open.filter(|pair| pair.request.progress != Progress::Nothing) {
            return pair.id;
        }
        // nobody asked
        let id = match open {
            Some(pair) => pair.id,
            None => self.begin(),
        };
        if let Some(pair) = find(&mut self.pairs, id) {
            pair.notice("unable_to_match_response_to_request");
            pair.request_line.target = Some(b"/libhtp::request_uri_not_seen".to_vec());
            pair.uri = uri::Uri::read(b"/libhtp::request_uri_not_seen");
            pair.request.advance(Progress::Complete);
        }
        id
    }

    /// What the client says behind CONNECT, and behind anything else that the server agreed to leave HTTP for.
    fn agreed(&mut self) {
        if self.server.switched {
            self.client.state = request::State::Over;
            self.client.held = Vec::new();
        } else if matches!(self.client.state, request::State::Tunnel)
            && self.server.current == Some(self.client.current)
            && !matches!(self.server.state, response::State::Line | response::State::Headers(_))
        {
            // the server refused
            let held = std::mem::take(&mut self.client.held);
            self.client.state = request::State::Line;
            self.client(&held);
        }
    }

    /// Those that are too many make room. What is still said of them is read, but told to nobody.
    fn crowd(&mut self) {
        while self.pairs.len() > self.limits.transactions.max(1) {
            self.pairs.pop_front();
            self.spare = Pair::default();
        }
    }
}

impl Parser for Http1 {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        self.crowd();
        match direction {
            Direction::ToServer => self.client(said),
            Direction::ToClient => self.server(said),
        }
    }

    fn lost(&mut self, direction: Direction, bytes: u64) {
        match direction {
            Direction::ToServer => {
                let pair = find(&mut self.pairs, self.client.current);
                lost_by_client(&mut self.client, pair, bytes, &self.limits);
            }
            Direction::ToClient => {
                let pair = self.server.current.and_then(|id| find(&mut self.pairs, id));
                lost_by_server(&mut self.server, pair, bytes, &self.limits);
            }
        }
    }

    fn end(&mut self, direction: Direction) {
        match direction {
            Direction::ToServer => {
                if let Some(pair) = find(&mut self.pairs, self.client.current) {
                    self.client.end(pair, &self.limits);
                }
                self.client.state = request::State::Over;
            }
            Direction::ToClient => {
                self.answer();
                if let Some(pair) = self.server.current.and_then(|id| find(&mut self.pairs, id)) {
                    self.server.end(pair, &self.limits);
                }
                self.server.state = response::State::Over;
                // what was never answered is not going to be
                for pair in &mut self.pairs {
                    pair.response.advance(Progress::Complete);
                }
            }
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.pairs.iter().filter(|pair| pair.is_known()).map(|pair| pair as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        if let Ok(at) = self.pairs.binary_search_by_key(&id, |pair| pair.id()) {
            self.pairs.remove(at);
        }
    }

    fn is_opaque(&self) -> bool {
        matches!(self.client.state, request::State::Over) && matches!(self.server.state, response::State::Over)
    }

    fn footprint(&self) -> usize {
        let held = self.client.held.capacity() + self.server.held.capacity();
        size_of::<Self>() + held + self.spare.footprint() + self.pairs.iter().map(Pair::footprint).sum::<usize>()
    }
}

/// The pair of a number.
fn find(pairs: &mut VecDeque<Pair>, id: u64) -> Option<&mut Pair> {
    let at = pairs.binary_search_by_key(&id, |pair| pair.id).ok()?;
    pairs.get_mut(at)
}

/// Whether a line begins with a method that is in use.
fn begins_request(said: &[u8]) -> bool {
    let end = said.iter().position(|byte| header::is_space(*byte)).unwrap_or(said.len());
    is_method(&said[..end])
}

/// Bytes of a client are missing.
fn lost_by_client(client: &mut Client, pair: Option<&mut Pair>, bytes: u64, limits: &Limits) {
    use request::State;

    let Some(pair) = pair else { return };
    if let State::Chunked(chunked) = &mut client.state
        && chunked.lose(bytes)
    {
        return pair.request.lose(bytes);
    }
    match &mut client.state {
        State::Length(left) if bytes < *left => {
            *left -= bytes;
            pair.request.lose(bytes);
        }
        State::Over => {}
        state => {
            if matches!(state, State::Length(_) | State::Chunked(_) | State::Rest) {
                pair.request.lose(bytes);
            }
            client.end(pair, limits);
            (client.state, client.gapped) = (State::Line, true);
        }
    }
}

/// Bytes of a server are missing.
fn lost_by_server(server: &mut Server, pair: Option<&mut Pair>, bytes: u64, limits: &Limits) {
    use response::State;

    let Some(pair) = pair else { return };
    if let State::Chunked(chunked) = &mut server.state
        && chunked.lose(bytes)
    {
        return pair.response.lose(bytes);
    }
    match &mut server.state {
        State::Length(left) if bytes < *left => {
            *left -= bytes;
            pair.response.lose(bytes);
        }
        State::Rest => pair.response.lose(bytes),
        State::Over => {}
        state => {
            if matches!(state, State::Length(_) | State::Chunked(_)) {
                pair.response.lose(bytes);
            }
            server.end(pair, limits);
            (server.state, server.gapped) = (State::Line, true);
            server.current = None;
        }
    }
}

/// Does something to a message, and notes what went wrong with its body.
fn trouble(pair: &mut Pair, direction: Direction, act: impl FnOnce(&mut Message) -> Option<Trouble>) {
    let message = pair.message_mut(direction);
    let trouble = act(message);
    let noticed = message.noticed().to_vec();
    noticed.into_iter().for_each(|event| pair.notice(event));
    match trouble {
        Some(Trouble::Broken) => pair.notice("gzip_decompression_failed"),
        Some(Trouble::Bomb) => pair.notice("compression_bomb"),
        None => {}
    }
}

/// What Suricata calls something odd about the fields of a request.
const fn request_event(oddity: Oddity) -> &'static str {
    match oddity {
        Oddity::MissingColon => "request_field_missing_colon",
        Oddity::Folding => "invalid_request_field_folding",
        Oddity::Name => "request_header_invalid",
        Oddity::Repetition => "request_header_repetition",
        Oddity::TooMany => "request_too_many_headers",
        Oddity::ContentLengths => "duplicate_content_length_field_in_request",
    }
}

/// What Suricata calls something odd about the fields of a response.
const fn response_event(oddity: Oddity) -> &'static str {
    match oddity {
        Oddity::MissingColon => "response_field_missing_colon",
        Oddity::Folding => "invalid_response_field_folding",
        Oddity::Name => "response_header_invalid",
        Oddity::Repetition => "response_header_repetition",
        Oddity::TooMany => "response_too_many_headers",
        Oddity::ContentLengths => "duplicate_content_length_field_in_response",
    }
}
