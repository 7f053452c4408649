//! The cases, by stage. Each is a short conversation; the last packet is the one the case is about.

use crate::{
    packets::{self, ACK, Ext, FIN, Ip, RST, SYN, TCP, UDP, ethernet, ip},
    table::net::{ALL, LAN0, LAN1, LAN2, LAN3, Net, V4, V6, WAN0},
};

/// A packet and where it is seen: interface, and for the gateway's own egress `true`.
pub struct Step {
    pub ifindex: u32,
    pub own: bool,
    pub later_ms: u64,
    pub frame: Vec<u8>,
    pub reason: &'static str,
}

fn step(ifindex: u32, frame: Vec<u8>, reason: &'static str) -> Step {
    Step { ifindex, own: false, later_ms: 0, frame, reason }
}

fn own(ifindex: u32, frame: Vec<u8>, reason: &'static str) -> Step {
    Step { own: true, ..step(ifindex, frame, reason) }
}

impl Step {
    fn after(self, later_ms: u64) -> Self {
        Self { later_ms, ..self }
    }
}

/// A line of the table: what it shows, in which forms, and the packets.
pub struct Case {
    pub name: &'static str,
    pub forms: &'static [Net],
    pub steps: fn(&Net) -> Vec<Step>,
}

/// From the client's side, in the form's tags.
fn lan(net: &Net, packet: &Ip, protocol: u8, payload: &[u8], reason: &'static str) -> Step {
    step(LAN0, packet.frame(net.tags, protocol, payload), reason)
}

/// From the outside.
fn wan(packet: &Ip, protocol: u8, payload: &[u8], reason: &'static str) -> Step {
    step(WAN0, packet.frame(&[], protocol, payload), reason)
}

fn tcp(dport: u16, flags: u8) -> Vec<u8> {
    packets::tcp(40_000, dport, flags, &[])
}

/// The answer to [`tcp`].
fn answer(sport: u16, flags: u8) -> Vec<u8> {
    packets::tcp(sport, 40_000, flags, &[])
}

fn udp(sport: u16, dport: u16) -> Vec<u8> {
    packets::udp(sport, dport, &[0; 12])
}

macro_rules! cases {
    ($($name:literal, $forms:expr, |$net:ident| $steps:expr;)+) => {
        &[$(Case { name: $name, forms: $forms, steps: |$net: &Net| $steps }),+]
    };
}

/// A TCP segment of the client with odd flags.
fn flags(net: &Net, flags: u8, reason: &'static str) -> Vec<Step> {
    vec![lan(net, &net.out(), TCP, &tcp(443, flags), reason)]
}

/// A packet cut off after some bytes of its network header.
fn cut(net: &Net, bytes: usize, reason: &'static str) -> Vec<Step> {
    let mut frame = net.out().frame(net.tags, TCP, &tcp(443, SYN));
    frame.truncate(14 + 4 * net.tags.len() + bytes);
    vec![step(LAN0, frame, reason)]
}

/// Transport headers cut short within an honest IP packet.
fn short(net: &Net, protocol: u8, bytes: usize, reason: &'static str) -> Vec<Step> {
    vec![lan(net, &net.out(), protocol, &vec![1; bytes], reason)]
}

fn ext(net: &Net, chain: &[Ext], reason: &'static str) -> Vec<Step> {
    vec![lan(net, &net.out().ext(chain), TCP, &tcp(443, SYN), reason)]
}

/// A client's request with another source or destination.
fn between(net: &Net, src: std::net::IpAddr, dst: std::net::IpAddr, reason: &'static str) -> Vec<Step> {
    vec![lan(net, &Ip::new(src, dst), UDP, &udp(40_000, 53), reason)]
}

/// Every extension header as often as it may come, and one more.
const CHAIN: &[Ext] = &[
    Ext::HopByHop(0),
    Ext::Destination(0),
    Ext::Routing(4, 0),
    Ext::Fragment(0, false, 9),
    Ext::Authentication,
    Ext::Destination(3),
    Ext::Destination(0),
];

const FOURS: &[Net] = &[ALL[0], ALL[1], ALL[2]];
const SIXES: &[Net] = &[ALL[3], ALL[4], ALL[5]];

