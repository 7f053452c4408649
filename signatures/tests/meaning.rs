//! What rules mean: keywords in, checked form out.

use dropgate_signatures::{
    buffer::Buffer,
    load::{File, Loaded, Options, Variables, load},
    protocol::App,
    rule::{
        Action, Arrow, BitAction, BitScope, Check, Condition, Content, Effect, Ends, EntropyTest, FlagsTest, FlowintOp,
        Inspect, IntValue, JumpBase, Layers, MathOp, Number, NumberTest, PacketTest, Pcre, Rule, Selected, SetAction,
        SetKind, Size, ThresholdKind, Track, Transform, Value,
    },
    subject::Direction,
};

fn loaded(text: &str) -> Loaded {
    let options = Options {
        variables: Variables::default(),
        classification: None,
        references: None,
        thresholds: None,
        read: &|of, name| match name {
            "hosts.txt" => Ok(b"ZXhhbXBsZS5jb20=\nZXhhbXBsZS5vcmc=\n".to_vec()),
            "digests.txt" => Ok(b"d41d8cd98f00b204e9800998ecf8427e  empty\n".to_vec()),
            _ => Err(format!("`{of}` names `{name}`")),
        },
    };
    load(&[File { name: "test.rules", bytes: text.as_bytes() }], &options)
}

#[track_caller]
fn rule(text: &str) -> Rule {
    let mut loaded = loaded(text);
    let refused = loaded.outcomes.iter().find_map(|outcome| outcome.refused.as_ref());
    assert_eq!(refused, None, "{text}");
    loaded.rules.remove(0)
}

/// A rule of any protocol with these options.
#[track_caller]
fn of(options: &str) -> Rule {
    rule(&format!("alert ip any any -> any any ({options} sid:1;)"))
}

#[track_caller]
fn inspect(condition: &Condition) -> &Inspect {
    let Condition::Inspect(inspect) = condition else { panic!("{condition:?}") };
    inspect
}

#[track_caller]
fn content(check: &Check) -> &Content {
    let Check::Content(content) = check else { panic!("{check:?}") };
    content
}

#[track_caller]
fn pcre(check: &Check) -> &Pcre {
    let Check::Pcre(pcre) = check else { panic!("{check:?}") };
    pcre
}

/// Each buffer, and the contents that are looked for in it.
fn places(rule: &Rule) -> Vec<(Selected, Vec<String>)> {
    let shown = |check: &Check| match check {
        Check::Content(content) => String::from_utf8_lossy(&content.bytes).into_owned(),
        Check::Pcre(pcre) => format!("/{}/", pcre.pattern),
        other => format!("{other:?}"),
    };
    let conditions = rule.conditions.iter().map(inspect);
    conditions.map(|inspect| (inspect.selected.clone(), inspect.checks.iter().map(shown).collect())).collect()
}

fn buffer(buffer: Buffer, contents: &[&str]) -> (Selected, Vec<String>) {
    (Selected::Buffer(buffer), contents.iter().map(|content| (*content).to_owned()).collect())
}

fn payload(contents: &[&str]) -> (Selected, Vec<String>) {
    (Selected::Payload, contents.iter().map(|content| (*content).to_owned()).collect())
}

#[test]
fn what_is_said_about_a_rule() {
    let rule = rule(
        "rejectboth tls $HOME_NET any <> !10.0.0.1 !443 (msg:\"a \\\"b\\\"\\; c\"; reference:CVE,2021-1; \
         reference:url,x.example/a,b; classtype:trojan-activity; metadata: mitre_technique_id T1071, plain; \
         target:dest_ip; noalert; gid:3; sid:7; rev:2;)",
    );
    assert_eq!((rule.gid, rule.sid, rule.rev), (3, 7, 2));
    assert_eq!(&*rule.message, "a \"b\"; c");
    assert_eq!(rule.action, Action::Reject(Ends::Both));
    assert_eq!((rule.header.arrow, &*rule.apps), (Arrow::Both, &[App::Tls][..]));
    assert_eq!(rule.header.source.any_of.len(), 3);
    assert_eq!(rule.header.destination.none_of.len(), 1);
    assert_eq!(rule.header.destination_ports.0, [(0, 442), (444, 65535)]);
    assert_eq!(rule.priority, 1);
    assert_eq!(rule.class.as_ref().map(|class| &*class.description), Some("A Network Trojan was detected"));
    let pairs = |all: &[(std::sync::Arc<str>, std::sync::Arc<str>)]| {
        all.iter().map(|(a, b)| format!("{a}={b}")).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&rule.references), ["cve=2021-1", "url=x.example/a,b"]);
    assert_eq!(pairs(&rule.metadata), ["mitre_technique_id=T1071", "plain="]);
    assert!(rule.noalert);
    assert_eq!(of("classtype:trojan-activity; priority:4;").priority, 4);
    assert_eq!(of("").priority, 3);
}

