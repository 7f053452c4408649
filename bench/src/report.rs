//! Results as Markdown for people and JSON for programs.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    chart::{self, Bar, Curve},
    forward::Forward,
    inspect::{Inspect, Row},
    latency::{self, Latency},
    machine::Machine,
    packet::{Commit, Packet},
    push::{self, Push},
    queues,
    scale::{self, Scale},
    signatures::{self, Signatures},
    stats::{Spread, Target},
};

/// Everything one run measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub rounds: usize,
    pub packet: Option<Packet>,
    pub commit: Option<Commit>,
    pub forward: Option<Forward>,
    pub latency: Option<Latency>,
    pub push: Option<Push>,
    pub scale: Option<Scale>,
    pub queues: Option<Vec<queues::Row>>,
    pub inspect: Option<Inspect>,
    pub signatures: Option<Signatures>,
}

impl Report {
    pub const fn new(machine: Machine, rounds: usize) -> Self {
        Self {
            machine,
            rounds,
            packet: None,
            commit: None,
            forward: None,
            latency: None,
            push: None,
            scale: None,
            queues: None,
            inspect: None,
            signatures: None,
        }
    }

    /// Writes both files; returns the Markdown.
    pub fn write(&self, folder: &Path, name: &str) -> Result<String> {
        fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
        let text = self.markdown()? + &self.charts(folder, name)?;
        for (suffix, content) in [("md", text.clone()), ("json", serde_json::to_string_pretty(self)? + "\n")] {
            let path = folder.join(format!("{name}.{suffix}"));
            fs::write(&path, content).with_context(|| format!("writing `{}`", path.display()))?;
        }
        Ok(text)
    }

    /// Everything that was held against a target, with the part it belongs to.
    pub fn targets(&self) -> impl Iterator<Item = (&'static str, &Target)> {
        fn of<'a>(
            part: &'static str,
            targets: Option<&'a Vec<Target>>,
        ) -> impl Iterator<Item = (&'static str, &'a Target)> {
            targets.into_iter().flatten().map(move |target| (part, target))
        }
        of("packet", self.packet.as_ref().map(|part| &part.targets))
            .chain(of("commit", self.commit.as_ref().map(|part| &part.targets)))
            .chain(of("forward", self.forward.as_ref().map(|part| &part.targets)))
            .chain(of("latency", self.latency.as_ref().map(|part| &part.targets)))
            .chain(of("push", self.push.as_ref().map(|part| &part.targets)))
            .chain(of("scale", self.scale.as_ref().map(|part| &part.targets)))
            .chain(of("inspect", self.inspect.as_ref().map(|part| &part.targets)))
    }

    /// Writes the charts of what was measured; lines of Markdown that show them.
    fn charts(&self, folder: &Path, name: &str) -> Result<String> {
        let mut files = Vec::new();
        if let Some(forward) = &self.forward {
            let bar = |row: &crate::forward::Row, figure: &Spread| Bar {
                group: format!("{}, {}", row.kind, row.scenario),
                name: row.contender,
                min: figure.min,
                median: figure.median,
                max: figure.max,
            };
            let all = || forward.rows.iter();
            let passed: Vec<Bar> =
                all().filter(|row| row.scenario == "allowed").map(|row| bar(row, &row.forwarded)).collect();
            let stopped = all().filter(|row| matches!(row.scenario.as_str(), "denied" | "spoofed"));
            let stopped: Vec<Bar> = stopped.map(|row| bar(row, &row.handled)).collect();
            let unit = "million packets a second of one core, 60 bytes";
            files.push(("forwarded", chart::bars("Forwarded: flows that the policy allows", unit, &passed)?));
            files.push(("stopped", chart::bars("Handled: what the policy does not allow", unit, &stopped)?));
        }
        if let Some(latency) = &self.latency {
            let kinds = latency.rows.chunk_by(|one, other| (one.kind, one.queues) == (other.kind, other.queues));
            for kind in kinds.filter(|rows| rows[0].queues > 1) {
                let curve = |row: &latency::Row| Curve { name: row.contender, points: row.curve.clone() };
                let curves: Vec<Curve> = kind.iter().map(curve).collect();
                let kind = kind[0].kind;
                files.push((
                    kind,
                    chart::curves(&format!("Latency at half load, a queue for each CPU: {kind}"), &curves)?,
                ));
            }
        }
        let mut text = String::new();
        for (what, drawn) in files {
            let file = format!("{name}-{what}.svg");
            let path = folder.join(&file);
            fs::write(&path, drawn).with_context(|| format!("writing `{}`", path.display()))?;
            writeln!(text, "\n![{what}]({file})")?;
        }
        Ok(text)
    }

    fn markdown(&self) -> Result<String> {
        let machine = &self.machine;
        let mut text = String::new();
        writeln!(text, "# Bench\n")?;
        writeln!(
            text,
            "{}, {} cores, {} MiB; Linux {}, BPF JIT {}; commit {}{}; {}; {} rounds, all cases in turn in each.",
            machine.processor,
            machine.cores,
            machine.memory_mib,
            machine.kernel,
            machine.bpf_jit,
            machine.commit,
            if machine.changed == 0 { String::new() } else { format!(" and {} changed files", machine.changed) },
            machine.date,
            self.rounds,
        )?;
        if let Some(packet) = &self.packet {
            writeln!(text, "\n## Cost per packet\n")?;
            writeln!(
                text,
                "ns a run by `BPF_PROG_TEST_RUN`, attached to nothing. \"A million tuples\": a wrapper writes one of 2^20 \
                 tuples, drawn at random, into the frame before each run and tail-calls the program. Net: the median less \
                 that of the program that returns at once, run the same way.\n"
            )?;
            writeln!(text, "| case | min | median | max | net |\n| --- | --- | --- | --- | --- |")?;
            for case in &packet.cases {
                writeln!(
                    text,
                    "| {} | {:.0} | {:.0} | {:.0} | {:.0} |",
                    case.name, case.ns.min, case.ns.median, case.ns.max, case.net_ns
                )?;
            }
            targets(&mut text, &packet.targets)?;
        }
        if let Some(commit) = &self.commit {
            writeln!(text, "\n## Commit: {} zones of {} services\n", commit.zones, commit.services)?;
            writeln!(text, "| ms | min | median | max |\n| --- | --- | --- | --- |")?;
            spread(&mut text, "compile (text to image)", &commit.compile_ms)?;
            spread(&mut text, "fill (image to the idle slot)", &commit.fill_ms)?;
            spread(&mut text, "switch (until in force for every packet that arrives)", &commit.switch_ms)?;
            targets(&mut text, &commit.targets)?;
        }
        if let Some(forward) = &self.forward {
            writeln!(
                text,
                "\n## Forwarding\n\nMillion packets a second of one core, {}; trafgen, gateway and sink on the same cores, {} s a \
                 scenario and round. Handled: what reached the gateway. Ring loss: what was sent and found its ring full. Cores: CPU time taken by the wall clock. \
                 The kernel takes packets by NAPI, as from every NIC; without NAPI: as veth does by itself. Of a driver: frames that were no \
                 socket buffer before, and cost next to nothing to send. \
                 Median (min to max).\n",
                forward.driver, forward.seconds
            )?;
            writeln!(
                text,
                "| scenario | kind | contender | handled | forwarded | ring loss | cores |\n| --- | --- | --- | --- | --- | --- | --- |"
            )?;
            for row in &forward.rows {
                writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {:.1} % | {:.2} |",
                    row.scenario,
                    row.kind,
                    row.contender,
                    row.handled.text(3),
                    row.forwarded.text(3),
                    row.ring_loss.median * 100.0,
                    row.cores.median
                )?;
            }
            refused(&mut text, &forward.refused)?;
            targets(&mut text, &forward.targets)?;
        }
        if let Some(latency) = &self.latency {
            latency::write(&mut text, latency)?;
        }
        if let Some(push) = &self.push {
            push::write(&mut text, push)?;
        }
        if let Some(scale) = &self.scale {
            scale::write(&mut text, scale)?;
        }
        if let Some(rows) = &self.queues {
            queues::write(&mut text, rows)?;
        }
        if let Some(inspect) = &self.inspect {
            inspected(&mut text, inspect)?;
        }
        if let Some(signatures) = &self.signatures {
            signatures::write(&mut text, signatures)?;
        }
        Ok(text)
    }
}

