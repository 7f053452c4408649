//! Fragments of datagrams that are held, or of which some are.

use dropgate_abi::{
    hold::{Credit, part},
    walk::{Walk, action, hook},
};

use super::{
    bench::Real,
    held::serve,
    net::{ALL, LAN0, Net, V4, V6, WAN0, policy},
};
use crate::packets::{self, Ip, SYN, TCP, UDP};

fn inspected() -> String {
    policy().replace("udp = \"drop\"", "udp = \"track\"") + "\n[inspection]\n"
}

/// A first fragment of a datagram to the port, and a later one of the datagram `id`.
fn first(net: &Net, port: u16, id: u16) -> Vec<u8> {
    net.out().fragment(0, true, id).frame(net.tags, UDP, &packets::udp_length(40_000, port, 32, &[0; 16]))
}

fn later(net: &Net, id: u16) -> Vec<u8> {
    net.out().fragment(24, false, id).frame(net.tags, UDP, &[0; 8])
}

/// A first fragment of TCP on a port whose flows are not inspected.
fn syn(net: &Net, id: u16) -> Vec<u8> {
    net.out().fragment(0, true, id).frame(net.tags, TCP, &packets::tcp(40_000, 443, SYN, &[0; 4]))
}

fn later_tcp(net: &Net, id: u16) -> Vec<u8> {
    net.out().fragment(24, false, id).frame(net.tags, TCP, &[0; 8])
}

fn held(walk: Walk, as_part: u8) {
    assert_eq!(walk.part, as_part, "{walk:?}");
}

#[test]
fn followers_of_what_is_held_are_held() {
    let mut real = Real::new(&inspected());
    for net in &ALL {
        real.fresh();
        let start = real.ingress(net.name, LAN0, &first(net, 53, 1), "held");
        held(start, part::FIRST);
        let follower = real.ingress(net.name, LAN0, &later(net, 1), "held");
        held(follower, part::LATER);
        assert_eq!((follower.service, follower.zone), (start.service, start.zone));
        // a second copy of either goes the same way
        real.ingress(net.name, LAN0, &first(net, 53, 1), "held");
        real.ingress(net.name, LAN0, &later(net, 1), "held");
        // after its time it is one that came early
        real.now += 16_000_000_000;
        held(real.ingress(net.name, LAN0, &later(net, 1), "held"), part::LATER);
    }
}

#[test]
fn what_comes_before_its_first_one_is_held() {
    let mut real = Real::new(&inspected());
    for net in &ALL {
        real.fresh();
        held(real.ingress(net.name, LAN0, &later(net, 1), "held"), part::LATER);
        held(real.ingress(net.name, LAN0, &later(net, 1), "held"), part::LATER);
        held(real.ingress(net.name, LAN0, &first(net, 53, 1), "held"), part::FIRST);
        held(real.ingress(net.name, LAN0, &later(net, 1), "held"), part::LATER);
        // whose first one is denied is denied from then on
        real.ingress(net.name, LAN0, &later(net, 2), "held");
        real.ingress(net.name, LAN0, &first(net, 54, 2), "not_allowed");
        real.ingress(net.name, LAN0, &later(net, 2), "fragment_of_dropped");
        // other hosts' and others' protocols are other datagrams
        real.ingress(net.name, LAN0, &later_tcp(net, 3), "held");
        let denied = net.back().fragment(24, false, 1).frame(net.tags, UDP, &[0; 8]);
        real.ingress(net.name, LAN0, &denied, "source_not_in_zone");
        let blocked = Ip::new(net.local(66), net.server()).fragment(24, false, 1).frame(net.tags, UDP, &[0; 8]);
        real.ingress(net.name, LAN0, &blocked, "blocked_source");
    }
}

/// What needs no inspection is held too when others of its datagram are, and only then.
#[test]
fn first_ones_join_what_waits_for_them() {
    let mut real = Real::new(&inspected().replacen("name = \"web\"", "name = \"web\"\ninspect = false", 3));
    for net in &ALL {
        real.fresh();
        real.ingress(net.name, LAN0, &syn(net, 1), "allowed");
        real.ingress(net.name, LAN0, &later_tcp(net, 1), "fragment_tracked");
        real.ingress(net.name, LAN0, &later_tcp(net, 2), "held");
        held(real.ingress(net.name, LAN0, &syn(net, 2), "held"), part::BESIDE);
        held(real.ingress(net.name, LAN0, &syn(net, 2), "held"), part::BESIDE);
        held(real.ingress(net.name, LAN0, &later_tcp(net, 2), "held"), part::LATER);
        // a malformed one says nothing about those, but ends what has no first one yet
        let malformed = |id| {
            let bytes = packets::tcp_words(40_000, 443, SYN, 4, &[0; 4]);
            net.out().fragment(0, true, id).frame(net.tags, TCP, &bytes)
        };
        real.ingress(net.name, LAN0, &malformed(2), "tcp_bad_header_length");
        real.ingress(net.name, LAN0, &later_tcp(net, 2), "held");
        real.ingress(net.name, LAN0, &later_tcp(net, 3), "held");
        real.ingress(net.name, LAN0, &malformed(3), "tcp_bad_header_length");
        real.ingress(net.name, LAN0, &later_tcp(net, 3), "fragment_of_dropped");
    }
}

