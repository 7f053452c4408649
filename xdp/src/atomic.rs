//! Atomic instructions of BPF (v3: exchange, compare-and-exchange, add), which `core::sync::atomic` does not offer there.

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_and, atomic_cxchg, atomic_xadd, atomic_xchg};

/// Tries to take a lock before giving up: a holder works for well under a microsecond, and programs of one CPU do not
/// interrupt each other.
const SPINS: u32 = 64;

/// Takes the lock in a word of a map value: 0 free, 1 held. `false` when it stayed held.
#[inline(always)]
pub fn lock(word: *mut u32) -> bool {
    let mut spins = 0;
    while spins < SPINS {
        if try_lock(word) {
            return true;
        }
        spins += 1;
    }
    false
}

/// Takes the lock if it is free just now.
#[inline(always)]
pub fn try_lock(word: *mut u32) -> bool {
    // SAFETY: callers pass an aligned word of a map value that is only changed by these functions.
    unsafe { atomic_cxchg::<u32, { SeqCst }, { SeqCst }>(word, 0, 1) }.1
}

/// Gives the lock back.
#[inline(always)]
pub fn unlock(word: *mut u32) {
    set(word, 0);
}

/// Stores a word after everything before it and before everything after it: an exchange, because BPF v3 has no ordered
/// store and no fence.
#[inline(always)]
pub fn set(word: *mut u32, value: u32) {
    // SAFETY: callers pass an aligned word of a map value.
    unsafe { atomic_xchg::<u32, { SeqCst }>(word, value) };
}

/// Adds to a word and answers what it was before.
#[inline(always)]
pub fn fetch_add(word: *mut u32, change: u32) -> u32 {
    // SAFETY: callers pass an aligned word of a map value.
    unsafe { atomic_xadd::<u32, u32, { SeqCst }>(word, change) }
}

/// Takes bits away from a word.
#[inline(always)]
pub fn clear(word: *mut u32, bits: u32) {
    // SAFETY: callers pass an aligned word of a map value.
    unsafe { atomic_and::<u32, u32, { SeqCst }>(word, !bits) };
}

/// Sets a word that has the expected value; whether it had.
#[inline(always)]
pub fn exchange_if(word: *mut u32, expected: u32, value: u32) -> bool {
    // SAFETY: callers pass an aligned word of a map value.
    unsafe { atomic_cxchg::<u32, { SeqCst }, { SeqCst }>(word, expected, value) }.1
}

/// Adds to a counter that several CPUs share; `u64::MAX` takes one away.
#[inline(always)]
pub fn add(counter: *mut u64, change: u64) {
    // SAFETY: callers pass an aligned word of a map value.
    unsafe { atomic_xadd::<u64, u64, { SeqCst }>(counter, change) };
}
