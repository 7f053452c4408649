//! The model and the real object, on generated policies and packets. They agree, or the case is shrunk and shown.
//!
//! `DROPGATE_MODEL_PAIRS` sets how many pairs of policy and sequence are run, `DROPGATE_MODEL_SEED` where they start.

use crate::object;
use std::{collections::BTreeMap, fmt::Write, path::Path};

use dropgate::{
    datapath::Bench,
    policy::{self, Environment, Ids, Image, Source},
};
use dropgate_abi::{
    reason::Reason,
    walk::{Walk, action, hook},
};

use crate::reference::{
    At, Hook, Model, Verdict,
    policy::{Kind, Policy},
    sequence::{Step, fragments, sequence},
    world::{self, INTERFACES, Rng, VLAN_DEVICES},
};

/// Sequences for each policy. A commit costs as much as some hundred packets.
const SEQUENCES: u64 = 50;
/// Between two sequences, ns: beyond every memory that is not emptied.
const PAUSE: u64 = 3_600_000_000_000;

/// The real object with the policies that were put in force.
struct Real {
    bench: Bench,
    ids: Ids,
    image: Image,
    generation: u32,
    now: u64,
}

fn compile(policy: &Policy, ids: &mut Ids) -> Image {
    let text = policy.text();
    let (parsed, found) = policy::parse(Source::new("generated", text.as_str()), Path::new("/nowhere"));
    let parsed = parsed.unwrap_or_else(|| panic!("a generated policy is refused: {found:#?}\n{text}"));
    let mut environment = Environment::synthetic(&parsed);
    for (name, interface) in &mut environment.interfaces {
        interface.index = INTERFACES.iter().find(|(other, _)| other == name).expect("of this world").1;
    }
    let model = environment.interfaces.values().next().expect("an interface").clone();
    for (index, name, below, on) in VLAN_DEVICES {
        if environment.interfaces.values().any(|interface| interface.index == below) {
            let mut device = model.clone();
            (device.index, device.vlan_of) = (index, Some(on));
            environment.interfaces.insert(name.to_string(), device);
        }
    }
    policy::compile(&parsed, &environment, ids)
        .unwrap_or_else(|found| panic!("a generated policy does not compile: {found:#?}\n{text}"))
}

impl Real {
    fn new(policy: &Policy) -> Self {
        let mut ids = Ids::default();
        let image = compile(policy, &mut ids);
        let bench = object::bench(&image);
        Self { bench, ids, image, generation: 1, now: PAUSE }
    }

    fn commit(&mut self, policy: &Policy) {
        self.image = compile(policy, &mut self.ids);
        self.generation += 1;
        self.bench.commit(&self.image, self.generation).expect("commit");
    }

    fn judge(&mut self, at: At, frame: &[u8]) -> Walk {
        let hook = if at.hook == Hook::Ingress { hook::INGRESS } else { hook::EGRESS };
        self.bench.run(hook, at.ifindex, at.from, at.now, frame).expect("test run")
    }

    fn service(&self, walk: &Walk) -> Option<&str> {
        self.image.names.services.get(&walk.service).map(|service| service.name.as_str())
    }

    fn zone(&self, walk: &Walk) -> Option<&str> {
        self.image.names.zones.get(&walk.zone).map(String::as_str)
    }
}

/// What is different, in a word; nothing when they agree.
fn difference(real: &Real, walk: &Walk, verdict: &Verdict) -> Option<String> {
    let pass = walk.action == action::PASS;
    let same = pass == verdict.pass && (walk.reason == verdict.reason || verdict.also.contains(&walk.reason));
    if !same {
        let word = |pass| if pass { "pass" } else { "drop" };
        let (said, is) = (verdict.reason.name(), walk.reason.name());
        return Some(format!("model {} {said}, object {} {is}", word(verdict.pass), word(pass)));
    }
    if let (Some(service), true) = (&verdict.service, pass)
        && real.service(walk) != Some(service)
    {
        return Some(format!("{}: the service", verdict.reason.name()));
    }
    if let Some(zone) = &verdict.zone
        && real.zone(walk) != Some(zone)
        && zone != "published"
        // the zone of a flow that was revoked may be gone
        && verdict.reason != Reason::flow_revoked
    {
        return Some(format!("{}: model zone {zone}, object {:?}", verdict.reason.name(), real.zone(walk)));
    }
    None
}

/// One pair: a policy in force, some steps, and a policy that replaces it before the step of that number.
struct Case<'a> {
    first: &'a Policy,
    steps: Vec<Step>,
    change: Option<(usize, &'a Policy)>,
}

/// Runs a case on both. The first difference: its step and what it is.
fn run(real: &mut Real, case: &Case, log: &mut Option<String>) -> Option<(usize, String)> {
    real.bench.forget().expect("the tables can be emptied");
    real.now += PAUSE;
    let mut model = Model::new(case.first.clone(), real.generation, &INTERFACES);
    for (number, step) in case.steps.iter().enumerate() {
        if let Some((_, next)) = case.change.filter(|(at, _)| *at == number) {
            real.commit(next);
            model.commit(next.clone(), real.generation);
        }
        real.now += step.later;
        let at = At { now: real.now, ..step.at };
        let verdict = model.judge(at, &step.frame);
        let walk = real.judge(at, &step.frame);
        if let Some(log) = log {
            let frame: String = step.frame.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(
                log,
                "  {number}: +{} ms {:?} ifindex {} from {}\n     {frame}\n     model {verdict:?}\n     object action {} {} zone {:?} service {:?}",
                step.later / 1_000_000,
                at.hook,
                at.ifindex,
                at.from,
                walk.action,
                walk.reason.name(),
                real.zone(&walk),
                real.service(&walk)
            );
        }
        if let Some(what) = difference(real, &walk, &verdict) {
            return Some((number, what));
        }
    }
    let last = case.steps.len().saturating_sub(1);
    if !real.bench.miscounted_zones().is_empty() {
        return Some((last, "live flows of a zone, as counted and as in the table".to_owned()));
    }
    let misnoted = real.bench.flows().misnoted();
    (!misnoted.is_empty()).then(|| (last, "buckets, as their tags and as their groups have them".to_owned()))
}

