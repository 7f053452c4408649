//! What the lines of a policy leave one another: lines that no packet matches, lines that earlier ones leave nothing to, and
//! lines that hold the same packets and want something else done with them.
//!
//! A line is a set of packets: a sender (a zone, the gateway, the outside), destinations, a protocol and ports. Ports are cut
//! where the lines that are open there change ([`cut`]); between two cuts the destinations are walked in runs, in the order of
//! precedence ([`Decided`]), so what several lines take together counts as well as what one takes. Nothing is sampled. What
//! is said is exact for the addresses that the policy and the machine have; what only another machine knows (`"auto"`, where
//! the policy is checked elsewhere) may be anything. `docs/decisions/0017-policy-analysis.md` has the bounds.

mod addresses;
mod decided;
mod faults;
mod ground;
mod lines;
mod parts;
mod places;
mod sweep;
mod tell;
mod treatment;

use std::collections::{BTreeSet, HashMap};

pub use self::{
    decided::Bounds,
    ground::Witness,
    tell::{Finding, Findings},
};
use self::{decided::Budget, ground::Grounds, lines::Lines, places::Places, treatment::Treatments};
use super::{compile::Environment, model::Policy};

/// What is wrong with the lines of a policy, for a machine.
pub fn analyse(policy: &Policy, environment: &Environment) -> Findings {
    analyse_within(policy, environment, Bounds::default())
}

/// The same with bounds of its own.
pub fn analyse_within(policy: &Policy, environment: &Environment, bounds: Bounds) -> Findings {
    let places = Places::new(policy, environment);
    let lines = Lines::new(policy, &places);
    let treatments = Treatments::new(policy, &lines);
    let mut alive = vec![false; lines.all.len()];
    lines.unknown.iter().for_each(|line| alive[*line as usize] = true);
    let mut analysis = Analysis {
        policy,
        grounds: Grounds::new(places),
        lines,
        treatments,
        budget: Budget::new(bounds),
        alive,
        takers: HashMap::new(),
        contradictions: HashMap::new(),
    };
    analysis.sweep();
    analysis.findings()
}

/// An analysis as far as it has come.
struct Analysis<'p> {
    policy: &'p Policy,
    grounds: Grounds<'p>,
    lines: Lines<'p>,
    treatments: Treatments<'p>,
    budget: Budget,
    /// By line: some packet is decided by it.
    alive: Vec<bool>,
    /// By line: those that take the packets of one that has had none so far.
    takers: HashMap<u32, Takers>,
    contradictions: HashMap<u32, Contradiction>,
}

/// Lines that take the packets of another one.
#[derive(Default)]
struct Takers {
    lines: BTreeSet<u32>,
    /// There are more than are remembered.
    more: bool,
    /// Some of them have something else done with the packets.
    differ: bool,
    /// A packet, and whose it is.
    witness: Option<(u32, Witness)>,
}

/// An earlier line has packets that a line would have treated otherwise.
#[derive(Clone, Copy)]
struct Contradiction {
    by: u32,
    witness: Witness,
    /// As [`Treatments::of`] has them, the winner's first.
    treatments: [u32; 2],
}
