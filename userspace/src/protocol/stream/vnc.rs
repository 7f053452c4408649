//! RFB, which VNC speaks (RFC 6143 section 7.1.1): both sides name their version.

use super::reader::{Read, Reader, either};
use crate::protocol::{Answer, Stream};

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, version, version)
}

fn version(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"RFB ")?;
    for part in [b".".as_slice(), b"\n"] {
        for _ in 0..3 {
            said.byte_that(|digit| digit.is_ascii_digit())?;
        }
        said.literal(part)?;
    }
    Ok(())
}
