//! Which rules were candidates, and what they failed at.

use super::{FlowState, Outcome, Ruleset, Scratch, Shared};
use crate::subject::Subject;

/// A rule that was a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explained {
    /// Its index in [`Ruleset::rules`].
    pub rule: u32,
    pub transaction: Option<u64>,
    /// What did not hold first; `None`: it has matched.
    pub failed: Option<Failed>,
}

/// What did not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    Protocol,
    /// Something else is spoken, or it is not known yet.
    App,
    /// `flow`: direction, established, fragments.
    Flow,
    Addresses,
    Ports,
    /// One of the rule's conditions, by index.
    Condition(u16),
}

impl Ruleset {
    /// Does what [`Ruleset::inspect`] does, and tells of every candidate what became of it. Shown a clone of the flow's state and a
    /// [`Shared`] of its own it changes nothing.
    pub fn explain(
        &self,
        subject: &Subject<'_>,
        flow: &mut FlowState,
        shared: &Shared,
        scratch: &mut Scratch,
        out: &mut Outcome,
    ) -> Vec<Explained> {
        scratch.trace = Some(Vec::new());
        self.inspect(subject, flow, shared, scratch, out);
        scratch.trace.take().unwrap_or_default()
    }
}
