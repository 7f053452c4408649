//! `dropgate replay` and `dropgate explain --policy`: arguments, and what is done with them.

use super::{
    explain::{Explanation, PolicyText, explain},
    inspection::inspection,
    peek::peek,
    ports::{Ports, Side, tagged},
    replay::{Judge, Options, Replay, START_NS, Shown, Summary},
    subject::{Subject, SubjectError},
    target::Target,
};
use crate::{
    capture::{Capture, Record},
    events::{EveWriter, Names},
    inspect::Rules,
    policy::{self, Diagnostic, Image},
};
use anyhow::{Context as _, bail};
use dropgate_abi::walk::Walk;
use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

/// The answer is no, or something was wrong with a capture.
const NO: u8 = 1;
/// A mistake on the command line.
const USAGE: u8 = 2;
/// The environment cannot do it.
const ENVIRONMENT: u8 = 3;

/// Replays captures through the datapath, offline, and prints a verdict for each packet.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Policy file to judge by
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Captures: pcap or pcapng, plain or gzip
    #[arg(required = true, value_name = "PCAP")]
    pub captures: Vec<PathBuf>,
    /// Place the side that starts each flow in the first zone, whatever its address
    #[arg(long)]
    pub initiator_inside: bool,
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

/// Explains what the datapath says to one packet, stage by stage, without side effects.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// Policy file to judge by; without it the running daemon's policy and flows
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Source: ADDRESS or ADDRESS:PORT
    #[arg(long, requires = "to", required_unless_present = "pcap")]
    pub from: Option<String>,
    /// Destination: ADDRESS:PORT/tcp, ADDRESS/icmp:echo-request, ADDRESS/gre and alike
    #[arg(long, requires = "from")]
    pub to: Option<String>,
    /// The zone it comes from, if the source address is not to say
    #[arg(long)]
    pub zone: Option<String>,
    /// A frame of this capture instead; the frames before it are judged first
    #[arg(long, value_name = "FILE", requires = "frame", conflicts_with_all = ["from", "to", "zone"])]
    pub pcap: Option<PathBuf>,
    /// Number of the frame, from 1
    #[arg(long, value_name = "N", requires = "pcap", value_parser = clap::value_parser!(u64).range(1..))]
    pub frame: Option<u64>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
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
    let mut subject = match load(&args.policy, args.json) {
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
    let options = Options { initiator_inside: args.initiator_inside, loose: subject.first_is_loose() };
    let mut replay = Replay::new(judge, &subject.ports, &subject.names, options).inspecting(subject.rules.as_ref());
    if let Some(eve) = eve {
        replay = replay.telling(Box::new(|event| eve.write(event)));
    }
    for path in &args.captures {
        let name = path.display().to_string();
        let shown = (args.captures.len() > 1).then_some(name.as_str());
        if let (Some(name), false, false) = (shown, args.json, args.summary) {
            writeln!(out, "{}", super::text::clean(name))?;
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

/// Runs `dropgate explain --policy`. 0: explained, whatever the verdict; 1: the policy is invalid, the capture cannot be
/// read or has no such frame; 2: the question cannot be understood; 3: the programs cannot be loaded.
///
/// # Errors
/// When there is no `--policy`, or the output cannot be written.
pub fn explain_main<J: Judge>(
    args: &ExplainArgs,
    load_programs: impl FnOnce(&Image) -> anyhow::Result<J>,
) -> anyhow::Result<ExitCode> {
    let Some(path) = &args.policy else {
        bail!("no policy to judge by; name one with `--policy FILE`");
    };
    let subject = match load(path, args.json) {
        Ok(subject) => subject,
        Err(code) => return Ok(code),
    };
    let mut judge = match programs(&subject, load_programs) {
        Ok(judge) => judge,
        Err(code) => return Ok(code),
    };
    let about = About {
        ports: &subject.ports,
        names: &subject.names,
        text: Some(&subject.text),
        rules: subject.rules.as_ref(),
    };
    explain_with(args, &mut judge, &about, START_NS)
}

/// What a packet is explained by.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub ports: &'a Ports,
    pub names: &'a Names,
    /// The policy file.
    pub text: Option<&'a PolicyText>,
    /// What it says about inspection, if that is at hand.
    pub rules: Option<&'a Rules>,
}

/// Answers the question that `args` asks with any judge, at monotonic time `now_ns`: what [`explain_main`] does once it has
/// loaded a policy, and what a private load with the maps of a live gateway does.
///
/// # Errors
/// As [`explain_main`].
pub fn explain_with(
    args: &ExplainArgs,
    judge: &mut impl Judge,
    about: &About<'_>,
    now_ns: u64,
) -> anyhow::Result<ExitCode> {
    let About { ports, names, text, rules } = *about;
    let walk = match (&args.from, &args.to, &args.pcap, args.frame) {
        (Some(from), Some(to), ..) => {
            let target = match Target::parse(from, to) {
                Ok(target) => target,
                Err(error) => {
                    eprintln!("error: {error}");
                    return Ok(ExitCode::from(USAGE));
                }
            };
            match judge_target(&target, args.zone.as_deref(), judge, ports, now_ns)? {
                Ok(walk) => walk,
                Err(message) => {
                    eprintln!("error: {message}");
                    return Ok(ExitCode::from(USAGE));
                }
            }
        }
        (_, _, Some(path), Some(number)) => {
            let capture = match Capture::open(path) {
                Ok(capture) => capture,
                Err(error) => {
                    eprintln!("error: `{}`: {error}", path.display());
                    return Ok(ExitCode::from(NO));
                }
            };
            match judge_frame(capture, number, judge, about)? {
                Ok(walk) => walk,
                Err(message) => {
                    eprintln!("error: `{}`: {message}", path.display());
                    return Ok(ExitCode::from(NO));
                }
            }
        }
        _ => {
            eprintln!("error: nothing to explain; expected `--from` and `--to`, or `--pcap` and `--frame`");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let flow = judge.flows().into_iter().find(|flow| flow.id == walk.flow_id);
    print(&explain(&walk, names, text, inspection(&walk, flow.as_ref(), rules)), args.json)
}

fn print(explanation: &Explanation, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let written = if json {
        serde_json::to_writer_pretty(&mut out, explanation).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        write!(out, "{explanation}")
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The inner error is a mistake in the question.
fn judge_target(
    target: &Target,
    zone: Option<&str>,
    judge: &mut impl Judge,
    ports: &Ports,
    now_ns: u64,
) -> anyhow::Result<Result<Walk, String>> {
    let from = match zone {
        None => ports.side_of(target.src, [0, 0]),
        Some("outside") => Side::Outside,
        Some("self") => Side::Own,
        Some(name) => match ports.zones.iter().position(|zone| zone.name == name) {
            Some(at) => Side::Zone(at),
            None => {
                let known: Vec<String> = ports.zones.iter().map(|zone| format!("`{}`", zone.name)).collect();
                return Ok(Err(format!("no zone `{name}`; the policy has {}, `self` and `outside`", known.join(", "))));
            }
        },
    };
    let Some(place) = ports.place(from, Some(ports.side_of(target.dst, [0, 0]))) else {
        return Ok(Err("the policy names no outside interface by which this packet could come or go".to_owned()));
    };
    let frame = target.frame();
    let mut room = Vec::new();
    let frame = tagged(&frame, &peek(&frame), &place, &mut room);
    judge.judge(place.hook, place.ifindex, place.from_ifindex, now_ns, frame).map(Ok)
}

/// The inner error says why there is no verdict.
fn judge_frame(
    capture: Capture,
    number: u64,
    judge: &mut impl Judge,
    about: &About<'_>,
) -> anyhow::Result<Result<Walk, String>> {
    let mut replay = Replay::new(judge, about.ports, about.names, Options::default()).inspecting(about.rules);
    let mut answer = None;
    let wanted = capture.take_while(|record| match record {
        Ok(Record::Packet(packet)) => packet.number <= number,
        Ok(Record::Skipped(skipped)) => skipped.number <= number,
        Err(_) => true,
    });
    let fault = replay.capture(None, wanted, &mut |shown| {
        if let Shown::Packet(line, judged) = shown
            && line.frame == number
        {
            answer = Some(match judged {
                Some((walk, _)) => Ok(*walk),
                None => {
                    let detail = line.detail.as_deref().unwrap_or(&line.reason);
                    Err(format!("frame {number} was not judged: {detail}"))
                }
            });
        }
        Ok(())
    })?;
    let seen = replay.summary().packets;
    Ok(answer.unwrap_or_else(|| {
        Err(match fault {
            Some(fault) => fault.to_string(),
            None => format!("there is no frame {number}; the capture has {seen}, counted from 1"),
        })
    }))
}

/// Loads a policy; tells what is wrong with it on standard error.
fn load(path: &std::path::Path, json: bool) -> Result<Subject, ExitCode> {
    match Subject::load(path) {
        Ok(subject) => {
            if !json {
                tell(&subject.warnings);
            }
            Ok(subject)
        }
        Err(error) => {
            if let SubjectError::Invalid { errors, .. } = &error {
                tell(errors);
            }
            eprintln!("error: {error}");
            Err(ExitCode::from(NO))
        }
    }
}

fn tell(found: &[Diagnostic]) {
    let colour = io::IsTerminal::is_terminal(&io::stderr());
    eprint!("{}", policy::render(found, colour));
}

fn programs<J: Judge>(subject: &Subject, load: impl FnOnce(&Image) -> anyhow::Result<J>) -> Result<J, ExitCode> {
    load(&subject.image).map_err(|error| {
        eprintln!("error: the programs cannot be loaded: {}", brief(&format!("{error:#}")));
        eprintln!("  this needs root (CAP_BPF, CAP_NET_ADMIN) and a kernel with BTF");
        ExitCode::from(ENVIRONMENT)
    })
}

/// The first line and the last ones: between them a kernel that refuses a program writes thousands.
fn brief(text: &str) -> String {
    const LAST: usize = 6;
    let lines: Vec<&str> = text.lines().collect();
    match lines.split_first() {
        Some((first, rest)) if rest.len() > LAST => {
            let last = &rest[rest.len() - LAST..];
            format!("{first}\n  ... {} lines left out\n  {}", rest.len() - LAST, last.join("\n  "))
        }
        _ => text.to_owned(),
    }
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
