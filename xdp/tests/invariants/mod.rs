//! What holds of the stages that read a frame's bytes, whatever the bytes: for tests and for fuzzing.

use dropgate_abi::{
    reason::Reason,
    walk::{Walk, parsed},
};
use dropgate_xdp::read;

/// What holds for any bytes.
pub fn check(bytes: &[u8]) -> Walk {
    let (walk, answer) = read(bytes);
    let l3 = usize::from(walk.l3);
    if let Err(decision) = answer {
        assert!(decision.reason().info().is_some(), "{decision:?}");
        assert_ne!(decision.reason(), Reason::internal);
        return walk;
    }
    assert!(l3 <= bytes.len(), "the network header starts beyond the frame: {walk:?}");
    if walk.family == 0 {
        return walk;
    }
    let end = l3 + usize::from(walk.ip_len);
    assert!(end <= bytes.len(), "the packet ends beyond the frame: {walk:?}");
    let later = walk.parsed & (parsed::FRAGMENT | parsed::FIRST) == parsed::FRAGMENT;
    if later {
        assert_eq!((walk.l4, walk.sport, walk.dport, walk.icmp_type), (0, 0, 0, 0), "a later fragment has no ports");
    }
    if walk.l4 != 0 {
        assert!(
            usize::from(walk.l4) > l3 && usize::from(walk.l4) <= end,
            "the transport header lies outside: {walk:?}"
        );
    }
    if walk.parsed & parsed::FRAGMENT != 0 {
        assert!(l3 + usize::from(walk.fragment_len) <= end, "a fragment longer than its packet: {walk:?}");
    }
    walk
}

/// What stands behind the IP packet is not looked at.
pub fn check_with_rest(bytes: &[u8], rest: &[u8]) {
    let before = read(bytes);
    let whole = [bytes, rest].concat();
    check(&whole);
    // a packet that was complete is the same packet with a trailer
    if before.1.is_ok() && before.0.family != 0 {
        let after = read(&whole);
        assert_eq!(dropgate_abi::bytes_of(&before.0), dropgate_abi::bytes_of(&after.0));
        assert_eq!(before.1, after.1);
    }
}
