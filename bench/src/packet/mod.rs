//! Cost per packet by `BPF_PROG_TEST_RUN`: Dropgate beside a program that returns at once, a bare look-up and xdp-filter.
//!
//! The kernel runs a program many times on one frame and tells the mean. *One tuple*: the frame stays as it is. *Drawn*:
//! the wrapper writes a tuple into the frame before each run and tail-calls the program; its own cost is measured with the
//! program that returns at once behind it. Rounds go through all cases in turn.

mod commit;
mod draw;
mod fragments;
mod gateway;
mod peers;
mod policies;

use std::{net::Ipv4Addr, os::fd::AsFd as _};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::ProgramFd;
use dropgate::datapath::test_run;
use dropgate_abi::reason::Reason;
use serde::Serialize;

pub use commit::{Commit, run as commit};
pub use draw::{BROUGHT, Draw, Own, PROBES};
pub use gateway::Gateway;
pub use policies::compile_in;

use self::peers::Filter;
use crate::{
    frames::{self, Segment},
    stats::{Spread, Target},
};

/// Test runs of a case in a round, of which the median counts: short ones, so that a scheduler that lets somebody else run
/// spoils few of them.
const BURSTS: usize = 9;
/// Runs of the program in one of them: one tuple, and drawn (together as many as there are tuples, so that most come up).
const REPEAT: u32 = 50_000;
const REPEAT_DRAWN: u32 = (1 << 20) / BURSTS as u32;
const RUNS_DRAWN: u64 = REPEAT_DRAWN as u64 * BURSTS as u64;

pub const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// The server of every flow.
const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 9), 443);
/// A port that no line allows.
const DENIED: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 9), 444);
/// First tuple drawn.
const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 1), 1024);

/// Figures of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub name: &'static str,
    /// Whether the wrapper drew a tuple before each run.
    pub drawn: bool,
    /// ns a run, all told.
    pub ns: Spread,
    /// Median less that of the program that returns at once, run the same way.
    pub net_ns: f64,
}

/// All cases, and what the issue asks of them.
#[derive(Clone, Debug, Serialize)]
pub struct Packet {
    pub cases: Vec<Measured>,
    pub targets: Vec<Target>,
}

/// One program on one kind of frame.
struct Case {
    name: &'static str,
    program: ProgramFd,
    /// It was loaded for frames of several buffers.
    frags: bool,
    frame: Vec<u8>,
    draw: Option<Draw>,
    action: u32,
    /// The case to subtract.
    base: &'static str,
}

const AT_ONCE: &str = "returns at once";
const AT_ONCE_DRAWN: &str = "wrapper, then returns at once";
const FILTER_PASS: &str = "xdp-filter, passed";
const FILTER_PASS_DRAWN: &str = "xdp-filter, passed, a million tuples";
const FILTER_DROP: &str = "xdp-filter, dropped by port";
const FILTER_DROP_DRAWN: &str = "xdp-filter, dropped by port, a million tuples";
const LOOK_UP: &str = "bare look-up, one of a million";
const LOOK_UP_DRAWN: &str = "bare look-up, a million tuples";
const SETTLED: &str = "Dropgate, settled flow";
const SETTLED_DRAWN: &str = "Dropgate, settled flows, a million tuples";
const DENIED_ONE: &str = "Dropgate, denied new flow, one-line policy";
const DENIED_ONE_DRAWN: &str = "Dropgate, denied new flows, one-line policy, a million tuples";
const DENIED_BIG: &str = "Dropgate, denied new flow, 256 zones of 40 services";
const DENIED_BIG_DRAWN: &str = "Dropgate, denied new flows, 256 zones of 40 services, a million tuples";
const DENIED_SMALL_ZONES: &str = "Dropgate, denied new flows, one-line policy, tuples of 256 zones";

