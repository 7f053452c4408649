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
    net::{ALL, LAN0, Net, WAN0, policy},
};
use crate::{
    ack, packets,
    packets::{ACK, FIN, PSH, SYN, TCP, UDP},
    syn,
};

/// Sets the one entry of `HOLD_PORTS` for an interface, and the credit of its socket.
pub fn serve(real: &Real, ifindex: u32, longest: u32, credit: Credit) {
    let map = real.bench.object().share("HOLD_PORTS").expect("a map");
    let mut ports: HashMap<_, u32, [u8; size_of::<HoldPort>()]> = map.try_into().expect("a hash map");
    let port = HoldPort { socket: 0, queues: 1, longest, buffer: longest, ..HoldPort::default() };
    ports.insert(ifindex, bytes_of(&port).first_chunk().expect("all of it"), 0).expect("room");
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
    ask(real, flow, Settle { only, ..Settle::default() })
}

/// The answer of `dropgate_settle` about a flow of which nothing is held but what its entry says.
pub fn ask(real: &Real, flow: &Flow, asked: Settle) -> u32 {
    let hash = flow
        .key
        .hash(&real.bench.object().mapped::<Control>("CONTROL", 1).expect("memory").get(0).expect("one").secret);
    let request = Settle { hash, flow: flow.id, held: flow.hold / ONE, ..asked };
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

/// What a flow speaks can be told before it leaves; of another flow nothing is.
#[test]
fn a_note_settles_nothing() {
    for net in &ALL {
        let mut real = Real::new(&(policy() + "\n[inspection]\n"));
        real.ingress(net.name, LAN0, &syn(net), "held");
        let flow = *real.bench.live_flows().first().expect("a flow");
        let note = Settle { app: 3, note: 1, ..Settle::default() };
        assert_eq!(ask(&real, &Flow { id: flow.id ^ 1, ..flow }, note), settled::GONE, "{}", net.name);
        assert_eq!(real.bench.live_flows()[0].app, 0, "{}", net.name);
        assert_eq!(ask(&real, &flow, note), settled::DONE, "{}", net.name);
        let noted = real.bench.live_flows()[0];
        assert_eq!((noted.app, noted.hold), (3, flow.hold), "{}", net.name);
        real.ingress(net.name, LAN0, &syn(net), "held");
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

/// A segment of the client with some payload.
fn says(net: &Net, (from, to): (u16, u16), payload: &[u8]) -> Vec<u8> {
    net.out().frame(net.tags, TCP, &packets::tcp(from, to, ACK, payload))
}

fn asks(net: &Net, (from, to): (u16, u16), payload: &[u8]) -> Vec<u8> {
    net.out().frame(net.tags, UDP, &packets::udp(from, to, payload))
}

#[test]
fn what_begins_wrong() {
    let service = "\n[[zone.NAME.egress]]\nname = \"more\"\ntcp = [9000, 9001]\nudp = [69, 9000]\nexpect = [\"tls\", \"wireguard\"]\n";
    let more: String = ["plain", "tagged", "double"].map(|zone| service.replace("NAME", zone)).concat();
    let open = "\n[[zone.NAME.egress]]\nname = \"open\"\ntcp = [\"9100-9200\"]\nexpect = \"any\"\n";
    let open: String = ["plain", "tagged", "double"].map(|zone| open.replace("NAME", zone)).concat();
    let policy = policy() + &more + &open;
    let strict = format!("{policy}\n[inspection]\nmismatch = \"drop\"\nunknown = \"drop\"\npending = \"drop\"\n");
    for net in &ALL {
        let mut real = Real::new(&strict);
        let flow = |real: &mut Real, ports: (u16, u16), said: &[(&[u8], &str)]| {
            real.ingress(
                net.name,
                LAN0,
                &net.out().frame(net.tags, TCP, &packets::tcp(ports.0, ports.1, SYN, &[])),
                "held",
            );
            real.ingress(net.name, LAN0, &says(net, ports, &[]), "held");
            for (payload, reason) in said {
                let what = format!("{}, {}: {}", net.name, ports.1, payload.escape_ascii());
                real.ingress(&what, LAN0, &says(net, ports, payload), reason);
            }
        };
        let wrong = "first_byte_impossible";
        // what nothing but TLS may be said on, by the port; only that packet ends, and only the first one is looked at
        flow(
            &mut real,
            (1000, 443),
            &[(b"SSH-2.0-x\r\n", wrong), (b"\x16\x03\x01", "held"), (b"SSH-2.0-x\r\n", "held")],
        );
        flow(&mut real, (1001, 443), &[(b"\x17", wrong), (b"\x17", wrong)]);
        flow(&mut real, (1002, 80), &[(b"\0", wrong), (b"G", "held"), (b"\0", "held")]);
        // by the service
        flow(&mut real, (1003, 9000), &[(b"GET / HTTP/1.1\r\n", wrong), (b"\x80\x2e\x01", "held")]);
        // nothing is registered here, and the inspector says what it is
        flow(&mut real, (1004, 8001), &[(b"\0", "held")]);
        // anything may be said
        flow(&mut real, (1005, 9150), &[(b"\0", "held")]);
        for (port, payload, reason) in [
            (53, b"\xff\xff".as_slice(), "held"),
            (9000, b"\x01\0\0\0", "held"),
            (9000, b"GET", wrong),
            (9000, b"", "held"),
            (69, b"\0\x01", wrong),
        ] {
            let ports = (2000 + port + payload.len() as u16, port);
            real.ingress(net.name, LAN0, &asks(net, ports, payload), reason);
        }
        // what the server says is for the inspector
        let back = net.back().frame(&[], TCP, &packets::tcp(443, 1001, ACK, b"SSH-2.0-x\r\n"));
        real.ingress(net.name, WAN0, &back, "held");

        // where something else than a drop may follow, the inspector decides
        for (key, other) in [("unknown", "alert"), ("mismatch", "reset"), ("pending", "alert")] {
            real.commit(&strict.replace(&format!("{key} = \"drop\""), &format!("{key} = \"{other}\"")));
            real.ingress(net.name, LAN0, &says(net, (1001, 443), b""), "held");
            flow(&mut real, (3000 + key.len() as u16, 443), &[(b"SSH-2.0-x\r\n", "held")]);
        }
    }
}
