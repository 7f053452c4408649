//! SOCKS 4, 4a and 5 (RFC 1928). The requests are too short to say it all: the proxy's answer must fit, or the client's
//! next message.

use super::reader::{Form, Lack, Read, Reader, read, require};
use crate::protocol::{Answer, Direction, Stream};

const TEXT_MAX: usize = 255;
/// Methods: none, GSSAPI, password, those IANA assigned after them, private ones.
const METHODS_ASSIGNED: u8 = 9;
const METHODS_PRIVATE: u8 = 0x80;
const NO_METHOD: u8 = 0xff;

pub fn detect(said: Stream<'_>) -> Answer {
    let (client, server): (Form, Form) = match said.to_server.first() {
        Some(4) => (request4, granted4),
        Some(5) => (greeting5, method5),
        Some(_) => return Answer::No,
        // a proxy that speaks first is none
        None if said.to_client.is_empty() => return Answer::More,
        None => return Answer::No,
    };
    let asked = read(said.to_server, client);
    if asked == Err(Lack::No) {
        return Answer::No;
    }
    let granted = read(said.to_client, server);
    match (asked, granted) {
        // greeting and request together say enough
        _ if said.to_client.is_empty() && said.to_server.first() == Some(&5) => match read(said.to_server, hasty5) {
            Ok(bytes) => Answer::Yes(Direction::ToServer, bytes),
            Err(_) => Answer::More,
        },
        (_, Err(Lack::No)) => Answer::No,
        (Ok(_), Ok(bytes)) => Answer::Yes(Direction::ToClient, bytes),
        _ => Answer::More,
    }
}

/// The bytes of a whole request, before any answer: where SOCKS is expected it can be taken for one.
pub fn request(said: &[u8]) -> Option<usize> {
    let form: Form = if said.first() == Some(&4) { request4 } else { hasty5 };
    read(said, form).ok()
}

/// ```text
///     4 | command | port (2) | address (4) | user, 0 | name, 0 (4a: the address is 0.0.0.x)
/// ```
fn request4(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[4])?;
    said.byte_that(|command| command == 1 || command == 2)?;
    require(said.u16()? != 0)?;
    let address = said.u32()?;
    require(address != 0)?;
    text(said)?;
    if address < 0x100 { text(said) } else { Ok(()) }
}

fn text(said: &mut Reader<'_>) -> Read<()> {
    said.run(TEXT_MAX, |byte| byte >= b' ' && byte != 0x7f)?;
    said.literal(&[0])
}

fn granted4(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[0])?;
    said.byte_that(|code| (0x5a..=0x5d).contains(&code))?;
    said.take(6).map(|_| ())
}

/// ```text
///     5 | number of methods | methods
/// ```
fn greeting5(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[5])?;
    let count = said.byte_that(|count| (1..=16).contains(&count))?;
    for _ in 0..count {
        said.byte_that(|method| method <= METHODS_ASSIGNED || (METHODS_PRIVATE..NO_METHOD).contains(&method))?;
    }
    // a request or a password that did not wait
    match said.peek() {
        Ok(next) => require(next == 5 || next == 1),
        Err(_) => Ok(()),
    }
}

/// A client that waits for nothing: greeting, name and password, request (RFC 1928 section 4).
fn hasty5(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[5])?;
    let methods = said.byte()?;
    said.take(methods.into())?;
    if said.peek()? == 1 {
        said.byte()?;
        for _ in 0..2 {
            let length = said.byte()?;
            said.take(length.into())?;
        }
    }
    said.literal(&[5])?;
    said.byte_that(|command| (1..=3).contains(&command))?;
    said.literal(&[0])?;
    let length = match said.byte_that(|kind| matches!(kind, 1 | 3 | 4))? {
        1 => 4,
        3 => said.byte()?.into(),
        _ => 16,
    };
    said.take(length + 2).map(|_| ())
}

fn method5(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[5])?;
    said.byte_that(|method| method <= METHODS_ASSIGNED || method >= METHODS_PRIVATE).map(|_| ())
}
