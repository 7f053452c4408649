//! `[signatures]`.

use std::collections::BTreeMap;

use dropgate_signatures::{engine::ActionOrder, load::Variables};

use super::{Parser, section::Section, value::Value};
use crate::policy::{
    codes,
    diagnostic::quoted,
    model::{FileName, Signatures},
};

impl Parser {
    pub(super) fn signatures(&mut self, mut section: Section<'_>) -> Signatures {
        let mut signatures = Signatures { log: true, ..Signatures::default() };
        if let Some(value) = section.get("files") {
            for element in self.one_or_many(value) {
                signatures.files.extend(self.file_name(element, "the path of a rule file"));
            }
        }
        for (key, place, what) in [
            ("classification", &mut signatures.classification, "the path of a `classification.config`"),
            ("references", &mut signatures.references, "the path of a `reference.config`"),
            ("thresholds", &mut signatures.thresholds, "the path of a `threshold.config`"),
        ] {
            *place = section.get(key).and_then(|value| self.file_name(value, what));
        }
        if let Some(log) = section.get("log").and_then(|value| self.boolean(value)) {
            signatures.log = log;
        }
        if let Some(value) = section.get("action_order") {
            signatures.order = self.action_order(value).unwrap_or_default();
        }
        let mut variables = Variables::default();
        if let Some(table) = section.table(self, "addresses") {
            signatures.addresses =
                self.variables(&table, "addresses as rules write them: `\"[10.0.0.0/8,!10.1.0.0/16]\"`");
            variables.addresses.extend(signatures.addresses.clone());
            for (name, at, _) in table.entries().iter().filter(|(name, ..)| signatures.addresses.contains_key(*name)) {
                if let Err(error) = variables.addresses_of(&format!("${name}")) {
                    self.add(&codes::ADDRESS, at.clone(), format!("{} is of no use: {error}", quoted(name)));
                }
            }
        }
        if let Some(table) = section.table(self, "ports") {
            signatures.ports = self.variables(&table, "ports as rules write them: `\"[80,8000:8100]\"`");
            variables.ports.extend(signatures.ports.clone());
            for (name, at, _) in table.entries().iter().filter(|(name, ..)| signatures.ports.contains_key(*name)) {
                if let Err(error) = variables.ports_of(&format!("${name}")) {
                    self.add(&codes::PORT, at.clone(), format!("{} is of no use: {error}", quoted(name)));
                }
            }
        }
        section.finish(self);
        signatures
    }

    /// Each action once.
    fn action_order(&mut self, value: Value<'_>) -> Option<ActionOrder> {
        let words: Vec<(&str, &str)> = ActionOrder::WORDS.iter().map(|word| (*word, *word)).collect();
        let elements = self.array(value, "the actions in their order");
        let named: Vec<&str> = elements.iter().filter_map(|element| self.choice(element, "action", &words)).collect();
        let order = ActionOrder::of(&named);
        if order.is_none() && named.len() == elements.len() {
            let expected = "`pass`, `drop`, `reject` and `alert`, each once";
            self.add(&codes::CHOICE, value.span(), format!("not an order of actions: expected {expected}"));
        }
        order
    }

    fn file_name(&mut self, value: Value<'_>, what: &str) -> Option<FileName> {
        let (path, at) = self.string(value, what)?;
        Some(FileName { path: path.to_owned(), location: self.location(at) })
    }

    /// Variables of rules by name.
    fn variables(&mut self, section: &Section<'_>, what: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (name, _, value) in section.entries() {
            if let Some((text, _)) = self.string(value, what) {
                all.insert(name.to_owned(), text.to_owned());
            }
        }
        all
    }
}
