//! The time that a capture tells.

/// Monotonic time of the first packet: late enough that nothing underflows.
pub const START_NS: u64 = 1_000_000_000_000;
/// Longest step of the clock: longer than any flow lives, and short of the wrap of the flow table's own clock.
pub const GAP_NS: u64 = 8 * 86_400 * 1_000_000_000;

/// A capture's clock, made monotonic: it starts where the run stands, never goes backwards, and never jumps further than
/// [`GAP_NS`], after which everything has expired anyway (the flow table's own clock wraps after 52 days).
pub struct CaptureClock {
    now_ns: u64,
    last: Option<u64>,
}

impl CaptureClock {
    /// A clock that starts at monotonic time `start_ns`.
    pub const fn new(start_ns: u64) -> Self {
        Self { now_ns: start_ns, last: None }
    }

    /// Monotonic time of a packet that was captured at `timestamp_ns`.
    pub fn at(&mut self, timestamp_ns: u64) -> u64 {
        let last = *self.last.get_or_insert(timestamp_ns);
        self.now_ns = self.now_ns.saturating_add(timestamp_ns.saturating_sub(last).min(GAP_NS));
        self.last = Some(last.max(timestamp_ns));
        self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_backwards_nor_jumps_over_weeks() {
        let mut clock = CaptureClock::new(START_NS);
        assert_eq!(clock.at(500), START_NS);
        assert_eq!(clock.at(700), START_NS + 200);
        assert_eq!(clock.at(600), START_NS + 200);
        assert_eq!(clock.at(800), START_NS + 300);
        assert_eq!(clock.at(u64::MAX), START_NS + 300 + GAP_NS);
        assert_eq!(clock.at(0), START_NS + 300 + GAP_NS);
    }
}
