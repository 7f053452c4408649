//! What `check` says about dead, shadowed and contradicting lines, held against the reference model.
//!
//! Policies are generated over few addresses and ports. Of all addresses and ports those are tried at which something may
//! change (the ends of each prefix and range, and their neighbours), so what holds for them holds for every packet.
//!
//! `DROPGATE_ANALYSIS_POLICIES` sets how many policies are tried, `DROPGATE_MODEL_SEED` where they start.

#[path = "analysis/generate.rs"]
mod generate;
#[path = "analysis/universe.rs"]
mod universe;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};

use dropgate::{
    policy::{
        self, Environment, Source,
        analysis::{self, Bounds, Finding, Witness},
        codes,
    },
    protocol::registered,
};

use self::{
    generate::generate,
    universe::{Case, Line, addresses, universe},
};
use crate::reference::{
    Model,
    allow::tags,
    flows::{Party, Place},
    policy::{Expect, Policy, Prefix, Service, To},
    world::{INTERFACES, Rng},
};

/// What is done with a flow, on a port: with the packets in its tunnel, and by inspection.
type Treatment = (Option<&'static str>, Option<BTreeSet<String>>);

/// A policy with everything that the model says of it.
struct Trial {
    policy: Policy,
    /// Of this policy with every tunnel opaque: which line has a packet is asked, not what becomes of a tunnel.
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
    fn new(policy: Policy, bounds: Bounds) -> Option<Self> {
        let text = policy.text();
        let (parsed, _) = policy::parse(Source::new("generated", text.as_str()), Path::new("/nowhere"));
        let parsed = parsed?;
        let environment = Environment::synthetic(&parsed);
        policy::compile(&parsed, &environment, &mut policy::Ids::default()).ok()?;
        let found = analysis::analyse_within(&parsed, &environment, bounds);
        assert_eq!(found.left_out, 0, "{text}");
        let of_parts = [codes::EMPTY_EXCEPTION.id, codes::EMPTY_PREFIX.id];
        let (parts, found): (Vec<_>, Vec<_>) =
            found.found.into_iter().partition(|finding| of_parts.contains(&finding.code.id));
        let mut model = Model::new(opaque(&policy), 1, &INTERFACES);
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
        Some(Self { policy, model, cases, lines, findings, parts, dead })
    }

    fn text(&self) -> String {
        self.policy.text()
    }

    fn service(&self, line: &Line) -> Option<Service> {
        services_of(&self.policy).into_iter().find(|(other, _)| other == line).map(|(_, service)| service)
    }

    /// What a service has done with a packet that it lets through.
    fn treatment(&self, service: &Service, case: &Case) -> Treatment {
        let any = || Some(BTreeSet::from(["any".to_owned()]));
        let tunnel = self.model.tunnel(service, case.protocol, case.port);
        // what carries packets that are judged is not inspected itself, and what is dropped neither
        let inspected = self.policy.inspection && [6, 17].contains(&case.protocol);
        if !inspected || tunnel.is_some_and(|tunnel| tunnel != "opaque") {
            return (tunnel, any());
        }
        let expected = match &service.expect {
            _ if service.uninspected => None,
            Some(Expect::Any) => any(),
            Some(Expect::Only(names)) => Some(names.iter().map(ToString::to_string).collect()),
            None => {
                let known = registered(case.protocol == 17, case.port).iter();
                Some(known.map(|known| known.name().to_owned()).collect())
            }
        };
        (tunnel, expected)
    }

    /// Whether two services of one owner have something else done with a packet.
    fn differ(&self, winner: &Line, service: &Service, case: &Case) -> bool {
        let other = self.service(winner);
        other.is_some_and(|other| self.treatment(&other, case) != self.treatment(service, case))
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
        let services = services_of(&self.policy);
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
                let service = self.service(line).expect("a service");
                let differs = self.held(line).any(|(case, winner)| self.differ(winner, &service, case));
                let texts = finding.related.iter().map(|(_, text)| text).chain(&finding.help);
                let told = texts.into_iter().any(|text| text.contains("something else"));
                assert_eq!(told, differs, "something else is done\n{}", context());
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
        for (line, service) in services_of(&self.policy) {
            let told = self.findings.get(&line).filter(|finding| finding.code.id == codes::CONTRADICTION.id);
            if let Some(finding) = told {
                let context = || format!("{line:?}: {}\n{}", finding.message, self.text());
                let (case, winner) = self.find(&finding.witness.expect("a packet"), &line.0);
                assert_eq!(finding.others, std::slice::from_ref(&winner), "{case:?}\n{}", context());
                assert!(self.holds(&line, &case) && self.holds(&winner, &case), "{case:?}\n{}", context());
                assert!(self.differ(&winner, &service, &case), "{case:?}\n{}", context());
                assert!(!self.is_exception(&winner, &line, &case), "{}", context());
            }
            if told.is_some() || self.dead.contains(&line) {
                continue;
            }
            let mut seen = BTreeSet::new();
            for (case, winner) in self.held(&line).filter(|(_, winner)| **winner != line) {
                if !self.differ(winner, &service, case) {
                    continue;
                }
                let cell = (winner, case.protocol, format!("{:?}", self.model.peer(case.destination)));
                if seen.insert(cell) {
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
        let addresses = addresses(model);
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

/// A policy all of whose lines let tunnels pass unread.
fn opaque(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    let lines = policy.zones.iter_mut().flat_map(|zone| &mut zone.egress);
    let lines = lines.chain(&mut policy.gateway_egress).chain(&mut policy.outside_egress);
    lines.for_each(|service| service.tunnel = Some("opaque"));
    policy
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
        // sets that are asked each time have to answer as those that are copied
        let copied = if seed.is_multiple_of(2) { 0 } else { Bounds::default().copied };
        let bounds = Bounds { copied, ..Bounds::default() };
        let policy = generate(&mut Rng(seed));
        let Some(trial) = Trial::new(policy, bounds) else { continue };
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
