//! Against a search that looks at every rule and every place.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    load::tests::loaded,
    rule::{
        Action, Addresses, Arrow, Check, Content, FlowKeyword, Header, Inspect, Network, Number, Place, PortRange,
        Ports, Selected, Value,
    },
};

/// A rule for packets of a protocol between ports, with these conditions.
fn rule(protocol: Protocol, source: Vec<PortRange>, destination: Vec<PortRange>, conditions: Vec<Condition>) -> Rule {
    let header = Header {
        protocol,
        source: Addresses::default(),
        source_ports: Ports(source),
        arrow: Arrow::To,
        destination: Addresses::default(),
        destination_ports: Ports(destination),
    };
    Rule {
        gid: 1,
        sid: 1,
        rev: 1,
        action: Action::Drop,
        header,
        apps: Vec::new(),
        message: "".into(),
        class: None,
        priority: 3,
        metadata: Vec::new(),
        references: Vec::new(),
        target: None,
        noalert: false,
        flow: FlowKeyword::default(),
        conditions,
        effects: Vec::new(),
        threshold: None,
        detection: None,
        suppress: Vec::new(),
        options: Default::default(),
        fast_pattern: None,
        line: 1,
        file: "".into(),
        text: "".into(),
    }
}

fn every_port() -> Vec<PortRange> {
    Ports::default().0
}

fn content(bytes: &[u8], nocase: bool, place: Place) -> Check {
    Check::Content(Content { bytes: bytes.into(), nocase, negated: false, place })
}

fn payload(checks: Vec<Check>) -> Condition {
    Condition::Inspect(Inspect { selected: Selected::Payload, toward: None, transforms: Vec::new(), checks })
}

fn sieve(rules: Vec<Rule>) -> Sieve {
    Sieve::of(&rules.into_iter().map(Arc::new).collect::<Vec<_>>())
}

/// Whether each content of a rule stands somewhere where it may, each for itself.
fn matches(rule: &Rule, ports: (u16, u16), payload: &[u8]) -> bool {
    let has = |ports: &Ports, port: u16| ports.0.iter().any(|(first, last)| (*first..=*last).contains(&port));
    let header = &rule.header;
    let holds = |check: &Check| {
        let Check::Content(content) = check else { return true };
        let offset = match content.place.offset {
            Some(Value::Number(offset)) => offset as usize,
            _ => 0,
        };
        let end = match content.place.depth {
            Some(Value::Number(depth)) => (offset + depth as usize).min(payload.len()),
            _ => payload.len(),
        };
        let searched = payload.get(offset..end).unwrap_or_default();
        searched.windows(content.bytes.len()).any(|part| {
            if content.nocase { part.eq_ignore_ascii_case(&content.bytes) } else { *part == *content.bytes }
        })
    };
    let checks = rule.conditions.iter().filter_map(|condition| match condition {
        Condition::Inspect(inspect) => Some(&inspect.checks),
        _ => None,
    });
    has(&header.source_ports, ports.0) && has(&header.destination_ports, ports.1) && checks.flatten().all(holds)
}

/// Whether rules may match a datagram between hosts that none of them names.
fn may_match(sieve: &Sieve, protocol: u8, ports: (u16, u16), kind: u8, said: &[u8]) -> bool {
    let ends = (IpAddr::from([10, 10, 0, 5]), IpAddr::from([203, 0, 113, 9]));
    sieve.may_match(protocol, ends, ports, kind, said)
}

/// Ports of a rule: any, one, or a range.
fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    prop_oneof![
        3 => Just(every_port()),
        2 => (1u16..8).prop_map(|port| vec![(port, port)]),
        1 => (1u16..2000, 0u16..3000).prop_map(|(first, more)| vec![(first, first + more)]),
    ]
}

/// A content, and whether letters of its copies in payloads change their case.
fn contents() -> impl Strategy<Value = (Vec<u8>, bool, Option<(u16, u16)>)> {
    let bytes = prop_oneof![prop::collection::vec(any::<u8>(), 1..24), prop::collection::vec(b'a'..=b'd', 1..16)];
    (bytes, any::<bool>(), prop::option::of((0u16..70, 0u16..12)))
}

/// A row of zeros is in the payload, or it is not: there are none behind its end.
#[test]
fn nothing_stands_behind_the_end() {
    let rules = "alert udp any any -> any any (content:\"|00 00 00 00 00 00 01 00 00 00|\"; sid:1;)\n\
        alert udp any any -> any any (content:\"|00 00 00 00|\"; sid:2;)\n\
        alert udp any any -> any any (content:\"|00 00|\"; sid:3;)\n";
    let made = sieve(loaded(rules.as_bytes()).rules);
    for length in 1..100 {
        assert!(!may_match(&made, UDP, (1, 1), 0, &vec![0x9c; length]), "{length} bytes");
        assert!(
            may_match(&made, UDP, (1, 1), 0, &[vec![0x9c; length], vec![0; 2]].concat()),
            "{length} bytes and zeros"
        );
    }
}

