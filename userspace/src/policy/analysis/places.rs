//! Who can send, and which addresses lie where: the tables of sides and peers as sets of addresses.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    ops::Bound,
    sync::Arc,
};

use dropgate_abi::policy::{FIRST_ZONE, PortKey, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF};

use super::addresses::{Run, Runs, Set};
use crate::policy::{
    compile::{Environment, groups::DestinationSet, sides},
    diagnostic::Diagnostics,
    model::{Addresses, Policy},
    prefix::{Prefix, address_at},
    source::Location,
};

/// Sources that the anomaly stage drops: unspecified, loopback, multicast, limited broadcast.
const NO_SOURCE: [&str; 7] = ["0.0.0.0", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255", "::", "::1", "ff00::/8"];
/// Destinations that it drops.
const NO_DESTINATION: [&str; 4] = ["0.0.0.0", "127.0.0.0/8", "::", "::1"];

/// Addresses by party: a zone's number, [`ZONE_SELF`], [`ZONE_OUTSIDE`] or [`ZONE_PUBLISHED`].
///
/// Where only the machine knows what a zone or the gateway holds, and the machine is not there, it may hold anything.
pub struct Places<'a> {
    policy: &'a Policy,
    /// What each list holds.
    lists: BTreeMap<&'a str, Arc<Runs>>,
    /// Where packets are allowed to come from, without what is blocked.
    sources: HashMap<u16, Set>,
    /// Where packets may go, without what is blocked.
    peers: HashMap<u16, Set>,
    /// Whose every destination is, where that is known.
    table: BTreeMap<Prefix, u16>,
    /// The gateway's own addresses are known.
    knows_own: bool,
    /// Prefixes of which no address belongs to their zone, with the zone's place in the policy.
    pub without_hosts: Vec<(usize, Prefix, Location)>,
}

/// The number of a zone here, by its place in the policy.
pub fn number(zone: usize) -> u16 {
    // a policy has 4096 zones at most
    FIRST_ZONE + zone as u16
}

impl<'a> Places<'a> {
    pub fn new(policy: &'a Policy, environment: &Environment) -> Self {
        let lists: BTreeMap<&str, Arc<Runs>> =
            policy.lists.iter().map(|(name, list)| (name.as_str(), Arc::new(Runs::sorted(&list.prefixes)))).collect();
        let numbers: Vec<u16> = (0..policy.zones.len()).map(number).collect();
        // what is wrong with the zones is told where they are compiled
        let placed = sides::place(policy, environment, &numbers, &mut Diagnostics::default());
        let own = sides::own_addresses(policy, environment);
        let knows_own = !environment.synthetic || !policy.gateway.auto_addresses;
        let table = sides::peers(&placed, &own);

        let everything = Arc::new(Runs::all());
        let mut peers = by_value(&table, ZONE_OUTSIDE);
        let mut sources: HashMap<u16, Vec<Arc<Runs>>> = HashMap::new();
        let sides = sides::sides(policy, environment, &placed, &own);
        let without_hosts = without_hosts(policy, &placed, &sides);
        for side in sides {
            for (value, runs) in by_value(&side.sources, side.side.fallback) {
                sources.entry(value).or_default().push(runs);
            }
        }
        for (zone, number) in policy.zones.iter().zip(&placed) {
            if zone.auto_prefixes && number.prefixes.is_empty() {
                peers.insert(number.number, Arc::clone(&everything));
                sources.insert(number.number, vec![Arc::clone(&everything)]);
            }
        }
        if !knows_own {
            peers.insert(ZONE_SELF, Arc::clone(&everything));
        }
        // the kernel alone knows what the gateway sends, and what it has translated was judged where it came in
        sources.insert(ZONE_SELF, vec![Arc::clone(&everything)]);
        sources.insert(ZONE_PUBLISHED, vec![everything]);

        let mut places =
            Self { policy, lists, sources: HashMap::new(), peers: HashMap::new(), table, knows_own, without_hosts };
        let mut no_source = places.runs(&policy.blocklist.from);
        no_source.push(Arc::new(fixed(&NO_SOURCE)));
        let mut no_peer = places.runs(&policy.blocklist.to);
        no_peer.push(Arc::new(fixed(&NO_DESTINATION)));
        places.sources = sources.into_iter().map(|(party, include)| (party, set(include, &no_source))).collect();
        places.peers = peers.into_iter().map(|(party, runs)| (party, set(vec![runs], &no_peer))).collect();
        places
    }

