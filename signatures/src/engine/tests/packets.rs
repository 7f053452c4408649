//! Rules about packets, verdicts, and what is remembered.

use super::*;
use crate::rule::{
    BitAction, BitScope, Bits, Ends, Flags, FlagsTest, Flowbits, Layers, Network, Number, NumberTest, PacketTest,
    Threshold, ThresholdKind, Track,
};

fn udp(sid: u32, bytes: &str) -> Make {
    rule(sid, Protocol::Udp).payload(vec![content(bytes)])
}

#[test]
fn contents_of_datagrams() {
    let mut shown = Shown::new(vec![udp(1, "evil"), udp(2, "EVIL"), udp(3, "other").on_port(80, 80)]).udp();
    assert_eq!(shown.say(b"an evil datagram"), [1]);
    assert_eq!(shown.say(b"other"), [3]);
    assert_eq!(shown.say(b""), [0; 0]);
    shown.ports.1 = 81;
    assert_eq!(shown.say(b"other"), [0; 0]);
}

#[test]
fn directions_and_addresses() {
    let home = Addresses { any_of: vec![Network { address: [192, 0, 2, 0].into(), bits: 24 }], none_of: vec![] };
    let from_home = udp(1, "x").with(|rule| rule.header.source = home.clone());
    let to_home = udp(2, "x").with(|rule| rule.header.destination = home.clone());
    let either = udp(3, "x").with(|rule| (rule.header.source, rule.header.arrow) = (home.clone(), Arrow::Both));
    let mut shown =
        Shown::new(vec![from_home, to_home, either, udp(4, "x").by_server(), udp(5, "x").by_client()]).udp();
    assert_eq!(shown.say(b"x"), [1, 3, 5]);
    assert_eq!(shown.reply(b"x"), [2, 3, 4]);
    shown.flow = None;
    assert_eq!(shown.say(b"x"), [1, 3]);
}

#[test]
fn verdicts() {
    let mut shown =
        Shown::new(vec![udp(1, "a"), udp(2, "b").action(Action::Drop), udp(3, "c").action(Action::Pass)]).udp();
    assert_eq!(shown.say(b"a"), [1]);
    assert_eq!(shown.out.verdict, Verdict::Continue);
    assert_eq!(shown.say(b"ab"), [2, 1]);
    assert_eq!(shown.out.verdict, Verdict::Drop(false));
    assert_eq!(shown.say(b"abc"), [0; 0]);
    assert_eq!(shown.out.verdict, Verdict::Pass(false));
    let reject = udp(4, "a").action(Action::Reject(Ends::Both));
    let mut shown = Shown::new(vec![reject, udp(5, "a").action(Action::Drop)]).udp();
    assert_eq!(shown.say(b"a"), [5, 4]);
    assert_eq!(shown.out.verdict, Verdict::Reject(Ends::Both, false));
}

#[test]
fn a_stream_that_is_dropped_stays_dropped() {
    let drop = rule(1, Protocol::Tcp).payload(vec![content("evil")]).action(Action::Drop);
    let mut shown = Shown::new(vec![drop]);
    assert_eq!(shown.say(b"ev"), [0; 0]);
    assert_eq!(shown.say(b"il"), [1]);
    assert_eq!(shown.out.verdict, Verdict::Drop(true));
    assert!(shown.out.alerts[0].in_stream);
    assert_eq!(shown.reply(b"whatever"), [0; 0]);
    assert_eq!(shown.out.verdict, Verdict::Drop(true));
}

#[test]
fn what_an_end_speaks_is_asked_once_it_has_spoken() {
    let spoken = |sid, end| rule(sid, Protocol::Tcp).when(Condition::AppBy(end, App::Http, false));
    let mut shown = Shown::new(vec![spoken(1, None), spoken(2, Some(Direction::ToClient))]).app(App::Http);
    assert_eq!(shown.say(b"GET"), [1]);
    assert_eq!(shown.reply(b""), [0; 0]);
    assert_eq!(shown.reply(b"200"), [1, 2]);
    assert_eq!(shown.reply(b"and more"), [0; 0]);
}

