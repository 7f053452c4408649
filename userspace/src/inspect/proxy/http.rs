//! HTTP/1 to a proxy: CONNECT, and requests with a whole URI, each of them on a connection that is used again and again.

use std::collections::VecDeque;

use super::{
    super::follow::{Change, Step},
    Asked, Request,
    message::{Body, Head, Unreadable, Upgrade, head},
    target::{self, Target},
};

/// Requests that wait for their answer.
const WAITING_MAX: usize = 256;

/// A conversation of requests and answers.
#[derive(Debug, Default)]
pub struct Http {
    request: Body,
    answer: Body,
    /// Requests without an answer yet.
    waiting: VecDeque<Waiting>,
    /// It is spoken with a proxy: one was asked, or the policy says so.
    proxied: bool,
}

/// What matters of a request once it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    Plain,
    /// Its answer has no body.
    Head,
    Connect,
    Upgrade(Upgrade),
}

/// Whom a request is for.
enum Form {
    /// The server itself.
    Origin,
    Proxy(Asked),
}

impl Http {
    /// A conversation from its start. `proxied`: the server is a proxy, whatever it is asked for first.
    pub fn new(proxied: bool) -> Self {
        Self { proxied, ..Self::default() }
    }

    /// Whether a request has begun, or something else that cannot be judged before an answer.
    pub fn is_midway(&self, [to_server, _]: &[Vec<u8>; 2]) -> bool {
        !to_server.is_empty()
    }

    pub fn step(&mut self, [to_server, to_client]: &mut [Vec<u8>; 2]) -> Step {
        let step = loop {
            match self.requests(to_server) {
                Ok(Step::More) => {}
                step => break step,
            }
            let waits = self.changes();
            match self.answers(to_client) {
                // the connection stays what it is, so that what the client said meanwhile can be read
                Ok(Step::More) if waits && !self.changes() => {}
                step => break step,
            }
        };
        step.unwrap_or(Step::Unreadable)
    }

    /// Whether the last request may change the connection into something else.
    pub fn changes(&self) -> bool {
        matches!(self.waiting.back(), Some(Waiting::Connect | Waiting::Upgrade(_)))
    }

    /// Reads requests, up to one that has to be judged.
    fn requests(&mut self, said: &mut Vec<u8>) -> Result<Step, Unreadable> {
        while self.request.skip(said)? {
            if self.changes() {
                // nobody can tell any more what answers it
                return if self.answer == Body::Endless { Err(Unreadable) } else { Ok(Step::More) };
            }
            let Some(head) = head(said)? else { return Ok(Step::More) };
            let (method, form) = request(head.line, self.proxied)?;
            let connect = method.eq_ignore_ascii_case(b"CONNECT");
            let waiting = match head.upgrade {
                _ if connect => Waiting::Connect,
                Some(upgrade) => Waiting::Upgrade(upgrade),
                None if method == b"HEAD" => Waiting::Head,
                None => Waiting::Plain,
            };
            // a tunnel has no body, and a request that ends with the connection no length
            let Head { body, bytes, .. } = head;
            if connect && !matches!(body, Body::Done | Body::Bytes(0)) || body == Body::Endless {
                return Err(Unreadable);
            }
            if matches!(form, Form::Origin) && !matches!(waiting, Waiting::Upgrade(_)) && !self.proxied {
                return Ok(Step::Over);
            }
            said.drain(..bytes);
            self.request = body;
            self.waiting.push_back(waiting);
            if self.waiting.len() > WAITING_MAX {
                return Err(Unreadable);
            }
            if let Form::Proxy(asked) = form {
                self.proxied = true;
                return Ok(Step::Asked(asked));
            }
        }
        Ok(Step::More)
    }

    /// Reads answers, up to one that changes the connection.
    fn answers(&mut self, said: &mut Vec<u8>) -> Result<Step, Unreadable> {
        while self.answer.skip(said)? {
            let head = match head(said) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(Unreadable) => {
                    self.answer = Body::Endless;
                    continue;
                }
            };
            let (bytes, body) = (head.bytes, head.body);
            let (Some(status), Some(waiting)) = (status(head.line), self.waiting.front().copied()) else {
                // an answer that nobody asked for: the server is about to close
                self.answer = Body::Endless;
                continue;
            };
            said.drain(..bytes);
            match (waiting, status) {
                (Waiting::Connect, 200..=299) => return Ok(Step::Changed(Change::Tunnel)),
                (Waiting::Upgrade(Upgrade::WebSocket), 101) => return Ok(Step::Over),
                (Waiting::Upgrade(Upgrade::Other), 101) => return Ok(Step::Changed(Change::Upgrade)),
                (_, 100..=199) => continue,
                _ => {}
            }
            self.waiting.pop_front();
            self.answer = match (waiting, status, body) {
                (Waiting::Head, ..) | (_, 204 | 304, _) => Body::Done,
                // without a length it ends with the connection
                (.., Body::Done) => Body::Endless,
                (.., body) => body,
            };
            if matches!(waiting, Waiting::Upgrade(_)) && !self.proxied {
                return Ok(Step::Over);
            }
        }
        Ok(Step::More)
    }
}

/// The method, and whom it is for: `METHOD target HTTP/1.1`, or a method and a target alone (HTTP/0.9). What a `proxy` is
/// asked for itself is a path, and nothing besides that another reader might take for the target.
fn request(line: &[u8], proxy: bool) -> Result<(&[u8], Form), Unreadable> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let method = words.next().unwrap_or_default();
    let mut words: Vec<&[u8]> = words.collect();
    if words.last().is_some_and(|word| word.starts_with(b"HTTP/")) {
        words.pop();
    }
    let target = words.first().copied().unwrap_or_default();
    let request = if method.eq_ignore_ascii_case(b"CONNECT") {
        Request::Connect
    } else if is_absolute(target) {
        Request::Absolute
    } else if proxy && (words.len() > 1 || !matches!(target.first(), Some(b'/' | b'*'))) {
        return Err(Unreadable);
    } else {
        return Ok((method, Form::Origin));
    };
    // one reader may take the first word, another one the whole
    if words.len() != 1 {
        return Err(Unreadable);
    }
    let found: Option<Target> = match request {
        Request::Connect => target::authority(target, None),
        _ => target::uri(target),
    };
    Ok((method, Form::Proxy(Asked { request, target: found.ok_or(Unreadable)? })))
}

/// Whether something other than a path comes first: a scheme, or a host and a port.
fn is_absolute(target: &[u8]) -> bool {
    target.iter().find(|byte| matches!(byte, b':' | b'/' | b'?' | b'#')) == Some(&b':')
}

/// `HTTP/1.1 200 text`.
fn status(line: &[u8]) -> Option<u16> {
    let mut words = line.split(|byte| *byte == b' ');
    words.next().filter(|word| word.starts_with(b"HTTP/1."))?;
    let digits = words.next().filter(|digits| digits.len() == 3 && digits.iter().all(u8::is_ascii_digit))?;
    Some(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}
