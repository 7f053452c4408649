//! The small world that generated policies and packets live in: few addresses and ports, so that they meet.

use std::net::IpAddr;

use super::{
    At, Hook,
    policy::{Fragments, Kind, Policy, Prefix, Publish, Service, Timeouts, To, Zone},
};
use crate::packets::ip;

/// Names of interfaces and their numbers.
pub const INTERFACES: [(&str, u32); 4] = [("lan0", 11), ("lan1", 12), ("wan0", 21), ("wan1", 22)];

/// VLAN devices of the kernel: number, name, the interface at the bottom, what the device lies on with which tag. The kernel
/// says of a packet that came in with these tags that it came in by the device.
pub const VLAN_DEVICES: [(u32, &str, u32, (u32, u16)); 3] =
    [(31, "lan0.20", 11, (11, 20)), (32, "lan1.100", 12, (12, 100)), (33, "lan1.100.10", 12, (32, 10))];

/// A zone that a policy may have: name, interface, tags, prefixes, a gateway address in each prefix.
struct Template(&'static str, u32, &'static [u16], &'static [&'static str], &'static [&'static str]);

const TEMPLATES: [Template; 7] = [
    Template("office", 11, &[], &["10.10.0.0/24", "fd10::/64"], &["10.10.0.1", "fd10::1"]),
    // at the same port, within the prefix of the one before
    Template("desk", 11, &[], &["10.10.0.128/25", "fd10::8000/113"], &[]),
    Template("iot", 11, &[20], &["10.20.0.0/24", "fd20::/64"], &["10.20.0.1", "fd20::1"]),
    Template("lab", 12, &[100, 10], &["10.30.0.0/16", "172.30.0.0/30"], &["10.30.0.1"]),
    // its prefix holds that of another zone elsewhere
    Template("guest", 12, &[], &["10.0.0.0/8", "fd40::/64"], &["10.40.0.1", "fd40::1"]),
    Template("partner", 21, &[], &["172.16.5.0/24", "fd50::/64"], &[]),
    // behind a bridge: of the network before it
    Template("router", 21, &[], &["10.10.0.9/32", "fd10::9/128"], &[]),
];

const OUTSIDE: [&str; 6] =
    ["198.51.100.7", "198.51.100.8", "192.0.2.5", "2001:db8:1::7", "2001:db8:1::8", "2001:db8:2::5"];
pub const WAN: [&str; 2] = ["203.0.113.1", "2001:db8:ffff::1"];
/// Hosts of the zones, by template.
const HOSTS: [&[&str]; 7] = [
    &["10.10.0.5", "10.10.0.6", "fd10::5", "fd10::6"],
    &["10.10.0.130", "10.10.0.131", "fd10::8005"],
    &["10.20.0.5", "10.20.0.8", "fd20::5"],
    &["10.30.0.5", "10.30.255.5", "172.30.0.2"],
    &["10.40.0.5", "10.99.0.5", "fd40::5"],
    &["172.16.5.5", "fd50::5"],
    &["10.10.0.9", "fd10::9"],
];
pub const PORTS: [u16; 12] = [22, 53, 80, 443, 7999, 8000, 8005, 8010, 8011, 9100, 65535, 1];

/// The pairs of a bridge, and the number of the first interface of each; the other one's is ten more.
const PAIRS: [([&str; 2], u32); 2] = [(["lan0", "wan0"], 11), (["lan1", "wan1"], 12)];

/// SplitMix64 (Steele, Lea, Flood 2014): a seed gives the same case for ever.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True this often in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

/// Where an address lives: interface and tags; none for the gateway's own and for groups.
pub fn home(address: IpAddr) -> Option<(u32, Vec<u16>)> {
    if gateway_addresses().contains(&address) || address.is_multicast() {
        return None;
    }
    // the narrower prefix of the two that hold others comes last
    let best = TEMPLATES
        .iter()
        .flat_map(|zone| zone.3.iter().map(move |prefix| (zone, Prefix::new(prefix))))
        .filter(|(_, prefix)| prefix.holds(address))
        .max_by_key(|(_, prefix)| prefix.bits);
    Some(best.map_or((21, Vec::new()), |(zone, _)| (zone.1, zone.2.to_vec())))
}

pub fn gateway_addresses() -> Vec<IpAddr> {
    TEMPLATES.iter().flat_map(|zone| zone.4).chain(&WAN).map(|text| ip(text)).collect()
}

/// Any host, of the zones or the outside.
pub fn host(rng: &mut Rng) -> IpAddr {
    let at = rng.below(HOSTS.len() + 3);
    let hosts = HOSTS.get(at).copied().unwrap_or(&OUTSIDE);
    ip(rng.pick(hosts))
}

