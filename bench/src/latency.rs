//! How long a packet takes through the gateway while it is half loaded.
//!
//! For each kind of gateway and contender: what it forwards at most (trafgen at full speed, by the wall clock), then half of
//! that at a steady pace from one CPU, and 2,000 probes a second from the other. With a receive queue for each CPU, as cards have
//! them, and with one for both.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    forward::{self, Contender, GATES, Gate, Load, REST, WARM_UP},
    packet::Own,
    probe::{self, Content, Paced},
    queues, report,
    stats::{Spread, Target},
};

/// Probes a second.
const RATE: f64 = 2000.0;
/// What the most that is forwarded is measured over.
const FLOOD: Duration = Duration::from_millis(400);
/// Receive queues of every interface.
const QUEUES: [usize; 2] = [2, 1];
/// The parts of the curve.
const CURVE: [f64; 12] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0];
const CONTENDERS: [Contender; 6] = [
    Contender::Kernel,
    Contender::NoNapi,
    Contender::Return,
    Contender::Redirect,
    Contender::Dropgate,
    Contender::Nftables,
];

/// One contender as one kind of gateway. Latencies in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub kind: &'static str,
    pub queues: usize,
    pub contender: &'static str,
    /// What it forwards at most, million packets a second by the wall clock.
    pub most: Spread,
    /// What was sent at half load, million packets a second, and the part of it that did not arrive.
    pub load: Spread,
    pub load_lost: Spread,
    /// Probes sent in all rounds, and those that did not arrive.
    pub probes: u64,
    pub probes_lost: u64,
    pub p50: Spread,
    pub p90: Spread,
    pub p99: Spread,
    pub p999: Spread,
    /// Of all rounds together: part of the probes, and what they took at most.
    pub curve: Vec<(f64, f64)>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    pub driver: &'static str,
    pub seconds: f64,
    pub rows: Vec<Row>,
    pub refused: BTreeMap<&'static str, String>,
    pub targets: Vec<Target>,
}

/// What a round found.
struct Sample {
    most: f64,
    load: f64,
    load_lost: f64,
    probes: u64,
    latencies: Vec<u64>,
}

/// Measures every kind of gateway with every contender, `rounds` times.
pub fn run(load: &Load) -> Result<Latency> {
    dropgate_lab::clean_up_on_signals().context("signals")?;
    let refused = forward::refusals(&GATES)?;
    let mut samples: BTreeMap<(usize, usize, usize), Vec<Sample>> = BTreeMap::new();
    for round in 1..=load.rounds {
        for (at, gate) in GATES.into_iter().enumerate() {
            for (of, contender) in CONTENDERS.into_iter().enumerate() {
                let left_out = load.only.as_ref().is_some_and(|only| !gate.name().contains(only));
                if left_out
                    || !contender.runs(gate, "allowed")
                    || contender == Contender::Dropgate && refused.contains_key(&gate)
                {
                    continue;
                }
                eprintln!("round {round} of {}: latency, {}, {}", load.rounds, gate.name(), contender.name());
                for (with, queues) in QUEUES.into_iter().enumerate() {
                    let sample = one(load, gate, queues, contender)
                        .with_context(|| format!("{}, {}", gate.name(), contender.name()))?;
                    samples.entry((at, with, of)).or_default().push(sample);
                }
            }
        }
    }
    let row = |((at, with, of), samples): (&(usize, usize, usize), &Vec<Sample>)| {
        row(GATES[*at], QUEUES[*with], CONTENDERS[*of], samples)
    };
    let rows: Vec<Row> = samples.iter().map(row).collect();
    let targets = targets(&rows);
    let refused = forward::named(refused);
    Ok(Latency { driver: "veth, native XDP", seconds: load.seconds, rows, refused, targets })
}

