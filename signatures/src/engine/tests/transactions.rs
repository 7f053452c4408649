//! Rules about transactions.

use super::*;
use crate::rule::{Entropy, EntropyTest, NumberTest};

fn http(sid: u32) -> Make {
    rule(sid, Protocol::App(App::Http))
}

fn get(id: u64, uri: &str) -> Exchange {
    let mut exchange = Exchange::http(id);
    exchange.say(Buffer::HttpMethod, Direction::ToServer, b"GET");
    exchange.say(Buffer::HttpUri, Direction::ToServer, uri.as_bytes());
    exchange
}

#[test]
fn all_in_the_same_transaction() {
    let rules = vec![
        http(1).buffer(Buffer::HttpMethod, vec![content("GET")]).buffer(Buffer::HttpUri, vec![content("/evil")]),
        http(2).buffer(Buffer::HttpMethod, vec![content("POST")]).buffer(Buffer::HttpUri, vec![content("/evil")]),
    ];
    let mut shown = Shown::new(rules).app(App::Http1);
    let one = get(0, "/evil?x");
    assert_eq!(shown.asks(&one), [1]);
    assert_eq!(shown.out.alerts[0].transaction, Some(0));
    assert_eq!(shown.asks(&one), [0; 0]);
    assert_eq!(shown.answers(&one), [0; 0]);
    assert_eq!(shown.asks(&get(1, "/good")), [0; 0]);
    assert_eq!(shown.asks(&get(2, "/evil")), [1]);
}

#[test]
fn buffers_that_come_one_after_the_other() {
    let rules = vec![
        http(1).buffer(Buffer::HttpUri, vec![content("/evil")]).buffer(Buffer::HttpUserAgent, vec![content("bot")]),
        http(2).buffer(Buffer::HttpUserAgent, vec![Content { negated: true, ..content("bot") }]),
    ];
    let mut shown = Shown::new(rules).app(App::Http1);
    let mut one = get(0, "/evil");
    assert_eq!(shown.asks(&one), [0; 0]);
    one.say(Buffer::HttpUserAgent, Direction::ToServer, b"a bot");
    assert_eq!(shown.asks(&one), [1]);
    let mut other = get(1, "/evil");
    other.complete(Direction::ToServer);
    assert_eq!(shown.asks(&other), [0; 0]);
}

#[test]
fn bodies_that_grow() {
    let body = |sid, contents| http(sid).buffer(Buffer::HttpRequestBody, contents);
    let rules = || {
        vec![
            body(1, vec![content("needle")]),
            body(2, vec![content("hay"), Content { negated: true, ..content("straw") }]),
            body(3, vec![content("hay"), Content { negated: true, ..content("other") }]),
            body(4, vec![Content { place: Place { at_end: true, ..Place::default() }, ..content("hay") }]),
            body(5, vec![Content { place: Place { at_end: true, ..Place::default() }, ..content("end") }]),
        ]
    };
    let text = b"hay needle hay straw end";
    for cut in 0..text.len() {
        let mut shown = Shown::new(rules()).app(App::Http1);
        let mut one = get(0, "/");
        one.grow(Buffer::HttpRequestBody, Direction::ToServer, &text[..cut]);
        let mut all = shown.asks(&one);
        assert!(!all.contains(&3), "more may come");
        one.grow(Buffer::HttpRequestBody, Direction::ToServer, &text[cut..]);
        all.extend(shown.asks(&one));
        one.complete(Direction::ToServer);
        all.extend(shown.asks(&one));
        all.sort_unstable();
        assert_eq!(all, [1, 3, 5], "{cut}");
    }
}

#[test]
fn every_instance() {
    let dns = |sid| rule(sid, Protocol::App(App::Dns));
    let rules = vec![dns(1).buffer(Buffer::DnsQuery, vec![content("evil"), content("example")])];
    let mut shown = Shown::new(rules).app(App::Dns).udp();
    let mut one = Exchange { id: 1, app: Some(App::Dns), ..Exchange::default() };
    one.say(Buffer::DnsQuery, Direction::ToServer, b"evil.test");
    one.say(Buffer::DnsQuery, Direction::ToServer, b"good.example");
    assert_eq!(shown.asks(&one), [0; 0]);
    one.say(Buffer::DnsQuery, Direction::ToServer, b"evil.example");
    assert_eq!(shown.asks(&one), [1]);
}

