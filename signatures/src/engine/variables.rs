//! What rules have set of a flow: bits, numbers, and what groups of expressions have captured. They outlive rulesets.

use std::{collections::HashMap, sync::Arc};

use smallvec::SmallVec;

use crate::{
    buffer::Buffer,
    rule::{BitAction, Condition, Effect, Flowbits, Flowint, FlowintOp, IntValue, Rule},
};

/// Captures of a flow, and bytes of one, at most.
const MOST_CAPTURED: usize = 32;
const LONGEST_CAPTURED: usize = 1024;

/// What rules have set of a flow. Bits and numbers are held by the hashes of their names: [`Names`] has those.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    bits: SmallVec<[u64; 4]>,
    numbers: SmallVec<[(u64, u32); 1]>,
    captured: Vec<(Box<str>, Box<[u8]>)>,
    entropies: Vec<(Buffer, f64)>,
    changes: u32,
}

impl Variables {
    /// Goes up whenever anything changes.
    pub const fn changes(&self) -> u32 {
        self.changes
    }

    /// Bits that are set, in the order in which they were.
    pub fn bits<'a>(&self, names: &'a Names) -> impl Iterator<Item = &'a Arc<str>> {
        self.bits.iter().filter_map(|bit| names.0.get(bit))
    }

    /// Numbers that were set.
    pub fn numbers<'a>(&self, names: &'a Names) -> impl Iterator<Item = (&'a Arc<str>, u32)> {
        self.numbers.iter().filter_map(|(name, number)| Some((names.0.get(name)?, *number)))
    }

    /// What `pcre` has captured, by the names that rules give it (`flow:name`).
    pub fn captured(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.captured.iter().map(|(name, bytes)| (&**name, &**bytes))
    }

    /// Of buffers that rules have asked for their entropy: the last one computed.
    pub fn entropies(&self) -> &[(Buffer, f64)] {
        &self.entropies
    }

    pub(super) fn note_entropy(&mut self, buffer: Buffer, entropy: f64) {
        match self.entropies.iter_mut().find(|(known, _)| *known == buffer) {
            Some((_, held)) if *held == entropy => return,
            Some((_, held)) => *held = entropy,
            None => self.entropies.push((buffer, entropy)),
        }
        self.changes = self.changes.wrapping_add(1);
    }

    /// Keeps what was captured, as much of it as there is room for.
    pub(super) fn capture(&mut self, name: &str, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(LONGEST_CAPTURED)];
        let room = self.captured.len() < MOST_CAPTURED;
        match self.captured.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, held)) if **held == *bytes => return,
            Some((_, held)) => *held = bytes.into(),
            None if room => self.captured.push((name.into(), bytes.into())),
            None => return,
        }
        self.changes = self.changes.wrapping_add(1);
    }

    /// Bytes of memory that it takes beside itself, about.
    pub(super) fn footprint(&self) -> usize {
        self.captured.iter().map(|(name, bytes)| 32 + name.len() + bytes.len()).sum()
    }

    /// Does or asks what a rule says of bits: whether it holds.
    pub(super) fn flowbits(&mut self, flowbits: &Flowbits) -> bool {
        let mut names = flowbits.names.iter().map(|name| name_hash(name));
        match flowbits.action {
            BitAction::IsSet => names.any(|name| self.bits.contains(&name)),
            BitAction::IsNotSet => names.all(|name| !self.bits.contains(&name)),
            action => {
                names.for_each(|name| {
                    self.changes = self.changes.wrapping_add(change(&mut self.bits, name, action).into())
                });
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
        self.changes = self.changes.wrapping_add((now != Some(new)).into());
        match self.numbers.iter_mut().find(|(of, _)| *of == name) {
            Some((_, number)) => *number = new,
            None => self.numbers.push((name, new)),
        }
        true
    }
}

/// Names of bits and numbers that rules have, by their hashes.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<u64, Arc<str>>);

impl Names {
    /// Those of rules.
    pub(super) fn of(rules: &[Arc<Rule>]) -> Self {
        let conditions = rules.iter().flat_map(|rule| &rule.conditions).flat_map(|condition| match condition {
            Condition::Flowbits(flowbits) => &flowbits.names[..],
            Condition::Flowint(flowint) => std::slice::from_ref(&flowint.name),
            _ => &[],
        });
        let effects = rules.iter().flat_map(|rule| &rule.effects).flat_map(|effect| match effect {
            Effect::Flowbits(flowbits) => &flowbits.names[..],
            Effect::Flowint(flowint) => std::slice::from_ref(&flowint.name),
            _ => &[],
        });
        Self(conditions.chain(effects).map(|name| (name_hash(name), Arc::clone(name))).collect())
    }
}

/// Changes a bit: whether it was another one. They stay in the order in which they were set.
pub(super) fn change<A: smallvec::Array<Item = u64>>(bits: &mut SmallVec<A>, name: u64, action: BitAction) -> bool {
    let at = bits.iter().position(|bit| *bit == name);
    match (action, at) {
        (BitAction::Set | BitAction::Toggle, None) => bits.push(name),
        (BitAction::Unset | BitAction::Toggle, Some(at)) => _ = bits.remove(at),
        _ => return false,
    }
    true
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
        let mut state = Variables::default();
        let bits =
            |action, names: &[&str]| Flowbits { action, names: names.iter().map(|name| (*name).into()).collect() };
        assert!(state.flowbits(&bits(BitAction::IsNotSet, &["a", "b"])));
        state.flowbits(&bits(BitAction::Set, &["a"]));
        assert!(state.flowbits(&bits(BitAction::IsSet, &["b", "a"])));
        assert!(!state.flowbits(&bits(BitAction::IsNotSet, &["a", "b"])));
        state.flowbits(&bits(BitAction::Toggle, &["a"]));
        assert!(!state.flowbits(&bits(BitAction::IsSet, &["a"])));
        state.flowbits(&bits(BitAction::Set, &["a"]));
        assert_eq!(state.changes(), 3);
    }

    #[test]
    fn numbers() {
        let mut state = Variables::default();
        let int = |op| Flowint { name: "count".into(), op };
        assert!(state.flowint(&int(FlowintOp::IsNotSet)));
        assert!(!state.flowint(&int(FlowintOp::Less(IntValue::Number(1)))));
        assert!(state.flowint(&int(FlowintOp::Add(IntValue::Number(2)))));
        assert!(state.flowint(&int(FlowintOp::Equal(IntValue::Number(2)))));
        assert!(state.flowint(&int(FlowintOp::Subtract(IntValue::Variable("count".into())))));
        assert!(state.flowint(&int(FlowintOp::Equal(IntValue::Number(0)))));
        assert!(!state.flowint(&int(FlowintOp::Set(IntValue::Variable("other".into())))));
    }

    #[test]
    fn what_is_captured_is_bounded() {
        let mut state = Variables::default();
        state.capture("a", &[b'x'; 5000]);
        state.capture("a", b"y");
        (0..100).for_each(|number| state.capture(&number.to_string(), b"z"));
        let all: Vec<_> = state.captured().map(|(name, bytes)| (name, bytes.len())).collect();
        assert_eq!((all.len(), all[0], all[1]), (MOST_CAPTURED, ("a", 1), ("0", 1)));
    }
}
