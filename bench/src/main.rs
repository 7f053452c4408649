//! `cargo xtask bench`: cost per packet, commit times, and load scenarios through a gateway, beside peers in the same run.

mod chart;
mod cpu;
mod daemon;
mod forward;
mod frames;
mod history;
mod inspect;
mod latency;
mod machine;
mod packet;
mod probe;
mod push;
mod queues;
mod report;
mod scale;
mod signatures;
mod stats;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};

/// The daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Dropgate beside its peers and writes `bench/results/NAME.md` and `NAME.json`. Needs root.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_values_t = [Part::Packet, Part::Commit, Part::Forward, Part::Latency, Part::Push, Part::Scale, Part::Queues, Part::Inspect, Part::Signatures])]
    parts: Vec<Part>,
    /// Rounds; in each, every case runs once, so that what disturbs the machine disturbs all alike.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds of load a scenario and round; loads of the inspected gateway take twice that, and whole seconds. Both take half
    /// of the rounds.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Pushes under load. Ten thousand take some minutes.
    #[arg(long, default_value_t = 1000)]
    pushes: usize,
    /// Blocked prefixes of each family in the policy at the limit.
    #[arg(long, default_value_t = 1_000_000)]
    blocked: usize,
    /// Few and short rounds, for a look: one round of everything, 100 pushes.
    #[arg(long)]
    quick: bool,
    /// Only scenarios and loads whose names hold this; of forwarding and latency, kinds of gateway too.
    #[arg(long)]
    scenario: Option<String>,
    /// Only the contender of this name; of the inspected gateway, beside the kernel alone. For profiles.
    #[arg(long)]
    contender: Option<String>,
    /// Only cost-per-packet cases, and conversations and buffers of the rule engine, whose names hold one of these; for profiles.
    #[arg(long)]
    case: Vec<String>,
    /// Rules, files or folders of `*.rules`, in the place of those that are made up.
    #[arg(long, num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Name of the result files.
    #[arg(long, default_value = "latest")]
    name: String,
    /// Fail if a ratio is worse than in the last runs of this machine, beyond their spread.
    #[arg(long)]
    regressions_fail: bool,
    /// Where they go.
    #[arg(long, default_value = "bench/results")]
    out: PathBuf,
    /// The daemon under load.
    #[arg(long, default_value = "target/dist/dropgate")]
    dropgate: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// Cost per packet by `BPF_PROG_TEST_RUN`.
    Packet,
    /// Compiling, filling and switching 256 zones of 40 services.
    Commit,
    /// Scenarios through network namespaces.
    Forward,
    /// How long packets take through each kind of gateway at half load, by percentiles.
    Latency,
    /// Many pushes under load: when each takes hold, and whether any packet is judged by the old policy after it.
    Push,
    /// A million blocked prefixes of each family, 4,096 zones, 100,000 services: times, memory, cost per packet.
    Scale,
    /// Two senders on one receive queue and on two.
    Queues,
    /// HTTP through a gateway that looks into it, and a flood of packets that are held.
    Inspect,
    /// Thousands of rules: by transaction and buffer, and through the gateway.
    Signatures,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.rounds, arguments.seconds, arguments.pushes) = (1, 0.3, 100);
    }
    let mut report = report::Report::new(machine::Machine::read()?, arguments.rounds);
    let mut failed = 0;
    if arguments.parts.contains(&Part::Packet) {
        report.packet = kept(packet::run(arguments.rounds, &arguments.case).context("cost per packet"), &mut failed);
    }
    if arguments.parts.contains(&Part::Commit) {
        report.commit = kept(packet::commit(arguments.rounds).context("commit"), &mut failed);
    }
    let load = forward::Load {
        rounds: arguments.rounds.div_ceil(2),
        seconds: arguments.seconds,
        only: arguments.scenario.clone(),
        contender: arguments.contender.clone(),
        dropgate: arguments.dropgate.clone(),
    };
    if arguments.parts.contains(&Part::Forward) {
        report.forward = kept(forward::run(&load).context("scenarios"), &mut failed);
    }
    if arguments.parts.contains(&Part::Latency) {
        let load = forward::Load { seconds: 2.0 * load.seconds, ..load.clone() };
        report.latency = kept(latency::run(&load).context("latency"), &mut failed);
    }
    if arguments.parts.contains(&Part::Push) {
        report.push = kept(push::run(&load, arguments.pushes).context("pushes under load"), &mut failed);
    }
    if arguments.parts.contains(&Part::Scale) {
        report.scale = kept(scale::run(&load, arguments.blocked).context("the policy at the limit"), &mut failed);
    }
    if arguments.parts.contains(&Part::Queues) {
        report.queues = kept(queues::run(&load).context("two queues"), &mut failed);
    }
    let inspect = inspect::Options {
        rounds: arguments.rounds.div_ceil(2),
        seconds: (2.0 * arguments.seconds).ceil().max(1.0) as u32,
        only: arguments.scenario.clone(),
        contender: arguments.contender.clone(),
        dropgate: arguments.dropgate.clone(),
        rules: None,
    };
    if arguments.parts.contains(&Part::Inspect) {
        report.inspect = kept(inspect::run(&inspect).context("inspected gateway"), &mut failed);
    }
    if arguments.parts.contains(&Part::Signatures) {
        let options =
            signatures::Options { rounds: arguments.rounds, inspect, cases: arguments.case, given: arguments.rules };
        report.signatures = kept(signatures::run(&options).context("signatures"), &mut failed);
    }
    let text = report.write(&arguments.out, &arguments.name)?;
    println!("{text}");
    let run = history::Run::of(&report, &arguments.name);
    let worse = run.regressions(&history::read(&arguments.out)?);
    history::append(&arguments.out, &run)?;
    worse.iter().for_each(|line| println!("{line}"));
    ensure!(worse.is_empty() || !arguments.regressions_fail, "{} ratios are worse than before", worse.len());
    if let Some(push) = &report.push {
        ensure!(push.violations == 0, "{} probes were judged by a policy that was no longer in force", push.violations);
    }
    ensure!(failed == 0, "{failed} parts failed, and are left out");
    Ok(())
}

/// What was measured. A part that fails costs no other.
fn kept<T>(measured: Result<T>, failed: &mut usize) -> Option<T> {
    measured
        .inspect_err(|error| {
            eprintln!("failed: {error:#}");
            *failed += 1;
        })
        .ok()
}
