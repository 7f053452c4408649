//! RDP (MS-RDPBCGR sections 2.2.1.1 and 2.2.1.2): a TPKT with an X.224 connection request or confirm, and in it a cookie, a
//! negotiation, or nothing. Others who connect that way (S7, H.323) have parameters there.

use super::reader::{Lack, Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
/// TPKT header, length indicator, code, two references, class.
const BARE: u16 = 11;
const NEGOTIATION: u16 = 8;
const NEGOTIATION_REQUEST: u8 = 1;
const NEGOTIATION_RESPONSE: u8 = 2;
const NEGOTIATION_FAILURE: u8 = 3;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, request, confirm)
}

/// Bytes behind the fixed part.
fn connection(said: &mut Reader<'_>, code: u8) -> Read<u16> {
    said.literal(&[3, 0])?;
    let length = said.u16()?;
    require((BARE..=512).contains(&length))?;
    require(u16::from(said.byte()?) + 5 == length)?;
    said.literal(&[code])?;
    Ok(length - BARE)
}

fn request(said: &mut Reader<'_>) -> Read<()> {
    let mut left = connection(said, CONNECTION_REQUEST)?;
    // no destination yet, any source, class 0
    said.literal(&[0, 0])?;
    said.u16()?;
    said.literal(&[0])?;
    if left == 0 {
        return Ok(());
    }
    match said.peek()? {
        b'C' => return said.literal(b"Cookie: ms"),
        // behind a negotiation may be more (2.2.1.1.2)
        NEGOTIATION_REQUEST if left >= NEGOTIATION => return negotiation(said, &[NEGOTIATION_REQUEST]),
        _ => {}
    }
    // a routing token, in its own words or as a TPKT in itself
    while left > NEGOTIATION {
        said.byte_that(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\r' || byte == b'\n')?;
        left -= 1;
    }
    require(left == NEGOTIATION)?;
    negotiation(said, &[NEGOTIATION_REQUEST])
}

fn confirm(said: &mut Reader<'_>) -> Read<()> {
    let left = connection(said, CONNECTION_CONFIRM)?;
    said.take(5)?;
    match left {
        0 => Err(Lack::More),
        NEGOTIATION => negotiation(said, &[NEGOTIATION_RESPONSE, NEGOTIATION_FAILURE]),
        _ => Err(Lack::No),
    }
}

/// A request, a response or a failure; its length is little-endian.
fn negotiation(said: &mut Reader<'_>, kinds: &[u8]) -> Read<()> {
    said.byte_that(|kind| kinds.contains(&kind))?;
    said.byte()?;
    said.literal(&[8, 0])?;
    said.take(4).map(|_| ())
}
