//! The sieve before the tables: which addresses and ports no entry can match.

use dropgate_abi::{
    policy::{PrefixKey, Sieve, sieve, table},
    tuple::{V4, V6},
};

use super::image::{Image, PrefixEntry};

/// First bits of the IPv6 link-local prefix, `fe80::/10`, and how many.
const LINK_LOCAL: (u32, u32) = (0xfe80 >> 6, 10);

impl Image {
    /// The sieve of the tables as they are.
    pub fn sieve(&self) -> Box<Sieve> {
        let mut made = Box::new(Sieve::EMPTY);
        for entry in self.prefixes[table::SOURCES as usize].iter().chain(&self.prefixes[table::PEERS as usize]) {
            address(&mut made, entry);
        }
        for (key, _) in &self.services {
            let (plane, bit) = sieve::port(key.protocol, key.port);
            turn_on(&mut made.ports[plane], bit, 0);
        }
        for (protocol, port, open) in self.prefixes[table::RANGES as usize].iter().map(ports) {
            let (plane, bit) = sieve::port(protocol, port);
            turn_on(&mut made.ports[plane], bit, open);
        }
        made
    }
}

/// Enters an entry of a table of addresses.
fn address(made: &mut Sieve, entry: &PrefixEntry) {
    let PrefixEntry { length, key: PrefixKey { scope_be, address }, .. } = *entry;
    let family = if u32::from_be(scope_be) & 1 == 1 { V6 } else { V4 };
    let length = length - 32;
    // never sieved
    if family == V6 && length >= LINK_LOCAL.1 && u32::from_be(address[0]) >> 22 == LINK_LOCAL.0 {
        return;
    }
    let bit = sieve::address(family, &address);
    // of the first bits, those that an address's bit is made from, this many are open
    let (plane, used) = if family == V6 { (&mut made.addresses6, 32u32) } else { (&mut made.addresses4, 16) };
    turn_on(plane, bit, used.saturating_sub(length).min(16));
}

/// Turns on every bit whose number differs from `bit` in the lowest `open` bits only: whatever is exclusive-ored with
/// numbers of such a block, a block comes out.
fn turn_on(plane: &mut [u64; sieve::WORDS], bit: u32, open: u32) {
    let first = bit >> open << open;
    if open >= 6 {
        let words = (first >> 6) as usize;
        plane[words..words + (1 << (open - 6))].fill(u64::MAX);
    } else {
        plane[(first >> 6) as usize] |= u64::MAX >> (64 - (1 << open)) << (first & 63);
    }
}

/// Protocol, first port and open bits of an entry of [`dropgate_abi::policy::table::RANGES`].
fn ports(entry: &PrefixEntry) -> (u8, u16, u32) {
    let word = u32::from_be(entry.key.address[0]);
    ((word >> 16) as u8, word as u16, 32 + 32 - entry.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{compile::entry, prefix::Prefix};

    /// Of a prefix, every address that stands for a block of the sieve is in it, and little else.
    #[test]
    fn addresses() {
        for (text, inside, on) in [
            ("0.0.0.0/0", vec![0u32, u32::MAX], 65536),
            ("10.0.0.0/8", vec![0x0a00_0000, 0x0aff_ffff, 0x0a12_3456], 256),
            ("192.168.4.0/22", vec![0xc0a8_0400, 0xc0a8_07ff], 1),
            ("172.16.0.0/12", vec![0xac10_0000, 0xac1f_ffff], 16),
            ("fd00::/8", vec![0xfd00_0000, 0xfdff_ffff], 65536),
            ("fe80::/64", vec![], 0),
            ("2001:db8::/32", vec![0x2001_0db8], 1),
            ("2001:db0::/28", vec![0x2001_0db0, 0x2001_0dbf], 16),
            ("2001:800::/21", vec![0x2001_0800, 0x2001_0fff], 2048),
        ] {
            let prefix = Prefix::parse(text).unwrap();
            let mut made = Sieve::EMPTY;
            address(&mut made, &entry(7, prefix, 1));
            let plane = if prefix.is_v6() { &made.addresses6 } else { &made.addresses4 };
            assert_eq!(plane.iter().map(|word| word.count_ones()).sum::<u32>(), on, "{text}");
            for first in inside {
                let first_word = [first.to_be(), 0, 0, 0];
                assert!(sieve::has(plane, sieve::address(prefix.family(), &first_word)), "{text}: {first:x}");
            }
        }
    }

    /// Blocks of every size, at any place in them.
    #[test]
    fn blocks() {
        for open in 0..=16 {
            for bit in [0, 1, 63, 64, 1000, 40_000, 65_535] {
                let mut plane = [0; sieve::WORDS];
                turn_on(&mut plane, bit, open);
                for other in 0..=65_535 {
                    assert_eq!(sieve::has(&plane, other), other >> open == bit >> open, "{open} {bit} {other}");
                }
            }
        }
    }
}
