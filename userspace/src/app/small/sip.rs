//! SIP (RFC 3261): requests and responses, and the session descriptions in them.

use dropgate_signatures::{buffer::Buffer, subject::Direction};
use serde_json::Value;

use super::sdp;
use crate::app::{events::Events, facts::Facts, messages::Length, text};

/// Headers that rules have buffers for, with their short forms (RFC 3261 section 7.3.3).
const HEADERS: [(&str, &str, Buffer); 6] = [
    ("from", "f", Buffer::SipFrom),
    ("to", "t", Buffer::SipTo),
    ("via", "v", Buffer::SipVia),
    ("user-agent", "", Buffer::SipUserAgent),
    ("content-type", "c", Buffer::SipContentType),
    ("content-length", "l", Buffer::SipContentLength),
];

/// On TCP the header section ends with an empty line, and says how long the body is.
pub fn measure(said: &[u8], looked: &mut usize) -> Length {
    // empty lines between messages keep connections alive
    let empty = said.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
    if empty > 0 {
        return Length::Is(empty, empty);
    }
    let from = looked.saturating_sub(3);
    let Some(end) = said[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
        *looked = said.len();
        return Length::More;
    };
    let end = from + end + 4;
    let length = header(&said[..end], "content-length", "l").and_then(|value| str::from_utf8(value).ok()?.parse().ok());
    Length::Is(end.saturating_add(length.unwrap_or(0)), 0)
}

pub fn read(_: Direction, said: &[u8], events: &mut Events, _: &mut u32) -> Option<Facts> {
    if said.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return None;
    }
    let mut facts = Facts::default();
    if message(said, &mut facts).is_none() {
        events.note("invalid_data");
    }
    Some(facts)
}

fn message(said: &[u8], facts: &mut Facts) -> Option<()> {
    let end = said.windows(2).position(|two| two == b"\r\n")?;
    let (line, rest) = (&said[..end], &said[end + 2..]);
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (first, second, third) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let parts = if first.starts_with(b"SIP/") {
        [
            (Buffer::SipProtocol, "version", first),
            (Buffer::SipStatCode, "code", second),
            (Buffer::SipStatMsg, "reason", third),
            (Buffer::SipResponseLine, "response_line", line),
        ]
    } else {
        [
            (Buffer::SipMethod, "method", first),
            (Buffer::SipUri, "uri", second),
            (Buffer::SipProtocol, "version", third),
            (Buffer::SipRequestLine, "request_line", line),
        ]
    };
    for (buffer, name, said) in parts {
        facts.buffer(buffer, said);
        facts.tell(name, text(said));
    }
    let (headers, body) = match rest.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(at) => (&rest[..at + 2], &rest[at + 4..]),
        None => (rest.strip_prefix(b"\r\n").map_or(rest, |_| &[][..]), &[][..]),
    };
    for (name, value) in lines(headers) {
        let known = HEADERS.iter().find(|(long, short, _)| is_named(name, long, short));
        if let Some((_, _, buffer)) = known {
            facts.buffer(*buffer, value);
        }
    }
    let described = header(headers, "content-type", "c").is_some_and(|kind| kind.starts_with(b"application/sdp"));
    if described && !body.is_empty() {
        let session = sdp::read(body, facts);
        facts.tell("sdp", Value::Object(session));
    }
    Some(())
}

fn is_named(name: &[u8], long: &str, short: &str) -> bool {
    name.eq_ignore_ascii_case(long.as_bytes()) || (!short.is_empty() && name.eq_ignore_ascii_case(short.as_bytes()))
}

/// The first header of this name.
fn header<'a>(headers: &'a [u8], long: &str, short: &str) -> Option<&'a [u8]> {
    lines(headers).find(|(name, _)| is_named(name, long, short)).map(|(_, value)| value)
}

/// Names and values.
fn lines(headers: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.split(|&byte| byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
    })
}
