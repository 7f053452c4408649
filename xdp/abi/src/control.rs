//! What steers the programs apart from policy.

use crate::plain;

/// `CONTROL`, one entry. Written by the daemon; read at entry by every packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct Control {
    /// `generation << 32 | slot`: the one word that a commit flips.
    pub active: u64,
    /// Until this monotonic time (ns) mid-stream TCP is adopted; 0: never.
    pub adopt_until_ns: u64,
    /// Buckets of the flow table less one.
    pub flow_mask: u32,
    /// Buckets of the fragment table less one.
    pub fragment_mask: u32,
    /// Secret of the hash of flow and fragment keys.
    pub secret: [u32; 10],
    /// See [`mode`]. Zero in service.
    pub mode: u32,
    /// In [`mode::BENCH`]: where the frame is said to come in (or, at egress, to leave).
    pub port_ifindex: u32,
    /// In [`mode::BENCH`]: at egress, where it came in; 0: from the gateway itself.
    pub from_ifindex: u32,
    /// [`crate::VERSION`] of whoever made the maps.
    pub version: u32,
    /// In [`mode::BENCH`]: the time, ns.
    pub clock_ns: u64,
    /// SO_NETNS_COOKIE of the network namespace this belongs to.
    pub netns_cookie: u64,
    /// Monotonic time of the daemon's last sign of life, ns.
    pub heartbeat_ns: u64,
    /// Incomplete datagrams that one source may have at a time.
    pub fragments_per_source: u32,
    pub _pad: [u32; 5],
}

/// Bits of [`Control::mode`].
pub mod mode {
    /// Clock and port come from [`super::Control`]: for replay, explain and tests by `BPF_PROG_TEST_RUN`.
    pub const BENCH: u32 = 1;
    /// The walk of each packet is written to `TRACE`.
    pub const TRACE: u32 = 2;
    /// In [`BENCH`]: how connections begin is noted, as in service. Else every packet of a flow that is inspected is held, for
    /// whoever runs the programs to see.
    pub const OPENINGS: u32 = 8;
}

/// Packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// Events of one reason on one CPU: a token bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Limiter {
    /// Tick (2^20 ns) of the last refill.
    pub refilled: u32,
    pub tokens: u32,
    /// Events not made because of the rate.
    pub suppressed: u64,
    /// Events not made because the ring was full.
    pub lost: u64,
}

/// Key of `ASKED`: an address that the gateway asked for by ARP or neighbour solicitation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Asked {
    pub address: crate::tuple::Address,
    pub ifindex: u32,
    pub family: u32,
}

plain!(Control = 128, Counter = 16, Limiter = 24, Asked = 24);
