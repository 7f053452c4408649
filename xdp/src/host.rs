//! The stages that need no kernel, for tests and fuzzing on the host: bytes in, a walk out.
//!
//! The programs compile the same files; see `main.rs`. For their own target this library is empty.
#![cfg_attr(any(not(test), target_arch = "bpf"), no_std)]

#[cfg(not(target_arch = "bpf"))]
pub mod anomaly;
#[cfg(not(target_arch = "bpf"))]
pub mod cursor;
#[cfg(not(target_arch = "bpf"))]
pub mod frame;
#[cfg(not(target_arch = "bpf"))]
mod hidden;
#[cfg(not(target_arch = "bpf"))]
pub mod parse;
#[cfg(not(target_arch = "bpf"))]
pub mod step;
#[cfg(not(target_arch = "bpf"))]
pub mod tunnel;

#[cfg(not(target_arch = "bpf"))]
mod read {
    use dropgate_abi::walk::Walk;

    use crate::{anomaly, frame, parse, step::Step};

    /// What stages 1, 2 and 4 find out about a frame, and their answer.
    pub fn read(bytes: &[u8]) -> (Walk, Step) {
        let mut walk = Walk::default();
        let answer = stages(bytes, &mut walk);
        (walk, answer)
    }

    fn stages(bytes: &[u8], walk: &mut Walk) -> Step {
        frame::frame(&bytes, walk)?;
        parse::parse(&bytes, walk)?;
        if walk.family == 0 { Ok(()) } else { anomaly::anomaly(walk) }
    }
}
#[cfg(not(target_arch = "bpf"))]
pub use read::read;
