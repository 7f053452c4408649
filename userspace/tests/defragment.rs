//! Fragments of any kind, of a few datagrams.

#[path = "defragment/invariants.rs"]
mod invariants;

use proptest::{collection::vec, prelude::*};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_fragments(bytes in vec(any::<u8>(), 0..600)) {
        invariants::check(&bytes);
    }

    /// Fragments that fit together more often: each 8 bytes, at one of a few places.
    #[test]
    fn small_fragments(places in vec((0..6_u8, any::<bool>(), 0..3_u8), 0..60)) {
        let mut script = vec![5, 29, 255, 255];
        for (place, more, family) in places {
            let part = if place == 0 { 1 } else { 3 };
            script.extend([0, part, (family & 1) | u8::from(more) << 2 | 2 << 3, place, 8]);
            script.extend([place; 8]);
        }
        invariants::check(&script);
    }
}
