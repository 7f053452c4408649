//! Any fragmentation, order and duplication of a datagram gives the same whole; with anything over anything else, none.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

/// Offsets at which a datagram of `length` bytes is cut, its ends among them.
fn cuts(length: usize, at: &[Index]) -> Vec<usize> {
    // the transport header is in the first one
    let places: Vec<usize> = (8..length).step_by(8).collect();
    let mut cuts: Vec<usize> = at.iter().map(|at| *at.get(&places)).collect();
    cuts.extend([0, length]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(V4), Just(V6)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_fragments_of_a_datagram(
        family in family(),
        payload in vec(any::<u8>(), 16..600),
        at in vec(any::<Index>(), 1..20),
        order in vec(any::<Index>(), 0..60),
    ) {
        let bytes = datagram(&payload);
        let cuts = cuts(bytes.len(), &at);
        let parts: Vec<Vec<u8>> = cuts.windows(2).map(|ends| cut(family, 7, &bytes, ends[0], ends[1])).collect();
        let mut taker = Taker::new(Limits::default());
        let mut seen = std::collections::BTreeSet::new();
        let mut wholes = 0;
        // in any order, with copies; then whatever was left out
        let order = order.iter().map(|at| at.index(parts.len())).chain(0..parts.len());
        for (count, at) in order.enumerate() {
            let done = taker.take(&parts[at]);
            seen.insert(at);
            // copies that come when it has left are not put together again
            let all = wholes == 0 && seen.len() == parts.len();
            prop_assert_eq!(done.is_some(), all, "after {} fragments", count + 1);
            let Some(done) = done else { continue };
            prop_assert_eq!(done.frame, whole(family, 7, &bytes));
            let released: Vec<&[u8]> = done.fragments.iter().map(|fragment| &*fragment.frame).collect();
            prop_assert_eq!(released, parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            wholes += 1;
        }
        prop_assert_eq!(wholes, 1);
        let copies = ["fragment_already_held", "datagram_again"];
        prop_assert!(taker.reasons().iter().all(|reason| copies.contains(reason)));
        taker.now_ns = 15 * S;
        let Taker { all, ended, .. } = &mut taker;
        all.expire(15 * S, ended);
        prop_assert!(taker.is_clean());
    }

    /// One fragment that lies over another, and both are there: nothing is released.
    #[test]
    fn anything_over_anything_else(
        family in family(),
        payload in vec(any::<u8>(), 16..400),
        at in vec(any::<Index>(), 1..10),
        (from, length, more, under) in (any::<Index>(), 1..6_usize, any::<bool>(), any::<Index>()),
        (forged, swapped) in (any::<u8>(), any::<bool>()),
    ) {
        let bytes = datagram(&payload);
        let cuts = cuts(bytes.len(), &at);
        let parts: Vec<Vec<u8>> = cuts.windows(2).map(|ends| cut(family, 7, &bytes, ends[0], ends[1])).collect();
        let (from, length) = (from.index(bytes.len() / 8) * 8, length * 8);
        let over = frame(family, 5, 17, Some((from, more, 7)), &vec![forged; length]);
        let touched: Vec<usize> = (0..parts.len()).filter(|at| cuts[*at] < from + length && from < cuts[at + 1]).collect();
        let under = &parts[*under.get(&touched)];
        prop_assume!(dropgate_xdp::read(&over).1.is_ok() && !parts.contains(&over));
        let mut pair = [&over, under];
        if swapped {
            pair.reverse();
        }
        let mut taker = Taker::new(Limits::default());
        for part in pair.into_iter().chain(&parts) {
            prop_assert!(taker.take(part).is_none());
        }
        prop_assert!(taker.all.bytes() == 0 && taker.ended.len() == parts.len() + 2);
    }

    /// Any pieces of any length in any order: what is released is what was put together, one piece behind the other.
    #[test]
    fn any_pieces(
        family in family(),
        pieces in vec((0..12_usize, 1..6_usize, any::<bool>(), any::<u8>()), 1..40),
    ) {
        let mut taker = Taker::new(Limits { fragments: 8, ..Limits::default() });
        let mut released = 0;
        for (from, length, more, byte) in &pieces {
            // GRE, which says nothing of its length
            let piece = frame(family, 5, 47, Some((from * 8, *more, 7)), &vec![*byte; length * 8]);
            let Some(done) = taker.take(&piece) else { continue };
            let carried: Vec<&[u8]> = done.fragments.iter().map(Fragment::carries).collect();
            let mut behind = 0;
            for (fragment, carried) in done.fragments.iter().zip(&carried) {
                prop_assert_eq!(fragment.offset, behind);
                behind += carried.len();
            }
            let headers = done.frame.len() - behind;
            prop_assert_eq!(headers, if family == V4 { 34 } else { 54 });
            prop_assert_eq!(&done.frame[headers..], carried.concat());
            released += carried.len();
        }
        taker.now_ns = 15 * S;
        let Taker { all, ended, .. } = &mut taker;
        all.expire(15 * S, ended);
        prop_assert!(taker.is_clean());
        prop_assert_eq!(taker.ended.len() + released, pieces.len(), "each piece is released or ends, once");
    }
}
