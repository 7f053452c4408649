//! A table of the tree whose known keys are asked for one by one; what nobody asked for is a mistake.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Parser, value::Value};
use crate::policy::{
    codes,
    diagnostic::{nearest, quoted},
};

/// A table and the keys that were asked for.
pub struct Section<'t> {
    name: String,
    table: &'t DeTable<'t>,
    at: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// A table that messages call `name`.
    pub fn new(name: impl Into<String>, table: &'t DeTable<'t>, at: Range<usize>) -> Self {
        Self { name: name.into(), table, at, asked: Vec::new() }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its header.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// The value of a key.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// All entries in file order, for tables whose keys are names.
    pub fn entries(&self) -> Vec<(&'t str, Range<usize>, Value<'t>)> {
        let mut all: Vec<_> = self.table.iter().map(|(key, value)| (&**key.get_ref(), key.span(), value)).collect();
        all.sort_by_key(|(_, at, _)| at.start);
        all
    }

    /// The table that stands under a key.
    pub fn table(&mut self, parser: &mut Parser, key: &'static str) -> Option<Section<'t>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section::new(format!("`[{key}]`"), table, value.span())),
            _ => parser.wrong_type(value, &format!("a table: `[{key}]`")),
        }
    }

    /// The array of tables that stands under a key; `path` is how a header names it.
    pub fn tables(&mut self, parser: &mut Parser, key: &'static str, path: &str) -> Vec<Section<'t>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let expected = format!("an array of tables: `[[{path}]]`");
        let mut found = Vec::new();
        for element in parser.array(value, &expected) {
            match element.get_ref() {
                DeValue::Table(table) => {
                    found.push(Section::new(format!("`[[{path}]]`"), table, element.span()));
                }
                _ => {
                    let _: Option<()> = parser.wrong_type(element, &expected);
                }
            }
        }
        found
    }

    /// Reports every key that was not asked for.
    pub fn finish(self, parser: &mut Parser) {
        for (key, at, _) in self.entries() {
            if self.asked.contains(&key) {
                continue;
            }
            let message = format!("unknown key {} in {}", quoted(key), self.name);
            let help = match nearest(key, self.asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", self.asked.join(", ")),
            };
            parser.add_full(&codes::UNKNOWN_KEY, at, message, None, Some(help));
        }
    }
}
