//! What rules have found out about a flow.

use smallvec::SmallVec;

use super::{Variables, Verdict, threshold::Counter};
use crate::{
    protocol::App,
    rule::{Flowbits, Flowint},
};

/// Rules that wait for more of a stream, at most. Beyond them those that have waited longest are given up.
pub(super) const MOST_WAITING: usize = 512;

/// What rules have found out about a flow. Bits and numbers are kept by name and outlive rulesets; what matchers have seen
/// begins anew with another one.
#[derive(Clone, Debug, Default)]
pub struct FlowState {
    /// Which ruleset the rest is of.
    pub(super) ruleset: u64,
    /// IANA's number of its protocol; 0: not known yet.
    pub(super) protocol: u8,
    pub(super) variables: Variables,
    pub(super) counters: SmallVec<[Kept; 1]>,
    /// Rules about addresses alone were asked, by direction.
    pub(super) addresses_asked: [bool; 2],
    /// What was spoken when rules about that were asked.
    pub(super) apps_asked: [Option<App>; 2],
    pub(super) streams: [StreamState; 2],
    pub(super) transactions: Vec<TransactionState>,
    /// What was said of the flow as a whole.
    pub(super) verdict: Verdict,
    pub(super) bypassed: bool,
}

/// A rule's count by flow: gid and sid, whether it is of a `detection_filter`.
type Kept = (((u32, u32), bool), Counter);

/// How far a direction of the stream was looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamState {
    /// Place behind the last byte.
    pub seen: u64,
    /// Rules whose fast pattern was seen and that did not hold yet, by number.
    pub waiting: Vec<WaitingForMore>,
    /// Rules that have matched: what they are asked about begins here.
    pub matched: Vec<(u32, u64)>,
}

/// A rule that waits for more of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingForMore {
    pub rule: u32,
    /// Where its fast pattern ended last.
    pub end: u64,
    pub missing: Option<Missing>,
}

/// Why a rule did not hold: a content that was not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Missing {
    /// Which of what the rule looks for, by index.
    pub condition: u8,
    pub step: u16,
    /// Place behind the bytes in which it was not.
    pub seen: u64,
}

/// The place of rules that are asked of a transaction as a whole, behind those of either direction.
pub(super) const BOTH: usize = 2;

/// What is known of a transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct TransactionState {
    pub id: u64,
    /// Of either direction when it was asked about last; `None`: never.
    pub revisions: [Option<u32>; 2],
    /// Events that were looked at, by direction.
    pub events: [usize; 2],
    pub complete: [bool; 2],
    /// How far buffers were looked at.
    pub scans: SmallVec<[Scan; 4]>,
    /// Lists of buffers to which nothing will be added, by number.
    pub done: SmallVec<[u64; 2]>,
    /// Rules that may yet match, by number: of either direction, and of the whole ([`BOTH`]).
    pub waiting: [Vec<Waiting>; 3],
    /// Rules that have matched, likewise.
    pub matched: [SmallVec<[u32; 2]>; 3],
    /// `xbits` of it.
    pub bits: SmallVec<[u64; 1]>,
}

/// How far a buffer was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    pub list: u16,
    pub instance: usize,
    pub seen: usize,
}

/// A rule that waits for more of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub rule: u32,
    /// Which of its conditions hold.
    pub met: u64,
    /// Of a buffer that grows.
    pub missing: Option<Missing>,
}

impl FlowState {
    /// The conversation has changed into another one (STARTTLS, upgrades): numbers of transactions begin anew.
    pub fn begin_conversation(&mut self) {
        self.transactions.clear();
    }

    /// Another ruleset asks from here on.
    pub(super) fn adopt(&mut self, ruleset: u64) {
        if self.ruleset != ruleset {
            self.ruleset = ruleset;
            if matches!(self.verdict, Verdict::Pass(_)) {
                self.verdict = Verdict::Continue;
            }
            // what is remembered is looked at once more: what began under one ruleset may end under another
            self.streams = Default::default();
            for transaction in &mut self.transactions {
                *transaction =
                    TransactionState { id: transaction.id, bits: transaction.bits.clone(), ..Default::default() };
            }
        }
    }

    /// Does or asks what a rule says of bits: whether it holds.
    pub(super) fn flowbits(&mut self, flowbits: &Flowbits) -> bool {
        self.variables.flowbits(flowbits)
    }

    /// Does or asks what a rule says of a number: whether it holds.
    pub(super) fn flowint(&mut self, flowint: &Flowint) -> bool {
        self.variables.flowint(flowint)
    }

    /// Bits, numbers and captures that rules have set, by name.
    pub const fn variables(&self) -> &Variables {
        &self.variables
    }

    /// What was said of the flow as a whole.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// A rule with `bypass` has matched.
    pub const fn is_bypassed(&self) -> bool {
        self.bypassed
    }

    /// Bytes of memory that it takes beside itself, about.
    pub fn footprint(&self) -> usize {
        let streams: usize =
            self.streams.iter().map(|stream| (stream.waiting.capacity() + stream.matched.capacity()) * 16).sum();
        let of = |transaction: &TransactionState| {
            let waiting: usize = transaction.waiting.iter().map(Vec::capacity).sum();
            size_of::<TransactionState>() + waiting * size_of::<Waiting>()
        };
        streams + self.variables.footprint() + self.transactions.iter().map(of).sum::<usize>()
    }
}