fn inspected(text: &mut String, inspect: &Inspect) -> Result<()> {
    writeln!(
        text,
        "\n## Inspected\n\nHTTP by wrk through a masquerading gateway to nginx, {}, all on the same cores, {} s a load and round; \
         what is registered for each port is all that may be spoken there. Ratio: to the kernel alone in the same round. \
         CPU: time of client, gateway, server and softirq threads for a request; of the bulk flow for a MB. \
         Median (min to max).\n",
        inspect.driver, inspect.seconds
    )?;
    if !inspect.rows.is_empty() {
        rows(text, &inspect.rows)?;
    }
    for share in &inspect.shares {
        writeln!(text, "\n{}: {:.2} % of the packets went to userspace.", share.contender, share.packets * 100.0)?;
    }
    if let Some(flood) = &inspect.flood {
        writeln!(
            text,
            "\nA flood of DNS questions by trafgen, every packet held; million packets a second:\n\n| offered | released | \
             dropped for want of credits, % | dropped by sockets | lost |\n| --- | --- | --- | --- | --- |\n| {} | {} | {} | {} | {} |",
            flood.offered.text(3),
            flood.released.text(3),
            flood.by_credits.times(100.0).text(3),
            flood.at_sockets,
            flood.lost
        )?;
    }
    Ok(targets(text, &inspect.targets)?)
}

/// Contenders under loads.
pub fn rows(text: &mut String, all: &[Row]) -> fmt::Result {
    writeln!(
        text,
        "| load | contender | figure | | ratio | median latency, us | CPU, us | failed |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for row in all {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            row.load,
            row.contender,
            row.figure.text(0),
            row.unit,
            row.ratio.text(2),
            // a bulk flow has no request that ends
            if row.median_us.max > 0.0 { row.median_us.text(0) } else { String::new() },
            row.cpu_us.text(1),
            row.failed
        )?;
    }
    Ok(())
}

fn spread(text: &mut String, name: &str, spread: &Spread) -> Result<()> {
    writeln!(text, "| {name} | {:.1} | {:.1} | {:.1} |", spread.min, spread.median, spread.max)?;
    Ok(())
}

/// Kinds of gateway that were measured without Dropgate, and the first line of why.
pub fn refused(text: &mut String, refused: &BTreeMap<&'static str, String>) -> fmt::Result {
    for (kind, why) in refused {
        writeln!(
            text,
            "\nWithout Dropgate, which refuses this policy: {kind} ({}).",
            why.lines().next().unwrap_or("")
        )?;
    }
    Ok(())
}

/// Figures held against what is asked.
pub fn targets(text: &mut String, targets: &[Target]) -> fmt::Result {
    writeln!(text, "\n| target | measured | bound | |\n| --- | --- | --- | --- |")?;
    for target in targets {
        let sign = if target.at_most { "at most" } else { "at least" };
        let met = if target.met { "met" } else { "**missed**" };
        writeln!(text, "| {} | {:.2} {} | {sign} {} | {met} |", target.what, target.value, target.unit, target.bound)?;
    }
    Ok(())
}