#[test]
fn contents_have_bytes_and_places() {
    let rule =
        of("content:!\"a|00 4a|\\;\\\\\"; nocase; offset:2; depth:9; content:\"x\"; distance:-3; within:5; endswith;");
    let checks = &inspect(&rule.conditions[0]).checks;
    let first = content(&checks[0]);
    assert_eq!(&*first.bytes, b"a\x00J;\\");
    assert!(first.negated && first.nocase);
    assert_eq!((first.place.offset, first.place.depth), (Some(Value::Number(2)), Some(Value::Number(9))));
    let second = content(&checks[1]);
    assert_eq!((second.place.distance, second.place.within), (Some(Value::Number(-3)), Some(Value::Number(5))));
    assert!(second.place.at_end && !second.place.at_start && !second.negated);
}

#[test]
fn modifiers_of_old_move_contents() {
    let rule = of(
        "content:\"uri\"; http_uri; nocase; content:\"payload\"; content:\"header\"; http_header; content:\"more\"; \
         http_uri; distance:0; uricontent:\"third\"; pcre:\"/four/U\"; pcre:\"/raw/I\";",
    );
    assert_eq!(
        places(&rule),
        [
            payload(&["payload"]),
            buffer(Buffer::HttpUri, &["uri", "more", "third", "/four/"]),
            buffer(Buffer::HttpHeader, &["header"]),
            buffer(Buffer::HttpUriRaw, &["/raw/"]),
        ]
    );
    let uri = &inspect(&rule.conditions[1]).checks;
    assert!(content(&uri[0]).nocase && !content(&uri[1]).nocase);
    assert_eq!(content(&uri[1]).place.distance, Some(Value::Number(0)));
    assert_eq!(rule.apps, [App::Http]);
    // nothing is left of the payload
    assert_eq!(places(&of("content:\"a\"; http_cookie;")), [buffer(Buffer::HttpCookie, &["a"])]);
}

#[test]
fn buffers_go_on_unless_there_are_several() {
    let rule =
        of("http.uri; content:\"a\"; http.method; content:\"b\"; http.uri; content:\"c\"; pkt_data; content:\"d\";");
    assert_eq!(
        places(&rule),
        [buffer(Buffer::HttpUri, &["a", "c"]), buffer(Buffer::HttpMethod, &["b"]), payload(&["d"]),]
    );
    let rule = of("http.request_header; content:\"a\"; content:\"b\"; http.request_header; content:\"c\";");
    let headers = [buffer(Buffer::HttpRequestHeader, &["a", "b"]), buffer(Buffer::HttpRequestHeader, &["c"])];
    assert_eq!(places(&rule), headers);
    // a transform makes a buffer of its own
    let rule = of("http.host; content:\"a\"; http.host; dotprefix; to_md5; content:\"b\"; http.host; content:\"c\";");
    assert_eq!(places(&rule), [buffer(Buffer::HttpHost, &["a", "c"]), buffer(Buffer::HttpHost, &["b"])]);
    assert_eq!(inspect(&rule.conditions[1]).transforms, [Transform::DotPrefix, Transform::ToMd5]);
    assert_eq!(places(&of("file_data; content:\"a\";")), [buffer(Buffer::FileData, &["a"])]);
}

#[test]
fn fast_patterns_are_named() {
    let rule =
        of("content:\"gone\"; http_uri; flow.age:>1; http.host; content:\"a\"; content:\"bcd\"; fast_pattern:1,2;");
    let fast = rule.fast_pattern.unwrap();
    assert_eq!((fast.condition, fast.check, fast.only, fast.chop), (2, 1, false, Some((1, 2))));
    assert_eq!(content(&inspect(&rule.conditions[2]).checks[1]).bytes[..], b"bcd"[..]);
    let rule = of("content:\"a\"; content:\"b\"; fast_pattern:only; http_uri; content:\"c\";");
    let fast = rule.fast_pattern.unwrap();
    assert!(fast.only);
    assert_eq!(&*content(&inspect(&rule.conditions[fast.condition]).checks[fast.check]).bytes, b"b");
}

