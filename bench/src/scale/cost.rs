//! Cost per packet from random sources with a million blocked prefixes, beside bare look-ups of the same prefixes.

use anyhow::{Context as _, Result, ensure};
use aya::programs::ProgramFd;
use dropgate::{datapath::BlockTable, policy::Image};
use dropgate_abi::reason::Reason;
use etherparse::PacketBuilder;
use serde::Serialize;

use crate::{
    packet::{Draw, Gateway, Own},
    stats::{Spread, Target},
};

/// Runs of a case in a round.
const REPEAT: u32 = 200_000;
/// Sources at random: 2^30 addresses of IPv4 from 128.0.0.0 on; of IPv6 2^61 networks from 2000:: on.
const BITS4: u32 = 30;
const BITS6: u32 = 29;

/// A case: ns a run, and the median less that of the wrapper alone.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub name: String,
    pub ns: Spread,
    pub net_ns: f64,
    /// Part of the sources that were on the list.
    pub blocked: f64,
}

/// What is measured of a family, in this order.
const CASES: [&str; 5] = [
    "wrapper alone",
    "Dropgate, no blocklist",
    "Dropgate",
    "bare look-up in the same structure",
    "bare look-up in a trie",
];

/// Measures both families with an image that has the list and one that has none.
pub fn run(rounds: usize, with: &Image, without: &Image) -> Result<(Vec<Cost>, Vec<Target>)> {
    let with_list = Gateway::of(with)?;
    let without_list = Gateway::of(without)?;
    let tables = BlockTable::all(&with.blocklist);
    let (mut costs, mut targets) = (Vec::new(), Vec::new());
    for (v6, table) in [false, true].into_iter().zip(&tables) {
        let mut own = Own::for_list(table.index().len(), table.blocked().len())?;
        own.fill_list(table, v6).context("the bare look-ups' tables")?;
        let family = if v6 { "IPv6" } else { "IPv4" };
        let mut samples = vec![Vec::with_capacity(rounds); CASES.len()];
        let mut blocked = [0.0; CASES.len()];
        for round in 0..=rounds {
            eprintln!("{family}, round {round} of {rounds}");
            let programs: [(ProgramFd, bool); 5] = [
                (own.program("at_once_frags")?, true),
                (without_list.program()?, true),
                (with_list.program()?, true),
                (own.program("listed")?, false),
                (own.program("in_trie")?, false),
            ];
            for (at, (program, frags)) in programs.iter().enumerate() {
                let found = |own: &Own| -> Result<u64> {
                    if at == 2 { with_list.counted(Reason::blocked_source) } else { own.found() }
                };
                let before = found(&own)?;
                let ran = own.drawn(program, *frags, draw(v6, round), &frame(v6), REPEAT)?;
                ensure!(at == 0 || ran.action == super::XDP_DROP, "`{}` returned {}", CASES[at], ran.action);
                blocked[at] = (found(&own)? - before) as f64 / f64::from(REPEAT);
                // round 0 warms up
                if round > 0 {
                    samples[at].push(f64::from(ran.mean_ns));
                }
            }
        }
        // all three have looked at the same sources
        let apart = blocked[2..].iter().any(|part| (part - blocked[2]).abs() > 0.001);
        ensure!(!apart, "the look-ups do not agree on which {family} sources are blocked: {:?}", &blocked[2..]);
        let spreads: Vec<Spread> = samples.into_iter().map(Spread::of).collect();
        let net = |at: usize| spreads[at].median - spreads[0].median;
        for (peer, what) in [(3, "the same structure"), (4, "a trie")] {
            targets.push(Target::at_most(
                format!("{family}, random sources, the whole packet / bare look-up in {what}"),
                spreads[2].median / spreads[peer].median,
                1.3,
                "times",
            ));
        }
        targets.push(Target::at_most(
            format!("{family}, random sources, what the list adds / bare look-up in the same structure"),
            (net(2) - net(1)) / net(3),
            1.3,
            "times",
        ));
        for (at, ns) in spreads.iter().enumerate() {
            let name = format!("{family}, {}", CASES[at]);
            costs.push(Cost { name, ns: ns.clone(), net_ns: net(at), blocked: blocked[at] });
        }
    }
    Ok((costs, targets))
}

/// Sources at random.
fn draw(v6: bool, round: usize) -> Draw {
    let (bits, address) = if v6 { (BITS6, 0x2000_0000) } else { (BITS4, 0x8000_0000) };
    let mask = (1 << bits) - 1;
    let tuples = Draw::tuples((std::net::Ipv4Addr::from_bits(address), 40_000));
    // the same sources for all cases of a round
    let state = tuples.state ^ (round as u64) << 20;
    Draw { state, mask, host_mask: mask, host_bits: 31, to_client: if v6 { 2 } else { 0 }, ..tuples }
}

/// A packet from the outside that nothing allows.
fn frame(v6: bool) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let builder = if v6 {
        builder.ipv6([0x20; 16], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], 64)
    } else {
        builder.ipv4([128, 0, 0, 1], [203, 0, 113, 9], 64)
    };
    let mut frame = Vec::new();
    // writing to a vector does not fail
    let _ = builder.tcp(40_000, 443, 1, 64000).syn().write(&mut frame, &[]);
    frame.resize(frame.len().max(60), 0);
    frame
}
