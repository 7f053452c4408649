//! Microsoft SQL Server (MS-TDS sections 2.2.3.1, 2.2.6.4, 2.2.6.5): the pre-login exchange, or a login without it.

use super::reader::{Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const REPLY: u8 = 4;
const LOGIN: u8 = 16;
const PRELOGIN: u8 = 18;
const HEADER: u16 = 8;
const TERMINATOR: u8 = 0xff;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, request, reply)
}

/// ```text
///     type | status | length (2) | SPID (2) | packet | window (0)
/// ```
fn packet(said: &mut Reader<'_>, kind: u8) -> Read<u16> {
    said.literal(&[kind])?;
    said.byte_that(|status| status <= 1)?;
    let length = said.u16()?;
    require((HEADER + 6..=32767).contains(&length))?;
    said.u16()?;
    said.byte_that(|packet| packet <= 1)?;
    said.literal(&[0])?;
    Ok(length - HEADER)
}

fn request(said: &mut Reader<'_>) -> Read<()> {
    if said.peek()? == LOGIN {
        packet(said, LOGIN)?;
        // its length, which may take several packets; then the version
        require((94..=128 * 1024).contains(&said.u32_le()?))?;
        let version = said.u32_le()?;
        return require(version >> 28 == 7 || version.swap_bytes() >> 28 == 7);
    }
    let length = packet(said, PRELOGIN)?;
    options(said, length)
}

fn reply(said: &mut Reader<'_>) -> Read<()> {
    let length = packet(said, REPLY)?;
    options(said, length)
}

/// Options by number, each with the place and length of its value; the first is the version.
fn options(said: &mut Reader<'_>, length: u16) -> Read<()> {
    let mut next = 0;
    said.literal(&[0])?;
    loop {
        let (place, size) = (said.u16()?, said.u16()?);
        require(u32::from(place) + u32::from(size) <= u32::from(length))?;
        require(next > 0 || size == 6)?;
        next += 1;
        if said.byte_that(|option| option == TERMINATOR || (1..=15).contains(&option))? == TERMINATOR {
            return Ok(());
        }
        require(next <= 16)?;
    }
}
