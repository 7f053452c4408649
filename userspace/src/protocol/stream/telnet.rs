//! Telnet (RFC 854): option negotiation at the start of either direction.

use super::reader::{Lack, Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const IAC: u8 = 255;
const SUBNEGOTIATION: u8 = 250;
const END: u8 = 240;
const WILL: u8 = 251;
const DONT: u8 = 254;
/// Options that are assigned, up to 49, and a few far ones.
const FAR_OPTIONS: [u8; 9] = [69, 70, 86, 90, 91, 93, 138, 200, 255];
/// Text that a server may say before it negotiates.
const TEXT_MAX: usize = 80;
const SUBNEGOTIATION_MAX: usize = 256;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, commands, greeting)
}

fn greeting(said: &mut Reader<'_>) -> Read<()> {
    // the client may still negotiate
    said.run(TEXT_MAX, |byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t' | 0x1b | 7 | 0))?;
    commands(said)
}

/// Two commands, or one and text behind it.
fn commands(said: &mut Reader<'_>) -> Read<()> {
    command(said)?;
    match said.peek()? {
        IAC => command(said),
        b' '..=b'~' | b'\r' | b'\n' | 0x1b => Ok(()),
        _ => Err(Lack::No),
    }
}

fn command(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[IAC])?;
    match said.byte()? {
        WILL..=DONT => said.byte_that(is_option).map(|_| ()),
        SUBNEGOTIATION => {
            said.byte_that(is_option)?;
            said.run(SUBNEGOTIATION_MAX, |byte| byte != IAC)?;
            said.literal(&[IAC, END])
        }
        // no operation, data mark, break and so on
        code => require((END + 1..SUBNEGOTIATION).contains(&code)),
    }
}

fn is_option(option: u8) -> bool {
    option < 50 || FAR_OPTIONS.contains(&option)
}
