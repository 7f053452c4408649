//! Sets of addresses and of ports.

use std::{collections::HashMap, net::IpAddr};

use crate::rule::{Addresses, Network, Ports};

/// Sets of addresses, each held once.
#[derive(Debug, Default)]
pub struct AddressSets {
    sets: Vec<AddressSet>,
}

/// A set, as ranges: first and last address, sorted, of IPv4 mapped into IPv6.
#[derive(Debug)]
struct AddressSet {
    /// `None`: all.
    any_of: Option<Vec<(u128, u128)>>,
    none_of: Vec<(u128, u128)>,
}

/// Adds sets while rules are compiled.
#[derive(Debug, Default)]
pub struct AddressInterner {
    known: HashMap<Addresses, u32>,
    sets: AddressSets,
}

impl AddressInterner {
    /// The number of a set; `None`: of all addresses.
    pub fn intern(&mut self, addresses: &Addresses) -> Option<u32> {
        if is_any(addresses) {
            return None;
        }
        let next = self.sets.sets.len() as u32;
        if let Some(known) = self.known.get(addresses) {
            return Some(*known);
        }
        self.known.insert(addresses.clone(), next);
        let any_of = (!addresses.any_of.is_empty()).then(|| ranges(&addresses.any_of));
        self.sets.sets.push(AddressSet { any_of, none_of: ranges(&addresses.none_of) });
        Some(next)
    }

    /// All sets.
    pub fn finish(self) -> AddressSets {
        self.sets
    }
}

impl AddressSets {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether an address is in a set.
    pub fn contains(&self, set: u32, address: IpAddr) -> bool {
        let address = number(address);
        self.sets.get(set as usize).is_none_or(|set| {
            set.any_of.as_ref().is_none_or(|ranges| is_in(ranges, address)) && !is_in(&set.none_of, address)
        })
    }
}

/// Whether it is the set of all addresses.
pub fn is_any(addresses: &Addresses) -> bool {
    let all = |network: &Network| network.bits == 0;
    let none = addresses.any_of.is_empty()
        || addresses.any_of.iter().any(|network| all(network) && network.address.is_ipv4())
            && addresses.any_of.iter().any(|network| all(network) && network.address.is_ipv6());
    none && addresses.none_of.is_empty()
}

/// Whether an address is in a set that was not interned.
pub fn matches(addresses: &Addresses, address: IpAddr) -> bool {
    let of = |network: &Network| {
        let (first, last) = range(network);
        (first..=last).contains(&number(address))
    };
    (addresses.any_of.is_empty() || addresses.any_of.iter().any(of)) && !addresses.none_of.iter().any(of)
}

/// An address as sets hold it: of IPv4, mapped into IPv6.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn range(network: &Network) -> (u128, u128) {
    let host = match network.address {
        IpAddr::V4(_) => 32_u32.saturating_sub(network.bits.into()),
        IpAddr::V6(_) => 128_u32.saturating_sub(network.bits.into()),
    };
    let mask = 1_u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
    let first = number(network.address) & !mask;
    (first, first | mask)
}

/// Ranges, sorted, those that touch or overlap made into one.
pub fn ranges(networks: &[Network]) -> Vec<(u128, u128)> {
    let mut all: Vec<_> = networks.iter().map(range).collect();
    all.sort_unstable();
    let mut out: Vec<(u128, u128)> = Vec::with_capacity(all.len());
    for (first, last) in all {
        match out.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

fn is_in(ranges: &[(u128, u128)], address: u128) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind.checked_sub(1).is_some_and(|at| ranges[at].1 >= address)
}

/// Whether a port is in a set.
pub fn has_port(ports: &Ports, port: u16) -> bool {
    let behind = ports.0.partition_point(|(first, _)| *first <= port);
    behind.checked_sub(1).is_some_and(|at| ports.0[at].1 >= port)
}

/// Whether it is the set of all ports.
pub fn is_any_port(ports: &Ports) -> bool {
    matches!(ports.0[..], [(0, u16::MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, bits: u8) -> Network {
        Network { address: address.parse().unwrap(), bits }
    }

    #[test]
    fn those_of_without_those_of() {
        let set = Addresses {
            any_of: vec![network("10.0.0.0", 8), network("2001:db8::", 32), network("11.0.0.0", 8)],
            none_of: vec![network("10.1.0.0", 16)],
        };
        let mut interner = AddressInterner::default();
        let number = interner.intern(&set).unwrap();
        assert_eq!(interner.intern(&set), Some(number));
        let sets = interner.finish();
        for (address, inside) in [
            ("10.0.0.1", true),
            ("10.1.2.3", false),
            ("11.255.255.255", true),
            ("12.0.0.0", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(sets.contains(number, address), inside, "{address}");
            assert_eq!(matches(&set, address), inside, "{address}");
        }
    }

    #[test]
    fn all_addresses() {
        assert!(is_any(&Addresses::default()));
        assert!(!is_any(&Addresses { any_of: vec![], none_of: vec![network("10.0.0.0", 8)] }));
        assert!(!is_any(&Addresses { any_of: vec![network("0.0.0.0", 0)], none_of: vec![] }));
        let both = vec![network("0.0.0.0", 0), network("::", 0)];
        assert!(is_any(&Addresses { any_of: both, none_of: vec![] }));
    }

    #[test]
    fn ports() {
        let ports = Ports(vec![(80, 80), (8000, 8100)]);
        let inside: Vec<_> = [79, 80, 81, 8000, 8100, 8101].map(|port| has_port(&ports, port)).into();
        assert_eq!(inside, [false, true, false, true, true, false]);
        assert!(is_any_port(&Ports::default()));
    }
}