/// On their way into a zone behind translation: the kernel has taken apart what it put together before.
#[test]
fn answers_into_a_zone() {
    let mut real = Real::new(&inspected().replace("\"route\"", "\"masquerade\""));
    for net in [V4, V6] {
        real.fresh();
        let out = net.out().frame(net.tags, UDP, &packets::udp(40_000, 53, &[0; 12]));
        real.ingress("asked", LAN0, &out, "held");
        let answer = packets::udp_length(53, 40_000, 32, &[0; 16]);
        let answer = net.back().fragment(0, true, 1).frame(&[], UDP, &answer);
        let follower = net.back().fragment(24, false, 1).frame(&[], UDP, &[0; 8]);
        let run = |real: &mut Real, frame: &[u8]| real.egress("answered", LAN0, WAN0, frame, "held");
        let walk = run(&mut real, &answer);
        assert_eq!((walk.part, walk.direction), (part::FIRST, 1));
        held(run(&mut real, &follower), part::LATER);
        // outside, before translation, nothing of it needs inspection, and what comes in order passes
        let wan = net.pick("203.0.113.1", "2001:db8:ffff::1");
        let translated = Ip::new(wan, net.server()).frame(&[], UDP, &packets::udp(61_000, 53, &[0; 12]));
        real.egress("translated", WAN0, LAN0, &translated, "translated");
        let back = || Ip::new(net.server(), wan);
        let bytes = packets::udp_length(53, 61_000, 32, &[0; 16]);
        real.ingress("came in", WAN0, &back().fragment(0, true, 9).frame(&[], UDP, &bytes), "flow");
        real.ingress("came in", WAN0, &back().fragment(24, false, 9).frame(&[], UDP, &[0; 8]), "fragment_tracked");
        // the other way round both are held
        held(
            real.ingress("came in", WAN0, &back().fragment(24, false, 8).frame(&[], UDP, &[0; 8]), "held"),
            part::LATER,
        );
        held(real.ingress("came in", WAN0, &back().fragment(0, true, 8).frame(&[], UDP, &bytes), "held"), part::BESIDE);
    }
}

/// Fragments that pass by policy cannot be put together: they are not held, nor is their first one.
#[test]
fn where_fragments_pass_none_is_held() {
    let mut real = Real::new(&inspected().replace("= \"track\"", "= \"pass\""));
    for net in &ALL {
        real.fresh();
        real.ingress(net.name, LAN0, &later(net, 1), "fragment_passed");
        real.ingress(net.name, LAN0, &first(net, 53, 1), "allowed");
        real.ingress(net.name, LAN0, &later(net, 1), "fragment_passed");
    }
}

/// What no inspector takes is dropped, whatever is configured: the others of its datagram wait in vain.
#[test]
fn no_inspector_for_fragments() {
    for net in &ALL {
        let mut real = Real::new(&(inspected() + "\n[failure]\ninspector = \"pass\"\n"));
        real.ingress(net.name, LAN0, &later_tcp(net, 1), "held");
        serve(&real, LAN0, 1514, Credit::default());
        let run = |real: &mut Real, frame: &[u8]| {
            let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, frame).expect("test run");
            (walk.action, walk.reason.name())
        };
        assert_eq!(run(&mut real, &later_tcp(net, 2)), (action::DROP, "inspector_absent"));
        assert_eq!(run(&mut real, &syn(net, 1)), (action::DROP, "inspector_absent"));
        assert_eq!(run(&mut real, &later_tcp(net, 1)), (action::DROP, "fragment_of_dropped"));
        // what begins now passes as configured, and so do its followers
        assert_eq!(run(&mut real, &syn(net, 3)), (action::PASS, "inspector_absent"));
        assert_eq!(run(&mut real, &later_tcp(net, 3)), (action::PASS, "fragment_tracked"));
    }
}

/// Fragments without a first one take no room from those that have one.
#[test]
fn a_flood_of_later_fragments() {
    let mut real = Real::new(&inspected());
    real.fresh();
    let reason = |real: &mut Real, frame: &[u8]| {
        real.bench.run(hook::INGRESS, LAN0, 0, real.now, frame).expect("test run").reason.name()
    };
    real.ingress("before the flood", LAN0, &first(&V4, 53, 60_000), "held");
    let of = |id: u16| Ip::new(V4.local(100 + (id % 100) as u8), V4.server());
    let later_of = |id: u16| of(id).fragment(24, false, id).frame(&[], UDP, &[0; 8]);
    let full = (0..5000).filter(|id| reason(&mut real, &later_of(*id)) == "fragment_table_full").count();
    assert!(full > 4000, "{full} of 5000 found no room");
    real.ingress("its follower", LAN0, &later(&V4, 60_000), "held");
    for id in 60_001..60_030 {
        real.ingress("after the flood", LAN0, &first(&V4, 54, id), "not_allowed");
        real.ingress("after the flood", LAN0, &first(&V4, 53, id), "held");
        real.ingress("its follower", LAN0, &later(&V4, id), "held");
    }
}

