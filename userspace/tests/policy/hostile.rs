//! Input that nobody wrote in good faith: an answer, in bounded time and memory, and no panic.

use std::{path::Path, time::Instant};

use dropgate::policy::{self, Environment, Source, diagnostic::MAX_DIAGNOSTICS};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::reference::example;

fn answer(text: &str) {
    let (policy, diagnostics) = policy::parse(Source::new("hostile.toml", text), Path::new("/nonexistent"));
    assert!(policy.is_some() || !diagnostics.is_empty());
    if let Some(policy) = policy {
        policy::analysis::analyse(&policy, &Environment::synthetic(&policy));
    }
    assert!(diagnostics.len() <= MAX_DIAGNOSTICS + 1);
    let rendered = policy::render(&diagnostics, false);
    assert!(rendered.len() < diagnostics.len() * 8192 + 1);
    assert!(!rendered.contains('\u{1b}'));
    serde_json::to_string(&diagnostics).unwrap();
}

#[test]
fn shapes_that_grow() {
    let mega = 1 << 20;
    let cases = [
        ("nothing but brackets", "[".repeat(mega)),
        ("a deep array", format!("a = {}", "[".repeat(mega))),
        ("a deep inline table", format!("a = {}", "{a=".repeat(mega))),
        ("a deep dotted key", format!("{}a = 1", "a.".repeat(mega))),
        ("a deep header", format!("[{}a]", "a.".repeat(mega))),
        ("many mistakes", "=\n".repeat(mega)),
        ("the same table many times", "[a]\n".repeat(mega / 2)),
        ("one long line", format!("a = \"{}\"", "x".repeat(mega))),
        ("a long key", format!("{} = 1", "k".repeat(mega))),
        ("one line of many ports", format!("[zone.a]\negress = [{{tcp = [{}]}}]", "0,".repeat(mega))),
        (
            "many zones in one line",
            format!("zone = {{{}}}", (0..50_000).map(|n| format!("z{n}={{}},")).collect::<String>()),
        ),
        ("many services in one line", format!("self = {{egress = [{}]}}", "{name=\"a\",tcp=1},".repeat(50_000))),
        ("carriage returns", "[gateway]\r\nkind = \"x\"\r\n".to_owned()),
        (
            "a name with an escape, near another one",
            "[lists]\n\"b\\u001bad\" = \"bad.txt\"\n[blocklist]\nfrom = [\"@bad\"]\n".to_owned(),
        ),
        ("a byte order mark", "\u{feff}[gateway]\nkind = 1".to_owned()),
        ("control characters", "[gateway]\nkind = \"\u{1b}[31m\"\n\"\u{7f}\u{9b}\" = 1".to_owned()),
    ];
    for (name, text) in cases {
        let started = Instant::now();
        answer(&text);
        println!("{name}: {:?}", started.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        answer(&text);
    }

    /// The example with pieces of it taken out, doubled or replaced.
    #[test]
    fn a_damaged_policy(damage in vec((any::<Index>(), any::<Index>(), 0..4u8, any::<char>()), 1..6)) {
        let mut text: Vec<char> = example().chars().collect();
        for (from, length, kind, other) in damage {
            let at = from.index(text.len());
            let end = (at + length.index(40)).min(text.len());
            match kind {
                0 => drop(text.drain(at..end)),
                1 => {
                    let piece = text[at..end].to_vec();
                    text.splice(at..at, piece);
                }
                2 => text.insert(at, other),
                _ => text[at] = other,
            }
            text.push('\n');
        }
        answer(&text.into_iter().collect::<String>());
    }
}
