//! What earlier runs of the same machine found, one line of JSON each, and what has become worse since.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{machine::Machine, report::Report};

/// The file, in the folder of results.
const FILE: &str = "history.jsonl";
/// As many of the last runs are compared with.
const LAST: usize = 5;
/// Ratios that have become worse by less than this are noise, whatever their spread.
const NOISE: f64 = 0.1;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub date: String,
    pub commit: String,
    /// Files changed since that commit.
    pub changed: usize,
    /// Processor and cores: runs of other machines are not compared with.
    pub machine: String,
    pub kernel: String,
    /// The name of the result files.
    pub name: String,
    /// What was held against a target, by what it is.
    pub ratios: BTreeMap<String, Ratio>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ratio {
    pub value: f64,
    /// Less is better.
    pub at_most: bool,
}

impl Run {
    /// What is kept of a report.
    pub fn of(report: &Report, name: &str) -> Self {
        let Machine { processor, cores, kernel, commit, changed, date, .. } = report.machine.clone();
        let ratios = report.targets().map(|target| {
            let what = format!("{}: {}", target.0, target.1.what);
            (what, Ratio { value: target.1.value, at_most: target.1.at_most })
        });
        let ratios = ratios.filter(|(_, ratio)| ratio.value.is_finite()).collect();
        let machine = format!("{processor}, {cores} cores");
        Self { date, commit, changed, machine, kernel, name: name.to_owned(), ratios }
    }

    /// What is worse than in every one of the last runs of this machine, beyond their spread: a line each. Nothing, if there
    /// were none.
    pub fn regressions(&self, earlier: &[Self]) -> Vec<String> {
        let last: Vec<&Self> = earlier.iter().filter(|run| run.machine == self.machine).rev().take(LAST).collect();
        let mut lines = Vec::new();
        for (what, now) in &self.ratios {
            let values: Vec<f64> = last.iter().filter_map(|run| Some(run.ratios.get(what)?.value)).collect();
            let (min, max) =
                values.iter().fold((f64::MAX, f64::MIN), |(min, max), value| (min.min(*value), max.max(*value)));
            if values.is_empty() {
                continue;
            }
            // beyond the worst by as much as they differ among themselves
            let slack = (max - min).max(NOISE * max.abs());
            let worse = if now.at_most { now.value > max + slack } else { now.value < min - slack };
            if worse {
                let runs = values.len();
                lines.push(format!(
                    "regression: {what}: {:.2}, in the last {runs} runs {min:.2} to {max:.2}",
                    now.value
                ));
            }
        }
        lines
    }
}

/// Runs written down in a folder so far.
pub fn read(folder: &Path) -> Result<Vec<Run>> {
    let path = path(folder);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("reading `{}`", path.display()))?,
    };
    let line = |(at, line)| {
        serde_json::from_str(line).with_context(|| format!("`{}`, line {}: take it out", path.display(), at + 1))
    };
    text.lines().enumerate().map(line).collect()
}

/// Writes one more down.
pub fn append(folder: &Path, run: &Run) -> Result<()> {
    let path = path(folder);
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("opening `{}`", path.display()))?;
    writeln!(file, "{}", serde_json::to_string(run)?).with_context(|| format!("writing `{}`", path.display()))
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(machine: &str, forwarded: f64, cost: f64) -> Run {
        let ratio = |value, at_most| Ratio { value, at_most };
        let ratios = [("forwarded".to_owned(), ratio(forwarded, false)), ("cost".to_owned(), ratio(cost, true))];
        let [date, commit, kernel, name] = [(); 4].map(|()| String::new());
        Run { date, commit, changed: 0, machine: machine.to_owned(), kernel, name, ratios: ratios.into() }
    }

    #[test]
    fn worse_than_the_spread_of_this_machine() {
        let earlier = [run("a", 1.0, 1.0), run("b", 9.0, 0.1), run("a", 1.3, 1.2)];
        assert_eq!(run("a", 0.75, 1.35).regressions(&earlier), [] as [&str; 0]);
        assert_eq!(run("c", 0.1, 9.0).regressions(&earlier), [] as [&str; 0]);
        let found = run("a", 0.6, 1.5).regressions(&earlier);
        assert_eq!(
            found,
            [
                "regression: cost: 1.50, in the last 2 runs 1.00 to 1.20",
                "regression: forwarded: 0.60, in the last 2 runs 1.00 to 1.30"
            ]
        );
        // better is no regression
        assert_eq!(run("a", 5.0, 0.1).regressions(&earlier), [] as [&str; 0]);
        // a single run has no spread
        assert_eq!(run("b", 8.5, 0.1).regressions(&earlier), [] as [&str; 0]);
        assert_eq!(run("b", 7.0, 0.1).regressions(&earlier).len(), 1);
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("dropgate-history-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert!(read(&folder).unwrap().is_empty());
        append(&folder, &run("a", 1.0, 2.0)).unwrap();
        append(&folder, &run("b", 3.0, 4.0)).unwrap();
        let found = read(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.iter().map(|run| run.machine.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found[1].ratios["cost"], Ratio { value: 4.0, at_most: true });
    }
}
