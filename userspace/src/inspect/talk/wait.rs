//! Packets that wait until it is known what is spoken.

use super::{Layer, Talk};

/// Packets of a flow that wait at most, and their bytes: there is room for a hello in segments of one byte.
const MOST_WAITING: usize = 1024;
const MOST_WAITING_BYTES: usize = 64 << 10;
/// How often what a flow says may wait in vain.
const STALLS: u8 = 3;

/// A packet that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Place of the socket that it came by.
    pub place: u32,
    pub frame: Box<[u8]>,
}

impl Talk {
    /// Whether something was said of which more is needed before it can be judged.
    fn is_midway(&self) -> bool {
        !self.settled && self.layers.last().is_none_or(Layer::is_midway)
    }

    /// Whether what is said now has to wait: until it can be judged, or behind what waits already. The other end must not
    /// see a byte of what does not belong there; but it may have to see some before it says what tells, so that nothing
    /// waits for long, nor often.
    pub(in crate::inspect) fn makes_wait(&self) -> bool {
        !self.waiting.is_empty() || self.is_midway() && (self.stalls < STALLS || self.awaits_answer())
    }

    /// Whether what waits stays until the other end has answered, however long that takes.
    fn awaits_answer(&self) -> bool {
        !self.settled && self.layers.last().is_some_and(Layer::awaits_answer)
    }

    /// Whether something waits still, and is to be let go later.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && !self.is_hopeless()
    }

    /// What is expected is not spoken: the next packet ends the flow.
    fn is_hopeless(&self) -> bool {
        !self.settled && self.layers.last().is_some_and(|layer| layer.hopeless)
    }

    /// Whether something has waited in vain for what is spoken to show.
    pub(in crate::inspect) const fn has_stalled(&self) -> bool {
        self.stalls > 0
    }

    /// Takes a packet that came by the socket at `place`; whether it is the first one.
    pub fn wait(&mut self, place: u32, frame: Box<[u8]>) -> bool {
        self.wait_parts(place, std::iter::once(frame))
    }

    /// Takes a packet that came in several frames.
    pub fn wait_parts(&mut self, place: u32, frames: impl Iterator<Item = Box<[u8]>>) -> bool {
        let before = self.waiting.len();
        self.waiting.extend(frames.map(|frame| Waiting { place, frame }));
        self.waiting_bytes += self.waiting[before..].iter().map(|waiting| waiting.frame.len()).sum::<usize>();
        self.waits += 1;
        self.waits == 1
    }

    /// Whether what waits is to be let go at once.
    pub fn has_waited(&self) -> bool {
        !self.is_midway() || self.waits >= MOST_WAITING || self.waiting_bytes >= MOST_WAITING_BYTES
    }

    /// What waited, to be let go in this order. Nothing where it stays: what is expected is not spoken, or the other end has to
    /// answer first.
    pub fn let_go(&mut self) -> Vec<Waiting> {
        if self.awaits_answer() {
            return Vec::new();
        }
        if self.is_midway() && !self.waiting.is_empty() {
            self.stalls = self.stalls.saturating_add(1);
        }
        if self.is_hopeless() {
            return Vec::new();
        }
        (self.waits, self.waiting_bytes) = (0, 0);
        std::mem::take(&mut self.waiting)
    }
}
