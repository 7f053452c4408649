//! MySQL: the server's greeting (protocol 10) or refusal, and the client's answer to a greeting.

use super::reader::{Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const GREETING: u8 = 10;
const ERROR: u8 = 0xff;
const VERSION_MAX: usize = 128;
const PROTOCOL_41: u32 = 0x200;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, login, greeting)
}

/// A packet's length and its number in the exchange.
fn packet(said: &mut Reader<'_>, number: u8) -> Read<u32> {
    let [low, middle, high] = said.array()?;
    said.literal(&[number])?;
    Ok(u32::from_le_bytes([low, middle, high, 0]))
}

fn greeting(said: &mut Reader<'_>) -> Read<()> {
    // what a first packet holds is short
    let mut head = *said;
    head.take(1)?;
    head.byte_that(|middle| middle <= 2)?;
    head.literal(&[0, 0])?;
    let length = packet(said, 0)?;
    if said.peek()? == ERROR {
        said.byte()?;
        // server errors have numbers from 1000
        require((1000..=4999).contains(&said.u16_le()?))?;
        require(length >= 8)?;
        for _ in 0..5 {
            said.byte_that(|byte| byte.is_ascii_graphic() || byte == b' ')?;
        }
        return Ok(());
    }
    said.literal(&[GREETING])?;
    require(length >= 32)?;
    said.byte_that(|digit| digit.is_ascii_digit())?;
    said.run(VERSION_MAX, |byte| byte.is_ascii_graphic() || byte == b' ')?;
    said.literal(&[0])?;
    // thread, first part of the challenge, and the zero behind it
    said.take(4 + 8)?;
    said.literal(&[0])
}

/// Capabilities, greatest packet, character set, 23 zeros; a request for TLS ends there.
fn login(said: &mut Reader<'_>) -> Read<()> {
    let mut head = *said;
    head.take(2)?;
    head.literal(&[0, 1])?;
    let length = packet(said, 1)?;
    require(length >= 32)?;
    let capabilities = said.u32_le()?;
    // of clients before 4.1 the greeting must tell
    require(capabilities & PROTOCOL_41 != 0)?;
    said.take(5)?;
    // MariaDB puts more capabilities into the last four
    for _ in 0..19 {
        said.literal(&[0])?;
    }
    said.take(4).map(|_| ())
}
