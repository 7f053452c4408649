//! DNS over TCP (RFC 1035 section 4, RFC 7766 section 8): a length, the header, and the first question.

use super::reader::{Lack, Read, Reader, either, require};
use crate::protocol::{Answer, Stream};

const HEADER: u16 = 12;
/// Longest query that is believed: text, read as a length, is longer.
const QUERY_MAX: u16 = 0x1fff;
const NAME_MAX: usize = 255;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, query, response)
}

fn query(said: &mut Reader<'_>) -> Read<()> {
    message(said, 0)
}

fn response(said: &mut Reader<'_>) -> Read<()> {
    message(said, 0x8000)
}

fn message(said: &mut Reader<'_>, response: u16) -> Read<()> {
    let length = said.u16()?;
    // a root name, type and class
    require(length >= HEADER + 5 && (response != 0 || length <= QUERY_MAX))?;
    said.u16()?;
    let flags = said.u16()?;
    require(flags & 0x8000 == response)?;
    // query, status, notify, update; and the bit that must be zero
    require([0, 2, 4, 5].contains(&(flags >> 11 & 0xf)) && flags & 0x40 == 0)?;
    require(said.u16()? == 1)?;
    let (answers, authorities, additional) = (said.u16()?, said.u16()?, said.u16()?);
    if response == 0 {
        require(flags & 0xf == 0 && answers <= 8 && authorities <= 64 && additional <= 16)?;
    } else {
        // each takes eleven bytes at least
        let records = u32::from(answers) + u32::from(authorities) + u32::from(additional);
        require(records * 11 <= u32::from(length))?;
    }
    name(said)?;
    require(said.u16()? != 0)?;
    // classes: IN, CH, HS, none and any; the high bit is mDNS'
    require([1, 3, 4, 254, 255].contains(&(said.u16()? & 0x7fff)))?;
    require(said.at() - 2 <= usize::from(length))
}

fn name(said: &mut Reader<'_>) -> Read<()> {
    let since = said.at();
    loop {
        let label = usize::from(said.byte()?);
        if label == 0 {
            return Ok(());
        }
        if label > 63 || said.at() - since + label > NAME_MAX {
            return Err(Lack::No);
        }
        said.take(label)?;
    }
}
