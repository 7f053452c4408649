//! Case by case.

use super::*;

/// Three fragments of a datagram, and the datagram in one frame.
fn three(family: Family, id: u16) -> ([Vec<u8>; 3], Vec<u8>) {
    let bytes = datagram(&std::array::from_fn::<u8, 40, _>(|at| at as u8));
    let parts = [(0, 16), (16, 32), (32, 48)].map(|(from, to)| cut(family, id, &bytes, from, to));
    (parts, whole(family, id, &bytes))
}

#[test]
fn in_every_order() {
    for family in [V4, V6] {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (parts, whole) = three(family, 7);
            let mut taker = Taker::new(Limits::default());
            assert!(taker.take(&parts[order[0]]).is_none());
            assert!(taker.take(&parts[order[1]]).is_none());
            let done = taker.take(&parts[order[2]]).expect("the datagram");
            assert_eq!(done.frame, whole, "{family:?} {order:?}");
            assert_eq!(done.held.part, part::FIRST);
            assert_eq!(done.held.sequence as usize, order.iter().position(|at| *at == 0).expect("the first one"));
            let released: Vec<&[u8]> = done.fragments.iter().map(|fragment| &*fragment.frame).collect();
            assert_eq!(released, parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            assert!(taker.reasons().is_empty() && taker.is_clean());
        }
    }
}

/// The packet inside is put together, of fragments in one tunnel; what leaves is what carried them.
#[test]
fn in_a_tunnel() {
    for family in [V4, V6] {
        let mut all = Defragment::default();
        let ((parts, whole), mut ended) = (three(family, 7), Vec::new());
        let mut take = |realm, at: usize| {
            let part = if at == 0 { part::FIRST } else { part::LATER };
            let held = Held { part, realm, inner: 14 + 24, tunnel: 1, ..Held::default() };
            let frame = [&parts[at][..14], &[realm as u8; 24], &parts[at][14..]].concat();
            let whole = all.take((&held, &frame, parts[at].clone().into()), 0, (0, LIFETIME), &mut ended);
            (frame, whole)
        };
        for (realm, at) in [(0x8001, 0), (0x8002, 1), (0x8001, 2), (0x8002, 2)] {
            assert!(take(realm, at).1.is_none(), "{family:?}");
        }
        let (last, done) = take(0x8001, 1);
        let done = done.expect("the datagram");
        assert_eq!((&done.frame, done.held.inner, done.held.tunnel), (&whole, 0, 1), "{family:?}");
        assert_eq!(*done.fragments[1].frame, last, "{family:?}");
        assert!(ended.is_empty(), "{family:?}: {ended:?}");
    }
}

#[test]
fn a_copy_is_dropped_alone() {
    for family in [V4, V6] {
        let (parts, whole) = three(family, 7);
        let mut taker = Taker::new(Limits::default());
        for part in [&parts[2], &parts[2], &parts[0], &parts[0]] {
            assert!(taker.take(part).is_none());
        }
        assert_eq!(taker.reasons(), ["fragment_already_held"; 2]);
        assert_eq!(taker.take(&parts[1]).expect("the datagram").frame, whole);
        assert!(taker.is_clean());
    }
}

/// What a receiver has not got of a datagram that has left is not made up for by another one.
#[test]
fn what_has_left_is_not_added_to() {
    for family in [V4, V6] {
        let (parts, whole) = three(family, 7);
        let mut taker = Taker::new(Limits { left: 2, ..Limits::default() });
        assert!(taker.take(&parts[0]).is_none() && taker.take(&parts[1]).is_none());
        assert_eq!(taker.take(&parts[2]).expect("the datagram").frame, whole);
        let mut other = parts[1].clone();
        *other.last_mut().expect("a byte") ^= 1;
        for part in [&parts[0], &other, &parts[2]] {
            assert!(taker.take(part).is_none());
        }
        assert_eq!(taker.reasons(), ["datagram_again"; 3]);
        // another identification is another datagram
        assert!(three(family, 8).0.iter().any(|part| taker.take(part).is_some()));
        taker.now_ns = 60 * S - 1;
        assert!(taker.take(&parts[0]).is_none());
        assert_eq!(taker.reasons(), ["datagram_again"]);
        taker.now_ns = 60 * S;
        assert!(parts.iter().any(|part| taker.take(part).is_some()));
        // of more than are remembered the oldest gives way
        for id in [8, 9] {
            assert!(three(family, id).0.iter().any(|part| taker.take(part).is_some()));
        }
        assert!(parts.iter().any(|part| taker.take(part).is_some()));
        assert!(taker.is_clean());
    }
}

