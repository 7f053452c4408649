//! Thresholds and detection filters: whether a match is told of.

use std::net::IpAddr;

use super::{
    address::matches,
    flow::FlowState,
    shared::{CountKey, Shared},
};
use crate::{
    rule::{Detection, Rule, Suppress, Threshold, ThresholdKind, Track},
    subject::Packet,
};

/// What becomes of a match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    Yes,
    /// Nobody is told, but what the rule does is done.
    Silent,
    /// It is as if nothing had matched.
    No,
}

/// Matches that were counted in a period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    since_ns: u64,
    count: u32,
    /// Of `backoff`: the next count that is told of.
    next: u64,
}

impl Counter {
    fn begin(now_ns: u64) -> Self {
        Self { since_ns: now_ns, count: 0, next: 0 }
    }

    /// Counts one more; in a new period if the last one has ended.
    fn add(&mut self, now_ns: u64, seconds: u32) -> u64 {
        let end_ns = self.since_ns.saturating_add(u64::from(seconds) * 1_000_000_000);
        if seconds > 0 && now_ns > end_ns {
            *self = Self::begin(now_ns);
        }
        self.count = self.count.saturating_add(1);
        if seconds == 0 { u64::MAX } else { self.since_ns.saturating_add(u64::from(seconds) * 1_000_000_000) }
    }

    fn threshold(&mut self, threshold: &Threshold, now_ns: u64) -> (u64, Told) {
        let until_ns = self.add(now_ns, threshold.seconds);
        let (count, most) = (self.count, threshold.count);
        let told = match threshold.kind {
            ThresholdKind::Limit if count <= most => Told::Yes,
            ThresholdKind::Limit => Told::Silent,
            ThresholdKind::Threshold if count >= most => {
                self.count = 0;
                Told::Yes
            }
            ThresholdKind::Threshold => Told::No,
            ThresholdKind::Both => match count.cmp(&most) {
                std::cmp::Ordering::Less => Told::No,
                std::cmp::Ordering::Equal => Told::Yes,
                std::cmp::Ordering::Greater => Told::Silent,
            },
            ThresholdKind::Backoff { multiplier } => {
                self.next = self.next.max(u64::from(most));
                if u64::from(count) == self.next {
                    self.next = self.next.saturating_mul(u64::from(multiplier.max(1)));
                    Told::Yes
                } else {
                    Told::Silent
                }
            }
        };
        (until_ns, told)
    }

    fn detection(&mut self, detection: &Detection, now_ns: u64) -> (u64, Told) {
        let until_ns = self.add(now_ns, detection.seconds);
        (until_ns, if self.count > detection.count { Told::Yes } else { Told::No })
    }
}

/// Whether a match of a rule is told of, and counts it.
pub fn told(rule: &Rule, packet: &Packet<'_>, flow: &mut FlowState, shared: &Shared, now_ns: u64) -> Told {
    if let Some(detection) = &rule.detection {
        let count = |counter: &mut Counter| counter.detection(detection, now_ns);
        if counted(rule, (detection.track, true), packet, flow, shared, now_ns, count) == Told::No {
            return Told::No;
        }
    }
    if rule.suppress.iter().any(|suppress| is_suppressed(suppress, packet)) {
        return Told::Silent;
    }
    match &rule.threshold {
        Some(threshold) => {
            let count = |counter: &mut Counter| counter.threshold(threshold, now_ns);
            counted(rule, (threshold.track, false), packet, flow, shared, now_ns, count)
        }
        None => Told::Yes,
    }
}

fn is_suppressed(suppress: &Suppress, packet: &Packet<'_>) -> bool {
    let of = |address| matches(&suppress.addresses, address);
    match suppress.track {
        None | Some(Track::Rule | Track::Flow) => true,
        Some(Track::Source) => of(packet.source),
        Some(Track::Destination) => of(packet.destination),
        Some(Track::Both) => of(packet.source) || of(packet.destination),
    }
}

fn counted(
    rule: &Rule,
    (track, detection): (Track, bool),
    packet: &Packet<'_>,
    flow: &mut FlowState,
    shared: &Shared,
    now_ns: u64,
    count: impl FnOnce(&mut Counter) -> (u64, Told),
) -> Told {
    let hosts: (Option<IpAddr>, Option<IpAddr>) = match track {
        Track::Source => (Some(packet.source), None),
        Track::Destination => (None, Some(packet.destination)),
        // both directions between two hosts count as one
        Track::Both => {
            let (a, b) = (packet.source, packet.destination);
            (Some(a.min(b)), Some(a.max(b)))
        }
        Track::Rule => (None, None),
        Track::Flow => return count(flow.counter((rule.gid, rule.sid), detection, now_ns)).1,
    };
    let key = CountKey { rule: (rule.gid, rule.sid), detection, hosts };
    shared.counts.change(key, now_ns, || Counter::begin(now_ns), count)
}

impl FlowState {
    /// The count that a rule keeps by flow.
    fn counter(&mut self, rule: (u32, u32), detection: bool, now_ns: u64) -> &mut Counter {
        let at = self.counters.iter().position(|(of, _)| *of == (rule, detection)).unwrap_or_else(|| {
            self.counters.push(((rule, detection), Counter::begin(now_ns)));
            self.counters.len() - 1
        });
        &mut self.counters[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(kind: ThresholdKind, count: u32, times_s: &[u64]) -> Vec<Told> {
        let threshold = Threshold { kind, track: Track::Source, count, seconds: 60 };
        let mut counter = Counter::begin(0);
        times_s.iter().map(|time| counter.threshold(&threshold, time * 1_000_000_000).1).collect()
    }

    #[test]
    fn kinds() {
        use Told::{No, Silent, Yes};
        assert_eq!(series(ThresholdKind::Limit, 1, &[0, 1, 60, 61, 62]), [Yes, Silent, Silent, Yes, Silent]);
        assert_eq!(series(ThresholdKind::Threshold, 2, &[0, 1, 2, 3, 70]), [No, Yes, No, Yes, No]);
        assert_eq!(series(ThresholdKind::Both, 2, &[0, 1, 60, 61, 62]), [No, Yes, Silent, No, Yes]);
        let backoff = ThresholdKind::Backoff { multiplier: 2 };
        assert_eq!(series(backoff, 1, &[0, 1, 2, 3, 4]), [Yes, Yes, Silent, Yes, Silent]);
    }

    #[test]
    fn detection_beyond_a_rate() {
        let detection = Detection { track: Track::Source, count: 2, seconds: 10 };
        let mut counter = Counter::begin(0);
        let told: Vec<_> = [0, 1, 10, 10, 20].map(|time| counter.detection(&detection, time * 1_000_000_000).1).into();
        assert_eq!(told, [Told::No, Told::No, Told::Yes, Told::Yes, Told::No]);
    }
}
