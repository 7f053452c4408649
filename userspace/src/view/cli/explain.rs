//! `dropgate explain`: by a policy file, or by whatever judges beside a live gateway.

use super::{NO, USAGE, load, programs};
use crate::{
    capture::{Capture, Record},
    events::Names,
    inspect::Rules,
    policy::Image,
    view::{
        candidates::Candidates,
        explain::{Explanation, PolicyText, explain, explain_outer},
        inspection::inspection,
        peek::peek,
        ports::{Ports, Side, tagged},
        related::related,
        replay::{Judge, Options, Replay, START_NS, Shown},
        target::Target,
    },
};
use anyhow::bail;
use dropgate_abi::walk::Walk;
use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

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
    /// The side that starts each flow of the capture stands in the first zone, whatever its address
    #[arg(long, requires = "pcap", requires = "policy")]
    pub initiator_inside: bool,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
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
    let mut subject = match load(path, args.json) {
        Ok(subject) => subject,
        Err(code) => return Ok(code),
    };
    if args.initiator_inside
        && let Err(error) = subject.initiator_inside()
    {
        eprintln!("error: {error}");
        return Ok(ExitCode::from(NO));
    }
    let (initiator_inside, loose) = (args.initiator_inside, subject.first_is_loose());
    let options = Options { initiator_inside, loose, ..Options::default() };
    let mut judge = match programs(&subject, load_programs) {
        Ok(judge) => judge,
        Err(code) => return Ok(code),
    };
    let about = About {
        ports: &subject.ports,
        names: &subject.names,
        text: Some(&subject.text),
        rules: subject.rules.as_ref(),
        options,
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
    /// How it is decided where the packets of a capture come in.
    pub options: Options,
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
    let About { ports, names, text, rules, .. } = *about;
    let (walk, candidates) = match (&args.from, &args.to, &args.pcap, args.frame) {
        (Some(from), Some(to), ..) => {
            let target = match Target::parse(from, to) {
                Ok(target) => target,
                Err(error) => {
                    eprintln!("error: {error}");
                    return Ok(ExitCode::from(USAGE));
                }
            };
            match judge_target(&target, args.zone.as_deref(), judge, ports, now_ns)? {
                Ok(walk) => (walk, None),
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
                Ok(judged) => judged,
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
    let related = related(&walk, flow.as_ref(), judge.announced(&walk).as_ref());
    let inspection = inspection(&walk, flow.as_ref(), rules);
    let explanation = explain(&walk, names, text, (inspection, related));
    // the judge has been asked about no other packet since
    let outer = judge.outer().filter(|_| walk.tunnel != 0);
    let outer = outer.map(|outer| explain_outer(&outer, names, text).into());
    print(&Explanation { rules: candidates, outer, ..explanation }, args.json)
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

/// A frame's walk, and what rules had to do with it, if there are any. The inner error says why there is no verdict.
fn judge_frame(
    capture: Capture,
    number: u64,
    judge: &mut impl Judge,
    about: &About<'_>,
) -> anyhow::Result<Result<(Walk, Option<Candidates>), String>> {
    let mut replay =
        Replay::new(judge, about.ports, about.names, about.options).inspecting(about.rules).explaining(number);
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
                Some((walk, _)) => Ok((*walk, line.inspector.map(|what| (what, line.reason.clone())))),
                None => {
                    let detail = line.detail.as_deref().unwrap_or(&line.reason);
                    Err(format!("frame {number} was not judged: {detail}"))
                }
            });
        }
        Ok(())
    })?;
    let seen = replay.summary().packets;
    let signatures = about.rules.and_then(|rules| rules.signatures.as_ref());
    let candidates = signatures.map(|of| Candidates::new(of.ruleset.rules().len(), replay.explained()));
    let answer = answer.map(|answer| {
        answer.map(|(walk, inspector)| {
            let (inspector, reason) = inspector.unzip();
            (walk, candidates.map(|candidates| Candidates { inspector, reason, ..candidates }))
        })
    });
    Ok(answer.unwrap_or_else(|| {
        Err(match fault {
            Some(fault) => fault.to_string(),
            None => format!("there is no frame {number}; the capture has {seen}, counted from 1"),
        })
    }))
}