pub const FRAME: &[Case] = cases! {
    "three tags", &[V4, V6], |net| vec![step(LAN0, net.out().frame(&[20, 20, 20], TCP, &tcp(443, SYN)), "vlan_too_deep")];
    "a tag cut short", &[V4], |_net| vec![step(LAN0, ethernet(&[], packets::VLAN, &[0, 20]), "vlan_truncated")];
    "an inner tag cut short", &[V4], |_net| vec![step(LAN0, ethernet(&[20], packets::VLAN, &[0]), "vlan_truncated")];
    "a length instead of an ethertype", &[V4], |_net| vec![step(LAN0, ethernet(&[], 38, &[0; 46]), "ethertype_denied")];
    "MPLS", ALL.as_slice(), |net| vec![step(LAN0, ethernet(net.tags, 0x8847, &[0; 46]), "ethertype_denied")];
    "LLDP, which the policy lists", FOURS, |net| vec![step(LAN0, ethernet(net.tags, 0x88cc, &[0; 46]), "ethertype_allowed")];
    "ARP request", FOURS, |net| vec![step(LAN0, arp(net, 1), "arp")];
    "ARP reply that was asked for", FOURS, |net| vec![own(LAN0, ask(net), "arp"), step(LAN0, arp(net, 2), "arp")];
    "ARP for a protocol other than IPv4", FOURS, |net| {
        let mut frame = arp(net, 1);
        frame[14 + 4 * net.tags.len() + 2] = 0x86;
        vec![step(LAN0, frame, "arp_malformed")]
    };
    "ARP cut short", FOURS, |net| {
        let mut frame = arp(net, 1);
        frame.truncate(14 + 4 * net.tags.len() + 27);
        vec![step(LAN0, frame, "arp_malformed")]
    };
};

fn arp(net: &Net, operation: u16) -> Vec<u8> {
    let (std::net::IpAddr::V4(sender), std::net::IpAddr::V4(target)) = (net.client(), net.gateway()) else {
        unreachable!("ARP is IPv4")
    };
    ethernet(net.tags, packets::ARP, &packets::arp(operation, sender, target))
}

fn ask(net: &Net) -> Vec<u8> {
    let (std::net::IpAddr::V4(sender), std::net::IpAddr::V4(target)) = (net.gateway(), net.client()) else {
        unreachable!("ARP is IPv4")
    };
    ethernet(net.tags, packets::ARP, &packets::arp(1, sender, target))
}

pub const PARSE: &[Case] = cases! {
    "19 bytes of IPv4", FOURS, |net| cut(net, 19, "ip4_truncated");
    "version 6 as IPv4", FOURS, |net| vec![lan(net, &net.out().version(6), TCP, &tcp(443, SYN), "ip4_bad_version")];
    "header of four words", FOURS, |net| vec![lan(net, &net.out().header_words(4), TCP, &tcp(443, SYN), "ip4_bad_header_length")];
    "total length below the header", FOURS, |net| vec![lan(net, &net.out().length(19), TCP, &tcp(443, SYN), "ip4_bad_total_length")];
    "header longer than the total length", FOURS, |net| vec![lan(net, &net.out().header_words(15), TCP, &tcp(443, SYN), "ip4_bad_total_length")];
    "total length beyond the frame", FOURS, |net| vec![lan(net, &net.out().length(41), TCP, &tcp(443, SYN), "ip4_bad_total_length")];
    "39 bytes of IPv6", SIXES, |net| cut(net, 39, "ip6_truncated");
    "version 4 as IPv6", SIXES, |net| vec![lan(net, &net.out().version(4), TCP, &tcp(443, SYN), "ip6_bad_version")];
    "payload length beyond the frame", SIXES, |net| vec![lan(net, &net.out().length(21), TCP, &tcp(443, SYN), "ip6_bad_payload_length")];
    "a jumbogram", SIXES, |net| vec![lan(net, &net.out().ext(&[Ext::HopByHop(0)]).length(0), TCP, &tcp(443, SYN), "ip6_jumbogram")];
    "an extension header beyond the packet", SIXES, |net| ext(net, &[Ext::Raw(60, vec![9, 0, 0, 0, 0, 0, 0])], "ip6_ext_truncated");
    "hop-by-hop second", SIXES, |net| ext(net, &[Ext::Destination(0), Ext::HopByHop(0)], "ip6_ext_order");
    "two routing headers", SIXES, |net| ext(net, &[Ext::Routing(4, 0), Ext::Routing(4, 0)], "ip6_ext_order");
    "three destination headers", SIXES, |net| ext(net, &[Ext::Destination(0), Ext::Destination(0), Ext::Destination(0)], "ip6_ext_order");
    "routing header of type 0", SIXES, |net| ext(net, &[Ext::Routing(0, 1)], "ip6_routing_type0");
    "every legal extension header", SIXES, |net| ext(net, &CHAIN[..6], "allowed");
    "one extension header more", SIXES, |net| ext(net, CHAIN, "ip6_ext_too_many");
    "an authentication header does not hide the ports", SIXES, |net| vec![lan(net, &net.out().ext(&CHAIN[4..5]), TCP, &tcp(444, SYN), "not_allowed")];
    "IPv4 with options", FOURS, |net| vec![lan(net, &net.out().options(&[1; 40]), TCP, &tcp(443, SYN), "allowed")];
    "options do not shift the ports", FOURS, |net| vec![lan(net, &net.out().options(&[1; 8]), TCP, &tcp(444, SYN), "not_allowed")];
    "19 bytes of TCP", ALL.as_slice(), |net| short(net, TCP, 19, "tcp_truncated");
    "TCP header of four words", ALL.as_slice(), |net| vec![lan(net, &net.out(), TCP, &packets::tcp_words(40_000, 443, SYN, 4, &[]), "tcp_bad_header_length")];
    "TCP header beyond the packet", ALL.as_slice(), |net| vec![lan(net, &net.out(), TCP, &packets::tcp_words(40_000, 443, SYN, 6, &[]), "tcp_bad_header_length")];
    "7 bytes of UDP", ALL.as_slice(), |net| short(net, UDP, 7, "udp_truncated");
    "UDP length 7", ALL.as_slice(), |net| vec![lan(net, &net.out(), UDP, &packets::udp_length(40_000, 53, 7, &[0; 4]), "udp_bad_length")];
    "UDP longer than its packet", ALL.as_slice(), |net| vec![lan(net, &net.out(), UDP, &packets::udp_length(40_000, 53, 13, &[0; 4]), "udp_bad_length")];
    "7 bytes of ICMP", ALL.as_slice(), |net| short(net, net.icmp(), 7, "icmp_truncated");
    "ICMP of the other version of IP", ALL.as_slice(), |net| vec![lan(net, &net.out(), 59 - net.icmp(), &packets::icmp(0, 0, 7), "icmp_other_version")];
    "11 bytes of SCTP", ALL.as_slice(), |net| short(net, packets::SCTP, 11, "sctp_truncated");
};