#[test]
fn what_a_conversation_becomes_shows_once() {
    let became = rule(1, Protocol::Tcp).when(Condition::App(App::Http2, false));
    let mut shown = Shown::new(vec![became]).app(App::Http1);
    assert_eq!(shown.say(b"GET"), [0; 0]);
    let mut shown = shown.app(App::Http2);
    shown.flow.as_mut().unwrap().original_app = Some(App::Http1);
    assert_eq!(shown.reply(b"settings"), [1]);
    assert_eq!(shown.say(b"PRI"), [0; 0]);
}

#[test]
fn thresholds_count_both_directions_between_two_hosts() {
    let threshold = |track| Threshold { kind: ThresholdKind::Limit, track, count: 1, seconds: 60 };
    let limited = |sid, track| udp(sid, "a").with(|rule| rule.threshold = Some(threshold(track)));
    let mut shown = Shown::new(vec![limited(1, Track::Both), limited(2, Track::Source)]).udp();
    assert_eq!(shown.say(b"a"), [1, 2]);
    assert_eq!(shown.reply(b"a"), [2]);
}

#[test]
fn bits_are_set_before_they_are_asked_for() {
    let bits = |action| Flowbits { action, names: vec![shared_name("seen")] };
    let asks = udp(1, "a").when(Condition::Flowbits(bits(BitAction::IsSet)));
    let sets = udp(2, "b").then(Effect::Flowbits(bits(BitAction::Set))).with(|rule| rule.noalert = true);
    let mut shown = Shown::new(vec![asks, sets]).udp();
    assert_eq!(shown.say(b"a"), [0; 0]);
    assert_eq!(shown.say(b"ab"), [1]);
    assert_eq!(shown.say(b"a"), [1]);
}

#[test]
fn bits_of_hosts() {
    let bits = |action| Bits { action, name: shared_name("seen"), scope: BitScope::Source, expire_s: 60 };
    let asks = udp(1, "a").when(Condition::Xbits(bits(BitAction::IsSet)));
    let sets = udp(2, "b").then(Effect::Xbits(bits(BitAction::Set)));
    let mut shown = Shown::new(vec![asks, sets]).udp();
    assert_eq!(shown.say(b"b"), [2]);
    shown.state = FlowState::default();
    assert_eq!(shown.say(b"a"), [1]);
    assert_eq!(shown.reply(b"a"), [0; 0]);
    shown.now_ns += 60_000_000_000;
    assert_eq!(shown.say(b"a"), [0; 0]);
}

#[test]
fn thresholds_silence_and_filters_do_not_match() {
    let limit = Threshold { kind: ThresholdKind::Limit, track: Track::Source, count: 1, seconds: 60 };
    let limited = udp(1, "a").action(Action::Drop).with(|rule| rule.threshold = Some(limit));
    let filter = crate::rule::Detection { track: Track::Source, count: 1, seconds: 60 };
    let filtered = udp(2, "b").action(Action::Drop).with(|rule| rule.detection = Some(filter));
    let mut shown = Shown::new(vec![limited, filtered]).udp();
    assert_eq!(shown.say(b"a"), [1]);
    assert_eq!(shown.say(b"a"), [0; 0]);
    assert_eq!(shown.out.verdict, Verdict::Drop(false));
    assert_eq!(shown.say(b"b"), [0; 0]);
    assert_eq!(shown.out.verdict, Verdict::Continue);
    assert_eq!(shown.say(b"b"), [2]);
}

