//! The rules of a policy: read, and compiled.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use dropgate_signatures::{
    engine::Ruleset,
    load::{self, File, Loaded, Options, Variables},
};

use super::{
    codes,
    diagnostic::{Diagnostic, Place},
    model::{FileName, Gateway, Signatures, Zone},
    source::{ReadError, Source, read_bytes},
};

/// Largest file that rules are made of, bytes.
pub const MAX_FILE: u64 = 64 << 20;
/// Largest size of all of them together, bytes.
const MAX_FILES: u64 = 256 << 20;

/// Most diagnostics of rules that a policy shows.
const MOST_SHOWN: usize = 400;

/// Files in memory: what rules call them, and their bytes.
type Read = Vec<(String, Vec<u8>)>;

/// Reads the files that `[signatures]` names, in a directory, and compiles their rules. A rule that is not in order is left out, and
/// nothing else.
pub(super) fn load(
    signatures: &mut Signatures,
    (source, directory): (&Source, &Path),
    (gateway, zones): (Option<&Gateway>, &[Zone]),
) -> Vec<Diagnostic> {
    let mut reader = Reader { source, directory, room: MAX_FILES, diagnostics: Vec::new() };
    let mut rules = Read::new();
    for file in &signatures.files {
        reader.rules(file, &mut rules);
    }
    let [classification, references, thresholds] =
        [&signatures.classification, &signatures.references, &signatures.thresholds].map(|file| {
            let file = file.as_ref()?;
            Some((file.path.clone(), reader.file(file, &directory.join(&file.path))?))
        });
    let mut variables = Variables::default();
    if let Some(home) = home(gateway, zones) {
        variables.addresses.insert("HOME_NET".to_owned(), home);
    }
    variables.addresses.extend(signatures.addresses.clone());
    variables.ports.extend(signatures.ports.clone());
    let read = |of: &str, name: &str| {
        // beside the file that names it
        let beside = directory.join(of).parent().map_or_else(|| PathBuf::from(name), |parent| parent.join(name));
        read_bytes(&beside, name, MAX_FILE).map_err(|error| error.to_string())
    };
    let options = Options {
        variables,
        classification: classification.as_ref().map(file),
        references: references.as_ref().map(file),
        thresholds: thresholds.as_ref().map(file),
        read: &read,
    };
    let files: Vec<File<'_>> = rules.iter().map(file).collect();
    let Loaded { rules, outcomes, diagnostics, disabled, .. } = load::load(&files, &options);
    let mut left_out = BTreeMap::new();
    for refused in outcomes.iter().filter_map(|outcome| outcome.refused.as_ref()) {
        *left_out.entry(refused.keyword.clone()).or_default() += 1;
    }
    (signatures.disabled, signatures.left_out) = (disabled, left_out);
    signatures.ruleset = Arc::new(Ruleset::compile_in(rules, signatures.order));
    let mut all = reader.diagnostics;
    let (refused, slow): (Vec<_>, Vec<_>) = diagnostics.into_iter().partition(Diagnostic::is_error);
    let more = (refused.len() + slow.len()).saturating_sub(MOST_SHOWN);
    // a rule that is left out is no reason to refuse the others
    all.extend(refused.into_iter().chain(slow).take(MOST_SHOWN).map(Diagnostic::as_warning));
    if more > 0 {
        let message = format!("{more} more about rules are not shown");
        let place = Place::file(source.name.clone());
        let shown = "`dropgate rules --file FILE` shows those of one file";
        all.push(Diagnostic::new(&dropgate_signatures::codes::MORE_WARNINGS, place, message).help(shown));
    }
    all
}

fn file((name, bytes): &(String, Vec<u8>)) -> File<'_> {
    File { name, bytes }
}

/// What `$HOME_NET` is where the policy does not say so: what its zones hold, unless they take it from the machine.
fn home(gateway: Option<&Gateway>, zones: &[Zone]) -> Option<String> {
    if zones.is_empty() || zones.iter().any(|zone| zone.auto_prefixes) {
        return None;
    }
    let own = gateway.into_iter().flat_map(|gateway| &gateway.addresses).map(ToString::to_string);
    let held = zones.iter().flat_map(|zone| &zone.prefixes).map(|(prefix, _)| prefix.to_string());
    let all: Vec<String> = own.chain(held).collect();
    Some(format!("[{}]", all.join(",")))
}

/// The files of a directory whose names end in `.rules`, in the order of their names.
///
/// # Errors
/// The directory cannot be read.
pub fn in_directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path)?.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "rules")).collect();
    found.sort();
    Ok(found)
}

struct Reader<'a> {
    source: &'a Source,
    directory: &'a Path,
    room: u64,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// A file of rules, or those of a directory in the order of their names.
    fn rules(&mut self, file: &FileName, all: &mut Read) {
        let path = self.directory.join(&file.path);
        if !path.is_dir() {
            all.extend(self.file(file, &path).map(|bytes| (file.path.clone(), bytes)));
            return;
        }
        let found = match in_directory(&path) {
            Ok(found) => found,
            Err(error) => return self.fault(file, &ReadError::Io { name: file.path.clone(), error }),
        };
        for path in found {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let name = format!("{}/{name}", file.path.trim_end_matches('/'));
            all.extend(self.file(file, &path).map(|bytes| (name, bytes)));
        }
    }

    fn file(&mut self, file: &FileName, path: &Path) -> Option<Vec<u8>> {
        match read_bytes(path, &path.display().to_string(), MAX_FILE.min(self.room)) {
            Ok(bytes) => {
                self.room -= bytes.len() as u64;
                Some(bytes)
            }
            Err(error) => {
                self.fault(file, &error);
                None
            }
        }
    }

    fn fault(&mut self, file: &FileName, error: &ReadError) {
        let place = Place::new(self.source, file.location);
        let help = format!("the path is relative to `{}`", self.directory.display());
        self.diagnostics.push(Diagnostic::new(&codes::READ, place, error.to_string()).help(help));
    }
}