/// One source takes no more than its share, and has it again when its datagrams are complete or their time is up.
#[test]
fn as_many_datagrams_of_one_source_as_may_be() {
    const MOST: u16 = 32;
    let mut real = Real::new(&policy());
    for net in [V4, V6] {
        real.fresh();
        let other = |id| Ip::new(net.local(9), net.server()).fragment(0, true, id);
        let rest = |id| net.out().fragment(24, false, id).frame(&[], TCP, &[0; 8]);
        real.ingress(net.name, LAN0, &syn(&net, 0), "allowed");
        for id in 1..MOST {
            real.ingress(net.name, LAN0, &syn(&net, id), "flow");
        }
        real.ingress("one too many", LAN0, &syn(&net, MOST), "fragment_source_limit");
        real.ingress("its follower", LAN0, &rest(MOST), "fragment_first_missing");
        let bytes = packets::tcp(40_000, 443, SYN, &[0; 4]);
        real.ingress("another source", LAN0, &other(1).frame(&[], TCP, &bytes), "allowed");
        real.ingress("complete", LAN0, &rest(0), "fragment_tracked");
        real.ingress("room for one", LAN0, &syn(&net, MOST), "flow");
        real.ingress("and no more", LAN0, &syn(&net, MOST + 1), "fragment_source_limit");
        real.now += 31_000_000_000;
        real.ingress("after their time", LAN0, &syn(&net, 100), "allowed");
        for id in 1..MOST {
            real.ingress("after their time", LAN0, &syn(&net, 100 + id), "flow");
        }
        real.ingress("one too many", LAN0, &syn(&net, 200), "fragment_source_limit");
    }
}

/// As many parts of a datagram are remembered as paths make of the longest one.
#[test]
fn more_pieces_than_are_remembered() {
    let mut real = Real::new(&policy());
    for net in &ALL {
        real.fresh();
        let part = |offset| net.out().fragment(offset, true, 1).frame(net.tags, TCP, &[0; 8]);
        real.ingress(net.name, LAN0, &syn(net, 1), "allowed");
        for piece in 1..128 {
            real.ingress(net.name, LAN0, &part(24 + piece * 16), "fragment_tracked");
        }
        real.ingress(net.name, LAN0, &part(32), "datagram_pieces");
        real.ingress(net.name, LAN0, &part(24), "datagram_pieces");
    }
}

/// What overlaps in a datagram that is held is for the inspector, who sees its bytes.
#[test]
fn overlaps_of_what_is_held() {
    let mut real = Real::new(&inspected());
    for net in &ALL {
        real.fresh();
        let piece = |offset, more| net.out().fragment(offset, more, 1).frame(net.tags, UDP, &[0; 8]);
        real.ingress(net.name, LAN0, &first(net, 53, 1), "held");
        real.ingress(net.name, LAN0, &piece(32, true), "held");
        real.ingress(net.name, LAN0, &piece(16, true), "held");
        real.ingress(net.name, LAN0, &piece(24, false), "held");
        // after its end too: its receiver may wait for it still
        real.ingress(net.name, LAN0, &piece(40, false), "held");
        real.ingress(net.name, LAN0, &piece(24, true), "held");
        held(real.ingress(net.name, LAN0, &first(net, 53, 1), "held"), part::FIRST);
    }
}

/// Of two fragments over each other that two processors see at once, one passes.
#[test]
fn two_processors_agree() {
    const DATAGRAMS: u16 = 60;
    let mut real = Real::new(&policy());
    real.fresh();
    let of = |id: u16| Ip::new(V4.local(2 + (id % 60) as u8), V4.server());
    let part = |id, offset| of(id).fragment(offset, true, id).frame(&[], TCP, &[0; 16]);
    let count = |real: &Real, name: &str| real.counter(name).packets;
    for round in 0..20 {
        for id in 0..DATAGRAMS {
            let syn = of(id).fragment(0, true, id).frame(&[], TCP, &packets::tcp(40_000, 443, SYN, &[0; 4]));
            let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, &syn).expect("test run");
            assert_eq!(walk.action, action::PASS, "round {round}: {}", walk.reason.name());
        }
        let before = ["fragment_tracked", "datagram_overlap"].map(|name| count(&real, name));
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for offset in [24, 32] {
                let (bench, start, part) = (&real.bench, &start, &part);
                scope.spawn(move || {
                    let frames: Vec<_> = (0..DATAGRAMS).map(|id| part(id, offset)).collect();
                    start.wait();
                    for frame in &frames {
                        bench.repeat(hook::INGRESS, frame, 1).expect("test run");
                    }
                });
            }
        });
        let after = ["fragment_tracked", "datagram_overlap"].map(|name| count(&real, name));
        assert_eq!([0, 1].map(|at| after[at] - before[at]), [u64::from(DATAGRAMS); 2]);
        real.now += 16_000_000_000;
    }
}
