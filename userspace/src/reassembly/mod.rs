//! TCP reassembly for a device that sits in the path.
//!
//! The promise: for every byte that was inspected, the receiver gets that byte or none. It is kept in the simplest way there
//! is: at each sequence number one value is ever let through, the first one seen. Whichever copy a receiver prefers, and
//! whatever it throws away (a wrong checksum, a short TTL, an old timestamp), it cannot have another byte than the inspector
//! saw. What is not the next byte waits until the gap before it has been filled.
//!
//! No I/O, no clock, no panic: a [`Connection`] is told of each segment in the order of the wire and answers. `docs/reassembly.md`
//! lists every case with its reason and its test.

mod connection;
mod limits;
mod memory;
mod segment;
mod side;
#[cfg(test)]
mod tests;

use dropgate_abi::reason::Reason;

pub(crate) use self::segment::{checksum, completed, partial};
pub use self::{
    connection::{Connection, Said},
    limits::{Ahead, Limits, Urgent},
    segment::{Checksum, Options, Segment, flag},
};
use crate::protocol::Direction;

/// What becomes of a segment's packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It may leave, if what it added to the stream is allowed.
    Release,
    /// It is kept by the caller, under the token passed, until an [`Outcome`] names that token.
    Hold,
    /// It must not leave.
    Drop(Reason),
}

/// What else follows from a segment. Reused from one to the next.
#[derive(Default, Debug)]
pub struct Outcome {
    /// Packets held earlier that may leave now, in this order, after the one that was judged.
    pub let_go: Vec<u32>,
    /// Packets held earlier that must not leave any more.
    pub discard: Vec<(u32, Reason)>,
    /// Another connection has begun on the same addresses and ports: what was known of the last one is void, the bytes that
    /// [`Connection::bytes`] gives begin anew.
    pub restarted: bool,
    /// So many bytes of this direction were never seen and the receiver has them; only where a connection was met in mid-stream, or [`Limits::gaps`] allows it. Those
    /// in [`Outcome::stream`] come after the gap.
    pub gap: Option<(Direction, u64)>,
    /// What is odd about a segment that is let through.
    pub odd: Option<Reason>,
    streams: [Vec<u8>; 2],
}

impl Outcome {
    /// The next bytes of the stream of this direction, to be inspected before anything of this outcome is let go.
    pub fn stream(&self, direction: Direction) -> &[u8] {
        &self.streams[direction as usize]
    }

    fn clear(&mut self) {
        self.let_go.clear();
        self.discard.clear();
        self.restarted = false;
        (self.gap, self.odd) = (None, None);
        for stream in &mut self.streams {
            stream.clear();
        }
    }
}