/// Everything that lies over something else without being the same: of such a datagram nothing is left, whatever comes.
#[test]
fn overlaps_end_the_datagram() {
    for family in [V4, V6] {
        let (parts, _) = three(family, 7);
        let piece = |from: usize, more, bytes: &[u8]| frame(family, 5, 17, Some((from, more, 7)), bytes);
        let mut other = parts[1].clone();
        *other.last_mut().expect("a byte") ^= 1;
        for (name, over) in [
            ("other bytes", other),
            ("inside", piece(16, true, &[0; 8])),
            ("inside, behind", piece(24, true, &[0; 8])),
            ("around", piece(8, true, &[0; 32])),
            ("its front", piece(8, true, &[0; 16])),
            ("its back", piece(24, true, &[0; 16])),
            ("the same place, longer", piece(16, true, &[0; 24])),
        ] {
            let mut taker = Taker::new(Limits::default());
            assert!(taker.take(&parts[1]).is_none());
            assert!(taker.take(&over).is_none());
            assert_eq!(taker.reasons(), ["datagram_overlap"; 2], "{family:?} {name}");
            for part in &parts {
                assert!(taker.take(part).is_none());
            }
            assert_eq!(taker.reasons(), ["datagram_overlap"; 3], "{family:?} {name}");
            // until its time is up
            taker.now_ns = 15 * S;
            assert!(taker.take(&parts[0]).is_none() && taker.take(&parts[1]).is_none());
            assert!(taker.take(&parts[2]).is_some());
            assert!(taker.is_clean());
        }
    }
}

#[test]
fn ends_that_contradict_each_other() {
    for family in [V4, V6] {
        let piece = |from: usize, more| frame(family, 5, 17, Some((from, more, 7)), &[0; 16]);
        for (name, one, two) in [
            ("two ends", piece(48, false), piece(32, false)),
            ("two ends, the other way round", piece(32, false), piece(48, false)),
            ("beyond the end", piece(32, false), piece(48, true)),
            ("beyond the end, before it", piece(48, true), piece(32, false)),
            ("more behind the end", piece(32, false), piece(32, true)),
        ] {
            let mut taker = Taker::new(Limits::default());
            assert!(taker.take(&one).is_none() && taker.take(&two).is_none());
            assert_eq!(taker.reasons(), ["datagram_length"; 2], "{family:?} {name}");
        }
        // the end of which another says that it goes on
        let mut taker = Taker::new(Limits::default());
        assert!(taker.take(&piece(32, true)).is_none() && taker.take(&piece(32, false)).is_none());
        assert_eq!(taker.reasons(), ["datagram_overlap"; 2], "{family:?}");
    }
}

#[test]
fn what_is_late_is_dropped() {
    for family in [V4, V6] {
        let (parts, _) = three(family, 7);
        let mut taker = Taker::new(Limits::default());
        assert!(taker.take(&parts[2]).is_none());
        taker.now_ns = 14 * S;
        assert!(taker.take(&parts[0]).is_none());
        // the time counts from the one that came first
        taker.now_ns = 15 * S;
        assert!(taker.take(&parts[1]).is_none());
        assert_eq!(taker.reasons(), ["datagram_incomplete"; 2]);
        taker.now_ns = 30 * S;
        let Taker { all, ended, .. } = &mut taker;
        all.expire(30 * S, ended);
        assert_eq!(taker.reasons(), ["datagram_incomplete"]);
        assert!(taker.is_clean());
    }
}

/// Fragments of one datagram have everything in common that tells datagrams apart.
#[test]
fn others_are_other_datagrams() {
    for family in [V4, V6] {
        let (parts, _) = three(family, 7);
        let (others, _) = three(family, 8);
        let host = |host| frame(family, host, 17, Some((32, false, 7)), &parts[2][parts[2].len() - 16..]);
        let mut taker = Taker::new(Limits::default());
        taker.take(&parts[0]);
        taker.take(&parts[1]);
        let strangers =
            [(1, 0, others[2].clone()), (1, 0, host(6)), (2, 0, parts[2].clone()), (1, 1, parts[2].clone())];
        for (generation, origin, stranger) in strangers {
            assert!(taker.take_of(generation, origin, &stranger).is_none(), "{family:?}");
        }
        assert_eq!(taker.all.len(), 5);
        let mut tagged = parts[2].clone();
        tagged.splice(12..12, [0x81, 0, 0, 10]);
        assert!(taker.take(&tagged).is_none());
        let other_protocol = frame(family, 5, 47, Some((32, false, 7)), &parts[2][parts[2].len() - 16..]);
        // of which IPv6 says that it makes no difference (RFC 8200, 4.5)
        assert_eq!(taker.take(&other_protocol).is_some(), family == V6);
    }
}

