//! The model against verdicts written by hand.

use dropgate_abi::reason::Reason;

use crate::{
    packets::{self, ACK, FIN, Ip, RST, SYN},
    reference::{
        At, Model,
        policy::{Kind, Policy, Prefix, Publish, Service, To, Zone},
        sequence::{fragments, sequence},
        world::{self, INTERFACES, Rng},
    },
};

const LAN: u32 = 11;
const WAN: u32 = 21;
const S: u64 = 1_000_000_000;

fn office(kind: Kind) -> Model {
    let web = Service { name: "web".into(), tcp: vec![(80, 80), (443, 443)], ..Service::default() };
    let dns = Service { name: "dns".into(), udp: vec![(53, 53)], ..Service::default() };
    let ping = Service { name: "ping".into(), icmp: vec![8], icmpv6: vec![128], ..Service::default() };
    let admin = Service { name: "admin".into(), tcp: vec![(22, 22)], to: vec![To::Gateway], ..Service::default() };
    let zone = Zone {
        name: "office".into(),
        interface: "lan0".into(),
        vlan: vec![],
        prefixes: vec![Prefix::new("10.10.0.0/24"), Prefix::new("fd10::/64")],
        loose: false,
        max_flows: 0,
        dhcp: true,
        egress: vec![web, dns.clone(), ping, admin],
    };
    let publish = Publish {
        name: "www".into(),
        transport: 6,
        ports: vec![(80, 80)],
        address: packets::ip("203.0.113.1"),
        to: packets::ip("10.10.0.8"),
        to_port: Some(8080),
    };
    let policy = Policy {
        kind,
        addresses: world::gateway_addresses(),
        zones: vec![zone],
        gateway_egress: vec![dns],
        publish: if kind == Kind::Masquerade { vec![publish] } else { vec![] },
        ..Policy::default()
    };
    Model::new(policy, 1, &INTERFACES)
}

/// Runs packets and compares reason by reason.
fn expect(model: &mut Model, steps: &[(At, Vec<u8>, Reason)]) {
    for (number, (at, frame, reason)) in steps.iter().enumerate() {
        let verdict = model.judge(*at, frame);
        assert_eq!(verdict.reason.name(), reason.name(), "step {number}: {verdict:?}");
    }
}

fn tcp(src: &str, dst: &str, sport: u16, dport: u16, flags: u8) -> Vec<u8> {
    Ip::from(src, dst).frame(&[], 6, &packets::tcp(sport, dport, flags, &[]))
}

#[test]
fn a_connection_from_its_syn_to_its_end() {
    let mut model = office(Kind::Route);
    let (client, server) = ("10.10.0.5", "198.51.100.7");
    let out = |now, flags| (At::ingress(LAN, now), tcp(client, server, 4000, 443, flags));
    let back = |now, flags| (At::ingress(WAN, now), tcp(server, client, 443, 4000, flags));
    let step = |(at, frame), reason| (at, frame, reason);
    expect(
        &mut model,
        &[
            step(back(0, SYN | ACK), Reason::syn_ack_unsolicited),
            step(out(0, ACK), Reason::tcp_no_flow),
            step(out(0, RST), Reason::rst_unsolicited),
            step(out(S, SYN), Reason::allowed),
            step(back(S, SYN | ACK), Reason::flow),
            step(out(S, ACK), Reason::flow),
            (At::ingress(LAN, S), tcp(server, client, 443, 4000, ACK), Reason::wrong_side),
            step(out(3000 * S, ACK), Reason::flow),
            step(back(3000 * S, FIN | ACK), Reason::flow),
            step(out(3010 * S, FIN | ACK), Reason::flow),
            step(out(3020 * S, SYN), Reason::allowed),
            step(out(3060 * S, ACK), Reason::tcp_no_flow),
        ],
    );
}

#[test]
fn a_service_taken_away_cuts_its_flows() {
    let mut model = office(Kind::Route);
    let out = |flags| tcp("fd10::5", "2001:db8:1::7", 4000, 443, flags);
    let at = At::ingress(LAN, 0);
    expect(&mut model, &[(at, out(SYN), Reason::allowed)]);
    let whole = model.policy.clone();
    let mut less = whole.clone();
    less.zones[0].egress.remove(0);
    model.commit(less, 2);
    expect(&mut model, &[(at, out(ACK), Reason::flow_revoked), (at, out(ACK), Reason::flow_revoked)]);
    model.commit(whole, 3);
    expect(&mut model, &[(at, out(ACK), Reason::flow)]);
}

