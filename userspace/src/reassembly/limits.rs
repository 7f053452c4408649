//! What a connection may cost, and what is chosen where there is a choice.

/// What becomes of data that comes before its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ahead {
    /// Its packets are held until the gap before them is filled: nothing that was not inspected leaves. A sender that lost a packet
    /// on its way here hears of it only by its own timer.
    #[default]
    Hold,
    /// Its packets leave at once, and their bytes are remembered: the receiver asks for what is missing, and can use none of it before
    /// the packet that fills the gap, which is held to what was inspected. Two ends that conspire can read what lies behind the gap.
    Release,
}

/// What becomes of segments with an urgent pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Urgent {
    /// Inspected like any data. A receiver that takes urgent data out of the stream (the default of sockets) reads one byte less.
    #[default]
    Inline,
    /// Dropped: the connection stands still.
    Drop,
}

/// Bounds and choices for one connection; bytes are those of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes from the start of the stream that are kept for identification.
    pub prefix: usize,
    /// Bytes that were let through and not acknowledged. More are dropped, which slows the sender down.
    pub unacknowledged: usize,
    /// Acknowledged bytes that are remembered still, to compare late retransmissions.
    pub acknowledged: usize,
    /// Bytes beyond the first gap, counted from the gap's start.
    pub ahead_bytes: usize,
    /// Packets beyond the first gap.
    pub ahead_packets: usize,
    /// What becomes of data beyond a gap.
    pub ahead: Ahead,
    /// What becomes of urgent data.
    pub urgent: Urgent,
    /// Whether a connection whose beginning was not seen is taken in; else its packets are dropped.
    pub adopt: bool,
    /// Whether a receiver may have what never came by here. In the path it cannot, and says so only in forged packets; a capture
    /// lacks packets now and then, and the gap is reported.
    pub gaps: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            prefix: 16 << 10,
            unacknowledged: 1 << 20,
            acknowledged: 16 << 10,
            ahead_bytes: 256 << 10,
            ahead_packets: 256,
            ahead: Ahead::Hold,
            urgent: Urgent::Inline,
            adopt: true,
            gaps: false,
        }
    }
}
