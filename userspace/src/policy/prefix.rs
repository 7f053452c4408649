//! Address prefixes of both families in one ordered type.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use dropgate_abi::tuple::{Address, V4, V6};

/// An IPv4 or IPv6 prefix whose host bits are zero.
///
/// The order puts a prefix right before everything it holds, so that one walk over a sorted list sees the nesting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    v6: bool,
    /// The address from the top bit on, for IPv4 too.
    bits: u128,
    length: u8,
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is no address.
    #[error("no address: expected {}", self.expected())]
    Address,
    /// The part after the slash is no length of this family.
    #[error("no prefix length: expected {}", self.expected())]
    Length(u8),
    /// Bits beyond the length are set.
    #[error("host bits are set: expected {}", self.expected())]
    HostBits(Prefix),
}

impl PrefixError {
    /// What should stand there.
    pub fn expected(&self) -> String {
        match self {
            Self::Address => "an address or a prefix such as `10.0.0.0/24` or `2001:db8::/32`".to_owned(),
            Self::Length(longest) => format!("a prefix length from 0 to {longest}"),
            Self::HostBits(meant) => format!("`{meant}`: host bits must be zero"),
        }
    }
}

impl Prefix {
    /// Everything IPv4.
    pub const ALL_V4: Self = Self { v6: false, bits: 0, length: 0 };
    /// Everything IPv6.
    pub const ALL_V6: Self = Self { v6: true, bits: 0, length: 0 };
    /// `fe80::/10`.
    pub const LINK_LOCAL: Self = Self { v6: true, bits: 0xfe80 << 112, length: 10 };

    /// The prefix of `length` bits that holds `address`; a length beyond the family's is taken as the whole address.
    pub fn holding(address: IpAddr, length: u8) -> Self {
        let (v6, bits) = match address {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (true, v6.to_bits()),
        };
        let length = length.min(if v6 { 128 } else { 32 });
        Self { v6, bits: bits & mask(length), length }
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        Self::holding(address, u8::MAX)
    }

    /// A prefix from text: an address alone is a prefix of its full length.
    ///
    /// # Errors
    /// [`PrefixError`], with the prefix that was probably meant when only host bits are wrong.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let full = if address.is_ipv6() { 128 } else { 32 };
        let length = match length {
            None => full,
            Some(text) if text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok().filter(|n| *n <= full).ok_or(PrefixError::Length(full))?
            }
            Some(_) => return Err(PrefixError::Length(full)),
        };
        let prefix = Self::holding(address, length);
        if prefix.network() != address {
            return Err(PrefixError::HostBits(prefix));
        }
        Ok(prefix)
    }

    /// The first address.
    pub fn network(self) -> IpAddr {
        address_of(self.v6, self.bits)
    }

    /// The last address: in IPv4 the directed broadcast address, where the prefix has one.
    pub fn last(self) -> IpAddr {
        let end = if self.v6 { u128::MAX } else { u128::from(u32::MAX) << 96 };
        address_of(self.v6, self.bits | (end & !mask(self.length)))
    }

    /// The first and the last address as numbers, those of IPv4 of 32 bits.
    pub fn span(self) -> (u128, u128) {
        let shift = if self.v6 { 0 } else { 96 };
        (self.bits >> shift, (self.bits | !mask(self.length)) >> shift)
    }

    /// Length in bits: up to 32 or 128.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether it is IPv6.
    pub fn is_v6(self) -> bool {
        self.v6
    }

    /// [`V4`] or [`V6`], as the maps have it.
    pub fn family(self) -> u8 {
        if self.v6 { V6 } else { V4 }
    }

    /// The first address, as the maps have it.
    pub fn address(self) -> Address {
        address_words(self.network())
    }

    /// Whether all of `other` lies within.
    pub fn holds(self, other: Self) -> bool {
        self.v6 == other.v6 && self.length <= other.length && (self.bits ^ other.bits) & mask(self.length) == 0
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.holds(other) || other.holds(self)
    }
}

/// An address as the maps have it: words in network order, IPv4 in the first.
pub fn address_words(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => [v4.to_bits().to_be(), 0, 0, 0],
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            [96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be())
        }
    }
}

/// An address from a number, as [`Prefix::span`] has it.
pub fn address_at(v6: bool, number: u128) -> IpAddr {
    address_of(v6, if v6 { number } else { number << 96 })
}

fn mask(length: u8) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (128 - u32::from(length)) }
}

fn address_of(v6: bool, bits: u128) -> IpAddr {
    if v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits((bits >> 96) as u32).into() }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = if self.v6 { 128 } else { 32 };
        if self.length == full {
            write!(f, "{}", self.network())
        } else {
            write!(f, "{}/{}", self.network(), self.length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["10.0.0.0/24", "0.0.0.0/0", "192.0.2.1", "2001:db8::/32", "::/0", "fe80::1"] {
            assert_eq!(Prefix::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Prefix::parse("10.0.0.1/32").unwrap().to_string(), "10.0.0.1");
    }

    #[test]
    fn mistakes() {
        assert_eq!(Prefix::parse("10.0.0"), Err(PrefixError::Address));
        assert_eq!(Prefix::parse("10.0.0.0/33"), Err(PrefixError::Length(32)));
        assert_eq!(Prefix::parse("::/+1"), Err(PrefixError::Length(128)));
        let meant = Prefix::parse("10.0.0.0/24").unwrap();
        assert_eq!(Prefix::parse("10.0.0.1/24"), Err(PrefixError::HostBits(meant)));
    }

    #[test]
    fn order_nests() {
        let outer = Prefix::parse("10.0.0.0/8").unwrap();
        let inner = Prefix::parse("10.0.0.0/24").unwrap();
        let beside = Prefix::parse("11.0.0.0/8").unwrap();
        assert!(outer < inner && inner < beside);
        assert!(outer.holds(inner) && !inner.holds(outer) && !outer.overlaps(beside));
        assert_eq!(outer.last().to_string(), "10.255.255.255");
        assert_eq!(inner.span(), (0x0a00_0000, 0x0a00_00ff));
        assert_eq!((Prefix::ALL_V4.span().1, Prefix::ALL_V6.span().1), (u128::from(u32::MAX), u128::MAX));
        assert_eq!(address_at(false, 0x0a00_00ff).to_string(), "10.0.0.255");
        assert!(Prefix::LINK_LOCAL.holds(Prefix::parse("fe80::1").unwrap()));
    }

    #[test]
    fn words_are_in_network_order() {
        let v4 = Prefix::parse("10.1.2.3").unwrap().address();
        assert_eq!(v4[0].to_ne_bytes(), [10, 1, 2, 3]);
        let v6 = Prefix::parse("2001:db8::1").unwrap().address();
        assert_eq!(v6[0].to_ne_bytes(), [0x20, 1, 0x0d, 0xb8]);
        assert_eq!(v6[3].to_ne_bytes(), [0, 0, 0, 1]);
    }
}
