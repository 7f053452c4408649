//! Rules about payloads in groups by protocol, direction and ports.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::matcher::{Matcher, PACKET, Pattern, STREAM};
use crate::rule::{PortRange, Ports, Protocol};

/// What carries a payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Carrier {
    /// What is said on a connection, and the packets that say it.
    TcpStream,
    /// Packets of a connection that add nothing to it.
    TcpPacket,
    Udp,
    Sctp,
    Icmp,
    Icmpv6,
    Other,
}

impl Carrier {
    /// Every one of them.
    pub const ALL: [Self; 7] =
        [Self::TcpStream, Self::TcpPacket, Self::Udp, Self::Sctp, Self::Icmp, Self::Icmpv6, Self::Other];

    /// What carries a packet of a protocol.
    pub const fn of_packet(protocol: u8) -> Self {
        match protocol {
            6 => Self::TcpPacket,
            17 => Self::Udp,
            132 => Self::Sctp,
            1 => Self::Icmp,
            58 => Self::Icmpv6,
            _ => Self::Other,
        }
    }

    /// Whether it may carry what a rule asks for.
    pub const fn may_carry(self, protocol: Protocol) -> bool {
        let tcp = matches!(self, Self::TcpStream | Self::TcpPacket);
        match protocol {
            Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 | Protocol::PacketHeader => true,
            Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream | Protocol::Number(6) => tcp,
            Protocol::Udp | Protocol::Number(17) => matches!(self, Self::Udp),
            Protocol::Icmp => matches!(self, Self::Icmp | Self::Icmpv6),
            Protocol::Icmpv4 | Protocol::Number(1) => matches!(self, Self::Icmp),
            Protocol::Icmpv6 | Protocol::Number(58) => matches!(self, Self::Icmpv6),
            Protocol::Sctp | Protocol::Number(132) => matches!(self, Self::Sctp),
            Protocol::Igmp | Protocol::Number(_) => matches!(self, Self::Other),
            Protocol::App(_) => tcp || matches!(self, Self::Udp | Self::Sctp),
        }
    }

    /// Whether it has ports.
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TcpStream | Self::TcpPacket | Self::Udp | Self::Sctp)
    }
}

/// Rules that are asked together.
#[derive(Debug, Default)]
pub struct Group {
    pub matcher: Option<Matcher>,
    /// Those without a fast pattern.
    pub always: Vec<u32>,
    /// What may be spoken where rules about packets, and about streams, can match once both ends have spoken: a bit for each
    /// protocol.
    pub packets: u64,
    pub streams: u64,
}

/// Groups of one carrier and direction.
#[derive(Debug, Default)]
pub struct Table {
    /// Of rules for any port, or for so many that they may as well be.
    wide: Option<u32>,
    by_destination: Intervals,
    by_source: Intervals,
}

/// The group of each port: from a port on up to the next one.
#[derive(Debug, Default)]
struct Intervals(Vec<(u16, Option<u32>)>);

impl Intervals {
    fn of(&self, port: u16) -> Option<u32> {
        let behind = self.0.partition_point(|(from, _)| *from <= port);
        self.0[behind.checked_sub(1)?].1
    }
}

impl Table {
    /// The groups of a packet.
    pub fn groups(&self, source: u16, destination: u16) -> impl Iterator<Item = u32> {
        [self.wide, self.by_destination.of(destination), self.by_source.of(source)].into_iter().flatten()
    }
}

/// A rule, to be put into a group.
#[derive(Clone, Debug)]
pub struct Member {
    pub rule: u32,
    pub pattern: Option<Pattern>,
    pub source: Ports,
    pub destination: Ports,
    /// `<>`
    pub both_ways: bool,
    /// What it is asked about: [`super::matcher::PACKET`], [`STREAM`].
    pub of: u8,
    /// What may be spoken where it can match once both ends have spoken: a bit for each protocol.
    pub apps: u64,
}

/// Puts rules into groups. Groups of the same rules are one.
#[derive(Debug, Default)]
pub struct Grouping {
    groups: Vec<Group>,
    known: HashMap<Vec<u32>, u32>,
    members: HashMap<u32, (Option<Arc<Pattern>>, u8, u64)>,
}

/// Ports beyond which a rule is for any port.
const NARROW: u32 = 4096;
/// Ranges of ports beyond which a rule is for any port.
const NARROW_RANGES: usize = 64;

fn is_narrow(ports: &Ports) -> bool {
    let count = |(first, last): &PortRange| u32::from(last - first) + 1;
    ports.0.len() <= NARROW_RANGES && ports.0.iter().map(count).sum::<u32>() <= NARROW
}

