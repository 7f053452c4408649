//! The bytes of one direction that are remembered: one value for each place in the stream, the first that was seen.

use std::ops::Range;

/// Forgotten bytes are left in front of the buffer up to this many, or as many as are remembered.
const SLACK: usize = 4096;

/// A stretch without gaps from [`Memory::base`] to [`Memory::next`], and runs beyond it.
///
/// Work is linear in what is put or compared plus the number of runs; memory in the distance from the first remembered byte
/// to the last one.
#[derive(Debug)]
pub(super) struct Memory {
    /// Bytes from `base` on, after `forgotten` that are of no use; what lies between runs is of no meaning.
    bytes: Vec<u8>,
    forgotten: usize,
    base: i64,
    next: i64,
    /// Beyond `next`: ascending, with gaps between them.
    runs: Vec<Range<i64>>,
}

impl Memory {
    /// Nothing yet; the first byte expected has this place.
    pub const fn new(next: i64) -> Self {
        Self { bytes: Vec::new(), forgotten: 0, base: next, next, runs: Vec::new() }
    }

    /// The first place remembered.
    pub const fn base(&self) -> i64 {
        self.base
    }

    /// The place after the last byte without a gap before it.
    pub const fn next(&self) -> i64 {
        self.next
    }

    /// The place after the last byte.
    pub fn top(&self) -> i64 {
        self.runs.last().map_or(self.next, |run| run.end)
    }

    /// The first place beyond the first gap.
    pub fn ahead(&self) -> Option<i64> {
        self.runs.first().map(|run| run.start)
    }

    /// Runs beyond the first gap.
    pub const fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Bytes of memory beyond its own size.
    pub const fn footprint(&self) -> usize {
        self.bytes.capacity() + self.runs.capacity() * size_of::<Range<i64>>()
    }

    /// Whether no byte remembered is another than that of `payload`, which starts at `start`.
    pub fn agrees(&self, start: i64, payload: &[u8]) -> bool {
        let end = start + payload.len() as i64;
        std::iter::once(&(self.base..self.next)).chain(&self.runs).all(|run| {
            let (from, to) = (start.max(run.start), end.min(run.end));
            from >= to || self.range(from..to) == &payload[(from - start) as usize..(to - start) as usize]
        })
    }

    /// Whether every byte from `start` to `end` is remembered or was.
    pub fn covers(&self, start: i64, end: i64) -> bool {
        start >= end || end <= self.next || self.runs.iter().any(|run| run.start <= start && end <= run.end)
    }

    /// Remembers bytes that agree with what is there; those that are forgotten stay so. The places that have no gap before them now
    /// and had one before.
    pub fn put(&mut self, start: i64, payload: &[u8]) -> Range<i64> {
        let end = start + payload.len() as i64;
        let from = start.max(self.base);
        if from < end {
            let (at, to) = (self.at(from), self.at(end));
            if self.bytes.len() < to {
                self.bytes.resize(to, 0);
            }
            self.bytes[at..to].copy_from_slice(&payload[(from - start) as usize..]);
            let first = self.runs.partition_point(|run| run.end < from);
            let last = self.runs.partition_point(|run| run.start <= end);
            let merged = match self.runs.get(first..last) {
                Some([one]) => from.min(one.start)..end.max(one.end),
                Some([one, .., other]) => from.min(one.start)..end.max(other.end),
                _ => from..end,
            };
            self.runs.splice(first..last, [merged]);
        }
        self.catch_up()
    }

    /// Moves on to `to`: what lies before it was never seen.
    pub fn jump(&mut self, to: i64) -> Range<i64> {
        if to <= self.next {
            return self.next..self.next;
        }
        self.next = to;
        for run in &mut self.runs {
            run.start = run.start.max(to);
        }
        self.runs.retain(|run| run.start < run.end);
        self.forget(to);
        self.catch_up()
    }

    /// Takes the first run in, if no gap is left before it.
    fn catch_up(&mut self) -> Range<i64> {
        let before = self.next;
        let taken = self.runs.partition_point(|run| run.start <= before);
        if let Some(run) = self.runs.drain(..taken).next_back() {
            self.next = self.next.max(run.end);
        }
        before..self.next
    }

    /// Forgets what lies before `to` and has no gap before it.
    pub fn forget(&mut self, to: i64) {
        let to = to.min(self.next);
        if to <= self.base {
            return;
        }
        self.forgotten += (to - self.base) as usize;
        self.base = to;
        if self.forgotten >= self.bytes.len() {
            self.bytes.clear();
            self.forgotten = 0;
        } else if self.forgotten > SLACK && self.forgotten > self.bytes.len() / 2 {
            self.bytes.drain(..self.forgotten);
            self.forgotten = 0;
        }
        if self.bytes.capacity() > SLACK && self.bytes.len() < self.bytes.capacity() / 8 {
            self.bytes.shrink_to(SLACK);
        }
    }

    /// Remembered bytes.
    pub fn range(&self, range: Range<i64>) -> &[u8] {
        &self.bytes[self.at(range.start)..self.at(range.end)]
    }

    /// Where the byte of a place from `base` on is.
    const fn at(&self, place: i64) -> usize {
        (place - self.base) as usize + self.forgotten
    }
}