#[test]
fn what_is_absent() {
    let absent = |sid, or_else, checks: Vec<Check>| {
        let checks = std::iter::once(Check::Absent(or_else)).chain(checks).collect();
        http(sid).buffer(Buffer::HttpMethod, vec![content("GET")]).checks(Selected::Buffer(Buffer::HttpReferer), checks)
    };
    let rules = vec![absent(1, false, vec![]), absent(2, true, vec![Check::Content(content("evil"))])];
    let mut shown = Shown::new(rules).app(App::Http1);
    let mut without = get(0, "/");
    assert_eq!(shown.asks(&without), [0; 0]);
    without.complete(Direction::ToServer);
    assert_eq!(shown.asks(&without), [1, 2]);
    let mut with = get(1, "/");
    with.say(Buffer::HttpReferer, Direction::ToServer, b"evil");
    assert_eq!(shown.asks(&with), [2]);
    let mut with = get(2, "/");
    with.say(Buffer::HttpReferer, Direction::ToServer, b"good");
    with.complete(Direction::ToServer);
    assert_eq!(shown.asks(&with), [0; 0]);
}

#[test]
fn both_directions() {
    let rules = vec![
        http(1)
            .with(|rule| rule.header.arrow = Arrow::Transaction)
            .buffer(Buffer::HttpUri, vec![content("/evil")])
            .buffer(Buffer::HttpStatCode, vec![content("200")]),
    ];
    let mut shown = Shown::new(rules).app(App::Http1);
    let mut one = get(0, "/evil");
    assert_eq!(shown.asks(&one), [0; 0]);
    one.say(Buffer::HttpStatCode, Direction::ToClient, b"200");
    assert_eq!(shown.answers(&one), [1]);
    let mut other = get(1, "/evil");
    assert_eq!(shown.asks(&other), [0; 0]);
    other.say(Buffer::HttpStatCode, Direction::ToClient, b"404");
    other.complete(Direction::ToClient);
    assert_eq!(shown.answers(&other), [0; 0]);
}

#[test]
fn numbers_events_and_files() {
    let rules = vec![
        rule(1, Protocol::App(App::Dns)).when(Condition::Number { keyword: "dns.opcode", test: NumberTest::Equal(4) }),
        rule(2, Protocol::App(App::Dns)).when(Condition::AppEvent("malformed_data".into())),
        rule(3, Protocol::App(App::Dns))
            .when(Condition::FileExtension("exe".into(), false))
            .when(Condition::FileSize(NumberTest::Greater(10))),
        rule(4, Protocol::App(App::Dns)).when(Condition::FileStore),
    ];
    let mut shown = Shown::new(rules).app(App::Dns).udp();
    let mut one = Exchange { id: 1, app: Some(App::Dns), ..Exchange::default() };
    one.numbers.push(("dns.opcode", 0));
    assert_eq!(shown.asks(&one), [0; 0]);
    one.numbers.push(("dns.opcode", 4));
    one.revisions[0] += 1;
    assert_eq!(shown.asks(&one), [1]);
    one.events.push("malformed_data");
    assert_eq!(shown.asks(&one), [2]);
    one.files = vec![(b"a.exe".to_vec(), 5, true), (b"b.txt".to_vec(), 50, true)];
    one.revisions[0] += 1;
    assert_eq!(shown.asks(&one), [4], "there is a file");
    one.files.push((b"c.EXE".to_vec(), 50, true));
    one.revisions[0] += 1;
    assert_eq!(shown.asks(&one), [3]);
}

#[test]
fn of_a_file_that_was_cut_off_the_size_is_a_least_one() {
    let size = |sid, test| rule(sid, Protocol::App(App::Http)).when(Condition::FileSize(test));
    let rules = vec![
        size(1, NumberTest::Less(100)),
        size(2, NumberTest::Greater(10)),
        size(3, NumberTest::GreaterOrEqual(50)),
        size(4, NumberTest::Equal(50)),
        size(5, NumberTest::Greater(50)),
    ];
    let mut shown = Shown::new(rules).app(App::Http1);
    let mut whole = get(0, "/");
    whole.files.push((b"a".to_vec(), 50, true));
    assert_eq!(shown.asks(&whole), [1, 2, 3, 4]);
    let mut cut = get(1, "/");
    cut.files.push((b"a.cut".to_vec(), 50, true));
    assert_eq!(shown.asks(&cut), [2, 3]);
}

#[test]
fn a_drop_is_of_the_flow() {
    let rules = vec![http(1).buffer(Buffer::HttpUri, vec![content("/evil")]).action(Action::Drop)];
    let mut shown = Shown::new(rules).app(App::Http1);
    assert_eq!(shown.asks(&get(0, "/evil")), [1]);
    assert_eq!(shown.out.verdict, Verdict::Drop(true));
}

#[test]
fn another_protocol_is_not_asked() {
    let rules = vec![
        rule(1, Protocol::App(App::Http2)).buffer(Buffer::HttpUri, vec![content("/evil")]),
        rule(2, Protocol::App(App::Http1)).buffer(Buffer::HttpUri, vec![content("/evil")]),
    ];
    let mut shown = Shown::new(rules).app(App::Http1);
    assert_eq!(shown.asks(&get(0, "/evil")), [2]);
}

