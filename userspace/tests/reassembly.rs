//! Segments of any kind to one TCP connection.

#[path = "reassembly/invariants.rs"]
mod invariants;

use proptest::{collection::vec, prelude::*};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn any_segments(bytes in vec(any::<u8>(), 0..1_000)) {
        invariants::check(&bytes);
    }

    /// After a handshake more of them are let through.
    #[test]
    fn any_segments_after_a_handshake(choices in any::<u8>(), bytes in vec(any::<u8>(), 0..1_000)) {
        // no option, the numbers in the middle, each side's SYN acknowledged
        let mut script = vec![choices & !4, 200, 200, 7];
        script.extend([0xe0 | 8 << 1, 100, 254, 0]);
        script.extend([0xe0 | 9 << 1 | 1, 100, 101, 0]);
        script.extend([0xe0, 101, 101, 0]);
        script.extend(bytes);
        invariants::check(&script);
    }
}
