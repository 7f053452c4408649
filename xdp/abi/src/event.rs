//! What the programs tell userspace through the ring buffer.

use crate::{flow::Flow, plain, walk::Walk};

/// A packet worth telling about: one record in the ring. `kind` is [`PACKET`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct PacketEvent {
    pub kind: u32,
    /// Bytes of `said` that are its payload's.
    pub said_len: u32,
    pub walk: Walk,
    /// How its payload begins, where that is why it was dropped.
    pub said: [u8; SAID],
}

/// Bytes of payload that an event shows.
pub const SAID: usize = 32;

/// A flow that left the table other than by the daemon's hand. `kind` is [`FLOW_END`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct FlowEnd {
    pub kind: u32,
    pub _pad: u32,
    pub now_ns: u64,
    pub flow: Flow,
}

/// A packet was dropped, or something odd was seen: [`PacketEvent`].
pub const PACKET: u32 = 1;
/// A flow was pushed out or its tuple used again: [`FlowEnd`].
pub const FLOW_END: u32 = 2;

plain!(PacketEvent = 176, FlowEnd = 144);
