//! IMAP (RFC 9051 section 7.1): the greeting, or a client's first tagged command.

use super::reader::{Lack, Read, Reader, either, one_of, require};
use crate::protocol::{Answer, Stream};

const TAG_MAX: usize = 16;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, command, greeting)
}

fn greeting(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"* ")?;
    let word = said.run(7, |byte| byte.is_ascii_alphabetic())?;
    require(one_of(word, &["OK", "PREAUTH", "BYE"]))?;
    said.literal(b" ")
}

/// Commands of a client that has not logged in, and STARTTLS.
fn command(said: &mut Reader<'_>) -> Read<()> {
    let tag = said.run(TAG_MAX, |byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || byte == b'-')?;
    require(!tag.is_empty())?;
    said.literal(b" ")?;
    let word = said.run(12, |byte| byte.is_ascii_alphabetic())?;
    if one_of(word, &["CAPABILITY", "STARTTLS", "NOOP", "LOGOUT"]) {
        return said.line_end();
    }
    said.literal(b" ")?;
    if one_of(word, &["LOGIN", "AUTHENTICATE"]) {
        return said.byte_that(|byte| byte.is_ascii_graphic()).map(|_| ());
    }
    if one_of(word, &["ID"]) {
        return said.byte_that(|byte| b"(Nn".contains(&byte)).map(|_| ());
    }
    Err(Lack::No)
}
