//! What is handed to the inspector, and what becomes of it where there is none.

use std::os::fd::AsFd as _;

use aya::maps::HashMap;
use dropgate::datapath::{program, test_run};
use dropgate_abi::{
    bytes_of,
    control::Control,
    flow::{Flow, TICK_SHIFT},
    hold::{Credit, HoldPort, ONE, Settle, passes, settled},
    walk::{action, hook},
};

use super::{
    bench::Real,
    net::{ALL, LAN0, WAN0, policy},
};
use crate::{
    ack, packets,
    packets::{ACK, FIN, PSH, SYN, TCP},
    syn,
};

/// Sets the one entry of `HOLD_PORTS` for an interface, and the credit of its socket.
pub fn serve(real: &Real, ifindex: u32, longest: u32, credit: Credit) {
    let map = real.bench.object().share("HOLD_PORTS").expect("a map");
    let mut ports: HashMap<_, u32, [u8; 24]> = map.try_into().expect("a hash map");
    let port = HoldPort { socket: 0, queues: 1, longest, ..HoldPort::default() };
    ports.insert(ifindex, bytes_of(&port).first_chunk().expect("24 bytes"), 0).expect("room");
    real.bench.object().mapped::<Credit>("CREDITS", 1).expect("memory").set(0, credit);
}

#[test]
fn what_is_held() {
    let inspected = policy() + "\n[inspection]\nlate = \"500ms\"\n";
    for net in &ALL {
        let mut real = Real::new(&inspected);
        // nobody serves the interface: as in a replay
        real.ingress(net.name, LAN0, &syn(net), "held");
        real.ingress(net.name, LAN0, &ack(net), "held");
        let fin = |port| net.out().frame(net.tags, TCP, &packets::tcp(port, 443, SYN, &[]));
        serve(&real, LAN0, 1514, Credit::default());
        real.ingress(net.name, LAN0, &fin(1001), "inspector_absent");
        serve(&real, LAN0, 40, Credit { limit: 8, alive_ns: real.now, ..Credit::default() });
        real.ingress(net.name, LAN0, &fin(1002), "hold_too_long");
        serve(&real, LAN0, 1514, Credit { limit: 8, alive_ns: real.now, ..Credit::default() });
        // a sign of life, but no socket behind it
        real.ingress(net.name, LAN0, &fin(1003), "inspector_absent");
        real.now += 501_000_000;
        real.ingress(net.name, LAN0, &fin(1004), "inspector_late");

        for (key, reason) in [("inspector", "inspector_late"), ("too_long", "hold_too_long")] {
            real.commit(&format!("{inspected}\n[failure]\n{key} = \"pass\"\n"));
            let longest = if key == "too_long" { 40 } else { 1514 };
            serve(&real, LAN0, longest, Credit { limit: 8, ..Credit::default() });
            let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, &fin(1005)).expect("test run");
            assert_eq!((walk.action, walk.reason.name()), (action::PASS, reason), "{}", net.name);
        }
        // without inspection, what was to be inspected is not
        real.commit(&policy());
        real.ingress(net.name, LAN0, &ack(net), "flow");
        real.ingress(net.name, LAN0, &fin(1006), "allowed");
    }
}

/// Asks as the inspector does.
fn settle(real: &Real, flow: &Flow, only: u8) -> u32 {
    let hash = flow
        .key
        .hash(&real.bench.object().mapped::<Control>("CONTROL", 1).expect("memory").get(0).expect("one").secret);
    let request = Settle { hash, flow: flow.id, held: flow.hold / ONE, only, ..Settle::default() };
    let program = real.bench.object().program_fd(program::SETTLE).expect("a program");
    test_run(program.as_fd(), bytes_of(&request), 1, None).expect("test run").action
}

#[test]
fn one_direction_leaves_before_the_other() {
    for net in &ALL {
        let mut real = Real::new(&(policy() + "\n[inspection]\n"));
        let answer = |flags| net.back().frame(&[], TCP, &packets::tcp(443, 40_000, flags, &[]));
        real.ingress(net.name, LAN0, &syn(net), "held");
        real.ingress(net.name, WAN0, &answer(SYN | ACK), "held");
        let flow = *real.bench.live_flows().first().expect("a flow");
        let two = Flow { hold: 2 * ONE, ..flow };
        assert_eq!(settle(&real, &two, passes(1) as u8), settled::LATER, "{}: others are held", net.name);
        assert_eq!(settle(&real, &flow, passes(1) as u8), settled::DONE, "{}", net.name);
        real.ingress(net.name, WAN0, &answer(ACK), "flow");
        real.ingress(net.name, LAN0, &ack(net), "held");
        assert_eq!(settle(&real, &flow, 0), settled::DONE, "{}: with one direction open", net.name);
        real.ingress(net.name, LAN0, &ack(net), "flow");
    }
}

/// The client's ACK is all that is missing: only that one passes, and only without data.
#[test]
fn what_completes_a_handshake_is_not_held() {
    for net in &ALL {
        let mut real = Real::new(&(policy() + "\n[inspection]\n"));
        let answer = net.back().frame(&[], TCP, &packets::tcp(443, 40_000, SYN | ACK, &[]));
        real.ingress(net.name, LAN0, &syn(net), "held");
        real.ingress(net.name, WAN0, &answer, "held");
        let flow = *real.bench.live_flows().first().expect("a flow");
        // twelve bytes of options
        let segment = |flags, payload: &[u8]| {
            let rest = [&[1; 12], payload].concat();
            net.out().frame(net.tags, TCP, &packets::tcp_words(40_000, 443, flags, 8, &rest))
        };
        for (held, flags, payload, reason) in [
            (2, ACK, &b""[..], "flow"),
            (2, ACK, b"G", "held"),
            (2, ACK | FIN, b"", "held"),
            (2, ACK | PSH, b"", "held"),
            (1, ACK, b"", "held"),
            (3, ACK, b"", "held"),
        ] {
            real.fresh();
            assert!(real.bench.copy_flow(&Flow {
                hold: held * ONE,
                last_seen: (real.now >> TICK_SHIFT) as u32,
                ..flow
            }));
            real.ingress(&format!("{}: {held} held, {flags:#x}", net.name), LAN0, &segment(flags, payload), reason);
        }
    }
}
