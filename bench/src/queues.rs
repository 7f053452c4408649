//! Two receive queues, each filled by a CPU of its own, against one that both fill: what is shared between CPUs shows here.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use dropgate_lab::Gateway;
use serde::Serialize;

use crate::{
    forward::{self, Contender, Gate, Load},
    packet::Own,
    stats::Spread,
};

const CONTENDERS: [Contender; 2] = [Contender::Kernel, Contender::Dropgate];
/// Flows that are settled after the first packets, and new ones with every packet.
const LOADS: [(&str, &str); 2] = [("settled flows", "allowed.cfg"), ("new flows", "syn.cfg")];

/// One contender under one load, two senders. Million packets a second by the wall clock.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub load: &'static str,
    pub contender: &'static str,
    pub one_queue: Spread,
    pub two_queues: Spread,
    /// Two by one, in the same round.
    pub ratio: Spread,
}

/// Measures both, `rounds` times.
pub fn run(load: &Load) -> Result<Vec<Row>> {
    dropgate_lab::clean_up_on_signals().context("signals")?;
    let mut rates = vec![[Vec::new(), Vec::new()]; CONTENDERS.len() * LOADS.len()];
    for round in 1..=load.rounds {
        for (of, contender) in CONTENDERS.into_iter().enumerate() {
            for queues in [1, 2] {
                eprintln!("round {round} of {}: {queues} queues, {}", load.rounds, contender.name());
                let found =
                    one(load, contender, queues).with_context(|| format!("{queues} queues, {}", contender.name()))?;
                for (at, rate) in found.into_iter().enumerate() {
                    rates[of * LOADS.len() + at][queues - 1].push(rate);
                }
            }
        }
    }
    let row = |(at, [one, two]): (usize, [Vec<f64>; 2])| Row {
        load: LOADS[at % LOADS.len()].0,
        contender: CONTENDERS[at / LOADS.len()].name(),
        ratio: Spread::of(two.iter().zip(&one).map(|(two, one)| two / one).collect()),
        one_queue: Spread::of(one),
        two_queues: Spread::of(two),
    };
    Ok(rates.into_iter().enumerate().map(row).collect())
}

/// What arrives at the servers of each load, million packets a second.
fn one(load: &Load, contender: Contender, queues: usize) -> Result<Vec<f64>> {
    let mut lab = Gate::Route.lab()?;
    set(&lab, queues)?;
    let mut own = Own::small()?;
    forward::sink(&lab, &mut own)?;
    let daemon = contender.start(&mut lab, &mut own, Gate::Route, &load.dropgate)?;
    let mut rates = Vec::new();
    for (_, file) in LOADS {
        let lasts = Duration::from_secs_f64(load.seconds);
        rates.push(forward::arriving(&lab, &own, file, 2, lasts)? / 1e6);
    }
    if let Some(daemon) = daemon {
        daemon.stop(&lab)?;
    }
    Ok(rates)
}

/// Gives the interfaces on the way from `office` to the servers so many receive queues.
pub fn set(lab: &Gateway, queues: usize) -> Result<()> {
    let queues = queues.to_string();
    for (host, interface) in [(&lab.gw, "lan0"), (&lab.gw, "wan0"), (&lab.office, "eth0"), (&lab.servers, "eth0")] {
        // as many as that may be set already, which is refused
        let _ = host.check("ethtool", ["-L", interface, "rx", &queues, "tx", &queues]);
        let said = host.check("ethtool", ["-l", interface])?;
        let set = said.split("Current").nth(1).is_some_and(|now| {
            now.lines().any(|line| line.strip_prefix("RX:").is_some_and(|count| count.trim() == queues))
        });
        anyhow::ensure!(set, "`{interface}` does not take {queues} queues:\n{said}");
    }
    Ok(())
}

/// The section of the report.
pub fn write(text: &mut String, rows: &[Row]) -> fmt::Result {
    writeln!(
        text,
        "\n## Two receive queues\n\nTwo trafgen, each on a CPU of its own, through a routing gateway with one receive queue on every \
         interface and with two. Million packets a second that arrive, by the wall clock; median (min to max).\n\n\
         | load | contender | one queue | two queues | two by one |\n| --- | --- | --- | --- | --- |"
    )?;
    for row in rows {
        let (one, two, ratio) = (row.one_queue.text(3), row.two_queues.text(3), row.ratio.text(3));
        writeln!(text, "| {} | {} | {one} | {two} | {ratio} |", row.load, row.contender)?;
    }
    Ok(())
}
