//! Tunnels: what is inside is judged, passed unread or dropped, as the policy says, and nothing of it passes unread by chance.

use dropgate_abi::{
    hold::part,
    walk::{Walk, action, hook},
};

use super::{
    bench::Real,
    net::{ALL, LAN0, Net, V4, V6, WAN0, policy},
};
use crate::packets::{self, ACK, GRE, IPV4, IPV6, Ip, SYN, TCP, UDP};

const IPIP: u8 = 4;
const SIT: u8 = 41;
const VXLAN: u16 = 4789;

/// The network's policy with one line for tunnels, which says `tunnel` of them.
pub(super) fn about(tunnel: &str) -> String {
    policy()
        .replace(
            "name = \"vpn\"\nprotocol = [\"gre\"]\ntunnel = \"opaque\"",
            &format!("name = \"vpn\"\nprotocol = [\"gre\", \"ipip\", \"ipv6\"]\nudp = [4789]\n{tunnel}"),
        )
        .replace("kind = \"route\"", "kind = \"route\"\npppoe = \"judge\"")
}

/// The same parties in the other family.
fn other(net: &Net) -> Net {
    let same_zone = |other: &Net| other.v4 != net.v4 && other.tags.len() == net.tags.len();
    ALL.into_iter().find(same_zone).expect("every form in both families")
}

/// A tunnel's header before a packet: the protocol of what carries it, and its payload.
type Carrier = fn(&[u8], u16) -> (u8, Vec<u8>);

fn gre(flags: u16, ethertype: u16, options: &[u8], inner: &[u8]) -> (u8, Vec<u8>) {
    (GRE, [&flags.to_be_bytes()[..], &ethertype.to_be_bytes(), options, inner].concat())
}

pub(super) fn vxlan(flags: u32, network: u32, inner: &[u8]) -> (u8, Vec<u8>) {
    let header = [flags.to_be_bytes(), network.to_be_bytes()].concat();
    (UDP, packets::udp(VXLAN, VXLAN, &[&header[..], inner].concat()))
}

const CARRIERS: [(&str, Carrier); 8] = [
    ("IP in IP", |inner, ethertype| (if ethertype == IPV4 { IPIP } else { SIT }, inner.to_vec())),
    ("GRE", |inner, ethertype| gre(0, ethertype, &[], inner)),
    ("GRE with all options", |inner, ethertype| gre(0xb000, ethertype, &[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9], inner)),
    ("Ethernet in GRE", |inner, ethertype| {
        gre(0x2000, 0x6558, &[0, 0, 0, 7], &packets::ethernet(&[], ethertype, inner))
    }),
    ("tagged Ethernet in GRE", |inner, ethertype| gre(0, 0x6558, &[], &packets::ethernet(&[5], ethertype, inner))),
    ("VXLAN", |inner, ethertype| vxlan(0x0800_0000, 7 << 8, &packets::ethernet(&[], ethertype, inner))),
    ("VXLAN, VLAN", |inner, ethertype| vxlan(0x0800_0000, 7 << 8, &packets::ethernet(&[5], ethertype, inner))),
    ("VXLAN, VLAN in VLAN", |inner, ethertype| {
        vxlan(0x0800_0000, 7 << 8, &packets::ethernet(&[5, 6], ethertype, inner))
    }),
];

fn ppp(inner: &[u8], ethertype: u16) -> Vec<u8> {
    packets::session(if ethertype == IPV4 { 0x0021 } else { 0x0057 }, inner)
}

impl Real {
    /// Judges a frame whose verdict is about a packet in it: reason and action, and that nothing else is counted.
    pub(super) fn inside(&mut self, what: &str, ifindex: u32, frame: &[u8], name: &str) -> Walk {
        let before = self.counter(name);
        let walk = self.bench.run(hook::INGRESS, ifindex, 0, self.now, frame).expect("test run");
        assert_eq!(walk.reason.name(), name, "{what}: reason");
        assert_eq!(self.counter(name).packets - before.packets, 1, "{what}: packets counted");
        walk
    }
}

pub(super) fn segment(ip: &Ip, dport: u16, flags: u8) -> Vec<u8> {
    ip.packet(TCP, &packets::tcp(40_000, dport, flags, &[]))
}

fn answer(ip: &Ip) -> Vec<u8> {
    ip.packet(TCP, &packets::tcp(443, 40_000, SYN | ACK, &[]))
}

