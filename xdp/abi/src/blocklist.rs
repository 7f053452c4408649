//! The blocklist of a slot: for each direction and family the blocked prefixes in order, and an index by their first bits.
//!
//! No blocked prefix holds another one, so that in order they are stretches of addresses that do not overlap: an address is
//! blocked if the last prefix that does not begin behind it holds it. The index says where to look:
//!
//! ```text
//! BLOCK_INDEX   0: shift | 1 + (first 64 bits of the address >> shift): first << 32 | count
//! BLOCKED       prefixes in order; those from `first` on, `count` of them, have addresses with these first bits
//! ```
//!
//! There are about twice as many places in the index as prefixes, up to 2^21. Addresses at random need one or two looks at
//! prefixes; whatever the list and the address, there are [`LOOKS`] at most.

use crate::{
    plain,
    tuple::{Address, V6},
};

/// Tables of a slot: two directions of two families.
pub const PARTS: u32 = 4;
/// Bits of an address that the index is made by, at least and at most.
pub const MIN_BITS: u32 = 1;
pub const MAX_BITS: u32 = 21;
/// Looks at prefixes that a search takes at most: enough for 2^24 of them with the same first bits.
pub const LOOKS: u32 = 25;

/// A blocked prefix. Entry of `BLOCKED`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Blocked {
    /// Its first address as a number, high half first; an IPv4 address is the upper half of `high`.
    pub high: u64,
    pub low: u64,
    /// In bits.
    pub length: u32,
    pub _pad: u32,
}

plain!(Blocked = 24);

impl Blocked {
    /// Whether an address (see [`number`]) lies in it.
    #[inline(always)]
    pub const fn holds(&self, high: u64, low: u64) -> bool {
        (self.high ^ high) & mask(self.length) == 0 && (self.low ^ low) & mask(self.length.saturating_sub(64)) == 0
    }

    /// Whether it begins at an address or before it.
    #[inline(always)]
    pub const fn begins_before(&self, high: u64, low: u64) -> bool {
        self.high < high || self.high == high && self.low <= low
    }
}

/// The first `length` bits of 64, all of them from 64 on.
#[inline(always)]
pub const fn mask(length: u32) -> u64 {
    match length {
        0 => 0,
        1..64 => u64::MAX << (64 - length),
        _ => u64::MAX,
    }
}

/// Index of a table in both maps of maps. `scope`: [`crate::policy::BLOCK_FROM`] or [`crate::policy::BLOCK_TO`].
#[inline(always)]
pub const fn part(slot: u32, scope: u32, family: u8) -> u32 {
    slot * PARTS + (scope & 1) * 2 + (family == V6) as u32
}

/// An address as the number that prefixes are ordered by.
#[inline(always)]
pub const fn number(address: &Address) -> (u64, u64) {
    let [a, b, c, d] = *address;
    (word(a, b), word(c, d))
}

#[inline(always)]
const fn word(high: u32, low: u32) -> u64 {
    (u32::from_be(high) as u64) << 32 | u32::from_be(low) as u64
}

/// Whether some prefix holds an address. `index` and `blocked` read the two maps; nothing there: nothing is blocked. `hide`
/// answers with what it is given: on the kernel side so that the verifier knows nothing of it, and does not walk each
/// combination of halves.
#[inline(always)]
pub fn search(
    (high, low): (u64, u64),
    index: impl Fn(u32) -> Option<u64>,
    blocked: impl Fn(u32) -> Option<Blocked>,
    hide: impl Fn(u32) -> u32,
) -> bool {
    let Some(shift) = index(0) else { return false };
    let Some(place) = index(1 + (high >> (shift & 63)) as u32) else { return false };
    let mut first = (place >> 32) as u32;
    let mut count = place as u32;
    let mut looks = 0;
    while count > 0 && looks < LOOKS {
        let half = count >> 1;
        let Some(found) = blocked(first.wrapping_add(half)) else { return false };
        if found.holds(high, low) {
            return true;
        }
        if found.begins_before(high, low) {
            first = first.wrapping_add(half).wrapping_add(1);
            count = count.wrapping_sub(half).wrapping_sub(1);
        } else {
            count = half;
        }
        (first, count) = (hide(first), hide(count));
        looks += 1;
    }
    false
}