/// Measures everything, or `only` the cases whose names hold one of these.
pub fn run(rounds: usize, only: &[String]) -> Result<Packet> {
    let mut own = Own::load()?;
    let pass = Filter::load(None)?;
    let deny = Filter::load(Some(DENIED.1))?;
    let mut small = Gateway::load(&policies::one_line(), draw::TUPLES)?;
    let big = Gateway::load(&policies::many(), 1024)?;
    let ack = frames::tcp(CLIENT, SERVER, Segment::Ack);
    let syn = frames::tcp(CLIENT, DENIED, Segment::Syn);

    let random = Draw::tuples(CLIENT);
    // a profile of what starts no flow is clearer without this
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only));
    if [SETTLED, SETTLED_DRAWN, LOOK_UP, LOOK_UP_DRAWN].into_iter().any(wanted) {
        eprintln!("filling tables with a million flows");
        small.fill(&mut own, CLIENT, SERVER)?;
        own.fill_table(&ack, Draw { random: 0, ..random })?;
    }
    let zones = Draw { host_shift: 12, ..random };

    let at_once = own.program("at_once")?;
    let at_once_frags = own.program("at_once_frags")?;
    let look_up = own.program("look_up")?;
    let case = |name, program, frame: &Vec<u8>, action| Case {
        name,
        program,
        frags: false,
        frame: frame.clone(),
        draw: None,
        action,
        base: AT_ONCE,
    };
    let with = |case, draw| Case { draw: Some(draw), base: AT_ONCE_DRAWN, ..case };
    let frags = |case| Case { frags: true, ..case };
    let cases = [
        case(AT_ONCE, at_once, &ack, XDP_PASS),
        case(FILTER_PASS, pass.program()?, &ack, XDP_PASS),
        case(SETTLED, small.program()?, &ack, XDP_PASS),
        case(FILTER_DROP, deny.program()?, &syn, XDP_DROP),
        case(DENIED_ONE, small.program()?, &syn, XDP_DROP),
        case(DENIED_BIG, big.program()?, &syn, XDP_DROP),
        case(LOOK_UP, look_up.try_clone()?, &ack, XDP_PASS),
        with(frags(case(AT_ONCE_DRAWN, at_once_frags, &ack, XDP_PASS)), random),
        with(case(FILTER_PASS_DRAWN, pass.program()?, &ack, XDP_PASS), random),
        with(case(LOOK_UP_DRAWN, look_up, &ack, XDP_PASS), random),
        with(frags(case(SETTLED_DRAWN, small.program()?, &ack, XDP_PASS)), random),
        with(case(FILTER_DROP_DRAWN, deny.program()?, &syn, XDP_DROP), random),
        with(frags(case(DENIED_ONE_DRAWN, small.program()?, &syn, XDP_DROP)), random),
        with(frags(case(DENIED_SMALL_ZONES, small.program()?, &syn, XDP_DROP)), zones),
        with(frags(case(DENIED_BIG_DRAWN, big.program()?, &syn, XDP_DROP)), zones),
    ];

    let cases: Vec<Case> = cases.into_iter().filter(|case| wanted(case.name)).collect();
    let mut samples = vec![Vec::with_capacity(rounds); cases.len()];
    for round in 0..=rounds {
        eprintln!("round {round} of {rounds}");
        for (case, samples) in cases.iter().zip(&mut samples) {
            let hits = small.counted(Reason::flow)?;
            let ns = own.time(case).with_context(|| format!("`{}`", case.name))?;
            if case.name == SETTLED_DRAWN {
                let missed = RUNS_DRAWN - (small.counted(Reason::flow)? - hits);
                ensure!(missed <= RUNS_DRAWN / 1000, "{missed} of {RUNS_DRAWN} packets met no settled flow");
            }
            // round 0 warms up
            if round > 0 {
                samples.push(ns);
            }
        }
    }
    let mut parts = vec![Vec::with_capacity(rounds); fragments::NAMES.len()];
    if fragments::NAMES.into_iter().any(wanted) {
        for round in 0..=rounds {
            for (ns, samples) in fragments::time(&mut own, CLIENT, SERVER, round)?.into_iter().zip(&mut parts) {
                // round 0 warms up
                if round > 0 {
                    samples.push(ns);
                }
            }
        }
    }
    let spreads: Vec<Spread> = samples.into_iter().map(Spread::of).collect();
    let median = |name: &str| {
        cases.iter().zip(&spreads).find(|(case, _)| case.name == name).map_or(f64::NAN, |(_, spread)| spread.median)
    };
    let net = |name: &str, base: &str| median(name) - median(base);
    let targets = vec![
        ratio("settled flow, one tuple / xdp-filter's pass", median(SETTLED), median(FILTER_PASS), 1.3),
        ratio(
            "settled flows, a million / bare look-up in a million",
            median(SETTLED_DRAWN),
            median(LOOK_UP_DRAWN),
            1.3,
        ),
        ratio("denied new flow, one tuple / xdp-filter's drop", median(DENIED_ONE), median(FILTER_DROP), 1.5),
        ratio("denied new flow, 256 zones of 40 services / one line", median(DENIED_BIG), median(DENIED_ONE), 1.5),
        ratio(
            "denied new flows, tuples of 256 zones, 256 zones of 40 services / one line",
            median(DENIED_BIG_DRAWN),
            median(DENIED_SMALL_ZONES),
            1.5,
        ),
    ];
    // a run of some cases has no ratios
    let targets = if !only.is_empty() { vec![] } else { targets };
    let cases = cases
        .iter()
        .zip(&spreads)
        .map(|(case, ns)| Measured {
            name: case.name,
            drawn: case.draw.is_some(),
            ns: ns.clone(),
            net_ns: net(case.name, case.base),
        })
        .chain(fragments::NAMES.into_iter().zip(parts).filter(|(_, samples)| !samples.is_empty()).map(
            |(name, samples)| {
                let ns = Spread::of(samples);
                Measured { name, drawn: true, net_ns: ns.median - median(AT_ONCE_DRAWN), ns }
            },
        ))
        .collect();
    Ok(Packet { cases, targets })
}

fn ratio(what: &str, value: f64, peer: f64, bound: f64) -> Target {
    Target::at_most(what, value / peer, bound, "times")
}

impl Own {
    /// Runs a case; ns a run.
    fn time(&mut self, case: &Case) -> Result<f64> {
        let mut bursts = Vec::with_capacity(BURSTS);
        for burst in 0..BURSTS as u64 {
            let ran = match case.draw {
                None => test_run(case.program.as_fd(), &case.frame, REPEAT, None)?,
                Some(draw) => {
                    let draw = Draw { state: draw.state ^ burst, ..draw };
                    self.drawn(&case.program, case.frags, draw, &case.frame, REPEAT_DRAWN)?
                }
            };
            if ran.action != case.action {
                bail!("the program returned {}, not {}", ran.action, case.action);
            }
            bursts.push(f64::from(ran.mean_ns));
        }
        Ok(Spread::of(bursts).median)
    }
}
