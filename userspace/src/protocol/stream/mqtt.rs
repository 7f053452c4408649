//! MQTT: the client's CONNECT (version 5 section 3.1, 3.1.1, and 3.1 with its older name).

use super::reader::{Read, Reader, asked, require, silent};
use crate::protocol::{Answer, Stream};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;

pub fn detect(said: Stream<'_>) -> Answer {
    asked(said, connect, acknowledged)
}

fn connect(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[CONNECT])?;
    let mut length = 0u32;
    for shift in [0, 7, 14, 21] {
        let byte = said.byte()?;
        length |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        require(shift < 21)?;
    }
    // name, level, flags, keep-alive, an empty client identifier
    require(length >= 12)?;
    said.literal(&[0])?;
    let level = match said.byte_that(|length| length == 4 || length == 6)? {
        4 => {
            said.literal(b"MQTT")?;
            said.byte_that(|level| level == 4 || level == 5 || level == 0x84)?
        }
        _ => {
            said.literal(b"MQIsdp")?;
            said.byte_that(|level| level == 3 || level == 0x83)?
        }
    };
    // the lowest flag is reserved
    said.byte_that(|flags| level & 0x80 != 0 || flags & 1 == 0).map(|_| ())
}

fn acknowledged(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[CONNACK])?;
    // flags and code; version 5 adds properties
    said.byte_that(|length| length >= 2)?;
    said.byte_that(|flags| flags <= 1)?;
    silent(said)
}
