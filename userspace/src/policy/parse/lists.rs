//! `[lists]`: files of addresses and prefixes, one a line.

use std::{collections::BTreeMap, path::Path};

use super::{Parser, section::Section};
use crate::policy::{
    codes,
    diagnostic::{Diagnostic, Diagnostics, Place, quoted},
    model::List,
    prefix::Prefix,
    source::{self, MAX_LIST_BYTES, MAX_LISTS_BYTES, ReadError, Source},
};

/// Most entries of one list.
const MAX_ENTRIES: usize = 2_000_000;

impl Parser {
    pub(super) fn read_lists(&mut self, section: Section<'_>, directory: &Path) -> BTreeMap<String, List> {
        let mut lists = BTreeMap::new();
        let mut room = MAX_LISTS_BYTES;
        for (name, at, value) in section.entries() {
            self.name(name, at.clone(), "list");
            self.lists.insert(name.to_owned(), (self.location(at), false));
            let Some((path, at)) = self.string(value, "the path of a file") else {
                continue;
            };
            match source::read(&directory.join(path), path, MAX_LIST_BYTES.min(room)) {
                Ok(source) => {
                    room -= source.text.len() as u64;
                    let prefixes = entries(&source, &mut self.diagnostics).into();
                    lists.insert(name.to_owned(), List { path: path.to_owned(), prefixes });
                }
                Err(ReadError::TooLarge { .. }) if room < MAX_LIST_BYTES => {
                    let message = format!("with {} the lists are larger than {MAX_LISTS_BYTES} bytes", quoted(path));
                    self.add(&codes::READ, at, message);
                }
                Err(error) => {
                    let help = format!("the path is relative to {}", quoted(&directory.display().to_string()));
                    self.add_full(&codes::READ, at, error.to_string(), None, Some(help));
                }
            }
        }
        lists
    }
}

/// The prefixes of a list file, sorted and without duplicates.
fn entries(source: &Source, diagnostics: &mut Diagnostics) -> Vec<Prefix> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let entry = line.split('#').next().unwrap_or_default();
        let text = entry.trim();
        let at = start + (entry.len() - entry.trim_start().len());
        start += line.len();
        if text.is_empty() {
            continue;
        }
        let place = || Place::new(source, source.locate(at..at + text.len()));
        if found.len() == MAX_ENTRIES {
            diagnostics.add(&codes::TOO_MANY, || {
                let message = format!("the list has more than {MAX_ENTRIES} entries");
                Diagnostic::new(&codes::TOO_MANY, place(), message)
            });
            break;
        }
        match Prefix::parse(text) {
            Ok(prefix) => found.push(prefix),
            Err(error) => diagnostics.add(&codes::ADDRESS, || {
                let message = format!("{} is not a prefix", quoted(text));
                Diagnostic::new(&codes::ADDRESS, place(), message).expected(error.expected())
            }),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