/// A flow inside is one of its own, of its tunnel: allowed or not by its own line, whatever the tunnel's line allows.
#[test]
fn a_packet_in_a_tunnel_is_judged() {
    let mut real = Real::new(&about("tunnel = \"judge\""));
    for net in &ALL {
        for inner in [*net, other(net)] {
            for (name, carrier) in CARRIERS {
                real.fresh();
                let what = format!("{name}, {} in {}", inner.name, net.name);
                let carried = |ip: &Ip, packet: &[u8], tags: &[u16]| {
                    let (protocol, payload) = carrier(packet, inner.out().ethertype());
                    ip.frame(tags, protocol, &payload)
                };
                let out = |packet: &[u8]| carried(&net.out(), packet, net.tags);
                let back = |packet: &[u8]| carried(&net.back(), packet, &[]);
                let first = real.inside(&what, LAN0, &out(&segment(&inner.out(), 443, SYN)), "allowed");
                assert_ne!(first.tunnel, 0, "{what}");
                assert_eq!((first.sport, first.dport), (40_000, 443), "{what}");
                let outer = real.bench.outer().expect("what carries it");
                assert_ne!((outer.flow_id, outer.service), (first.flow_id, first.service), "{what}");
                assert!(real.bench.service_counter(outer.service).expect("a counter").packets > 0, "{what}");
                let reply = real.inside(&what, WAN0, &back(&answer(&inner.back())), "flow");
                assert_eq!(reply.flow_id, first.flow_id, "{what}");
                real.inside(&what, LAN0, &out(&segment(&inner.out(), 443, ACK)), "flow");
                real.inside(&what, LAN0, &out(&segment(&inner.out(), 444, SYN)), "not_allowed");
                real.inside(&what, WAN0, &back(&segment(&inner.back(), 443, SYN)), "not_allowed");
                real.inside(
                    &what,
                    LAN0,
                    &out(&segment(&Ip::new(inner.outside(8), inner.server()), 443, SYN)),
                    "source_not_in_zone",
                );
                // the same addresses and ports outside of it are another flow
                let plain = inner.out().frame(net.tags, TCP, &packets::tcp(40_000, 443, ACK, &[]));
                real.ingress(&what, LAN0, &plain, "tcp_no_flow");
                // and so they are in a tunnel to another end
                let elsewhere =
                    carried(&Ip::new(net.client(), net.outside(8)), &segment(&inner.out(), 443, ACK), net.tags);
                real.inside(&what, LAN0, &elsewhere, "tcp_no_flow");
                real.agree();
            }
        }
    }
}

#[test]
fn what_the_policy_says_of_a_tunnel() {
    let packet = segment(&V4.out(), 444, SYN);
    for (tunnel, reason) in [
        ("tunnel = \"judge\"", "not_allowed"),
        ("tunnel = \"opaque\"", "allowed"),
        ("tunnel = \"drop\"", "tunnel_denied"),
        ("", "tunnel_unasked"),
    ] {
        let mut real = Real::new(&about(tunnel));
        for net in &ALL {
            for (name, carrier) in CARRIERS {
                real.fresh();
                let (protocol, payload) = carrier(&segment(&net.out(), 444, SYN), net.out().ethertype());
                let walk = real.inside(name, LAN0, &net.out().frame(net.tags, protocol, &payload), reason);
                assert_eq!(walk.action == action::PASS, reason == "allowed", "{name}: {tunnel}");
            }
        }
        assert_eq!(real.bench.live_flows().iter().filter(|flow| flow.key.protocol == TCP).count(), 0);
    }
    // a wide range of ports is no word about VXLAN
    let mut real = Real::new(&policy().replace("udp = [53]", "udp = [\"1-65535\"]"));
    let (_, payload) = vxlan(0x0800_0000, 0, &packets::ethernet(&[], IPV4, &packet));
    real.ingress("in a range", LAN0, &V4.out().frame(&[], UDP, &payload), "tunnel_unasked");
    let named = V4.out().frame(&[], UDP, &packets::udp(40_000, 8472, &[0; 8]));
    real.ingress("what Linux has by default", LAN0, &named, "tunnel_unasked");
    let beside = V4.out().frame(&[], UDP, &packets::udp(VXLAN, 4790, &[0; 8]));
    real.ingress("from its port to another", LAN0, &beside, "allowed");
}

