//! The files of rules that a policy, or a command, names.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use dropgate_signatures::load::{self, File, Loaded, Options, Variables};

use super::source::{self, ReadError};

/// Largest file of rules, or one that they name, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// What rules are read from.
#[derive(Debug, Default)]
pub struct Files {
    /// Rule files in order, under the names that diagnostics give them.
    pub rules: Vec<(String, Vec<u8>)>,
    pub classification: Option<(String, Vec<u8>)>,
    pub references: Option<(String, Vec<u8>)>,
    pub thresholds: Option<(String, Vec<u8>)>,
    /// What names of files are relative to.
    pub directory: PathBuf,
}

impl Files {
    /// A file of rules, or those of a directory whose names end in `.rules`, by name.
    ///
    /// # Errors
    /// [`ReadError`]: one of them cannot be read.
    pub fn add(&mut self, name: &str) -> Result<(), ReadError> {
        let path = self.directory.join(name);
        if !path.is_dir() {
            self.rules.push(Self::beside(&self.directory, name)?);
            return Ok(());
        }
        let io = |error| ReadError::Io { name: name.to_owned(), error };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(io)? {
            let file = entry.map_err(io)?.file_name();
            if Path::new(&file).extension().is_some_and(|extension| extension == "rules") {
                names.push(Path::new(name).join(file).display().to_string());
            }
        }
        names.sort_unstable();
        for name in names {
            self.rules.push(Self::beside(&self.directory, &name)?);
        }
        Ok(())
    }

    /// A file beside the rules.
    ///
    /// # Errors
    /// [`ReadError`]: it cannot be read.
    pub fn beside(directory: &Path, name: &str) -> Result<(String, Vec<u8>), ReadError> {
        Ok((name.to_owned(), source::read_bytes(&directory.join(name), name, MAX_FILE_BYTES)?))
    }

    /// Reads all rules. Files that they name are relative to the file that they are in.
    pub fn load(&self, variables: Variables) -> Loaded {
        let read = |rules: &str, name: &str| {
            let beside = Path::new(rules).parent().unwrap_or(Path::new(""));
            let path = self.directory.join(beside).join(name);
            source::read_bytes(&path, name, MAX_FILE_BYTES).map_err(|error| match error {
                ReadError::Io { error, .. } => error.to_string(),
                other => other.to_string(),
            })
        };
        let files: Vec<File<'_>> = self.rules.iter().map(file).collect();
        load::load(
            &files,
            &Options {
                variables,
                classification: self.classification.as_ref().map(file),
                references: self.references.as_ref().map(file),
                thresholds: self.thresholds.as_ref().map(file),
                read: &read,
            },
        )
    }
}

fn file((name, bytes): &(String, Vec<u8>)) -> File<'_> {
    File { name, bytes }
}

/// How many rules there are, and what stopped the others, by keyword: a line each.
pub fn summary(loaded: &Loaded) -> String {
    let all = loaded.outcomes.len();
    let share = if all == 0 { 100.0 } else { 100.0 * loaded.rules.len() as f64 / all as f64 };
    let mut text =
        format!("{} of {all} rules load ({share:.2}%), {} are commented out\n", loaded.rules.len(), loaded.disabled);
    for LeftOut { keyword, rules, error, others } in left_out(loaded) {
        let others = if others > 0 { format!(" (and {others} other reasons)") } else { String::new() };
        // writing to a `String` cannot fail
        let _ = writeln!(text, "{rules:>8} left out by {keyword}: {error}{others}");
    }
    text
}

/// Rules that one keyword stopped.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LeftOut {
    pub keyword: String,
    pub rules: usize,
    /// What is said of most of them, and how many other things are said.
    pub error: String,
    pub others: usize,
}

/// What stopped rules, most of them first.
pub fn left_out(loaded: &Loaded) -> Vec<LeftOut> {
    let mut keywords: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for refused in loaded.outcomes.iter().filter_map(|outcome| outcome.refused.as_ref()) {
        *keywords.entry(&refused.keyword).or_default().entry(&refused.error).or_default() += 1;
    }
    let of = |(keyword, errors): (&str, BTreeMap<&str, usize>)| {
        let most = errors.iter().max_by_key(|(_, count)| **count).map_or("", |(error, _)| error);
        LeftOut {
            keyword: keyword.to_owned(),
            rules: errors.values().sum(),
            error: most.to_owned(),
            others: errors.len() - 1,
        }
    };
    let mut all: Vec<LeftOut> = keywords.into_iter().map(of).collect();
    all.sort_by_key(|left_out| std::cmp::Reverse(left_out.rules));
    all
}
