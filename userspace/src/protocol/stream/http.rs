//! HTTP/1 (RFC 9112 sections 3 and 4), and WebSocket (RFC 6455 section 4) once the server has agreed to change to it.

use super::reader::{Lack, Read, Reader, either, one_of, read, require};
use crate::protocol::{Answer, Direction, Stream};

/// Longest method: those registered have at most 17 letters.
const METHOD_MAX: usize = 32;
/// A target this long behind a registered method says enough.
const TARGET_ENOUGH: usize = 1024;
/// Spaces that are let pass behind a method in use.
const SPACES_MAX: usize = 64;
/// Longest request head of which an upgrade is awaited.
const HEAD_MAX: usize = 8192;

/// Methods in use: their target may have spaces, as careless clients and attackers send it.
const METHODS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "MKCALENDAR",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "NOTIFY",
    "M-SEARCH",
    "RPC_IN_DATA",
    "RPC_OUT_DATA",
    "BITS_POST",
    "CCM_POST",
    "PURGE",
    "DEBUG",
];

pub fn http(said: Stream<'_>) -> Answer {
    either(said, request, status)
}

/// HTTP that asks to become WebSocket and is answered with status 101. Until the answer it is pending; with any other
/// answer it is HTTP.
pub fn websocket(said: Stream<'_>) -> Answer {
    match read(said.to_server, upgrade) {
        Err(Lack::No) => return Answer::No,
        Err(Lack::More) if said.to_client.is_empty() => return Answer::More,
        // an answer before the request has ended
        Err(Lack::More) => return Answer::No,
        Ok(_) => {}
    }
    match read(said.to_client, agreed) {
        Ok(bytes) => Answer::Yes(Direction::ToClient, bytes),
        Err(Lack::No) => Answer::No,
        Err(Lack::More) => Answer::More,
    }
}

/// Any method that is a token, a target, and the version.
fn request(said: &mut Reader<'_>) -> Read<()> {
    empty_lines(said)?;
    let method = said.run(METHOD_MAX, is_token)?;
    require(!method.is_empty())?;
    said.literal(b" ")?;
    if one_of(method, METHODS) {
        return known(said, method == b"GET");
    }
    require(!said.run(TARGET_ENOUGH, is_target)?.is_empty())?;
    said.literal(b" ")?;
    // of HTTP/2 only its preface has this form
    require(!said.rest().starts_with(b"HTTP/2"))?;
    version(said)
}

/// What follows a method in use: a target and the version, or so much of a target that it is enough. A path alone is the
/// whole of a GET in HTTP/0.9 (RFC 1945 section 4.1).
fn known(said: &mut Reader<'_>, get: bool) -> Read<()> {
    said.run(SPACES_MAX, |byte| byte == b' ')?;
    let first = said.byte_that(|first| is_target(first) && first != b'{' && first != b'"')?;
    let mut simple = get && first == b'/';
    loop {
        // a word longer than that is enough
        match said.run(TARGET_ENOUGH, is_target) {
            Err(Lack::No) => return said.take(TARGET_ENOUGH).map(|_| ()),
            word => word?,
        };
        if simple && matches!(said.peek()?, b'\r' | b'\n') {
            return said.line_end();
        }
        simple = false;
        said.byte_that(|byte| byte == b' ' || byte == b'\t')?;
        let mut behind = *said;
        match version(&mut behind) {
            Err(Lack::No) => {}
            certain => {
                *said = behind;
                return certain;
            }
        }
        if said.at() >= TARGET_ENOUGH {
            return Ok(());
        }
    }
}

/// Empty lines before a request are ignored (RFC 9112 section 2.2), and before an answer by most.
fn empty_lines(said: &mut Reader<'_>) -> Read<()> {
    for _ in 0..2 {
        if matches!(said.peek()?, b'\r' | b'\n') {
            said.line_end()?;
        }
    }
    Ok(())
}

fn status(said: &mut Reader<'_>) -> Read<()> {
    empty_lines(said)?;
    version(said)?;
    said.literal(b" ")?;
    said.byte_that(|class| (b'1'..=b'9').contains(&class))?;
    for _ in 0..2 {
        said.byte_that(|digit| digit.is_ascii_digit())?;
    }
    Ok(())
}

fn version(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"HTTP/")?;
    said.byte_that(|major| major.is_ascii_digit())?;
    said.literal(b".")?;
    said.byte_that(|minor| minor.is_ascii_digit())?;
    Ok(())
}

/// A GET that asks for WebSocket, to the end of its head.
fn upgrade(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"GET ")?;
    // a whole URI is for a proxy, which need not answer before it is known what is spoken
    require(said.peek()? == b'/')?;
    said.run(TARGET_ENOUGH, is_target)?;
    said.literal(b" HTTP/1.1")?;
    said.line_end()?;
    let (mut asked, mut key) = (false, false);
    loop {
        let line = said.line(HEAD_MAX)?;
        require(said.at() <= HEAD_MAX)?;
        if line.is_empty() {
            return require(asked && key);
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Err(Lack::No) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        asked |= one_of(name, &["upgrade"]) && one_of(value, &["websocket"]);
        key |= one_of(name, &["sec-websocket-key"]);
    }
}

fn agreed(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"HTTP/1.1 101")
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_target(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}
