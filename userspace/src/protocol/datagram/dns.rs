//! DNS (RFC 1035), and what has its message format: multicast DNS (RFC 6762) and LLMNR (RFC 4795) answer as DNS too.
//!
//! The message must be whole: every question and every record is walked. NetBIOS names (RFC 1002) share the format and
//! are told apart by their encoding.

use super::{
    Answer, Datagrams, Look, each,
    wire::{Bytes, must},
};

/// Queries, answers, the reserved bit.
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RESERVED: u16 = 0x0040;

/// One message tells.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| Look::whole(datagram, message(datagram)))
}

fn message(datagram: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(datagram);
    bytes.u16()?;
    let flags = bytes.u16()?;
    let opcode = flags >> 11 & 15;
    // query, inverse query, status, notify, update
    must(matches!(opcode, 0..=2 | 4 | 5) && flags & RESERVED == 0)?;
    let [questions, answers, authority, additional] = [bytes.u16()?, bytes.u16()?, bytes.u16()?, bytes.u16()?];
    let records = usize::from(answers) + usize::from(authority) + usize::from(additional);
    if flags & RESPONSE == 0 {
        must(questions > 0)?;
        // a query has no error
        must(flags & 15 == 0)?;
    }
    // an error that repeats nothing is too little to tell
    must(questions > 0 || records > 0)?;
    for at in 0..questions {
        let netbios = name(&mut bytes)?;
        must(!(at == 0 && netbios))?;
        let kind = bytes.u16()?;
        must(kind != 0 && class(bytes.u16()?))?;
    }
    for _ in 0..records {
        if bytes.is_empty() && flags & TRUNCATED != 0 {
            return Some(());
        }
        record(&mut bytes)?;
    }
    must(bytes.is_empty())
}

fn record(bytes: &mut Bytes<'_>) -> Option<()> {
    const OPT: u16 = 41;
    must(!name(bytes)?)?;
    let kind = bytes.u16()?;
    let class_or_size = bytes.u16()?;
    must(kind != 0 && (kind == OPT || class(class_or_size)))?;
    bytes.u32()?;
    bytes.vector()?;
    Some(())
}

/// IN, CH, HS, NONE, ANY; multicast DNS has a bit of its own on top.
fn class(value: u16) -> bool {
    matches!(value & 0x7fff, 1 | 3 | 4 | 254 | 255)
}

/// Walks a name; whether it is one in NetBIOS's encoding.
fn name(bytes: &mut Bytes<'_>) -> Option<bool> {
    const NETBIOS: u8 = 32;
    let mut length = 0;
    let mut netbios = false;
    loop {
        let size = bytes.u8()?;
        match size >> 6 {
            0 if size == 0 => return Some(netbios),
            0 => {
                let label = bytes.take(usize::from(size))?;
                netbios |= length == 0 && size == NETBIOS && label.iter().all(|byte| (b'A'..=b'P').contains(byte));
                length += 1 + usize::from(size);
                must(length <= 255)?;
            }
            // a pointer ends it
            3 => {
                bytes.u8()?;
                return Some(netbios);
            }
            _ => return None,
        }
    }
}