#[test]
fn masquerade_lets_in_replies_and_what_is_published() {
    let mut model = office(Kind::Masquerade);
    let (client, server, wan) = ("10.10.0.5", "198.51.100.7", "203.0.113.1");
    let ingress = |ifindex| At::ingress(ifindex, 0);
    let egress = |ifindex, from| At::egress(ifindex, from, 0);
    expect(
        &mut model,
        &[
            (ingress(LAN), tcp(client, server, 4000, 443, SYN), Reason::allowed),
            (egress(WAN, LAN), tcp(wan, server, 61000, 443, SYN), Reason::translated),
            (ingress(WAN), tcp(server, wan, 443, 61000, SYN | ACK), Reason::flow),
            (egress(LAN, WAN), tcp(server, client, 443, 4000, SYN | ACK), Reason::flow),
            (ingress(WAN), tcp(server, wan, 443, 61001, SYN | ACK), Reason::syn_ack_unsolicited),
            (ingress(WAN), tcp(server, wan, 5000, 23, SYN), Reason::not_published),
            (ingress(WAN), tcp(server, wan, 5000, 80, SYN), Reason::allowed),
            (egress(LAN, WAN), tcp(server, "10.10.0.8", 5000, 8080, SYN), Reason::allowed),
            (ingress(LAN), tcp("10.10.0.8", server, 8080, 5000, SYN | ACK), Reason::flow),
            (egress(WAN, LAN), tcp(wan, server, 80, 5000, SYN | ACK), Reason::flow),
            (egress(LAN, WAN), tcp(server, "10.10.0.8", 5001, 8081, SYN), Reason::not_allowed),
        ],
    );
}

#[test]
fn echo_is_answered_once_asked() {
    let mut model = office(Kind::Route);
    let echo = |src: &str, dst: &str, kind| {
        let packet = Ip::from(src, dst);
        packet.frame(&[], packets::icmp_of(packet.src), &packets::icmp(kind, 0, 7))
    };
    let (client, server) = ("10.10.0.5", "198.51.100.7");
    expect(
        &mut model,
        &[
            (At::ingress(WAN, 0), echo(server, client, 0), Reason::reply_unsolicited),
            (At::ingress(LAN, 0), echo(client, server, 8), Reason::allowed),
            (At::ingress(WAN, 0), echo(server, client, 0), Reason::flow),
            // the same identifier does not make another query part of the flow
            (At::ingress(LAN, 0), echo(client, server, 13), Reason::not_allowed),
            (At::ingress(WAN, 0), echo(server, client, 8), Reason::not_allowed),
            (At::ingress(LAN, 0), echo("fd10::5", "2001:db8:1::7", 128), Reason::allowed),
            (At::ingress(WAN, 0), echo("2001:db8:1::7", "fd10::5", 129), Reason::flow),
        ],
    );
}

#[test]
fn later_fragments_follow_their_first_one() {
    let mut model = office(Kind::Route);
    let at = At::ingress(LAN, 0);
    for (src, dst) in [("10.10.0.5", "198.51.100.7"), ("fd10::5", "2001:db8:1::7")] {
        let first = |dport, id| {
            Ip::from(src, dst).fragment(0, true, id).frame(&[], 6, &packets::tcp(4000, dport, SYN, &[0; 4]))
        };
        let later = |offset, id| Ip::from(src, dst).fragment(offset, false, id).frame(&[], 6, &[0; 16]);
        expect(
            &mut model,
            &[
                (at, later(24, 1), Reason::fragment_first_missing),
                (at, first(443, 1), Reason::allowed),
                (at, later(24, 1), Reason::fragment_tracked),
                (at, later(8, 1), Reason::fragment_overlap),
                (at, first(444, 2), Reason::not_allowed),
                (at, later(24, 2), Reason::fragment_of_dropped),
                (At::ingress(WAN, 0), later(24, 1), Reason::fragment_first_missing),
                (At::ingress(LAN, 6 * S), later(24, 1), Reason::fragment_first_missing),
            ],
        );
    }
}

/// The generator is worth its name only if it gets to most reasons that packets can have.
#[test]
fn generated_sequences_reach_the_reasons() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..6000 {
        let mut rng = Rng(seed);
        let policy = world::policy(&mut rng);
        let mut steps = sequence(&mut rng, &policy, 10, policy.capped());
        if seed % 10 == 7 {
            steps = fragments(&mut rng, &policy, 20, policy.capped());
        }
        let mut model = Model::new(policy, 1, &INTERFACES);
        let mut now = S;
        for step in steps {
            now += step.later;
            let verdict = model.judge(At { now, ..step.at }, &step.frame);
            let inside = if verdict.carried { ", inside" } else { "" };
            *seen.entry(format!("{}{inside}", verdict.reason.name())).or_insert(0u32) += 1;
        }
    }
    println!("{seen:#?}");
    assert!(seen.len() > 70, "only {} reasons: {seen:#?}", seen.len());
    for name in [
        "allowed",
        "flow",
        "wrong_side",
        "translated",
        "fragment_tracked",
        "fragment_repeated",
        "datagram_overlap",
        "datagram_length",
        "icmp_error",
        "zone_flow_cap",
        "allowed, inside",
        "flow, inside",
        "not_allowed, inside",
        "icmp_error, inside",
        "fragment_tracked, inside",
        "pppoe_unasked",
        "pppoe_opaque",
        "ppp_control",
        "tunnel_unasked",
        "tunnel_denied",
        "tunnel_nested, inside",
        "tunnel_fragment",
        "tunnel_truncated",
        "tunnel_malformed",
        "tunnel_unreadable",
        "tunnel_payload",
    ] {
        assert!(seen.get(name).is_some_and(|count| *count > 5), "{name} is rare: {seen:#?}");
    }
}
