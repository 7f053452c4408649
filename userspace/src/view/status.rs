//! What is attached and in force, for people and as JSON.

use std::collections::BTreeMap;

use super::text::{self, Table};
use crate::events::eve::{Count, StatsOwn};
use dropgate_abi::reason::REASONS;
use serde::Serialize;

/// The state of a gateway, as the daemon knows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// `running`; `pinned` when no daemon runs but enforcement goes on; `off`.
    pub state: String,
    pub version: String,
    /// Process of the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    pub uptime_s: u64,
    pub policy: String,
    pub generation: u32,
    pub kind: String,
    pub attached: Vec<Attached>,
    /// Interfaces of the policy without programs: they are not there, or take none.
    pub missing: Vec<String>,
    /// Why nftables does not keep interfaces without programs from forwarding; `None`: it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unguarded: Option<String>,
    /// Those among them that take none, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    pub flows: u64,
    pub flows_max: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Inspection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    pub counters: StatsOwn,
}

/// What was held and inspected since the maps were made, and what the inspector did since the daemon started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspection {
    pub held: Count,
    /// Of all packets and bytes that were judged, from 0 to 1.
    pub share_packets: f64,
    pub share_bytes: f64,
    /// Threads that inspect.
    pub workers: usize,
    /// AF_XDP sockets that packets are held on, and those among them whose driver copies nothing.
    pub sockets: usize,
    pub sockets_zero_copy: usize,
    /// Bytes of memory that flows under inspection take now.
    pub memory: u64,
    /// Frames: merged packets are several.
    pub received: u64,
    /// Received by one worker and inspected by another.
    pub handed: u64,
    pub released: u64,
    /// Waited for what was missing before them.
    pub kept: u64,
    /// Had waited, and ended here: with their flow, or because what was missing before them never came.
    pub discarded: u64,
    /// Could not be released: the kernel did not take them.
    pub lost: u64,
    /// Dropped by the kernel at the sockets.
    pub sockets_dropped: u64,
    /// Flows under inspection, and flows that left it.
    pub flows: u64,
    pub settled: u64,
    pub related: Related,
}

/// The rules in force, and what came of them since the daemon started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Signatures {
    pub loaded: usize,
    /// Rules that something is wrong with, and rules that are commented out.
    pub left_out: usize,
    pub disabled: usize,
    /// Bytes of memory that their matchers take.
    pub memory: u64,
    pub alerts: Alerts,
    /// Rules that hit their limits of work, and how often: those that did most often.
    pub limited: Vec<Limited>,
}

/// Alerts by what was done about them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Alerts {
    pub allowed: u64,
    pub dropped: u64,
    pub rejected: u64,
}

/// A rule that hit its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limited {
    pub gid: u32,
    pub sid: u32,
    pub times: u64,
}

/// Flows that control channels announced since the daemon started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Related {
    /// They may begin, for half a minute.
    pub accepted: u64,
    /// Those of them of which at least one has begun.
    pub used: u64,
    /// Not made known: hosts of their zone had announced too many, or the kernel did not take them.
    pub refused_zone: u64,
    pub refused_kernel: u64,
}

/// A program on an interface.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Attached {
    pub interface: String,
    /// `ingress` or `egress`.
    pub hook: String,
    /// `native`, `tcx`.
    pub mode: String,
    /// Why it is not native.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub program_id: u32,
    /// Where the policy wants it, of the egress: whether settled flows are forwarded by it without the kernel's stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast_forward: Option<bool>,
}

