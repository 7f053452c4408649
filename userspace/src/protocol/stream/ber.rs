//! The Basic Encoding Rules (X.690 section 8.1), as far as tags and definite lengths go.

use super::reader::{Lack, Read, Reader, require};

/// A tag and a length: how many bytes are in it. Lengths of more than four bytes and indefinite ones are a no.
pub fn tagged(said: &mut Reader<'_>, tag: u8) -> Read<usize> {
    said.literal(&[tag])?;
    length(said)
}

/// A length in its short or long form.
pub fn length(said: &mut Reader<'_>) -> Read<usize> {
    let first = said.byte()?;
    if first < 0x80 {
        return Ok(usize::from(first));
    }
    let count = first & 0x7f;
    require((1..=4).contains(&count))?;
    let mut length = 0;
    for _ in 0..count {
        length = length << 8 | usize::from(said.byte()?);
    }
    Ok(length)
}

/// Bytes of what is outside that are left behind this place, where what is inside starts; it must fit.
pub fn rest(outside: usize, since: usize, said: &Reader<'_>) -> Read<usize> {
    outside.checked_sub(said.at() - since).ok_or(Lack::No)
}
