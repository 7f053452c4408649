//! Tests through the released binary: two at a time, each by a policy of its own, many by one load of the programs.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{case::Case, check, events::Wanted, policy, scope::Scope};
use crate::shell;

/// Tests that run at the same time.
const WORKERS: usize = 2;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a test: passed, or the first thing that was wrong.
pub type Verdict = Result<(), Failure>;

/// Why a test has failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub what: String,
    /// It would pass if it asked neither for the number of a packet nor for counters of a flow.
    pub number_only: bool,
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self { what, number_only: false }
    }
}

/// Runs tests; their verdicts in the same order. `keep`: a folder in which policies and events stay.
pub fn all(tests: &[(&Case, Scope<'_>)], keep: Option<&Path>) -> Result<Vec<Verdict>> {
    let temporary = std::env::temp_dir().join(format!("dropgate-corpus-{}", std::process::id()));
    let folder = keep.unwrap_or(&temporary);
    let verdicts = Mutex::new(vec![Err("was not run".to_owned().into()); tests.len()]);
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        let mut replay = None;
        while let Some((at, (case, scope))) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, tests.get(at)?)))
        {
            let own = folder.join(case.name.replace('/', "_"));
            let verdict = run(case, scope, &own, &mut replay)?;
            if keep.is_none() {
                let _ = fs::remove_dir_all(&own);
            }
            verdicts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[at] = verdict;
        }
        Ok(())
    };
    let ended: Vec<Result<()>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let panicked = || anyhow::anyhow!("a worker has panicked");
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(panicked()))).collect()
    });
    let _ = fs::remove_dir_all(&temporary);
    ended.into_iter().collect::<Result<()>>()?;
    Ok(verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn run(case: &Case, scope: &Scope<'_>, folder: &Path, replay: &mut Option<Replay>) -> Result<Verdict> {
    if case.exit_code() != 0 {
        return refuses(case);
    }
    let Some(capture) = &case.capture else { return Ok(Err("there is no capture".to_owned().into())) };
    let policy = policy::write(case, folder)?;
    let eve = folder.join("dropgate-eve.json");
    let _ = fs::remove_file(&eve);
    let running = match replay {
        Some(running) => running,
        None => replay.insert(Replay::start()?),
    };
    if let Err(fault) = running.job(&policy, capture, &eve, case.settings.any_checksum()) {
        if fault.ends {
            *replay = None;
        }
        return Ok(Err(fault.what.into()));
    }
    let text = fs::read_to_string(&eve).unwrap_or_default();
    let parsed = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let events = match parsed {
        Ok(events) => Wanted::of(&case.settings).select(events),
        Err(error) => return Ok(Err(format!("an event is no JSON: {error}").into())),
    };
    let failed = scope.filters.iter().find_map(|(at, filter)| Some((at, check::count(filter, &events).err()?)));
    Ok(failed.map_or(Ok(()), |(at, what)| {
        let number_only = check::hold_without_numbers(scope.filters.iter().map(|(_, filter)| *filter), &events);
        Err(Failure { what: format!("check {at}: {what}"), number_only })
    }))
}

/// Whether a rule of a test is refused, as it has to be.
fn refuses(case: &Case) -> Result<Verdict> {
    let Some(file) = &case.rules_file else { return Ok(Err("there are no rules".to_owned().into())) };
    let mut command = Command::new(binary());
    command.args(["rules", "--json", "--file"]).arg(file).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().context("cannot start `dropgate rules`")?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut rules = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).peekable();
    if rules.peek().is_none() {
        return Ok(Err("`dropgate rules` told of no rule".to_owned().into()));
    }
    Ok(if rules.any(|rule| rule["loaded"] == false) { Ok(()) } else { Err("no rule is refused".to_owned().into()) })
}

fn binary() -> PathBuf {
    shell::root().join("target/release/dropgate")
}

/// A `dropgate replay --batch`.
struct Replay {
    child: Child,
    jobs: ChildStdin,
    done: Receiver<String>,
}

/// A job came to nothing; the process too, where it `ends`.
struct Fault {
    what: String,
    ends: bool,
}

impl Replay {
    fn start() -> Result<Self> {
        let mut command = Command::new(binary());
        command.args(["replay", "--batch", "--initiator-inside"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start `dropgate replay`")?;
        let (Some(jobs), Some(output)) = (child.stdin.take(), child.stdout.take()) else { bail!("there are no pipes") };
        let (tell, done) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, jobs, done })
    }

    fn job(&mut self, policy: &Path, capture: &Path, eve: &Path, any_checksum: bool) -> Result<(), Fault> {
        let ended = |what: &str| Fault { what: what.to_owned(), ends: true };
        let job = json!({"policy": policy, "capture": capture, "eve": eve, "any_checksum": any_checksum});
        writeln!(self.jobs, "{job}").map_err(|_| ended("`dropgate replay` takes no more jobs"))?;
        let line = self.done.recv_timeout(PATIENCE).map_err(|_| match self.child.try_wait() {
            Ok(Some(status)) => ended(&format!("`dropgate replay` ended with {status}")),
            _ => ended("it takes longer than a minute"),
        })?;
        let done: Value = serde_json::from_str(&line).map_err(|_| ended("`dropgate replay` says something else"))?;
        // a capture that ends in the middle of a record was replayed up to there
        match done["error"].as_str().filter(|_| done["packets"] == 0) {
            Some(error) => Err(Fault { what: error.to_owned(), ends: false }),
            None => Ok(()),
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
