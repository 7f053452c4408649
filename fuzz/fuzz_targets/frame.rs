//! Any bytes as a frame.
#![no_main]

#[path = "../../xdp/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // the first byte says how much of the rest stands behind the frame
    let Some((split, bytes)) = bytes.split_first() else { return };
    let (frame, rest) = bytes.split_at(bytes.len() - (usize::from(*split) % 64).min(bytes.len()));
    invariants::check(frame);
    invariants::check_with_rest(frame, rest);
});
