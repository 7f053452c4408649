//! Commands that ask the daemon of this network namespace.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::Refused;
use crate::{
    daemon::{
        control::{self, Request},
        place::{self, Place},
    },
    view::filter,
};

/// Arguments of commands that name a policy file.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// Policy file
    pub file: PathBuf,
    /// One JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status` and `flows`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// One JSON document on standard output (`flows`: one JSON line a flow)
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `events`.
#[derive(Args, Debug)]
pub struct EventsArgs {
    /// EVE lines as they are
    #[arg(long)]
    pub json: bool,
    /// Only events of this type; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only events with this reason
    #[arg(long = "reason", value_name = "REASON")]
    pub reasons: Vec<String>,
    /// Only events of this zone
    #[arg(long = "zone", value_name = "ZONE")]
    pub zones: Vec<String>,
}

/// Arguments of `stop`.
#[derive(Args, Debug)]
pub struct StopArgs {
    /// Take enforcement off too
    #[arg(long)]
    pub detach: bool,
}

fn ask(request: &Request) -> anyhow::Result<Value> {
    let place = Place::here()?;
    let answer = control::ask(&place.socket(), request).with_context(|| no_daemon(&place))?;
    if answer.done { Ok(answer.answer) } else { Err(Refused(answer.error).into()) }
}

fn no_daemon(place: &Place) -> String {
    format!("no daemon answers at `{}`; start one with `dropgate run --policy FILE`", place.socket().display())
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// `dropgate apply FILE`.
pub fn apply(args: &FileArgs) -> anyhow::Result<ExitCode> {
    let answer = ask(&Request::Apply { path: std::path::absolute(&args.file)? })?;
    if args.json {
        return print(&format!("{answer}\n"));
    }
    eprint!("{}", answer["warnings"].as_str().unwrap_or_default());
    print(&format!(
        "generation {} in force: {} ms to compile, {} ms to fill, {} ms to commit\n{}",
        answer["generation"],
        answer["compile_ms"],
        answer["fill_ms"],
        answer["commit_ms"],
        rules_pushed(&answer["rules"])
    ))
}

/// What became of the rules, in a line; nothing where there are none.
fn rules_pushed(rules: &Value) -> String {
    if rules.is_null() {
        return String::new();
    }
    let [loaded, left_out, added, removed, changed] =
        ["loaded", "left_out", "added", "removed", "changed"].map(|name| &rules[name]);
    format!("rules: {loaded} loaded, {left_out} left out; {added} added, {removed} removed, {changed} changed\n")
}

/// `dropgate diff FILE`.
pub fn diff(args: &FileArgs) -> anyhow::Result<ExitCode> {
    show(&Request::Diff { path: std::path::absolute(&args.file)? }, args.json)
}

/// `dropgate status`.
pub fn status(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    show(&Request::Status {}, args.json)
}

/// `dropgate flows`.
pub fn flows(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    show(&Request::Flows {}, args.json)
}

/// `dropgate rules` without a file.
pub(super) fn rules(json: bool) -> anyhow::Result<ExitCode> {
    show(&Request::Rules {}, json)
}

/// Prints an answer that comes as data and as text; of a list, one line each.
fn show(request: &Request, json: bool) -> anyhow::Result<ExitCode> {
    let answer = ask(request)?;
    match (&answer["data"], json) {
        (_, false) => print(answer["text"].as_str().unwrap_or_default()),
        (Value::Array(lines), true) => print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
        (document, true) => print(&format!("{document:#}\n")),
    }
}

/// `dropgate events`: until the daemon ends or the reader does.
pub fn events(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let place = Place::here()?;
    let request =
        Request::Events { types: args.types.clone(), reasons: args.reasons.clone(), zones: args.zones.clone() };
    let stream = control::send(&place.socket(), &request).with_context(|| no_daemon(&place))?;
    let mut out = io::stdout().lock();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let shown = match serde_json::from_str(&line) {
            Ok(event) if !args.json => filter::line(&event),
            _ => line,
        };
        if let Err(error) = writeln!(out, "{shown}").and_then(|()| out.flush()) {
            return if error.kind() == io::ErrorKind::BrokenPipe { Ok(ExitCode::SUCCESS) } else { Err(error.into()) };
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `dropgate stop [--detach]`. Without a daemon, `--detach` takes off what is pinned.
pub fn stop(args: &StopArgs) -> anyhow::Result<ExitCode> {
    let place = Place::here()?;
    place::enter()?;
    match control::ask(&place.socket(), &Request::Stop { detach: args.detach }) {
        Ok(answer) if answer.done => {
            // it holds the lock until it is gone
            match std::fs::File::open(place.lock()) {
                // SAFETY: an open descriptor.
                Ok(lock) => drop(unsafe { libc::flock(std::os::fd::AsRawFd::as_raw_fd(&lock), libc::LOCK_EX) }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(answer) => bail!(answer.error),
        Err(_) if args.detach => {
            if place.detach()? {
                eprintln!("dropgate: no daemon was running; took off what was pinned");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error).with_context(|| no_daemon(&place)),
    }
}
