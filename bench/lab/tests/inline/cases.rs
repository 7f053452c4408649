//! The frames of `anomalies.rs`.

use crate::frames::{Cable, ICMP, ICMPV6, Path, SCTP, SYN, TCP, UDP};

/// One frame, and what becomes of it.
pub struct Step {
    pub frame: Vec<u8>,
    pub reason: &'static str,
    /// Another reason that it is counted for, besides the one of its verdict.
    pub besides: Option<&'static str>,
    pub passes: bool,
}

/// Frames that are sent one after another, some times over.
pub struct Case {
    pub name: String,
    pub steps: Vec<Step>,
    pub times: u64,
    /// What passes is sent on to the outside.
    pub forwarded: bool,
}

impl Case {
    fn dropped(name: String, reason: &'static str, frame: Vec<u8>, times: u64) -> Self {
        let step = Step { frame, reason, besides: None, passes: false };
        Self { name: format!("{name}: {reason}"), steps: vec![step], times, forwarded: false }
    }
}

/// A gateway's frame to whoever `cable` leads to, with this ethertype.
fn frame(cable: &Cable, ethertype: u16, body: &[u8]) -> Vec<u8> {
    [&cable.head()[..], &ethertype.to_be_bytes(), body].concat()
}

/// An ARP packet (RFC 826) with this operation, of a host that does not exist to one that does not either.
fn arp(operation: u8) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
    bytes.extend([2, 0, 0, 0, 0, 0x77, 10, 10, 0, 0x77]);
    bytes.extend([2, 0, 0, 0, 0, 0x78, 10, 10, 0, 0x78]);
    bytes
}

/// Frames that are no IP packets, or do not get so far as to be one.
pub fn frames(cable: &Cable) -> Vec<Case> {
    let packet = Path::new("10.10.0.5", "203.0.113.9", (4_000, 7001)).udp(b"in three");
    let packet6 = Path::new("fd00:10::5", "2001:db8:113::9", (4_000, 7001)).udp(b"in three");
    let cut = |bytes: &[u8]| [&cable.head()[..], bytes].concat();
    let mut cases: Vec<Case> = [
        ("three tags", "vlan_too_deep", cable.tagged(&[10, 10, 10], &packet)),
        ("three tags, IPv6", "vlan_too_deep", cable.tagged(&[100, 10, 10], &packet6)),
        ("a tag that ends at once", "vlan_truncated", cut(&[0x81, 0])),
        ("a tag cut in two", "vlan_truncated", cut(&[0x81, 0, 0, 10])),
        ("a second tag cut in two", "vlan_truncated", cut(&[0x88, 0xa8, 0, 100, 0x81, 0, 0, 10])),
        ("LLDP", "ethertype_denied", frame(cable, 0x88cc, &[0; 46])),
        ("LLDP behind a tag", "ethertype_denied", cut(&[&[0x81, 0, 0, 10, 0x88, 0xcc], &[0; 42][..]].concat())),
        (
            "a session of PPPoE",
            "pppoe_unasked",
            frame(cable, 0x8864, &[&[0x11, 0, 0, 1, 0, 4, 0, 0x21], &[0; 38][..]].concat()),
        ),
        ("ARP that is cut short", "arp_malformed", frame(cable, 0x0806, &arp(1)[..27])),
        ("ARP of another network", "arp_malformed", frame(cable, 0x0806, &[&[0, 6], &arp(1)[2..]].concat())),
        (
            "ARP with long addresses",
            "arp_malformed",
            frame(cable, 0x0806, &[&arp(2)[..4], &[8], &arp(2)[5..]].concat()),
        ),
        ("an IPv4 header behind a tag, cut short", "ip4_truncated", cut(&[0x81, 0, 0, 10, 8, 0, 0x45, 0])),
        ("an IPv6 header behind a tag, cut short", "ip6_truncated", cut(&[0x81, 0, 0, 10, 0x86, 0xdd, 0x60, 0])),
    ]
    .into_iter()
    .zip([1, 2, 3].into_iter().cycle())
    .map(|((name, reason, frame), times)| Case::dropped(name.to_owned(), reason, frame, times))
    .collect();
    for (name, reason, besides, frame) in [
        ("a listed ethertype", "ethertype_allowed", None, frame(cable, 0x88b5, &[0; 46])),
        ("an ARP question", "arp", None, frame(cable, 0x0806, &arp(1))),
        ("an ARP answer to nobody", "arp", Some("arp_unsolicited"), frame(cable, 0x0806, &arp(2))),
    ] {
        let step = Step { frame, reason, besides, passes: true };
        cases.push(Case { name: name.to_owned(), steps: vec![step], times: 2, forwarded: false });
    }
    cases
}

