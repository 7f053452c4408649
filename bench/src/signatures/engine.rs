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

/// A set, and what is asked of it.
struct Prepared {
    origin: &'static str,
    ready: Ready,
    with: Rules,
    /// By conversation, and by buffer, of which there are some.
    costs: Vec<(Vec<f64>, usize)>,
    speeds: Vec<Vec<f64>>,
}

/// Measures sets; in each round each of them in turn, so that what disturbs the machine disturbs all alike. `cases`: only what has one of
/// these in its name.
pub fn measure(sets: &[Set], rounds: usize, cases: &[String]) -> Result<Vec<Engine>> {
    let wanted = |name: &str| cases.is_empty() || cases.iter().any(|case| name.contains(case.as_str()));
    let mut conversations = vec![
        ("HTTP transaction", TURNS, Conversation::connection(80, &said::requests(TURNS))),
        ("short HTTP transaction", TURNS, Conversation::connection(80, &said::short_requests(TURNS))),
        ("HTTP connection of one transaction", 1, Conversation::connection(80, &said::requests(1))),
        ("DNS query", TURNS, Conversation::datagrams(53, &said::queries(TURNS))),
        ("TLS handshake", 1, Conversation::connection(443, &said::handshake())),
    ];
    conversations.retain(|(name, ..)| wanted(name));
    let mut shown: Vec<Shown> = STREAMS.into_iter().chain(BUFFERS).collect();
    shown.retain(|shown| wanted(shown.name()));
    let (text, sealed) = (said::text(LONGEST), said::sealed(LONGEST));
    let mut all = Vec::new();
    for set in sets {
        eprintln!("engine: {}", set.name());
        let ready = set.compile()?;
        let signatures = Signatures { ruleset: ready.ruleset.clone(), ..Signatures::default() };
        let with = Rules { signatures: Some(signatures), ..Rules::default() };
        let (costs, speeds) = (vec![Default::default(); conversations.len()], vec![Vec::new(); shown.len()]);
        all.push(Prepared { origin: set.origin, ready, with, costs, speeds });
    }
    let (without, mut none) = (Rules::default(), vec![Vec::new(); conversations.len()]);
    let (peers, mut judged) = (Peers::default(), Judged::default());
    for round in 0..=rounds {
        for (at, (_, count, conversation)) in conversations.iter().enumerate() {
            let mut time = |rules: &Rules| {
                let (seconds, times) = sample(|| _ = conversation.judge(rules, &peers, &mut judged));
                seconds * 1e6 / (times * count) as f64
            };
            // round 0 warms up
            for set in &mut all {
                set.costs[at].0.extend(Some(time(&set.with)).filter(|_| round > 0));
            }
            none[at].extend(Some(time(&without)).filter(|_| round > 0));
        }
        for (at, shown) in shown.iter().enumerate() {
            for set in &mut all {
                let mut asked = buffers::Asked::new(&set.ready.ruleset);
                let rate = match *shown {
                    Shown::Stream(_, port, "text") => rate(text.len(), || asked.stream(&text, port)),
                    Shown::Stream(_, port, _) => rate(sealed.len(), || asked.stream(&sealed, port)),
                    Shown::Buffer(buffer, len) => rate(len, || asked.buffer(buffer, &text[..len])),
                };
                set.speeds[at].extend(Some(rate).filter(|_| round > 0));
            }
        }
    }
    for set in &mut all {
        for (cost, (.., conversation)) in set.costs.iter_mut().zip(&conversations) {
            cost.1 = conversation.judge(&set.with, &peers, &mut judged);
        }
    }
    let engine = |set: Prepared| {
        let ruleset = &set.ready.ruleset;
        let costs = set.costs.into_iter().zip(&conversations).zip(&none);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Engine {
            origin: set.origin,
            rules: ruleset.rules().len(),
            refused: set.ready.refused,
            slow: ruleset.report().filter(|report| report.fast_pattern.is_none()).count(),
            read_ms: ms(set.ready.read),
            compile_ms: ms(set.ready.compiled),
            load_ms: ms(set.ready.all),
            matchers_mb: ruleset.footprint() as f64 / 1e6,
            costs: costs
                .map(|(((us, alerts), (name, ..)), none)| Cost {
                    name,
                    us: Spread::of(us),
                    without_us: Spread::of(none.clone()),
                    alerts,
                })
                .collect(),
            buffers: set.speeds.into_iter().zip(&shown).map(|(mb_s, shown)| shown.speed(Spread::of(mb_s))).collect(),
        }
    };
    Ok(all.into_iter().map(engine).collect())
}

/// Bytes of a stream.
const LONGEST: usize = 100 << 10;

/// What rules are shown with nothing else.
#[derive(Clone, Copy)]
enum Shown {
    /// To a port: `text` or `encrypted`.
    Stream(&'static str, u16, &'static str),
    /// So many bytes of text.
    Buffer(Buffer, usize),
}

const STREAMS: [Shown; 2] =
    [Shown::Stream("TCP stream to port 80", 80, "text"), Shown::Stream("TCP stream to port 443", 443, "encrypted")];

const BUFFERS: [Shown; 8] = [
    Shown::Buffer(Buffer::HttpUri, 64),
    Shown::Buffer(Buffer::HttpUserAgent, 80),
    Shown::Buffer(Buffer::HttpHeader, 400),
    Shown::Buffer(Buffer::HttpRequestBody, 4096),
    Shown::Buffer(Buffer::FileData, 16 << 10),
    Shown::Buffer(Buffer::DnsQuery, 32),
    Shown::Buffer(Buffer::TlsSni, 32),
    Shown::Buffer(Buffer::TlsCerts, 1024),
];

impl Shown {
    const fn name(self) -> &'static str {
        match self {
            Self::Stream(name, ..) => name,
            Self::Buffer(buffer, _) => buffer.name(),
        }
    }

    const fn speed(self, mb_s: Spread) -> Speed {
        let (holds, bytes) = match self {
            Self::Stream(_, _, holds) => (holds, LONGEST),
            Self::Buffer(_, bytes) => ("text", bytes),
        };
        Speed { buffer: self.name(), holds, bytes, mb_s }
    }
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
