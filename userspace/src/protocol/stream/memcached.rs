//! Memcached: the text protocol's commands, and the binary protocol's header.

use super::reader::{Lack, Read, Reader, one_of, read, require};
use crate::protocol::{Answer, Direction, Stream};

const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;
const KEY_MAX: usize = 250;
const LINE_MAX: usize = 2048;
const VALUE_MAX: u32 = 1 << 30;

pub fn detect(said: Stream<'_>) -> Answer {
    if said.to_server.is_empty() && !said.to_client.is_empty() {
        return Answer::No;
    }
    let answered = read(said.to_client, reply);
    if answered == Err(Lack::No) {
        return Answer::No;
    }
    let mut reader = Reader::new(said.to_server);
    match (command(&mut reader), answered) {
        (Err(Lack::No), _) => Answer::No,
        (Ok(true), _) => Answer::Yes(Direction::ToServer, reader.at()),
        (_, Ok(bytes)) => Answer::Yes(Direction::ToClient, bytes),
        (Ok(false) | Err(Lack::More), _) => Answer::More,
    }
}

/// Whether the command says it all, without the server's answer.
fn command(said: &mut Reader<'_>) -> Read<bool> {
    if said.peek()? == REQUEST {
        header(said, REQUEST)?;
        return Ok(true);
    }
    // the text protocol's words are in small letters
    let word = said.run(12, |byte| byte.is_ascii_lowercase() || byte == b'_')?;
    match word {
        b"stats" | b"version" | b"flush_all" | b"verbosity" | b"mn" => {
            said.line(LINE_MAX)?;
            Ok(word == b"stats" || word == b"flush_all")
        }
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => {
            said.literal(b" ")?;
            key(said)?;
            // flags, expiry (which may be negative), bytes, and for cas what it was
            for _ in 0..2 {
                if said.peek()? == b'-' {
                    said.byte()?;
                }
                said.run(20, |byte| byte.is_ascii_digit())?;
                said.literal(b" ")?;
            }
            said.run(20, |byte| byte.is_ascii_digit())?;
            said.line(64)?;
            Ok(true)
        }
        b"get" | b"gets" | b"gat" | b"gats" | b"delete" | b"incr" | b"decr" | b"touch" | b"mg" | b"ms" | b"md" => {
            said.literal(b" ")?;
            key_or_last(said)?;
            let line = said.line(LINE_MAX)?;
            require(!line.windows(5).any(|part| part == b"HTTP/"))?;
            Ok(false)
        }
        _ => Err(Lack::No),
    }
}

fn key(said: &mut Reader<'_>) -> Read<()> {
    key_or_last(said)?;
    said.literal(b" ")
}

fn key_or_last(said: &mut Reader<'_>) -> Read<()> {
    require(!said.run(KEY_MAX, |byte| byte > b' ' && byte != 0x7f)?.is_empty())
}

fn reply(said: &mut Reader<'_>) -> Read<()> {
    if said.peek()? == RESPONSE {
        return header(said, RESPONSE);
    }
    if said.peek()?.is_ascii_digit() {
        // of incr and decr
        said.number()?;
        return said.literal(b"\r\n");
    }
    let word = said.run(16, |byte| byte.is_ascii_uppercase() || byte == b'_')?;
    require(one_of(
        word,
        &[
            "VALUE",
            "END",
            "STORED",
            "DELETED",
            "ERROR",
            "STAT",
            "VERSION",
            "OK",
            "RESET",
            "TOUCHED",
            "EXISTS",
            "NOT_FOUND",
            "NOT_STORED",
            "CLIENT_ERROR",
            "SERVER_ERROR",
            "HD",
            "VA",
            "EN",
            "NF",
            "NS",
            "EX",
            "MN",
        ],
    ))?;
    said.byte_that(|byte| byte == b' ' || byte == b'\r').map(|_| ())
}

/// ```text
///     magic | opcode | key length (2) | extras length | data type | vbucket or status (2) | body (4) | opaque (4) | cas (8)
/// ```
fn header(said: &mut Reader<'_>, magic: u8) -> Read<()> {
    said.literal(&[magic])?;
    let opcode = said.byte_that(|opcode| opcode <= 0x48)?;
    let key = u32::from(said.u16()?);
    require(key <= KEY_MAX as u32)?;
    let extras = u32::from(said.byte_that(|extras| extras <= 20)?);
    said.literal(&[0])?;
    let status = said.u16()?;
    let body = said.u32()?;
    require(body >= key + extras && body <= VALUE_MAX)?;
    if magic == REQUEST {
        match opcode {
            // get and its kin: a key and nothing else
            0x00 | 0x09 | 0x0c | 0x0d => require(extras == 0 && key > 0 && body == key)?,
            // set, add, replace
            0x01..=0x03 | 0x11..=0x13 => require(extras == 8 && key > 0)?,
            // quit, noop, version
            0x07 | 0x0a | 0x0b => require(body == 0)?,
            _ => {}
        }
    } else {
        require(status <= 0xff)?;
    }
    said.take(12).map(|_| ())
}
