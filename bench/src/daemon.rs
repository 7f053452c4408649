//! The daemon under load.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use dropgate::daemon::{
    control::{self, Request},
    place::Place,
};
use dropgate_lab::{Gateway, run, wait_until};
use serde_json::Value;

/// How long it may take to start, or to stop.
const LIMIT: Duration = Duration::from_secs(60);

/// A daemon that runs on the gateway of a laboratory.
pub struct Daemon {
    program: PathBuf,
    process: u32,
    policy: PathBuf,
}

impl Daemon {
    /// Starts it with this policy; returns once the policy is in force.
    pub fn start(lab: &mut Gateway, policy: &str, program: &Path) -> Result<Self> {
        let program = program
            .canonicalize()
            .with_context(|| format!("`{}`; `cargo build --release -p dropgate` makes it", program.display()))?;
        let policy = lab.write("policy.toml", policy)?;
        let events = lab.dir().join("eve.json");
        lab.before_removal(&lab.gw, &program, &["stop", "--detach"])?;
        let mut command = lab.gw.command(&program);
        command.arg("run").arg("--policy").arg(&policy).arg("--events").arg(events);
        let log = lab.log("dropgate");
        let gw = lab.gw.clone();
        let process = lab.serve("dropgate", &mut command)?;
        let id = process.id();
        let mut ended = None;
        let waited = wait_until("an answer of `dropgate status`", LIMIT, || {
            ended = process.ended();
            Ok(ended.is_some() || run(gw.command(&program).args(["status", "--json"]), LIMIT)?.success())
        });
        let said = || fs::read_to_string(&log).unwrap_or_default();
        if let Some(status) = ended {
            bail!("`dropgate run` ended with {status}:\n{}", said());
        }
        waited.with_context(|| format!("`dropgate run` says:\n{}", said()))?;
        Ok(Self { program, process: id, policy })
    }

    /// Its process.
    pub const fn process(&self) -> u32 {
        self.process
    }

    /// Puts the policy in force once more, with rules as they are now; what `dropgate apply --json` says.
    pub fn apply(&self, lab: &Gateway) -> Result<Value> {
        let mut command = lab.gw.command(&self.program);
        let finished = run(command.arg("apply").arg(&self.policy).arg("--json"), LIMIT)?;
        ensure!(finished.success(), "`dropgate apply`: {}{}", finished.stdout, finished.stderr);
        serde_json::from_str(&finished.stdout).context("what `dropgate apply --json` says")
    }

    /// Puts a policy in force over the control socket, as `dropgate apply` does; what the daemon answers.
    pub fn push(&self, lab: &Gateway, policy: &Path) -> Result<Value> {
        // `Place::here` is for a process in the gateway's namespace
        let namespace = fs::metadata(lab.gw.path()).context("the gateway's namespace")?.ino();
        let run = PathBuf::from(format!("/run/dropgate/net-{namespace}"));
        let socket = Place { pins: PathBuf::new(), run }.socket();
        let answer = control::ask(&socket, &Request::Apply { path: policy.to_owned() })
            .context("asking the daemon to apply a policy")?;
        ensure!(answer.done, "the daemon refused a policy: {}", answer.error);
        Ok(answer.answer)
    }

    /// What `dropgate status --json` says.
    pub fn status(&self, lab: &Gateway) -> Result<Value> {
        let text = lab.gw.check(&self.program.to_string_lossy(), ["status", "--json"])?;
        serde_json::from_str(&text).context("what `dropgate status --json` says")
    }

    /// Ends it and takes enforcement off.
    pub fn stop(self, lab: &Gateway) -> Result<()> {
        let finished = run(lab.gw.command(&self.program).args(["stop", "--detach"]), LIMIT)?;
        ensure!(finished.success(), "`dropgate stop --detach`: {}{}", finished.stdout, finished.stderr);
        Ok(())
    }
}
