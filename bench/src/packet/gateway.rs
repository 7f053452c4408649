//! Dropgate's object with a policy in force, and flows in its table.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use aya::programs::ProgramFd;
use dropgate::{
    datapath::{Bench, Sizes},
    policy::Image,
};
use dropgate_abi::{control::mode, reason::Reason};

use super::{
    draw::{Draw, Own},
    policies,
};
use crate::frames::{self, Segment};

/// Name of the program.
const INGRESS: &str = "dropgate_ingress";
/// The time it is, ns: any but zero.
const NOW_NS: u64 = 1 << 40;

/// One load of the object.
pub struct Gateway {
    bench: Bench,
}

impl Gateway {
    /// With room for `flows`.
    pub fn load(policy: &str, flows: u32) -> Result<Self> {
        let image = policies::compile(policy)?;
        let sizes = Sizes { flow_buckets: Sizes::for_flows(flows).flow_buckets, ..Sizes::for_flows(1) };
        let bench = Bench::with_sizes(&image, sizes).context("loading the object")?;
        let mut gateway = Self { bench };
        gateway.port(policies::INSIDE);
        Ok(gateway)
    }

    /// With small tables; frames come in from the outside, if the image is of a policy with both interfaces of
    /// [`policies`].
    pub fn of(image: &Image) -> Result<Self> {
        let sizes = Sizes::for_flows(1 << 16);
        let bench = Bench::with_sizes(image, sizes).context("loading the object")?;
        let mut gateway = Self { bench };
        gateway.port(policies::OUTSIDE);
        Ok(gateway)
    }

    /// Frames come in by this interface from now on.
    fn port(&mut self, name: &str) {
        self.bench.control(|control| {
            control.mode = mode::BENCH;
            control.clock_ns = NOW_NS;
            control.port_ifindex = policies::ifindex(name);
        });
    }

    /// The time it is from now on, ns.
    pub fn clock(&mut self, now_ns: u64) {
        self.bench.control(|control| control.clock_ns = now_ns);
    }

    /// The program.
    pub fn program(&self) -> Result<ProgramFd> {
        Ok(self.bench.object().program_fd(INGRESS)?.try_clone()?)
    }

    /// Packets counted for a reason.
    pub fn counted(&self, reason: Reason) -> Result<u64> {
        Ok(self.bench.reason_counter(reason)?.packets)
    }

    /// Opens a TCP flow for every tuple: SYN, SYN+ACK, ACK.
    pub fn fill(&mut self, own: &mut Own, client: (Ipv4Addr, u16), server: (Ipv4Addr, u16)) -> Result<()> {
        let draw = Draw { random: 0, ..Draw::tuples(client) };
        let program = self.program()?;
        let steps = [
            (policies::INSIDE, frames::tcp(client, server, Segment::Syn), 0, Reason::allowed),
            (policies::OUTSIDE, frames::tcp(server, client, Segment::SynAck), 1, Reason::flow),
            (policies::INSIDE, frames::tcp(client, server, Segment::Ack), 0, Reason::flow),
        ];
        for (port, frame, to_client, reason) in steps {
            self.port(port);
            let before = self.counted(reason)?;
            own.drawn(&program, true, Draw { to_client, ..draw }, &frame, draw.mask + 1)?;
            let passed = self.counted(reason)? - before;
            let all = u64::from(draw.mask) + 1;
            eprintln!("  {passed} of {all} packets passed as `{}`", reason.name());
            // a full bucket pushes an embryonic flow out now and then
            ensure!(all - passed <= all / 1000, "more than one flow in a thousand was not opened");
        }
        Ok(())
    }
}