    /// What a party may send from.
    pub fn sources(&self, party: u16) -> Set {
        self.sources.get(&party).cloned().unwrap_or_default()
    }

    /// Where a packet of a party may be shown to come from, the likeliest first. Nothing: from the gateway, whose addresses
    /// are not known.
    pub fn shown(&self, party: u16) -> Vec<Set> {
        let sources = self.sources(party);
        match (party, self.knows_own) {
            (ZONE_SELF, true) => vec![Set { except: sources.except.clone(), ..self.held(ZONE_SELF) }, sources],
            (ZONE_SELF, false) => Vec::new(),
            _ => vec![sources],
        }
    }

    /// What of a party may be sent to.
    pub fn peer(&self, party: u16) -> Set {
        self.peers.get(&party).cloned().unwrap_or_default()
    }

    /// The zone of an address as a destination; `None`: it is none's, or nobody here knows.
    pub fn zone_of(&self, address: IpAddr) -> Option<u16> {
        sides::zone_of(&self.table, address).filter(|party| *party >= FIRST_ZONE)
    }

    /// The addresses of a service's destinations.
    pub fn set(&self, destinations: &DestinationSet) -> Set {
        Set { include: self.runs(&destinations.include), except: self.runs(&destinations.except) }
    }

    /// What of a party there is, blocked or not.
    pub fn held(&self, party: u16) -> Set {
        Set { except: Vec::new(), ..self.peer(party) }
    }

    fn runs(&self, all: &[Addresses]) -> Vec<Arc<Runs>> {
        let mut inline = Vec::new();
        let mut found = Vec::new();
        for addresses in all {
            match addresses {
                Addresses::List(name) => found.extend(self.lists.get(name.as_str()).cloned()),
                other => inline.extend_from_slice(self.policy.prefixes(other)),
            }
        }
        if !inline.is_empty() {
            found.push(Arc::new(Runs::of(inline)));
        }
        found
    }
}

fn set(include: Vec<Arc<Runs>>, except: &[Arc<Runs>]) -> Set {
    Set { include, except: except.to_vec() }
}

fn fixed(prefixes: &[&str]) -> Runs {
    Runs::of(prefixes.iter().filter_map(|text| Prefix::parse(text).ok()).collect())
}

/// An address of some in a row that reads like one: those of the documentation first (RFC 5737, 3849), and none that ends in
/// zeros where there is another.
pub fn sample(v6: bool, (first, last): Run) -> IpAddr {
    const V4: [u128; 4] = [0xc633_6401, 0xc000_0201, 0x0800_0001, 0x0100_0001];
    const V6: [u128; 1] = [0x2001_0db8 << 96 | 1];
    let known = if v6 { &V6[..] } else { &V4 };
    let known = known.iter().find(|known| (first..=last).contains(known));
    address_at(v6, known.copied().unwrap_or_else(|| last.min(first | 1)))
}

/// The prefixes that narrower ones of their side, the gateway and broadcast addresses leave nothing of.
fn without_hosts(
    policy: &Policy,
    zones: &[sides::Placed],
    sides: &[sides::PlacedSide],
) -> Vec<(usize, Prefix, Location)> {
    let words = |port: &PortKey| (port.ifindex, port.outer, port.inner);
    let tables: HashMap<_, _> = sides.iter().map(|side| (words(&side.port), &side.sources)).collect();
    let mut found = Vec::new();
    for (at, (zone, placed)) in policy.zones.iter().zip(zones).enumerate() {
        let Some(table) = placed.port.and_then(|port| tables.get(&words(&port))) else { continue };
        let taken = |(prefix, _): &&(Prefix, Location)| is_taken(*prefix, placed.number, table);
        found.extend(zone.prefixes.iter().filter(taken).map(|(prefix, location)| (at, *prefix, *location)));
    }
    found
}

