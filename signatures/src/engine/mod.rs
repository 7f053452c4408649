//! Rules, ready to be matched.
//!
//! A [`Ruleset`] never changes and is shared by all threads. What is remembered from one packet to the next lies outside of
//! it: for a flow in [`FlowState`], for all flows in [`Shared`]. [`Scratch`] is a thread's own working memory.
//!
//! Rules are sorted by what they are asked about ([`Kind`]), put into groups, and in each group found by their fast patterns;
//! what is found is verified in the order in which Suricata asks rules.

mod address;
mod compile;
mod datagrams;
mod explain;
mod fast;
mod fields;
mod flow;
mod groups;
mod hosts;
mod inspect;
mod kind;
mod matcher;
mod order;
mod outcome;
mod packet;
mod parsers;
mod report;
mod round;
mod shared;
mod stream;
mod table;
mod threshold;
mod transaction;
mod transform;
mod variables;
pub(crate) mod verify;

use std::sync::Arc;

pub(crate) use self::kind::is_of_transaction;
#[doc(hidden)]
pub use self::matcher::{Matcher, Pattern, Scanned};
pub use self::{
    datagrams::{Datagram, Fast},
    explain::{Explained, Failed, Why},
    flow::FlowState,
    kind::Kind,
    order::ActionOrder,
    report::Report,
    round::Scratch,
    shared::Shared,
    variables::{Names, Variables},
};
use crate::{
    rule::{Ends, Rule},
    subject::{Direction, Flow},
};

/// Compiled rules.
#[derive(Debug, Default)]
pub struct Ruleset {
    rules: Vec<Arc<Rule>>,
    names: Names,
    index: compile::Index,
    /// Unlike that of any other; 0: of no rules.
    id: u64,
}

/// A rule has matched.
#[derive(Clone, Debug)]
pub struct Alert {
    pub rule: Arc<Rule>,
    /// In which transaction.
    pub transaction: Option<u64>,
    /// It matched the stream rather than the packet.
    pub in_stream: bool,
    /// Who says what it matched. Of a transaction that is over rules of the other direction than the packet's are asked too.
    pub direction: Direction,
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
    /// The rule for which the packet is dropped, by index. Nobody need be told of it.
    pub dropped_by: Option<u32>,
    /// What `pcre` has captured of the packet (`pkt:name`).
    pub captured: Vec<(Arc<str>, Box<[u8]>)>,
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

/// Bytes of a stream that are remembered for rules that look back.
const LOOK_BACK: usize = 8 << 10;

impl Ruleset {
    /// Its rules, in the order in which they are asked.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Names of the bits and numbers that its rules have.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Whether any rule asks for digests of files.
    pub const fn asks_digests(&self) -> bool {
        self.index.digests
    }

    /// What rules can still say anything about, of one direction of a flow from here on. Ports are the packet's: source,
    /// destination.
    pub fn wants(&self, flow: &Flow, direction: Direction, ports: (u16, u16), state: &FlowState) -> Wants {
        if state.ruleset == self.id && state.verdict != Verdict::Continue {
            return Wants::default();
        }
        self.index.wants(flow, direction as usize, ports, state)
    }
}

#[cfg(test)]
mod tests;
