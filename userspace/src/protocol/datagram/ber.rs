//! As much of BER (X.690) as SNMP, LDAP and Kerberos need: definite lengths, tags of one byte.

use super::wire::{Bytes, must};

pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const OBJECT: u8 = 0x06;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;

/// The next element: its tag and its contents.
pub fn element<'a>(bytes: &mut Bytes<'a>) -> Option<(u8, &'a [u8])> {
    let tag = bytes.u8()?;
    // the long form of tags is used by none of the three
    must(tag & 0x1f != 0x1f)?;
    let first = bytes.u8()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let size = usize::from(first & 0x7f);
        must((1..=4).contains(&size))?;
        bytes.take(size)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
    };
    Some((tag, bytes.take(length)?))
}

/// The contents of the next element, if it has this tag.
pub fn tagged<'a>(bytes: &mut Bytes<'a>, tag: u8) -> Option<Bytes<'a>> {
    let (found, contents) = element(bytes)?;
    must(found == tag)?;
    Some(Bytes::new(contents))
}

/// The only element there is, if it has this tag.
pub fn only(bytes: &[u8], tag: u8) -> Option<Bytes<'_>> {
    let mut bytes = Bytes::new(bytes);
    let contents = tagged(&mut bytes, tag)?;
    must(bytes.is_empty())?;
    Some(contents)
}

/// The value of the next element, if it is an integer of at most four bytes.
pub fn integer(bytes: &mut Bytes<'_>) -> Option<i64> {
    let contents = tagged(bytes, INTEGER)?.rest;
    must(contents.len() <= 5)?;
    let (&first, _) = contents.split_first()?;
    let start = if first & 0x80 == 0 { 0 } else { -1 };
    Some(contents.iter().fold(start, |sum, &byte| sum << 8 | i64::from(byte)))
}
