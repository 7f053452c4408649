//! HTTP/2 with prior knowledge (RFC 9113 section 3.4): the client's preface, and the server's first SETTINGS frame.

use super::reader::{Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const SETTINGS: u8 = 4;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, preface, settings)
}

fn preface(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
}

/// The frame of a server that speaks first; no acknowledgement, as there is nothing to acknowledge.
fn settings(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[0])?;
    let length = said.u16()?;
    require(length % 6 == 0 && length <= 6 * 32)?;
    said.literal(&[SETTINGS, 0, 0, 0, 0, 0])?;
    for _ in 0..length / 6 {
        // identifiers are few, and 0 is none
        require((1..=0x100).contains(&said.u16()?) || length > 6)?;
        said.u32()?;
    }
    Ok(())
}