/// A push takes a flow's word back, or gives it another.
#[test]
fn a_later_generation_says_otherwise() {
    let mut real = Real::new(&about("tunnel = \"opaque\""));
    let (protocol, payload) = gre(0, IPV4, &[], &segment(&V4.out(), 444, SYN));
    let frame = V4.out().frame(&[], protocol, &payload);
    real.ingress("unread", LAN0, &frame, "allowed");
    real.ingress("unread", LAN0, &frame, "flow");
    for (tunnel, reason) in [
        ("tunnel = \"judge\"", "not_allowed"),
        ("tunnel = \"drop\"", "tunnel_denied"),
        ("", "tunnel_unasked"),
        ("tunnel = \"opaque\"", "flow"),
    ] {
        real.commit(&about(tunnel));
        real.inside(tunnel, LAN0, &frame, reason);
        real.inside(tunnel, LAN0, &frame, reason);
    }
}

/// Whatever is cut off, the packet is dropped: what carries it says how long it is.
#[test]
fn cut_at_every_byte() {
    let mut real = Real::new(&about("tunnel = \"judge\""));
    for net in &ALL {
        for inner in [*net, other(net)] {
            for (name, carrier) in CARRIERS {
                real.fresh();
                let (protocol, whole) = carrier(&segment(&inner.out(), 443, SYN), inner.out().ethertype());
                let least = if protocol == UDP { 8 } else { 0 };
                for length in least..whole.len() {
                    let mut cut = whole[..length].to_vec();
                    if protocol == UDP {
                        cut[4..6].copy_from_slice(&(length as u16).to_be_bytes());
                    }
                    // with padding behind it, which the receiver does not read
                    for padding in [0, 64] {
                        let mut frame = net.out().frame(net.tags, protocol, &cut);
                        frame.extend(vec![0x45; padding]);
                        let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, &frame).expect("test run");
                        assert_eq!(walk.action, action::DROP, "{name}, {length} bytes: {}", walk.reason.name());
                        assert_ne!(walk.reason.name(), "internal", "{name}, {length} bytes");
                    }
                }
                // one in a session is cut by the session's own length
                let session = ppp(&segment(&inner.out(), 443, SYN), inner.out().ethertype());
                for length in 0..session.len() {
                    let frame = packets::ethernet(net.tags, 0x8864, &session[..length]);
                    let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, &frame).expect("test run");
                    assert_eq!(walk.action, action::DROP, "PPPoE, {length} bytes: {}", walk.reason.name());
                }
            }
        }
    }
}

#[test]
fn headers_that_are_not_read() {
    let mut real = Real::new(&about("tunnel = \"judge\""));
    let inner = segment(&V4.out(), 443, SYN);
    let ethernet = packets::ethernet(&[], IPV4, &inner);
    let flag = 0x0800_0000;
    let cases = [
        ("GRE, version 1", gre(0x2001, 0x880b, &[0; 4], &inner), "tunnel_unreadable"),
        ("GRE, version 2", gre(2, IPV4, &[], &inner), "tunnel_malformed"),
        ("GRE with a route", gre(0x4000, IPV4, &[0; 8], &inner), "tunnel_malformed"),
        ("GRE with a reserved bit", gre(8, IPV4, &[], &inner), "tunnel_malformed"),
        ("GRE around MPLS", gre(0, 0x8847, &[], &inner), "tunnel_payload"),
        ("GRE around WCCP", gre(0, 0x883e, &[], &inner), "tunnel_payload"),
        ("GRE that says IPv6 around IPv4", gre(0, IPV6, &[], &inner), "ip6_bad_version"),
        ("IPv6 that is IPv4", (SIT, inner.clone()), "ip6_bad_version"),
        ("VXLAN without a network", vxlan(0, 0, &ethernet), "tunnel_malformed"),
        ("VXLAN with group policy", vxlan(flag | 0x8000_0000, 0, &ethernet), "tunnel_unreadable"),
        ("VXLAN with something behind the network", vxlan(flag, 1, &ethernet), "tunnel_unreadable"),
        ("VXLAN around three tags", vxlan(flag, 0, &packets::ethernet(&[1, 2, 3], IPV4, &inner)), "vlan_too_deep"),
        ("VXLAN around LLDP", vxlan(flag, 0, &packets::ethernet(&[], 0x88cc, &[0; 46])), "ethertype_allowed"),
        ("VXLAN around ARP", vxlan(flag, 0, &packets::ethernet(&[], 0x0806, &[0; 46])), "ethertype_allowed"),
        ("VXLAN around MPLS", vxlan(flag, 0, &packets::ethernet(&[], 0x8847, &[0; 46])), "ethertype_denied"),
        ("a tunnel in a tunnel", gre(0, IPV4, &[], &V4.out().packet(IPIP, &inner)), "tunnel_nested"),
        (
            "VXLAN in VXLAN",
            {
                let (_, payload) = vxlan(flag, 0, &ethernet);
                vxlan(flag, 0, &packets::ethernet(&[], IPV4, &V4.out().packet(UDP, &payload)))
            },
            "tunnel_nested",
        ),
        ("a session in VXLAN", vxlan(flag, 0, &packets::ethernet(&[], 0x8864, &ppp(&inner, IPV4))), "ethertype_denied"),
        ("what no honest host sends", gre(0, IPV4, &[], &segment(&V4.out(), 443, 0)), "tcp_flags_none"),
        (
            "a later fragment",
            gre(0, IPV4, &[], &V4.out().fragment(24, false, 3).packet(TCP, &[0; 8])),
            "fragment_first_missing",
        ),
    ];
    for (name, (protocol, payload), reason) in cases {
        for net in [V4, V6] {
            real.fresh();
            real.inside(name, LAN0, &net.out().frame(net.tags, protocol, &payload), reason);
        }
    }
}

