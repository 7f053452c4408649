//! What fragments are to those of their datagram that have come.

use dropgate_abi::{
    fragment::{Fit, Fragment, PIECES},
    from_bytes,
    reason::Reason,
};

fn empty() -> Fragment {
    from_bytes(&[0; size_of::<Fragment>()]).expect("as many bytes as it has")
}

/// Takes fragments of `(from, end, more)` until one does not fit.
fn all(parts: &[(u32, u32, bool)]) -> (Fit, bool) {
    let mut datagram = empty();
    let mut whole = false;
    for (from, end, more) in parts {
        match datagram.fit(*from, *end, *more) {
            Fit::Fits => whole = datagram.add(*from, *end, *more),
            other => return (other, whole),
        }
    }
    (Fit::Fits, whole)
}

#[test]
fn in_every_order() {
    let parts = [(0, 16, true), (16, 24, true), (24, 29, false)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(all(&order.map(|at| parts[at])), (Fit::Fits, true));
        assert_eq!(all(&[parts[order[0]], parts[order[1]]]), (Fit::Fits, false));
    }
}

#[test]
fn copies_overlaps_and_ends() {
    let length = Fit::Contradicts(Reason::datagram_length);
    let overlap = Fit::Contradicts(Reason::datagram_overlap);
    let start = [(0, 32, true), (64, 77, false)];
    for (next, fit) in [
        ((0, 32, true), Fit::Repeats),
        ((64, 77, false), Fit::Repeats),
        ((32, 64, true), Fit::Fits),
        ((40, 48, true), Fit::Fits),
        ((0, 24, true), overlap),
        ((8, 24, true), overlap),
        ((24, 32, true), overlap),
        ((24, 40, true), overlap),
        ((56, 72, true), overlap),
        ((72, 77, false), overlap),
        ((64, 76, false), length),
        ((64, 80, true), length),
        ((80, 88, true), length),
        ((32, 64, false), length),
    ] {
        assert_eq!(all(&[start[0], start[1], next]).0, fit, "{next:?}");
    }
    assert_eq!(all(&[(64, 72, true), (32, 64, false)]).0, length);
    assert_eq!(all(&[(64, 72, true), (64, 72, false)]).0, overlap);
}

#[test]
fn as_many_pieces_as_may_be() {
    let mut parts: Vec<_> = (0..PIECES as u32).map(|at| (at * 16, at * 16 + 8, true)).collect();
    assert_eq!(all(&parts), (Fit::Fits, false));
    parts.push((8, 16, true));
    assert_eq!(all(&parts).0, Fit::Contradicts(Reason::datagram_pieces));
}
