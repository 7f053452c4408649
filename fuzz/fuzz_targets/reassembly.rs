//! Any bytes as segments of one TCP connection.
#![no_main]

#[path = "../../userspace/tests/reassembly/invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::check(bytes));
