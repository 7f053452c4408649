//! How a TCP connection began, and when it may leave inspection: noted by the programs, so that they need not hold segments
//! that say nothing else.

use crate::plain;

/// The first segment of one side of a connection: its SYN, or SYN and ACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(4))]
pub struct Opened {
    /// Sequence number.
    pub seq: u32,
    /// The sender's timestamp (RFC 7323, 3.2), if [`seen::TIMESTAMP`] says so.
    pub timestamp: u32,
    /// As in the header, not scaled.
    pub window: u16,
    /// Window scale (RFC 7323, 2.2), if [`seen::SCALE`] says so.
    pub scale: u8,
    /// See [`seen`]; 0: none was seen.
    pub seen: u8,
}

/// Bits of [`Opened::seen`].
pub mod seen {
    pub const SEGMENT: u8 = 1;
    pub const SCALE: u8 = 2;
    pub const TIMESTAMP: u8 = 4;
}

/// What is noted of a connection under inspection. One for each bucket of the flow table: of the flows whose first bucket it is,
/// one at a time has it, and the segments of the others are held as if there were none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Opening {
    /// [`crate::flow::Flow::id`] of whose it is; 0: nobody's. So is one whose flow is not in the table any more.
    pub flow: u64,
    /// The latest acknowledgement in the direction that passes while the other one is held: see [`said`].
    pub said: u64,
    /// Tag of that flow in the table.
    pub tag: u32,
    /// The flow is settled by an acknowledgement of this number in the direction that passes,
    pub settles_at: u32,
    /// if [`crate::flow::Flow::hold`] is this then: if nothing more was held since it was asked for. 0: it was not.
    pub settles_if: u32,
    /// By direction: to-server, to-client.
    pub sides: [Opened; 2],
    pub _pad: [u32; 3],
}

/// An acknowledgement as one word, [`Opening::said`]: its number, the window that it announces, and that there is one.
#[inline(always)]
pub const fn said(ack: u32, window: u16) -> u64 {
    ack as u64 | (window as u64) << 32 | SAID
}

/// The number and the window of [`said`]; `None`: nothing was.
#[inline(always)]
pub const fn heard(said: u64) -> Option<(u32, u16)> {
    if said & SAID == 0 { None } else { Some((said as u32, (said >> 32) as u16)) }
}

const SAID: u64 = 1 << 48;

plain!(Opened = 12, Opening = 64);
