//! Datagrams of flows of which nothing is wanted but what rules say.

use dropgate_abi::{
    flow::Flow,
    hold::{Settle, part, settled},
    walk::{Walk, action, hook},
};

use super::{
    bench::Real,
    held::ask,
    net::{ALL, LAN0, Net, V4, WAN0, policy},
};
use crate::packets::{self, ICMP, ICMPV6, Ip, UDP};

const RULES: &str = r#"
drop udp any any -> any 53 (msg:"long"; content:"a long pattern"; sid:1;)
drop udp any any -> any 53 (msg:"nine"; content:"NinebytesX"; nocase; sid:2;)
drop udp any any -> any 53 (msg:"five"; content:"|01 02 03 04 05|"; sid:3;)
drop udp any any -> any 53 (msg:"two"; content:"|fe ff|"; sid:4;)
drop udp any any -> any 53 (msg:"in its place"; content:"|07 07|"; offset:4; depth:2; sid:5;)
drop udp any any -> any 54 (msg:"elsewhere"; content:"never here"; sid:6;)
drop icmp any any -> any any (msg:"echo"; itype:8; content:"payload?"; sid:7;)
drop icmp any any -> any any (msg:"echo of six"; itype:128; content:"payload?"; sid:8;)
"#;

fn inspected() -> String {
    policy() + "\n[inspection]\nunknown = \"alert\"\n"
}

fn signed() -> String {
    inspected() + "\n[signatures]\nfiles = [\"table.rules\"]\nlog = false\n"
}

fn asks(net: &Net, payload: &[u8]) -> Vec<u8> {
    net.out().frame(net.tags, UDP, &packets::udp(2000, 53, payload))
}

fn answers(net: &Net, payload: &[u8]) -> Vec<u8> {
    net.back().frame(&[], UDP, &packets::udp(53, 2000, payload))
}

/// A packet that is held, counted among those of its flow.
fn held(real: &mut Real, what: &str, ifindex: u32, frame: &[u8]) -> Walk {
    let walk = real.ingress(what, ifindex, frame, "held");
    real.bench.hold(&walk).expect("a flow");
    walk
}

fn flow(real: &Real) -> Flow {
    *real.bench.live_flows().first().expect("a flow")
}

fn sieved(real: &Real, flow: &Flow) -> u32 {
    ask(real, flow, Settle { sieved: 1, app: 9, ..Settle::default() })
}

#[test]
fn what_rules_may_match_is_held_and_what_comes_behind_it() {
    for net in &ALL {
        let mut real = Real::new(&policy());
        real.commit_with(&signed(), RULES);
        held(&mut real, net.name, LAN0, &asks(net, b"first"));
        held(&mut real, net.name, LAN0, &asks(net, b"second"));
        let before = flow(&real);
        assert_eq!(sieved(&real, &before), settled::DONE, "{}", net.name);
        real.ingress(net.name, LAN0, &asks(net, b"nothing"), "flow");
        real.ingress(net.name, WAN0, &answers(net, b"a long pattern, but not to port 53"), "flow");
        real.ingress(net.name, LAN0, &asks(net, b""), "flow");
        held(&mut real, net.name, LAN0, &asks(net, b"this is A LONG PATTERN, in a way"));
        // whatever it says, in either direction
        held(&mut real, net.name, LAN0, &asks(net, b"nothing"));
        held(&mut real, net.name, WAN0, &answers(net, b"nothing"));
        assert_eq!(sieved(&real, &before), settled::LATER, "{}: more is held", net.name);
        let now = flow(&real);
        assert_eq!((now.app, sieved(&real, &now)), (9, settled::DONE), "{}", net.name);
        real.ingress(net.name, LAN0, &asks(net, b"nothing"), "flow");
        // what is too long to be looked through
        real.ingress(net.name, LAN0, &asks(net, &[b'x'; 2048]), "flow");
        real.ingress(net.name, LAN0, &asks(net, &[b'x'; 2049]), "held");
    }
}

/// A flow that has left inspection is shown to the rules of a later generation, and not to those of one without.
#[test]
fn a_commit_brings_rules_to_flows_that_were_there() {
    for net in &ALL {
        let mut real = Real::new(&inspected());
        held(&mut real, net.name, LAN0, &asks(net, b"first"));
        let now = flow(&real);
        assert_eq!(ask(&real, &now, Settle::default()), settled::DONE, "{}", net.name);
        real.ingress(net.name, LAN0, &asks(net, b"this is a long pattern"), "flow");
        real.commit_with(&signed(), RULES);
        real.ingress(net.name, LAN0, &asks(net, b"nothing"), "flow");
        held(&mut real, net.name, LAN0, &asks(net, b"this is a long pattern"));
        real.ingress(net.name, LAN0, &asks(net, b"nothing"), "held");
        let now = flow(&real);
        assert_eq!(sieved(&real, &now), settled::DONE, "{}", net.name);
        real.commit(&inspected());
        real.ingress(net.name, LAN0, &asks(net, b"this is a long pattern"), "flow");
    }
}

