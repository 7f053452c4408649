//! What a run came to.

use super::line::Line;
use crate::view::text;
use dropgate_abi::{
    reason::{Kind, Reason},
    walk::{Walk, action},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Summary {
    pub packets: u64,
    pub passed: u64,
    pub dropped: u64,
    pub skipped: u64,
    /// Packets that could not be judged, and captures that could not be read to their end.
    pub errors: u64,
    /// Passes without a reason that explains them: each one is a defect.
    pub unexplained: u64,
    /// Packets by reason, skips included.
    pub reasons: BTreeMap<String, u64>,
}

impl Summary {
    /// Counts a packet.
    pub fn count(&mut self, line: &Line, walk: Option<&Walk>) {
        *self.reasons.entry(line.reason.clone()).or_default() += 1;
        *match line.action {
            "pass" => &mut self.passed,
            "drop" => &mut self.dropped,
            "skip" => &mut self.skipped,
            _ => &mut self.errors,
        } += 1;
        if walk.is_some_and(unexplained) {
            self.unexplained += 1;
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let mut table = text::Table::new(&["reason", ">packets"]);
        for (reason, count) in reasons {
            table.row([reason.clone(), count.to_string()]);
        }
        write!(
            f,
            "{} packets: {} passed, {} dropped, {} skipped, {} errors, {} unexplained\n\n{table}",
            self.packets, self.passed, self.dropped, self.skipped, self.errors, self.unexplained
        )
    }
}

/// Whether a verdict lacks what explains it: a pass for a reason that is none, a pass by a service without its line, a
/// verdict that is neither pass nor drop, or the reason of last resort.
pub fn unexplained(walk: &Walk) -> bool {
    let Some(info) = walk.reason.info() else {
        return true;
    };
    if walk.reason == Reason::internal || !matches!(walk.action, action::PASS | action::DROP | action::HOLD) {
        return true;
    }
    match info.kind {
        Kind::Drop | Kind::AnomalyDrop => walk.action == action::PASS,
        Kind::Pass => walk.action == action::DROP || walk.reason == Reason::allowed && walk.line == 0,
        Kind::Anomaly | Kind::Error => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_must_explain_itself() {
        let pass = |reason, line| Walk { action: action::PASS, reason, line, ..Walk::default() };
        assert!(!unexplained(&pass(Reason::allowed, 3)));
        assert!(!unexplained(&pass(Reason::arp, 0)));
        assert!(unexplained(&pass(Reason::allowed, 0)));
        assert!(unexplained(&pass(Reason::not_allowed, 0)));
        assert!(unexplained(&pass(Reason::internal, 0)));
        assert!(unexplained(&pass(Reason(9999), 0)));
        assert!(unexplained(&Walk { reason: Reason::land, ..Walk::default() }));
        assert!(!unexplained(&Walk { action: action::DROP, reason: Reason::land, ..Walk::default() }));
    }
}
