//! The engine without a gateway: what conversations cost through parsers and rules, and bytes a second by buffer. Times are of
//! the thread, so that others on the machine count for little.

use std::time::Duration;

use anyhow::Result;
use dropgate::inspect::{Judged, Peers, Rules, Signatures};
use dropgate_signatures::buffer::Buffer;
use serde::Serialize;

use super::{
    buffers,
    conversation::Conversation,
    said,
    set::{Ready, Set},
};
use crate::{cpu, stats::Spread};

/// A sample takes at least so long.
const SAMPLE: Duration = Duration::from_millis(40);

/// What conversations and buffers cost with one set.
#[derive(Clone, Debug, Serialize)]
pub struct Engine {
    pub origin: &'static str,
    pub rules: usize,
    pub refused: usize,
    /// Without what they are found by: asked about every time.
    pub slow: usize,
    /// From text, ms: time of the thread for reading and for compiling, and both by the clock.
    pub read_ms: f64,
    pub compile_ms: f64,
    pub load_ms: f64,
    pub matchers_mb: f64,
    pub costs: Vec<Cost>,
    pub buffers: Vec<Speed>,
}

/// What one transaction costs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub name: &'static str,
    /// With rules, us.
    pub us: Spread,
    /// The same without: identification alone.
    pub without_us: Spread,
    pub alerts: usize,
}

/// How fast a buffer is looked through.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    pub buffer: &'static str,
    /// What it holds: `text` or `encrypted`, and how many bytes come at once.
    pub holds: &'static str,
    pub bytes: usize,
    pub mb_s: Spread,
}

/// Transactions in one connection or flow.
const TURNS: usize = 50;

/// Measures a set.
pub fn measure(set: &Set, rounds: usize, cases: &[String]) -> Result<Engine> {
    let wanted = |name: &str| cases.is_empty() || cases.iter().any(|case| name.contains(case.as_str()));
    let Ready { ruleset, read, compiled, all, refused } = set.compile()?;
    let slow = ruleset.report().filter(|report| report.fast_pattern.is_none()).count();
    let signatures = Signatures { ruleset: ruleset.clone(), ..Signatures::default() };
    let (with, without) = (Rules { signatures: Some(signatures), ..Rules::default() }, Rules::default());
    let conversations = [
        ("HTTP transaction", TURNS, Conversation::connection(80, &said::requests(TURNS))),
        ("short HTTP transaction", TURNS, Conversation::connection(80, &said::short_requests(TURNS))),
        ("HTTP connection of one transaction", 1, Conversation::connection(80, &said::requests(1))),
        ("DNS query", TURNS, Conversation::datagrams(53, &said::queries(TURNS))),
        ("TLS handshake", 1, Conversation::connection(443, &said::handshake())),
    ];
    let (peers, mut judged) = (Peers::default(), Judged::default());
    let mut costs = Vec::new();
    for (name, count, conversation) in conversations.iter().filter(|(name, ..)| wanted(name)) {
        let alerts = conversation.judge(&with, &peers, &mut judged);
        let mut time = |rules: &Rules| {
            let samples = (0..rounds).map(|_| {
                let (seconds, times) = sample(|| _ = conversation.judge(rules, &peers, &mut judged));
                seconds * 1e6 / (times * count) as f64
            });
            Spread::of(samples.collect())
        };
        costs.push(Cost { name, us: time(&with), without_us: time(&without), alerts });
    }
    let (text, sealed) = (said::text(100 << 10), said::sealed(100 << 10));
    let mut speeds = Vec::new();
    for (name, holds, data, port) in
        [("TCP stream to port 80", "text", &text, 80), ("TCP stream to port 443", "encrypted", &sealed, 443)]
            .into_iter()
            .filter(|(name, ..)| wanted(name))
    {
        let mut asked = buffers::Asked::new(&ruleset);
        let samples = (0..rounds).map(|_| rate(data.len(), || asked.stream(data, port)));
        let mb_s = Spread::of(samples.collect());
        speeds.push(Speed { buffer: name, holds, bytes: data.len(), mb_s });
    }
    for (buffer, len) in [
        (Buffer::HttpUri, 64),
        (Buffer::HttpUserAgent, 80),
        (Buffer::HttpHeader, 400),
        (Buffer::HttpRequestBody, 4096),
        (Buffer::FileData, 16 << 10),
        (Buffer::DnsQuery, 32),
        (Buffer::TlsSni, 32),
        (Buffer::TlsCerts, 1024),
    ]
    .into_iter()
    .filter(|(buffer, _)| wanted(buffer.name()))
    {
        let mut asked = buffers::Asked::new(&ruleset);
        let samples = (0..rounds).map(|_| rate(len, || asked.buffer(buffer, &text[..len])));
        let mb_s = Spread::of(samples.collect());
        speeds.push(Speed { buffer: buffer.name(), holds: "text", bytes: len, mb_s });
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Engine {
        origin: set.origin,
        rules: ruleset.rules().len(),
        refused,
        slow,
        read_ms: ms(read),
        compile_ms: ms(compiled),
        load_ms: ms(all),
        matchers_mb: ruleset.footprint() as f64 / 1e6,
        costs,
        buffers: speeds,
    })
}

/// MB a second.
fn rate(bytes: usize, run: impl FnMut()) -> f64 {
    let (seconds, times) = sample(run);
    (bytes * times) as f64 / seconds / 1e6
}

/// Runs something until that has taken long enough to be told: seconds, and how many times.
fn sample(mut run: impl FnMut()) -> (f64, usize) {
    let (start, mut times) = (cpu::thread(), 0);
    loop {
        run();
        times += 1;
        let took = cpu::thread() - start;
        if took >= SAMPLE {
            return (took.as_secs_f64(), times);
        }
    }
}