/// A host on the outside of the family of another address.
pub fn outside_host(rng: &mut Rng, v4: bool) -> IpAddr {
    let hosts: Vec<IpAddr> = OUTSIDE.iter().map(|text| ip(text)).filter(|host| host.is_ipv4() == v4).collect();
    rng.pick(&hosts)
}

/// A host of a zone of the world, if it has one of that family.
pub fn zone_host(rng: &mut Rng, name: &str, v4: bool) -> Option<IpAddr> {
    let at = TEMPLATES.iter().position(|zone| zone.0 == name)?;
    let hosts: Vec<IpAddr> = HOSTS[at].iter().map(|text| ip(text)).filter(|host| host.is_ipv4() == v4).collect();
    (!hosts.is_empty()).then(|| rng.pick(&hosts))
}

/// A gateway address of that family.
pub fn gateway_host(rng: &mut Rng, v4: bool) -> IpAddr {
    let all: Vec<IpAddr> = gateway_addresses().into_iter().filter(|host| host.is_ipv4() == v4).collect();
    rng.pick(&all)
}

pub fn policy(rng: &mut Rng) -> Policy {
    let kind = match rng.below(100) {
        0..45 => Kind::Route,
        45..75 => Kind::Masquerade,
        _ => Kind::Bridge,
    };
    let mut chosen: Vec<&Template> = TEMPLATES.iter().filter(|_| rng.percent(50)).collect();
    if kind == Kind::Masquerade {
        chosen.retain(|zone| zone.0 != "partner");
    }
    if kind != Kind::Bridge {
        chosen.retain(|zone| zone.0 != "router");
    } else if !chosen.iter().any(|zone| zone.1 == 11) {
        // each interface of a pair is a side
        chosen.retain(|zone| zone.1 != 21);
    }
    if chosen.is_empty() {
        chosen.push(&TEMPLATES[0]);
    }
    let mut pairs = PAIRS.to_vec();
    pairs.retain(|(_, lan)| kind == Kind::Bridge && chosen.iter().any(|zone| zone.1 == *lan));
    let names: Vec<String> = chosen.iter().map(|zone| zone.0.to_string()).collect();
    let dhcp = [rng.percent(50), rng.percent(50), rng.percent(50)];
    let zones = chosen
        .iter()
        .map(|zone| Zone {
            name: zone.0.into(),
            interface: INTERFACES.iter().find(|(_, number)| *number == zone.1).expect("known").0.into(),
            vlan: zone.2.to_vec(),
            prefixes: zone.3.iter().map(|prefix| Prefix::new(prefix)).collect(),
            loose: kind == Kind::Route && rng.percent(12),
            max_flows: if rng.percent(15) { 1 + rng.below(2) as u32 } else { 0 },
            // zones of one port agree: a host without an address belongs to no one of them
            dhcp: dhcp[zone.2.len()],
            egress: services(rng, &names, Speaker::Zone, 5),
        })
        .collect();
    let fragments = |rng: &mut Rng| rng.pick(&[Fragments::Drop, Fragments::Track, Fragments::Track, Fragments::Pass]);
    Policy {
        kind,
        outside: match kind {
            Kind::Bridge => pairs.iter().map(|([_, wan], _)| wan.to_string()).collect(),
            _ if rng.percent(70) => vec!["wan0".into()],
            _ => vec!["wan0".into(), "wan1".into()],
        },
        pairs: pairs.iter().map(|(names, _)| names.map(String::from)).collect(),
        addresses: gateway_addresses(),
        ethertypes: rng.pick(&[
            vec![0, 0x0806, 0x88cc],
            vec![0x0806],
            vec![0x0806],
            vec![0x0806, 0x88cc],
            vec![0x88cc],
            vec![],
        ]),
        drop_unsolicited: rng.percent(30),
        pppoe: rng.pick(&[None, None, None, Some("judge"), Some("judge"), Some("opaque"), Some("drop")]),
        zones,
        gateway_egress: services(rng, &names, Speaker::Gateway, 3),
        outside_egress: services(rng, &names, Speaker::Outside(kind), 3),
        publish: if kind == Kind::Masquerade { publish(rng, &names) } else { Vec::new() },
        block_from: blocklist(rng),
        block_to: blocklist(rng),
        udp_fragments: fragments(rng),
        tcp_fragments: fragments(rng),
        icmp_fragments: fragments(rng),
        other_fragments: fragments(rng),
        timeouts: Timeouts { tcp_established: 600_050, ..Timeouts::default() },
        inspection: false,
        ..Policy::default()
    }
}

fn blocklist(rng: &mut Rng) -> Vec<Prefix> {
    let all = ["198.51.100.8/32", "192.0.2.0/24", "10.20.0.8/32", "2001:db8:2::/48", "fd10::6/128"];
    if rng.percent(80) { Vec::new() } else { vec![Prefix::new(rng.pick(&all))] }
}

