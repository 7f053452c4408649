//! Scenarios through network namespaces: trafgen in zone `office`, a gateway, a sink that drops in XDP.
//!
//! A round builds the laboratory anew for every contender, so that no connection table is inherited. Sender, gateway and
//! sink share the machine: the kernel carries a packet from the sender to the sink within the sender's time, so a rate tells
//! what the whole way costs. Rates are those of a whole core: packets by the CPU time of sender and softirq threads, which
//! on an idle machine is the wall clock and on a busy one leaves out who else ran.

mod contender;
mod driver;
mod gate;
mod scenario;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use dropgate_lab::{Gateway, Namespace};
use serde::Serialize;

pub use self::{
    contender::{CONTENDERS, Contender},
    gate::{GATES, Gate, ends, refusals},
    scenario::folder,
};
use self::{
    driver::Driver,
    scenario::{Scenario, Source},
};
use crate::{
    cpu,
    packet::Own,
    stats::{Spread, Target},
};

/// Before the counters are read, from the first packets on.
pub const WARM_UP: Duration = Duration::from_millis(200);
/// For what is still under way.
pub const REST: Duration = Duration::from_millis(100);
/// Times that a scenario is begun whose sender ends by itself.
const ATTEMPTS: u32 = 3;
/// Has trafgen send by a call for each packet: a rate that is never reached.
const BLOCKING: &[&str] = &["-b", "1000000000pps"];
/// What trafgen may take to send its first packets.
const START: Duration = Duration::from_secs(20);

/// The scenario whose allowed packets come as from a driver.
const OF_DRIVER: &str = "allowed, of a driver";

/// How to run them.
#[derive(Clone)]
pub struct Load {
    pub rounds: usize,
    pub seconds: f64,
    /// Only scenarios and kinds of gateway whose names hold this.
    pub only: Option<String>,
    /// Only the contender of this name.
    pub contender: Option<String>,
    pub dropgate: PathBuf,
}

/// One contender in one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub scenario: String,
    pub kind: &'static str,
    pub contender: &'static str,
    /// What reached the gateway, million packets a second of one core.
    pub handled: Spread,
    /// What reached the servers, million packets a second of one core.
    pub forwarded: Spread,
    /// Of what was sent, the part that never reached the gateway because its ring was full.
    pub ring_loss: Spread,
    /// CPU time of sender and softirq threads by the wall clock, cores.
    pub cores: Spread,
}

/// All scenarios, and what the issue asks of them.
#[derive(Clone, Debug, Serialize)]
pub struct Forward {
    pub driver: &'static str,
    pub seconds: f64,
    pub rows: Vec<Row>,
    /// Kinds of gateway that this build of Dropgate refuses to be, and why: they were measured without it.
    pub refused: BTreeMap<&'static str, String>,
    pub targets: Vec<Target>,
}

/// By the names of the kinds.
pub fn named(refused: BTreeMap<Gate, String>) -> BTreeMap<&'static str, String> {
    refused.into_iter().map(|(gate, why)| (gate.name(), why)).collect()
}

/// Rates of one run, million packets a second of one core.
#[derive(Clone, Copy)]
pub struct Rates {
    handled: f64,
    pub forwarded: f64,
    ring_loss: f64,
    cores: f64,
}

/// Runs every scenario against every contender, `rounds` times.
pub fn run(load: &Load) -> Result<Forward> {
    dropgate_lab::clean_up_on_signals().context("signals")?;
    let scenarios: Vec<Scenario> = scenario::all()?;
    let wanted = |scenario: &Scenario, gate: Gate| {
        let named = |only: &String| scenario.name.contains(only) || gate.name().contains(only);
        scenario.gateways.contains(&gate) && load.only.as_ref().is_none_or(named)
    };
    let asked_for = |one: &Contender| load.contender.as_ref().is_none_or(|only| only == one.name());
    let mut samples: Vec<(Row, Vec<Rates>)> = Vec::new();
    let refused = refusals(&GATES)?;
    for round in 1..=load.rounds {
        for gate in GATES {
            for contender in CONTENDERS.into_iter().filter(asked_for) {
                if contender == Contender::Dropgate && refused.contains_key(&gate) {
                    continue;
                }
                let of_it: Vec<&Scenario> = scenarios
                    .iter()
                    .filter(|scenario| wanted(scenario, gate) && contender.runs(gate, &scenario.name))
                    .collect();
                if of_it.is_empty() {
                    continue;
                }
                eprintln!("round {round} of {}: {}, {}", load.rounds, gate.name(), contender.name());
                let ran = one(load, gate, contender, &of_it)
                    .with_context(|| format!("{}, {}", gate.name(), contender.name()))?;
                for (scenario, rates) in ran {
                    let found = samples.iter_mut().find(|(row, _)| {
                        row.scenario == scenario && row.kind == gate.name() && row.contender == contender.name()
                    });
                    match found {
                        Some((_, all)) => all.push(rates),
                        None => samples.push((empty(scenario, gate.name(), contender), vec![rates])),
                    }
                }
            }
        }
    }
    let mut rows: Vec<Row> = samples
        .into_iter()
        .map(|(row, rates)| Row {
            handled: Spread::of(rates.iter().map(|rates| rates.handled).collect()),
            forwarded: Spread::of(rates.iter().map(|rates| rates.forwarded).collect()),
            ring_loss: Spread::of(rates.iter().map(|rates| rates.ring_loss).collect()),
            cores: Spread::of(rates.iter().map(|rates| rates.cores).collect()),
            ..row
        })
        .collect();
    let order = |row: &Row| scenarios.iter().position(|scenario| scenario.name == row.scenario);
    let kind = |row: &Row| GATES.iter().position(|gate| gate.name() == row.kind);
    rows.sort_by_key(|row| (order(row), kind(row)));
    let targets = targets(&rows);
    Ok(Forward { driver: "veth, native XDP", seconds: load.seconds, rows, refused: named(refused), targets })
}

