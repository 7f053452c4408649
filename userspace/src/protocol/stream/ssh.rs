//! SSH: the identification string (RFC 4253 section 4.2), which both sides send.

use super::reader::{Read, Reader, either};
use crate::protocol::{Answer, Stream};

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, version, version)
}

fn version(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"SSH-")?;
    // 1.x, 2.0, or 1.99 for both
    said.byte_that(|major| major == b'1' || major == b'2')?;
    said.literal(b".")?;
    said.byte_that(|minor| minor.is_ascii_digit())?;
    Ok(())
}
