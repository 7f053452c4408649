//! SMB over TCP (MS-SMB2 section 2.1) and over NetBIOS sessions (RFC 1002 section 4.3).

use super::reader::{Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const SESSION_REQUEST: u8 = 0x81;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, request, message)
}

fn request(said: &mut Reader<'_>) -> Read<()> {
    if said.peek()? != SESSION_REQUEST {
        return message(said);
    }
    said.literal(&[SESSION_REQUEST, 0, 0, 68])?;
    // both names, each 16 bytes in half-bytes
    for _ in 0..2 {
        said.literal(&[32])?;
        for _ in 0..32 {
            said.byte_that(|letter| (b'A'..=b'P').contains(&letter))?;
        }
        said.literal(&[0])?;
    }
    Ok(())
}

fn message(said: &mut Reader<'_>) -> Read<()> {
    // a session's message; a server may first agree to the session
    if said.peek()? == 0x82 {
        said.literal(&[0x82, 0, 0, 0])?;
    }
    said.literal(&[0])?;
    let length = u32::from(said.byte()?) << 16 | u32::from(said.u16()?);
    // the header of SMB 1
    require(length >= 32)?;
    // SMB 1, SMB 2 and 3; later in a connection, which may be met there, encrypted and compressed ones
    said.byte_that(|mark| matches!(mark, 0xfc..=0xff))?;
    said.literal(b"SMB")
}