/// What is wrong with one fragment alone.
#[test]
fn fragments_that_are_none() {
    for family in [V4, V6] {
        let piece = |from: usize, more, bytes: &[u8]| frame(family, 5, 17, Some((from, more, 7)), bytes);
        for (frame, reason) in [
            (piece(0, true, &[0; 4]), "fragment_tiny"),
            (piece(16, false, &[]), "fragment_bad_length"),
            (piece(16, true, &[0; 12]), "fragment_bad_length"),
            (piece(65_528, false, &[0; 16]), "fragment_too_long"),
            (frame(family, 5, 17, None, &datagram(&[0; 8])), "internal"),
        ] {
            let mut taker = Taker::new(Limits::default());
            assert!(taker.take(&frame).is_none());
            assert_eq!(taker.reasons(), [reason], "{family:?}");
            assert!(taker.is_clean());
        }
    }
}

/// What is put together is judged by the stages that judge whole packets.
#[test]
fn a_whole_that_lies() {
    for family in [V4, V6] {
        let mut bytes = datagram(&[0; 40]);
        // its length is that of another datagram
        bytes[4..6].copy_from_slice(&60u16.to_be_bytes());
        let mut taker = Taker::new(Limits::default());
        taker.take(&cut(family, 7, &bytes, 0, 16));
        assert!(taker.take(&cut(family, 7, &bytes, 16, 48)).is_none());
        assert_eq!(taker.reasons(), ["udp_bad_length"; 2]);
        assert!(taker.is_clean());
        // longer than any packet
        let long = vec![0; 65_528];
        taker.take(&frame(family, 5, 47, Some((0, true, 7)), &long[..32_768]));
        taker.take(&frame(family, 5, 47, Some((32_768, true, 7)), &long[32_768..65_520]));
        assert!(taker.take(&frame(family, 5, 47, Some((65_520, false, 7)), &[0; 15])).is_none() || family == V6);
        if family == V4 {
            assert_eq!(taker.reasons(), ["fragment_too_long"; 3]);
        }
    }
}

/// Extension headers before the fragment header stay, the fragment header goes.
#[test]
fn headers_before_the_fragment_header() {
    let options = [60, 0, 1, 4, 0, 0, 0, 0];
    let bytes = datagram(&[7; 24]);
    let with_options = |next: u8, rest: &[u8]| {
        let mut frame = frame(V6, 5, 0, None, &[&options[..], rest].concat());
        frame[14 + 40] = next;
        frame
    };
    let fragment = |offset: u16, more: u16, rest: &[u8]| {
        let header = [&[17, 0][..], &(offset | more).to_be_bytes(), &[0, 0, 0, 7]].concat();
        with_options(44, &[&header, rest].concat())
    };
    let mut taker = Taker::new(Limits::default());
    assert!(taker.take(&fragment(0, 1, &bytes[..16])).is_none());
    let whole = taker.take(&fragment(16, 0, &bytes[16..])).expect("the datagram");
    assert_eq!(whole.frame, with_options(17, &bytes));
}

/// Options of IPv4, and what Ethernet fills short frames up with.
#[test]
fn options_and_padding() {
    let bytes = datagram(&[7; 24]);
    let with_options = |mut frame: Vec<u8>| {
        frame.splice(34..34, [1, 1, 1, 0]);
        frame[14] = 0x46;
        let total = u16::from_be_bytes([frame[16], frame[17]]) + 4;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame
    };
    let mut taker = Taker::new(Limits::default());
    let mut last = cut(V4, 7, &bytes, 16, 32);
    last.extend([0xee; 20]);
    assert!(taker.take(&last).is_none());
    let whole = taker.take(&with_options(cut(V4, 7, &bytes, 0, 16))).expect("the datagram");
    assert_eq!(whole.frame[38..], bytes);
    assert_eq!((whole.frame[14], &whole.frame[16..18], &whole.frame[20..22]), (0x46, &[0, 56][..], &[0, 0][..]));
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&whole.frame[14..38]).ones_complement();
    assert_eq!(sum, 0, "the header's checksum");
}
