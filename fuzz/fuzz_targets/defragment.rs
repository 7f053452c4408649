//! Fragments of any kind, of a few datagrams.
#![no_main]

#[path = "../../userspace/tests/defragment/invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::check(bytes));