#[test]
fn headers() {
    let flags = |test, bits, ignored| Condition::Packet(PacketTest::TcpFlags(Flags { test, bits, ignored }));
    let tcp = |sid| rule(sid, Protocol::Tcp);
    let size = |test| Condition::Packet(PacketTest::Number(Number::PayloadSize, test));
    let mut shown = Shown::new(vec![
        tcp(1).when(flags(FlagsTest::Exactly, 0x02, 0)),
        tcp(2).when(flags(FlagsTest::Exactly, 0x02, 0xc0)),
        tcp(3).when(flags(FlagsTest::All, 0x02, 0)),
        tcp(4).when(flags(FlagsTest::Any, 0x03, 0)),
        tcp(5).when(flags(FlagsTest::None, 0x02, 0)),
        tcp(6).when(size(NumberTest::Greater(3))),
        tcp(7).when(Condition::Packet(PacketTest::Number(Number::Ttl, NumberTest::Equal(64)))),
    ]);
    shown.transport[13] = 0x42;
    assert_eq!(shown.say(b"four"), [2, 3, 4, 6, 7]);
    shown.transport[13] = 0x10;
    assert_eq!(shown.say(b"two"), [5, 7]);
}

#[test]
fn addresses_alone_once_for_each_direction() {
    let host = Addresses { any_of: vec![Network { address: [192, 0, 2, 1].into(), bits: 32 }], none_of: vec![] };
    let mut shown = Shown::new(vec![rule(1, Protocol::Ip).with(|rule| rule.header.source = host)]);
    assert_eq!(shown.ruleset.report().next().unwrap().kind, Kind::Addresses);
    assert_eq!(shown.say(b"x"), [1]);
    assert_eq!(shown.say(b"x"), [0; 0]);
    assert_eq!(shown.reply(b"x"), [0; 0]);
}

#[test]
fn ports_do_not_make_it_a_rule_about_packets() {
    let mut shown = Shown::new(vec![rule(1, Protocol::Tcp).on_port(80, 80), rule(2, Protocol::Tcp).on_port(81, 81)]);
    assert!(shown.ruleset.report().all(|rule| rule.kind == Kind::Addresses));
    assert_eq!(shown.say(b"x"), [1]);
    assert_eq!(shown.say(b"x"), [0; 0]);
}

#[test]
fn one_end_may_speak_something_else() {
    let by = |sid, end, app| rule(sid, Protocol::Tcp).when(Condition::AppBy(end, app, false));
    let (client, server) = (Some(Direction::ToServer), Some(Direction::ToClient));
    let rules =
        vec![by(1, client, App::Http1), by(2, server, App::Http1), by(3, server, App::Ssh), by(4, None, App::Ssh)];
    let mut shown = Shown::new(rules).app(App::Http1);
    assert_eq!(shown.say(b"x"), [1], "the server has said nothing");
    shown.flow.as_mut().unwrap().mismatch = Some((Direction::ToClient, App::Ssh));
    assert_eq!(shown.say(b"x"), [0; 0], "what the client speaks is what it was");
    assert_eq!(shown.reply(b"x"), [1, 3, 4]);
}

#[test]
fn what_is_spoken_is_asked_when_it_is_known() {
    let not_http = rule(1, Protocol::Tcp).on_port(80, 80).when(Condition::App(App::Http, true));
    let mut shown = Shown::new(vec![not_http]).app(App::Unknown);
    assert_eq!(shown.say(b"x"), [0; 0]);
    let mut shown = shown.app(App::Tls);
    assert_eq!(shown.say(b"x"), [1]);
    assert_eq!(shown.say(b"x"), [0; 0]);
    let mut shown = shown.app(App::Http1);
    assert_eq!(shown.say(b"x"), [0; 0]);
}

#[test]
fn events() {
    let event = |sid, name: &str| rule(sid, Protocol::PacketHeader).when(Condition::Event(name.into()));
    let mut shown = Shown::new(vec![event(1, "ipv4.opt_pad"), event(2, "stream.pkt_invalid_ack")]);
    assert_eq!(shown.say(b""), [0; 0]);
    shown.events = &["ipv4.opt_pad"];
    assert_eq!(shown.say(b""), [1]);
    shown.events = &["stream.pkt_invalid_ack"];
    assert_eq!(shown.say(b""), [2]);
}

