//! `[signatures]`.

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use dropgate_signatures::load::Variables;

use super::{Parser, section::Section, value::Value};
use crate::policy::{
    codes,
    diagnostic::quoted,
    model::{FileName, Signatures},
    rules::Files,
    source::ReadError,
};

impl Parser {
    /// Reads the section, and the rules that it names: what is wrong with one of them leaves out that rule, and no policy.
    pub(super) fn signatures(&mut self, mut section: Section<'_>, directory: &Path) -> Signatures {
        let mut signatures = Signatures { log: true, ..Signatures::default() };
        let mut files = Files { directory: directory.to_owned(), ..Files::default() };
        if let Some(value) = section.get("files") {
            for element in self.one_or_many(value) {
                let Some(name) = self.file_name(element, "the path of a rule file") else { continue };
                if let Err(error) = files.add(&name.path) {
                    self.unread(&error, element.span(), directory);
                }
                signatures.files.push(name);
            }
        }
        for (key, place, bytes, what) in [
            (
                "classification",
                &mut signatures.classification,
                &mut files.classification,
                "the path of a `classification.config`",
            ),
            ("references", &mut signatures.references, &mut files.references, "the path of a `reference.config`"),
            ("thresholds", &mut signatures.thresholds, &mut files.thresholds, "the path of a `threshold.config`"),
        ] {
            let Some(value) = section.get(key) else { continue };
            *place = self.file_name(value, what);
            let Some(name) = place else { continue };
            match Files::beside(directory, &name.path) {
                Ok(read) => *bytes = Some(read),
                Err(error) => self.unread(&error, value.span(), directory),
            }
        }
        if let Some(log) = section.get("log").and_then(|value| self.boolean(value)) {
            signatures.log = log;
        }
        let mut variables = Variables::default();
        if let Some(table) = section.table(self, "addresses") {
            signatures.addresses =
                self.variables(&table, "addresses as rules write them: `\"[10.0.0.0/8,!10.1.0.0/16]\"`");
            variables.addresses.extend(signatures.addresses.clone());
            for (name, at, _) in table.entries() {
                if let Err(error) = variables.addresses_of(&format!("${name}")) {
                    self.add(&codes::ADDRESS, at, format!("the variable {} is of no use: {error}", quoted(name)));
                }
            }
        }
        if let Some(table) = section.table(self, "ports") {
            signatures.ports = self.variables(&table, "ports as rules write them: `\"[80,8000:8100]\"`");
            variables.ports.extend(signatures.ports.clone());
            for (name, at, _) in table.entries() {
                if let Err(error) = variables.ports_of(&format!("${name}")) {
                    self.add(&codes::PORT, at, format!("the variable {} is of no use: {error}", quoted(name)));
                }
            }
        }
        section.finish(self);
        let loaded = files.load(variables);
        let as_warnings = loaded.diagnostics.iter().cloned().map(|diagnostic| diagnostic.as_warning());
        self.diagnostics.extend(as_warnings.collect());
        signatures.loaded = Arc::new(loaded);
        signatures
    }

    fn unread(&mut self, error: &ReadError, at: Range<usize>, directory: &Path) {
        let help = format!("the path is relative to {}", quoted(&directory.display().to_string()));
        self.add_full(&codes::READ, at, error.to_string(), None, Some(help));
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
