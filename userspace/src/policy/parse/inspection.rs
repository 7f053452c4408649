//! `[inspection]` and `[failure]`.

use std::time::Duration;

use toml::de::DeValue;

use super::{Parser, section::Section, value::Value};
use crate::policy::{
    codes,
    diagnostic::quoted,
    model::{Answer, Failure, Inspection},
};

/// Fewest and most packets held on one receive queue.
const HELD: std::ops::RangeInclusive<u64> = 64..=16_384;
/// Most bytes that a depth may name.
const DEEPEST: u64 = 1 << 40;

impl Parser {
    pub(super) fn inspection(&mut self, mut section: Section<'_>) -> Inspection {
        let mut inspection = Inspection::default();
        if let Some(depth) = section.get("depth").and_then(|value| self.depth(value)) {
            inspection.depth = depth;
        }
        if let Some(held) = section.get("held").and_then(|v| self.integer(v, HELD, "number of held packets")) {
            inspection.held = held as u32;
        }
        if let Some(late) = section.get("late").and_then(|v| self.duration(v, Duration::from_millis(50))) {
            inspection.late = late;
        }
        section.finish(self);
        inspection
    }

    /// A number of bytes, or `"unlimited"`, which is `None`.
    fn depth(&mut self, value: Value<'_>) -> Option<Option<u64>> {
        let expected = "bytes with a unit such as `\"64KiB\"` or `\"1MiB\"`, or `\"unlimited\"`";
        if matches!(value.get_ref(), DeValue::String(text) if text == "unlimited") {
            return Some(None);
        }
        let (text, at) = self.string(value, expected)?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "B" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        let bytes = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift));
        let found = bytes.filter(|bytes| (1..=DEEPEST).contains(bytes));
        if found.is_none() {
            self.add_expected(&codes::RANGE, at, format!("{} is no depth", quoted(text)), expected);
        }
        found.map(Some)
    }

    pub(super) fn failure(&mut self, mut section: Section<'_>) -> Failure {
        let words = [("drop", Answer::Drop), ("pass", Answer::Pass)];
        let mut failure = Failure::default();
        for (key, place) in [
            ("inspector", &mut failure.inspector),
            ("credits", &mut failure.credits),
            ("too_long", &mut failure.too_long),
        ] {
            let value = section.get(key);
            if let Some(answer) = value.and_then(|value| self.choice(value, "answer", &words)) {
                *place = answer;
            }
        }
        section.finish(self);
        failure
    }
}
