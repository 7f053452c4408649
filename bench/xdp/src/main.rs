//! XDP programs that the benches measure with and against.
//!
//! `draw` and `draw_frags` are the wrapper: they write a tuple into the test frame and tail-call the program under test.
//! Twice, because the kernel keeps programs with and without multi-buffer support apart in a program array.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod blocklist;
#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