fn empty(scenario: String, kind: &'static str, contender: Contender) -> Row {
    let none = Spread::of(vec![]);
    Row {
        scenario,
        kind,
        contender: contender.name(),
        handled: none.clone(),
        forwarded: none.clone(),
        ring_loss: none.clone(),
        cores: none,
    }
}

/// A laboratory with one contender, scenarios one after the other.
fn one(load: &Load, gate: Gate, contender: Contender, scenarios: &[&Scenario]) -> Result<Vec<(String, Rates)>> {
    let mut lab = gate.lab()?;
    let mut own = Own::small()?;
    sink(&lab, &mut own)?;
    let daemon = contender.start(&mut lab, &mut own, gate, &load.dropgate)?;
    let mut all = Vec::new();
    for scenario in scenarios {
        let rates = under(
            || Sender::of(&lab, &own, &scenario.source),
            |sender| {
                let group = [sender.group()];
                let before = Seen::read(&lab, &own, &group)?;
                thread::sleep(Duration::from_secs_f64(load.seconds));
                Ok(Seen::read(&lab, &own, &group)?.since(&before))
            },
        );
        all.push((scenario.name.clone(), rates.with_context(|| scenario.name.clone())?));
    }
    if let Some(daemon) = daemon {
        daemon.stop(&lab)?;
    }
    Ok(all)
}

/// Measures while a sender sends, which is over when this returns. One that ends by itself, as trafgen does now and then, is started
/// again, and what was measured under it does not count.
fn under<T>(start: impl Fn() -> Result<Sender>, measure: impl Fn(&Sender) -> Result<T>) -> Result<T> {
    for _ in 0..ATTEMPTS {
        let mut sender = start()?;
        thread::sleep(WARM_UP);
        let measured = measure(&sender)?;
        let sends = sender.sends();
        drop(sender);
        // what is still under way ends
        thread::sleep(REST);
        if sends {
            return Ok(measured);
        }
        eprintln!("the sender ended before its time; again");
    }
    anyhow::bail!("the sender ends before its time, each time")
}

/// Packets a second that arrive at the servers of what so many trafgen send, by the wall clock.
pub fn arriving(lab: &Gateway, own: &Own, file: &str, cpus: u32, lasts: Duration) -> Result<f64> {
    under(
        || Sender::start_on(lab, &folder().join(file), cpus),
        |_| {
            let (before, from) = (own.received()?, Instant::now());
            thread::sleep(lasts);
            Ok((own.received()? - before) as f64 / from.elapsed().as_secs_f64())
        },
    )
}

/// Whatever reaches the servers is counted and ends there, before their kernel sees it.
pub fn sink(lab: &Gateway, own: &mut Own) -> Result<()> {
    own.attach("count", &lab.servers, "eth0")?;
    if lab.kind == dropgate_lab::Kind::Bridge {
        return Ok(());
    }
    // the sink answers nobody, not even who it is
    let sink = text(&mac(&lab.servers, "eth0")?);
    Ok(lab.gw.ip(&format!("neigh replace 203.0.113.9 lladdr {sink} dev wan0 nud permanent"))?)
}

/// What sends from zone `office` at full speed on one core; it ends with this value.
pub enum Sender {
    Trafgen(dropgate_lab::Process),
    Driver(Driver),
}

impl Sender {
    /// Starts what a scenario asks for; returns once packets leave.
    fn of(lab: &Gateway, own: &Own, source: &Source) -> Result<Self> {
        match source {
            Source::Trafgen(config) => Self::start(lab, config),
            Source::Driver(what) => Driver::start(lab, own, *what).map(Self::Driver),
        }
    }

    /// Starts trafgen; returns once packets leave.
    pub fn start(lab: &Gateway, config: &Path) -> Result<Self> {
        Self::start_on(lab, config, 1)
    }