pub const INGRESS: &[Case] = cases! {
    "a VLAN without a zone", &[V4, V6], |net| vec![step(LAN0, net.out().frame(&[21], TCP, &tcp(443, SYN)), "vlan_unknown")];
    "the tags of a zone, swapped", &[V4, V6], |net| vec![step(LAN0, net.out().frame(&[30, 100], TCP, &tcp(443, SYN)), "vlan_unknown")];
    "a tag that a zone does not have", &[V4, V6], |net| vec![step(LAN1, net.out().frame(&[20], TCP, &tcp(443, SYN)), "vlan_unknown")];
    "a priority tag is no VLAN", &[V4, V6], |net| vec![step(LAN0, net.out().frame(&[0xe000], TCP, &tcp(443, SYN)), "allowed")];
    "no tag where all zones are tagged", &[V4, V6], |net| vec![step(LAN3, net.out().frame(&[], TCP, &tcp(443, SYN)), "vlan_unknown")];
    "an interface without a zone", &[V4, V6], |net| vec![step(99, net.out().frame(&[], TCP, &tcp(443, SYN)), "interface_unknown")];
};

pub const ANOMALY: &[Case] = cases! {
    "no flags", ALL.as_slice(), |net| flags(net, 0, "tcp_flags_none");
    "all flags", ALL.as_slice(), |net| flags(net, 0x3f, "tcp_flags_all");
    "SYN and FIN", ALL.as_slice(), |net| flags(net, SYN | FIN, "tcp_syn_fin");
    "SYN and RST", ALL.as_slice(), |net| flags(net, SYN | RST, "tcp_syn_rst");
    "FIN alone", ALL.as_slice(), |net| flags(net, FIN, "tcp_fin_without_ack");
    "TCP to port zero", ALL.as_slice(), |net| vec![lan(net, &net.out(), TCP, &packets::tcp(40_000, 0, SYN, &[]), "port_zero")];
    "UDP from port zero", ALL.as_slice(), |net| vec![lan(net, &net.out(), UDP, &udp(0, 53), "port_zero")];
    "SCTP to port zero", ALL.as_slice(), |net| vec![lan(net, &net.out(), packets::SCTP, &packets::sctp(1, 0, &[]), "port_zero")];
    "land", ALL.as_slice(), |net| between(net, net.client(), net.client(), "land");
    "multicast source", ALL.as_slice(), |net| between(net, net.pick("224.0.0.5", "ff02::5"), net.server(), "source_multicast");
    "limited broadcast as source", FOURS, |net| between(net, ip("255.255.255.255"), net.server(), "source_broadcast");
    "directed broadcast as source", FOURS, |net| between(net, net.local(255), net.server(), "source_broadcast");
    "loopback source", ALL.as_slice(), |net| between(net, net.pick("127.0.0.2", "::1"), net.server(), "source_loopback");
    "no source", ALL.as_slice(), |net| between(net, net.pick("0.0.0.0", "::"), net.server(), "source_unspecified");
    "loopback destination", ALL.as_slice(), |net| between(net, net.client(), net.pick("127.0.0.1", "::1"), "destination_loopback");
    "no destination", ALL.as_slice(), |net| between(net, net.client(), net.pick("0.0.0.0", "::"), "destination_unspecified");
    "TTL zero", ALL.as_slice(), |net| vec![lan(net, &net.out().ttl(0), TCP, &tcp(443, SYN), "allowed")];
};

