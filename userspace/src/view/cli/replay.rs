//! `dropgate replay`.

use super::{NO, USAGE, batch, load, programs};
use crate::{
    capture::Capture,
    events::EveWriter,
    policy::Image,
    view::{
        replay::{Judge, Options, Replay, Shown, Summary},
        subject::Subject,
        text,
    },
};
use anyhow::{Context as _, bail};
use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Replays captures through the datapath, offline, and prints a verdict for each packet.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Policy file to judge by
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    pub policy: Option<PathBuf>,
    /// Captures: pcap or pcapng, plain or gzip
    #[arg(required_unless_present = "batch", value_name = "PCAP")]
    pub captures: Vec<PathBuf>,
    /// Take jobs from standard input, one JSON object with `policy`, `capture` and `eve` a line, and print a line for each
    #[arg(long, conflicts_with_all = ["policy", "captures", "json", "summary", "eve"])]
    pub batch: bool,
    /// Place the side that starts each flow in the first zone, whatever its address
    #[arg(long)]
    pub initiator_inside: bool,
    /// Take every TCP checksum for right: those of a capture may have been changed with its addresses
    #[arg(long)]
    pub any_checksum: bool,
    /// One JSON line for each packet
    #[arg(long)]
    pub json: bool,
    /// Only the summary
    #[arg(long, conflicts_with = "json")]
    pub summary: bool,
    /// Append EVE events to this file
    #[arg(long, value_name = "FILE")]
    pub eve: Option<PathBuf>,
}

/// Runs `dropgate replay`. 0: every capture was read and judged to its end; 1: not so, or the policy is invalid; 3: the
/// programs cannot be loaded.
///
/// `load_programs` loads them for itself, attached to nothing, with the image in force.
///
/// # Errors
/// When the output cannot be written.
pub fn replay_main<J: Judge>(
    args: &ReplayArgs,
    load_programs: impl FnOnce(&Image) -> anyhow::Result<J>,
) -> anyhow::Result<ExitCode> {
    if args.batch {
        return batch::run(io::stdin().lock(), args.initiator_inside, load_programs, &mut io::stdout().lock());
    }
    let Some(policy) = &args.policy else { return Ok(ExitCode::from(USAGE)) };
    let mut subject = match load(policy, args.json) {
        Ok(subject) => subject,
        Err(code) => return Ok(code),
    };
    if args.initiator_inside
        && let Err(error) = subject.initiator_inside()
    {
        eprintln!("error: {error}");
        return Ok(ExitCode::from(NO));
    }
    // a log of past traffic is wanted whole
    subject.image.settings.event_rate = u32::MAX;
    let mut judge = match programs(&subject, load_programs) {
        Ok(judge) => judge,
        Err(code) => return Ok(code),
    };
    let mut eve = match &args.eve {
        Some(path) => {
            Some(EveWriter::open(path).with_context(|| format!("cannot open `{}` for events", path.display()))?)
        }
        None => None,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let summary = match replay_all(args, &subject, &mut judge, eve.as_mut(), &mut out) {
        Ok(summary) => summary,
        Err(error) if closed(&error) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error),
    };
    if let Some(eve) = &mut eve {
        eve.flush();
        if let Some(error) = eve.last_error() {
            bail!("events could not be written: {error}");
        }
    }
    let sound = summary.errors == 0 && summary.unexplained == 0;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// Flows that a replay needs room for: a million, as in service, would clear slowly between thousands of captures.
pub const REPLAY_FLOWS: u32 = 100_000;

fn replay_all(
    args: &ReplayArgs,
    subject: &Subject,
    judge: &mut impl Judge,
    eve: Option<&mut EveWriter>,
    out: &mut impl Write,
) -> anyhow::Result<Summary> {
    let options = Options {
        initiator_inside: args.initiator_inside,
        loose: subject.first_is_loose(),
        any_checksum: args.any_checksum,
    };
    let mut replay = Replay::new(judge, &subject.ports, &subject.names, options).inspecting(subject.rules.as_ref());
    if let Some(eve) = eve {
        replay = replay.telling(Box::new(|event| eve.write(event)));
    }
    for path in &args.captures {
        let name = path.display().to_string();
        let shown = (args.captures.len() > 1).then_some(name.as_str());
        if let (Some(name), false, false) = (shown, args.json, args.summary) {
            writeln!(out, "{}", text::clean(name))?;
        }
        let mut sink = |shown: Shown<'_>| {
            match shown {
                Shown::Packet(line, _) if args.json => writeln!(out, "{}", serde_json::to_string(line)?)?,
                Shown::Flow(line) if args.json => writeln!(out, "{}", serde_json::to_string(line)?)?,
                Shown::Packet(line, _) if !args.summary => writeln!(out, "{}", line.human())?,
                Shown::Packet(..) | Shown::Flow(_) => {}
            }
            Ok(())
        };
        let fault = match Capture::open(path) {
            Ok(capture) => replay.capture(shown, capture, &mut sink)?,
            Err(error) => {
                replay.unreadable();
                Some(error)
            }
        };
        if let Some(fault) = fault {
            out.flush()?;
            eprintln!("error: `{name}`: {fault}");
        }
    }
    let summary = replay.summary().clone();
    if args.json {
        out.flush()?;
        eprint!("{summary}");
    } else {
        writeln!(out, "{}{summary}", if args.summary { "" } else { "\n" })?;
    }
    out.flush()?;
    Ok(summary)
}

/// Whoever read the output has seen enough.
fn closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|error| error.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}