/// A rule about a protocol that few speak does not hold what the hosts that it names say otherwise.
#[test]
fn rare_protocols_are_known_by_themselves() {
    let made = sieve(loaded(b"alert ip 10.0.0.0/8 any -> any any (ip_proto:41; sid:1;)").rules);
    assert!(!may_match(&made, UDP, (1, 1), 0, b"something"));
    assert!(may_match(&made, 41, (0, 0), 0, b"something"));
}

proptest! {
    /// What a rule matches may match.
    #[test]
    fn nothing_that_matches_is_let_by(
        rules in prop::collection::vec((ports(), ports(), prop::collection::vec(contents(), 0..3)), 1..8),
        chosen in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..160),
        gaps in prop::collection::vec(0usize..40, 3),
        upper in any::<bool>(),
        ends in (1u16..10, 1u16..10),
    ) {
        let rules: Vec<Rule> = rules.into_iter().map(|(source, destination, contents)| {
            let checks = contents.into_iter().map(|(bytes, nocase, place)| {
                let place = place.map_or_else(Place::default, |(offset, more)| Place {
                    offset: Some(Value::Number(offset.into())),
                    depth: Some(Value::Number(bytes.len() as i64 + i64::from(more))),
                    ..Place::default()
                });
                content(&bytes, nocase, place)
            });
            rule(Protocol::Udp, source, destination, vec![payload(checks.collect())])
        }).collect();
        // a payload into which the contents of one of them are put, where they may stand
        let mut said = noise;
        let chosen = chosen.get(&rules);
        let Condition::Inspect(inspect) = &chosen.conditions[0] else { unreachable!() };
        for (check, gap) in inspect.checks.iter().zip(gaps) {
            let Check::Content(content) = check else { unreachable!() };
            let Some(Value::Number(first)) = content.place.offset.or(Some(Value::Number(0))) else { unreachable!() };
            let room = match content.place.depth {
                Some(Value::Number(depth)) => depth as usize - content.bytes.len(),
                _ => 40,
            };
            let at = first as usize + gap.min(room);
            let mut bytes = content.bytes.to_vec();
            if content.nocase && upper {
                bytes.make_ascii_uppercase();
            }
            said.resize(said.len().max(at + bytes.len()), 0);
            said[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        let made = sieve(rules.clone());
        if rules.iter().any(|rule| matches(rule, ends, &said)) {
            prop_assert!(may_match(&made, UDP, ends, 0, &said), "{made:?} {rules:?} {said:?}");
        }
    }
}

#[test]
fn what_has_none_of_the_bytes_cannot_match() {
    let made = sieve(vec![
        rule(
            Protocol::Udp,
            every_port(),
            every_port(),
            vec![payload(vec![content(b"a long pattern", false, Place::default())])],
        ),
        rule(Protocol::Udp, every_port(), vec![(53, 53)], vec![payload(vec![content(b"ab", false, Place::default())])]),
    ]);
    for (ports, said, may) in [
        ((4000, 53), &b"nothing of the kind, not even two letters of it"[..], false),
        ((4000, 53), b"but here: ab", true),
        ((4000, 54), b"but here: ab", false),
        ((4000, 54), b"and here A LONG PATTERN", true),
        ((4000, 54), b"and here a long one", false),
        ((4000, 53), b"", false),
        ((4000, 53), b"a", false),
    ] {
        assert_eq!(may_match(&made, UDP, ports, 0, said), may, "{}", String::from_utf8_lossy(said));
    }
    // of what is too long nobody says
    assert!(may_match(&made, UDP, (4000, 54), 0, &[b'x'; ROOM as usize + 1]));
    assert!(!may_match(&made, UDP, (4000, 54), 0, &[b'x'; ROOM as usize]));
    assert!(!may_match(&made, ICMP, (0, 0), 8, b"a long pattern"));
}

#[test]
fn places_at_the_beginning_are_known() {
    let place = Place { offset: Some(Value::Number(2)), depth: Some(Value::Number(3)), ..Place::default() };
    let made = sieve(vec![rule(
        Protocol::Udp,
        every_port(),
        every_port(),
        vec![payload(vec![content(b"\x06\x12", false, place)])],
    )]);
    for (said, may) in [
        (&b"..\x06\x12..."[..], true),
        (b"...\x06\x12", true),
        (b"....\x06\x12", false),
        (b".\x06\x12....", false),
        (b"..\x06", false),
    ] {
        assert_eq!(may_match(&made, UDP, (1, 1), 0, said), may, "{said:?}");
    }
    // one byte, the last one
    let place = Place { at_start: true, ..Place::default() };
    let made = sieve(vec![rule(
        Protocol::Udp,
        every_port(),
        every_port(),
        vec![payload(vec![content(b"\x06", false, place)])],
    )]);
    assert!(may_match(&made, UDP, (1, 1), 0, b"\x06"));
    assert!(!may_match(&made, UDP, (1, 1), 0, b"\x07\x06"));
}

#[test]
fn protocols_and_types() {
    let number = |number, test| Condition::Packet(PacketTest::Number(number, test));
    let made = sieve(vec![
        rule(Protocol::Icmp, every_port(), every_port(), vec![number(Number::IcmpType, NumberTest::Equal(13))]),
        rule(Protocol::Ip, every_port(), every_port(), vec![number(Number::IpProtocol, NumberTest::Equal(41))]),
        rule(Protocol::Tcp, every_port(), every_port(), Vec::new()),
        rule(Protocol::PacketHeader, every_port(), every_port(), vec![Condition::Event("ipv4.pkt_too_small".into())]),
    ]);
    for (protocol, kind, may) in
        [(ICMP, 13, true), (ICMP, 8, false), (ICMPV6, 13, true), (41, 0, true), (47, 0, false), (UDP, 0, false)]
    {
        assert_eq!(may_match(&made, protocol, (1, 1), kind, b"anything"), may, "{protocol} {kind}");
    }
}

#[test]
fn what_parsers_are_asked_is_by_what_is_spoken() {
    let mut asks =
        rule(Protocol::App(App::Dns), every_port(), every_port(), vec![Condition::AppEvent("malformed_data".into())]);
    asks.apps = vec![App::Dns];
    let mut bare = rule(Protocol::App(App::Tftp), every_port(), every_port(), Vec::new());
    bare.apps = vec![App::Tftp];
    let made = sieve(vec![asks, bare]);
    assert_eq!(made.transactions.iter().collect::<Vec<_>>(), [&App::Dns]);
    assert_eq!(made.spoken.iter().collect::<Vec<_>>(), [&App::Tftp]);
    assert!(!may_match(&made, UDP, (1, 53), 0, b"anything"));
}

/// A rule that counts packets is shown every one of them.
#[test]
fn counts_are_of_all_packets() {
    let few = Condition::Packet(PacketTest::Number(Number::FlowPacketsToServer, NumberTest::Greater(3)));
    let said = payload(vec![content(b"a long pattern", false, Place::default())]);
    let made = sieve(vec![rule(Protocol::Udp, every_port(), vec![(7, 7)], vec![few, said])]);
    assert!(may_match(&made, UDP, (1, 7), 0, b"anything"));
}

/// Rules that are nothing but lists of bad addresses hold what has those addresses, and nothing else.
#[test]
fn lists_of_addresses() {
    let network = |text: &str| {
        let (address, bits) = text.split_once('/').expect("a prefix");
        Network { address: address.parse().expect("an address"), bits: bits.parse().expect("a length") }
    };
    let list = ["198.51.100.7/32", "203.0.112.0/22", "172.16.0.0/12", "2001:db8:1:2::/64"].map(network);
    let mut bad = rule(Protocol::Ip, every_port(), every_port(), Vec::new());
    bad.header.source.any_of = list.to_vec();
    let mut own = rule(Protocol::Udp, every_port(), every_port(), Vec::new());
    own.header.destination.any_of = vec![network("192.0.2.0/24")];
    let made = sieve(vec![bad, own]);
    for (from, to, may) in [
        ("198.51.100.7", "10.0.0.1", true),
        ("198.51.101.7", "10.0.0.1", false),
        ("10.0.0.1", "198.51.100.7", false),
        ("203.0.115.255", "10.0.0.1", true),
        ("203.0.116.0", "10.0.0.1", false),
        ("172.31.255.1", "10.0.0.1", true),
        ("172.32.0.1", "10.0.0.1", false),
        ("10.0.0.1", "192.0.2.9", true),
        ("2001:db8:1:2::9", "2001:db8:9::1", true),
        ("2001:db8:2:2::9", "2001:db8:9::1", false),
    ] {
        let ends = (from.parse().expect("an address"), to.parse().expect("an address"));
        assert_eq!(made.may_match(UDP, ends, (1, 1), 0, b"anything"), may, "{from} {to}");
    }
}
