//! Rules, ready to be matched.
//!
//! A [`Ruleset`] never changes and is shared by all threads. What is remembered from one packet to the next lies outside of
//! it: for a flow in [`FlowState`], for all flows in [`Shared`]. [`Scratch`] is a thread's own working memory.

use std::sync::Arc;

use crate::{
    rule::{Ends, Rule},
    subject::{Direction, Flow, Subject},
};

/// Compiled rules.
#[derive(Debug, Default)]
pub struct Ruleset {
    rules: Vec<Arc<Rule>>,
}

/// What rules have found out about a flow.
#[derive(Debug, Default)]
pub struct FlowState {}

impl FlowState {
    /// The conversation has changed into another one (STARTTLS, upgrades): numbers of transactions begin anew.
    pub fn begin_conversation(&mut self) {}
}

/// What rules remember of hosts and of themselves: `xbits`, `hostbits`, thresholds, datasets. It outlives rulesets.
#[derive(Debug, Default)]
pub struct Shared {}

/// Working memory of a thread.
#[derive(Debug, Default)]
pub struct Scratch {}

/// A rule has matched.
#[derive(Clone, Debug)]
pub struct Alert {
    pub rule: Arc<Rule>,
    /// In which transaction.
    pub transaction: Option<u64>,
    /// It matched the stream rather than the packet.
    pub in_stream: bool,
    /// A threshold says that nobody is to be told; its action counts all the same.
    pub silent: bool,
}

/// What rules say of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Verdict {
    #[default]
    Continue,
    /// `pass`: no other rule is asked about this packet; with `true`: nor about its flow.
    Pass(bool),
    /// The packet is dropped; with `true`, so is its flow.
    Drop(bool),
    Reject(Ends, bool),
}

/// What came of a packet. Reused from one to the next.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub alerts: Vec<Alert>,
    pub verdict: Verdict,
    /// Rules whose limits of work were hit, by index.
    pub limited: Vec<u32>,
}

/// What of a flow the rules can still say anything about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// Packets by themselves.
    pub packets: bool,
    /// What is said on the stream, and how many of its last bytes are to be remembered.
    pub stream: Option<usize>,
    /// What parsers make of it.
    pub transactions: bool,
}

impl Ruleset {
    /// Its rules.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Shows it a packet and what that has brought.
    pub fn inspect(
        &self,
        _subject: &Subject<'_>,
        _flow: &mut FlowState,
        _shared: &Shared,
        _scratch: &mut Scratch,
        out: &mut Outcome,
    ) {
        out.alerts.clear();
        out.limited.clear();
        out.verdict = Verdict::Continue;
    }

    /// What rules can still say anything about, of one direction of a flow from here on.
    pub fn wants(&self, _flow: &Flow, _direction: Direction, _ports: (u16, u16), _state: &FlowState) -> Wants {
        Wants::default()
    }
}