#[test]
fn what_one_direction_does_not_say_the_other_may() {
    let rules = vec![
        http(1).buffer(Buffer::FileName, vec![Content { negated: true, ..content("tar.gz") }]),
        http(2).when(Condition::FileExtension("mp4".into(), false)),
        http(3).buffer(Buffer::HttpProtocol, vec![content("HTTP/1.1")]),
    ];
    let mut shown = Shown::new(rules).app(App::Http1);
    let mut one = get(0, "/film.mp4");
    one.say(Buffer::HttpProtocol, Direction::ToServer, b"HTTP/1.1");
    one.complete(Direction::ToServer);
    assert_eq!(shown.asks(&one), [3]);
    one.say(Buffer::HttpProtocol, Direction::ToClient, b"HTTP/1.1");
    one.say(Buffer::FileName, Direction::ToClient, b"/film.mp4");
    one.files.push((b"/film.mp4".to_vec(), 5, true));
    assert_eq!(shown.answers(&one), [1, 2, 3]);
    assert_eq!(shown.answers(&one), [0; 0]);
}

#[test]
fn a_transaction_that_is_over_is_shown_to_both_directions() {
    let port = |sid| {
        let test = NumberTest::Equal(2121);
        rule(sid, Protocol::App(App::Ftp)).when(Condition::Number { keyword: "ftp.dynamic_port", test })
    };
    let event = rule(4, Protocol::App(App::Ftp)).when(Condition::AppEvent("odd".into()));
    let mut shown = Shown::new(vec![port(1).by_client(), port(2).by_server(), port(3), event]).app(App::Ftp);
    let mut one = Exchange { id: 0, app: Some(App::Ftp), ..Exchange::default() };
    one.say(Buffer::FtpCommand, Direction::ToServer, b"PASV");
    assert_eq!(shown.asks(&one), [0; 0]);
    one.numbers.push(("ftp.dynamic_port", 2121));
    one.events.push("odd");
    one.complete(Direction::ToServer);
    one.complete(Direction::ToClient);
    assert_eq!(shown.answers(&one), [1, 2, 3, 3, 4]);
    let said: Vec<_> = shown.out.alerts.iter().map(|alert| alert.direction).collect();
    let (forth, back) = (Direction::ToServer, Direction::ToClient);
    assert_eq!(said, [forth, back, back, forth, back], "events are of neither direction, and told of once");
}

#[test]
fn a_direction_that_has_said_nothing_has_no_last_words() {
    let query = rule(1, Protocol::App(App::Dns)).when(Condition::Test {
        keyword: "dns.test",
        argument: "x".into(),
        negated: true,
    });
    let mut shown = Shown::new(vec![query]).app(App::Dns).udp();
    let one = Exchange { id: 1, app: Some(App::Dns), revisions: [1, 0], complete: [true; 2], ..Exchange::default() };
    assert_eq!(shown.asks(&one), [1]);
}

#[test]
fn a_datagram_is_what_parsers_make_of_it() {
    let dns = rule(1, Protocol::App(App::Dns)).payload(vec![content("evil")]);
    let udp = rule(2, Protocol::Udp).payload(vec![content("evil")]);
    let mut shown = Shown::new(vec![dns, udp]).app(App::Dns).udp();
    let of = |id| Exchange { id, app: Some(App::Dns), revisions: [1, 0], ..Exchange::default() };
    assert_eq!(shown.show(Direction::ToServer, b"evil", &[&of(3), &of(4)]), [1, 2]);
    assert_eq!(shown.out.alerts[0].transaction, Some(4), "the latest");
    assert_eq!(shown.out.alerts[1].transaction, None);
}

#[test]
fn no_rules_say_nothing() {
    for ruleset in [Ruleset::default(), Ruleset::compile(Vec::new())] {
        let mut shown = Shown { ruleset, ..Shown::new(Vec::new()) };
        assert_eq!(shown.show(Direction::ToServer, b"anything", &[&get(0, "/")]), [0; 0]);
        assert_eq!(shown.out.verdict, Verdict::Continue);
    }
}

#[test]
fn entropy_is_remembered_whether_or_not_it_is_the_one() {
    let entropy = |sid, offset, test| {
        let check = Check::Entropy(Entropy { offset, bytes: 0, test });
        http(sid).checks(Selected::Buffer(Buffer::HttpRequestBody), vec![check])
    };
    let rules = vec![entropy(1, 0, EntropyTest::Greater(1.5)), entropy(2, 2, EntropyTest::Greater(1.5))];
    let mut shown = Shown::new(rules).app(App::Http1);
    let mut one = get(0, "/");
    one.say(Buffer::HttpRequestBody, Direction::ToServer, b"abcd");
    one.complete(Direction::ToServer);
    assert_eq!(shown.asks(&one), [1]);
    assert_eq!(shown.state.variables().entropies(), [(Buffer::HttpRequestBody, 1.0)], "what was computed last");
}