/// Fragments of what carries it cannot be judged inside; those of the packet inside are as any others, apart from the same outside.
#[test]
fn fragments() {
    let text = about("tunnel = \"judge\"").replace("udp = \"drop\"", "udp = \"track\"");
    let mut real = Real::new(&text);
    let payload = packets::tcp(40_000, 443, SYN, &[0; 12]);
    for net in &ALL {
        for (name, carrier) in CARRIERS {
            real.fresh();
            let (protocol, whole) = carrier(&segment(&net.out(), 443, SYN), net.out().ethertype());
            let outer = |offset: u16, more| net.out().fragment(offset, more, 7);
            let first = outer(0, true).frame(net.tags, protocol, &whole[..32]);
            real.ingress(name, LAN0, &first, "tunnel_fragment");
            let later = outer(32, false).frame(net.tags, protocol, &whole[32..]);
            let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, &later).expect("test run");
            // where fragments of other protocols pass, one without its first is of no use to its receiver
            let passed = protocol != UDP && net.v4;
            assert_eq!(walk.reason.name(), if passed { "fragment_passed" } else { "fragment_of_dropped" }, "{name}");
            let inner = |offset: u16, more, bytes: &[u8]| {
                let packet = net.out().fragment(offset, more, 9).packet(TCP, bytes);
                let (protocol, payload) = carrier(&packet, net.out().ethertype());
                net.out().frame(net.tags, protocol, &payload)
            };
            real.inside(name, LAN0, &inner(0, true, &payload[..24]), "allowed");
            let outside = net.out().fragment(24, false, 9).frame(net.tags, TCP, &payload[24..]);
            real.ingress(name, LAN0, &outside, "fragment_first_missing");
            real.inside(name, LAN0, &inner(24, false, &payload[24..]), "fragment_tracked");
        }
    }
}

