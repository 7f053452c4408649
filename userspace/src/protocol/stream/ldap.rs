//! LDAP (RFC 4511 section 4.1.1): a message's sequence, its number, and the operation that stands first in a connection.

use super::{
    ber,
    reader::{Lack, Read, Reader, either, require},
};
use crate::protocol::{Answer, Stream};

/// Longest message that is believed.
const MESSAGE_MAX: usize = 1 << 20;
const BIND: u8 = 0x60;
/// Without any content, as a message of its own.
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const EXTENDED: u8 = 0x77;
const MODIFY: u8 = 0x66;
const ADD: u8 = 0x68;
const MODIFY_NAME: u8 = 0x6c;
const COMPARE: u8 = 0x6e;
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const EXTENDED_RESPONSE: u8 = 0x78;
const REQUESTS: [u8; 8] = [BIND, UNBIND, SEARCH, EXTENDED, MODIFY, ADD, MODIFY_NAME, COMPARE];
const RESPONSES: [u8; 4] = [BIND_RESPONSE, SEARCH_ENTRY, SEARCH_DONE, EXTENDED_RESPONSE];

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, request, response)
}

/// The operation's tag, with the message read up to what the operation has in it.
fn operation(said: &mut Reader<'_>) -> Read<u8> {
    let message = ber::tagged(said, 0x30)?;
    require((5..=MESSAGE_MAX).contains(&message))?;
    let since = said.at();
    let number = ber::tagged(said, 0x02)?;
    require((1..=4).contains(&number))?;
    require(said.peek()? & 0x80 == 0)?;
    said.take(number)?;
    let tag = said.byte_that(|tag| REQUESTS.contains(&tag) || RESPONSES.contains(&tag))?;
    let length = ber::length(said)?;
    require(tag != UNBIND || length == 0)?;
    // what is left behind the operation are controls
    let left = ber::rest(message, since, said)?;
    require(length <= left)?;
    Ok(tag)
}

fn request(said: &mut Reader<'_>) -> Read<()> {
    match operation(said)? {
        // the version, then the name
        BIND => {
            said.literal(&[0x02, 0x01])?;
            said.byte_that(|version| (1..=3).contains(&version))?;
            said.literal(&[0x04])
        }
        UNBIND => Ok(()),
        // the base object, then the scope
        SEARCH => {
            let base = ber::tagged(said, 0x04)?;
            require(base <= MESSAGE_MAX)?;
            said.take(base)?;
            said.literal(&[0x0a, 0x01])?;
            said.byte_that(|scope| scope <= 3).map(|_| ())
        }
        // the name of the request: an object identifier in digits
        EXTENDED => {
            let name = ber::tagged(said, 0x80)?;
            require((3..=128).contains(&name))?;
            said.byte_that(|digit| (b'0'..=b'2').contains(&digit))?;
            said.literal(b".")
        }
        // the name of the entry, and more behind it
        MODIFY | ADD | MODIFY_NAME | COMPARE => {
            let name = ber::tagged(said, 0x04)?;
            require(name <= MESSAGE_MAX)?;
            said.take(name)?;
            said.byte_that(|tag| tag == 0x30 || tag == 0x04).map(|_| ())
        }
        _ => Err(Lack::No),
    }
}

fn response(said: &mut Reader<'_>) -> Read<()> {
    match operation(said)? {
        // the result code, then the matched name
        BIND_RESPONSE | SEARCH_DONE | EXTENDED_RESPONSE => {
            said.literal(&[0x0a, 0x01])?;
            said.byte_that(|code| code <= 123)?;
            said.literal(&[0x04])
        }
        SEARCH_ENTRY => said.literal(&[0x04]),
        _ => Err(Lack::No),
    }
}