fn one(load: &Load, gate: Gate, queues: usize, contender: Contender) -> Result<Sample> {
    let mut lab = gate.lab()?;
    queues::set(&lab, queues)?;
    let mut own = Own::small()?;
    forward::sink(&lab, &mut own)?;
    let daemon = contender.start(&mut lab, &mut own, gate, &load.dropgate)?;

    let most = forward::arriving(&lab, &own, "allowed.cfg", 1, FLOOD)?;
    anyhow::ensure!(most > 0.0, "nothing that was sent arrived");

    let before = own.received()?;
    let background = Paced::start(&lab, &Content::Load, most / 2.0, 0)?;
    thread::sleep(WARM_UP);
    let from = probe::now_ns();
    let probes = Paced::start(&lab, &Content::Probes(443), RATE, 1)?;
    thread::sleep(Duration::from_secs_f64(load.seconds));
    let probes = probes.stop()?;
    let lasted = (probe::now_ns() - from) as f64 / 1e9 + WARM_UP.as_secs_f64();
    let background = background.stop()?;
    thread::sleep(REST);
    let arrived = own.received()? - before;
    if let Some(daemon) = daemon {
        daemon.stop(&lab)?;
    }
    Ok(Sample {
        most: most / 1e6,
        load: background.packets as f64 / lasted / 1e6,
        load_lost: 1.0 - arrived as f64 / background.packets.max(1) as f64,
        probes: probes.packets,
        latencies: probe::latencies(&probes, own.arrived()),
    })
}

fn row(gate: Gate, queues: usize, contender: Contender, samples: &[Sample]) -> Row {
    let of = |value: &dyn Fn(&Sample) -> f64| Spread::of(samples.iter().map(value).collect());
    let part = |part: f64| of(&|sample| probe::percentile(&sample.latencies, part) as f64 / 1e3);
    let mut all: Vec<u64> = samples.iter().flat_map(|sample| sample.latencies.iter().copied()).collect();
    all.sort_unstable();
    let probes = samples.iter().map(|sample| sample.probes).sum();
    Row {
        kind: gate.name(),
        queues,
        contender: contender.name(),
        most: of(&|sample| sample.most),
        load: of(&|sample| sample.load),
        load_lost: of(&|sample| sample.load_lost),
        probes,
        probes_lost: probes - all.len() as u64,
        p50: part(0.5),
        p90: part(0.9),
        p99: part(0.99),
        p999: part(0.999),
        curve: CURVE.into_iter().map(|part| (part, probe::percentile(&all, part) as f64 / 1e3)).collect(),
    }
}

/// The section of the report.
pub fn write(text: &mut String, latency: &Latency) -> fmt::Result {
    writeln!(
        text,
        "\n## Latency at half load\n\nFrom before a probe is handed to the kernel until it is at the servers' driver, microseconds; \
         {}; the kernel takes packets by NAPI, as \
         from every NIC, and once as veth does by itself; load from one CPU, {RATE} probes a second from another, {} s a round; a receive queue for each CPU, or one for both. Most: what is forwarded of a flood, million \
         packets a second by the wall clock; the load is half of that. Lost: of the load, and of the probes. Median (min to max).\n",
        latency.driver, latency.seconds
    )?;
    writeln!(
        text,
        "| kind | queues | contender | most | load | lost | probes lost | p50 | p90 | p99 | p99.9 |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for row in &latency.rows {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.3} % | {} of {} | {} | {} | {} | {} |",
            row.kind,
            row.queues,
            row.contender,
            row.most.text(3),
            row.load.text(3),
            row.load_lost.median * 100.0,
            row.probes_lost,
            row.probes,
            row.p50.text(1),
            row.p90.text(1),
            row.p99.text(1),
            row.p999.text(1)
        )?;
    }
    report::refused(text, &latency.refused)?;
    report::targets(text, &latency.targets)
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let found = |gate: Gate, queues: usize, contender: Contender| {
        let sought = (gate.name(), queues, contender.name());
        rows.iter().find(|row| (row.kind, row.queues, row.contender) == sought)
    };
    let ratio = |(gate, queues): (Gate, usize)| {
        let (own, kernel) = (found(gate, queues, Contender::Dropgate)?, found(gate, queues, Contender::Kernel)?);
        let with = if queues == 1 { "" } else { ", a queue for each CPU" };
        let what = format!("{}: 99th percentile at half load{with} / the kernel alone", gate.name());
        Some(Target::at_most(what, own.p99.median / kernel.p99.median, 1.0, "times"))
    };
    QUEUES.into_iter().flat_map(|queues| GATES.map(|gate| (gate, queues))).filter_map(ratio).collect()
}