#[test]
fn sessions() {
    let inner = |net: &Net, port| segment(&net.out(), port, SYN);
    for (key, reasons) in [
        ("pppoe = \"judge\"", ["allowed", "not_allowed", "ppp_control", "tunnel_payload"]),
        ("pppoe = \"opaque\"", ["pppoe_opaque"; 4]),
        ("pppoe = \"drop\"", ["pppoe_unasked"; 4]),
        ("", ["pppoe_unasked"; 4]),
    ] {
        let mut real = Real::new(&about("tunnel = \"opaque\"").replace("pppoe = \"judge\"", key));
        for net in &ALL {
            real.fresh();
            let ethertype = net.out().ethertype();
            let frames = [
                ppp(&inner(net, 443), ethertype),
                ppp(&inner(net, 444), ethertype),
                packets::session(0xc021, &[1, 1, 0, 4]),
                packets::session(0x80fd, &[1, 1, 0, 4]),
            ];
            for (payload, reason) in frames.iter().zip(reasons) {
                real.inside(key, LAN0, &packets::ethernet(net.tags, 0x8864, payload), reason);
            }
            if reasons[0] != "allowed" {
                continue;
            }
            for control in [0x8021, 0x8057, 0xc023, 0xc223] {
                let frame = packets::ethernet(net.tags, 0x8864, &packets::session(control, &[1, 1, 0, 4]));
                real.inside("control", LAN0, &frame, "ppp_control");
            }
            // a session that ends at the gateway is a link: what comes out of it is answered without
            let reply = net.back().frame(&[], TCP, &packets::tcp(443, 40_000, SYN | ACK, &[]));
            real.ingress("its answer", WAN0, &reply, "flow");
            let (protocol, payload) = gre(0, IPV4, &[], &inner(&V4, 444));
            let tunnel = ppp(&net.out().packet(protocol, &payload), ethertype);
            real.inside("an opaque tunnel in it", LAN0, &packets::ethernet(net.tags, 0x8864, &tunnel), "allowed");
            for (at, byte) in [(0, 0x12), (0, 0x21), (1, 9), (2, 0xff), (5, 1)] {
                let mut wrong = ppp(&inner(net, 443), ethertype);
                wrong[at] = byte;
                wrong[3] = if at == 2 { 0xff } else { wrong[3] };
                wrong[4] = if at == 5 { 0 } else { wrong[4] };
                real.inside("a wrong header", LAN0, &packets::ethernet(net.tags, 0x8864, &wrong), "tunnel_malformed");
            }
            let mut longer = ppp(&inner(net, 443), ethertype);
            longer[4] = 4;
            real.inside(
                "longer than its frame",
                LAN0,
                &packets::ethernet(net.tags, 0x8864, &longer),
                "tunnel_truncated",
            );
        }
        real.ingress("discovery", LAN0, &packets::ethernet(&[], 0x8863, &[0x11, 9, 0, 0, 0, 0]), "ethertype_denied");
    }
}

/// The gateway's own packets are judged inside as they leave; what it forwards was judged where it came in.
#[test]
fn at_egress() {
    let line = "\n[[self.egress]]\nname = \"own\"\nprotocol = [\"gre\"]\ntunnel = \"judge\"\n";
    let mut real = Real::new(&(about("tunnel = \"judge\"") + line));
    for net in [V4, other(&V4)] {
        real.fresh();
        let ip = Ip::new(net.pick("203.0.113.1", "2001:db8:ffff::1"), net.server());
        let frame = |port| {
            let lookup = Ip::new(ip.src, net.outside(9)).packet(UDP, &packets::udp(40_000, port, &[0; 12]));
            let (protocol, payload) = gre(0, ip.ethertype(), &[], &lookup);
            ip.frame(&[], protocol, &payload)
        };
        for (port, reason) in [(53, "allowed"), (53, "flow"), (54, "not_allowed")] {
            let walk = real.bench.run(hook::EGRESS, WAN0, 0, real.now, &frame(port)).expect("test run");
            assert_eq!(walk.reason.name(), reason, "{}, port {port}", net.name);
        }
        real.egress("forwarded", WAN0, LAN0, &frame(54), "routed");
    }
}

/// The packet inside is held where it is to be inspected, and so are its fragments.
#[test]
fn what_is_inside_is_held() {
    let mut real = Real::new(&(about("tunnel = \"judge\"") + "\n[inspection]\n"));
    for net in [V4, V6] {
        for (name, carrier) in CARRIERS {
            real.fresh();
            let carried = |packet: &[u8]| {
                let (protocol, payload) = carrier(packet, net.out().ethertype());
                net.out().frame(&[], protocol, &payload)
            };
            let packet = segment(&net.out(), 443, SYN);
            let frame = carried(&packet);
            let walk = real.inside(name, LAN0, &frame, "held");
            let held = real.bench.hold(&walk).expect("its flow");
            assert_eq!((held.flow, held.tunnel, held.network), (walk.flow_id, walk.tunnel, walk.network), "{name}");
            assert_eq!(&frame[usize::from(held.inner)..], &packet, "{name}");
            let payload = packets::tcp(40_001, 443, SYN, &[0; 12]);
            for (id, order) in [(9, [part::FIRST, part::LATER]), (10, [part::LATER, part::FIRST])] {
                for part in order {
                    let (offset, more, bytes) =
                        if part == part::FIRST { (0, true, &payload[..24]) } else { (24, false, &payload[24..]) };
                    let frame = carried(&net.out().fragment(offset, more, id).packet(TCP, bytes));
                    let walk = real.inside(name, LAN0, &frame, "held");
                    let held = real.bench.hold(&walk).expect("what goes with it");
                    assert_eq!((held.part, held.realm), (part, walk.realm), "{name}");
                    let packet = &frame[usize::from(held.inner)..];
                    assert!(packet.ends_with(bytes), "{name}");
                }
            }
        }
    }
}
