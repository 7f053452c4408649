//! Rules that match packets whatever these say: by what they name of addresses, ports, types or protocols.

use std::net::IpAddr;

use dropgate_abi::datagrams::Always;

use super::{ICMP, ICMPV6, SCTP, TCP, UDP, groups, types, words};
use crate::rule::{Addresses, Arrow, Network, Ports, Rule};

/// Ports that few rules name.
const FEW: u32 = 4096;
/// Networks, of 256 addresses each, that lists of bad addresses have at most.
const LISTED: u64 = 1 << 20;

/// Enters a rule by whatever fewest packets have.
pub fn enter(rule: &Rule, protocols: &[u8], always: &mut Always) {
    let header = &rule.header;
    let from = (&header.source, &header.source_ports);
    let to = (&header.destination, &header.destination_ports);
    let ported = protocols.iter().all(|protocol| matches!(*protocol, TCP | UDP | SCTP));
    // packets of another protocol are few, and those of an address are not
    let common = protocols.iter().any(|protocol| matches!(*protocol, TCP | UDP | ICMP | ICMPV6));
    let there = [(from, to)];
    let both = [(from, to), (to, from)];
    for (from, to) in if header.arrow == Arrow::To { &there[..] } else { &both } {
        let few = |ports: &Ports| Some(groups::number(ports)).filter(|number| ported && *number <= FEW);
        let [by_source, by_destination] = [few(from.1), few(to.1)].map(|number| number.unwrap_or(u32::MAX));
        if by_source.min(by_destination) < u32::MAX {
            let (way, ports) = if by_source < by_destination { (0, from.1) } else { (1, to.1) };
            for port in ports.0.iter().flat_map(|(first, last)| *first..=*last) {
                turn_on(&mut always.ports[way], port.into());
            }
            continue;
        }
        let [by_source, by_destination] = [networks(from.0), networks(to.0)];
        if common && by_source.min(by_destination) <= LISTED {
            let (way, addresses) = if by_source < by_destination { (0, from.0) } else { (1, to.0) };
            always.any = 1;
            addresses.any_of.iter().for_each(|network| address(always, network, way));
            continue;
        }
        for protocol in protocols.iter().copied() {
            match (protocol, types(rule)) {
                (ICMP | ICMPV6, Some(test)) => {
                    let all = &mut always.types[usize::from(protocol == ICMPV6)];
                    (0..256).filter(|kind| test.holds(*kind)).for_each(|kind| turn_on(all, kind as u32));
                }
                _ => turn_on(&mut always.protocols, protocol.into()),
            }
        }
    }
}

/// How many networks of 256 addresses a set has; all of them if it names none.
fn networks(addresses: &Addresses) -> u64 {
    let number = |network: &Network| match network.address {
        IpAddr::V4(_) => 1 << 24u8.saturating_sub(network.bits),
        IpAddr::V6(_) => 1,
    };
    if addresses.any_of.is_empty() { u64::MAX } else { addresses.any_of.iter().map(number).sum() }
}

/// Enters the addresses of a network.
fn address(always: &mut Always, network: &Network, way: usize) {
    let (family, address) = words(network.address);
    match (network.address, network.bits) {
        (IpAddr::V4(first), bits @ ..16) => {
            let first = u32::from(first) >> 16;
            let open = (1 << (16 - bits)) - 1;
            (first & !open..=first | open).for_each(|half| turn_on(&mut always.wide[way], half));
        }
        (IpAddr::V4(first), bits @ 16..24) => {
            let first = u32::from(first) >> 8;
            let open = (1 << (24 - bits)) - 1;
            for third in first & !open..=first | open {
                let address = [(third << 8).to_be(), 0, 0, 0];
                turn_on(&mut always.addresses[way], Always::network(family, &address));
            }
        }
        (IpAddr::V6(_), ..48) => always.all_v6[way] = 1,
        _ => turn_on(&mut always.addresses[way], Always::network(family, &address)),
    }
}

fn turn_on<const WORDS: usize>(words: &mut [u64; WORDS], bit: u32) {
    words[(bit >> 6) as usize & (WORDS - 1)] |= 1 << (bit & 63);
}