/// A first fragment of a connection's start, and what comes after it.
fn first(net: &Net, dport: u16, reason: &'static str) -> Step {
    lan(net, &net.out().fragment(0, true, 7), TCP, &packets::tcp(40_000, dport, SYN, &[0; 4]), reason)
}

/// A first fragment of the same datagram that gives its TCP header four words.
fn malformed(net: &Net, reason: &'static str) -> Step {
    lan(net, &net.out().fragment(0, true, 7), TCP, &packets::tcp_words(40_000, 443, SYN, 4, &[0; 4]), reason)
}

fn later(net: &Net, protocol: u8, offset: u16, more: bool, bytes: usize, reason: &'static str) -> Step {
    lan(net, &net.out().fragment(offset, more, 7), protocol, &vec![0; bytes], reason)
}

pub const FRAGMENT: &[Case] = cases! {
    "a first fragment of UDP", ALL.as_slice(), |net| vec![lan(net, &net.out().fragment(0, true, 7), UDP, &packets::udp_length(40_000, 53, 40, &[0; 8]), "fragment_denied")];
    "a later fragment of UDP", ALL.as_slice(), |net| vec![later(net, UDP, 16, false, 8, "fragment_denied")];
    "16 bytes of TCP in a first fragment", ALL.as_slice(), |net| vec![lan(net, &net.out().fragment(0, true, 7), TCP, &tcp(443, SYN)[..16], "fragment_tiny")];
    "TCP options in the second fragment", ALL.as_slice(), |net| vec![lan(net, &net.out().fragment(0, true, 7), TCP, &packets::tcp_words(40_000, 443, SYN, 8, &[0; 4]), "fragment_tiny")];
    "a fragment over the TCP flags", ALL.as_slice(), |net| vec![later(net, TCP, 8, false, 16, "fragment_overlap")];
    "a fragment over the TCP header's end", ALL.as_slice(), |net| vec![later(net, TCP, 16, true, 16, "fragment_overlap")];
    "the ping of death", ALL.as_slice(), |net| vec![later(net, net.icmp(), 65_528, false, 100, "fragment_too_long")];
    "13 bytes and more to come", ALL.as_slice(), |net| vec![later(net, TCP, 24, true, 13, "fragment_bad_length")];
    "a later fragment first", ALL.as_slice(), |net| vec![later(net, TCP, 24, false, 8, "fragment_first_missing")];
    "a later fragment of what passed", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 24, false, 8, "fragment_tracked")];
    "a later fragment of what was dropped", ALL.as_slice(), |net| vec![first(net, 444, "not_allowed"), later(net, TCP, 24, false, 8, "fragment_of_dropped")];
    "a later fragment of a malformed one", ALL.as_slice(), |net| vec![malformed(net, "tcp_bad_header_length"), later(net, TCP, 24, false, 8, "fragment_of_dropped")];
    "a later fragment of one without flags", ALL.as_slice(), |net| {
        let first = packets::tcp(40_000, 443, 0, &[0; 4]);
        vec![lan(net, &net.out().fragment(0, true, 7), TCP, &first, "tcp_flags_none"), later(net, TCP, 24, false, 8, "fragment_of_dropped")]
    };
    "a later fragment of a tiny one", ALL.as_slice(), |net| {
        vec![lan(net, &net.out().fragment(0, true, 7), TCP, &tcp(443, SYN)[..16], "fragment_tiny"), later(net, TCP, 24, false, 8, "fragment_of_dropped")]
    };
    "a malformed first fragment says nothing about one that passed", ALL.as_slice(), |net| {
        vec![first(net, 443, "allowed"), malformed(net, "tcp_bad_header_length"), later(net, TCP, 24, false, 8, "fragment_tracked")]
    };
    "a second first fragment", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), first(net, 444, "fragment_repeated"), later(net, TCP, 24, false, 8, "fragment_tracked")];
    "a later fragment twice", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 24, true, 8, "fragment_tracked"), later(net, TCP, 24, true, 8, "fragment_repeated"), later(net, TCP, 32, false, 8, "fragment_tracked")];
    "one fragment twice", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 24, true, 8, "fragment_tracked"), later(net, TCP, 24, true, 8, "fragment_repeated")];
    "after its end a datagram is forgotten", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 24, false, 8, "fragment_tracked"), later(net, TCP, 24, false, 8, "fragment_first_missing"), first(net, 443, "flow"), later(net, TCP, 24, false, 9, "fragment_tracked")];
    "a fragment over another one", ALL.as_slice(), |net| {
        let over = [(24, 32), (24, 8), (32, 8), (40, 16), (32, 16), (24, 48)];
        let start = vec![first(net, 443, "allowed"), later(net, TCP, 24, true, 24, "fragment_tracked")];
        let mut packets = start;
        packets.extend(over.map(|(offset, bytes)| later(net, TCP, offset, true, bytes, "datagram_overlap")));
        packets.extend([later(net, TCP, 48, false, 8, "datagram_overlap"), first(net, 443, "datagram_overlap")]);
        packets
    };
    "a fragment over the first one", ALL.as_slice(), |net| {
        let long = lan(net, &net.out().fragment(0, true, 7), TCP, &packets::tcp(40_000, 443, SYN, &[0; 12]), "allowed");
        vec![long, later(net, TCP, 24, true, 16, "datagram_overlap"), later(net, TCP, 32, false, 8, "datagram_overlap")]
    };
    "two ends", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 48, false, 8, "fragment_tracked"), later(net, TCP, 32, false, 8, "datagram_length"), later(net, TCP, 24, true, 8, "datagram_length")];
    "something behind the end", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 48, false, 8, "fragment_tracked"), later(net, TCP, 56, true, 8, "datagram_length"), later(net, TCP, 24, true, 24, "datagram_length")];
    "an end before what has come", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 48, true, 8, "fragment_tracked"), later(net, TCP, 24, false, 8, "datagram_length")];
    "more behind the end", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 48, false, 8, "fragment_tracked"), later(net, TCP, 48, true, 8, "datagram_length")];
    "an empty fragment", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 24, false, 0, "fragment_bad_length"), later(net, TCP, 24, false, 8, "fragment_tracked")];
    "a later fragment too late", ALL.as_slice(), |net| vec![first(net, 443, "allowed"), later(net, TCP, 24, false, 8, "fragment_first_missing").after(16_000)];
    "a later fragment where they pass", FOURS, |net| vec![later(net, packets::GRE, 24, false, 8, "fragment_passed")];
    "a later fragment of another protocol is another datagram's", FOURS, |net| vec![first(net, 443, "allowed"), later(net, net.icmp(), 24, false, 8, "fragment_first_missing"), later(net, TCP, 24, false, 8, "fragment_tracked")];
    "a later fragment that names another protocol", SIXES, |net| vec![first(net, 443, "allowed"), later(net, packets::GRE, 24, true, 8, "fragment_tracked"), later(net, packets::GRE, 24, true, 16, "datagram_overlap")];
    "a later fragment that names one whose fragments pass", SIXES, |net| vec![later(net, packets::GRE, 24, false, 8, "fragment_first_missing")];
    "an atomic fragment is none of a datagram's", SIXES, |net| {
        let atomic = lan(net, &net.out().fragment(0, false, 7), TCP, &packets::tcp(40_001, 443, SYN, &[0; 40]), "allowed");
        vec![first(net, 443, "allowed"), atomic, later(net, TCP, 24, false, 8, "fragment_tracked")]
    };
};

