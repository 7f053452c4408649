//! What the programs tell userspace through the ring buffer.

use crate::{flow::Flow, plain, tuple::Address, walk::Walk};

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
    /// Of a packet that was found in a tunnel: the tunnel's ends, and of which family they are; else zero.
    pub outer_src: Address,
    pub outer_dst: Address,
    pub outer_family: u8,
    pub outer_protocol: u8,
    pub _pad: [u16; 3],
}

/// Bytes of payload that an event shows.
pub const SAID: usize = 32;

/// The same, and how its frame begins, where there are rules that may be asked about it. Its first bytes are a [`PacketEvent`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct ShownEvent {
    pub event: PacketEvent,
    /// Bytes of the frame. Of a longer one than there is room for, those that are there are no whole packet.
    pub frame_len: u32,
    /// Bytes of the link-layer header that a frame of its device does not have.
    pub lacks: u32,
    pub frame: [u8; SHOWN as usize],
}

/// Bytes of a frame that an event has at most; a power of two.
pub const SHOWN: u32 = 2048;

/// A flow that left the table other than by the daemon's hand. `kind` is [`FLOW_END`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct FlowEnd {
    pub kind: u32,
    pub _pad: u32,
    pub now_ns: u64,
    pub flow: Flow,
}

/// A packet was dropped, or something odd was seen: [`PacketEvent`] or [`ShownEvent`].
pub const PACKET: u32 = 1;
/// A flow was pushed out or its tuple used again: [`FlowEnd`].
pub const FLOW_END: u32 = 2;

plain!(PacketEvent = 224, ShownEvent = 232 + SHOWN as usize, FlowEnd = 144);