#[test]
fn expressions_have_modifiers() {
    let rule = of("content:\"a\"; pcre:!\"/a\\/\\\"b(?P<x>c)/smixAEGR,flow:x\";");
    let pcre = pcre(&inspect(&rule.conditions[0]).checks[1]);
    assert_eq!(&*pcre.pattern, "a\\/\\\"b(?P<x>c)");
    assert!(pcre.negated && pcre.caseless && pcre.dotall && pcre.multiline && pcre.extended);
    assert!(pcre.anchored && pcre.dollar_end_only && pcre.ungreedy && pcre.relative);
    assert_eq!(pcre.captures.len(), 1);
    // look-around and back-references
    of("pcre:\"/(?<=a)(b)(?!c)\\1/\";");
}

#[test]
fn numbers_in_bytes() {
    let rule = of("byte_extract:2,-4,len,relative,little,multiplier 3,align 4; byte_test:4,!&,0x80,len,string,hex; \
         byte_jump:1,0,from_end,align,post_offset -2; byte_math:bytes 2,offset 1,oper <<,rvalue len,result sum,bitmask 0x0ff0; \
         content:\"a\"; within:sum; isdataat:!len,relative;");
    let checks = &inspect(&rule.conditions[0]).checks;
    let Check::ByteExtract(extract) = checks[0] else { panic!("{checks:?}") };
    assert_eq!((extract.variable, extract.multiplier, extract.align), (0, 3, 4));
    assert!(extract.op.little_endian && extract.op.offset == Value::Number(-4));
    let Check::ByteTest(test) = checks[1] else { panic!("{checks:?}") };
    assert!(test.negated && test.value == Value::Number(128) && test.op.string == Some(16));
    assert_eq!(test.op.offset, Value::Variable(0));
    let Check::ByteJump(jump) = checks[2] else { panic!("{checks:?}") };
    assert!(jump.align && jump.base == JumpBase::End && jump.post_offset == Value::Number(-2));
    let Check::ByteMath(math) = checks[3] else { panic!("{checks:?}") };
    assert_eq!((math.operator, math.value, math.variable), (MathOp::ShiftLeft, Value::Variable(0), 1));
    assert_eq!(math.op.bitmask, Some(0x0ff0));
    assert_eq!(content(&checks[4]).place.within, Some(Value::Variable(1)));
    let Check::IsDataAt(at) = checks[5] else { panic!("{checks:?}") };
    assert!(at.negated && at.place == Value::Variable(0));
}

#[test]
fn sizes_and_what_is_not_there() {
    let rule = of("http.uri; bsize:3<>9; urilen:>5; http.cookie; absent:or_else; content:\"a\";");
    let uri = &inspect(&rule.conditions[0]).checks;
    assert_eq!(uri[..], [Check::Size(Size::Between(3, 9)), Check::Size(Size::Greater(Value::Number(5)))]);
    assert_eq!(inspect(&rule.conditions[1]).checks[0], Check::Absent(true));
    let rule = of("http.host; dataset:isnotset,seen,type string,load hosts.txt;");
    let Check::Dataset(set) = &inspect(&rule.conditions[0]).checks[0] else { panic!("no set") };
    assert_eq!((set.action, set.kind, set.initial.len()), (SetAction::IsNotSet, SetKind::String, 2));
    let rule = of("filemd5:!digests.txt;");
    assert!(matches!(&rule.conditions[0], Condition::FileHash(all, true) if all.len() == 1 && all[0].len() == 16));
}

