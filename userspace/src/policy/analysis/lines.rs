//! The lines of a policy by whom they speak about: sender, peer and protocol.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use dropgate_abi::policy::{ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF};

use super::{
    addresses::Set,
    places::{Places, number},
};
use crate::policy::{
    compile::{groups::DestinationSet, published, targets},
    model::{Addresses, Policy, PortRange, Publish, Service},
    source::Location,
};

/// What a line is in the file.
#[derive(Clone, Copy)]
pub enum Text<'p> {
    Service(&'p Service),
    Publish(&'p Publish),
}

/// One line that allows something. Its number tells its place in the order of precedence.
pub struct Line<'p> {
    /// A zone, `self`, `outside` or `publish`.
    pub owner: &'p str,
    pub name: &'p str,
    pub location: Location,
    pub text: Text<'p>,
}

/// Senders, what they send to, and by which protocol.
pub type Cell = (u16, u16, u8);

/// What a line holds within a [`Cell`]: some ports, and a destination set.
#[derive(Clone, Copy)]
pub struct Claim {
    pub line: u32,
    pub ports: PortRange,
    pub set: u32,
}

/// All lines, the published ones first: they come before every allowlist.
pub struct Lines<'p> {
    pub all: Vec<Line<'p>>,
    /// In the order of precedence within each cell. Published lines before translation are in [`Self::published`] alone.
    pub cells: BTreeMap<Cell, Vec<Claim>>,
    /// By protocol: published lines as everybody but the gateway sees them.
    pub published: BTreeMap<u8, Vec<Claim>>,
    /// Whose allowlists there are: the numbers of zones, [`ZONE_SELF`] and [`ZONE_OUTSIDE`].
    pub parties: Vec<u16>,
    zones: HashMap<&'p str, u16>,
    sets: Vec<(DestinationSet, Arc<Set>)>,
    by_set: HashMap<DestinationSet, u32>,
    /// Published lines whose host nobody here knows.
    pub unknown: Vec<u32>,
}

impl<'p> Lines<'p> {
    pub fn new(policy: &'p Policy, places: &Places<'p>) -> Self {
        let mut lines = Self {
            all: Vec::new(),
            cells: BTreeMap::new(),
            published: BTreeMap::new(),
            parties: Vec::new(),
            zones: policy.zones.iter().enumerate().map(|(at, zone)| (zone.name.as_str(), number(at))).collect(),
            sets: Vec::new(),
            by_set: HashMap::new(),
            unknown: Vec::new(),
        };
        for line in &policy.publish {
            lines.publish(line, places);
        }
        for (owner, services) in policy.allowlists() {
            let party = lines.party(owner);
            lines.parties.push(party);
            for service in services {
                let text = Text::Service(service);
                let line = lines.add(Line { owner, name: &service.name, location: service.location, text });
                for (peer, destinations) in targets(service, |zone| lines.party(zone)) {
                    let set = lines.set(destinations, places);
                    for (protocol, ports) in service.matches.ranges() {
                        lines.cells.entry((party, peer, protocol)).or_default().push(Claim { line, ports, set });
                    }
                }
            }
        }
        lines
    }

    fn publish(&mut self, line: &'p Publish, places: &Places<'p>) {
        let text = Text::Publish(line);
        let number = self.add(Line { owner: "publish", name: &line.name, location: line.location, text });
        let (ranges, (_, destinations)) = published(line, None);
        let set = self.set(destinations, places);
        for (protocol, ports) in ranges {
            self.published.entry(protocol).or_default().push(Claim { line: number, ports, set });
        }
        let Some(zone) = places.zone_of(line.to) else {
            self.unknown.push(number);
            return;
        };
        let (ranges, (peer, destinations)) = published(line, Some(zone));
        let set = self.set(destinations, places);
        for (protocol, ports) in ranges {
            let claim = Claim { line: number, ports, set };
            self.cells.entry((ZONE_PUBLISHED, peer, protocol)).or_default().push(claim);
        }
    }

    /// Whether it is a published line.
    pub fn is_published(&self, line: u32) -> bool {
        matches!(self.all[line as usize].text, Text::Publish(_))
    }

    /// The number of an allowlist's owner.
    pub fn party(&self, owner: &str) -> u16 {
        match owner {
            "self" => ZONE_SELF,
            "outside" => ZONE_OUTSIDE,
            zone => self.zones.get(zone).copied().unwrap_or_default(),
        }
    }

    fn add(&mut self, line: Line<'p>) -> u32 {
        self.all.push(line);
        // a policy has 100,000 at most
        self.all.len() as u32 - 1
    }

    fn set(&mut self, destinations: DestinationSet, places: &Places<'_>) -> u32 {
        if let Some(number) = self.by_set.get(&destinations) {
            return *number;
        }
        let number = self.sets.len() as u32;
        self.sets.push((destinations.clone(), Arc::new(places.set(&destinations))));
        self.by_set.insert(destinations, number);
        number
    }

    /// The addresses of a destination set.
    pub fn addresses(&self, set: u32) -> &Arc<Set> {
        &self.sets[set as usize].1
    }

    /// Whether a set holds every address of a family that no prefix names: what a proxy is asked for by name.
    pub fn holds_names(&self, set: u32, v6: bool, policy: &Policy) -> bool {
        let all = if v6 { crate::policy::Prefix::ALL_V6 } else { crate::policy::Prefix::ALL_V4 };
        let holds = |sets: &[Addresses]| sets.iter().any(|set| policy.prefixes(set).binary_search(&all).is_ok());
        let (destinations, _) = &self.sets[set as usize];
        holds(&destinations.include) && !holds(&destinations.except)
    }
}
