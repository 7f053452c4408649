//! A test: a folder with `test.yaml`, and with a capture, rules and settings beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    frames,
    rules::{self, Rule},
    settings::Settings,
    yaml,
};

/// A test as it lies there.
pub struct Case {
    /// The path of its folder below the folder of all tests.
    pub name: String,
    pub folder: PathBuf,
    /// `test.yaml`.
    pub test: Value,
    pub settings: Settings,
    /// `None`: it has none, or several without saying which.
    pub capture: Option<PathBuf>,
    /// What of the capture is out of sight; see [`frames::unseen`].
    pub unseen: Option<&'static str>,
    pub rules_file: Option<PathBuf>,
    pub rules: Vec<Rule>,
}

impl Case {
    /// What it is counted with: its folder if there are several of a kind, else the first word of its name.
    pub fn category(&self) -> &str {
        let (group, word) = (self.name.split_once('/'), self.name.split_once('-'));
        group.or(word).map_or(&*self.name, |(category, _)| category)
    }

    /// What the run has to end with: anything but 0 is that the rules or settings were refused.
    pub fn exit_code(&self) -> u64 {
        self.test["exit-code"].as_u64().unwrap_or_default()
    }
}

/// Every test below a folder, by name.
pub fn all(folder: &Path) -> Result<Vec<Case>> {
    let (mut cases, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        if next.join("test.yaml").is_file() {
            cases.push(read(folder, next)?);
            continue;
        }
        let entries = fs::read_dir(&next).with_context(|| format!("cannot list `{}`", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!cases.is_empty(), "no `test.yaml` below `{}`", folder.display());
    Ok(cases)
}

fn read(all: &Path, folder: PathBuf) -> Result<Case> {
    let name = folder.strip_prefix(all).unwrap_or(&folder).display().to_string();
    let test = yaml::read(&folder.join("test.yaml"))?;
    let settings = Settings::read(&folder, &test)?;
    let files = files(&folder)?;
    let capture = capture(&folder, &files, &test["pcap"]);
    let unseen = capture.as_deref().map_or(Ok(None), frames::unseen)?;
    let rules_file = named(&folder, &test["rules"]).unwrap_or_else(|| one(&files, &["rules"]));
    let rules = match &rules_file {
        Some(file) => {
            let bytes = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
            rules::read(&String::from_utf8_lossy(&bytes))
        }
        None => Vec::new(),
    };
    Ok(Case { name, folder, test, settings, capture, unseen, rules_file, rules })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

/// The capture that `test.yaml` names, else the only one that lies there.
fn capture(folder: &Path, files: &[PathBuf], named: &Value) -> Option<PathBuf> {
    self::named(folder, named).unwrap_or_else(|| one(files, &["pcap", "pcapng"]))
}

/// The file that a test names, if it is there; `None`: it names none.
fn named(folder: &Path, name: &Value) -> Option<Option<PathBuf>> {
    let path = folder.join(name.as_str()?);
    Some(path.is_file().then_some(path))
}

fn one(files: &[PathBuf], extensions: &[&str]) -> Option<PathBuf> {
    let is = |path: &&PathBuf| path.extension().and_then(|name| name.to_str()).is_some_and(|e| extensions.contains(&e));
    let mut found = files.iter().filter(is);
    found.next().filter(|_| found.next().is_none()).cloned()
}
