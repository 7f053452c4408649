//! A set of rules under load: made up by the bench, or somebody's.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dropgate::policy::rules::in_directory;
use dropgate_lab::rules::generated;
use dropgate_signatures::{
    engine::Ruleset,
    load::{File, Loaded, Options, Variables, load},
};

use crate::cpu;

/// What the made-up sets are drawn from.
const SEED: u64 = 1;

/// Rules in files.
#[derive(Clone, Debug)]
pub struct Set {
    /// `made up` or `given`.
    pub origin: &'static str,
    /// Files of rules.
    pub files: Vec<PathBuf>,
}

/// A set in memory, compiled, and what that took.
pub struct Ready {
    pub ruleset: Arc<Ruleset>,
    /// Time of this thread.
    pub read: Duration,
    pub compiled: Duration,
    /// By the wall clock, both.
    pub all: Duration,
    /// Rules that do not load.
    pub refused: usize,
}

/// A folder for rules that are made up; it goes with this value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("dropgate-bench-rules-{}", process::id()));
        fs::create_dir_all(&path).with_context(|| format!("making `{}`", path.display()))?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text).with_context(|| format!("writing `{}`", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // what cannot be removed is in the folder for such things
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Set {
    /// Makes so many rules up.
    pub fn made_up(count: u32, folder: &Folder) -> Result<Self> {
        let file = folder.write(&format!("made-up-{count}.rules"), &generated(count, SEED))?;
        Ok(Self { origin: "made up", files: vec![file] })
    }

    /// Those of files, and of folders all `*.rules`.
    pub fn given(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            let path = path.canonicalize().with_context(|| format!("`{}`", path.display()))?;
            files.extend(if path.is_dir() { in_directory(&path)? } else { vec![path] });
        }
        ensure!(!files.is_empty(), "there are no `*.rules` in {paths:?}");
        Ok(Self { origin: "given", files })
    }

    /// The same rules, and some more.
    pub fn with(&self, text: &str, folder: &Folder) -> Result<Self> {
        let more = folder.write("more.rules", text)?;
        Ok(Self { files: self.files.iter().cloned().chain([more]).collect(), ..self.clone() })
    }

    /// The first file's name.
    pub fn name(&self) -> String {
        self.files.first().map_or_else(String::new, |path| path.display().to_string())
    }

    /// The files, as a policy lists them.
    pub fn listed(&self) -> String {
        let quoted = |path: &PathBuf| format!("{:?}", path.display().to_string());
        self.files.iter().map(quoted).collect::<Vec<_>>().join(", ")
    }

    /// All rules in one text.
    pub fn text(&self) -> Result<String> {
        let mut all = String::new();
        for path in &self.files {
            let bytes = fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
            all += &String::from_utf8_lossy(&bytes);
            all.push('\n');
        }
        Ok(all)
    }

    /// Reads and compiles it.
    pub fn compile(&self) -> Result<Ready> {
        let all = Instant::now();
        let texts: Vec<(String, Vec<u8>)> = self
            .files
            .iter()
            .map(|path| {
                let bytes = fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
                Ok((path.display().to_string(), bytes))
            })
            .collect::<Result<_>>()?;
        let files: Vec<File<'_>> = texts.iter().map(|(name, bytes)| File { name, bytes }).collect();
        let beside = |of: &str, name: &str| {
            let path = Path::new(of).with_file_name(name);
            fs::read(&path).map_err(|error| format!("`{}`: {error}", path.display()))
        };
        let variables = Variables::default();
        let options = Options { variables, classification: None, references: None, thresholds: None, read: &beside };
        let start = cpu::thread();
        let Loaded { rules, outcomes, .. } = load(&files, &options);
        let read = cpu::thread() - start;
        let refused = outcomes.iter().filter(|outcome| outcome.refused.is_some()).count();
        let start = cpu::thread();
        let ruleset = Arc::new(Ruleset::compile(rules));
        Ok(Ready { ruleset, read, compiled: cpu::thread() - start, all: all.elapsed(), refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_are_made_up_load() {
        let text = generated(3000, SEED);
        let file = File { name: "made-up.rules", bytes: text.as_bytes() };
        let nothing = |_: &str, name: &str| Err(format!("`{name}` is not read here"));
        let variables = Variables::default();
        let options = Options { variables, classification: None, references: None, thresholds: None, read: &nothing };
        let loaded = load(&[file], &options);
        let refused: Vec<_> = loaded.outcomes.iter().filter(|outcome| outcome.refused.is_some()).take(5).collect();
        assert!(refused.is_empty() && loaded.rules.len() == 3000, "{refused:#?}");
        let ruleset = Ruleset::compile(loaded.rules);
        let slow = ruleset.report().filter(|report| report.fast_pattern.is_none()).count();
        // lists of addresses
        assert!(slow < 60, "{slow}");
    }
}
