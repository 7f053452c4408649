//! Sets of addresses, from their text.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::list::{ListError, shown, walk};
use crate::rule::{Addresses, Network};

/// The addresses of a list. Those that are negated are taken away from the others, or from all if there are no others.
///
/// # Errors
/// [`ListError`]: an element is none, a variable is not defined, or no address is left.
pub fn addresses(text: &str, variables: &BTreeMap<String, String>) -> Result<Addresses, ListError> {
    let mut set = Addresses::default();
    let mut any = false;
    walk(text, variables, &mut |element, negated| {
        if element.eq_ignore_ascii_case("any") {
            any = true;
            return Ok(());
        }
        let networks = networks(element)
            .ok_or_else(|| ListError::Element(format!("{} is not an address, a prefix or a range", shown(element))))?;
        if negated { &mut set.none_of } else { &mut set.any_of }.extend(networks);
        Ok(())
    })?;
    let listed = !set.any_of.is_empty();
    if any {
        set.any_of.clear();
    }
    let covers = |network: &Network| set.none_of.iter().any(|other| contains(other, network));
    let nothing = if set.any_of.is_empty() {
        let whole = |address: IpAddr| Network { address, bits: 0 };
        covers(&whole(Ipv4Addr::UNSPECIFIED.into())) && covers(&whole(Ipv6Addr::UNSPECIFIED.into()))
    } else {
        listed && set.any_of.iter().all(covers)
    };
    if nothing { Err(ListError::NothingLeft) } else { Ok(set) }
}

/// Whether all of a prefix lies in another one.
fn contains(outer: &Network, inner: &Network) -> bool {
    outer.bits <= inner.bits && masked(inner.address, outer.bits) == Some(outer.address)
}

/// The first address of the prefix of an address; `None`: it has not as many bits.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits.into())?).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits.into())?).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    })
}

fn networks(element: &str) -> Option<Vec<Network>> {
    if let Some((address, mask)) = element.split_once('/') {
        let address: IpAddr = address.trim().parse().ok()?;
        let bits = match (mask.trim().parse::<u8>(), address) {
            (Ok(bits), _) => bits,
            // 10.0.0.0/255.0.0.0
            (Err(_), IpAddr::V4(_)) => {
                let mask = mask.trim().parse::<Ipv4Addr>().ok()?.to_bits();
                (mask.leading_ones() == mask.count_ones()).then_some(mask.count_ones() as u8)?
            }
            (Err(_), IpAddr::V6(_)) => return None,
        };
        return Some(vec![Network { address: masked(address, bits)?, bits }]);
    }
    if let Some((first, last)) = element.split_once('-') {
        return match (first.trim().parse().ok()?, last.trim().parse().ok()?) {
            (IpAddr::V4(first), IpAddr::V4(last)) => range(first.to_bits().into(), last.to_bits().into(), 32, |bits| {
                IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
            }),
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                range(first.to_bits(), last.to_bits(), 128, |bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
            }
            _ => None,
        };
    }
    let address: IpAddr = element.parse().ok()?;
    Some(vec![Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }])
}

/// The prefixes that a range is made of.
fn range(mut first: u128, last: u128, width: u32, address: impl Fn(u128) -> IpAddr) -> Option<Vec<Network>> {
    if first > last {
        return None;
    }
    let mut all = Vec::new();
    loop {
        // the largest prefix that begins here and does not reach beyond the end
        let mut host_bits = first.trailing_zeros().min(width);
        let end = |host_bits: u32| first.checked_add(1_u128.checked_shl(host_bits).unwrap_or(0).wrapping_sub(1));
        while end(host_bits).is_none_or(|end| end > last) {
            host_bits -= 1;
        }
        all.push(Network { address: address(first), bits: (width - host_bits) as u8 });
        match end(host_bits).filter(|end| *end < last) {
            Some(end) => first = end + 1,
            None => return Some(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::variables::Variables;

    fn shown_set(text: &str) -> Result<String, ListError> {
        let mut variables = Variables::default().addresses;
        variables.insert("LOOP".into(), "[$LOOP]".into());
        variables.insert("ANY".into(), "any".into());
        let set = addresses(text, &variables)?;
        let list = |networks: &[Network]| {
            networks.iter().map(|network| format!("{}/{}", network.address, network.bits)).collect::<Vec<_>>().join(" ")
        };
        Ok(format!("{} - {}", list(&set.any_of), list(&set.none_of)))
    }

    #[test]
    fn lists_are_flattened() {
        for (text, expected) in [
            ("any", " - "),
            ("10.1.2.3/8", "10.0.0.0/8 - "),
            ("10.0.0.0/255.255.0.0", "10.0.0.0/16 - "),
            ("!10.0.0.1", " - 10.0.0.1/32"),
            ("[1.1.1.1, ![2.2.2.2, !3.3.3.3]]", "1.1.1.1/32 3.3.3.3/32 - 2.2.2.2/32"),
            ("[::/0,!fe80::1]", "::/0 - fe80::1/128"),
            ("$EXTERNAL_NET", " - 192.168.0.0/16 10.0.0.0/8 172.16.0.0/12"),
            ("10.0.0.1-10.0.0.6", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32 - "),
            ("0.0.0.0-255.255.255.255", "0.0.0.0/0 - "),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0 - "),
        ] {
            assert_eq!(shown_set(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for (text, error) in [
            ("!any", ListError::NotAny),
            ("!$ANY", ListError::NotAny),
            ("$NONE", ListError::Undefined("$NONE".into())),
            ("$LOOP", ListError::Depth),
            ("[1.1.1.1", ListError::Brackets),
            ("1.1.1.1,2.2.2.2", ListError::Brackets),
            ("[1.1.1.1,]", ListError::Empty),
            ("[10.1.0.0/16,!10.0.0.0/8]", ListError::NothingLeft),
            ("![0.0.0.0/0,::/0]", ListError::NothingLeft),
        ] {
            assert_eq!(shown_set(text), Err(error), "{text}");
        }
        for text in ["1.1.1", "1.1.1.1/33", "10.0.0.2-10.0.0.1", "1.1.1.1-::2", "::1/129", "10.0.0.0/255.0.255.0"] {
            assert!(matches!(shown_set(text), Err(ListError::Element(_))), "{text}");
        }
    }
}
