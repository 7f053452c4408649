//! Large policies pushed to a daemon one right after the other, while packets pass: what each push takes, what it holds on to,
//! and whether packets notice that the tables of an older generation are freed.

use std::{
    fmt::{self, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cpu,
    daemon::Daemon,
    forward::{self, Gate, Load},
    packet::Own,
    probe::{self, Content, Paced},
};

/// Probes and other packets a second.
const RATE: f64 = 2000.0;
const BESIDE: f64 = 20_000.0;
/// Before and after the pushes.
const QUIET: Duration = Duration::from_secs(1);

/// What happens in turn: which policy is pushed, by its place, or nothing. Each frees the one before the last.
const TURNS: [(&str, Option<usize>); 11] = [
    ("nothing is pushed", None),
    ("a small policy", Some(0)),
    ("a small one", Some(0)),
    ("one with 100 blocked prefixes", Some(1)),
    ("at the limit", Some(2)),
    ("at the limit again", Some(2)),
    ("at the limit again; frees such a one", Some(2)),
    ("at the limit again; frees such a one", Some(2)),
    ("a small one; frees one at the limit", Some(0)),
    ("a small one; frees one at the limit", Some(0)),
    ("nothing is pushed", None),
];

/// One turn.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub what: &'static str,
    /// From request to answer, ms, and the parts of it that the daemon tells of.
    pub apply_ms: f64,
    pub compile_ms: f64,
    pub fill_ms: f64,
    pub commit_ms: f64,
    /// Resident memory of the daemon without what it has mapped, and its kernel maps, after that, MiB.
    pub daemon_mib: f64,
    pub maps_mib: f64,
    /// Memory that the machine had less than before the first turn, MiB.
    pub machine_mib: f64,
    /// Probes sent meanwhile, those lost, and how long they took, microseconds.
    pub probes: usize,
    pub lost: usize,
    pub p50_us: f64,
    pub p99_us: f64,
    pub longest_us: f64,
}

/// Runs all turns. The folders of the policies that are pushed.
pub fn run(load: &Load, folders: [&Path; 3]) -> Result<Vec<Step>> {
    dropgate_lab::clean_up_on_signals().context("signals")?;
    let mut lab = Gate::Route.lab()?;
    let mut own = Own::small()?;
    forward::sink(&lab, &mut own)?;
    let first = std::fs::read_to_string(folders[0].join("policy.toml")).context("the first policy")?;
    let daemon = Daemon::start(&mut lab, &first, &load.dropgate)?;
    let free = cpu::available()?;
    let background = Paced::start(&lab, &Content::Load, BESIDE, 0)?;
    let probes = Paced::start(&lab, &Content::Probes(443), RATE, 1)?;
    thread::sleep(QUIET);
    let mut steps = Vec::new();
    let mut spans = Vec::new();
    for (what, pushed) in TURNS {
        eprintln!("pushed to a daemon: {what}");
        let from = probe::now_ns();
        let answer = match pushed {
            Some(policy) => daemon.push(&lab, &folders[policy].join("policy.toml"))?,
            None => {
                thread::sleep(QUIET);
                Value::Null
            }
        };
        let until = probe::now_ns();
        let ms = |name: &str| answer[name].as_f64().unwrap_or_default();
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        spans.push((from, until));
        steps.push(Step {
            what,
            apply_ms: if pushed.is_some() { (until - from) as f64 / 1e6 } else { 0.0 },
            compile_ms: ms("compile_ms"),
            fill_ms: ms("fill_ms"),
            commit_ms: ms("commit_ms"),
            daemon_mib: mib(cpu::memory(daemon.process())?[0]),
            maps_mib: mib(cpu::maps(daemon.process())?),
            machine_mib: mib(free) - mib(cpu::available()?),
            probes: 0,
            lost: 0,
            p50_us: 0.0,
            p99_us: 0.0,
            longest_us: 0.0,
        });
    }
    let sent = probes.stop()?;
    background.stop()?;
    thread::sleep(Duration::from_millis(100));
    daemon.stop(&lab)?;
    for (step, (from, until)) in steps.iter_mut().zip(spans) {
        let first = sent.times.partition_point(|time| *time < from);
        let last = sent.times.partition_point(|time| *time < until);
        let took = |number: usize| own.arrived().get(number).filter(|at| *at != 0)?.checked_sub(sent.times[number]);
        let mut all: Vec<u64> = (first..last).filter_map(took).collect();
        all.sort_unstable();
        step.probes = last - first;
        step.lost = step.probes - all.len();
        [step.p50_us, step.p99_us, step.longest_us] =
            [0.5, 0.99, 1.0].map(|part| probe::percentile(&all, part) as f64 / 1e3);
    }
    Ok(steps)
}

/// What they were like, in the report.
pub fn write(text: &mut String, steps: &[Step]) -> fmt::Result {
    writeln!(
        text,
        "\nPushed to a daemon, one right after the other, while {RATE} probes and {BESIDE} other packets a second pass. A push \
         frees what was in force before the last one. Kernel maps: those that the daemon holds. Machine: memory that was \
         available before the first of them and no more after this one.\n\n\
         | pushed | apply, ms | compile | fill | commit | daemon, MiB | kernel maps | machine | probes | lost | p50, us | p99 | longest |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for step in steps {
        writeln!(
            text,
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {} | {} | {:.1} | {:.1} | {:.1} |",
            step.what,
            step.apply_ms,
            step.compile_ms,
            step.fill_ms,
            step.commit_ms,
            step.daemon_mib,
            step.maps_mib,
            step.machine_mib,
            step.probes,
            step.lost,
            step.p50_us,
            step.p99_us,
            step.longest_us
        )?;
    }
    Ok(())
}
