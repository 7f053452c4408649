//! Every packet at which something may change for a policy.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use dropgate_abi::reason::Reason;

use super::generate::PORTS;
use crate::{
    packets::{self, Ip, SYN},
    reference::{
        At, Model,
        allow::{Start, tags},
        flows::{Party, Place},
        policy::{Kind, Prefix, To},
    },
};

/// Where the programs decide by address alone.
const FIXED: [&str; 6] = ["0.0.0.0/32", "127.0.0.0/8", "255.255.255.255/32", "fe80::/10", "ff00::/8", "::1/128"];

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(v6: bool, number: u128) -> IpAddr {
    if v6 { Ipv6Addr::from_bits(number).into() } else { Ipv4Addr::from_bits(number as u32).into() }
}

/// A packet, and where it is seen.
#[derive(Clone, Debug)]
pub struct Case {
    pub at: At,
    pub tags: Vec<u16>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub port: u16,
    /// The sender, as the model has it.
    pub party: Party,
}

/// What the model says of a packet: the line that allows it, or none.
pub type Line = (String, String);

impl Case {
    fn frame(&self) -> Vec<u8> {
        let payload = match self.protocol {
            6 => packets::tcp(40_000, self.port, SYN, &[]),
            17 => packets::udp(40_000, self.port, b"x"),
            1 | 58 => packets::icmp(self.port as u8, 0, 7),
            _ => vec![0; 8],
        };
        Ip::new(self.source, self.destination).frame(&self.tags, self.protocol, &payload)
    }

    pub fn start(&self) -> Start {
        let icmp = [1, 58].contains(&self.protocol);
        Start {
            src: self.source,
            dst: self.destination,
            protocol: self.protocol,
            dport: if icmp { 0 } else { self.port },
            icmp_type: icmp.then_some(self.port as u8),
        }
    }

    /// The line that allows it.
    pub fn line(&self, model: &mut Model) -> Option<Line> {
        model.forget();
        let verdict = model.judge(self.at, &self.frame());
        if verdict.reason != Reason::allowed {
            return None;
        }
        let name = verdict.service.expect("a line allows it");
        let owner = if name.starts_with("pub") { "publish".into() } else { verdict.zone.expect("whose it is") };
        Some((owner, name))
    }
}

/// Every address at which something may change.
pub fn addresses(model: &Model) -> BTreeSet<IpAddr> {
    let policy = &model.policy;
    let all = || {
        policy.zones.iter().flat_map(|zone| &zone.egress).chain(&policy.gateway_egress).chain(&policy.outside_egress)
    };
    let mut prefixes: Vec<Prefix> = FIXED.iter().map(|text| Prefix::new(text)).collect();
    prefixes.extend(policy.addresses.iter().map(|own| Prefix::host(*own)));
    prefixes.extend(policy.publish.iter().map(|line| Prefix::host(line.to)));
    prefixes.extend(policy.zones.iter().flat_map(|zone| zone.prefixes.clone()));
    prefixes.extend(policy.block_from.iter().chain(&policy.block_to));
    for service in all() {
        prefixes.extend(&service.except);
        prefixes.extend(service.to.iter().filter_map(|to| match to {
            To::Prefix(prefix) | To::ZonePrefix(_, prefix) => Some(*prefix),
            _ => None,
        }));
    }
    let mut addresses: BTreeSet<IpAddr> =
        ["0.0.0.1", "9.9.9.9", "198.51.100.1", "2001:db8:1::1", "::2"].map(packets::ip).into();
    for prefix in prefixes {
        let v6 = prefix.address.is_ipv6();
        let bits = if v6 { 128 } else { 32 };
        let first = number(prefix.address);
        let size = if prefix.bits == 0 { u128::MAX } else { (1u128 << (bits - prefix.bits)) - 1 };
        let end = if v6 { u128::MAX } else { u32::MAX.into() };
        let last = first | size.min(end);
        let near = [
            first.checked_sub(1),
            Some(first),
            first.checked_add(1),
            last.checked_sub(1),
            Some(last),
            last.checked_add(1),
        ];
        addresses.extend(
            near.into_iter().flatten().chain(last.checked_add(2)).filter(|at| *at <= end).map(|at| address(v6, at)),
        );
    }
    addresses
}

/// Every packet at which something may change, by sender.
pub fn universe(model: &Model) -> Vec<Case> {
    let policy = &model.policy;
    let all = || {
        policy.zones.iter().flat_map(|zone| &zone.egress).chain(&policy.gateway_egress).chain(&policy.outside_egress)
    };
    let addresses = addresses(model);
    let ranges = all().flat_map(|service| service.tcp.iter().chain(&service.udp));
    let ranges = ranges.chain(policy.publish.iter().flat_map(|line| &line.ports));
    let mut ports: BTreeSet<u16> = ranges.flat_map(|(low, high)| [*low, *low + 1, *high, *high + 1]).collect();
    ports.extend(PORTS);
    ports.extend(policy.publish.iter().filter_map(|line| line.to_port));
    let mut kinds: Vec<(u8, u16)> = ports.iter().flat_map(|port| [(6, *port), (17, *port)]).collect();
    kinds.extend([0, 5, 8, 11].map(|kind| (1, kind)));
    kinds.extend([1, 128, 133, 143].map(|kind| (58, kind)));
    kinds.extend([(4, 0), (47, 0), (51, 0)]);

    let mut cases = Vec::new();
    for (at, tags, place) in places(model) {
        for v6 in [false, true] {
            let mut parties: BTreeMap<String, (Party, Vec<IpAddr>)> = BTreeMap::new();
            for source in addresses.iter().filter(|source| source.is_ipv6() == v6) {
                let odd = source.is_multicast() || source.is_loopback() || source.is_unspecified();
                let blocked = policy.block_from.iter().any(|prefix| prefix.holds(*source));
                if odd || blocked || *source == packets::ip("255.255.255.255") {
                    continue;
                }
                if let Ok(party) = model.source(place, *source)
                    && party != Party::Nameless
                {
                    let (_, sources) = parties.entry(format!("{party:?}")).or_insert((party, Vec::new()));
                    sources.push(*source);
                }
            }
            for (party, sources) in parties.into_values() {
                // two, because one may be the destination
                for source in sources.iter().rev().take(2) {
                    for destination in addresses.iter().filter(|destination| destination.is_ipv6() == v6) {
                        for (protocol, port) in &kinds {
                            cases.push(Case {
                                at,
                                tags: tags.clone(),
                                source: *source,
                                destination: *destination,
                                protocol: *protocol,
                                port: *port,
                                party: party.clone(),
                            });
                        }
                    }
                }
            }
        }
    }
    cases
}

/// Where packets are seen: as they come in, as the gateway sends them, and behind a translation.
fn places(model: &Model) -> Vec<(At, Vec<u16>, Place)> {
    let mut places =
        vec![(At::ingress(21, 0), vec![], Place::Port(21, [0, 0])), (At::egress(21, 0, 0), vec![], Place::Gateway)];
    for zone in &model.policy.zones {
        let ifindex = model.ifindex(&zone.interface);
        let place = (At::ingress(ifindex, 0), zone.vlan.clone(), Place::Port(ifindex, tags(zone)));
        if !places.contains(&place) {
            places.push(place);
            if model.policy.kind == Kind::Masquerade {
                places.push((At::egress(ifindex, 21, 0), zone.vlan.clone(), Place::Forwarded(21)));
            }
        }
    }
    places
}