#[test]
fn other_protocols_are_held_for_rules_alone() {
    for net in &ALL {
        let mut real = Real::new(&inspected());
        let (protocol, kind) = if net.v4 { (ICMP, 8) } else { (ICMPV6, 128) };
        let ping = |id: u16, said: &[u8; 8]| {
            let mut message = packets::icmp(kind, 0, id);
            message[8..].copy_from_slice(said);
            net.out().frame(net.tags, protocol, &message)
        };
        real.ingress(net.name, LAN0, &ping(1, b"payload?"), "allowed");
        real.commit_with(&signed(), RULES);
        real.ingress(net.name, LAN0, &ping(1, b"nothing!"), "flow");
        real.ingress(net.name, LAN0, &ping(1, b"payload?"), "held");
        real.ingress(net.name, LAN0, &ping(2, b"nothing!"), "allowed");
        real.ingress(net.name, LAN0, &ping(3, b"payload?"), "held");
    }
}

/// An ICMP error is held by itself: it has no number among the packets of the flow that it quotes.
#[test]
fn an_error_is_held_beside_the_flow_that_it_quotes() {
    for net in &ALL {
        let mut real = Real::new(&policy());
        let kind = if net.v4 { 3 } else { 1 };
        real.commit_with(&signed(), &format!("drop icmp any any -> any any (itype:{kind}; sid:1;)\n"));
        held(&mut real, net.name, LAN0, &asks(net, b"first"));
        let before = flow(&real);
        let quoted = net.out().packet(UDP, &packets::udp(2000, 53, b"first"));
        let error = |message: &[u8]| Ip::new(net.outside(99), net.client()).frame(&[], net.icmp(), message);
        let walk = real.ingress(net.name, WAN0, &error(&net.unreachable(&quoted)), "held");
        assert_eq!((walk.part, walk.flow_id, walk.direction), (part::ERROR, before.id, 1), "{}", net.name);
        assert_eq!(flow(&real).hold, before.hold, "{}", net.name);
        let other = packets::icmp_error(if net.v4 { 11 } else { 3 }, 0, &quoted);
        real.ingress(net.name, WAN0, &error(&other), "icmp_error");
        real.commit(&inspected());
        real.ingress(net.name, WAN0, &error(&net.unreachable(&quoted)), "icmp_error");
    }
}

/// What is odd and passes is noted, and held only where a rule asks about it.
#[test]
fn what_is_odd_is_held_where_rules_ask() {
    for net in &ALL {
        let mut real = Real::new(&inspected());
        let (kind, family) = if net.v4 { (8, "v4") } else { (128, "v6") };
        let odd = net.out().frame(net.tags, net.icmp(), &packets::icmp(kind, 7, 1));
        let noted = |real: &Real| real.counter("icmp_code_unknown").packets;
        real.ingress(net.name, LAN0, &odd, "allowed");
        assert_eq!(noted(&real), 1, "{}", net.name);
        let asks = |event: &str| format!("alert pkthdr any any -> any any (decode-event:{event}; sid:1;)\n");
        real.commit_with(&signed(), &asks("udp.len_invalid"));
        real.ingress(net.name, LAN0, &odd, "flow");
        assert_eq!(noted(&real), 2, "{}", net.name);
        real.commit_with(&signed(), &asks(&format!("icmp{family}.unknown_code")));
        real.ingress(net.name, LAN0, &odd, "held");
        assert_eq!(noted(&real), 2, "{}: the inspector tells of it", net.name);
        let none = net.out().ttl(0).frame(net.tags, UDP, &packets::udp(2000, 53, b"first"));
        real.ingress(net.name, LAN0, &none, "held");
    }
}

/// The program in the kernel says what the same table says here, and neither lets anything by that a rule looks for.
#[test]
fn the_kernel_says_what_userspace_says() {
    let net = &V4;
    let mut real = Real::new(&policy());
    real.commit_with(&signed(), RULES);
    held(&mut real, net.name, LAN0, &asks(net, b"first"));
    let now = flow(&real);
    assert_eq!(sieved(&real, &now), settled::DONE);
    let sieve = real.sieve.clone().expect("rules");
    let parts: [&[u8]; 8] = [
        b"a long pattern",
        b"nINEBYTESx",
        &[1, 2, 3, 4, 5],
        &[0xfe, 0xff],
        &[7, 7],
        b"a long patter",
        b"Ninebytes",
        &[1, 2, 3, 4],
    ];
    // a generator of Marsaglia's: runs can be repeated
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut number = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let (mut passed, mut matched) = (0, 0);
    for _ in 0..3000 {
        let length = number(400);
        let mut said: Vec<u8> = (0..length).map(|_| number(250) as u8).collect();
        let part = parts[number(parts.len())];
        let (put, at) = (number(3) > 0, number(300));
        if put && at + part.len() <= said.len() {
            said[at..at + part.len()].copy_from_slice(part);
        }
        let frame = asks(net, &said);
        let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, &frame).expect("test run");
        let may = sieve.may_match(UDP, (net.client(), packets::ip("203.0.113.9")), (2000, 53), 0, &said);
        assert_eq!(walk.action == action::HOLD, may, "{said:?}");
        let has = |part: &[u8]| said.windows(part.len()).any(|at| at.eq_ignore_ascii_case(part));
        if parts[..4].iter().any(|part| has(part)) || said.get(4..6) == Some(&[7, 7]) {
            assert!(may, "{said:?}");
            matched += 1;
        }
        passed += u32::from(!may);
    }
    assert!(passed > 500 && matched > 500, "{passed} passed, {matched} matched");
}
