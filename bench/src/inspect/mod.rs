//! HTTP through a masquerading gateway that looks into it, beside the same gateway without: with the expectations of the
//! policy enforced on every port.
//!
//! Each contender has a laboratory of its own; all of them are up together, and idle but for the one that is measured. In a
//! round every load runs through each contender in turn, one right after the other and another one first in each round, so
//! that what disturbs the machine disturbs all alike. Rates are by the wall clock; client, gateway and server share the
//! machine. CPU time by the request is what a busy machine changes least.

mod contender;
mod flood;
mod load;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use self::load::{LOADS, Load, Said};
pub use self::{
    contender::{Contender, Setting},
    flood::Flood,
    load::WITH_RULES,
};
use crate::{
    signatures::Set,
    stats::{Spread, Target},
};

/// How to run it.
#[derive(Clone)]
pub struct Options {
    pub rounds: usize,
    /// Seconds of each load.
    pub seconds: u32,
    /// Only loads whose names hold this.
    pub only: Option<String>,
    /// Only the contender of this name, and the kernel alone.
    pub contender: Option<String>,
    pub dropgate: PathBuf,
    /// Of the contenders with rules.
    pub rules: Option<Set>,
}

/// One contender under one load.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub load: &'static str,
    pub contender: &'static str,
    pub unit: &'static str,
    pub figure: Spread,
    /// To the kernel alone in the same round.
    pub ratio: Spread,
    /// Median latency of a request, us.
    pub median_us: Spread,
    /// CPU time of client, gateway and server for a request (a bulk flow: for a MB), us.
    pub cpu_us: Spread,
    /// Requests that failed, all rounds.
    pub failed: u64,
}

/// How much of its traffic a contender looked into.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    pub contender: &'static str,
    /// Of the packets that the gateway judged, the part that went to userspace.
    pub packets: f64,
}

/// All loads, and what is asked of them.
#[derive(Clone, Debug, Serialize)]
pub struct Inspect {
    pub driver: &'static str,
    pub seconds: u32,
    pub shares: Vec<Share>,
    pub rows: Vec<Row>,
    pub flood: Option<Flood>,
    pub targets: Vec<Target>,
}

/// Name of the flood, among the loads.
const FLOOD: &str = "flood";

/// Runs every load through every contender, `rounds` times.
pub fn run(options: &Options) -> Result<Inspect> {
    dropgate_lab::clean_up_on_signals().context("signals")?;
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only));
    let loads: Vec<&Load> = LOADS.iter().filter(|load| wanted(load.name)).collect();
    let (rows, shares) = if loads.is_empty() { Default::default() } else { http(options, Contender::all(), &loads)? };
    let flood = if wanted(FLOOD) { Some(floods(options)?) } else { None };
    let targets = targets(&rows, flood.as_ref());
    Ok(Inspect { driver: "veth, native XDP", seconds: options.seconds, shares, rows, flood, targets })
}