/// The start of an allowed connection.
fn syn(net: &Net) -> Step {
    lan(net, &net.out(), TCP, &tcp(443, SYN), "allowed")
}

pub const FLOW: &[Case] = cases! {
    "the reply to a SYN", ALL.as_slice(), |net| vec![syn(net), wan(&net.back(), TCP, &answer(443, SYN | ACK), "flow")];
    "a DNS answer", ALL.as_slice(), |net| vec![lan(net, &net.out(), UDP, &udp(40_000, 53), "allowed"), wan(&net.back(), UDP, &udp(53, 40_000), "flow")];
    "an echo reply", ALL.as_slice(), |net| vec![lan(net, &net.out(), net.icmp(), &net.echo(false), "allowed"), wan(&net.back(), net.icmp(), &net.echo(true), "flow")];
    "an SCTP reply", ALL.as_slice(), |net| vec![
        lan(net, &net.out(), packets::SCTP, &packets::sctp(5000, 3868, &[0; 4]), "allowed"),
        wan(&net.back(), packets::SCTP, &packets::sctp(3868, 5000, &[0; 4]), "flow"),
    ];
    "GRE and its reply", ALL.as_slice(), |net| vec![lan(net, &net.out(), packets::GRE, &[0; 8], "allowed"), wan(&net.back(), packets::GRE, &[0; 8], "flow")];
    "a connection used again", ALL.as_slice(), |net| vec![syn(net), wan(&net.back(), TCP, &answer(443, RST | ACK), "flow"), syn(net)];
    "a flow after its time", ALL.as_slice(), |net| vec![syn(net), wan(&net.back(), TCP, &answer(443, SYN | ACK), "syn_ack_unsolicited").after(31_000)];
    "a reply from the client's own side", ALL.as_slice(), |net| vec![syn(net), lan(net, &net.back(), TCP, &answer(443, SYN | ACK), "wrong_side")];
    "the client's packet from the outside", ALL.as_slice(), |net| vec![syn(net), wan(&net.out(), TCP, &tcp(443, ACK), "wrong_side")];
    "an ICMP error from a router", ALL.as_slice(), |net| {
        let quoted = net.out().packet(TCP, &tcp(443, SYN));
        vec![syn(net), wan(&Ip::new(net.outside(99), net.client()), net.icmp(), &net.unreachable(&quoted), "icmp_error")]
    };
    "an ICMP error that quotes 8 bytes of TCP", ALL.as_slice(), |net| {
        let header = if net.v4 { 20 } else { 40 };
        let quoted = net.out().packet(TCP, &tcp(443, SYN));
        vec![syn(net), wan(&Ip::new(net.outside(99), net.client()), net.icmp(), &net.unreachable(&quoted[..header + 8]), "icmp_error")]
    };
    "an ICMP error about nothing", ALL.as_slice(), |net| {
        let quoted = net.out().packet(TCP, &tcp(443, SYN));
        vec![wan(&Ip::new(net.outside(99), net.client()), net.icmp(), &net.unreachable(&quoted), "icmp_error_unrelated")]
    };
    "an ICMP error to one who sent nothing", ALL.as_slice(), |net| {
        let quoted = net.out().packet(TCP, &tcp(443, SYN));
        vec![syn(net), wan(&Ip::new(net.outside(99), net.local(6)), net.icmp(), &net.unreachable(&quoted), "icmp_error_unrelated")]
    };
    "an ICMP error that quotes half a header", ALL.as_slice(), |net| {
        let quoted = net.out().packet(TCP, &tcp(443, SYN));
        vec![syn(net), wan(&Ip::new(net.outside(99), net.client()), net.icmp(), &net.unreachable(&quoted[..12]), "icmp_error_malformed")]
    };
    "what the gateway sends in a flow", ALL.as_slice(), |net| vec![
        lan(net, &Ip::new(net.client(), net.gateway()), TCP, &tcp(22, SYN), "allowed"),
        own(LAN0, Ip::new(net.gateway(), net.client()).frame(net.tags, TCP, &answer(22, SYN | ACK)), "flow"),
    ];
};

