//! PostgreSQL (its manual, "Message Formats"): the first message has a length, and a code or a version.

use super::reader::{Read, Reader, asked, require, silent};
use crate::protocol::{Answer, Stream};

const CANCEL: u32 = 0x04d2_162e;
const TLS: u32 = 0x04d2_162f;
const GSS: u32 = 0x04d2_1630;
const STARTUP_MAX: u32 = 10_000;
const NAME_MAX: usize = 64;

pub fn detect(said: Stream<'_>) -> Answer {
    asked(said, first, answer)
}

fn first(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[0, 0])?;
    let length = u32::from(said.u16()?);
    require((8..=STARTUP_MAX).contains(&length))?;
    if said.peek()? == 4 {
        let code = match length {
            8 => {
                said.literal(&[0x04, 0xd2, 0x16])?;
                0x04d2_1600 | u32::from(said.byte()?)
            }
            _ => said.u32()?,
        };
        return require(if length == 8 { code == TLS || code == GSS } else { code == CANCEL && length >= 16 });
    }
    // version 3; clients that try whether a server tolerates what it does not know ask for minor version 9999
    said.literal(&[0, 3])?;
    require(said.u16()? <= 9999)?;
    // pairs of name and value; the first is a name
    require(length > 8 + 3)?;
    said.byte_that(|letter| letter.is_ascii_alphabetic() || letter == b'_')?;
    said.run(NAME_MAX, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || byte == b'-')?;
    said.literal(&[0])
}

/// TLS or not, or a message: an authentication, an error. None says enough by itself.
fn answer(said: &mut Reader<'_>) -> Read<()> {
    said.byte_that(|kind| b"SNGREv".contains(&kind))?;
    silent(said)
}
