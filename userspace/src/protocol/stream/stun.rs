//! STUN over TCP (RFC 8489 sections 5 and 6.2.2), also in the frames of RFC 4571 that ICE uses.

use super::reader::{Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: u16 = 20;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, message, message)
}

fn message(said: &mut Reader<'_>) -> Read<()> {
    let mut framed = *said;
    match plain(said) {
        Err(super::reader::Lack::No) => {
            let length = framed.u16()?;
            require(length >= HEADER)?;
            let of = plain(&mut framed)?;
            *said = framed;
            require(of + HEADER == length)
        }
        found => found.map(|_| ()),
    }
}

/// The length behind the header. Methods are below 0x100 (RFC 8489 section 18.2, TURN, ICE), and the upper two bits zero.
fn plain(said: &mut Reader<'_>) -> Read<u16> {
    said.byte_that(|high| high & 0xfe == 0)?;
    said.byte()?;
    let length = said.u16()?;
    require(length % 4 == 0)?;
    said.literal(&COOKIE)?;
    Ok(length)
}
