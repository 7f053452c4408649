//! Addresses and five-tuples.

use crate::plain;

/// An address of either family: four 32-bit words in network order. IPv4 stands in the first word, the others are zero;
/// the family travels beside it, so that an IPv4-mapped IPv6 address is never taken for IPv4.
pub type Address = [u32; 4];

/// IPv4, as a family number.
pub const V4: u8 = 4;
/// IPv6, as a family number.
pub const V6: u8 = 6;

/// The key of a flow: both directions of a five-tuple, the smaller endpoint first. 40 bytes.
///
/// For ICMP see [`crate::walk::Walk::sport`]; for protocols without ports both are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct FlowKey {
    /// The smaller endpoint's address.
    pub low: Address,
    /// The larger endpoint's address.
    pub high: Address,
    /// Port of `low`, host order.
    pub low_port: u16,
    /// Port of `high`, host order.
    pub high_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// [`V4`] or [`V6`].
    pub family: u8,
    /// Where this tuple stands: see [`realm`].
    pub realm: u16,
}

/// Values of [`FlowKey::realm`].
pub mod realm {
    /// Nothing is translated (kind `route`), or before translation, as the zones see it.
    pub const INSIDE: u16 = 0;
    /// As the outside sees it, after translation (kind `masquerade`).
    pub const OUTSIDE: u16 = 1;
    /// On a bridge: the first of the numbers that pairs of interfaces have, each for untagged frames and for the tags of its zones.
    /// Networks that have nothing to do with each other may use the same addresses.
    pub const LINKS: u16 = 2;
    /// In a tunnel: this bit, and a keyed hash of the tunnel in the others, so that its packets meet none outside of it and, but for
    /// chance, none of another one.
    pub const TUNNEL: u16 = 1 << 15;

    /// The same for packets in a tunnel, [`INSIDE`] for all others.
    #[inline(always)]
    pub const fn of_tunnel(realm: u16) -> u16 {
        if realm & TUNNEL != 0 { realm } else { INSIDE }
    }
}

/// Whether two addresses are the same, word by word: comparing arrays would call a byte-wise loop in BPF.
#[inline(always)]
pub const fn equal(a: &Address, b: &Address) -> bool {
    (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) == 0
}

impl FlowKey {
    /// Whether two keys are the same, word by word, as in [`equal`].
    #[inline(always)]
    pub fn equals(&self, other: &Self) -> bool {
        let (a, b) = (self.words(), other.words());
        a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4]
    }

    /// The key as five 64-bit words, in memory order.
    #[inline(always)]
    pub fn words(&self) -> &[u64; 5] {
        // SAFETY: 40 bytes, aligned to 8, no padding (asserted below).
        unsafe { &*core::ptr::from_ref(self).cast() }
    }

    /// Keyed hash: NH (Black et al., UMAC, CRYPTO 1999), almost universal for a secret key, so that nobody outside can
    /// choose tuples that collide. Ten 32-bit words in, 64 bits out. NH of tuples that differ in few words is all but linear, and
    /// one multiplication keeps it so: regular tuples would crowd some buckets. Two with a fold between them spread it.
    #[inline(always)]
    pub fn hash(&self, secret: &[u32; 10]) -> u64 {
        let words = self.words();
        let mut sum = 0u64;
        let mut at = 0;
        while at < 5 {
            let low = (words[at] as u32).wrapping_add(secret[at * 2]);
            let high = ((words[at] >> 32) as u32).wrapping_add(secret[at * 2 + 1]);
            sum = sum.wrapping_add(u64::from(low).wrapping_mul(u64::from(high)));
            at += 1;
        }
        let mixed = sum.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 32)
    }
}

plain!(FlowKey = 40);
