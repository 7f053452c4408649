//! The blocklist as the kernel side searches it: see [`dropgate_abi::blocklist`].

use dropgate_abi::{
    blocklist::{Blocked, MAX_BITS, MIN_BITS, PARTS, mask, number, part},
    tuple::{V4, V6},
};

use crate::policy::compile::PrefixEntry;

/// The blocked prefixes of one direction and family, and their index.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BlockTable {
    index: Vec<u64>,
    blocked: Vec<Blocked>,
}

impl BlockTable {
    /// The tables of a slot, by part, of the entries of [`Image::blocklist`](crate::policy::compile::Image).
    pub fn all(entries: &[PrefixEntry]) -> Vec<Self> {
        let mut parts = vec![Vec::new(); PARTS as usize];
        for entry in entries {
            let scope = u32::from_be(entry.key.scope_be);
            let family = if scope & 1 == 1 { V6 } else { V4 };
            let (high, low) = number(&entry.key.address);
            let blocked = Blocked { high, low, length: entry.length - 32, _pad: 0 };
            parts[part(0, scope >> 1, family) as usize].push(blocked);
        }
        parts.into_iter().map(Self::new).collect()
    }

    /// Of prefixes in any order. One that another holds may be among them, and is left out.
    pub fn new(mut blocked: Vec<Blocked>) -> Self {
        // right before what it holds; the compiler has them in order already
        blocked.sort_by_key(|blocked| (blocked.high, blocked.low, blocked.length));
        blocked.dedup_by(|one, before| before.holds(one.high, one.low));
        let bits = (blocked.len().max(1).ilog2() + 2).clamp(MIN_BITS, MAX_BITS);
        let shift = 64 - bits;
        let mut index = vec![0; 1 + (1 << bits)];
        index[0] = u64::from(shift);
        for (at, one) in (0u64..).zip(&blocked) {
            let last = one.high | !mask(one.length);
            for place in &mut index[1 + (one.high >> shift) as usize..=1 + (last >> shift) as usize] {
                *place = if *place == 0 { at << 32 | 1 } else { *place + 1 };
            }
        }
        Self { index, blocked }
    }

    /// Entries of `BLOCK_INDEX`.
    pub fn index(&self) -> &[u64] {
        &self.index
    }

    /// Entries of `BLOCKED`; at least one, which nothing points to when nothing is blocked.
    pub fn blocked(&self) -> &[Blocked] {
        const NONE: &[Blocked] = &[Blocked { high: 0, low: 0, length: 0, _pad: 0 }];
        if self.blocked.is_empty() { NONE } else { &self.blocked }
    }
}

#[cfg(test)]
mod tests {
    use dropgate_abi::blocklist::search;
    use proptest::prelude::*;

    use super::*;

    impl BlockTable {
        fn holds(&self, address: (u64, u64)) -> bool {
            let index = |at: u32| self.index().get(at as usize).copied();
            search(address, index, |at| self.blocked().get(at as usize).copied(), |number| number)
        }
    }

    fn prefix(high: u64, low: u64, length: u32) -> Blocked {
        Blocked { high: high & mask(length), low: low & mask(length.saturating_sub(64)), length, _pad: 0 }
    }

    /// Numbers in which few bits differ, so that prefixes meet.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![
            prop::sample::select(vec![0, 1, u64::MAX, 1 << 63, u64::MAX >> 1, 0x2001_0db8_0000_0000]),
            (0u64..8, 0u32..64).prop_map(|(bits, shift)| bits << shift),
            any::<u64>(),
        ]
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_some_prefix_holds(
            prefixes in prop::collection::vec((word(), word(), 0u32..=128), 0..60),
            addresses in prop::collection::vec((word(), word()), 50),
        ) {
            let prefixes: Vec<Blocked> = prefixes.into_iter().map(|(high, low, length)| prefix(high, low, length)).collect();
            let table = BlockTable::new(prefixes.clone());
            // every prefix's ends, their neighbours, and others
            let ends = prefixes.iter().flat_map(|one| {
                let first = u128::from(one.high) << 64 | u128::from(one.low);
                let last = first | u128::MAX.checked_shr(one.length).unwrap_or(0);
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(|all| ((all >> 64) as u64, all as u64))
            });
            for (high, low) in ends.chain(addresses) {
                let held = prefixes.iter().any(|one| one.holds(high, low));
                prop_assert_eq!(table.holds((high, low)), held, "{:x} {:x}", high, low);
            }
        }
    }

    /// All of them where one place of the index leads to.
    #[test]
    fn many_with_the_same_first_bits() {
        let hosts: Vec<Blocked> = (0..100_000).map(|host| prefix(0x2001_0db8 << 32, 2 * host, 128)).collect();
        let table = BlockTable::new(hosts);
        for host in [0, 1, 2, 99_999, 100_000, 199_998, 199_999, 200_000] {
            assert_eq!(table.holds((0x2001_0db8 << 32, host)), host % 2 == 0 && host < 200_000, "{host}");
        }
    }
}
