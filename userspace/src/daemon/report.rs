//! What `status`, `flows` and the `stats` event say, read from the maps.

use std::sync::atomic::{AtomicU64, Ordering};

use dropgate_abi::{
    control::{Counter, Limiter},
    flow::expired,
    policy::MAX_ZONES,
    reason::{Kind, REASONS, Reason},
};

use super::{attach::programs, gateway::Gateway};
use crate::{
    clock::now_ns,
    datapath::{FlowTable, Mapped, ObjectError, counters},
    events::{Names, Totals, eve::Count},
    hold, netlink,
    policy::model,
    view::{
        flows::{self, FlowView},
        status::{Alerts, Attached, Inspection, Limited, Related, Signatures, Status},
    },
};

fn count(counter: Counter) -> Count {
    Count { packets: counter.packets, bytes: counter.bytes }
}

/// What went to userspace, and its share of all that was judged.
fn inspection(holder: &hold::Holder, all: &Totals) -> Inspection {
    let (done, size, announced) = (holder.totals(), holder.size(), holder.announcements());
    let counts = all.reasons.iter().filter(|(reason, _)| reason.info().is_some_and(|info| info.kind != Kind::Anomaly));
    let (packets, bytes) = counts.fold((0, 0), |sum, (_, count)| (sum.0 + count.packets, sum.1 + count.bytes));
    let held = all.reasons.iter().find(|(reason, _)| *reason == Reason::held).map(|(_, count)| *count);
    let held = held.unwrap_or_default();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Inspection {
        held,
        share_packets: held.packets as f64 / packets.max(1) as f64,
        share_bytes: held.bytes as f64 / bytes.max(1) as f64,
        workers: size.workers,
        sockets: size.sockets,
        sockets_zero_copy: size.zero_copy,
        memory: size.memory,
        received: read(&done.packets),
        handed: read(&done.handed),
        released: read(&done.released),
        kept: read(&done.kept),
        discarded: read(&done.discarded),
        lost: read(&done.lost),
        sockets_dropped: read(&done.dropped),
        flows: read(&done.flows),
        settled: read(&done.settled),
        related: Related {
            accepted: announced.accepted,
            used: announced.used,
            refused_zone: announced.refused_zone,
            refused_kernel: announced.refused_kernel,
        },
    }
}

/// The rules in force, and what came of them.
fn signatures(of: &model::Signatures, done: Option<&hold::Totals>) -> Signatures {
    let count = |at: usize| done.map_or(0, |done| done.alerts[at].load(Ordering::Relaxed));
    let limited = done.map(|done| done.worst_limited(LIMITED_SHOWN)).unwrap_or_default();
    Signatures {
        loaded: of.ruleset.rules().len(),
        left_out: of.left_out.values().sum(),
        disabled: of.disabled,
        memory: of.ruleset.footprint() as u64,
        alerts: Alerts { allowed: count(0), dropped: count(1), rejected: count(2) },
        limited: limited.into_iter().map(|((gid, sid), times)| Limited { gid, sid, times }).collect(),
    }
}

/// Rules that have hit their limits, as many as `status` shows.
const LIMITED_SHOWN: usize = 10;

impl Gateway {
    /// All counters. `unwritten`: events that the file did not take.
    pub fn totals(&self, uptime_s: u64, unwritten: u64) -> Result<Totals, ObjectError> {
        let mut totals = Totals { uptime_s, generation: self.slots.generation(), ..Totals::default() };
        totals.events_unwritten = unwritten;
        totals.events_lost += self.untold.load(Ordering::Relaxed);
        for limiter in counters::per_cpu::<Limiter>(&self.object, "LIMITERS", 0)? {
            totals.events_lost += limiter.lost;
        }
        for info in REASONS {
            let index = u32::from(info.reason.0);
            let mut counted = count(counters::sum(&self.object, "REASON_COUNTERS", index)?);
            if let Some(holder) = &self.holder {
                let (packets, bytes) = holder.totals().reason(info.reason);
                counted.packets += packets;
                counted.bytes += bytes;
            }
            totals.reasons.push((info.reason, counted));
            for limiter in counters::per_cpu::<Limiter>(&self.object, "LIMITERS", index)? {
                totals.events_suppressed += limiter.suppressed;
                totals.events_lost += limiter.lost;
            }
        }
        let live: Mapped<u64> = self.object.mapped("ZONE_FLOWS", MAX_ZONES)?;
        totals.flows = (0..live.len()).filter_map(|zone| live.get(zone)).sum();
        if let Some(current) = &self.current {
            for zone in current.image.names.zones.keys() {
                let passed = counters::sum(&self.object, "ZONE_COUNTERS", u32::from(*zone) * 2)?;
                let dropped = counters::sum(&self.object, "ZONE_COUNTERS", u32::from(*zone) * 2 + 1)?;
                let both = Counter { packets: passed.packets + dropped.packets, bytes: passed.bytes + dropped.bytes };
                totals.zones.push((*zone, count(both)));
            }
            for service in current.image.names.services.keys() {
                totals.services.push((*service, count(counters::sum(&self.object, "SERVICE_COUNTERS", *service)?)));
            }
        }
        Ok(totals)
    }

    /// What is attached and in force.
    pub fn status(&self, uptime_s: u64, unwritten: u64, names: &Names) -> Result<Status, ObjectError> {
        let totals = self.totals(uptime_s, unwritten)?;
        let own = crate::events::stats_own(&totals, names);
        let there = self.attached.interfaces().iter().filter(|(name, (index, _))| netlink::index(name) == Some(*index));
        let fast = self.forwards();
        let attached = there.flat_map(|(interface, (index, build))| {
            let (ingress, egress) = programs(*build);
            let mode = if build.is_native() { "native" } else { "tcx" };
            [(ingress, "ingress", mode), (egress, "egress", "tcx")].map(|(name, hook, mode)| Attached {
                interface: interface.clone(),
                hook: hook.to_owned(),
                mode: mode.to_owned(),
                why: Some(build.to_string()).filter(|why| hook == "ingress" && !why.is_empty()),
                program_id: self.object.program_id(name).unwrap_or(0),
                fast_forward: (fast && hook == "egress").then(|| self.forward.sends(*index)),
            })
        });
        let current = self.current.as_ref();
        Ok(Status {
            state: "running".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: Some(std::process::id()),
            uptime_s,
            policy: current.map(|current| current.path.display().to_string()).unwrap_or_default(),
            generation: totals.generation,
            kind: current.map(|current| current.policy.gateway.kind.to_string()).unwrap_or_default(),
            attached: attached.collect(),
            refused: self.attached.refused().clone(),
            missing: self.missing(),
            unguarded: self.guard.fault().map(str::to_owned),
            flows: totals.flows,
            flows_max: u64::from(self.object.sizes().flow_buckets) * dropgate_abi::flow::WAYS as u64,
            inspection: self.holder.as_ref().map(|holder| inspection(holder, &totals)),
            signatures: current
                .and_then(|current| current.policy.signatures.as_ref())
                .map(|of| signatures(of, self.holder.as_ref().map(hold::Holder::totals))),
            counters: own,
        })
    }

    /// The live flows.
    pub fn flows(&self, names: &Names) -> Result<Vec<FlowView>, ObjectError> {
        let now = now_ns();
        let tick = (now >> dropgate_abi::flow::TICK_SHIFT) as u32;
        let table = FlowTable::of(&self.object)?;
        let live = table.flows().filter(|flow| !expired(tick, flow.last_seen, flow.timeout));
        Ok(live.map(|flow| flows::view(&flow, now, names)).collect())
    }
}