#[test]
fn headers_of_packets() {
    let rule = of("flags:*SA,CE; fragbits:!D; ip_proto:!tcp; ttl:<5; dsize:10<>20; itype:8; stream_size:either,>=,9;");
    let Condition::Packet(PacketTest::TcpFlags(flags)) = &rule.conditions[0] else { panic!("no flags") };
    assert_eq!((flags.test, flags.bits, flags.ignored), (FlagsTest::Any, 0x12, 0xc0));
    let Condition::Packet(PacketTest::FragmentBits(bits)) = &rule.conditions[1] else { panic!("no bits") };
    assert_eq!((bits.test, bits.bits), (FlagsTest::None, 2));
    let number = |at: usize| match &rule.conditions[at] {
        Condition::Packet(PacketTest::Number(number, test)) => (*number, test.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(number(2), (Number::IpProtocol, NumberTest::NotEqual(6)));
    assert_eq!(number(3), (Number::Ttl, NumberTest::Less(5)));
    assert_eq!(number(4), (Number::PayloadSize, NumberTest::Between(10, 20)));
    assert_eq!(number(5), (Number::IcmpType, NumberTest::Equal(8)));
}

#[test]
fn what_is_remembered() {
    let rule =
        of("flowbits:isset,a|b; flowbits:set,c; flowint:n,+,1; flowint:n,>=,m; xbits:set,x,track ip_pair,expire 9; \
         xbits:isnotset,y,track ip_dst; hostbits:isset,h,dst; threshold:type both,track by_both,count 3,seconds 9;");
    assert!(matches!(&rule.conditions[0], Condition::Flowbits(bits) if bits.names.len() == 2));
    assert!(matches!(&rule.conditions[1], Condition::Flowint(one)
        if matches!(&one.op, FlowintOp::GreaterOrEqual(IntValue::Variable(name)) if &**name == "m")));
    assert!(
        matches!(&rule.conditions[2], Condition::Xbits(bits) if bits.action == BitAction::IsNotSet && bits.expire_s == 30)
    );
    assert!(matches!(&rule.conditions[3], Condition::Hostbits(bits) if bits.scope == BitScope::Destination));
    assert!(matches!(&rule.effects[0], Effect::Flowbits(bits) if bits.action == BitAction::Set));
    assert!(matches!(&rule.effects[1], Effect::Flowint(one) if one.op == FlowintOp::Add(IntValue::Number(1))));
    assert!(matches!(&rule.effects[2], Effect::Xbits(bits) if bits.scope == BitScope::Pair && bits.expire_s == 9));
    let threshold = rule.threshold.unwrap();
    assert_eq!((threshold.kind, threshold.track, threshold.count), (ThresholdKind::Both, Track::Both, 3));
    assert!(of("flowbits:noalert;").noalert);
    let backoff = of("threshold:type backoff,track by_flow,count 1,multiplier 10;").threshold.unwrap();
    assert_eq!(backoff.kind, ThresholdKind::Backoff { multiplier: 10 });
}

#[test]
fn protocols_follow_from_keywords() {
    for (header, options, apps) in [
        ("tcp", "http.uri; content:\"a\";", &[App::Http][..]),
        ("http1", "http.uri; content:\"a\";", &[App::Http1]),
        ("http", "http2.header_name; content:\"a\";", &[App::Http2]),
        ("ip", "app-layer-event:smtp.invalid_reply;", &[App::Smtp]),
        ("ip", "dns.opcode:0;", &[App::Dns, App::Doh2]),
        ("tcp", "content:\"a\";", &[]),
        ("ip", "app-layer-protocol:!tls;", &[]),
    ] {
        let rule = rule(&format!("alert {header} any any -> any any ({options} sid:1;)"));
        assert_eq!(&*rule.apps, apps, "{header} {options}");
    }
    // and so does the direction
    let rule = of("http.stat_code; content:\"200\";");
    assert!(rule.flow.to_client && !rule.flow.to_server);
    assert!(!of("http.header; content:\"200\";").flow.to_client);
}

#[test]
fn what_suricata_refuses_is_refused() {
    for options in [
        "content:\"abc\"; depth:2;",
        "content:\"a\"; offset:1; within:5;",
        "content:\"a\"; startswith; depth:5;",
        "content:\"a\"; nocase; nocase;",
        "content:!\"a\"; offset:1; fast_pattern;",
        "content:\"a\"; fast_pattern:only; content:\"b\"; fast_pattern;",
        "http.uri; content:\"a\"; http_header;",
        "content:\"a\"; rawbytes; bsize:5;",
        "flow:to_server,to_client;",
        "flow:established; flow:to_server;",
        "flow:to_server; http.stat_code; content:\"200\";",
        "http.uri; content:\"a\"; http.stat_code; content:\"200\";",
        "http.uri; content:\"abc\"; bsize:<3;",
        "http.uri;",
        "tls.sni; content:\"a\"; http.uri; content:\"b\";",
        "content:\"a\"; byte_test:9,>,1,0;",
        "byte_test:1,>,none,0;",
        "content:\"a\"; byte_extract:1,0,n; http.uri; content:\"a\"; distance:n;",
        "threshold:type limit,track by_src,count 1,seconds 1; detection_filter:track by_src,count 1,seconds 1;",
        "flowbits:set,a b;",
        "xbits:set,a;",
        "msg:unquoted;",
        "content:\"|4|\";",
        "pcre:\"/(/\";",
        "dsize:1; http.uri; content:\"a\";",
    ] {
        let text = format!("alert ip any any -> any any ({options} sid:1;)");
        let loaded = loaded(&text);
        assert!(loaded.rules.is_empty(), "{options}");
        assert_eq!(loaded.outcomes[0].sid, 1, "{options}");
    }
}

#[test]
fn relative_keywords_go_where_the_last_match_was() {
    let of_uri = of("content:\"id=\"; http_uri; byte_extract:1,0,len,relative,string,dec; isdataat:3,relative; \
                     content:\"end\"; http_uri; distance:len;");
    let [Condition::Inspect(inspect)] = &of_uri.conditions[..] else { panic!("{:?}", of_uri.conditions) };
    assert_eq!(inspect.selected, Selected::Buffer(Buffer::HttpUri));
    assert!(matches!(
        inspect.checks[..],
        [Check::Content(_), Check::ByteExtract(_), Check::IsDataAt(_), Check::Content(_)]
    ));
    assert_eq!(content(&inspect.checks[3]).place.distance, Some(Value::Variable(0)));
    // what counts from the start is about the payload
    let absolute = of("content:\"id=\"; http_uri; isdataat:3;");
    assert_eq!(places(&absolute).len(), 2);
}

#[test]
fn numbers_and_protocols_compared_in_other_ways() {
    let test = |options: &str| match &of(options).conditions[0] {
        Condition::Packet(PacketTest::Number(_, test)) => test.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(test("tos:&0xfc=0x10;"), NumberTest::Masked(0xfc, 0x10));
    assert_eq!(test("vlan.layers:>1;"), NumberTest::Greater(1));
    let id = |options: &str| match &of(options).conditions[0] {
        Condition::Packet(PacketTest::VlanId(layers, test)) => (*layers, test.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(id("vlan.id:200;"), (Layers::Any, NumberTest::Equal(200)));
    assert_eq!(id("vlan.id:!500,all;"), (Layers::All, NumberTest::NotEqual(500)));
    assert_eq!(id("vlan.id:0x12C,-1;"), (Layers::At(-1), NumberTest::Equal(300)));
    for (options, expected) in [
        ("app-layer-protocol:tls;", Condition::AppBy(None, App::Tls, false)),
        ("app-layer-protocol:!ssh,to_client;", Condition::AppBy(Some(Direction::ToClient), App::Ssh, true)),
        ("app-layer-protocol:!tls,either;", Condition::App(App::Tls, true)),
        ("app-layer-protocol:http2, final;", Condition::App(App::Http2, false)),
        ("app-layer-protocol:http1,original;", Condition::OriginalApp(App::Http1, false)),
    ] {
        assert_eq!(of(options).conditions, [expected], "{options}");
    }
    for refused in ["vlan.id:200,3;", "vlan.id:5000;", "app-layer-protocol:tls,sideways;", "ttl:&1=2;"] {
        let all = loaded(&format!("alert ip any any -> any any ({refused} sid:1;)"));
        assert!(all.rules.is_empty(), "{refused}");
    }
}

#[test]
fn another_size_is_the_size_of_something() {
    let sizes = |options: &str| -> Vec<NumberTest> {
        let size = |condition: &Condition| match condition {
            Condition::Packet(PacketTest::Number(Number::PayloadSize, test)) => test.clone(),
            other => panic!("{other:?}"),
        };
        of(options).conditions.iter().map(size).collect()
    };
    assert_eq!(sizes("dsize:!9;"), [NumberTest::NotEqual(9), NumberTest::Greater(0)]);
    assert_eq!(sizes("dsize:!0;"), [NumberTest::NotEqual(0)]);
    assert_eq!(sizes("dsize:<9;"), [NumberTest::Less(9)]);
}

#[test]
fn entropy_of_a_part() {
    for (text, expected) in [
        ("entropy: value > 4;", (0, 0, EntropyTest::Greater(4.0))),
        ("entropy: offset 10, value !4-5;", (10, 0, EntropyTest::NotBetween(4.0, 5.0))),
        ("entropy: bytes 64, value != 4;", (0, 64, EntropyTest::NotEqual(4.0))),
        ("entropy: value 4.5;", (0, 0, EntropyTest::Equal(4.5))),
    ] {
        let rule = of(&format!("file.data; {text}"));
        let Check::Entropy(entropy) = &inspect(&rule.conditions[0]).checks[0] else { panic!("{text}") };
        assert_eq!((entropy.offset, entropy.bytes, entropy.test), expected, "{text}");
    }
}
