//! What rules have found out about a flow.

use smallvec::SmallVec;

use super::{Verdict, threshold::Counter};
use crate::{
    protocol::App,
    rule::{BitAction, Flowbits, Flowint, FlowintOp, IntValue},
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
    bits: SmallVec<[u64; 4]>,
    numbers: SmallVec<[(u64, u32); 1]>,
    pub(super) counters: SmallVec<[Kept; 1]>,
    /// Rules about addresses alone were asked, by direction.
    pub(super) addresses_asked: [bool; 2],
    /// What was spoken when rules about that were asked.
    pub(super) apps_asked: [Option<App>; 2],
    pub(super) streams: [StreamState; 2],
    pub(super) transactions: Vec<TransactionState>,
    /// What was said of the flow as a whole.
    pub(super) verdict: Verdict,
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
        let mut names = flowbits.names.iter().map(|name| name_hash(name));
        match flowbits.action {
            BitAction::IsSet => names.any(|name| self.bits.contains(&name)),
            BitAction::IsNotSet => names.all(|name| !self.bits.contains(&name)),
            action => {
                names.for_each(|name| change(&mut self.bits, name, action));
                true
            }
        }
    }

    /// Does or asks what a rule says of a number: whether it holds. A number that was never set holds of nothing but `isnotset`.
    pub(super) fn flowint(&mut self, flowint: &Flowint) -> bool {
        let name = name_hash(&flowint.name);
        let number = |name: u64| self.numbers.iter().find(|(of, _)| *of == name).map(|(_, number)| *number);
        let value = |value: &IntValue| match value {
            IntValue::Number(value) => Some(*value),
            IntValue::Variable(name) => number(name_hash(name)),
        };
        let now = number(name);
        let compare = |to: &IntValue, holds: fn(&u32, &u32) -> bool| {
            now.zip(value(to)).is_some_and(|(now, than)| holds(&now, &than))
        };
        let new = match &flowint.op {
            FlowintOp::IsSet => return now.is_some(),
            FlowintOp::IsNotSet => return now.is_none(),
            FlowintOp::Less(than) => return compare(than, u32::lt),
            FlowintOp::LessOrEqual(than) => return compare(than, u32::le),
            FlowintOp::Equal(than) => return compare(than, u32::eq),
            FlowintOp::NotEqual(than) => return compare(than, u32::ne),
            FlowintOp::GreaterOrEqual(than) => return compare(than, u32::ge),
            FlowintOp::Greater(than) => return compare(than, u32::gt),
            FlowintOp::Set(to) => value(to),
            FlowintOp::Add(by) => value(by).map(|by| now.unwrap_or(0).wrapping_add(by)),
            FlowintOp::Subtract(by) => value(by).map(|by| now.unwrap_or(0).wrapping_sub(by)),
        };
        let Some(new) = new else { return false };
        match self.numbers.iter_mut().find(|(of, _)| *of == name) {
            Some((_, number)) => *number = new,
            None => self.numbers.push((name, new)),
        }
        true
    }

    /// Bytes of memory that it takes beside itself, about.
    pub fn footprint(&self) -> usize {
        let streams: usize =
            self.streams.iter().map(|stream| (stream.waiting.capacity() + stream.matched.capacity()) * 16).sum();
        let of = |transaction: &TransactionState| {
            let waiting: usize = transaction.waiting.iter().map(Vec::capacity).sum();
            size_of::<TransactionState>() + waiting * size_of::<Waiting>()
        };
        streams + self.transactions.iter().map(of).sum::<usize>()
    }
}

/// Changes a bit.
pub(super) fn change<A: smallvec::Array<Item = u64>>(bits: &mut SmallVec<A>, name: u64, action: BitAction) {
    let at = bits.iter().position(|bit| *bit == name);
    match (action, at) {
        (BitAction::Set | BitAction::Toggle, None) => bits.push(name),
        (BitAction::Unset | BitAction::Toggle, Some(at)) => {
            bits.swap_remove(at);
        }
        _ => {}
    }
}

/// A name as flows hold it.
pub(super) fn name_hash(name: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        let mut state = FlowState::default();
        let bits =
            |action, names: &[&str]| Flowbits { action, names: names.iter().map(|name| (*name).into()).collect() };
        assert!(state.flowbits(&bits(BitAction::IsNotSet, &["a", "b"])));
        state.flowbits(&bits(BitAction::Set, &["a"]));
        assert!(state.flowbits(&bits(BitAction::IsSet, &["b", "a"])));
        assert!(!state.flowbits(&bits(BitAction::IsNotSet, &["a", "b"])));
        state.flowbits(&bits(BitAction::Toggle, &["a"]));
        assert!(!state.flowbits(&bits(BitAction::IsSet, &["a"])));
        state.flowbits(&bits(BitAction::Set, &["a"]));
        state.adopt(7);
        assert!(state.flowbits(&bits(BitAction::IsSet, &["a"])));
    }

    #[test]
    fn numbers() {
        let mut state = FlowState::default();
        let int = |op| Flowint { name: "count".into(), op };
        assert!(state.flowint(&int(FlowintOp::IsNotSet)));
        assert!(!state.flowint(&int(FlowintOp::Less(IntValue::Number(1)))));
        assert!(state.flowint(&int(FlowintOp::Add(IntValue::Number(2)))));
        assert!(state.flowint(&int(FlowintOp::Equal(IntValue::Number(2)))));
        assert!(state.flowint(&int(FlowintOp::Subtract(IntValue::Variable("count".into())))));
        assert!(state.flowint(&int(FlowintOp::Equal(IntValue::Number(0)))));
        assert!(!state.flowint(&int(FlowintOp::Set(IntValue::Variable("other".into())))));
    }
}
