//! Test programs, run twice at once, each time with half of their tests.
//!
//! Two processes rather than two threads: a thread that starts a program lets it have, for a moment, the sockets that the tests of
//! other threads have open, and their ports with them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::shell;

/// A test program, and the folder of its package, in which its tests expect to run.
pub struct Program {
    pub path: PathBuf,
    folder: PathBuf,
}

/// Builds test programs; `arguments`: those of cargo that name them.
pub fn build(arguments: &[&str]) -> Result<Vec<Program>> {
    let mut command = shell::cargo_command(arguments);
    command.args(["--no-run", "--message-format=json"]).current_dir(shell::root());
    let built = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(built.status.success(), "the tests do not build");
    let mut found = Vec::new();
    for line in String::from_utf8(built.stdout)?.lines() {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        if message["profile"]["test"] == true
            && let (Some(path), Some(manifest)) = (message["executable"].as_str(), message["manifest_path"].as_str())
        {
            let folder = Path::new(manifest).parent().map_or_else(PathBuf::new, Path::to_path_buf);
            found.push(Program { path: path.into(), folder });
        }
    }
    Ok(found)
}

/// Runs all of a program's tests; what it prints is shown as it comes, and handed back.
pub fn run(program: &Program) -> Result<String> {
    let name = program.path.display();
    shell::step(&format!("{name}, in two halves"));
    let listed = program.command().args(["--list", "--format=terse"]).output().with_context(|| format!("`{name}`"))?;
    ensure!(listed.status.success(), "`{name}` does not list its tests");
    let listed = String::from_utf8(listed.stdout)?;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let halves: Vec<Vec<&str>> = (0..2)
        .map(|half| names.iter().skip(half).step_by(2).copied().collect())
        .filter(|half: &Vec<_>| !half.is_empty())
        .collect();
    thread::scope(|scope| {
        let running: Vec<_> = halves.iter().map(|half| scope.spawn(|| program.run(half))).collect();
        let mut printed = String::new();
        let mut failed = None;
        for half in running {
            match half.join().map_err(|_| anyhow!("a thread of ours panicked"))? {
                Ok(text) => printed.push_str(&text),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(printed), Err)
    })
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Runs the tests of these names, one after the other.
    fn run(&self, names: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(["--test-threads=1", "--exact"]).args(names);
        shell::printing(&self.path.to_string_lossy(), &mut command)
    }
}