fn publish(rng: &mut Rng, zones: &[String]) -> Vec<Publish> {
    let mut lines = Vec::new();
    for (at, port) in [(0, 80), (1, 8000)] {
        let zone = rng.pick(zones);
        let Some(to) = zone_host(rng, &zone, true) else { continue };
        if rng.percent(60) {
            continue;
        }
        let to_port = rng.percent(50).then(|| rng.pick(&[8080, 443]));
        let ports = if to_port.is_none() && rng.percent(30) { vec![(port, port + 5)] } else { vec![(port, port)] };
        let transport = rng.pick(&[6, 17]);
        lines.push(Publish { name: format!("pub{at}"), transport, ports, address: ip(WAN[0]), to, to_port });
    }
    lines
}

#[derive(Clone, Copy, PartialEq)]
enum Speaker {
    Zone,
    Gateway,
    Outside(Kind),
}

fn services(rng: &mut Rng, zones: &[String], who: Speaker, most: usize) -> Vec<Service> {
    (0..rng.below(most + 1)).map(|at| service(rng, zones, who, at)).collect()
}

fn service(rng: &mut Rng, zones: &[String], who: Speaker, at: usize) -> Service {
    let mut service = Service { name: format!("s{at}"), ..Service::default() };
    let ports = |rng: &mut Rng| match rng.below(4) {
        0 => vec![(8000, 8010)],
        1 => vec![(1, 1023)],
        2 => vec![(rng.pick(&PORTS[..5]), 0), (8005, 9100)],
        _ => vec![(rng.pick(&PORTS), 0)],
    };
    let fix = |ranges: Vec<(u16, u16)>| ranges.into_iter().map(|(low, high)| (low, high.max(low))).collect();
    match rng.below(9) {
        0..=2 => service.tcp = fix(ports(rng)),
        3 | 4 => service.udp = fix(ports(rng)),
        5 => (service.tcp, service.udp) = (fix(ports(rng)), fix(ports(rng))),
        6 => (service.icmp, service.icmpv6) = (vec![rng.pick(&[8, 13])], vec![128]),
        8 => {
            match rng.below(5) {
                0 => service.udp = vec![(4789, 4789)],
                1 => service.udp = fix(vec![(4000, 9000)]),
                2 => service.protocol = vec![4, 41, 47],
                _ => service.protocol = vec![rng.pick(&[4, 41, 47])],
            }
            service.tunnel = rng.pick(&[Some("judge"), Some("judge"), Some("judge"), Some("opaque"), None]);
        }
        _ if rng.percent(50) => service.sctp = fix(ports(rng)),
        _ => {
            service.protocol = vec![rng.pick(&[4, 41, 47, 47, 50, 112])];
            service.tunnel = rng.pick(&[None, Some("opaque"), Some("opaque"), Some("drop")]);
        }
    }
    let entries = if rng.percent(50) { 1 } else { 2 };
    for _ in 0..entries {
        let zone = rng.pick(zones);
        let to = match (who, rng.below(6)) {
            (Speaker::Outside(Kind::Route | Kind::Bridge), 0..=3) => To::Zone(zone),
            (Speaker::Outside(_), _) => To::Gateway,
            (_, 0 | 1) => To::Any,
            (_, 2) => To::Prefix(Prefix::new(rng.pick(&["198.51.100.0/29", "2001:db8:1::/64", "10.20.0.0/16"]))),
            (_, 3) => To::Zone(zone),
            (Speaker::Zone, 4) => To::Gateway,
            _ => {
                let v4 = rng.percent(70);
                zone_host(rng, &zone, v4).map_or(To::Any, |host| To::ZonePrefix(zone, Prefix::host(host)))
            }
        };
        if !service.to.contains(&to) {
            service.to.push(to);
        }
    }
    if rng.percent(20) {
        service.except.push(Prefix::new(rng.pick(&["198.51.100.8/32", "2001:db8:1::8/128", "10.20.0.8/32"])));
    }
    service
}

/// Where a packet between two addresses is seen first: as it comes in, or as the gateway sends it.
pub fn seen_first(src: IpAddr, dst: IpAddr) -> (At, Vec<u16>) {
    match home(src) {
        Some((ifindex, tags)) => (At::ingress(ifindex, 0), tags),
        None => {
            let (ifindex, tags) = home(dst).unwrap_or((11, Vec::new()));
            (At::egress(ifindex, 0, 0), tags)
        }
    }
}

/// Where a forwarded packet leaves; none if it does not.
pub fn seen_last(first: &At, from: &[u16], dst: IpAddr) -> Option<(At, Vec<u16>)> {
    let (ifindex, tags) = home(dst)?;
    let from = match from[..] {
        [20] => 31,
        [100, 10] => 33,
        _ => first.ifindex,
    };
    (first.hook == Hook::Ingress).then(|| (At::egress(ifindex, from, 0), tags))
}
