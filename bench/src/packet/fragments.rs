//! Cost per fragment of datagrams that are tracked, each from a host of its own, one after the other.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use dropgate_abi::reason::Reason;

use super::{
    draw::{Draw, Own},
    gateway::Gateway,
    policies,
};
use crate::frames::{self, Segment};

/// Hosts, a datagram each.
const HOSTS: u32 = 1 << 12;
/// Later fragments of a datagram: as many as one of 65,535 bytes has on an Ethernet.
const LATER: u16 = 44;
/// Bytes behind the IP header of each.
const BYTES: u16 = 24;
/// Between two rounds, ns: nothing is remembered so long.
const ROUND_NS: u64 = 100_000_000_000;

/// What is measured, in the order of the figures.
pub const NAMES: [&str; 3] = [
    "Dropgate, first fragments, 4096 hosts",
    "Dropgate, later fragments, the second of a datagram, 4096 hosts",
    "Dropgate, later fragments, the last of 45 of a datagram, 4096 hosts",
];

/// Measures each once, ns a fragment, in round number `round`.
pub fn time(own: &mut Own, client: (Ipv4Addr, u16), server: (Ipv4Addr, u16), round: usize) -> Result<[f64; 3]> {
    let mut gateway = Gateway::load(&policies::one_line(), 2 * HOSTS)?;
    gateway.clock(ROUND_NS * (1 + round as u64));
    let program = gateway.program()?;
    let syn = frames::tcp(client, server, Segment::Syn);
    let draw = Draw { mask: HOSTS - 1, random: 0, ..Draw::tuples(client) };
    let mut run = |frame: Vec<u8>, reason| -> Result<f64> {
        let before = gateway.counted(reason)?;
        let ran = own.drawn(&program, true, draw, &frame, HOSTS)?;
        let passed = gateway.counted(reason)? - before;
        // a full bucket takes no other datagram
        ensure!(
            passed + u64::from(HOSTS) / 1000 >= u64::from(HOSTS),
            "{passed} of {HOSTS} passed as `{}`",
            reason.name()
        );
        Ok(f64::from(ran.mean_ns))
    };
    let first = run(fragment(&syn, 0, true), Reason::allowed)?;
    let mut later = Vec::new();
    for at in 1..=LATER {
        later.push(run(fragment(&syn, at * BYTES / 8, at < LATER), Reason::fragment_tracked)?);
    }
    Ok([first, later[0], later[later.len() - 1]])
}

/// The frame with another place in a datagram; `offset` in units of eight bytes.
fn fragment(frame: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let mut frame = frame[..14 + 20 + usize::from(BYTES)].to_vec();
    frame[16..18].copy_from_slice(&(20 + BYTES).to_be_bytes());
    frame[18..20].copy_from_slice(&7u16.to_be_bytes());
    frame[20..22].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
    frame.resize(frames::LEN, 0);
    frame
}