/// Leaves out steps as long as the same difference remains, and says how it goes.
fn shrink(real: &mut Real, case: &Case, what: &str) -> String {
    let mut steps = case.steps.clone();
    let again = |real: &mut Real, steps: Vec<Step>, log: &mut Option<String>| {
        if case.change.is_some() {
            real.commit(case.first);
        }
        let change = case.change.map(|(at, next)| (at.min(steps.len().saturating_sub(1)), next));
        run(real, &Case { first: case.first, steps, change }, log)
    };
    let mut at = 0;
    while at < steps.len() {
        let mut fewer = steps.clone();
        let gone = fewer.remove(at);
        if let Some(next) = fewer.get_mut(at) {
            next.later += gone.later;
        }
        match again(real, fewer.clone(), &mut None) {
            Some((_, same)) if same == what && case.change.is_none() => steps = fewer,
            _ => at += 1,
        }
    }
    let mut log = Some(String::new());
    let _ = again(real, steps, &mut log);
    let mut text = format!("policy\n{}\n", case.first.text());
    if let Some((at, next)) = case.change {
        let _ = writeln!(text, "before step {at} replaced by\n{}", next.text());
    }
    text + &log.unwrap_or_default()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Policies in groups of [`SEQUENCES`] sequences; at the end of each group the next policy comes in mid-sequence.
#[test]
fn model_and_object_agree() {
    let pairs = setting("DROPGATE_MODEL_PAIRS", 100_000);
    let start = setting("DROPGATE_MODEL_SEED", 1);
    let began = std::time::Instant::now();
    let mut found: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let (mut done, mut packets) = (0, 0u64);
    let mut seed = start << 32;
    let mut policy = world::policy(&mut Rng(seed));
    let mut real = Real::new(&policy);
    while done < pairs {
        seed += 1;
        let mut rng = Rng(seed);
        if done % SEQUENCES == 0 {
            policy = world::policy(&mut rng);
            real.commit(&policy);
        }
        let next = (done % SEQUENCES == SEQUENCES - 1).then(|| successor(&mut rng, &policy));
        let length = if next.is_some() { 16 } else { 10 };
        let calm = policy.capped() || next.as_ref().is_some_and(Policy::capped);
        let steps = if done % 10 == 7 {
            fragments(&mut rng, &policy, 2 * length, calm)
        } else {
            sequence(&mut rng, &policy, length, calm)
        };
        let case = Case { first: &policy, steps, change: next.as_ref().map(|next| (length / 2, next)) };
        packets += case.steps.len() as u64;
        if let Some((step, what)) = run(&mut real, &case, &mut None) {
            let entry = found.entry(what.clone()).or_default();
            entry.0 += 1;
            if entry.0 == 1 {
                let cut = Case { steps: case.steps[..=step].to_vec(), ..case };
                let change = cut.change.filter(|(at, _)| *at <= step);
                let short = shrink(&mut real, &Case { change, ..cut }, &what);
                entry.1 = format!("seed {seed:#x}, step {step}\n{short}");
            }
        }
        done += 1;
    }
    println!("{done} pairs, {packets} packets, {} generations, {:?}", real.generation, began.elapsed());
    if !found.is_empty() {
        for (what, (times, example)) in &found {
            println!("==== {what} ({times} times)\n{example}");
        }
        let list: Vec<String> = found.iter().map(|(what, (times, _))| format!("{times:6}  {what}")).collect();
        panic!("model and object differ:\n{}", list.join("\n"));
    }
}

/// A policy of the same kind: another one altogether, or this one with less in it.
fn successor(rng: &mut Rng, policy: &Policy) -> Policy {
    let other = world::policy(rng);
    if rng.percent(40) && other.kind == policy.kind {
        return other;
    }
    let mut next = policy.clone();
    match rng.below(5) {
        4 => next.zones.iter_mut().for_each(|zone| zone.max_flows = 1),
        0 => (next.block_from, next.block_to) = (other.block_from, other.block_to),
        1 => (next.outside_egress, next.gateway_egress) = (Vec::new(), Vec::new()),
        2 => {
            for zone in &mut next.zones {
                let keep = rng.below(zone.egress.len() + 1);
                zone.egress.truncate(keep);
            }
        }
        // each interface of a pair stays a side
        _ if next.kind == Kind::Bridge => next.zones.iter_mut().for_each(|zone| zone.egress.reverse()),
        _ => {
            let keep = 1 + rng.below(next.zones.len());
            next.zones.truncate(keep);
            let names: Vec<String> = next.zones.iter().map(|zone| zone.name.clone()).collect();
            let stays = |entry: &crate::reference::policy::To| match entry {
                crate::reference::policy::To::Zone(name) | crate::reference::policy::To::ZonePrefix(name, _) => {
                    names.contains(name)
                }
                _ => true,
            };
            let lists = [&mut next.outside_egress, &mut next.gateway_egress];
            let zones = next.zones.iter_mut().map(|zone| &mut zone.egress);
            for services in zones.chain(lists) {
                for service in services.iter_mut() {
                    service.to.retain(stays);
                }
                services.retain(|service| !service.to.is_empty());
            }
            next.publish
                .retain(|line| next.zones.iter().any(|zone| zone.prefixes.iter().any(|prefix| prefix.holds(line.to))));
        }
    }
    next
}
