//! SIP over TCP (RFC 3261 sections 7.1 and 7.2); either side may ask.

use super::reader::{Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const METHOD_MAX: usize = 16;
const TARGET_MAX: usize = 1024;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, message, message)
}

fn message(said: &mut Reader<'_>) -> Read<()> {
    // RFC 5626 section 3.5.1: empty lines keep a connection alive
    for _ in 0..8 {
        if matches!(said.peek()?, b'\r' | b'\n') {
            said.line_end()?;
        }
    }
    let first = said.run(METHOD_MAX, |byte| byte.is_ascii_uppercase())?;
    require(!first.is_empty())?;
    if first == b"SIP" {
        said.literal(b"/2.0 ")?;
        return said.byte_that(|class| (b'1'..=b'6').contains(&class)).map(|_| ());
    }
    said.literal(b" ")?;
    let scheme = said.run(4, |byte| byte.is_ascii_alphabetic())?;
    require([b"sip".as_slice(), b"sips", b"tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known)))?;
    said.literal(b":")?;
    said.run(TARGET_MAX, |byte| byte > b' ' && byte != 0x7f)?;
    said.literal(b" SIP/2.0")
}
