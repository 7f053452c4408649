//! Datagrams of 60 bytes by trafgen: such as no rule can match, and such as one rule always does.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::set::Folder;
use crate::{
    daemon::Daemon,
    forward::{Rates, Seen, Sender, folder, sink},
    inspect::{self, Contender, Setting},
    packet::Own,
    stats::{Spread, Target},
};

/// The rule that matches each packet of `hit.cfg`.
const RULE: &str = "alert udp any any -> any 9001 (msg:\"every packet\"; content:\"every-packet\"; sid:8999999;)\n";
/// What the scenarios are called.
pub const NAMES: [&str; 2] = [PASS, HIT];
const PASS: &str = "60-byte UDP";
const HIT: &str = "every packet hits";
/// Before the counters are read.
const WARM_UP: Duration = Duration::from_millis(500);
/// Until what is held has left, and was told of.
const SETTLED: Duration = Duration::from_millis(1200);

/// Both scenarios.
#[derive(Clone, Debug, Serialize)]
pub struct Datagrams {
    pub rows: Vec<Row>,
    /// Of the packets that each hit a rule, all rounds.
    pub hits: Option<Hits>,
}

/// A contender in a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub scenario: &'static str,
    pub contender: &'static str,
    /// Million packets a second of one core that left towards the servers.
    pub forwarded: Spread,
    /// To the kernel alone in the same round.
    pub ratio: Spread,
}

/// Packets of which each hits a rule, million a second by the clock.
#[derive(Clone, Debug, Serialize)]
pub struct Hits {
    /// Taken, judged by rules, and let go.
    pub judged: Spread,
    /// Not held for want of credits, and so dropped.
    pub refused: Spread,
    /// Held and lost, sums.
    pub lost: u64,
    /// Alerts written for each that was judged.
    pub alerts: f64,
}

/// Runs both.
pub fn run(options: &inspect::Options, folder: &Folder) -> Result<Datagrams> {
    let set = options.rules.as_ref().context("a set of rules")?.with(RULE, folder)?;
    let mut settings = Vec::new();
    for contender in [Contender::Kernel, Contender::Dropgate, Contender::RulesAlone] {
        eprintln!("a gateway for datagrams: {}", contender.name());
        let setting = Setting::new(contender, &options.dropgate, false, Some(&set))?;
        let mut own = Own::small()?;
        sink(&setting.lab, &mut own)?;
        settings.push((setting, own));
    }
    let scenarios = [(PASS, "pass.cfg"), (HIT, "hit.cfg")];
    let mut rates = vec![vec![Vec::new(); settings.len()]; scenarios.len()];
    let mut hits = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("datagrams, round {round} of {}", options.rounds);
        for ((name, file), rates) in scenarios.iter().zip(&mut rates) {
            for turn in 0..settings.len() {
                let at = (turn + round) % settings.len();
                let setting = &settings[at].0;
                let before = Counted::read(setting)?;
                rates[at].push(load(&settings[at], file, options.seconds).with_context(|| format!("`{name}`"))?);
                if let (HIT, Some(before)) = (*name, before) {
                    thread::sleep(SETTLED);
                    hits.extend(Counted::read(setting)?.map(|after| (before, after)));
                }
            }
        }
    }
    let mut rows = Vec::new();
    for ((scenario, _), rates) in scenarios.iter().zip(&rates) {
        for ((setting, _), of_it) in settings.iter().zip(rates) {
            let forwarded = |rates: &[Rates]| rates.iter().map(|rates| rates.forwarded).collect::<Vec<_>>();
            let kernel = forwarded(&rates[0]);
            let ratio = forwarded(of_it).iter().zip(kernel).map(|(own, kernel)| own / kernel).collect();
            rows.push(Row {
                scenario,
                contender: setting.contender.name(),
                forwarded: Spread::of(forwarded(of_it)),
                ratio: Spread::of(ratio),
            });
        }
    }
    let hits = Hits::of(&hits, options.seconds)?;
    settings.into_iter().try_for_each(|(setting, _)| setting.end())?;
    Ok(Datagrams { rows, hits: Some(hits) })
}

fn load((setting, own): &(Setting, Own), file: &str, seconds: u32) -> Result<Rates> {
    let sender = Sender::start(&setting.lab, &folder().join(file))?;
    thread::sleep(WARM_UP);
    let daemon = setting.daemon.as_ref().map(Daemon::process);
    let group: Vec<u32> = daemon.into_iter().chain([sender.group()]).collect();
    let before = Seen::read(&setting.lab, own, &group)?;
    thread::sleep(Duration::from_secs(seconds.into()));
    Ok(Seen::read(&setting.lab, own, &group)?.since(&before))
}

/// What a daemon has counted.
#[derive(Clone, Copy)]
struct Counted {
    held: u64,
    released: u64,
    refused: u64,
    lost: u64,
    alerts: u64,
}

impl Counted {
    fn read(setting: &Setting) -> Result<Option<Self>> {
        let Some(daemon) = &setting.daemon else { return Ok(None) };
        let status = daemon.status(&setting.lab)?;
        let count = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or_default();
        Ok(Some(Self {
            held: count("/inspection/held/packets"),
            released: count("/inspection/released"),
            refused: count("/counters/reasons/hold_credits/packets"),
            lost: count("/inspection/lost") + count("/inspection/sockets_dropped"),
            alerts: alerts(&setting.lab.dir().join("eve.json"))?,
        }))
    }
}

/// Lines of the event file that are alerts.
fn alerts(path: &std::path::Path) -> Result<u64> {
    use std::io::{BufRead as _, BufReader};
    let file = std::fs::File::open(path).with_context(|| format!("reading `{}`", path.display()))?;
    let mut count = 0;
    for line in BufReader::new(file).lines() {
        count += u64::from(line?.contains("\"event_type\":\"alert\""));
    }
    Ok(count)
}

impl Hits {
    fn of(rounds: &[(Counted, Counted)], seconds: u32) -> Result<Self> {
        // the counters also hold what came before and behind the seconds that are measured: the load's whole time
        let wall = f64::from(seconds) + WARM_UP.as_secs_f64();
        let rate = |figure: fn(&Counted) -> u64| {
            let rates = rounds.iter().map(|(before, after)| (figure(after) - figure(before)) as f64 / wall / 1e6);
            Spread::of(rates.collect())
        };
        let sum = |figure: fn(&Counted) -> u64| {
            rounds.iter().map(|(before, after)| figure(after) - figure(before)).sum::<u64>()
        };
        ensure!(sum(|counted| counted.held) > 0, "no packet that hits a rule was held");
        Ok(Self {
            judged: rate(|counted| counted.released),
            refused: rate(|counted| counted.refused),
            lost: sum(|counted| counted.lost),
            alerts: sum(|counted| counted.alerts) as f64 / sum(|counted| counted.released).max(1) as f64,
        })
    }
}

impl Datagrams {
    pub fn targets(&self) -> Vec<Target> {
        let own = |row: &&Row| row.scenario == PASS && row.contender == Contender::RulesAlone.name();
        let ratio = self.rows.iter().find(own).map(|row| row.ratio.median);
        let passes =
            ratio.map(|ratio| Target::at_least(format!("{PASS}: rules / the kernel alone"), ratio, 0.85, "times"));
        let lost = self
            .hits
            .as_ref()
            .map(|hits| Target::at_most(format!("{HIT}: held and lost"), hits.lost as f64, 0.0, "packets"));
        passes.into_iter().chain(lost).collect()
    }
}
