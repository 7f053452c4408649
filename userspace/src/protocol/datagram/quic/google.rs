//! Google's QUIC before the IETF's: versions `Q024` to `Q046` begin with a hello in clear, behind a header of their own.

use super::super::wire::{Bytes, must};

/// Header, hash and stream frame before the hello's tag are shorter than this.
const HELLO_WITHIN: usize = 64;

/// A version with Google's handshake in sealed packets: opening them tells.
pub fn version(version: u32) -> bool {
    matches!(version.to_be_bytes(), [b'Q' | b'T', b'0', b'5', b'0' | b'1'])
}

/// A client's hello, or a server's rejection.
pub fn told(datagram: &[u8]) -> bool {
    header(datagram).is_some_and(|rest| {
        let head = rest.get(..HELLO_WITHIN).unwrap_or(rest);
        head.windows(4).any(|tag| tag == b"CHLO" || tag == b"REJ\0")
    })
}

/// What stands behind `CHLO` in a client's hello.
pub fn client_hello(datagram: &[u8]) -> Option<&[u8]> {
    let rest = header(datagram)?;
    let head = rest.get(..HELLO_WITHIN).unwrap_or(rest);
    let at = head.windows(4).position(|tag| tag == b"CHLO")?;
    rest.get(at + 4..)
}

/// The version that a datagram names.
pub fn version_of(datagram: &[u8]) -> Option<u32> {
    let first = *datagram.first()?;
    let at = if first & 0xc0 == 0xc0 { 1 } else { 9 };
    must(at == 1 || first & 1 != 0)?;
    Some(u32::from_be_bytes(*datagram.get(at..)?.first_chunk()?))
}

fn header(datagram: &[u8]) -> Option<&[u8]> {
    let mut bytes = Bytes::new(datagram);
    let flags = bytes.u8()?;
    if flags & 0xc0 == 0xc0 {
        named(bytes.array()?)?;
        // lengths of the two ids: one has eight bytes, the other none
        must(matches!(bytes.u8()?, 0x50 | 0x05))?;
    } else {
        // an id of eight bytes; a client's has a version behind it
        must(flags & 0xc8 == 0x08)?;
        bytes.take(8)?;
        if flags & 1 != 0 {
            named(bytes.array()?)?;
        }
        return Some(bytes.rest);
    }
    bytes.take(8)?;
    Some(bytes.rest)
}

fn named(version: [u8; 4]) -> Option<()> {
    must(matches!(version, [b'Q', b'0', b'2'..=b'4', b'0'..=b'9']))
}