pub const ZONE: &[Case] = cases! {
    "a source of nobody", ALL.as_slice(), |net| between(net, net.pick("10.99.0.5", "fd99::5"), net.server(), "source_not_in_zone");
    "a source of the next zone", ALL.as_slice(), |net| between(net, net.pick("10.40.0.5", "fd40::5"), net.server(), "source_not_in_zone");
    "the gateway's address as source", ALL.as_slice(), |net| between(net, net.gateway(), net.server(), "source_is_self");
    "the gateway's address from the outside", &[V4, V6], |net| vec![wan(&Ip::new(net.gateway(), net.client()), TCP, &tcp(443, SYN), "source_is_self")];
    "a zone's address from the outside", ALL.as_slice(), |net| vec![wan(&net.out(), TCP, &tcp(443, SYN), "source_of_zone")];
};

fn nd(net: &Net, ttl: u8, message: &[u8], reason: &'static str) -> Vec<Step> {
    vec![lan(net, &Ip::new(ip("fe80::5"), ip("ff02::1")).ttl(ttl), packets::ICMPV6, message, reason)]
}

/// The same message with an ICMP code of 1.
fn coded(mut message: Vec<u8>) -> Vec<u8> {
    message[1] = 1;
    message
}

const TARGET: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);

pub const POLICY: &[Case] = cases! {
    "an allowed port", ALL.as_slice(), |net| vec![syn(net)];
    "both ends of a range", ALL.as_slice(), |net| vec![lan(net, &net.out(), TCP, &tcp(8000, SYN), "allowed"), lan(net, &net.out(), TCP, &tcp(8010, SYN), "allowed")];
    "just below a range", ALL.as_slice(), |net| vec![lan(net, &net.out(), TCP, &tcp(7999, SYN), "not_allowed")];
    "just above a range", ALL.as_slice(), |net| vec![lan(net, &net.out(), TCP, &tcp(8011, SYN), "not_allowed")];
    "the right port over the wrong transport", ALL.as_slice(), |net| vec![lan(net, &net.out(), UDP, &udp(40_000, 443), "not_allowed")];
    "an excepted destination", ALL.as_slice(), |net| vec![lan(net, &Ip::new(net.client(), net.outside(9)), TCP, &tcp(443, SYN), "not_allowed")];
    "another zone without a line that names it", ALL.as_slice(), |net| vec![lan(net, &Ip::new(net.client(), net.pick("10.40.0.5", "fd40::5")), TCP, &tcp(443, SYN), "not_allowed")];
    "a blocked source", ALL.as_slice(), |net| vec![lan(net, &Ip::new(net.local(66), net.server()), TCP, &tcp(443, SYN), "blocked_source")];
    "a blocked destination", ALL.as_slice(), |net| vec![lan(net, &Ip::new(net.client(), net.pick("192.0.2.8", "2001:db8:bad::8")), TCP, &tcp(443, SYN), "blocked_destination")];
    "mDNS", ALL.as_slice(), |net| vec![lan(net, &Ip::new(net.client(), net.pick("224.0.0.251", "ff02::fb")), UDP, &udp(5353, 5353), "chatter")];
    "SSDP", ALL.as_slice(), |net| vec![lan(net, &Ip::new(net.client(), net.pick("239.255.255.250", "ff02::c")), UDP, &udp(40_000, 1900), "chatter")];
    "IGMP", FOURS, |net| vec![lan(net, &Ip::new(net.client(), ip("224.0.0.22")).options(&[148, 4, 0, 0]), packets::IGMP, &[0x22, 0, 0, 0, 0, 0, 0, 0], "chatter")];
    "VRRP", FOURS, |net| vec![lan(net, &Ip::new(net.client(), ip("224.0.0.18")), packets::VRRP, &[0; 8], "chatter")];
    "NetBIOS to the zone's broadcast address", FOURS, |net| vec![lan(net, &Ip::new(net.client(), net.local(255)), UDP, &udp(137, 137), "chatter")];
    "NetBIOS to one host outside is worth a line in the log", ALL.as_slice(), |net| vec![lan(net, &net.out(), UDP, &udp(137, 137), "not_allowed")];
    "a neighbour solicitation", SIXES, |net| nd(net, 255, &packets::neighbour(135, TARGET), "neighbour_discovery");
    "is this address taken?", SIXES, |net| vec![lan(net, &Ip::new(ip("::"), ip("ff02::1:ff00:5")).ttl(255), packets::ICMPV6, &packets::neighbour(135, TARGET), "neighbour_discovery")];
    "a neighbour solicitation from afar", SIXES, |net| nd(net, 254, &packets::neighbour(135, TARGET), "nd_hop_limit");
    "a neighbour solicitation with a code", SIXES, |net| nd(net, 255, &coded(packets::neighbour(135, TARGET)), "nd_code");
    "a router advertisement with a code", &[V6], |_net| vec![wan(&Ip::from("fe80::9", "ff02::1").ttl(255), packets::ICMPV6, &coded(packets::router(134)), "nd_code")];
    "a redirect with a code", SIXES, |net| nd(net, 255, &coded(packets::router(137)), "nd_code");
    "an MLD report", SIXES, |net| nd(net, 1, &packets::listener(143), "multicast_listener");
    "a router advertisement from a zone", SIXES, |net| nd(net, 255, &packets::router(134), "nd_rogue_router");
    "a router advertisement from the outside", &[V6], |_net| vec![wan(&Ip::from("fe80::9", "ff02::1").ttl(255), packets::ICMPV6, &packets::router(134), "neighbour_discovery")];
    "a redirect from a zone", SIXES, |net| nd(net, 255, &packets::router(137), "nd_rogue_router");
    "a redirect from the outside", &[V4, V6], |net| {
        let quoted = net.out().packet(TCP, &tcp(443, SYN));
        let message = if net.v4 { packets::icmp_error(5, 1, &quoted) } else { packets::router(137) };
        vec![syn(net), wan(&Ip::new(net.outside(1), net.client()).ttl(255), net.icmp(), &message, "icmp_redirect")]
    };
    "a DHCP discover", FOURS, |net| vec![lan(net, &Ip::from("0.0.0.0", "255.255.255.255"), UDP, &udp(68, 67), "dhcp")];
    "a DHCPv6 solicit", SIXES, |net| vec![lan(net, &Ip::from("fe80::5", "ff02::1:2"), UDP, &udp(546, 547), "dhcp")];
    "DHCP where the zone has none", &[V4], |_net| vec![step(LAN1, Ip::from("0.0.0.0", "255.255.255.255").frame(&[], UDP, &udp(68, 67)), "dhcp_denied")];
    "DHCPv6 where the zone has none", &[V6], |_net| vec![step(LAN1, Ip::from("fe80::5", "ff02::1:2").frame(&[], UDP, &udp(546, 547)), "dhcp_denied")];
    "a DNS answer that nobody asked for", ALL.as_slice(), |net| vec![wan(&net.back(), UDP, &udp(53, 40_000), "dns_unsolicited")];
    "SSH to the gateway, by its line", ALL.as_slice(), |net| vec![wan(&Ip::new(net.server(), net.gateway()), TCP, &tcp(22, SYN), "allowed")];
    "telnet to the gateway", ALL.as_slice(), |net| vec![wan(&Ip::new(net.server(), net.gateway()), TCP, &tcp(23, SYN), "not_published")];
    "from the outside into a zone", ALL.as_slice(), |net| vec![wan(&net.back(), TCP, &tcp(443, SYN), "not_allowed")];
    "an echo reply that nobody asked for", ALL.as_slice(), |net| vec![wan(&net.back(), net.icmp(), &net.echo(true), "reply_unsolicited")];
    "the gateway's own lookup", ALL.as_slice(), |net| vec![own(WAN0, Ip::new(net.pick("203.0.113.1", "2001:db8:ffff::1"), net.server()).frame(&[], UDP, &udp(40_000, 53)), "allowed")];
    "the gateway's own connection without a line", ALL.as_slice(), |net| vec![own(WAN0, Ip::new(net.pick("203.0.113.1", "2001:db8:ffff::1"), net.server()).frame(&[], TCP, &tcp(80, SYN)), "not_allowed")];
};

