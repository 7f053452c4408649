//! The packet table: packet in; action, reason, and the packets and bytes counted, through the real object.
//!
//! The lines stand in `table/cases.rs`. Here are the runner, the cases that need another policy, and the proof that every
//! reason has a line or is reached elsewhere.
mod object;
mod packets;
#[path = "table/mod.rs"]
mod table;

use std::collections::BTreeSet;

use dropgate_abi::{flow::Group, reason::REASONS, walk::hook};
use packets::{ACK, Ip, RST, SYN, TCP, UDP, ip};
use table::{
    bench::Real,
    cases::{ANOMALY, Case, FLOW, FRAGMENT, FRAME, INGRESS, PARSE, POLICY, STATE, ZONE},
    elsewhere::ELSEWHERE,
    net::{ALL, LAN0, LAN1, Net, V4, V6, WAN0, policy},
};

const STAGES: [(&str, &[Case]); 9] = [
    ("frame", FRAME),
    ("parse", PARSE),
    ("ingress", INGRESS),
    ("anomaly", ANOMALY),
    ("fragment", FRAGMENT),
    ("flow", FLOW),
    ("zone", ZONE),
    ("policy", POLICY),
    ("state", STATE),
];

/// By the programs for native XDP.
#[test]
fn every_line() {
    every_line_by(Real::new(&policy()), |_| false);
}

/// By those for devices without it. Two lines cannot be shown: the kernel runs no tc program on a frame whose IP header is cut short
/// (`bpf_prog_test_run_skb` in `net/bpf/test_run.c`).
#[test]
fn every_line_without_xdp() {
    let mut real = Real::new(&policy());
    real.bench.without_xdp().expect("the kernel takes the programs");
    every_line_by(real, |frame| match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.len() < 14 + 20,
        Some([0x86, 0xdd]) => frame.len() < 14 + 40,
        _ => false,
    });
}

