//! `[inspection]` and `[failure]`.

use std::time::Duration;

use toml::de::DeValue;

use super::{Parser, section::Section, value::Value};
use crate::{
    policy::{
        codes,
        model::{Answer, Expect, Failure, Inspection, Midstream, Proxied, Reaction},
    },
    protocol::Protocol,
};

/// Fewest and most packets held on one receive queue.
const HELD: std::ops::RangeInclusive<u64> = 64..=16_384;
/// Fewest and most threads that inspect.
const WORKERS: std::ops::RangeInclusive<u64> = 1..=64;

/// What is done where a proxy is asked for a target that is not allowed.
const PROXIED: [(&str, Option<Reaction>); 4] = [
    ("ignore", None),
    ("alert", Some(Reaction::Alert)),
    ("drop", Some(Reaction::Drop)),
    ("reset", Some(Reaction::Reset)),
];

impl Parser {
    pub(super) fn inspection(&mut self, mut section: Section<'_>) -> Inspection {
        let mut inspection = Inspection::default();
        if let Some(depth) = section.get("depth").and_then(|value| self.size(value)) {
            inspection.depth = depth;
        }
        if let Some(patience) = section.get("patience").and_then(|v| self.duration(v, Duration::from_millis(100))) {
            inspection.patience = patience;
        }
        if let Some(everything) = section.get("everything").and_then(|value| self.boolean(value)) {
            inspection.everything = everything;
        }
        let words = [("alert", Reaction::Alert), ("drop", Reaction::Drop), ("reset", Reaction::Reset)];
        let Inspection { mismatch, unknown, pending, .. } = &mut inspection;
        let places = &mut [("mismatch", mismatch), ("unknown", unknown), ("pending", pending)];
        self.choices(&mut section, "reaction", &words, places);
        self.choices(&mut section, "reaction", &PROXIED, &mut [("proxied", &mut inspection.proxied)]);
        if let Some(held) = section.get("held").and_then(|v| self.integer(v, HELD, "number of held packets")) {
            inspection.held = held as u32;
        }
        if let Some(late) = section.get("late").and_then(|v| self.duration(v, Duration::from_millis(50))) {
            inspection.late = late;
        }
        if let Some(workers) = section.get("workers").and_then(|v| self.integer(v, WORKERS, "number of workers")) {
            inspection.workers = workers as u32;
        }
        if let Some(memory) = section.get("memory").and_then(|value| self.size(value)) {
            inspection.memory = memory;
        }
        let words = [("pass", Midstream::Pass), ("identify", Midstream::Identify), ("drop", Midstream::Drop)];
        let midstream = &mut inspection.midstream;
        self.choices(&mut section, "answer", &words, &mut [("midstream", midstream)]);
        section.finish(self);
        inspection
    }

    /// `proxied` of a service.
    pub(super) fn proxied(&mut self, value: Value<'_>) -> Option<Proxied> {
        self.choice(value, "reaction", &PROXIED).map(|reaction| Proxied { reaction })
    }

    /// `expect` of a service: protocols, or `"any"`.
    pub(super) fn expect(&mut self, value: Value<'_>) -> Expect {
        if matches!(value.get_ref(), DeValue::String(text) if text == "any") {
            return Expect::Any;
        }
        // nobody is to expect what only pretends
        let known = || Protocol::ALL.iter().filter(|protocol| **protocol != Protocol::FakeTls);
        let expected = "`\"any\"`, or names of protocols such as `[\"tls\", \"http\"]`";
        let mut protocols = Vec::new();
        for element in self.one_or_many(value) {
            let Some((text, at)) = self.string(element, expected) else { continue };
            match known().find(|protocol| protocol.name() == text) {
                Some(protocol) => protocols.push(*protocol),
                None => self.unknown_word(at, "protocol", text, known().map(|protocol| protocol.name()), expected),
            }
        }
        if protocols.is_empty() && self.one_or_many(value).is_empty() {
            let message = "a service that expects no protocol lets none pass";
            self.add_expected(&codes::CHOICE, value.span(), message, expected);
        }
        Expect::Only(protocols)
    }

    pub(super) fn failure(&mut self, mut section: Section<'_>) -> Failure {
        let words = [("drop", Answer::Drop), ("pass", Answer::Pass)];
        let mut failure = Failure::default();
        let Failure { inspector, credits, too_long, memory } = &mut failure;
        let places = &mut [("inspector", inspector), ("credits", credits), ("too_long", too_long), ("memory", memory)];
        self.choices(&mut section, "answer", &words, places);
        section.finish(self);
        failure
    }
}
