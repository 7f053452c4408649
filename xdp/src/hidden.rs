//! What the verifier is not to know.
//!
//! It follows constants and ranges through branches, and would walk the rest of a program once for every combination of them. Of a
//! number that was taken through a map it knows nothing, and walks each way once.

#[cfg(target_arch = "bpf")]
use crate::maps::SCRATCH;

/// Where numbers are taken through.
#[derive(Clone, Copy)]
pub struct Hidden {
    #[cfg(target_arch = "bpf")]
    word: *mut u64,
}

impl Hidden {
    /// `None` when the map is not there, which does not happen.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub fn new() -> Option<Self> {
        let scratch = SCRATCH.get_ptr_mut(0)?;
        // SAFETY: a field of a map value.
        Some(Self { word: unsafe { &raw mut (*scratch).hidden } })
    }

    /// Takes a number through memory.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub fn hide(self, value: u32) -> u32 {
        // SAFETY: this CPU's own, for the time of this packet.
        unsafe {
            self.word.write_volatile(value as u64);
            self.word.read_volatile() as u32
        }
    }

    /// In unit tests there is no verifier.
    #[cfg(not(target_arch = "bpf"))]
    pub fn new() -> Option<Self> {
        Some(Self {})
    }

    #[cfg(not(target_arch = "bpf"))]
    pub fn hide(self, value: u32) -> u32 {
        value
    }
}
