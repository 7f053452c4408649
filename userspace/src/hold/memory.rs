//! The memory that flows under inspection take, over all workers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Of what a policy allows, an eighth more is for flows of which packets are kept: what fills their gaps sets memory free.
const RESERVE: u64 = 8;

/// Bytes taken: what was said and is remembered, and packets that wait or are out of turn.
#[derive(Default, Debug)]
pub struct Memory(AtomicU64);

impl Memory {
    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether a flow may take no more. `keeps`: packets of it are kept.
    pub fn is_full(&self, most: u64, keeps: bool) -> bool {
        self.used() >= if keeps { most + most / RESERVE } else { most }
    }
}

/// What one flow takes; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Charge {
    /// Nothing yet.
    pub const fn new(memory: Arc<Memory>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// The flow takes so many bytes now.
    pub fn set(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.memory.0.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flows_take_is_given_back() {
        let memory = Arc::new(Memory::default());
        let mut one = Charge::new(Arc::clone(&memory));
        let mut other = Charge::new(Arc::clone(&memory));
        one.set(100);
        other.set(50);
        one.set(30);
        assert_eq!(memory.used(), 80);
        drop(other);
        assert_eq!(memory.used(), 30);
        one.set(0);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_reserve_for_gaps() {
        let memory = Arc::new(Memory::default());
        let mut charge = Charge::new(Arc::clone(&memory));
        charge.set(800);
        assert!(memory.is_full(800, false) && !memory.is_full(800, true));
        charge.set(900);
        assert!(memory.is_full(800, true) && !memory.is_full(901, false));
    }
}
