//! What a policy says about the look into flows: `[inspection]`, `[failure]`, and what services expect.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;

/// `[inspection]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspection {
    /// Bytes of a flow, both directions together, within which it must show what it speaks.
    pub depth: u64,
    /// Time, from its first packet, within which it must.
    pub patience: Duration,
    /// Every packet is held to the end, also when nothing more is wanted of its flow.
    pub everything: bool,
    /// Another protocol is spoken than the service expects.
    pub mismatch: Reaction,
    /// Nothing that is known is spoken.
    pub unknown: Reaction,
    /// What is spoken has not shown in time.
    pub pending: Reaction,
    /// A proxy is asked for a target that the zone may not reach itself. `None`: targets are not looked at. Services may have
    /// their own: [`Service::proxied`].
    pub proxied: Option<Reaction>,
    /// Most packets that are held at once on one receive queue.
    pub held: u32,
    /// The inspector is late when it gave no sign of life for this long.
    pub late: Duration,
    /// Threads that inspect; 0: as many as an interface has receive queues, at most the CPUs.
    pub workers: u32,
    /// Bytes that flows under inspection may take, all together.
    pub memory: u64,
    /// What becomes of a flow whose beginning was not seen.
    pub midstream: Midstream,
}

impl Default for Inspection {
    fn default() -> Self {
        Self {
            depth: 16 << 10,
            patience: Duration::from_secs(30),
            everything: false,
            mismatch: Reaction::Drop,
            unknown: Reaction::Alert,
            pending: Reaction::Alert,
            proxied: Some(Reaction::Drop),
            held: 1024,
            late: Duration::from_secs(1),
            workers: 0,
            memory: 64 << 20,
            midstream: Midstream::Identify,
        }
    }
}

/// What becomes of a flow whose beginning was not seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Midstream {
    /// It passes, whatever it speaks.
    Pass,
    /// What can be told from its middle is held to what its service expects; what cannot passes.
    Identify,
    /// A TCP connection ends. A datagram tells what it is wherever it stands.
    Drop,
}

/// What becomes of a flow for what it speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reaction {
    /// It goes on, and is told of.
    Alert,
    /// It ends, without a word to its ends.
    Drop,
    /// It ends, and both ends are told by a RST.
    Reset,
}

/// What becomes of a packet that cannot be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Answer {
    /// It is dropped (fail-closed).
    #[default]
    Drop,
    /// It passes (fail-open).
    Pass,
}

/// `[failure]`: what is done when something is exhausted or at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Failure {
    /// No inspector is running, or it is late.
    pub inspector: Answer,
    /// As many packets are held as may be.
    pub credits: Answer,
    /// A packet is longer than what can be held.
    pub too_long: Answer,
    /// Flows under inspection take as much memory as they may.
    pub memory: Answer,
}

/// `proxied` of a service: its servers are proxies, and every connection to them is read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proxied {
    /// [`Inspection::proxied`] for this service. `None`: targets are not looked at, and what passes is read for rules alone.
    pub reaction: Option<Reaction>,
}

/// What is to be spoken on a service's flows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub enum Expect {
    /// What is registered for the server's port.
    #[default]
    Registered,
    Any,
    Only(Vec<Protocol>),
}
