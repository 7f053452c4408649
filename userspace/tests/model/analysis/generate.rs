//! Policies whose lines meet.

use crate::{
    packets,
    reference::{
        policy::{Expect, Kind, Policy, Prefix, Publish, Service, To, Zone},
        world::Rng,
    },
};

const V4: [&str; 14] = [
    "10.0.0.0/28",
    "10.0.0.0/29",
    "10.0.0.8/29",
    "10.0.0.4/30",
    "10.0.0.5/32",
    "10.0.0.12/31",
    "10.0.1.0/29",
    "10.0.1.4/32",
    "192.0.2.0/28",
    "192.0.2.0/29",
    "192.0.2.8/29",
    "192.0.2.9/32",
    "0.0.0.0/1",
    "128.0.0.0/1",
];
const V6: [&str; 6] =
    ["fd00::/125", "fd00::4/126", "2001:db8::/124", "2001:db8::/125", "2001:db8::8/125", "2001:db8::9/128"];
pub const OWN: [&str; 3] = ["10.0.0.1", "203.0.113.1", "2001:db8::1"];
pub const PORTS: [u16; 7] = [22, 52, 53, 54, 80, 443, 444];

fn prefix(rng: &mut Rng) -> Prefix {
    Prefix::new(if rng.percent(80) { rng.pick(&V4) } else { rng.pick(&V6) })
}

/// A policy over few addresses and ports, so that its lines meet.
pub fn generate(rng: &mut Rng) -> Policy {
    let kind = if rng.percent(50) { Kind::Route } else { Kind::Masquerade };
    let mut sides = vec![("lan0", vec![]), ("lan0", vec![20]), ("lan1", vec![])];
    if kind == Kind::Route {
        sides.push(("wan0", vec![]));
    }
    let count = 1 + rng.below(3);
    let mut zones: Vec<Zone> = Vec::new();
    for at in 0..count {
        let (interface, vlan) = rng.pick(&sides);
        let mut prefixes: Vec<Prefix> = Vec::new();
        for _ in 0..1 + rng.below(3) {
            let new = Prefix::new(if rng.percent(80) { rng.pick(&V4[..9]) } else { rng.pick(&V6[..3]) });
            let here = |zone: &&Zone| zone.interface == interface && zone.vlan == vlan;
            let held = zones.iter().filter(here).any(|zone| zone.prefixes.contains(&new));
            if !held && !prefixes.contains(&new) {
                prefixes.push(new);
            }
        }
        if prefixes.is_empty() {
            continue;
        }
        zones.push(Zone {
            name: format!("z{at}"),
            interface: interface.into(),
            vlan,
            prefixes,
            loose: false,
            max_flows: 0,
            dhcp: false,
            egress: Vec::new(),
        });
    }
    let names: Vec<String> = zones.iter().map(|zone| zone.name.clone()).collect();
    let inspection = rng.percent(60);
    for zone in &mut zones {
        zone.egress = services(rng, &names, "zone", inspection);
    }
    let hosts: Vec<&str> = vec!["10.0.0.5", "10.0.0.6", "10.0.1.4", "192.0.2.9"];
    let mut published = Vec::new();
    for at in 0..if kind == Kind::Masquerade { rng.below(4) } else { 0 } {
        let to = packets::ip(rng.pick(&hosts));
        let held = zones.iter().any(|zone| zone.prefixes.iter().any(|prefix| prefix.holds(to)));
        if held {
            published.push(Publish {
                name: format!("pub{at}"),
                transport: 6,
                ports: ports(rng),
                address: packets::ip(rng.pick(&OWN[..2])),
                to,
                to_port: rng.percent(50).then(|| rng.pick(&PORTS)),
            });
        }
    }
    let blocked =
        |rng: &mut Rng| (0..if rng.percent(40) { 1 + rng.below(2) } else { 0 }).map(|_| prefix(rng)).collect();
    Policy {
        kind,
        outside: vec!["wan0".into()],
        vxlan: rng.pick(&[vec![4789, 8472], vec![53], vec![53, 443], vec![]]),
        addresses: OWN.iter().map(|text| packets::ip(text)).collect(),
        gateway_egress: services(rng, &names, "self", inspection),
        outside_egress: services(rng, &names, if kind == Kind::Route { "outside" } else { "masquerade" }, inspection),
        zones,
        publish: published,
        block_from: blocked(rng),
        block_to: blocked(rng),
        inspection,
        ..Policy::default()
    }
}

fn ports(rng: &mut Rng) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = (0..1 + rng.below(2))
        .map(|_| {
            let (a, b) = (rng.pick(&PORTS), rng.pick(&PORTS));
            if rng.percent(50) { (a, a) } else { (a.min(b), a.max(b)) }
        })
        .collect();
    ranges.sort_unstable();
    ranges
}

fn services(rng: &mut Rng, zones: &[String], who: &str, inspection: bool) -> Vec<Service> {
    (0..rng.below(7)).map(|at| service(rng, zones, (who, inspection), at)).collect()
}

fn service(rng: &mut Rng, zones: &[String], (who, inspection): (&str, bool), at: usize) -> Service {
    let mut service = Service { name: format!("s{at}"), ..Service::default() };
    match rng.below(10) {
        0..=4 => service.tcp = ports(rng),
        5 => service.udp = ports(rng),
        6 => (service.tcp, service.udp) = (ports(rng), ports(rng)),
        7 => service.icmp = vec![rng.pick(&[0, 5, 8, 11])],
        8 => (service.icmp, service.icmpv6) = (vec![8], vec![rng.pick(&[1, 128, 133, 143])]),
        _ => service.protocol = vec![rng.pick(&[4, 47, 47, 51])],
    }
    service.tunnel = rng.pick(&[None, Some("judge"), Some("opaque"), Some("opaque"), Some("drop")]);
    for _ in 0..1 + rng.below(3) {
        let zone = if zones.is_empty() { String::new() } else { rng.pick(zones) };
        let to = match (who, rng.below(8)) {
            ("masquerade", _) | ("outside", 0..=3) => To::Gateway,
            (_, 4 | 5) if !zone.is_empty() => To::ZonePrefix(zone, prefix(rng)),
            (_, 6 | 7) | ("outside", _) if !zone.is_empty() => To::Zone(zone),
            ("outside", _) => To::Gateway,
            ("zone", 3) => To::Gateway,
            (_, 0) => To::Any,
            _ => To::Prefix(prefix(rng)),
        };
        if !service.to.contains(&to) {
            service.to.push(to);
        }
    }
    if rng.percent(30) {
        service.except.push(prefix(rng));
    }
    if inspection {
        service.uninspected = rng.percent(15);
        service.expect = match rng.below(5) {
            0 => Some(Expect::Any),
            1 => Some(Expect::Only(vec!["tls"])),
            2 => Some(Expect::Only(vec!["dns"])),
            _ => None,
        };
    }
    service
}
