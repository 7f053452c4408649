//! Files of many and of large rules, and files that are none.

use std::time::{Duration, Instant};

use dropgate_signatures::load::{File, Loaded, Options, Variables, load};
use proptest::prelude::*;

fn loaded(bytes: &[u8]) -> Loaded {
    let options = Options {
        variables: Variables::default(),
        classification: None,
        references: None,
        thresholds: None,
        read: &|_, _| Err("nothing is read here".to_owned()),
    };
    load(&[File { name: "test.rules", bytes }], &options)
}

#[test]
fn mistakes_are_shown_up_to_a_number_and_all_told_by_rule() {
    let text = "alert tcp any any -> any any (nonsense; sid:1;)\n".repeat(1500);
    let loaded = loaded(text.as_bytes());
    assert_eq!(loaded.outcomes.iter().filter(|outcome| outcome.refused.is_some()).count(), 1500);
    assert_eq!(loaded.diagnostics.len(), 1001);
    assert_eq!(loaded.diagnostics[1000].code, "DG249");
    let text: String =
        (1..=1500).map(|sid| format!("alert tcp any any -> any any (content:\"a\"; sid:{sid};)\n")).collect();
    let loaded = self::loaded(text.as_bytes());
    assert_eq!(loaded.rules.len(), 1500);
    assert_eq!(loaded.diagnostics.last().unwrap().code, "DG299");
}

#[test]
fn a_rule_has_bounds() {
    for text in [
        format!("alert tcp any any -> any any (msg:\"{}\"; sid:1;)", "x".repeat(70_000)),
        format!("alert tcp any any -> any any ({} sid:1;)", "content:\"abc\"; ".repeat(3_000)),
        format!("alert tcp any any -> any any ({} sid:1;)", "noalert; flags:S; ".repeat(2_500)),
    ] {
        let loaded = loaded(text.as_bytes());
        assert_eq!(loaded.diagnostics[0].code, "DG222", "{}", loaded.diagnostics[0].message);
        assert!(loaded.rules.is_empty());
        assert_eq!(loaded.outcomes.len(), 1);
    }
}

/// Lists of lists of lists, and variables in one another, cost what their text is long.
#[test]
fn headers_have_bounds() {
    let mut variables = Variables::default();
    variables.set("V0", "[10.0.0.1,10.0.0.2]");
    for depth in 1..40 {
        variables.set(&format!("V{depth}"), &format!("[$V{0},$V{0}]", depth - 1));
    }
    let start = Instant::now();
    assert!(variables.addresses_of("$V39").is_err());
    assert!(variables.addresses_of("$V25").is_err());
    assert!(variables.addresses_of("$V3").is_ok());
    let deep = format!("{}1.1.1.1{}", "[".repeat(30_000), "]".repeat(30_000));
    let loaded = loaded(format!("alert tcp {deep} any -> any any (sid:1;)").as_bytes());
    assert!(loaded.rules.is_empty());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// What rules cost to read grows with their number and not with its square. `cargo run --release -- rules` on tens of thousands
/// shows the figure itself.
#[test]
fn rules_cost_what_they_are_many() {
    let rule = |sid: u32| {
        format!(
            "alert http $HOME_NET any -> $EXTERNAL_NET $HTTP_PORTS (msg:\"rule {sid}\"; flow:established,to_server; \
             http.method; content:\"POST\"; http.uri; content:\"/gate{sid}.php?id=\"; fast_pattern; startswith; \
             http.header_names; content:!\"Referer\"; reference:url,example.com/{sid}; classtype:trojan-activity; \
             sid:{sid}; rev:2; metadata:created_at 2024_01_01, mitre_technique_id T1071;)\n"
        )
    };
    let text: String = (1..=8_000).map(rule).collect();
    let time = |text: &str, rules: usize| {
        let start = Instant::now();
        assert_eq!(loaded(text.as_bytes()).rules.len(), rules);
        start.elapsed()
    };
    let few = &text[..text.match_indices('\n').nth(999).unwrap().0 + 1];
    let best = (0..3).map(|_| time(few, 1_000)).min().unwrap();
    let all = (0..3).map(|_| time(&text, 8_000)).min().unwrap();
    assert!(all < 24 * best, "{best:?} for 1,000, {all:?} for 8,000");
}

proptest! {
    #[test]
    fn no_bytes_stop_anything(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        loaded(&bytes);
    }

    /// Every option of a rule that has many, cut off, doubled and mixed: rules are loaded or told of, each once.
    #[test]
    fn mixed_options_are_loaded_or_told_of(picks in proptest::collection::vec((0..PARTS.len(), 0_usize..60), 1..12)) {
        let options: String = picks.iter().map(|(part, cut)| &PARTS[*part][..PARTS[*part].len().min(*cut + 4)]).collect();
        let text = format!("alert http any any -> any any ({options} sid:1;)\n");
        let loaded = loaded(text.as_bytes());
        prop_assert_eq!(loaded.outcomes.len(), 1);
        let refused = loaded.outcomes[0].refused.is_some();
        prop_assert_eq!(refused, loaded.rules.is_empty(), "{}", text);
        prop_assert_eq!(refused, loaded.diagnostics.iter().any(|one| one.is_error()), "{}", text);
    }
}

const PARTS: &[&str] = &[
    "content:\"abc|00 ff|\"; ",
    "content:!\"x\\;y\"; ",
    "nocase; ",
    "depth:10; ",
    "within:20; distance:-2; ",
    "http.uri; ",
    "http.stat_code; ",
    "http_header; ",
    "to_md5; ",
    "pkt_data; ",
    "fast_pattern; ",
    "pcre:\"/a(b+)c/Ri\"; ",
    "byte_extract:2,0,len,relative; ",
    "byte_test:2,>,len,0,relative; ",
    "byte_math:bytes 2, offset 0, oper +, rvalue 3, result sum; ",
    "isdataat:!1,relative; ",
    "bsize:10<>20; ",
    "urilen:<100,raw; ",
    "flow:established,to_server; ",
    "flowbits:set,a; ",
    "flowint:a,+,1; ",
    "xbits:set,b,track ip_src,expire 10; ",
    "threshold:type limit,track by_src,count 1,seconds 60; ",
    "dataset:set,names,type string; ",
    "absent:or_else; ",
    "base64_decode:bytes 10,relative; base64_data; ",
    "metadata:a b, c d; ",
    "dns.opcode:!3; ",
    "ttl:<10; dsize:5; ",
    "app-layer-event:http.missing_host_header; ",
];