/// The loads of HTTP, through each contender that is wanted.
pub fn http(options: &Options, contenders: Vec<Contender>, loads: &[&Load]) -> Result<(Vec<Row>, Vec<Share>)> {
    let mut settings = Vec::new();
    let wanted = |name: &str| options.contender.as_ref().is_none_or(|only| only == name);
    for contender in contenders.into_iter().filter(|one| *one == Contender::Kernel || wanted(one.name())) {
        eprintln!("a gateway: {}", contender.name());
        let setting = Setting::new(contender, &options.dropgate, true, options.rules.as_ref());
        match setting.with_context(|| format!("the gateway of {}", contender.name())) {
            Ok(setting) => settings.push(setting),
            // somebody else's program, with somebody else's configuration: the rest is worth having
            Err(error) if contender == Contender::Suricata => eprintln!("left out: {error:#}"),
            Err(error) => return Err(error),
        }
    }
    // by load, contender and round
    let mut said: Vec<Vec<Vec<Said>>> = vec![vec![Vec::new(); settings.len()]; loads.len()];
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (load, said) in loads.iter().zip(&mut said) {
            for turn in 0..settings.len() {
                let at = (turn + round) % settings.len();
                let name = settings[at].contender.name();
                let one = load.run(&settings[at].lab, options.seconds);
                said[at].push(one.with_context(|| format!("{}, through {name}", load.name))?);
            }
        }
    }
    let mut rows = Vec::new();
    for (load, said) in loads.iter().zip(&said) {
        for (setting, of_it) in settings.iter().zip(said) {
            rows.push(row(load, setting.contender, of_it, &said[0]));
        }
    }
    let mut shares = Vec::new();
    for setting in settings.iter().filter(|setting| setting.contender != Contender::Headers) {
        if let Some(daemon) = &setting.daemon {
            let status = daemon.status(&setting.lab)?;
            let counted = |path: &str| status.pointer(path).and_then(serde_json::Value::as_f64);
            let share = Share {
                contender: setting.contender.name(),
                packets: counted("/inspection/share_packets").unwrap_or_default(),
            };
            ensure!(share.packets > 0.0, "{} has inspected nothing: {status}", share.contender);
            shares.push(share);
        }
    }
    settings.into_iter().try_for_each(Setting::end)?;
    Ok((rows, shares))
}

fn row(load: &Load, contender: Contender, said: &[Said], kernel: &[Said]) -> Row {
    let figures = |said: &[Said]| said.iter().map(load.figure).collect::<Vec<f64>>();
    let ratio = figures(said).iter().zip(figures(kernel)).map(|(own, kernel)| own / kernel).collect();
    Row {
        load: load.name,
        contender: contender.name(),
        unit: load.unit,
        figure: Spread::of(figures(said)),
        ratio: Spread::of(ratio),
        median_us: Spread::of(said.iter().map(|said| said.median_us).collect()),
        cpu_us: Spread::of(said.iter().map(|said| said.cpu_us / (load.done)(said).max(1.0)).collect()),
        failed: said.iter().map(|said| said.failed).sum(),
    }
}

/// The flood.
fn floods(options: &Options) -> Result<Flood> {
    eprintln!("a gateway for the flood");
    let setting = Setting::new(Contender::Everything, &options.dropgate, false, None)?;
    let own = flood::prepare(&setting)?;
    let mut counted = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("flood, round {round} of {}", options.rounds);
        counted.push(flood::run(&setting, options.seconds)?);
    }
    drop(own);
    setting.end()?;
    Ok(Flood::of(&counted))
}

/// Bounds: load, contender, the ratio to the kernel alone, and whether more is worse.
const BOUNDS: [(&str, Contender, f64, bool); 6] = [
    ("keep-alive", Contender::Dropgate, 0.95, false),
    ("new connections", Contender::Dropgate, 0.7, false),
    ("one bulk flow", Contender::Dropgate, 0.95, false),
    ("latency, keep-alive", Contender::Dropgate, 1.5, true),
    ("latency, new connections", Contender::Dropgate, 1.5, true),
    ("keep-alive", Contender::Everything, 0.8, false),
];

fn targets(rows: &[Row], flood: Option<&Flood>) -> Vec<Target> {
    let mut targets = Vec::new();
    for (load, contender, bound, at_most) in BOUNDS {
        let Some(row) = rows.iter().find(|row| row.load == load && row.contender == contender.name()) else { continue };
        let what = format!("{load}: {} / the kernel alone", contender.name());
        let make = if at_most { Target::at_most } else { Target::at_least };
        targets.push(make(what, row.ratio.median, bound, "times"));
    }
    if let Some(flood) = flood {
        targets.push(Target::at_most(
            "flood: dropped by the sockets themselves",
            flood.at_sockets as f64,
            0.0,
            "packets",
        ));
        targets.push(Target::at_most("flood: held and lost", flood.lost as f64, 0.0, "packets"));
    }
    if !rows.is_empty() {
        let failed: u64 = rows.iter().map(|row| row.failed).sum();
        targets.push(Target::at_most("requests that failed, every contender", failed as f64, 0.0, "requests"));
    }
    targets
}