#[test]
fn what_comes_in_front_of_pass_is_done() {
    let rules = || {
        let tcp = |sid, action| rule(sid, Protocol::Tcp).on_port(80, 80).payload(vec![content("x")]).action(action).0;
        vec![tcp(1, Action::Pass), tcp(2, Action::Drop), tcp(3, Action::Alert)]
    };
    for (order, told, verdict) in [
        (["pass", "drop", "reject", "alert"], vec![], Verdict::Pass(true)),
        (["alert", "pass", "drop", "reject"], vec![3], Verdict::Pass(true)),
        (["drop", "pass", "reject", "alert"], vec![2], Verdict::Drop(true)),
        (["drop", "reject", "alert", "pass"], vec![2, 3], Verdict::Drop(true)),
    ] {
        let mut shown = Shown::new(Vec::new());
        shown.ruleset = Ruleset::compile_in(rules(), ActionOrder::of(&order).unwrap());
        assert_eq!(shown.say(b"x"), told, "{order:?}");
        assert_eq!(shown.out.verdict, verdict, "{order:?}");
    }
    let order = ["drop", "reject", "alert", "pass"];
    assert_eq!(ActionOrder::of(&order).unwrap().words(), order);
    assert_eq!(ActionOrder::of(&["pass", "drop", "reject"]), None);
    assert_eq!(ActionOrder::of(&["pass", "drop", "reject", "drop"]), None);
}

#[test]
fn an_explanation_names_what_failed() {
    let size = Condition::Packet(PacketTest::Number(Number::PayloadSize, NumberTest::Less(3)));
    let mut shown = Shown::new(vec![udp(1, "abc").when(size), udp(2, "x"), udp(3, "abc")]).udp();
    shown.scratch.trace = Some(Vec::new());
    assert_eq!(shown.say(b"abcd"), [3]);
    let trace = shown.scratch.trace.take().unwrap();
    let told: Vec<_> = trace.iter().map(|of| (shown.ruleset.rules()[of.rule as usize].sid, of.failed)).collect();
    assert_eq!(told, [(1, Some(Failed::Condition(1))), (3, None)]);
}

