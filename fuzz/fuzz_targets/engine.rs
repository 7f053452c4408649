//! Rules of any contents against any bytes, in a stream that is cut anywhere: what matches is what a search by hand finds, of the
//! matcher alone and of the engine.
#![no_main]

use std::collections::BTreeSet;

use dropgate_signatures::{
    engine::{FlowState, Matcher, Outcome, Pattern, Ruleset, Scanned, Scratch, Shared},
    load::{File, Options, Variables, load},
    protocol::App,
    subject::{Direction, Flow, Packet, Stream, Subject},
};

/// A content, and where it may stand.
struct Content<'a> {
    bytes: &'a [u8],
    nocase: bool,
    place: Place,
}

enum Place {
    Anywhere,
    /// `offset` and `depth`: bytes from the first, and of those behind it.
    Absolute(usize, usize),
    /// `distance` and `within` from the end of the one before.
    Relative(usize, usize),
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let mut take = |most: usize| {
        let (taken, left) = rest.split_at(most.min(rest.len()));
        rest = left;
        taken
    };
    let number = |taken: &[u8]| usize::from(taken.first().copied().unwrap_or(0));
    let mut rules: Vec<Vec<Content<'_>>> = Vec::new();
    for _ in 0..number(take(1)) % 6 + 1 {
        let mut contents: Vec<Content<'_>> = Vec::new();
        for _ in 0..number(take(1)) % 3 + 1 {
            let how = number(take(1));
            let bytes = take(how % 40 + 1);
            if bytes.is_empty() {
                break;
            }
            let (near, far) = (number(take(1)) % 24, number(take(1)) % 64);
            let place = match how / 40 % 3 {
                1 => Place::Absolute(near, bytes.len() + far),
                2 if !contents.is_empty() => Place::Relative(near, bytes.len() + far),
                _ => Place::Anywhere,
            };
            contents.push(Content { bytes, nocase: how / 120 != 0, place });
        }
        if !contents.is_empty() {
            rules.push(contents);
        }
    }
    let cuts = take(4).to_vec();
    let parts = cut(rest, &cuts);
    matcher(&rules, &parts);
    engine(&rules, &parts);
});

/// Each rule's first content is found where it ends, and nowhere else.
fn matcher(rules: &[Vec<Content<'_>>], parts: &[&[u8]]) {
    let pattern = |(rule, contents): (u32, &Vec<Content<'_>>)| Pattern {
        rule,
        bytes: contents[0].bytes.into(),
        nocase: contents[0].nocase,
        ends: (0, u64::MAX),
        of: 2,
    };
    let patterns: Vec<Pattern> = (0..).zip(rules).map(pattern).collect();
    let Some(matcher) = Matcher::new(&patterns) else { return };
    let mut said = Vec::new();
    for part in parts {
        let from = said.len();
        said.extend_from_slice(part);
        let mut found = BTreeSet::new();
        matcher.scan(&said, from, 0, Scanned::Stream, |rule, _, _| _ = found.insert(rule));
        for pattern in &patterns {
            // beyond so many bytes patterns are not compared here
            let bytes = &pattern.bytes[..pattern.bytes.len().min(32)];
            let there = (bytes.len()..=said.len())
                .any(|end| end > from && is(bytes, pattern.nocase, &said[end - bytes.len()..end]));
            assert_eq!(found.contains(&pattern.rule), there, "{pattern:?} in {said:?} from {from}");
        }
    }
}

/// The rules that match a stream are those whose contents stand in it.
fn engine(rules: &[Vec<Content<'_>>], parts: &[&[u8]]) {
    let text: String = (1..).zip(rules).map(|(sid, contents)| rule(sid, contents)).collect();
    let options = Options {
        variables: Variables::default(),
        classification: None,
        references: None,
        thresholds: None,
        read: &|_, _| Ok(Vec::new()),
    };
    let loaded = load(&[File { name: "fuzz.rules", bytes: text.as_bytes() }], &options);
    let sound: BTreeSet<u32> = loaded.rules.iter().map(|rule| rule.sid).collect();
    let ruleset = Ruleset::compile(loaded.rules);
    let (shared, mut state) = (Shared::default(), FlowState::default());
    let (mut scratch, mut out) = (Scratch::default(), Outcome::default());
    let (mut said, mut alerts) = (Vec::new(), BTreeSet::new());
    for part in parts {
        said.extend_from_slice(part);
        let stream = Stream { bytes: &said, offset: 0, new: part.len(), ended: false };
        let subject =
            Subject { now_ns: 1, packet: packet(part), flow: Some(FLOW), stream: Some(stream), transactions: &[] };
        ruleset.inspect(&subject, &mut state, &shared, &mut scratch, &mut out);
        assert!(out.limited.is_empty(), "these are few steps");
        alerts.extend(out.alerts.iter().map(|alert| alert.rule.sid));
    }
    let expected = (1..).zip(rules).filter(|(sid, contents)| sound.contains(sid) && stands(contents, &said, 0));
    let expected: BTreeSet<u32> = expected.map(|(sid, _)| sid).collect();
    assert_eq!(alerts, expected, "{text}{parts:?}");
}

fn rule(sid: u32, contents: &[Content<'_>]) -> String {
    let mut text = format!("alert tcp-stream any any -> any any (msg:\"{sid}\"; ");
    for content in contents {
        let bytes: Vec<String> = content.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("content:\"|{}|\"; ", bytes.join(" "));
        text += if content.nocase { "nocase; " } else { "" };
        text += &match content.place {
            Place::Anywhere => String::new(),
            Place::Absolute(offset, depth) => format!("offset:{offset}; depth:{depth}; "),
            Place::Relative(distance, within) => format!("distance:{distance}; within:{within}; "),
        };
    }
    text + &format!("sid:{sid};)\n")
}

/// Whether contents stand in a text, each where it may: every place of each is tried.
fn stands(contents: &[Content<'_>], text: &[u8], last: usize) -> bool {
    let Some((first, rest)) = contents.split_first() else { return true };
    let (from, to) = match first.place {
        Place::Anywhere => (0, text.len()),
        Place::Absolute(offset, depth) => (offset, offset + depth),
        Place::Relative(distance, within) => (last + distance, last + within),
    };
    let len = first.bytes.len();
    (from + len..=to.min(text.len()))
        .any(|end| is(first.bytes, first.nocase, &text[end - len..end]) && stands(rest, text, end))
}

fn is(bytes: &[u8], nocase: bool, here: &[u8]) -> bool {
    here == bytes || nocase && here.eq_ignore_ascii_case(bytes)
}

fn cut<'a>(text: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % (text.len() + 1)).collect();
    ends.extend([0, text.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|pair| &text[pair[0]..pair[1]]).filter(|part| !part.is_empty()).collect()
}

const FLOW: Flow =
    Flow { established: true, app: App::Failed, original_app: None, mismatch: None, packets: [3, 2], bytes: [1, 1], said: [1, 1], age_s: 0 };

fn packet(payload: &[u8]) -> Packet<'_> {
    Packet {
        direction: Direction::ToServer,
        source: [192, 0, 2, 1].into(),
        destination: [198, 51, 100, 1].into(),
        protocol: 6,
        source_port: 40_000,
        destination_port: 7777,
        network: &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        transport: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0],
        payload,
        vlan: [0; 2],
        cut: false,
        events: &[],
    }
}
