//! IRC (RFC 2812 sections 3.1 and 5): what a client registers with, or what a server says first.

use super::reader::{Lack, Read, Reader, either, one_of, require};
use crate::protocol::{Answer, Stream};

const LINE_MAX: usize = 512;
const NICK_MAX: usize = 64;
/// Lines of a client that are looked at when the first are not its own.
const LINES: usize = 4;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, registration, greeting)
}

fn registration(said: &mut Reader<'_>) -> Read<()> {
    for _ in 0..LINES {
        let word = said.run(8, |byte| byte.is_ascii_alphabetic())?;
        // before all else, where it is offered
        if one_of(word, &["STARTTLS"]) {
            said.line_end()?;
            continue;
        }
        if !one_of(word, &["NICK", "USER", "PASS", "CAP"]) {
            return Err(Lack::No);
        }
        said.literal(b" ")?;
        if one_of(word, &["NICK"]) {
            return nick(said);
        }
        let line = said.line(LINE_MAX)?;
        match word.to_ascii_uppercase().as_slice() {
            // user, mode, unused, and the real name, which has a colon where it has spaces
            b"USER" => {
                let parameters = line.split(|byte| *byte == b' ').filter(|part| !part.is_empty()).count();
                if parameters >= 4 {
                    return Ok(());
                }
            }
            b"CAP" => {
                return require([b"LS".as_slice(), b"REQ", b"END", b"LIST"].iter().any(|one| line.starts_with(one)));
            }
            // POP3 and FTP have it too
            _ => {}
        }
    }
    Err(Lack::No)
}

fn nick(said: &mut Reader<'_>) -> Read<()> {
    if said.peek()? == b':' {
        said.byte()?;
    }
    let nick =
        said.run(NICK_MAX, |byte| byte.is_ascii_alphanumeric() || b"[]\\`_^{|}-".contains(&byte) || byte >= 0x80)?;
    require(!nick.is_empty())?;
    // services give a hop count
    if said.peek()? == b' ' {
        said.line(LINE_MAX)?;
        return Ok(());
    }
    said.line_end()
}

/// `:server NOTICE ...`, `:server 001 ...`, or without the server's name.
fn greeting(said: &mut Reader<'_>) -> Read<()> {
    if said.peek()? == b':' {
        said.byte()?;
        let name = said.run(128, |byte| byte.is_ascii_alphanumeric() || b".-_:!@*~/".contains(&byte))?;
        require(!name.is_empty())?;
        said.literal(b" ")?;
    }
    let word = said.run(8, |byte| byte.is_ascii_alphanumeric())?;
    let numeric = word.len() == 3 && word.iter().all(u8::is_ascii_digit) && said.at() > 4;
    require(numeric || one_of(word, &["NOTICE", "PING", "ERROR", "CAP"]))?;
    said.literal(b" ")?;
    match word {
        b"ERROR" | b"PING" => said.literal(b":").and(Err(Lack::More)),
        _ => {
            // to whom, then what
            require(!said.run(NICK_MAX, |byte| byte > b' ' && byte != 0x7f)?.is_empty())?;
            said.literal(b" ")
        }
    }
}