impl Grouping {
    /// Groups of one carrier and direction.
    pub fn table(&mut self, members: &[Member], has_ports: bool) -> Table {
        let (mut wide, mut by_destination, mut by_source) = (Vec::new(), Vec::new(), Vec::new());
        for member in members {
            self.members.insert(member.rule, (member.pattern.clone().map(Arc::new), member.of, member.apps));
            let key = [(true, &member.destination), (false, &member.source)]
                .into_iter()
                .find(|(_, ports)| has_ports && is_narrow(ports));
            match key {
                Some((to, ports)) => {
                    if to || member.both_ways {
                        by_destination.push((member.rule, ports));
                    }
                    if !to || member.both_ways {
                        by_source.push((member.rule, ports));
                    }
                }
                None => wide.push(member.rule),
            }
        }
        let table = Table {
            wide: self.group(wide),
            by_destination: self.intervals(&by_destination),
            by_source: self.intervals(&by_source),
        };
        self.members.clear();
        table
    }

    /// All groups.
    pub fn finish(self) -> Vec<Group> {
        self.groups
    }

    fn intervals(&mut self, rules: &[(u32, &Ports)]) -> Intervals {
        let mut changes: Vec<(u32, bool, u32)> = Vec::new();
        for (rule, ports) in rules {
            for (first, last) in &ports.0 {
                changes.push((u32::from(*first), true, *rule));
                changes.push((u32::from(*last) + 1, false, *rule));
            }
        }
        changes.sort_unstable();
        let (mut active, mut out, mut at) = (BTreeSet::new(), Vec::new(), 0);
        while let Some((port, ..)) = changes.get(at) {
            let port = *port;
            while let Some((of, begins, rule)) = changes.get(at).filter(|(of, ..)| *of == port) {
                debug_assert_eq!(*of, port);
                if *begins {
                    active.insert(*rule)
                } else {
                    active.remove(rule)
                };
                at += 1;
            }
            if let Ok(port) = u16::try_from(port) {
                out.push((port, self.group(active.iter().copied().collect())));
            }
        }
        Intervals(out)
    }

    fn group(&mut self, mut rules: Vec<u32>) -> Option<u32> {
        if rules.is_empty() {
            return None;
        }
        rules.sort_unstable();
        rules.dedup();
        if let Some(known) = self.known.get(&rules) {
            return Some(*known);
        }
        let (mut patterns, mut always, mut packets, mut streams) = (Vec::new(), Vec::new(), 0, 0);
        for rule in &rules {
            let Some((pattern, of, apps)) = self.members.get(rule) else { continue };
            packets |= if of & PACKET != 0 { *apps } else { 0 };
            streams |= if of & STREAM != 0 { *apps } else { 0 };
            match pattern.as_deref() {
                Some(pattern) => patterns.push(pattern.clone()),
                None => always.push(*rule),
            }
        }
        let matcher = Matcher::new(&patterns);
        if matcher.is_none() {
            always.clone_from(&rules);
        }
        let number = self.groups.len() as u32;
        self.groups.push(Group { matcher, always, packets, streams });
        self.known.insert(rules, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(rule: u32, source: &[PortRange], destination: &[PortRange], both_ways: bool) -> Member {
        let ports = |ports: &[PortRange]| if ports.is_empty() { Ports::default() } else { Ports(ports.to_vec()) };
        Member {
            rule,
            pattern: None,
            source: ports(source),
            destination: ports(destination),
            both_ways,
            of: STREAM,
            apps: u64::MAX,
        }
    }

    fn rules(grouping: &[Group], table: &Table, source: u16, destination: u16) -> Vec<u32> {
        let mut all: Vec<u32> =
            table.groups(source, destination).flat_map(|group| grouping[group as usize].always.clone()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn by_ports() {
        let members = [
            member(0, &[], &[], false),
            member(1, &[], &[(80, 80), (8000, 8100)], false),
            member(2, &[(53, 53)], &[], false),
            member(3, &[], &[(8050, 8060)], false),
            member(4, &[], &[(21, 21)], true),
            member(5, &[], &[(0, 65_535)], false),
            member(6, &[], &[(65_535, 65_535)], false),
        ];
        let mut grouping = Grouping::default();
        let table = grouping.table(&members, true);
        let portless = grouping.table(&members, false);
        let groups = grouping.finish();
        assert_eq!(rules(&groups, &table, 1000, 80), [0, 1, 5]);
        assert_eq!(rules(&groups, &table, 53, 8055), [0, 1, 2, 3, 5]);
        assert_eq!(rules(&groups, &table, 1000, 8061), [0, 1, 5]);
        assert_eq!(rules(&groups, &table, 21, 1000), [0, 4, 5]);
        assert_eq!(rules(&groups, &table, 1000, 21), [0, 4, 5]);
        assert_eq!(rules(&groups, &table, 1000, 65_535), [0, 5, 6]);
        assert_eq!(rules(&groups, &portless, 0, 0), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn same_rules_are_one_group() {
        let mut grouping = Grouping::default();
        let members = [member(0, &[], &[(80, 80)], false), member(1, &[], &[(80, 80)], false)];
        let (one, other) = (grouping.table(&members, true), grouping.table(&members, true));
        assert_eq!(one.groups(0, 80).collect::<Vec<_>>(), other.groups(0, 80).collect::<Vec<_>>());
        assert_eq!(grouping.finish().len(), 1);
    }
}
