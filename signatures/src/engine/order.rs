//! In which order rules are asked: that of Suricata. What sets a bit comes before what asks for it.

use std::cmp::Reverse;

use crate::rule::{Action, BitAction, Condition, Effect, FlowintOp, Rule};

/// Sorts rules: by action, then by what they do with bits and numbers, then by priority, and then as they stand.
pub fn sort(rules: &mut [Rule]) {
    rules.sort_by_key(|rule| {
        (action(rule.action), Reverse(bits(rule)), Reverse(numbers(rule)), Reverse(hosts(rule)), rule.priority)
    });
}

/// `pass` comes first, and `alert` last.
pub const fn action(action: Action) -> u8 {
    match action {
        Action::Pass => 0,
        Action::Drop => 1,
        Action::Reject(_) => 2,
        Action::Alert => 3,
    }
}

/// Setting, asking and setting, asking, neither.
const fn rank(asks: bool, sets: bool) -> u8 {
    match (asks, sets) {
        (false, true) => 3,
        (true, true) => 2,
        (true, false) => 1,
        (false, false) => 0,
    }
}

fn bits(rule: &Rule) -> u8 {
    let asks = rule.conditions.iter().any(|condition| matches!(condition, Condition::Flowbits(_)));
    let sets = rule.effects.iter().any(|effect| matches!(effect, Effect::Flowbits(_)));
    rank(asks, sets)
}

fn numbers(rule: &Rule) -> u8 {
    let asks = rule.conditions.iter().any(|condition| match condition {
        Condition::Flowint(flowint) => {
            !matches!(flowint.op, FlowintOp::Set(_) | FlowintOp::Add(_) | FlowintOp::Subtract(_))
        }
        _ => false,
    });
    let sets = rule.effects.iter().any(|effect| matches!(effect, Effect::Flowint(_)));
    rank(asks, sets)
}

fn hosts(rule: &Rule) -> u8 {
    let asks = rule.conditions.iter().any(|condition| match condition {
        Condition::Xbits(bits) | Condition::Hostbits(bits) => {
            matches!(bits.action, BitAction::IsSet | BitAction::IsNotSet)
        }
        _ => false,
    });
    let sets = rule.effects.iter().any(|effect| matches!(effect, Effect::Xbits(_) | Effect::Hostbits(_)));
    rank(asks, sets)
}