/// What is dropped where unsolicited answers are.
pub fn refused(cable: &Cable) -> Vec<Case> {
    vec![Case::dropped(
        "an ARP answer to nobody".to_owned(),
        "arp_unsolicited_dropped",
        frame(cable, 0x0806, &arp(2)),
        3,
    )]
}

/// A packet with some of its bytes overwritten; the header checksum is not made anew, because nobody here looks at it.
fn with(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

/// IP packets of one family behind these tags, from and to the ends of `path`. Its client's port is the first of those
/// used.
pub fn packets(cable: &Cable, tags: &[u16], path: Path) -> Vec<Case> {
    let v6 = path.from.is_ipv6();
    let both = both(path);
    let own = if v6 { version6(path) } else { version4(path) };
    let family = if v6 { "IPv6" } else { "IPv4" };
    let ethertype: u16 = if v6 { 0x86dd } else { 0x0800 };
    let mut cases: Vec<Case> = both
        .into_iter()
        .chain(own)
        .zip([2, 1, 3].into_iter().cycle())
        .map(|((reason, packet), times)| {
            Case::dropped(format!("{family} {tags:?}"), reason, cable.typed(tags, ethertype, &packet), times)
        })
        .collect();
    cases.extend(odd(path).into_iter().map(|(odd, packet)| {
        let frame = cable.typed(tags, ethertype, &packet);
        let step = Step { frame, reason: "allowed", besides: Some(odd), passes: true };
        Case { name: format!("{family} {tags:?}: {odd}"), steps: vec![step], times: 1, forwarded: tags.is_empty() }
    }));
    cases.extend(fragments(path).into_iter().map(|(name, steps)| {
        let step = |(reason, packet): (&'static str, Vec<u8>)| Step {
            frame: cable.typed(tags, ethertype, &packet),
            passes: matches!(reason, "allowed" | "fragment_tracked" | "fragment_passed"),
            reason,
            besides: None,
        };
        // The kernel here has no VLAN devices: what passes behind a tag ends in its stack.
        let steps = steps.into_iter().map(step).collect();
        Case { name: format!("{family} {tags:?}: {name}"), steps, times: 1, forwarded: tags.is_empty() }
    }));
    cases
}

/// What passes, and is odd.
fn odd(path: Path) -> Vec<(&'static str, Vec<u8>)> {
    let v6 = path.from.is_ipv6();
    let [high, low] = path.ports.0.wrapping_add(7).to_be_bytes();
    let echo = |code: u8| path.icmp(&[&[if v6 { 128 } else { 8 }, code, 0, 0, high, low, 0, 1], &[7; 40][..]].concat());
    let mut packets = vec![("icmp_code_unknown", echo(9))];
    if v6 {
        let [high, low] = path.ports.0.wrapping_add(8).to_be_bytes();
        let whole = path.icmp(&[&[128, 0, 0, 0, high, low, 0, 1], &[7; 40][..]].concat());
        let header = [ICMPV6, 0, 0, 0, 0, 0, 0, 1];
        packets.push(("ip6_fragment_useless", path.packet(44, &[&header, &whole[40..]].concat())));
    }
    packets
}

/// What is dropped in either family.
fn both(path: Path) -> Vec<(&'static str, Vec<u8>)> {
    let v6 = path.from.is_ipv6();
    // Where the transport header starts.
    let l4 = if v6 { 40 } else { 20 };
    let icmp = if v6 { ICMPV6 } else { ICMP };
    let to = |to: &str| Path::new(&path.from.to_string(), to, path.ports).udp(b"to where?");
    let from = |from: &str| Path::new(from, &path.to.to_string(), path.ports).udp(b"from where?");
    let pick = |four: &'static str, six: &'static str| if v6 { six } else { four };
    let segment = |flags: u8| path.tcp(flags, 1, 0);
    let head = &path.tcp(SYN, 1, 0)[l4..];
    let id = path.ports.0;
    vec![
        ("tcp_truncated", path.packet(TCP, &head[..19])),
        ("tcp_truncated", path.packet(TCP, &[])),
        ("tcp_bad_header_length", with(segment(SYN), l4 + 12, &[0x40])),
        ("tcp_bad_header_length", with(segment(SYN), l4 + 12, &[0xf0])),
        ("udp_truncated", path.packet(UDP, &[0; 7])),
        ("udp_bad_length", with(path.udp(b"longer"), l4 + 4, &[0, 15])),
        ("udp_bad_length", with(path.udp(b"shorter"), l4 + 4, &[0, 14])),
        ("udp_bad_length", with(path.udp(b"too short"), l4 + 4, &[0, 7])),
        ("icmp_truncated", path.packet(icmp, &[if v6 { 128 } else { 8 }, 0, 0, 0])),
        ("icmp_other_version", path.packet(if v6 { ICMP } else { ICMPV6 }, &[0; 8])),
        ("sctp_truncated", path.packet(SCTP, &[0x10; 11])),
        ("tcp_flags_none", segment(0)),
        ("tcp_flags_all", segment(0x3f)),
        ("tcp_syn_fin", segment(0x03)),
        ("tcp_syn_fin", segment(0x13)),
        ("tcp_syn_rst", segment(0x06)),
        ("tcp_fin_without_ack", segment(0x01)),
        ("tcp_fin_without_ack", segment(0x29)),
        ("port_zero", Path { ports: (0, 7001), ..path }.udp(b"from zero")),
        ("port_zero", Path { ports: (path.ports.0, 0), ..path }.tcp(SYN, 1, 0)),
        ("port_zero", Path { ports: (path.ports.0, 0), ..path }.sctp_init(7)),
        ("land", Path { to: path.from, ..path }.tcp(SYN, 1, 0)),
        ("source_multicast", from(pick("224.0.0.5", "ff02::5"))),
        ("source_loopback", from(pick("127.0.0.1", "::1"))),
        ("source_unspecified", from(pick("0.0.0.0", "::"))),
        ("destination_loopback", to(pick("127.0.0.1", "::1"))),
        ("destination_unspecified", to(pick("0.0.0.0", "::"))),
        ("fragment_denied", path.fragment(id, UDP, 0, true, &path.udp(&[1; 16])[l4..])),
        ("fragment_denied", path.fragment(id, UDP, 3, false, &[1; 16])),
        ("fragment_tiny", path.fragment(id, TCP, 0, true, &head[..8])),
        ("fragment_tiny", path.fragment(id, SCTP, 0, true, &[0x10; 8])),
        ("fragment_overlap", path.fragment(id, TCP, 1, false, &[1; 16])),
        ("fragment_overlap", path.fragment(id, SCTP, 1, true, &[1; 16])),
        ("fragment_too_long", path.fragment(id, TCP, 0x1fff, false, &[1; 16])),
        ("fragment_bad_length", path.fragment(id, TCP, 5, true, &[1; 12])),
        ("fragment_bad_length", path.fragment(id, TCP, 5, true, &[])),
        ("fragment_first_missing", path.fragment(id.wrapping_add(9), TCP, 5, true, &[1; 16])),
    ]
}

/// What is dropped in IPv4 alone.
fn version4(path: Path) -> Vec<(&'static str, Vec<u8>)> {
    let packet = path.udp(b"an IPv4 packet");
    let from = |from: &str| Path::new(from, &path.to.to_string(), path.ports).udp(b"from where?");
    vec![
        ("ip4_truncated", packet[..19].to_vec()),
        ("ip4_truncated", Vec::new()),
        ("ip4_bad_version", with(packet.clone(), 0, &[0x65])),
        ("ip4_bad_header_length", with(packet.clone(), 0, &[0x44])),
        ("ip4_bad_total_length", with(packet.clone(), 2, &[0, 19])),
        // The header with its options would be longer than the packet.
        ("ip4_bad_total_length", with(packet.clone(), 0, &[0x4f])),
        ("ip4_bad_total_length", with(packet.clone(), 2, &u16::try_from(packet.len() + 1).unwrap().to_be_bytes())),
        ("source_broadcast", from("255.255.255.255")),
        // The network's own.
        ("source_broadcast", from("10.10.0.255")),
    ]
}

/// What is dropped in IPv6 alone.
fn version6(path: Path) -> Vec<(&'static str, Vec<u8>)> {
    let packet = path.udp(b"an IPv6 packet");
    let datagram = &packet[40..];
    let (hop, routing, fragment, destination) = (0, 43, 44, 60);
    // Extension headers of eight bytes, by number, before the datagram: options that are all padding, a routing header
    // of a type that nobody has taken, a fragment that is whole.
    let chain = |numbers: &[u8]| {
        let next = numbers[1..].iter().chain([&UDP]);
        let header = |(number, next): (&u8, &u8)| {
            let body = match *number {
                43 => [77, 0, 0, 0, 0, 0],
                0 | 60 => [1, 4, 0, 0, 0, 0],
                _ => [0; 6],
            };
            [&[*next, 0], &body[..]].concat()
        };
        let headers: Vec<u8> = numbers.iter().zip(next).flat_map(header).collect();
        path.packet(numbers[0], &[&headers, datagram].concat())
    };
    vec![
        ("ip6_truncated", packet[..39].to_vec()),
        ("ip6_truncated", Vec::new()),
        ("ip6_bad_version", with(packet.clone(), 0, &[0x45])),
        ("ip6_bad_payload_length", with(packet.clone(), 4, &u16::try_from(datagram.len() + 1).unwrap().to_be_bytes())),
        ("ip6_ext_truncated", path.packet(destination, &[UDP, 255, 1, 0, 0, 0, 0, 0])),
        ("ip6_ext_truncated", path.packet(hop, &[UDP, 0, 1, 0])),
        ("ip6_ext_too_many", chain(&[hop, destination, routing, 51, fragment, destination, destination])),
        ("ip6_ext_order", chain(&[destination, hop])),
        ("ip6_ext_order", chain(&[routing, routing])),
        ("ip6_ext_order", chain(&[destination, destination, destination])),
        ("ip6_routing_type0", path.packet(routing, &[&[UDP, 0, 0, 0, 0, 0, 0, 0], datagram].concat())),
        ("ip6_jumbogram", with(path.packet(hop, &[&[UDP, 0, 0xc2, 4, 0, 1, 0, 0], datagram].concat()), 4, &[0, 0])),
    ]
}

/// Fragments of one datagram, one after another.
#[allow(clippy::type_complexity, reason = "a table")]
fn fragments(path: Path) -> Vec<(&'static str, Vec<(&'static str, Vec<u8>)>)> {
    let v6 = path.from.is_ipv6();
    let (protocol, asks) = if v6 { (ICMPV6, 128) } else { (ICMP, 8) };
    let id = path.ports.0;
    let echo = |id: u16| {
        let [high, low] = id.to_be_bytes();
        let echo = path.icmp(&[&[asks, 0, 0, 0, high, low, 0, 1], &[7; 40][..]].concat());
        echo[if v6 { 40 } else { 20 }..].to_vec()
    };
    let begins = |id: u16| ("allowed", path.fragment(id, protocol, 0, true, &echo(id)[..24]));
    let goes_on = |reason: &'static str, id: u16, offset: u16, more: bool, bytes: usize| {
        (reason, path.fragment(id, protocol, offset, more, &[7; 40][..bytes]))
    };
    let denied = Path { ports: (id, 81), ..path }.tcp(SYN, 1, 0);
    let denied = [&denied[if v6 { 40 } else { 20 }..], &[0; 4]].concat();
    // in IPv6 a later one may name any protocol, so that none passes where others are tracked
    let passed = if v6 { "fragment_first_missing" } else { "fragment_passed" };
    vec![
        (
            "a datagram that is tracked",
            vec![begins(id), ("fragment_tracked", path.fragment(id, protocol, 3, false, &echo(id)[24..]))],
        ),
        (
            "a datagram of which one part comes twice",
            vec![
                begins(id + 3),
                goes_on("fragment_tracked", id + 3, 3, true, 8),
                goes_on("fragment_repeated", id + 3, 3, true, 8),
            ],
        ),
        (
            "a datagram with an overlap",
            vec![
                begins(id + 4),
                goes_on("datagram_overlap", id + 4, 2, true, 16),
                goes_on("datagram_overlap", id + 4, 3, true, 8),
            ],
        ),
        (
            "a datagram with something behind its end",
            vec![
                begins(id + 5),
                goes_on("fragment_tracked", id + 5, 5, false, 8),
                goes_on("datagram_length", id + 5, 6, true, 8),
            ],
        ),
        (
            "a datagram whose start is dropped",
            vec![
                ("not_allowed", path.fragment(id + 1, TCP, 0, true, &denied)),
                ("fragment_of_dropped", path.fragment(id + 1, TCP, 3, false, &[1; 16])),
            ],
        ),
        ("a fragment of what passes", vec![(passed, path.fragment(id + 2, 47, 5, false, &[1; 16]))]),
    ]
}
