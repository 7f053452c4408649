//! Groups of rules that can match the same datagrams, by protocol and ports.

use std::collections::HashMap;

use dropgate_abi::datagrams::Datagrams;

use super::{ICMP, ICMPV6, SCTP, UDP, types};
use crate::rule::{Arrow, Ports, Rule};

/// Groups by what their rules have in common. Those of a range are shared by turns among the sets of ports there are.
mod group {
    use std::ops::Range;

    /// From any port to any.
    pub const ANY: Range<u8> = 0..1;
    /// To many ports; to few.
    pub const TO_MANY: Range<u8> = 1..2;
    pub const TO_FEW: Range<u8> = 2..8;
    /// From many ports, from few.
    pub const FROM_MANY: Range<u8> = 8..9;
    pub const FROM_FEW: Range<u8> = 9..12;
    /// Both are named.
    pub const BOTH: Range<u8> = 12..13;
    /// ICMP of any type, and of some.
    pub const ICMP: u8 = 13;
    pub const ICMP_TYPES: u8 = 14;
    /// Protocols that have neither ports nor types.
    pub const OTHER: u8 = 15;
}

/// Ports of a group with many.
const MANY: u32 = 512;

/// Which set of ports is in which group.
#[derive(Default)]
pub struct Groups {
    known: HashMap<(u8, Ports), u8>,
}

impl Groups {
    /// The groups of a rule, a bit each, with its protocols, ports and types in the table.
    pub fn enter(&mut self, rule: &Rule, protocols: &[u8], table: &mut Datagrams) -> u16 {
        let mut mask = 0;
        let header = &rule.header;
        let (from, to) = (&header.source_ports, &header.destination_ports);
        let mut one = |group: u8, protocol: u8, table: &mut Datagrams| {
            table.protocols[usize::from(protocol)] |= 1 << group;
            mask |= 1 << group;
        };
        for protocol in protocols.iter().copied() {
            match protocol {
                UDP | SCTP => {
                    let there = [(from, to)];
                    let both = [(from, to), (to, from)];
                    let ways: &[_] = if header.arrow == Arrow::To { &there } else { &both };
                    for (source, destination) in ways.iter().copied() {
                        let group = self.of(source, destination);
                        turn_on(&mut table.sources, source, group);
                        turn_on(&mut table.destinations, destination, group);
                        one(group, protocol, table);
                    }
                }
                ICMP | ICMPV6 => {
                    let test = types(rule);
                    let group = if test.is_some() { group::ICMP_TYPES } else { group::ICMP };
                    let all = &mut table.types[usize::from(protocol == ICMPV6)];
                    for (kind, mask) in (0u64..).zip(all) {
                        *mask |= u16::from(test.is_none_or(|test| test.holds(kind))) << group;
                    }
                    one(group, protocol, table);
                }
                _ => one(group::OTHER, protocol, table),
            }
        }
        mask
    }

    fn of(&mut self, from: &Ports, to: &Ports) -> u8 {
        let (all_from, all_to) = (number(from) == ALL, number(to) == ALL);
        let (range, ports) = match (all_from, all_to) {
            (true, true) => return group::ANY.start,
            (false, false) => return group::BOTH.start,
            (true, false) if number(to) > MANY => return group::TO_MANY.start,
            (false, true) if number(from) > MANY => return group::FROM_MANY.start,
            (true, false) => (group::TO_FEW, to),
            (false, true) => (group::FROM_FEW, from),
        };
        let turn = self.known.len() as u8 % range.len() as u8;
        *self.known.entry((range.start, ports.clone())).or_insert(range.start + turn)
    }
}

/// Ports that there are, 0 left out, which is none.
const ALL: u32 = 65_535;

/// How many ports a set has.
pub fn number(ports: &Ports) -> u32 {
    ports.0.iter().map(|(first, last)| u32::from(*last).saturating_sub(u32::from((*first).max(1))) + 1).sum()
}

fn turn_on(ports: &mut [u16; 1 << 16], set: &Ports, group: u8) {
    for (first, last) in set.0.iter().filter(|(first, last)| first <= last) {
        ports[usize::from(*first)..=usize::from(*last)].iter_mut().for_each(|mask| *mask |= 1 << group);
    }
}
