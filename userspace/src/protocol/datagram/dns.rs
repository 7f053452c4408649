//! DNS (RFC 1035), and what has its message format: multicast DNS (RFC 6762) and LLMNR (RFC 4795) answer as DNS too.
//!
//! Its questions tell. Records behind them are not walked: fragments, servers with faults and tunnels are DNS still. A
//! message without a question must be whole. What misuses the flags is DNS still if it asks for one plain name. NetBIOS names (RFC 1002) share the format and are told apart by their
//! encoding and their type.

use super::{
    Answer, Datagrams, Look, each,
    wire::{Bytes, must},
};

const RESPONSE: u16 = 0x8000;
/// The bit between those of RFC 1035's reserved three that DNSSEC has not taken.
const RESERVED: u16 = 0x0040;
/// Inverse query.
const INVERSE: u16 = 1;
/// NetBIOS's type of question; DNS has nothing in use there.
const NETBIOS: u16 = 32;

/// One message tells.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| Look::whole(datagram, message(datagram)))
}

fn message(datagram: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(datagram);
    bytes.u16()?;
    let flags = bytes.u16()?;
    let opcode = flags >> 11 & 15;
    let [questions, answers, authority, additional] = [bytes.u16()?, bytes.u16()?, bytes.u16()?, bytes.u16()?];
    // query, inverse query, status, notify, update; and a query has no error
    let sound = matches!(opcode, 0..=2 | 4 | 5) && flags & RESERVED == 0 && (flags & RESPONSE != 0 || flags & 15 == 0);
    must(sound || (questions == 1 && plain_question(bytes).is_some()))?;
    if questions == 0 {
        // an answer, an announcement, or an inverse query, which carries one (RFC 1035 section 6.4)
        must(flags & RESPONSE != 0 || (opcode == INVERSE && answers == 1))?;
        let records = u32::from(answers) + u32::from(authority) + u32::from(additional);
        // an error that repeats nothing is too little to tell
        must(records > 0)?;
        for _ in 0..records {
            record(&mut bytes)?;
        }
        return must(bytes.is_empty());
    }
    for _ in 0..questions {
        must(!name(&mut bytes)?)?;
        let kind = bytes.u16()?;
        must(kind != 0 && kind != NETBIOS && class(bytes.u16()?))?;
    }
    Some(())
}

/// One question for a name of letters, digits, hyphens and underscores, of the class of the Internet.
fn plain_question(mut bytes: Bytes<'_>) -> Option<()> {
    let mut labels = 0;
    loop {
        let label = bytes.short_vector()?;
        if label.is_empty() {
            break;
        }
        labels += 1;
        must(label.len() < 64 && labels < 32)?;
        must(label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))?;
    }
    let kind = bytes.u16()?;
    must(labels > 1 && kind != 0 && kind != NETBIOS && bytes.u16()? == 1)
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

/// Half a byte a letter (RFC 1001 section 14.1); a few letters may be wrong.
fn encoded(label: &[u8]) -> bool {
    label.iter().filter(|byte| (b'A'..=b'P').contains(byte)).count() >= 28
}

/// Walks a name; whether it is one in NetBIOS's encoding.
fn name(bytes: &mut Bytes<'_>) -> Option<bool> {
    const ENCODED: u8 = 32;
    let mut length = 0;
    let mut netbios = false;
    loop {
        let size = bytes.u8()?;
        match size >> 6 {
            0 if size == 0 => return Some(netbios),
            0 => {
                let label = bytes.take(usize::from(size))?;
                netbios |= length == 0 && size == ENCODED && encoded(label);
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
