//! Long headers (RFC 9000 section 17.2, RFC 8999).
//!
//! ```text
//! 1 F T T x x x x   version(32)   length(8) destination id   length(8) source id   by kind
//! ```

use super::super::wire::{Bytes, must};

pub const V1: u32 = 1;
pub const V2: u32 = 0x6b33_43cf;
/// Longest connection id of the versions here.
const ID_MAX: usize = 20;
/// Shortest protected part: a packet number of four bytes at most and the sample behind it.
const PROTECTED_MIN: usize = 20;

type Salt = [u8; 20];

const SALT_V1: Salt = *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
const SALT_V2: Salt = *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9";
const SALT_29: Salt = *b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99";
const SALT_23: Salt = *b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02";
const SALT_21: Salt = *b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a";
const SALT_Q050: Salt = *b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45";
const SALT_T050: Salt = *b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10";
const SALT_T051: Salt = *b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d";

/// Salts of a version's Initial packets; none if it is not known. Some versions do not say which draft they follow.
pub fn salts(version: u32) -> &'static [Salt] {
    match version {
        V1 | 0xff00_0021..=0xff00_0022 => &[SALT_V1],
        V2 => &[SALT_V2],
        0xff00_001d..=0xff00_0020 => &[SALT_29],
        0xff00_0017..=0xff00_001c => &[SALT_23],
        0xff00_0015..=0xff00_0016 => &[SALT_21],
        // mvfst
        0xface_b000..=0xface_b0ff => &[SALT_23, SALT_21, SALT_29, SALT_V1],
        0x5130_3530 => &[SALT_Q050],
        0x5430_3530 => &[SALT_T050],
        0x5430_3531 => &[SALT_T051],
        _ => &[],
    }
}

/// A version that exists to force a negotiation (RFC 9000 section 15).
fn reserved(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Negotiation,
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    /// Of a reserved version: only the part that all versions share is known.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct Long<'a> {
    pub version: u32,
    pub kind: Kind,
    pub destination: &'a [u8],
    pub source: &'a [u8],
    /// The packet from its first byte to the end that its length gives.
    pub packet: &'a [u8],
    /// Where in it the protected packet number starts; for a negotiation, the versions.
    pub protected_at: usize,
}

impl Long<'_> {
    /// A negotiation offers a version that is known here.
    pub fn knows_version(&self) -> bool {
        let offered = self.packet.get(self.protected_at..).unwrap_or_default();
        offered.as_chunks::<4>().0.iter().any(|&version| !salts(u32::from_be_bytes(version)).is_empty())
    }
}

/// The packet that `bytes` start with.
pub fn long<'a>(bytes: &mut Bytes<'a>) -> Option<Long<'a>> {
    let whole = bytes.rest;
    let first = bytes.u8()?;
    must(first & 0x80 != 0)?;
    let version = bytes.u32()?;
    let destination = bytes.short_vector()?;
    let source = bytes.short_vector()?;
    must(destination.len() <= ID_MAX && source.len() <= ID_MAX)?;
    let long = |kind, bytes: &Bytes<'_>, protected: usize| {
        let length = whole.len() - bytes.rest.len();
        let packet = whole.get(..length)?;
        Some(Long { version, kind, destination, source, packet, protected_at: length - protected })
    };
    if version == 0 {
        let offered = bytes.take(bytes.rest.len())?.len();
        must(offered > 0 && offered.is_multiple_of(4))?;
        return long(Kind::Negotiation, bytes, offered);
    }
    // RFC 9000 section 17.2: the fixed bit
    must(first & 0x40 != 0)?;
    if reserved(version) {
        // a client fills its first datagram
        must(whole.len() >= 1200)?;
        let rest = bytes.take(bytes.rest.len())?.len();
        return long(Kind::Unknown, bytes, rest);
    }
    must(!salts(version).is_empty())?;
    // version 2 counts from one on (RFC 9369 section 3.2)
    let number = if version == V2 { (first >> 4).wrapping_sub(1) & 3 } else { first >> 4 & 3 };
    let kind = [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry][usize::from(number)];
    if kind == Kind::Retry {
        // a token and the integrity tag
        let rest = bytes.take(bytes.rest.len())?.len();
        must(rest >= 16)?;
        return long(kind, bytes, rest);
    }
    if kind == Kind::Initial {
        let token = variable(bytes)?;
        bytes.take(usize::try_from(token).ok()?)?;
    }
    let length = usize::try_from(variable(bytes)?).ok()?;
    must(length >= PROTECTED_MIN)?;
    bytes.take(length)?;
    long(kind, bytes, length)
}

/// An integer of variable length (RFC 9000 section 16).
pub fn variable(bytes: &mut Bytes<'_>) -> Option<u64> {
    let first = bytes.u8()?;
    let more = (1usize << (first >> 6)) - 1;
    let start = u64::from(first & 0x3f);
    Some(bytes.take(more)?.iter().fold(start, |sum, &byte| sum << 8 | u64::from(byte)))
}
