//! How a connection begins, and what is acknowledged: what is noted so that packets need not be held.

use dropgate_abi::{
    control::mode,
    flow::{Bucket, Flow},
    hold::{ONE, SETTLED, Settle, passes, settled},
    opening::{Opened, Opening, heard},
    walk::{action, hook},
};

use super::{
    bench::Real,
    held::ask,
    net::{ALL, LAN0, WAN0, policy},
};
use crate::{
    packets,
    packets::{ACK, FIN, PSH, RST, SYN, TCP},
    syn,
};

/// A segment with these numbers and options.
fn numbered(port: (u16, u16), flags: u8, (seq, ack): (u32, u32), options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut segment =
        packets::tcp_words(port.0, port.1, flags, (5 + options.len() / 4) as u8, &[options, payload].concat());
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    segment[8..12].copy_from_slice(&ack.to_be_bytes());
    segment
}

/// Maximum segment size, selective acknowledgements, timestamp, window scale.
const OPTIONS: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 3, 7, 0, 0, 0, 0, 1, 3, 3, 9];

#[test]
fn how_a_connection_begins_is_noted() {
    let (out, back) = ((40_000, 443), (443, 40_000));
    for net in &ALL {
        let mut real = Real::new(&(policy() + "\n[inspection]\n"));
        real.bench.control(|control| control.mode |= mode::OPENINGS);
        let client = |flags, numbers, options: &[u8], payload: &[u8]| {
            net.out().frame(net.tags, TCP, &numbered(out, flags, numbers, options, payload))
        };
        let server = |flags, numbers, options: &[u8], payload: &[u8]| {
            net.back().frame(&[], TCP, &numbered(back, flags, numbers, options, payload))
        };
        real.ingress(net.name, LAN0, &client(SYN, (1000, 0), OPTIONS, b""), "allowed");
        // said again, some time later
        let mut later = OPTIONS.to_vec();
        later[8] = 9;
        real.ingress(net.name, LAN0, &client(SYN, (1000, 0), &later, b""), "flow");
        real.ingress(net.name, WAN0, &server(SYN | ACK, (5000, 1001), OPTIONS, b""), "flow");
        real.ingress(net.name, WAN0, &server(SYN | ACK, (5000, 1001), &later, b""), "flow");
        real.ingress(net.name, LAN0, &client(ACK, (1001, 5001), &[], b""), "flow");
        let flow = *real.bench.live_flows().first().expect("a flow");
        let side = |seq| Opened { seq, timestamp: 0x307, window: 0xffff, scale: 9, seen: 7 };
        assert_eq!((flow.hold, openings(&real)[0].sides), (0, [side(1000), side(5000)]), "{}", net.name);

        // anything else is held, and what follows it
        for (what, frame, port) in [
            ("another number", client(SYN, (999, 0), OPTIONS, b""), LAN0),
            ("another scale", client(SYN, (1000, 0), &[3, 3, 8, 1], b""), LAN0),
            ("data", client(SYN, (1000, 0), OPTIONS, b"G"), LAN0),
            ("another answer", server(SYN | ACK, (5001, 1001), OPTIONS, b""), WAN0),
            ("to another question", server(SYN | ACK, (5000, 1002), OPTIONS, b""), WAN0),
            ("simultaneous", server(SYN, (5000, 0), OPTIONS, b""), WAN0),
            ("refused", server(RST | ACK, (0, 1001), &[], b""), WAN0),
            ("says something", client(ACK, (1001, 5001), &[], b"\x16"), LAN0),
            ("ahead", client(ACK, (1002, 5001), &[], b""), LAN0),
            ("acknowledges more", client(ACK, (1001, 5002), &[], b""), LAN0),
            ("pushes", client(ACK | PSH, (1001, 5001), &[], b""), LAN0),
            ("ends", client(ACK | FIN, (1001, 5001), &[], b""), LAN0),
            ("of the server", server(ACK, (5001, 1001), &[], b""), WAN0),
        ] {
            let case = format!("{}: {what}", net.name);
            real.ingress(&case, port, &frame, "held");
            real.ingress(&case, LAN0, &client(ACK, (1001, 5001), &[], b""), "flow");
            let held = Flow { hold: ONE, ..flow };
            set(&real, &held);
            real.ingress(&case, LAN0, &client(ACK, (1001, 5001), &[], b""), "held");
            set(&real, &flow);
        }
        // more options than are read, as many as are, and none
        for (options, reason) in [(&[4, 2].repeat(20)[..], "held"), (&[1; 12], "allowed"), (&[], "allowed")] {
            real.fresh();
            real.ingress(net.name, LAN0, &client(SYN, (1000, 0), options, b""), reason);
        }
        // what is to be held to the end is held from its beginning
        real.commit(&(policy() + "\n[inspection]\neverything = true\n"));
        real.fresh();
        real.ingress(net.name, LAN0, &client(SYN, (1000, 0), OPTIONS, b""), "held");
    }
}