/// Status as text. `reasons`: at most this many reasons and services, the busiest first.
pub fn human(status: &Status, most: usize) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| out.push_str(&format!("{name:<12}{value}\n"));
    let pid = status.pid.map(|pid| format!(" (process {pid}, up {})", text::span(status.uptime_s))).unwrap_or_default();
    line("state", format!("{}{pid}", status.state));
    line("version", status.version.clone());
    line("policy", format!("{}, generation {}, kind {}", text::clean(&status.policy), status.generation, status.kind));
    if let Some(why) = &status.unguarded {
        line("unguarded", format!("interfaces that return, until programs are on them: {}", text::clean(why)));
    }
    let share = status.flows.saturating_mul(100).checked_div(status.flows_max).unwrap_or(0);
    line("flows", format!("{} of {} ({share} %)", status.flows, status.flows_max));
    if let Some(done) = &status.inspection {
        line(
            "inspection",
            format!(
                "{} packets held ({:.1} %), {} ({:.1} %); {} flows, {} settled, {} of memory; {} kept out of turn, {} discarded; {} lost, {} dropped at sockets",
                done.held.packets,
                done.share_packets * 100.0,
                text::bytes(done.held.bytes),
                done.share_bytes * 100.0,
                done.flows,
                done.settled,
                text::bytes(done.memory),
                done.kept,
                done.discarded,
                done.lost,
                done.sockets_dropped,
            ),
        );
    }
    if let Some(done) = &status.inspection {
        let copied = done.sockets - done.sockets_zero_copy.min(done.sockets);
        line(
            "workers",
            format!("{}, on {} sockets ({copied} of them copied by the kernel)", done.workers, done.sockets),
        );
    }
    if let Some(of) = &status.signatures {
        line(
            "rules",
            format!(
                "{} loaded, {} left out, {} disabled; matchers take {}",
                of.loaded,
                of.left_out,
                of.disabled,
                text::bytes(of.memory)
            ),
        );
        let Alerts { allowed, dropped, rejected } = of.alerts;
        line("alerts", format!("{allowed} allowed, {dropped} dropped, {rejected} rejected"));
        let limited: Vec<String> =
            of.limited.iter().map(|of| format!("{}:{} ({} times)", of.gid, of.sid, of.times)).collect();
        if !limited.is_empty() {
            line("limited", limited.join(", "));
        }
    }
    if let Some(Related { accepted, used, refused_zone, refused_kernel }) = related(status) {
        let refused = format!("{refused_zone} refused for their zone, {refused_kernel} by the kernel");
        line("related", format!("{accepted} flows announced, {used} of them begun; {refused}"));
    }
    let own = &status.counters;
    line(
        "events",
        format!("{} suppressed, {} lost, {} unwritten", own.events_suppressed, own.events_lost, own.events_unwritten),
    );
    out.push('\n');
    let mut table = Table::new(&["interface", "hook", "mode", ">program", "why"]);
    for at in &status.attached {
        let forwards = match at.fast_forward {
            None => "",
            Some(true) => "forwarded to",
            Some(false) => "by the kernel: its driver cannot send from XDP",
        };
        let why = at.why.clone().unwrap_or_else(|| forwards.to_owned());
        table.row([text::clean(&at.interface), at.hook.clone(), at.mode.clone(), at.program_id.to_string(), why]);
    }
    for name in &status.missing {
        let why = status.refused.get(name).map(|why| text::clean(why)).unwrap_or_default();
        table.row([text::clean(name), "missing".to_owned(), String::new(), String::new(), why]);
    }
    if table.is_empty() {
        out.push_str("nothing is attached\n");
    } else {
        out.push_str(&table.to_string());
    }
    for (head, counts) in [("zone", &own.zones), ("service", &own.services)] {
        let mut table = Table::new(&[head, ">packets", ">bytes"]);
        for (name, count) in busiest(counts, most) {
            table.row([name.clone(), count.packets.to_string(), text::bytes(count.bytes)]);
        }
        if !table.is_empty() {
            out.push_str(&format!("\n{table}"));
        }
    }
    let mut table = Table::new(&["reason", ">packets", ">bytes", "meaning"]);
    for (name, count) in busiest(&own.reasons, most) {
        let meaning = REASONS.iter().find(|info| info.name == name).map_or("", |info| info.meaning);
        table.row([name.clone(), count.packets.to_string(), text::bytes(count.bytes), meaning.to_owned()]);
    }
    if !table.is_empty() {
        out.push_str(&format!("\n{table}"));
    }
    out
}

/// What was announced, if anything was.
fn related(status: &Status) -> Option<Related> {
    let related = status.inspection.as_ref()?.related;
    (related.accepted + related.refused_zone + related.refused_kernel > 0).then_some(related)
}

fn busiest(counts: &BTreeMap<String, Count>, most: usize) -> Vec<(&String, &Count)> {
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by(|a, b| b.1.packets.cmp(&a.1.packets).then(a.0.cmp(b.0)));
    rows.truncate(most);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_come_first() {
        let mut status = Status { state: "running".into(), pid: Some(7), flows: 5, flows_max: 10, ..Status::default() };
        for (name, packets) in [("arp", 3), ("not_allowed", 9), ("land", 1)] {
            status.counters.reasons.insert(name.into(), Count { packets, bytes: packets * 60 });
        }
        let text = human(&status, 2);
        assert!(text.contains("5 of 10 (50 %)"), "{text}");
        let (first, second) = (text.find("not_allowed").unwrap(), text.find("\narp").unwrap());
        assert!(first < second && !text.contains("land"), "{text}");
        assert!(text.contains("no service of the zone allows it"), "{text}");
        assert!(text.contains("nothing is attached"), "{text}");
        let related = Related { accepted: 3, used: 2, refused_zone: 1, refused_kernel: 0 };
        status.inspection = Some(Inspection { kept: 5, discarded: 4, related, ..Inspection::default() });
        let text = human(&status, 2);
        assert!(text.contains("5 kept out of turn, 4 discarded;"), "{text}");
        assert!(
            text.contains("\nrelated     3 flows announced, 2 of them begun; 1 refused for their zone, 0 by"),
            "{text}"
        );
        status.signatures = Some(Signatures {
            loaded: 7,
            left_out: 2,
            memory: 2048,
            alerts: Alerts { allowed: 4, dropped: 3, rejected: 1 },
            limited: vec![Limited { gid: 1, sid: 9, times: 5 }],
            ..Signatures::default()
        });
        let text = human(&status, 2);
        assert!(text.contains("\nrules       7 loaded, 2 left out, 0 disabled; matchers take 2.0 kB\n"), "{text}");
        assert!(text.contains("\nalerts      4 allowed, 3 dropped, 1 rejected\nlimited     1:9 (5 times)\n"), "{text}");
        status.missing.push("ppp0".into());
        let text = human(&status, 2);
        assert!(text.contains("\nppp0       missing\n"), "{text}");
    }
}
