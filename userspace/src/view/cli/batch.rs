//! `dropgate replay --batch`: many captures, each by a policy of its own, through one load of the programs.
//!
//! To load them takes the kernel seconds, which is much where a corpus has a policy for each capture.

use super::{load, programs};
use crate::{
    capture::Capture,
    events::EveWriter,
    policy::Image,
    view::{
        replay::{Judge, Options, Replay},
        subject::Subject,
    },
};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// One line of input.
#[derive(Deserialize)]
struct Job {
    policy: PathBuf,
    capture: PathBuf,
    /// Where its events are appended.
    eve: PathBuf,
    /// Its TCP checksums say nothing.
    #[serde(default)]
    any_checksum: bool,
}

/// One line of output, when the job of the same line of input is done.
#[derive(Serialize)]
struct Done<'a> {
    capture: &'a Path,
    packets: u64,
    /// `null`: the capture was read and judged to its end.
    error: Option<String>,
}

/// Runs the jobs of `input`, one after the other.
///
/// # Errors
/// When a line is not understood, or output cannot be written.
pub fn run<J: Judge>(
    input: impl BufRead,
    initiator_inside: bool,
    load_programs: impl FnOnce(&Image) -> anyhow::Result<J>,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let (mut judge, mut load_programs) = (None, Some(load_programs));
    for line in input.lines() {
        let job: Job = serde_json::from_str(&line?).context("a job is an object with `policy`, `capture` and `eve`")?;
        let mut done = Done { capture: &job.capture, packets: 0, error: None };
        match subject(&job.policy, initiator_inside) {
            Err(error) => done.error = Some(error),
            Ok(subject) => {
                let ran = match (&mut judge, load_programs.take()) {
                    (Some(judge), _) => replay(judge, true, &subject, initiator_inside, &job),
                    (none, Some(load)) => match programs(&subject, load) {
                        Err(code) => return Ok(code),
                        Ok(loaded) => replay(none.insert(loaded), false, &subject, initiator_inside, &job),
                    },
                    (None, None) => return Ok(ExitCode::from(super::ENVIRONMENT)),
                };
                match ran {
                    Ok((packets, fault)) => (done.packets, done.error) = (packets, fault),
                    Err(error) => done.error = Some(format!("{error:#}")),
                }
            }
        }
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn subject(policy: &Path, initiator_inside: bool) -> Result<Subject, String> {
    let mut subject = load(policy, true).map_err(|_| "the policy is invalid".to_owned())?;
    if initiator_inside {
        subject.initiator_inside().map_err(|error| error.to_string())?;
    }
    subject.image.settings.event_rate = u32::MAX;
    Ok(subject)
}

/// Replays a capture: how many packets, and at which fault it ended.
fn replay<J: Judge>(
    judge: &mut J,
    replaced: bool,
    subject: &Subject,
    initiator_inside: bool,
    job: &Job,
) -> anyhow::Result<(u64, Option<String>)> {
    if replaced {
        judge.replace(&subject.image)?;
    }
    let mut eve = EveWriter::open(&job.eve).with_context(|| format!("cannot open `{}`", job.eve.display()))?;
    let options = Options { initiator_inside, loose: subject.first_is_loose(), any_checksum: job.any_checksum };
    let capture = Capture::open(&job.capture)?;
    let mut replay = Replay::new(judge, &subject.ports, &subject.names, options)
        .inspecting(subject.rules.as_ref())
        .telling(Box::new(|event| eve.write(event)));
    let fault = replay.capture(None, capture, &mut |_| Ok(()))?;
    let packets = replay.summary().packets;
    drop(replay);
    eve.flush();
    if let Some(error) = eve.last_error() {
        anyhow::bail!("events could not be written: {error}");
    }
    Ok((packets, fault.map(|fault| fault.to_string())))
}
