//! Thousands of rules: what they cost by transaction and buffer, and what is left of a gateway's throughput with them.
//!
//! The rules are made up ([`dropgate_lab::rules`]) or given. The engine's figures are of one thread and of its CPU time; those of
//! the gateway are taken as `inspect` takes them, beside the kernel alone in the same round.

mod buffers;
mod conversation;
mod datagrams;
mod engine;
mod push;
mod said;
mod set;
mod text;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::{datagrams::Datagrams, engine::Engine, push::Pushes};
pub use self::{set::Set, text::write};
use crate::{
    inspect::{self, Contender, Row, WITH_RULES},
    stats::Target,
};

/// Sizes of the sets that are made up. The gateway has the largest.
const COUNTS: [u32; 3] = [3_000, 9_000, 30_000];

/// How to run it.
pub struct Options {
    /// Rounds of the engine; loads through the gateway take half of them.
    pub rounds: usize,
    /// As of the gateway that inspects, but for the rules.
    pub inspect: inspect::Options,
    /// Of the engine, only conversations and buffers whose names hold one of these.
    pub cases: Vec<String>,
    /// Rules that are taken instead of made up.
    pub given: Vec<PathBuf>,
}

/// All figures.
#[derive(Clone, Debug, Serialize)]
pub struct Signatures {
    pub engine: Vec<Engine>,
    pub seconds: u32,
    pub rows: Vec<Row>,
    pub datagrams: Option<Datagrams>,
    pub pushes: Option<Pushes>,
    pub targets: Vec<Target>,
}

/// Names of parts, among the loads.
const ENGINE: &str = "engine";
const PUSH: &str = "push";

/// Measures everything, or what is wanted.
pub fn run(options: &Options) -> Result<Signatures> {
    dropgate_lab::clean_up_on_signals().context("signals")?;
    let only = &options.inspect.only;
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only));
    let folder = set::Folder::new()?;
    let sets = if options.given.is_empty() {
        COUNTS.iter().map(|count| Set::made_up(*count, &folder)).collect::<Result<Vec<_>>>()?
    } else {
        vec![Set::given(&options.given)?]
    };
    let measured = if wanted(ENGINE) { engine::measure(&sets, options.rounds, &options.cases)? } else { Vec::new() };
    let inspect = inspect::Options { rules: sets.last().cloned(), ..options.inspect.clone() };
    let loads: Vec<_> = WITH_RULES.iter().filter(|load| wanted(load.name)).collect();
    let rows = if loads.is_empty() { Vec::new() } else { inspect::http(&inspect, Contender::with_rules(), &loads)?.0 };
    let datagrams =
        datagrams::NAMES.iter().any(|name| wanted(name)).then(|| datagrams::run(&inspect, &folder)).transpose()?;
    let pushes = wanted(PUSH).then(|| push::run(&inspect)).transpose()?;
    let targets = targets(&measured, &rows, datagrams.as_ref(), pushes.as_ref());
    Ok(Signatures { engine: measured, seconds: inspect.seconds, rows, datagrams, pushes, targets })
}

/// Bounds: load, and the least ratio to the kernel alone.
const BOUNDS: [(&str, f64); 3] = [("keep-alive", 0.6), ("new connections", 0.5), ("one bulk flow of TLS", 0.95)];

fn targets(engine: &[Engine], rows: &[Row], datagrams: Option<&Datagrams>, pushes: Option<&Pushes>) -> Vec<Target> {
    let mut targets = Vec::new();
    for (load, bound) in BOUNDS {
        for row in rows.iter().filter(|row| {
            row.load == load && ![Contender::Kernel, Contender::Headers].map(Contender::name).contains(&row.contender)
        }) {
            let what = format!("{load}: {} / the kernel alone", row.contender);
            targets.push(Target::at_least(what, row.ratio.median, bound, "times"));
        }
    }
    if !rows.is_empty() {
        let failed: u64 = rows.iter().map(|row| row.failed).sum();
        targets.push(Target::at_most("requests that failed, every contender", failed as f64, 0.0, "requests"));
    }
    if let (Some(small), Some(large)) = (engine.first(), engine.last().filter(|_| engine.len() > 1)) {
        for (few, many) in small.costs.iter().zip(&large.costs) {
            let what = format!("{}: {} rules / {}", few.name, large.rules, small.rules);
            targets.push(Target::at_most(what, many.us.median / few.us.median, 1.5, "times"));
        }
    }
    for engine in engine {
        let what = format!("{} rules from text", engine.rules);
        targets.push(Target::at_most(what, engine.load_ms / 1e3, 10.0, "s"));
    }
    targets.extend(datagrams.into_iter().flat_map(Datagrams::targets));
    targets.extend(pushes.into_iter().flat_map(Pushes::targets));
    targets
}
