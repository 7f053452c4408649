//! In which order rules are asked: that of Suricata. What sets a bit comes before what asks for it.

use std::cmp::Reverse;

use crate::rule::{Action, BitAction, Condition, Effect, FlowintOp, Rule};

/// In which order actions come: the rank of `pass`, `drop`, `reject` and `alert`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActionOrder([u8; 4]);

impl Default for ActionOrder {
    fn default() -> Self {
        Self([0, 1, 2, 3])
    }
}

impl ActionOrder {
    /// What rules call these, in the order that is the default.
    pub const WORDS: [&str; 4] = ["pass", "drop", "reject", "alert"];

    /// The order in which these words stand; `None`: they are not each of [`ActionOrder::WORDS`] once.
    pub fn of(words: &[&str]) -> Option<Self> {
        let rank = |word| words.iter().position(|named| *named == word).and_then(|at| u8::try_from(at).ok());
        let [pass, drop, reject, alert] = Self::WORDS.map(rank);
        (words.len() == 4).then_some(Self([pass?, drop?, reject?, alert?]))
    }

    /// The actions in this order.
    pub fn words(self) -> [&'static str; 4] {
        let mut ranked: Vec<(u8, &str)> = self.0.into_iter().zip(Self::WORDS).collect();
        ranked.sort_unstable();
        std::array::from_fn(|at| ranked[at].1)
    }

    const fn rank(self, action: Action) -> u8 {
        let [pass, drop, reject, alert] = self.0;
        match action {
            Action::Pass => pass,
            Action::Drop => drop,
            Action::Reject(_) => reject,
            Action::Alert => alert,
        }
    }
}

/// Sorts rules: by action, then by what they do with bits and numbers, then by priority, and then as they stand.
pub fn sort(rules: &mut [Rule], order: ActionOrder) {
    rules.sort_by_key(|rule| {
        (order.rank(rule.action), Reverse(bits(rule)), Reverse(numbers(rule)), Reverse(hosts(rule)), rule.priority)
    });
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
