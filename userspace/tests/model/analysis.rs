//! What `check` says about dead, shadowed and contradicting lines, held against the reference model.
//!
//! Policies are generated over few addresses and ports. Of all addresses and ports those are tried at which something may
//! change (the ends of each prefix and range, and their neighbours), so what holds for them holds for every packet.
//!
//! `DROPGATE_ANALYSIS_POLICIES` sets how many policies are tried, `DROPGATE_MODEL_SEED` where they start.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use dropgate::{
    policy::{
        self, Environment, Source,
        analysis::{self, Finding, Witness},
        codes,
    },
    protocol::registered,
};
use dropgate_abi::reason::Reason;

use crate::{
    packets::{self, Ip, SYN},
    reference::{
        At, Model,
        allow::{Start, tags},
        flows::{Party, Place},
        policy::{Expect, Kind, Policy, Prefix, Publish, Service, To, Zone},
        world::{INTERFACES, Rng},
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
const OWN: [&str; 3] = ["10.0.0.1", "203.0.113.1", "2001:db8::1"];
const FIXED: [&str; 6] = ["0.0.0.0/32", "127.0.0.0/8", "255.255.255.255/32", "fe80::/10", "ff00::/8", "::1/128"];
const PORTS: [u16; 7] = [22, 52, 53, 54, 80, 443, 444];

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(v6: bool, number: u128) -> IpAddr {
    if v6 { Ipv6Addr::from_bits(number).into() } else { Ipv4Addr::from_bits(number as u32).into() }
}

fn prefix(rng: &mut Rng) -> Prefix {
    Prefix::new(if rng.percent(80) { rng.pick(&V4) } else { rng.pick(&V6) })
}

fn generate(rng: &mut Rng) -> Policy {
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
        _ => service.protocol = vec![rng.pick(&[47, 51])],
    }
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

/// A packet, and where it is seen.
#[derive(Clone, Debug)]
struct Case {
    at: At,
    tags: Vec<u16>,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    port: u16,
    /// The sender, as the model has it.
    party: Party,
}

/// What the model says of a packet: the line that allows it, or none.
type Line = (String, String);

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

    fn start(&self) -> Start {
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
    fn line(&self, model: &mut Model) -> Option<Line> {
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

/// Every packet at which something may change, by sender.
fn universe(model: &Model) -> Vec<Case> {
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
    let ranges = all().flat_map(|service| service.tcp.iter().chain(&service.udp));
    let ranges = ranges.chain(policy.publish.iter().flat_map(|line| &line.ports));
    let mut ports: BTreeSet<u16> = ranges.flat_map(|(low, high)| [*low, *low + 1, *high, *high + 1]).collect();
    ports.extend(PORTS);
    ports.extend(policy.publish.iter().filter_map(|line| line.to_port));
    let mut kinds: Vec<(u8, u16)> = ports.iter().flat_map(|port| [(6, *port), (17, *port)]).collect();
    kinds.extend([0, 5, 8, 11].map(|kind| (1, kind)));
    kinds.extend([1, 128, 133, 143].map(|kind| (58, kind)));
    kinds.extend([(47, 0), (51, 0)]);

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

/// What is done with a flow, on a port.
fn treatment(service: &Service, protocol: u8, port: u16) -> Option<BTreeSet<String>> {
    let any = || Some(BTreeSet::from(["any".to_owned()]));
    if ![6, 17].contains(&protocol) {
        return any();
    }
    match &service.expect {
        _ if service.uninspected => None,
        Some(Expect::Any) => any(),
        Some(Expect::Only(names)) => Some(names.iter().map(ToString::to_string).collect()),
        None => Some(registered(protocol == 17, port).iter().map(|known| known.name().to_owned()).collect()),
    }
}

/// A policy with everything that the model says of it.
struct Trial {
    model: Model,
    cases: Vec<Case>,
    /// By case.
    lines: Vec<Option<Line>>,
    findings: BTreeMap<Line, Finding>,
    /// Findings about parts of lines.
    parts: Vec<Finding>,
    /// Lines that are said to decide nothing.
    dead: BTreeSet<Line>,
}

fn key(finding: &Finding) -> Line {
    (finding.owner.clone(), finding.name.clone())
}

impl Trial {
    /// `None`: the policy is refused.
    fn new(policy: Policy) -> Option<Self> {
        let text = policy.text();
        let (parsed, _) = policy::parse(Source::new("generated", text.as_str()), Path::new("/nowhere"));
        let parsed = parsed?;
        let environment = Environment::synthetic(&parsed);
        policy::compile(&parsed, &environment, &mut policy::Ids::default()).ok()?;
        let found = analysis::analyse(&parsed, &environment);
        assert_eq!(found.left_out, 0, "{text}");
        let of_parts = [codes::EMPTY_EXCEPTION.id, codes::EMPTY_PREFIX.id];
        let (parts, found): (Vec<_>, Vec<_>) =
            found.found.into_iter().partition(|finding| of_parts.contains(&finding.code.id));
        let mut model = Model::new(policy, 1, &INTERFACES);
        let cases = universe(&model);
        let lines = cases.iter().map(|case| case.line(&mut model)).collect();
        let mut dead = BTreeSet::new();
        for finding in found.iter().filter(|finding| finding.code.id != codes::CONTRADICTION.id) {
            if finding.message.starts_with("no packet matches the services of") {
                dead.extend(
                    services_of(&model.policy).into_iter().map(|(line, _)| line).filter(|line| line.0 == finding.owner),
                );
            }
            dead.insert(key(finding));
        }
        let findings = found.into_iter().map(|finding| (key(&finding), finding)).collect();
        Some(Self { model, cases, lines, findings, parts, dead })
    }

    fn text(&self) -> String {
        self.model.policy.text()
    }

    fn service(&self, line: &Line) -> Option<Service> {
        services_of(&self.model.policy).into_iter().find(|(other, _)| other == line).map(|(_, service)| service)
    }

    /// Packets that reach the allowlist of a line's owner and that the line holds; and whose they are.
    fn held<'t>(&'t self, line: &Line) -> impl Iterator<Item = (&'t Case, &'t Line)> {
        let (owner, service) = (line.0.clone(), self.service(line));
        let decided = self.cases.iter().zip(&self.lines).filter_map(|(case, line)| Some((case, line.as_ref()?)));
        decided.filter(move |(case, _)| {
            let service = service.as_ref().expect("a service");
            case.party.name().as_ref() == Some(&owner) && self.model.holds(service, &case.start())
        })
    }

    fn holds(&self, line: &Line, case: &Case) -> bool {
        match self.service(line) {
            Some(service) => self.model.holds(&service, &case.start()),
            None => self.model.policy.publish.iter().any(|published| {
                let ports = published.ports.iter().any(|(low, high)| (*low..=*high).contains(&case.port));
                published.name == line.1 && published.address == case.destination && case.protocol == 6 && ports
            }),
        }
    }

    /// No packet of the universe is decided by a line that is said to decide none; some packet is by every other one.
    fn dead_lines(&self) {
        let decides: BTreeSet<&Line> = self.lines.iter().flatten().collect();
        let published = self.model.policy.publish.iter().map(|line| ("publish".to_owned(), line.name.clone()));
        let services = services_of(&self.model.policy);
        for line in services.iter().map(|(line, _)| line.clone()).chain(published) {
            let dead = self.dead.contains(&line);
            if dead == decides.contains(&line) {
                // proxies are asked for names, which only a line without a bound on its destinations holds
                let by_name =
                    self.service(&line).is_some_and(|service| service.to.is_empty() || service.to.contains(&To::Any));
                assert!(
                    !dead && self.model.policy.inspection && by_name,
                    "{line:?}: said dead: {dead}\n{}",
                    self.text()
                );
            }
        }
    }

    /// Those that are named take every packet of a line, and all of them are needed for it.
    fn shadows(&self) {
        for (line, finding) in &self.findings {
            let never = finding.code.id == codes::DEAD.id;
            if finding.code.id == codes::CONTRADICTION.id || line.0 == "publish" {
                continue;
            }
            let context = || format!("{line:?}: {}\n{}", finding.message, self.text());
            if never {
                assert_eq!(finding.others, [], "{}", context());
                if !finding.message.contains("services of") {
                    assert_eq!(self.held(line).count(), 0, "{}", context());
                }
                continue;
            }
            let mut needed: BTreeSet<&Line> = BTreeSet::new();
            for (case, _) in self.held(line) {
                let by: Vec<&Line> = finding.others.iter().filter(|other| self.holds(other, case)).collect();
                assert!(!by.is_empty(), "{case:?} is held by none that is named\n{}", context());
                if let [only] = by[..] {
                    needed.insert(only);
                }
            }
            assert_eq!(needed.len(), finding.others.len(), "not all are needed\n{}", context());
            if finding.code.id == codes::DUPLICATE_SERVICE.id {
                let [other] = &finding.others[..] else { panic!("one other\n{}", context()) };
                assert!(self.held(other).all(|(case, _)| self.holds(line, case)), "no duplicate\n{}", context());
            }
            if let Some(witness) = &finding.witness {
                let (case, taker) = self.find(witness, &line.0);
                assert!(self.holds(line, &case), "{case:?}\n{}", context());
                assert!(finding.others.contains(&taker), "{taker:?} has {case:?}\n{}", context());
            }
        }
    }

    /// The packet of a witness, and whose it is by the model.
    fn find(&self, witness: &Witness, owner: &str) -> (Case, Line) {
        let party = |case: &&Case| case.party.name().as_deref() == Some(owner);
        let like = self.cases.iter().find(party).expect("a sender");
        let (source, destination) = (witness.source.expect("known addresses"), witness.destination);
        let case = Case { source, destination, protocol: witness.protocol, port: witness.port, ..like.clone() };
        let mut model = Model::new(self.model.policy.clone(), 1, &INTERFACES);
        let line = case.line(&mut model).unwrap_or_else(|| panic!("{case:?} is not allowed\n{}", self.text()));
        (case, line)
    }

    /// A contradiction is one, with its packet; and every one is told.
    fn contradictions(&self) {
        for (line, service) in services_of(&self.model.policy) {
            let told = self.findings.get(&line).filter(|finding| finding.code.id == codes::CONTRADICTION.id);
            if let Some(finding) = told {
                let context = || format!("{line:?}: {}\n{}", finding.message, self.text());
                let (case, winner) = self.find(&finding.witness.expect("a packet"), &line.0);
                assert_eq!(finding.others, std::slice::from_ref(&winner), "{case:?}\n{}", context());
                let other = self.service(&winner).expect("a service");
                assert!(self.holds(&line, &case) && self.holds(&winner, &case), "{case:?}\n{}", context());
                let [first, second] = [&other, &service].map(|service| treatment(service, case.protocol, case.port));
                assert_ne!(first, second, "{case:?}\n{}", context());
                assert!(!self.is_exception(&winner, &line, &case), "{}", context());
            }
            if told.is_some() || self.dead.contains(&line) || !self.model.policy.inspection {
                continue;
            }
            let mut seen = BTreeSet::new();
            for (case, winner) in self.held(&line).filter(|(_, winner)| **winner != line) {
                let Some(other) = self.service(winner) else { continue };
                let [first, second] = [&other, &service].map(|service| treatment(service, case.protocol, case.port));
                let cell = (winner, case.protocol, format!("{:?}", self.model.peer(case.destination)));
                if first != second && seen.insert(cell) {
                    let exception = self.is_exception(winner, &line, case);
                    assert!(exception, "{line:?} contradicts {winner:?}, such as {case:?}\n{}", self.text());
                }
            }
        }
    }

    /// Whether all that an earlier line holds of a packet's protocol and peer is held by a later one.
    fn is_exception(&self, earlier: &Line, later: &Line, like: &Case) -> bool {
        let peer = self.model.peer(like.destination);
        let mut alike = self
            .held(earlier)
            .filter(|(case, _)| case.protocol == like.protocol && self.model.peer(case.destination) == peer);
        alike.all(|(case, _)| self.holds(later, case))
    }

    /// An exception is told where the line has no destination there; a prefix of a zone where no host has it from there.
    fn parts(&self) {
        let model = &self.model;
        let told = |code: &str, owner: &str, text: &str| {
            self.parts.iter().any(|part| part.code.id == code && part.owner == owner && part.message.contains(text))
        };
        let addresses: BTreeSet<IpAddr> = self.cases.iter().map(|case| case.destination).collect();
        for ((owner, name), service) in services_of(&model.policy) {
            for except in &service.except {
                let without = Service { except: Vec::new(), ..service.clone() };
                let reaches = |at: &IpAddr| except.holds(*at) && model.reaches(&without, *at);
                let text = format!("`{name}` has no destination at `{}`", shown(except));
                let empty = !addresses.iter().any(reaches);
                assert_eq!(told(codes::EMPTY_EXCEPTION.id, &owner, &text), empty, "{owner} {text}\n{}", self.text());
            }
        }
        for zone in &model.policy.zones {
            let place = Place::Port(model.ifindex(&zone.interface), tags(zone));
            let here = model.zones_at(model.ifindex(&zone.interface), tags(zone));
            for prefix in &zone.prefixes {
                let narrower = |at: IpAddr| {
                    here.iter().flat_map(|zone| &zone.prefixes).any(|other| other.bits > prefix.bits && other.holds(at))
                };
                let own = |at: &&IpAddr| {
                    prefix.holds(**at)
                        && !narrower(**at)
                        && model.source(place, **at) == Ok(Party::Zone(zone.name.clone()))
                };
                let text = format!("leave nothing of `{}`", shown(prefix));
                let empty = !addresses.iter().any(|at| own(&at));
                assert_eq!(
                    told(codes::EMPTY_PREFIX.id, &zone.name, &text),
                    empty,
                    "{} {text}\n{}",
                    zone.name,
                    self.text()
                );
            }
        }
    }

    /// Without its dead lines a policy gives every packet to the line that it was given to before.
    fn removal(&self) {
        if self.dead.is_empty() {
            return;
        }
        let mut policy = self.model.policy.clone();
        let alive = |owner: &str, name: &str| !self.dead.contains(&(owner.to_owned(), name.to_owned()));
        for zone in &mut policy.zones {
            zone.egress.retain(|service| alive(&zone.name, &service.name));
        }
        policy.gateway_egress.retain(|service| alive("self", &service.name));
        policy.outside_egress.retain(|service| alive("outside", &service.name));
        policy.publish.retain(|line| alive("publish", &line.name));
        let mut model = Model::new(policy, 1, &INTERFACES);
        for (case, line) in self.cases.iter().zip(&self.lines) {
            assert_eq!(case.line(&mut model), *line, "{case:?}\n{}", self.text());
        }
    }
}

/// A prefix as messages have it.
fn shown(prefix: &Prefix) -> String {
    let whole = prefix.bits == if prefix.address.is_ipv4() { 32 } else { 128 };
    if whole { prefix.address.to_string() } else { format!("{}/{}", prefix.address, prefix.bits) }
}

fn services_of(policy: &Policy) -> Vec<(Line, Service)> {
    let zones = policy.zones.iter().flat_map(|zone| zone.egress.iter().map(|service| (zone.name.as_str(), service)));
    let own = policy.gateway_egress.iter().map(|service| ("self", service));
    let outside = policy.outside_egress.iter().map(|service| ("outside", service));
    let all = zones.chain(own).chain(outside);
    all.map(|(owner, service)| ((owner.to_owned(), service.name.clone()), service.clone())).collect()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn what_check_says_of_lines_is_so() {
    let policies = setting("DROPGATE_ANALYSIS_POLICIES", 120);
    let start = setting("DROPGATE_MODEL_SEED", 1) << 32;
    let (mut tried, mut packets) = (0, 0);
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seed = start;
    while tried < policies {
        seed += 1;
        let Some(trial) = Trial::new(generate(&mut Rng(seed))) else { continue };
        tried += 1;
        packets += trial.cases.len();
        for finding in trial.findings.values().chain(&trial.parts) {
            *codes.entry(finding.code.id).or_default() += 1;
        }
        trial.dead_lines();
        trial.shadows();
        trial.contradictions();
        trial.parts();
        trial.removal();
    }
    println!("{tried} policies, {packets} packets, findings {codes:?}");
    // the generator meets each kind
    let every = [
        &codes::DUPLICATE_SERVICE,
        &codes::SHADOWED,
        &codes::DEAD,
        &codes::CONTRADICTION,
        &codes::EMPTY_EXCEPTION,
        &codes::EMPTY_PREFIX,
    ];
    for code in every {
        assert!(codes.contains_key(code.id) || policies < 100, "no {} among {codes:?}", code.id);
    }
}
