//! What incomplete datagrams may take, and who makes room for whom.

use super::*;

/// The first and the last fragment of a datagram of `host`.
fn two(host: u8, id: u16) -> [Vec<u8>; 2] {
    let bytes = datagram(&[0; 40]);
    [(0, 24), (24, 48)].map(|(from, to)| frame(V4, host, 17, Some((from, to < 48, id)), &bytes[from..to]))
}

#[test]
fn as_many_datagrams_as_may_be() {
    let mut taker = Taker::new(Limits { datagrams: 4, ..Limits::default() });
    for id in 0..4 {
        taker.take(&two(5, id)[1]);
    }
    // one without its first fragment has to go without
    taker.take(&two(5, 4)[1]);
    assert_eq!(taker.reasons(), ["datagram_limit"]);
    // one with it gets the room of the oldest that has none
    taker.take(&two(5, 5)[0]);
    assert_eq!(taker.reasons(), ["datagram_limit"]);
    assert!(taker.take(&two(5, 0)[0]).is_none(), "its other one is gone");
    assert_eq!(taker.reasons(), ["datagram_limit"]);
    assert!(taker.take(&two(5, 5)[1]).is_some());
    for id in [6, 7, 8] {
        taker.take(&two(5, id)[0]);
    }
    taker.reasons();
    // nobody is left who would make room
    taker.take(&two(5, 9)[0]);
    assert_eq!(taker.reasons(), ["datagram_limit"]);
    assert_eq!(taker.all.len(), 4);
    for id in [6, 7, 8] {
        assert!(taker.take(&two(5, id)[1]).is_some());
    }
}

#[test]
fn as_many_bytes_as_may_be() {
    let bytes = {
        let mut taker = Taker::new(Limits::default());
        taker.take(&two(5, 0)[0]);
        taker.all.bytes()
    };
    let mut taker = Taker::new(Limits { bytes: 4 * bytes, source_bytes: 3 * bytes, ..Limits::default() });
    for id in 0..3 {
        taker.take(&two(5, id)[0]);
    }
    // of one source: the datagram that goes too far ends, those before it do not
    taker.take(&two(5, 2)[1]);
    assert_eq!(taker.reasons(), ["datagram_source_limit"; 2]);
    assert!(taker.take(&two(5, 1)[1]).is_some());
    // in all
    taker.take(&two(6, 0)[1]);
    taker.take(&two(7, 0)[0]);
    taker.take(&two(8, 0)[0]);
    assert_eq!(taker.all.bytes(), 4 * bytes);
    taker.take(&two(9, 0)[1]);
    assert_eq!(taker.reasons(), ["datagram_limit"]);
    taker.take(&two(9, 0)[0]);
    assert_eq!(taker.reasons(), ["datagram_limit"], "the one of 6, which has no first fragment");
    taker.take(&two(6, 0)[0]);
    assert_eq!(taker.reasons(), ["datagram_limit"]);
    assert!(taker.take(&two(5, 0)[1]).is_none(), "no room to complete it, so that it ends");
    assert_eq!(taker.reasons(), ["datagram_limit"; 2]);
    taker.now_ns = 15 * S;
    let Taker { all, ended, .. } = &mut taker;
    all.expire(15 * S, ended);
    assert!(taker.is_clean());
}

#[test]
fn as_many_fragments_as_a_path_needs() {
    let mut taker = Taker::new(Limits { fragments: 4, ..Limits::default() });
    let piece = |at: usize| frame(V4, 5, 47, Some((at * 8, true, 7)), &[0; 8]);
    for at in 0..4 {
        assert!(taker.take(&piece(at)).is_none());
    }
    assert!(taker.reasons().is_empty());
    taker.take(&piece(4));
    assert_eq!(taker.reasons(), ["datagram_pieces"; 5]);
    taker.take(&piece(5));
    assert_eq!(taker.reasons(), ["datagram_pieces"]);
    assert_eq!(taker.all.bytes(), 0);
}

/// No datagram waits for longer than receivers do, whatever the policy says (RFC 8200, 4.5).
#[test]
fn no_longer_than_receivers_wait() {
    let mut taker = Taker::new(Limits { longest: Duration::from_secs(5), ..Limits::default() });
    taker.take(&two(5, 0)[0]);
    taker.now_ns = 5 * S;
    assert!(taker.take(&two(5, 0)[1]).is_none());
    assert_eq!(taker.reasons(), ["datagram_incomplete"]);
}
