//! What the inspector has done, counted for whoever asks.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use dropgate_abi::reason::{REASON_SLOTS, Reason};
use dropgate_signatures::rule::{Action, Rule};

use crate::{events::LimitedRules, inspect::Alerted};

/// What the inspector is made of, and what it takes.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub workers: usize,
    /// Sockets that packets are held on, and those among them whose memory the driver reads and writes itself.
    pub sockets: usize,
    pub zero_copy: usize,
    /// Bytes that flows under inspection take.
    pub memory: u64,
}

/// What the inspector has done so far.
#[derive(Default, Debug)]
pub struct Totals {
    /// Packets and bytes of frames that came to userspace.
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
    pub released: AtomicU64,
    /// Packets that one worker received and another one inspected.
    pub handed: AtomicU64,
    /// Packets that waited for what was missing before them.
    pub kept: AtomicU64,
    /// Frames that waited and ended here: with their flow, or because what was missing before them never came.
    pub discarded: AtomicU64,
    /// Packets that could not be released, because the kernel did not take them.
    pub lost: AtomicU64,
    /// Flows that left inspection.
    pub settled: AtomicU64,
    /// Flows under inspection.
    pub flows: AtomicU64,
    /// Packets that the kernel dropped at the sockets; credits are there to keep this at zero.
    pub dropped: AtomicU64,
    /// Alerts of rules: those that let the packet pass, dropped it, and told its ends.
    pub alerts: [AtomicU64; 3],
    limited: Mutex<LimitedRules>,
    /// Packets and bytes that ended here, by reason.
    reasons: Reasons,
}

/// Packets and bytes by number of the reason.
#[derive(Debug)]
struct Reasons(Box<[[AtomicU64; 2]]>);

impl Default for Reasons {
    fn default() -> Self {
        Self((0..REASON_SLOTS).map(|_| Default::default()).collect())
    }
}

impl Totals {
    /// Counts a packet that was to be released, by whether the kernel took it.
    pub(super) fn sent(&self, taken: bool) {
        let counter = if taken { &self.released } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, reason: Reason, bytes: usize) {
        if let Some([packets, sum]) = self.reasons.0.get(usize::from(reason.0)) {
            packets.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Counts an alert.
    pub(super) fn alert(&self, alert: &Alerted) {
        let done = match (alert.blocked, alert.rule.action) {
            (false, _) => 0,
            (true, Action::Reject(_)) => 2,
            (true, _) => 1,
        };
        self.alerts[done].fetch_add(1, Ordering::Relaxed);
    }

    /// See [`LimitedRules::note`]. Rules hardly ever do: nobody waits here.
    pub(super) fn limited(&self, rule: &Rule, now_ns: u64) -> Option<u64> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner).note(rule, now_ns)
    }

    /// See [`LimitedRules::worst`].
    pub fn worst_limited(&self, most: usize) -> Vec<((u32, u32), u64)> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner).worst(most)
    }

    /// Packets and bytes that ended here for a reason.
    pub fn reason(&self, reason: Reason) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.reasons.0.get(usize::from(reason.0)).map_or((0, 0), |[packets, bytes]| (read(packets), read(bytes)))
    }
}
