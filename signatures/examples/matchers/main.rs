//! Compares multi-pattern matchers on the fast patterns of rules: the engine's own, and those of `aho-corasick` and `daachorse`.
//!
//!     cargo run --release -p dropgate-signatures --example matchers -- RULES... --data FILE...
//!
//! With `--features vectorscan` that one too, whose library must be installed.
//!
//! Bytes come in segments of 1448. All of them tell every hit, with letters of either case alike. Times are of this thread.

#[cfg(feature = "vectorscan")]
mod vectorscan;

use std::{env, fs, hint::black_box, time::Duration};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use daachorse::DoubleArrayAhoCorasickBuilder;
use dropgate_signatures::{
    engine::{Matcher, Pattern, Ruleset, Scanned},
    load::{File, Options, Variables, load},
};

const SEGMENT: usize = 1448;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let at = arguments.iter().position(|argument| argument == "--data").unwrap_or(arguments.len());
    let read = |names: &[String]| -> Vec<(String, Vec<u8>)> {
        names.iter().filter_map(|name| fs::read(name).ok().map(|bytes| (name.clone(), bytes))).collect()
    };
    let (rules, data) = (read(&arguments[..at]), read(arguments.get(at + 1..).unwrap_or_default()));
    let files: Vec<File<'_>> = rules.iter().map(|(name, bytes)| File { name, bytes }).collect();
    let options = Options {
        variables: Variables::default(),
        classification: None,
        references: None,
        thresholds: None,
        read: &|_, name| Err(format!("`{name}` is not read here")),
    };
    let ruleset = Ruleset::compile(load(&files, &options).rules);
    for kinds in [&["app_tx"][..], &["stream", "pkt_stream", "pkt"][..]] {
        let patterns: Vec<Vec<u8>> = ruleset
            .report()
            .filter(|report| kinds.contains(&report.kind.name()))
            .filter_map(|report| report.fast_pattern)
            .collect();
        println!("{} fast patterns of {}", patterns.len(), kinds.join(", "));
        compare(&patterns, &data);
    }
}

fn compare(patterns: &[Vec<u8>], data: &[(String, Vec<u8>)]) {
    let made: Vec<Pattern> = (0..)
        .zip(patterns)
        .map(|(rule, bytes)| Pattern { rule, bytes: bytes.as_slice().into(), nocase: true, ends: (0, u64::MAX), of: 2 })
        .collect();
    let start = busy();
    let Some(grams) = Matcher::new(&made) else { return };
    measure("grams", start, grams.footprint(), data, |bytes, hits| {
        grams.scan(bytes, 0, 0, Scanned::Stream, |rule, end, _| hits(rule as usize, end as usize));
    });
    let kinds = [("aho-corasick, NFA", AhoCorasickKind::ContiguousNFA), ("aho-corasick, DFA", AhoCorasickKind::DFA)];
    for (name, kind) in kinds {
        let start = busy();
        let built = AhoCorasick::builder()
            .kind(Some(kind))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(patterns);
        let Ok(built) = built else { continue };
        measure(name, start, built.memory_usage(), data, |bytes, hits| {
            built.find_overlapping_iter(bytes).for_each(|found| hits(found.pattern().as_usize(), found.end()));
        });
    }
    let start = busy();
    let mut folded: Vec<(Vec<u8>, u32)> =
        patterns.iter().map(|bytes| bytes.to_ascii_lowercase()).zip(0_u32..).collect();
    folded.sort();
    folded.dedup_by(|a, b| a.0 == b.0);
    let Ok(built) = DoubleArrayAhoCorasickBuilder::new().build_with_values(folded) else { return };
    measure("daachorse", start, built.heap_bytes(), data, |bytes, hits| {
        let folded = bytes.iter().map(u8::to_ascii_lowercase);
        built.find_overlapping_iter_from_iter(folded).for_each(|found| hits(found.value() as usize, found.end()));
    });
    #[cfg(feature = "vectorscan")]
    {
        let start = busy();
        match vectorscan::Literals::new(patterns) {
            Ok(built) => measure("vectorscan", start, built.footprint(), data, |bytes, hits| built.scan(bytes, hits)),
            Err(said) => println!("  vectorscan: {said}"),
        }
    }
}

fn measure(
    name: &str,
    start: Duration,
    footprint: usize,
    data: &[(String, Vec<u8>)],
    scan: impl Fn(&[u8], &mut dyn FnMut(usize, usize)),
) {
    println!("  {name}: built in {:.0?}, {} KB", busy() - start, footprint >> 10);
    for (of, bytes) in data {
        let (start, mut times, mut count) = (busy(), 0, 0_usize);
        while times < 2 || busy() - start < Duration::from_millis(300) {
            count = 0;
            for segment in bytes.chunks(SEGMENT) {
                scan(segment, &mut |rule, end| {
                    black_box((rule, end));
                    count += 1;
                });
            }
            times += 1;
        }
        let seconds = (busy() - start).as_secs_f64();
        println!("    {of}: {:.0} MB/s, {count} hits", (bytes.len() * times) as f64 / seconds / 1e6);
    }
}

/// Time that this thread has run.
fn busy() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(times.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0))
}