/// Whether narrower prefixes of a table hold all of a prefix, or it is another's itself.
fn is_taken(prefix: Prefix, value: u16, table: &BTreeMap<Prefix, u16>) -> bool {
    if table.get(&prefix) != Some(&value) {
        return true;
    }
    let mut open = Some(prefix.span().0);
    for (narrower, _) in table.range((Bound::Excluded(prefix), Bound::Unbounded)) {
        let Some(at) = open.filter(|_| prefix.holds(*narrower)) else { break };
        let (first, last) = narrower.span();
        if first > at {
            return false;
        }
        open = if last < at { open } else { last.checked_add(1) };
    }
    open.is_none_or(|at| at > prefix.span().1)
}

/// What a table of prefixes gives to each value; `rest` is what it gives to nobody.
fn by_value(table: &BTreeMap<Prefix, u16>, rest: u16) -> HashMap<u16, Arc<Runs>> {
    let mut found: HashMap<u16, Runs> = HashMap::new();
    let mut give = |v6: bool, value: u16, run: Run| found.entry(value).or_default().push(v6, run);
    for v6 in [false, true] {
        let last = if v6 { Prefix::ALL_V6 } else { Prefix::ALL_V4 }.span().1;
        // prefixes around the place that the walk has come to, with where each ends
        let mut around: Vec<(u128, u16)> = vec![(last, rest)];
        let mut at = Some(0);
        let ends = |around: &mut Vec<(u128, u16)>,
                    at: &mut Option<u128>,
                    before: Option<u128>,
                    give: &mut dyn FnMut(u16, Run)| {
            while let (Some((end, value)), Some(from)) = (around.last().copied(), *at) {
                let until = before.map_or(end, |before| end.min(before));
                if from <= until {
                    give(value, (from, until));
                    *at = until.checked_add(1);
                }
                if until < end {
                    break;
                }
                around.pop();
            }
        };
        for (prefix, value) in table.iter().filter(|(prefix, _)| prefix.is_v6() == v6) {
            let (first, end) = prefix.span();
            if let Some(before) = first.checked_sub(1) {
                ends(&mut around, &mut at, Some(before), &mut |value, run| give(v6, value, run));
            }
            around.push((end, *value));
        }
        ends(&mut around, &mut at, None, &mut |value, run| give(v6, value, run));
    }
    found.into_iter().map(|(value, runs)| (value, Arc::new(runs))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_has_an_address() {
        let table =
            [("10.0.0.0/24", 20), ("10.0.0.0/25", 21), ("10.0.0.255", 4), ("255.255.255.255", 22), ("::/0", 23)];
        let table = table.map(|(text, value)| (Prefix::parse(text).unwrap(), value)).into_iter().collect();
        let found = by_value(&table, 2);
        let runs = |value: u16, v6: bool| {
            let set = Set { include: found.get(&value).cloned().into_iter().collect(), except: Vec::new() };
            let mut all = Vec::new();
            let mut at = Some(0);
            while let Some(run) = at.and_then(|at| set.next(v6, at)) {
                all.push(run);
                at = run.1.checked_add(1);
            }
            all
        };
        assert_eq!(runs(21, false), [(0x0a00_0000, 0x0a00_007f)]);
        assert_eq!(runs(20, false), [(0x0a00_0080, 0x0a00_00fe)]);
        assert_eq!(runs(2, false), [(0, 0x09ff_ffff), (0x0a00_0100, 0xffff_fffe)]);
        assert_eq!(runs(22, false), [(0xffff_ffff, 0xffff_ffff)]);
        assert_eq!((runs(2, true), runs(23, true)), (vec![], vec![(0, u128::MAX)]));
    }

    #[test]
    fn samples_read_like_addresses() {
        assert_eq!(sample(false, (1, 0xffff_ffff)).to_string(), "198.51.100.1");
        assert_eq!(sample(false, (0x0a00_0000, 0x0a00_00ff)).to_string(), "10.0.0.1");
        assert_eq!(sample(false, (0x0a00_0004, 0x0a00_0004)).to_string(), "10.0.0.4");
    }
}