#[test]
fn what_can_match_datagrams() {
    let rules = vec![
        udp(1, "abc").on_port(53, 53),
        rule(2, Protocol::Tcp).payload(vec![content("abc")]),
        rule(3, Protocol::Ip).payload(vec![Content { nocase: true, ..content("xyz") }]),
        rule(4, Protocol::Icmpv4).when(Condition::Packet(PacketTest::Number(Number::IcmpType, NumberTest::Equal(5)))),
        rule(5, Protocol::App(App::Dns)).buffer(Buffer::DnsQuery, vec![content("evil")]),
    ];
    let shown = Shown::new(rules);
    let sid = |of: &Datagram<'_>| shown.ruleset.rules()[of.rule as usize].sid;
    let mut told: Vec<_> = shown
        .ruleset
        .datagrams()
        .map(|of| (sid(&of), of.protocols.clone(), of.pattern.map(|pattern| pattern.bytes.to_vec()), of.kind))
        .collect();
    told.sort_by_key(|(sid, ..)| *sid);
    let expected = [
        (1, vec![17], Some(b"abc".to_vec()), Kind::Packet),
        (3, vec![], Some(b"xyz".to_vec()), Kind::Stream),
        (4, vec![1], None, Kind::Packet),
        (5, vec![17, 132], None, Kind::Transaction),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_can_still_be_said() {
    let http = rule(1, Protocol::App(App::Http)).payload(vec![content("abc")]);
    let syn = PacketTest::TcpFlags(Flags { test: FlagsTest::Exactly, bits: 2, ignored: 0 });
    let rules = vec![http, rule(2, Protocol::Tcp).when(Condition::Packet(syn))];
    let mut shown = Shown::new(rules);
    shown.say(b"");
    let wants = |app, established| {
        let flow = Flow { app, established, ..shown.flow.unwrap() };
        let wants = shown.ruleset.wants(&flow, Direction::ToServer, (40_000, 80), &shown.state);
        (wants.packets, wants.stream.is_some())
    };
    assert_eq!(wants(App::Unknown, false), (true, true));
    assert_eq!(wants(App::Unknown, true), (false, true));
    assert_eq!(wants(App::Failed, true), (false, false));
    assert_eq!(wants(App::Http1, true), (false, true));
    assert_eq!(wants(App::Tls, true), (false, false));
}

#[test]
fn decoded_bytes_are_one_buffer() {
    let decode = Check::Base64(crate::rule::Base64 { bytes: 0, offset: 0, from: crate::rule::From::Start });
    let decoded = |text| vec![Check::Content(content(text))];
    let both = rule(1, Protocol::Udp)
        .checks(Selected::Payload, vec![decode.clone()])
        .checks(Selected::Base64, decoded("evil"))
        .checks(Selected::Base64, decoded("one"));
    let mut shown = Shown::new(vec![both]).udp();
    assert_eq!(shown.say(b"YW4gZXZpbCBvbmU="), [1]);
    assert_eq!(shown.say(b"YW4gZXZpbA=="), [0; 0]);
    assert_eq!(shown.say(b"b25l"), [0; 0]);
}

#[test]
fn what_was_passed_is_asked_again_by_another_ruleset() {
    let tcp = |sid, action| rule(sid, Protocol::Tcp).payload(vec![content("a")]).action(action);
    let mut shown = Shown::new(vec![tcp(1, Action::Pass), tcp(2, Action::Drop)]);
    assert_eq!(shown.say(b"a"), [0; 0]);
    assert_eq!(shown.out.verdict, Verdict::Pass(true));
    assert_eq!(shown.say(b"a"), [0; 0]);
    shown.ruleset = Ruleset::compile(vec![tcp(2, Action::Drop).0]);
    assert_eq!(shown.say(b"a"), [2]);
}

#[test]
fn what_is_bypassed_is_told_once() {
    let mut shown = Shown::new(vec![udp(1, "a").then(Effect::Bypass), udp(2, "b")]).udp();
    assert_eq!(shown.say(b"ab"), [1, 2]);
    assert_eq!(shown.out.verdict, Verdict::Continue);
    assert_eq!(shown.say(b"ab"), [0; 0]);
    assert_eq!(shown.out.verdict, Verdict::Pass(true));
}

#[test]
fn tags_of_vlans() {
    let id = |sid, layers, number| {
        rule(sid, Protocol::Ip).when(Condition::Packet(PacketTest::VlanId(layers, NumberTest::Equal(number))))
    };
    let layers = |sid, number| {
        let test = NumberTest::Equal(number);
        rule(sid, Protocol::Ip).when(Condition::Packet(PacketTest::Number(Number::VlanLayers, test)))
    };
    let rules = vec![
        id(1, Layers::Any, 300),
        id(2, Layers::All, 300),
        id(3, Layers::At(0), 200),
        id(4, Layers::At(-1), 300),
        id(5, Layers::At(2), 300),
        layers(6, 2),
        layers(7, 0),
    ];
    let mut shown = Shown::new(rules);
    shown.vlan = [200, 300];
    assert_eq!(shown.say(b"x"), [1, 3, 4, 6]);
    shown.vlan = [300, 0];
    assert_eq!(shown.say(b"x"), [1, 2, 4]);
    shown.vlan = [0, 0];
    assert_eq!(shown.say(b"x"), [7]);
}

#[test]
fn what_was_spoken_before_it_changed() {
    let original = |sid, app, negated| rule(sid, Protocol::Tcp).when(Condition::OriginalApp(app, negated));
    let rules = vec![original(1, App::Http1, false), original(2, App::Smtp, true), original(3, App::Smtp, false)];
    let mut shown = Shown::new(rules).app(App::Http1);
    assert_eq!(shown.say(b"x"), [0; 0], "it has not changed");
    let mut shown = shown.app(App::Http2);
    shown.flow.as_mut().unwrap().original_app = Some(App::Http1);
    assert_eq!(shown.say(b"x"), [1, 2]);
}
