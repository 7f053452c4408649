//! Allowlists to look-up tables: exact ports, ranges as prefixes of ports, and lists of services in file order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dropgate_abi::policy::{PrefixKey, Service, ServiceKey, ServiceList};

use super::{
    Full, MAX_PREFIXES,
    cuts::cut,
    groups::{DestinationSet, Groups},
    image::PrefixEntry,
};
use crate::policy::model::{Policy, PortRange};

/// Ports with the same services that become exact entries rather than ranges when there are at most this many.
const EXACT: u32 = 32;
/// Most entries of `SERVICES`.
const MAX_ENTRIES: usize = 4 << 20;
/// Most services in all lists, before equal ones are made one: a bound on the compiler's work.
const MAX_LISTED: usize = 2 << 20;

/// A line of an allowlist, ready to be placed.
pub struct Line {
    pub service: Service,
    /// Protocols and ports, as [`crate::policy::model::Matches::ranges`] has them.
    pub ranges: Vec<(u8, PortRange)>,
    /// Peers and the number of the destination set at each.
    pub targets: Vec<(u16, u32)>,
}

/// The tables of all allowlists.
pub struct Services<'a> {
    pub groups: Groups<'a>,
    pub exact: Vec<(ServiceKey, ServiceList)>,
    pub ranges: Vec<PrefixEntry>,
    pub lists: Vec<ServiceList>,
    pub candidates: Vec<Service>,
    by_list: HashMap<ServiceList, u32>,
    by_services: HashMap<Vec<Service>, u32>,
    listed: usize,
}

/// Services of one source, peer and protocol: ports, place in the allowlist, destination set.
type Claims = Vec<(PortRange, usize, u32)>;

impl<'a> Services<'a> {
    pub fn new(policy: &'a Policy) -> Self {
        Self {
            groups: Groups::new(policy),
            exact: Vec::new(),
            ranges: Vec::new(),
            lists: Vec::new(),
            candidates: Vec::new(),
            by_list: HashMap::new(),
            by_services: HashMap::new(),
            listed: 0,
        }
    }

    /// The number of a destination set.
    pub fn set(&mut self, set: DestinationSet) -> u32 {
        self.groups.set(set)
    }

    /// Places the allowlist of one source; the first line that holds a packet has it.
    pub fn place(&mut self, zone: u16, lines: &[&Line]) -> Result<(), Full> {
        let mut claims: BTreeMap<(u16, u8), Claims> = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            for (peer, set) in &line.targets {
                for (protocol, range) in &line.ranges {
                    claims.entry((*peer, *protocol)).or_default().push((*range, at, *set));
                }
            }
        }
        for ((peer, protocol), claims) in claims {
            let key = ServiceKey { zone, peer, port: 0, protocol, _pad: 0 };
            cut(claims.iter().map(|(range, ..)| *range), |ports, open| {
                let list = self.list(open, &claims, lines)?;
                self.interval(key, ports.first.into(), ports.last.into(), list)
            })?;
        }
        Ok(())
    }

    /// The list of the open claims, without those that an earlier one leaves nothing to.
    fn list(&mut self, open: &BTreeSet<usize>, claims: &Claims, lines: &[&Line]) -> Result<ServiceList, Full> {
        let mut sets = Vec::new();
        let mut services = Vec::new();
        let mut seen = HashSet::new();
        for claim in open {
            let (_, line, set) = claims[*claim];
            self.listed += 1;
            if seen.insert(set) {
                sets.push(set);
                services.push(lines[line].service);
            }
            if self.groups.is_all(set) {
                break;
            }
        }
        if self.listed > MAX_LISTED {
            return Err(Full::Services);
        }
        let group = self.groups.scope(&sets)?;
        let next = self.candidates.len() as u32;
        let first = *self.by_services.entry(services.clone()).or_insert(next);
        if first == next {
            self.candidates.extend(services);
        }
        Ok(ServiceList { first, group })
    }

    /// Gives a list the ports `first..=last`.
    fn interval(&mut self, key: ServiceKey, first: u32, last: u32, list: ServiceList) -> Result<(), Full> {
        if last - first < EXACT {
            let ports = first..=last;
            self.exact.extend(ports.map(|port| (ServiceKey { port: port as u16, ..key }, list)));
        } else {
            let next = self.lists.len() as u32;
            let value = *self.by_list.entry(list).or_insert(next);
            if value == next {
                self.lists.push(list);
            }
            for (port, bits) in port_prefixes(first, last) {
                let length = 32 + 16 + bits;
                let key = PrefixKey::range(key.zone, key.peer, key.protocol, port);
                self.ranges.push(PrefixEntry { length, key, value });
            }
        }
        if self.exact.len() > MAX_ENTRIES || self.ranges.len() > MAX_PREFIXES {
            return Err(Full::Services);
        }
        Ok(())
    }
}

/// The prefixes of 16-bit numbers that make up `first..=last`: number and length in bits.
fn port_prefixes(mut first: u32, last: u32) -> impl Iterator<Item = (u16, u32)> {
    std::iter::from_fn(move || {
        if first > last {
            return None;
        }
        let mut bits = 16;
        // one bit less while the wider block begins here and does not reach beyond the end
        while bits > 0 && first & (1 << (16 - bits)) == 0 && first + (2 << (16 - bits)) - 1 <= last {
            bits -= 1;
        }
        let found = (first as u16, bits);
        first += 1 << (16 - bits);
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_as_prefixes() {
        assert_eq!(port_prefixes(0, 65535).collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(port_prefixes(80, 80).collect::<Vec<_>>(), [(80, 16)]);
        assert_eq!(port_prefixes(1024, 65535).count(), 6);
        for (first, last) in [(1, 65535), (8000, 8100), (1, 2), (33, 34), (65535, 65535)] {
            let ports: Vec<u32> = port_prefixes(first, last)
                .flat_map(|(port, bits)| u32::from(port)..u32::from(port) + (1 << (16 - bits)))
                .collect();
            assert_eq!(ports, (first..=last).collect::<Vec<_>>());
        }
    }
}