pub const STATE: &[Case] = cases! {
    "an ACK out of nowhere", ALL.as_slice(), |net| flags(net, ACK, "tcp_no_flow");
    "a SYN+ACK that nobody asked for", ALL.as_slice(), |net| vec![wan(&net.back(), TCP, &answer(443, SYN | ACK), "syn_ack_unsolicited")];
    "a RST of no connection", ALL.as_slice(), |net| flags(net, RST, "rst_unsolicited");
    "an ACK of no connection to a port that is not allowed", ALL.as_slice(), |net| vec![lan(net, &net.out(), TCP, &tcp(444, ACK), "tcp_no_flow")];
    "one flow more than the zone may have", &[V4, V6], |net| {
        let small = Ip::new(net.pick("10.40.0.5", "fd40::5"), net.server());
        vec![
            step(LAN1, small.frame(&[], TCP, &tcp(443, SYN)), "allowed"),
            step(LAN1, small.frame(&[], TCP, &tcp(80, SYN)), "zone_flow_cap"),
        ]
    };
    "mid-stream in a loose zone", &[V4, V6], |net| vec![step(LAN2, Ip::new(net.pick("10.50.0.5", "fd50::5"), net.server()).frame(&[], TCP, &tcp(443, ACK)), "loose")];
    "mid-stream in a loose zone without a line", &[V4, V6], |net| vec![step(LAN2, Ip::new(net.pick("10.50.0.5", "fd50::5"), net.server()).frame(&[], TCP, &tcp(444, ACK)), "tcp_no_flow")];
};
