//! Times rules: reading, compiling, and asking them about what some files hold, each said as one TCP connection and as one
//! HTTP body. Times are of this thread, so that others on the machine do not count.
//!
//!     cargo run --release -p dropgate-signatures --example measure -- RULES... [--data FILE...]

use std::{borrow::Cow, env, fs, time::Duration};

use dropgate_signatures::{
    buffer::Buffer,
    engine::{FlowState, Outcome, Ruleset, Scratch, Shared},
    load::{File, Options, Variables, load},
    protocol::App,
    subject::{Data, Direction, Field, Flow, Packet, Stream, Subject, Transaction},
};

/// Bytes of a segment.
const SEGMENT: usize = 1448;

/// A body that grows.
struct Body<'a> {
    said: &'a [u8],
    revision: u32,
    complete: bool,
}

impl Transaction for Body<'_> {
    fn id(&self) -> u64 {
        0
    }

    fn app(&self) -> App {
        App::Http1
    }

    fn revision(&self, direction: Direction) -> u32 {
        if direction == Direction::ToClient { self.revision } else { 1 }
    }

    fn is_complete(&self, direction: Direction) -> bool {
        direction == Direction::ToServer || self.complete
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        match (buffer, direction, instance) {
            (Buffer::FileData | Buffer::HttpResponseBody, Direction::ToClient, 0) => {
                Field::Part(Data { bytes: Cow::Borrowed(self.said) })
            }
            (Buffer::HttpStatCode, Direction::ToClient, 0) => Field::whole(b"200"),
            (Buffer::HttpMethod, Direction::ToServer, 0) => Field::whole(b"GET"),
            (Buffer::HttpUri, Direction::ToServer, 0) => Field::whole(b"/index.html"),
            (Buffer::HttpHost, Direction::ToServer, 0) => Field::whole(b"www.example.com"),
            _ => Field::Absent,
        }
    }

    fn events(&self) -> &[&'static str] {
        &[]
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (rules, data) = match arguments.iter().position(|argument| argument == "--data") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (&arguments[..], &[][..]),
    };
    let read: Vec<(String, Vec<u8>)> =
        rules.iter().filter_map(|name| fs::read(name).ok().map(|bytes| (name.clone(), bytes))).collect();
    let files: Vec<File<'_>> = read.iter().map(|(name, bytes)| File { name, bytes }).collect();
    let options = Options {
        variables: Variables::default(),
        classification: None,
        references: None,
        thresholds: None,
        read: &|_, name| Err(format!("`{name}` is not read here")),
    };
    let start = busy();
    let loaded = load(&files, &options);
    let reading = busy() - start;
    let count = loaded.rules.len();
    let before = resident();
    let start = busy();
    let ruleset = Ruleset::compile(loaded.rules);
    let compiling = busy() - start;
    let slow = ruleset.report().filter(|report| report.fast_pattern.is_none()).count();
    println!("{count} rules read in {reading:.2?}, compiled in {compiling:.2?}; {slow} without a fast pattern");
    println!(
        "matchers {} MB, compiling added {} MB, resident {} MB",
        ruleset.footprint() >> 20,
        (resident() - before) >> 20,
        resident() >> 20
    );
    let mut kinds = std::collections::BTreeMap::<_, (usize, usize)>::new();
    for report in ruleset.report() {
        let (all, without) = kinds.entry(report.kind.name()).or_default();
        *all += 1;
        *without += usize::from(report.fast_pattern.is_none());
    }
    for (kind, (all, without)) in kinds {
        println!("{kind:14} {all:6}, {without:5} without a fast pattern");
    }
    let (shared, mut scratch, mut out) = (Shared::default(), Scratch::default(), Outcome::default());
    for name in data {
        let Ok(bytes) = fs::read(name) else { continue };
        for port in [80, 443, 25] {
            report(name, &format!("stream to {port}"), bytes.len(), || {
                stream(&ruleset, &bytes, port, &shared, &mut scratch, &mut out)
            });
        }
        let bytes = &bytes[..bytes.len().min(100 << 10)];
        report(name, "body", bytes.len(), || body(&ruleset, bytes, &shared, &mut scratch, &mut out));
    }
}

/// Times something until it has taken long enough to be told.
fn report(name: &str, how: &str, bytes: usize, mut ask: impl FnMut() -> usize) {
    let (start, mut times, mut alerts) = (busy(), 0, 0);
    while times < 2 || busy() - start < Duration::from_millis(300) {
        alerts = ask();
        times += 1;
    }
    let seconds = (busy() - start).as_secs_f64();
    println!("{name} as {how}: {:.1} MB/s, {alerts} alerts", (bytes * times) as f64 / seconds / 1e6);
}

fn packet(direction: Direction, port: u16, payload: &[u8]) -> Packet<'_> {
    let (client, server) = ([192, 168, 0, 1].into(), [198, 51, 100, 1].into());
    let to_server = direction == Direction::ToServer;
    Packet {
        direction,
        source: if to_server { client } else { server },
        destination: if to_server { server } else { client },
        protocol: 6,
        source_port: if to_server { 40_000 } else { port },
        destination_port: if to_server { port } else { 40_000 },
        network: &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        transport: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0],
        payload,
        vlan: [0; 2],
        cut: false,
        events: &[],
    }
}

fn flow(app: App) -> Flow {
    Flow {
        established: true,
        app,
        original_app: None,
        mismatch: None,
        packets: [9, 9],
        bytes: [9, 9],
        said: [9, 9],
        age_s: 0,
    }
}

fn stream(
    ruleset: &Ruleset,
    bytes: &[u8],
    port: u16,
    shared: &Shared,
    scratch: &mut Scratch,
    out: &mut Outcome,
) -> usize {
    let (mut state, mut alerts) = (FlowState::default(), 0);
    for (number, segment) in bytes.chunks(SEGMENT).enumerate() {
        let end = number * SEGMENT + segment.len();
        let start = (number * SEGMENT).saturating_sub(8 << 10);
        let subject = Subject {
            now_ns: number as u64,
            packet: packet(Direction::ToServer, port, segment),
            flow: Some(flow(App::Failed)),
            stream: Some(Stream { bytes: &bytes[start..end], offset: start as u64, new: segment.len(), ended: false }),
            transactions: &[],
        };
        ruleset.inspect(&subject, &mut state, shared, scratch, out);
        alerts += out.alerts.len();
    }
    alerts
}

fn body(ruleset: &Ruleset, bytes: &[u8], shared: &Shared, scratch: &mut Scratch, out: &mut Outcome) -> usize {
    let (mut state, mut alerts) = (FlowState::default(), 0);
    for (number, segment) in bytes.chunks(SEGMENT).enumerate() {
        let end = number * SEGMENT + segment.len();
        let of = Body { said: &bytes[..end], revision: number as u32 + 1, complete: end == bytes.len() };
        let subject = Subject {
            now_ns: number as u64,
            packet: packet(Direction::ToClient, 80, b""),
            flow: Some(flow(App::Http1)),
            stream: None,
            transactions: &[&of],
        };
        ruleset.inspect(&subject, &mut state, shared, scratch, out);
        alerts += out.alerts.len();
    }
    alerts
}

/// Time that this thread has run.
fn busy() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(times.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0))
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).map_or(0, |pages| pages * 4096)
}
