//! A TCP receiver for the tests: as lenient as any, with either way to treat overlaps, and of one mind with nothing else here.

use std::collections::BTreeMap;

/// Which copy of a byte stays that is not yet part of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefers {
    First,
    Last,
}

/// What one end has received.
#[derive(Debug)]
pub struct Receiver {
    prefers: Prefers,
    initial: u32,
    window: u32,
    /// By distance from the first byte.
    waiting: BTreeMap<u32, u8>,
    end: Option<u32>,
    pub stream: Vec<u8>,
    pub ended: bool,
    pub reset: bool,
}

impl Receiver {
    pub fn new(prefers: Prefers, initial: u32, window: u32) -> Self {
        let (waiting, stream) = (BTreeMap::new(), Vec::new());
        Self { prefers, initial, window, waiting, end: None, stream, ended: false, reset: false }
    }

    /// The number that it expects.
    pub fn expects(&self) -> u32 {
        self.initial.wrapping_add(1 + self.stream.len() as u32 + u32::from(self.ended))
    }

    /// Takes a segment that is not a SYN.
    pub fn take(&mut self, seq: u32, payload: &[u8], fin: bool, rst: bool) {
        if self.reset || self.ended {
            return;
        }
        if rst {
            self.reset = seq == self.expects();
            return;
        }
        let ahead = seq.wrapping_sub(self.expects()) as i32;
        let mut place = i64::from(ahead) + self.stream.len() as i64;
        for byte in payload {
            let after = place - self.stream.len() as i64;
            if (0..i64::from(self.window)).contains(&after) {
                match self.prefers {
                    Prefers::First => {
                        self.waiting.entry(place as u32).or_insert(*byte);
                    }
                    Prefers::Last => {
                        self.waiting.insert(place as u32, *byte);
                    }
                }
            }
            place += 1;
        }
        if fin && place >= self.stream.len() as i64 {
            match self.prefers {
                Prefers::First => {
                    self.end.get_or_insert(place as u32);
                }
                Prefers::Last => self.end = Some(place as u32),
            }
        }
        loop {
            let next = self.stream.len() as u32;
            if self.end == Some(next) {
                self.ended = true;
                return;
            }
            let Some(byte) = self.waiting.remove(&next) else { break };
            self.stream.push(byte);
        }
    }
}