/// All lines but those with a frame that cannot be run.
fn every_line_by(mut real: Real, unrun: fn(&[u8]) -> bool) {
    let mut wrong = Vec::new();
    for (stage, cases) in STAGES {
        for case in cases {
            for net in case.forms {
                real.fresh();
                let run = std::panic::AssertUnwindSafe(|| line(&mut real, stage, case, net, unrun));
                if let Err(panic) = std::panic::catch_unwind(run) {
                    wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn line(real: &mut Real, stage: &str, case: &Case, net: &Net, unrun: fn(&[u8]) -> bool) {
    for (number, step) in (case.steps)(net).into_iter().enumerate() {
        real.now += step.later_ms * 1_000_000;
        let what = format!("{stage}: {} ({}), packet {number}", case.name, net.name);
        if unrun(&step.frame) {
            continue;
        }
        let hook = if step.own { hook::EGRESS } else { hook::INGRESS };
        real.expect(&what, hook, step.ifindex, 0, &step.frame, step.reason);
    }
}

#[test]
fn every_reason_has_a_line() {
    let mut shown = BTreeSet::new();
    for (_, cases) in STAGES {
        for case in cases {
            for net in case.forms {
                shown.extend((case.steps)(net).last().map(|step| step.reason));
            }
        }
    }
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    let missing: Vec<&str> = REASONS
        .iter()
        .map(|info| info.name)
        .filter(|name| !shown.contains(name) && !elsewhere.contains(name))
        .collect();
    assert!(missing.is_empty(), "reasons without a line: {missing:?}");
    let twice: Vec<&&str> = elsewhere.intersection(&shown).collect();
    assert!(twice.is_empty(), "said to be reached elsewhere, but there is a line: {twice:?}");
    let unknown: Vec<&&str> = elsewhere.iter().filter(|name| REASONS.iter().all(|info| info.name != **name)).collect();
    assert!(unknown.is_empty(), "no such reason: {unknown:?}");
}

fn syn(net: &Net) -> Vec<u8> {
    net.out().frame(net.tags, TCP, &packets::tcp(40_000, 443, SYN, &[]))
}

fn ack(net: &Net) -> Vec<u8> {
    net.out().frame(net.tags, TCP, &packets::tcp(40_000, 443, ACK, &[]))
}

#[test]
fn a_service_taken_away() {
    let mut real = Real::new(&policy());
    for net in &ALL {
        real.fresh();
        real.commit(&policy());
        real.ingress(net.name, LAN0, &syn(net), "allowed");
        real.commit(&policy().replace("443, ", ""));
        real.ingress(net.name, LAN0, &ack(net), "flow_revoked");
        real.ingress(net.name, LAN0, &ack(net), "flow_revoked");
        real.commit(&policy());
        real.ingress(net.name, LAN0, &ack(net), "flow");
    }
}

#[test]
fn mid_stream_after_the_first_attach() {
    let mut real = Real::new(&policy());
    for net in &ALL {
        real.fresh();
        let until = real.now + 60_000_000_000;
        real.bench.control(|control| control.adopt_until_ns = until);
        real.ingress(net.name, LAN0, &ack(net), "adopted");
        real.ingress(net.name, LAN0, &ack(net), "flow");
        let other = net.back().frame(&[], TCP, &packets::tcp(443, 40_001, ACK, &[]));
        real.ingress(net.name, WAN0, &other, "adopted");
        let denied = net.out().frame(net.tags, TCP, &packets::tcp(40_000, 444, ACK, &[]));
        real.ingress(net.name, LAN0, &denied, "tcp_no_flow");
        real.now = until;
        let late = net.out().frame(net.tags, TCP, &packets::tcp(40_002, 443, ACK, &[]));
        real.ingress(net.name, LAN0, &late, "tcp_no_flow");
    }
}

#[test]
fn what_nobody_asked_for() {
    let counted = policy();
    let dropped = counted.replace("ethertypes", "unsolicited = \"drop\"\nethertypes");
    let reply = packets::ethernet(&[], packets::ARP, &packets::arp(2, [10, 10, 0, 5].into(), [10, 10, 0, 1].into()));
    let target = "fd10::5".parse().expect("an address");
    let advertisement = Ip::from("fd10::5", "fd10::1").ttl(255).frame(&[], 58, &packets::neighbour(136, target));
    let solicitation = Ip::from("fd10::1", "ff02::1:ff00:5").ttl(255).frame(&[], 58, &packets::neighbour(135, target));
    let mut real = Real::new(&counted);
    real.fresh();
    for (frame, verdict, note) in
        [(&reply, "arp", "arp_unsolicited"), (&advertisement, "neighbour_discovery", "na_unsolicited")]
    {
        let count = |real: &Real| real.bench.reason_counter(table::bench::reason(note)).expect("a counter").packets;
        let before = count(&real);
        real.ingress(note, LAN0, frame, verdict);
        assert_eq!(count(&real) - before, 1, "{note} is noted");
    }
    real.commit(&dropped);
    real.fresh();
    real.ingress("ARP", LAN0, &reply, "arp_unsolicited_dropped");
    real.ingress("neighbour", LAN0, &advertisement, "na_unsolicited_dropped");
    let ask = packets::ethernet(&[], packets::ARP, &packets::arp(1, [10, 10, 0, 1].into(), [10, 10, 0, 5].into()));
    real.egress("ARP", LAN0, 0, &ask, "arp");
    real.egress("neighbour", LAN0, 0, &solicitation, "neighbour_discovery");
    real.ingress("an answer", LAN0, &reply, "arp");
    real.ingress("an answer", LAN0, &advertisement, "neighbour_discovery");
    real.ingress("an answer by another interface", LAN1, &reply, "arp_unsolicited_dropped");
}

#[test]
fn a_gateway_that_routes_judges_once() {
    let mut real = Real::new(&policy());
    for net in &ALL {
        real.fresh();
        real.egress(net.name, WAN0, LAN0, &net.out().frame(&[], TCP, &packets::tcp(1, 444, SYN, &[])), "routed");
        real.egress(net.name, WAN0, 99, &syn(&V4), "interface_unknown");
    }
}

#[test]
fn a_gateway_that_masquerades() {
    let text = policy().replace("\"route\"", "\"masquerade\"")
        + "\n[[publish]]\nname = \"www\"\ntcp = [80]\naddress = \"203.0.113.1\"\nto = \"10.10.0.8\"\nto_port = 8080\n";
    let mut real = Real::new(&text);
    for net in [V4, V6] {
        real.fresh();
        let wan = net.pick("203.0.113.1", "2001:db8:ffff::1");
        let segment =
            |src, dst, sport, dport, flags| Ip::new(src, dst).frame(&[], TCP, &packets::tcp(sport, dport, flags, &[]));
        let (client, server) = (net.client(), net.server());
        real.ingress("out", LAN0, &syn(&net), "allowed");
        real.egress("out, translated", WAN0, LAN0, &segment(wan, server, 61_000, 443, SYN), "translated");
        real.ingress("its reply", WAN0, &segment(server, wan, 443, 61_000, SYN | ACK), "flow");
        real.egress("its reply, translated back", LAN0, WAN0, &segment(server, client, 443, 40_000, SYN | ACK), "flow");
        real.ingress("nobody's reply", WAN0, &segment(server, wan, 443, 61_001, SYN | ACK), "syn_ack_unsolicited");
        real.ingress("to nothing", WAN0, &segment(server, wan, 5000, 23, SYN), "not_published");
        real.egress("into the zone", LAN0, WAN0, &segment(server, client, 5000, 22, SYN), "not_allowed");
        let lookup = Ip::new(wan, server).frame(&[], UDP, &packets::udp(5353, 53, &[0; 12]));
        real.egress("the gateway's lookup", WAN0, 0, &lookup, "allowed");
        let answer = Ip::new(server, wan).frame(&[], UDP, &packets::udp(53, 5353, &[0; 12]));
        real.ingress("its answer", WAN0, &answer, "flow");
    }
    real.fresh();
    let (www, host, server) = (ip("203.0.113.1"), ip("10.10.0.8"), ip("198.51.100.7"));
    let segment =
        |src, dst, sport, dport, flags| Ip::new(src, dst).frame(&[], TCP, &packets::tcp(sport, dport, flags, &[]));
    real.ingress("published", WAN0, &segment(server, www, 5000, 80, SYN), "allowed");
    real.egress("translated", LAN0, WAN0, &segment(server, host, 5000, 8080, SYN), "allowed");
    real.ingress("its reply", LAN0, &segment(host, server, 8080, 5000, SYN | ACK), "flow");
    real.egress("translated back", WAN0, LAN0, &segment(www, server, 80, 5000, SYN | ACK), "flow");
    real.ingress("hairpin", LAN1, &segment(ip("10.40.0.5"), www, 5000, 80, SYN), "allowed");
    real.egress("hairpin, translated", LAN0, LAN1, &segment(ip("10.40.0.5"), host, 5000, 8080, SYN), "allowed");
}

/// What passes goes on by the other interface, with the tags that it has; an answer that comes by another tag is none.
#[test]
fn a_bridge() {
    let text = "[gateway]\nkind = \"bridge\"\noutside = \"wan0\"\npairs = [[\"lan0\", \"wan0\"]]\n\
        [zone.office]\ninterface = \"lan0\"\nprefixes = [\"10.10.0.0/24\", \"fd10::/64\"]\n\
        [[zone.office.egress]]\nname = \"web\"\ntcp = 443\n\
        [[zone.office.egress]]\nname = \"near\"\ntcp = 22\nto = \"zone:office\"\n\
        [zone.tagged]\ninterface = \"lan0\"\nvlan = 20\nprefixes = [\"10.10.0.0/24\", \"fd10::/64\"]\n\
        [[zone.tagged.egress]]\nname = \"web\"\ntcp = 443\n";
    let mut real = Real::new(text);
    for net in [V4, V6] {
        for tags in [&[][..], &[20]] {
            real.fresh();
            let out = net.out().frame(tags, TCP, &packets::tcp(40_000, 443, SYN, &[]));
            let answer = |tags: &[u16]| net.back().frame(tags, TCP, &packets::tcp(443, 40_000, SYN | ACK, &[]));
            assert_eq!(real.ingress(net.name, LAN0, &out, "allowed").onward, WAN0);
            let other: &[u16] = if tags.is_empty() { &[20] } else { &[] };
            real.ingress(net.name, WAN0, &answer(other), "syn_ack_unsolicited");
            real.ingress(net.name, WAN0, &answer(&[30]), "vlan_unknown");
            assert_eq!(real.ingress(net.name, WAN0, &answer(tags), "flow").onward, LAN0);
            // nothing of it is forwarded by the kernel
            real.expect(net.name, hook::EGRESS, WAN0, LAN0, &out, "interface_unknown");
        }
        // a host of the zone's network on the far side may answer, and nothing else
        real.fresh();
        let near = |from: u8, to: u8, sport, dport, flags| {
            Ip::new(net.local(from), net.local(to)).frame(&[], TCP, &packets::tcp(sport, dport, flags, &[]))
        };
        real.ingress(net.name, LAN0, &near(5, 9, 40_000, 22, SYN), "allowed");
        assert_eq!(real.ingress(net.name, WAN0, &near(9, 5, 22, 40_000, SYN | ACK), "flow").onward, LAN0);
        real.ingress(net.name, WAN0, &near(5, 9, 40_000, 22, ACK), "wrong_side");
        real.ingress(net.name, WAN0, &near(9, 5, 40_000, 22, SYN), "source_of_zone");
    }
    let tree = [&[1, 0x80, 0xc2, 0, 0, 0][..], &[2; 6], &[0, 38, 0x42, 0x42, 3], &[0; 35]].concat();
    assert_eq!(real.ingress("spanning tree", WAN0, &tree, "ethertype_allowed").onward, LAN0);
}

fn lookup(sport: u16) -> Vec<u8> {
    V4.out().frame(&[], UDP, &packets::udp(sport, 53, &[0; 12]))
}

/// Flows that were answered stay; when no way is left the next one is refused.
#[test]
fn a_full_flow_table() {
    let mut real = Real::new(&policy());
    real.fresh();
    let run = |real: &mut Real, ifindex, frame: &[u8]| {
        real.bench.run(hook::INGRESS, ifindex, 0, real.now, frame).expect("test run").reason.name()
    };
    let mut answered = Vec::new();
    let mut refused = None;
    for sport in 1024..20_000 {
        match run(&mut real, LAN0, &lookup(sport)) {
            "allowed" => {
                let answer = V4.back().frame(&[], UDP, &packets::udp(53, sport, &[0; 12]));
                real.ingress("an answer", WAN0, &answer, "flow");
                answered.push(sport);
            }
            reason => {
                assert_eq!(reason, "flow_table_full");
                refused = Some(sport);
                break;
            }
        }
    }
    let refused = refused.expect("the table never gets full");
    real.ingress("one too many", LAN0, &lookup(refused), "flow_table_full");
    for sport in answered {
        real.ingress("an answered flow", LAN0, &lookup(sport), "flow");
    }
    // the answered ones expire after three minutes, and the table takes new ones without a sweep
    real.now += 181_000_000_000;
    real.ingress("after their time", LAN0, &lookup(refused), "allowed");
}

/// Half-open flows make room for others; a flood of them pushes no answered one out.
#[test]
fn a_flood_of_half_open_flows() {
    let mut real = Real::new(&policy());
    real.fresh();
    real.ingress("kept", LAN0, &lookup(1), "allowed");
    real.ingress("kept", WAN0, &V4.back().frame(&[], UDP, &packets::udp(53, 1, &[0; 12])), "flow");
    for sport in 1024..5000 {
        let syn = V4.out().frame(&[], TCP, &packets::tcp(sport, 443, SYN, &[]));
        real.ingress("a flood", LAN0, &syn, "allowed");
    }
    real.ingress("kept", LAN0, &lookup(1), "flow");
}

#[test]
fn a_full_fragment_table() {
    let mut real = Real::new(&policy());
    real.fresh();
    // of more sources than fill it
    let from = |id: u16| Ip::new(V4.local(2 + (id % 60) as u8), V4.server());
    let first = |id| from(id).fragment(0, true, id).frame(&[], TCP, &packets::tcp(40_000, 443, SYN, &[0; 4]));
    let later = |id| from(id).fragment(24, true, id).frame(&[], TCP, &[0; 8]);
    let reason = |real: &mut Real, frame: &[u8]| {
        real.bench.run(hook::INGRESS, LAN0, 0, real.now, frame).expect("test run").reason.name()
    };
    let full = (0..5000).find(|id| reason(&mut real, &first(*id)) == "fragment_table_full");
    let full = full.expect("the table never gets full");
    real.ingress("one too many", LAN0, &first(full), "fragment_table_full");
    real.ingress("its follower", LAN0, &later(full), "fragment_first_missing");
    for id in 0..full {
        real.ingress("kept", LAN0, &later(id), "fragment_tracked");
    }
    real.now += 16_000_000_000;
    real.ingress("after their time", LAN0, &first(full), "flow");
    real.ingress("its follower", LAN0, &later(full), "fragment_tracked");
}

/// Malformed first fragments are remembered as dropped, and push out none that passed.
#[test]
fn a_flood_of_malformed_first_fragments() {
    let mut real = Real::new(&policy());
    real.fresh();
    let first = |id| V4.out().fragment(0, true, id).frame(&[], TCP, &packets::tcp(40_000, 443, SYN, &[0; 4]));
    let later = |id| V4.out().fragment(24, false, id).frame(&[], TCP, &[0; 8]);
    let from = |id: u16| Ip::new(V4.local(if id < 60_000 { 100 + (id % 60) as u8 } else { 5 }), V4.server());
    let bad = |id| from(id).fragment(0, true, id).frame(&[], TCP, &packets::tcp_words(1, 443, SYN, 4, &[0; 4]));
    real.ingress("before the flood", LAN0, &first(60_000), "allowed");
    for id in 0..2000 {
        real.ingress("a flood", LAN0, &bad(id), "tcp_bad_header_length");
    }
    real.ingress("a flood with its identification", LAN0, &bad(60_000), "tcp_bad_header_length");
    real.ingress("its follower", LAN0, &later(60_000), "fragment_tracked");
    // what the flood left makes room for what passes
    real.ingress("after the flood", LAN0, &first(60_001), "flow");
    real.ingress("its follower", LAN0, &later(60_001), "fragment_tracked");
    // the table is full of dropped ones: the first of them are still known
    let follower = from(0).fragment(24, false, 0).frame(&[], TCP, &[0; 8]);
    real.ingress("a follower of the flood", LAN0, &follower, "fragment_of_dropped");
}

/// Service, line and zone of an ICMP error are those of the flow that it is about, and the service counts it.
#[test]
fn an_icmp_error_belongs_to_a_service() {
    let mut real = Real::new(&policy());
    for net in &ALL {
        real.fresh();
        let start = real.ingress(net.name, LAN0, &syn(net), "allowed");
        let quoted = net.out().packet(TCP, &packets::tcp(40_000, 443, SYN, &[]));
        let router = Ip::new(net.outside(99), net.client());
        let before = real.bench.service_counter(start.service).expect("a counter").packets;
        let error =
            real.ingress(net.name, WAN0, &router.frame(&[], net.icmp(), &net.unreachable(&quoted)), "icmp_error");
        assert_eq!((error.service, error.zone, error.flow_id), (start.service, start.zone, start.flow_id));
        let after = real.bench.service_counter(start.service).expect("a counter").packets;
        assert_eq!(after - before, 1, "{}: packets of the service", net.name);
    }
}

/// A connection that takes a closed one's place adds no flow: it may begin in a zone that has more than its cap allows
/// since a push. A tuple that changes over to another zone adds one there.
#[test]
fn reuse_in_a_zone_above_its_cap() {
    let wide = policy().replace("max_flows = 1", "max_flows = 3");
    let mut real = Real::new(&wide);
    for net in [V4, V6] {
        real.commit(&wide);
        real.fresh();
        let host = net.pick("10.40.0.5", "fd40::5");
        let out = |port, flags| Ip::new(host, net.server()).frame(&[], TCP, &packets::tcp(40_000, port, flags, &[]));
        for port in [80, 443, 8000] {
            real.ingress("below the cap", LAN1, &out(port, SYN), "allowed");
        }
        real.ingress("one ends", LAN1, &out(80, RST), "flow");
        real.commit(&policy());
        real.ingress("its tuple again", LAN1, &out(80, SYN), "allowed");
        real.ingress("another one", LAN1, &out(8001, SYN), "zone_flow_cap");
        real.agree();
    }
    // between two zones, each with a line to the other
    let lines = "\n[[zone.small.egress]]\nname = \"there\"\ntcp = [40000]\nto = [\"zone:plain\"]\n\
        \n[[zone.plain.egress]]\nname = \"back\"\ntcp = [443]\nto = [\"zone:small\"]\n";
    let mut real = Real::new(&(policy() + lines));
    for net in [V4, V6] {
        real.fresh();
        let (small, plain) = (net.pick("10.40.0.5", "fd40::5"), net.client());
        let segment =
            |src, dst, sport, dport, flags| Ip::new(src, dst).frame(&[], TCP, &packets::tcp(sport, dport, flags, &[]));
        real.ingress("fills the cap", LAN1, &segment(small, net.server(), 1, 443, SYN), "allowed");
        real.ingress("into it", LAN0, &segment(plain, small, 40_000, 443, SYN), "allowed");
        real.ingress("it ends", LAN0, &segment(plain, small, 40_000, 443, RST), "flow");
        real.ingress("the other way", LAN1, &segment(small, plain, 443, 40_000, SYN), "zone_flow_cap");
        real.agree();
    }
}

/// What groups of buckets say of them: of flows that were swept nothing is left.
#[test]
fn swept_buckets_are_empty() {
    let mut real = Real::new(&policy());
    real.fresh();
    for sport in 1024..1200 {
        real.ingress("some flows", LAN0, &lookup(sport), "allowed");
    }
    real.agree();
    assert_ne!(real.bench.flows().groups().get(0).expect("a group").taken, 0);
    real.now += 3_600_000_000_000;
    // the clock goes on with what is judged
    real.ingress("a late one", LAN0, &lookup(1), "allowed");
    real.bench.object().sweep(64).expect("a sweep");
    real.agree();
    assert_eq!(real.bench.live_flows().len(), 1);
    let taken = real.bench.flows().groups().get(0).expect("a group").taken;
    assert_eq!(taken.count_ones(), 1, "{taken:#x}");
    real.ingress("the late one", LAN0, &lookup(1), "flow");
}

/// A lock that is never given back (its CPU is gone) costs a flow, not the machine.
#[test]
fn a_lock_that_is_held() {
    let mut real = Real::new(&policy());
    real.fresh();
    let groups = real.bench.flows().groups();
    let free = groups.get(0).expect("a group");
    groups.set(0, Group { lock: 1, ..free });
    real.ingress("a start", LAN0, &lookup(1), "flow_table_busy");
    real.bench.flows().groups().set(0, free);
    real.ingress("a start", LAN0, &lookup(1), "allowed");
}
