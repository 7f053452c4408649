//! The daemon under demonstration, by its command line alone.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use dropgate_lab::{Finished, Gateway, Namespace, run};
use serde_json::Value;

const START: Duration = Duration::from_secs(60);
const COMMAND: Duration = Duration::from_secs(30);

/// `dropgate` in the gateway's namespace.
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    gw: Namespace,
    /// Where it writes its events.
    pub events: PathBuf,
}

/// What a push answered.
#[derive(Debug)]
pub struct Applied {
    /// What it printed.
    pub answer: Value,
    /// From the start of the command to its end.
    pub took: Duration,
}

impl Daemon {
    /// Starts it and waits until it says what is in force.
    pub fn start(lab: &mut Gateway, program: &Path, policy: &Path) -> Result<Self> {
        let daemon = Self { program: program.to_owned(), gw: lab.gw.clone(), events: lab.dir().join("eve.json") };
        // What it pins outlives the namespace.
        lab.before_removal(&lab.gw, program, &["stop", "--detach"])?;
        let mut command = lab.gw.command(program);
        command.args(["run", "--policy"]).arg(policy).arg("--events").arg(&daemon.events);
        let log = lab.log("dropgate");
        let process = lab.serve("dropgate", &mut command)?;
        let mut ended = None;
        let waited = dropgate_lab::wait_until("an answer of `dropgate status`", START, || {
            ended = process.ended();
            Ok(ended.is_some() || daemon.status().is_ok())
        });
        let said = || fs::read_to_string(&log).unwrap_or_default();
        if let Some(status) = ended {
            bail!("`dropgate run` ended with {status}:\n{}", said());
        }
        waited.with_context(|| format!("`dropgate run` says:\n{}", said()))?;
        Ok(daemon)
    }

    /// Runs one command of it to its end.
    pub fn call(&self, arguments: &[&str]) -> Result<Finished> {
        Ok(run(self.gw.command(&self.program).args(arguments), COMMAND)?)
    }

    /// `dropgate status --json`.
    pub fn status(&self) -> Result<Value> {
        self.json(&["status", "--json"])
    }

    /// `dropgate apply FILE --json`.
    pub fn apply(&self, policy: &Path) -> Result<Applied> {
        let finished = self.succeed(&["apply", &policy.to_string_lossy(), "--json"])?;
        let answer = serde_json::from_str(&finished.stdout).context("`dropgate apply --json` printed no JSON")?;
        Ok(Applied { answer, took: finished.took })
    }

    /// `dropgate explain` for a packet that would start a flow.
    pub fn explain(&self, zone: &str, from: &str, to: &str) -> Result<Value> {
        self.json(&["explain", "--from", from, "--to", to, "--zone", zone, "--json"])
    }

    /// `dropgate stop --detach`.
    pub fn stop(&self) -> Result<()> {
        self.succeed(&["stop", "--detach"]).map(drop)
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let finished = self.succeed(arguments)?;
        serde_json::from_str(&finished.stdout).with_context(|| format!("`dropgate {}`: no JSON", arguments.join(" ")))
    }

    fn succeed(&self, arguments: &[&str]) -> Result<Finished> {
        let finished = self.call(arguments)?;
        let line = arguments.join(" ");
        ensure!(finished.status.is_some(), "`dropgate {line}` did not end within {COMMAND:?}");
        ensure!(
            finished.success(),
            "`dropgate {line}` ended with code {:?}: {}{}",
            finished.code(),
            finished.stdout,
            finished.stderr
        );
        Ok(finished)
    }
}