/// Segments that rules may match though they say nothing are held: by their ports, and by addresses.
#[test]
fn beginnings_that_rules_may_match() {
    let (out, back) = ((40_000, 443), (443, 40_000));
    let signed = policy() + "\n[inspection]\n[signatures]\nfiles = [\"table.rules\"]\nlog = false\n";
    for net in &ALL {
        let mut real = Real::new(&(policy() + "\n[inspection]\n"));
        for (rule, reasons) in [
            ("drop tcp any any -> any 8443 (flags:S; sid:1;)", ["allowed", "flow", "flow"]),
            ("drop tcp any any -> any 443 (flow:established; content:\"GET\"; sid:1;)", ["allowed", "flow", "flow"]),
            ("drop tcp any any -> any 443 (flags:S; sid:1;)", ["held"; 3]),
            ("drop ip any any -> [198.51.100.0/24,2001:db8:1::/48] any (sid:1;)", ["held"; 3]),
        ] {
            real.commit_with(&signed, rule);
            real.fresh();
            real.bench.control(|control| control.mode |= mode::OPENINGS);
            let client = |flags, numbers| net.out().frame(net.tags, TCP, &numbered(out, flags, numbers, OPTIONS, b""));
            let answer = net.back().frame(&[], TCP, &numbered(back, SYN | ACK, (5000, 1001), OPTIONS, b""));
            let case = format!("{}: {rule}", net.name);
            real.ingress(&case, LAN0, &client(SYN, (1000, 0)), reasons[0]);
            real.ingress(&case, WAN0, &answer, reasons[1]);
            real.ingress(&case, LAN0, &client(ACK, (1001, 5001)), reasons[2]);
        }
    }
}

/// Writes a flow where it is.
fn set(real: &Real, flow: &Flow) {
    for index in 0..real.bench.flows().buckets().len() {
        let mut bucket = real.bench.flows().buckets().get(index).expect("inside");
        if let Some(way) = bucket.ways.iter().position(|one| one.id == flow.id) {
            bucket.ways[way] = *flow;
            real.bench.flows().buckets().set(index, bucket);
        }
    }
}

/// There is one opening for a bucket. It is not taken from a flow that is there: the segments of another one are held then.
#[test]
fn an_opening_is_of_one_flow() {
    let net = &ALL[0];
    let mut real = Real::new(&(policy() + "\n[inspection]\n"));
    real.bench.control(|control| control.mode |= mode::OPENINGS);
    let begin = |real: &mut Real, port: u16| {
        let syn = net.out().frame(net.tags, TCP, &numbered((port, 443), SYN, (1000, 0), &[], b""));
        real.bench.run(hook::INGRESS, LAN0, 0, real.now, &syn).expect("test run").action
    };
    let mut noted = 0;
    for port in 41_000..41_200 {
        let before = openings(&real);
        let action = begin(&mut real, port);
        let after = openings(&real);
        assert!(before.iter().all(|opening| after.contains(opening)), "port {port} takes one from another flow");
        noted += usize::from(action == action::PASS);
        assert_eq!((after.len(), real.bench.live_flows().len()), (noted, usize::from(port) - 40_999));
    }
    assert!((20..180).contains(&noted), "{noted} of 200 flows in few buckets");
    // their flows are gone: whoever comes has them
    let left: Vec<Opening> = buckets(&real).map(|bucket| bucket.opening).collect();
    real.fresh();
    for (index, opening) in left.into_iter().enumerate() {
        let bucket = real.bench.flows().buckets().get(index).expect("inside");
        real.bench.flows().buckets().set(index, Bucket { opening, ..bucket });
    }
    assert_eq!(begin(&mut real, 51_000), action::PASS);
}

#[test]
fn an_acknowledgement_settles() {
    for net in &ALL {
        let mut real = Real::new(&(policy() + "\n[inspection]\n"));
        // counted, as a packet is that goes to a socket
        let client = |real: &mut Real, seq, payload: &[u8], reason| {
            let frame = net.out().frame(net.tags, TCP, &numbered((40_000, 443), ACK, (seq, 1), &[], payload));
            let walk = real.ingress(net.name, LAN0, &frame, reason);
            if reason == "held" {
                real.bench.hold(&walk).expect("a flow");
            }
        };
        let server = |flags, ack| net.back().frame(&[], TCP, &numbered((443, 40_000), flags, (1, ack), &[], b""));
        let flow = |real: &Real| *real.bench.live_flows().first().expect("a flow");
        let watch = |real: &Real, settles_at| {
            let only = passes(1) as u8;
            ask(real, &flow(real), Settle { only, watches: 1, settles_at, ..Settle::default() })
        };
        real.ingress(net.name, LAN0, &syn(net), "held");
        real.ingress(net.name, WAN0, &server(SYN | ACK, 2), "held");
        client(&mut real, 2, b"\x16\x03\x01", "held");
        assert_eq!(watch(&real, 5), settled::DONE, "{}", net.name);
        // less, more, a reset: nothing that says that all of it arrived
        let before = flow(&real);
        for (flags, ack) in [(ACK, 4), (ACK, 6), (RST | ACK, 5)] {
            real.ingress(net.name, WAN0, &server(flags, ack), "flow");
            assert_eq!(flow(&real).hold, before.hold, "{}: {flags:#x} {ack}", net.name);
        }
        set(&real, &before);
        // more is held than was known then: it would be overtaken
        client(&mut real, 5, b"more", "held");
        real.ingress(net.name, WAN0, &server(ACK, 5), "flow");
        client(&mut real, 5, b"more", "held");
        assert_eq!(watch(&real, 9), settled::DONE, "{}", net.name);
        let said: Vec<_> = openings(&real).iter().filter_map(|opening| heard(opening.said)).collect();
        assert_eq!(said, [(5, 0xffff)], "{}: for the inspector to read", net.name);
        real.ingress(net.name, WAN0, &server(ACK, 9), "flow");
        client(&mut real, 2, b"\x16\x03\x03", "flow");
        assert_eq!((flow(&real).hold & SETTLED, openings(&real).len()), (SETTLED, 0), "{}", net.name);
    }
}

fn buckets(real: &Real) -> impl Iterator<Item = Bucket> {
    (0..real.bench.flows().buckets().len()).filter_map(|index| real.bench.flows().buckets().get(index))
}

/// Those that are somebody's.
fn openings(real: &Real) -> Vec<Opening> {
    buckets(real).map(|bucket| bucket.opening).filter(|opening| opening.flow != 0).collect()
}