    /// The same on several CPUs. They wait for the kernel to take each packet: through its ring trafgen ends when memory for one is short.
    pub fn start_on(lab: &Gateway, config: &Path, cpus: u32) -> Result<Self> {
        let [gateway, client] = ends(lab)?.map(|mac| text(&mac));
        let mut sender = lab.office.command("trafgen");
        sender
            .args(["-p", "-D", &format!("GATEWAY={gateway}"), "-D", &format!("CLIENT={client}")])
            .args(["-P", &cpus.to_string()])
            .args(if cpus > 1 { BLOCKING } else { &[] })
            .args(["-C", "-i"])
            .arg(config)
            .args(["-o", "eth0"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let [idle, _] = transmitted(&lab.office, "eth0")?;
        let sender = Self::Trafgen(dropgate_lab::Process::spawn_group(&mut sender)?);
        let started = Instant::now();
        while transmitted(&lab.office, "eth0")?[0] < idle + 1000 {
            anyhow::ensure!(started.elapsed() < START, "trafgen did not start to send `{}`", config.display());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(sender)
    }

    /// Whether it has sent until now.
    fn sends(&mut self) -> bool {
        match self {
            Self::Trafgen(process) => process.ended().is_none(),
            Self::Driver(driver) => driver.brings(),
        }
    }

    /// The process group that it is in.
    pub fn group(&self) -> u32 {
        match self {
            Self::Trafgen(process) => process.id(),
            // SAFETY: plain system call without arguments.
            Self::Driver(_) => unsafe { libc::getpgrp() }.cast_unsigned(),
        }
    }
}

/// Counters at one time.
pub struct Seen {
    at: Instant,
    /// Of the processes that count, and of softirq threads, ns.
    cpu: u64,
    sent: u64,
    lost: u64,
    forwarded: u64,
}

impl Seen {
    /// Reads them. `groups`: the processes whose time counts.
    pub fn read(lab: &Gateway, own: &Own, groups: &[u32]) -> Result<Self> {
        let at = Instant::now();
        let cpu = cpu::time(groups)?;
        let [sent, lost] = transmitted(&lab.office, "eth0")?;
        let forwarded = own.received()?;
        Ok(Self { at, cpu, sent, lost, forwarded })
    }

    /// Rates since an earlier time.
    pub fn since(&self, before: &Self) -> Rates {
        let wall = self.at.duration_since(before.at).as_secs_f64() * 1e6;
        let micros = (self.cpu - before.cpu) as f64 / 1e3;
        let sent = (self.sent - before.sent) as f64;
        let lost = (self.lost - before.lost) as f64;
        Rates {
            handled: sent / micros,
            forwarded: (self.forwarded - before.forwarded) as f64 / micros,
            ring_loss: if sent + lost > 0.0 { lost / (sent + lost) } else { 0.0 },
            cores: micros / wall,
        }
    }
}

/// Packets an interface transmitted, and dropped at that.
fn transmitted(namespace: &Namespace, interface: &str) -> Result<[u64; 2]> {
    let table =
        namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?.context("interface counters")?;
    let line = table.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'));
    let fields: Vec<u64> = line.unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    match fields[..] {
        [_, _, _, _, _, _, _, _, _, packets, _, dropped, ..] => Ok([packets, dropped]),
        _ => anyhow::bail!("`/proc/net/dev` of `{}` has no `{interface}`", namespace.name()),
    }
}

fn mac(namespace: &Namespace, interface: &str) -> Result<[u8; 6]> {
    Ok(namespace.mac(interface)?)
}

fn text(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let rate = |scenario: &str, kind: &str, contender: Contender, forwarded: bool| {
        let row = rows
            .iter()
            .find(|row| row.scenario == scenario && row.kind == kind && row.contender == contender.name())?;
        Some(if forwarded { row.forwarded.median } else { row.handled.median })
    };
    let mut targets = Vec::new();
    for (kind, bound) in [("route", 0.93), ("masquerade", 0.9)] {
        let on = rate("allowed", kind, Contender::Dropgate, true);
        let off = rate("allowed", kind, Contender::Kernel, true);
        if let (Some(on), Some(off)) = (on, off) {
            targets.push(Target::at_least(format!("{kind}: forwarded / the kernel alone"), on / off, bound, "times"));
        }
    }
    for (scenario, by) in [("allowed", "of trafgen"), (OF_DRIVER, "of a driver")] {
        for (kind, what, bound) in [
            ("fast-forward", "forwarded / the kernel's routing", 1.6),
            ("bridge", "forwarded / the kernel's bridge", 2.0),
        ] {
            let on = rate(scenario, kind, Contender::Dropgate, true);
            let off = rate(scenario, kind, Contender::Kernel, true);
            if let (Some(on), Some(off)) = (on, off) {
                let what = format!("{kind}: {what}, 60 bytes {by}");
                targets.push(Target::at_least(what, on / off, bound, "times"));
            }
        }
    }
    for scenario in ["denied", "spoofed"] {
        let on = rate(scenario, "route", Contender::Dropgate, false);
        let bare = rate(scenario, "route", Contender::Drop, false);
        if let (Some(on), Some(bare)) = (on, bare) {
            targets.push(Target::at_least(format!("{scenario}: dropped / a bare XDP drop"), on / bare, 0.9, "times"));
        }
    }
    targets
}
