//! Rules are asked about what a flow says, packet by packet, and what is to be told of it is gathered.

use std::sync::Arc;

use dropgate_abi::{hold::Held, reason::Reason, walk::Walk};
use dropgate_signatures::{
    engine::{Alert, Explained, FlowState, Outcome, Ruleset, Scratch, Shared, Verdict},
    protocol::App,
    rule::Rule,
    subject::{self, Direction, Stream, Subject, Transaction},
};

use super::{
    About, Answer, Judged, Metadata, Note,
    layer::Layer,
    packet::{Packet, TCP, address},
    reset::resets,
    talk::Talk,
};
use crate::{
    app::{Exchange, Limits, Parser, Record},
    protocol::Spoken,
};

/// Rules, and what they remember of hosts and of themselves, which outlives them.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    pub ruleset: Arc<Ruleset>,
    pub shared: Arc<Shared>,
    /// What is said is told of (EVE `http`, `tls`, `dns` and so on), also where no rule asks for it.
    pub log: bool,
    /// Alerts are to have what was said.
    pub payload: bool,
    pub limits: Limits,
}

/// A rule has matched.
#[derive(Clone, Debug)]
pub struct Alerted {
    pub rule: Arc<Rule>,
    /// Its packet, and with it the flow, ends for that.
    pub blocked: bool,
    pub transaction: Option<u64>,
    pub in_stream: bool,
    pub direction: Direction,
    pub app: App,
    pub original_app: Option<App>,
    /// What was said in that transaction.
    pub context: Vec<Record>,
    /// It matched what was said rather than the packet: the last of that, where alerts are to have it.
    pub said: Option<Box<[u8]>>,
    /// Of the flow so far, by direction.
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
}

/// Something that was said, complete.
#[derive(Clone, Debug)]
pub struct Logged {
    pub record: Record,
    /// What stands in its event beside it.
    pub beside: Vec<Record>,
    pub transaction: u64,
    /// Whose words it is about: its event has the end that spoke as source.
    pub direction: Direction,
    pub app: App,
    pub original_app: Option<App>,
}

/// A rule that was a candidate, and what became of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub rule: Arc<Rule>,
    pub explained: Explained,
    /// Whose words it was asked about.
    pub direction: Direction,
}

/// What is told of a packet.
#[derive(Default, Debug)]
pub struct Watched {
    pub alerts: Vec<Alerted>,
    pub logged: Vec<Logged>,
    /// What they say of the packet, and the rule for which it is dropped.
    pub verdict: Verdict,
    pub dropped_by: Option<Arc<Rule>>,
    /// What `pcre` has captured of it.
    pub captured: Vec<(Arc<str>, Box<[u8]>)>,
    /// Rules that have hit their limits of work.
    pub limited: Vec<Arc<Rule>>,
    /// What became of each rule that was a candidate is to be told.
    pub explain: bool,
    /// The same, once rules were asked.
    pub explained: Option<Vec<Candidate>>,
    scratch: Scratch,
    outcome: Outcome,
}

impl Watched {
    /// Empty, for the next packet.
    pub fn clear(&mut self) {
        self.alerts.clear();
        self.logged.clear();
        self.limited.clear();
        self.captured.clear();
        (self.verdict, self.dropped_by, self.explained) = (Verdict::Continue, None, None);
    }
}

/// Bytes of what was said that an alert has, at most.
const MOST_PAYLOAD: usize = 4096;

/// What was said on a direction, as far as rules may look back.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    /// Of its first byte in the stream.
    offset: u64,
}

impl Window {
    /// Adds bytes that were said.
    fn say(&mut self, said: &[u8]) {
        self.bytes.extend_from_slice(said);
    }

    /// Keeps so many of the last bytes.
    fn keep(&mut self, most: usize) {
        let gone = self.bytes.len().saturating_sub(most);
        self.bytes.drain(..gone);
        self.offset += gone as u64;
    }
}

/// What rules know of a flow.
#[derive(Debug, Default)]
pub struct Watch {
    state: FlowState,
    windows: [Window; 2],
    packets: [u64; 2],
    bytes: [u64; 2],
    since_ns: Option<u64>,
    /// Its latest packet: what is told of its end is told of that.
    last: Option<Box<(Held, Walk)>>,
    /// By direction: the reader was told that nothing more will be said.
    ended: [bool; 2],
    /// Changes of what rules have set that were told of.
    noted: u32,
    /// Conversations that were read to their end.
    conversations: usize,
    /// Both ends have sent something, as the programs know.
    pub(super) answered: bool,
    /// What is said is read, for rules or to tell of it.
    pub(super) reads: bool,
    /// Nothing can match any more, and nothing is to be told.
    over: bool,
}

impl Watch {
    /// Whether rules may yet say something.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether both ends have sent something.
    pub const fn is_answered(&self) -> bool {
        self.answered || self.packets[0] > 0 && self.packets[1] > 0
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        self.windows.iter().map(|window| window.bytes.capacity()).sum()
    }
}

#[derive(Clone, Copy)]
/// What is asked with each packet.
struct Asked<'a> {
    signatures: &'a Signatures,
    now_ns: u64,
    packet: subject::Packet<'a>,
    flow: subject::Flow,
}

/// Asks the rules about a packet, after it was found out what is spoken. What becomes of the packet is what was `answer`ed, or it
/// is dropped.
pub(super) fn watch(
    held: &Held,
    packet: &Packet<'_>,
    talk: &mut Talk,
    signatures: &Signatures,
    (now_ns, answer): (u64, Answer),
    out: &mut Judged,
) -> Answer {
    let direction = if held.direction == 0 { Direction::ToServer } else { Direction::ToClient };
    let way = direction as usize;
    let tcp = packet.walk.protocol == TCP;
    let events = match answer {
        Answer::Drop(reason) => events(reason),
        _ => &[],
    };
    let said = if tcp { out.stream.stream(direction).len() } else { 0 };
    let watch = &mut talk.watch;
    watch.packets[way] += 1;
    watch.bytes[way] += packet.payload().len() as u64;
    let since_ns = *watch.since_ns.get_or_insert(now_ns);
    watch.windows[way].say(out.stream.stream(direction));
    watch.last = Some(Box::new((*held, packet.walk)));
    let flow = subject::Flow {
        established: talk.is_established(),
        app: App::Unknown,
        original_app: None,
        packets: talk.watch.packets,
        bytes: talk.watch.bytes,
        age_s: u32::try_from(now_ns.saturating_sub(since_ns) / 1_000_000_000).unwrap_or(u32::MAX),
    };
    let shown = subject::Packet {
        direction,
        source: packet.source(),
        destination: packet.destination(),
        protocol: packet.walk.protocol,
        source_port: packet.walk.sport,
        destination_port: packet.walk.dport,
        network: packet.network(),
        transport: packet.transport_header(),
        payload: packet.payload(),
        events,
    };
    let mut asked = Asked { signatures, now_ns, packet: shown, flow };
    let over = [Direction::ToServer, Direction::ToClient].map(|way| talk.has_ended(way));
    let settled = talk.settled;
    let (layers, watch) = talk.watched();
    let innermost = layers.len().saturating_sub(1);
    let original = layers.first().filter(|_| innermost > 0).map(Layer::app);
    let mut verdict = Verdict::Continue;
    for (at, layer) in layers.iter_mut().enumerate() {
        if at < innermost {
            let Some(mut parser) = layer.take_parser() else { continue };
            // what follows is another conversation
            end(&mut *parser);
            (asked.flow.app, asked.flow.original_app) = (layer.app(), original.filter(|_| at > 0));
            verdict = strictest(verdict, ask(&asked, None, Some(&mut *parser), watch, &mut out.watched));
            watch.conversations += 1;
            watch.state.begin_conversation();
        }
    }
    let mut none = Layer::default();
    let layer = layers.last_mut().unwrap_or(&mut none);
    if layer.parser().is_some() {
        for (way, over) in [Direction::ToServer, Direction::ToClient].into_iter().zip(over) {
            if over && !std::mem::replace(&mut watch.ended[way as usize], true) {
                layer.end(way);
            }
        }
    }
    (asked.flow.app, asked.flow.original_app) = (layer.app(), original);
    if layer.take_fresh() {
        // what the other direction has said was said before anybody read it
        let back = Asked { packet: reversed(&asked.packet), ..asked };
        verdict = strictest(verdict, show(&back, None, layer.parser().as_deref(), watch, &mut out.watched));
    }
    let stream = (tcp && said > 0).then_some(said);
    verdict = strictest(verdict, ask(&asked, stream, layer.parser(), watch, &mut out.watched));
    let wants = [Direction::ToServer, Direction::ToClient].map(|way| {
        let ports = (asked.packet.source_port, asked.packet.destination_port);
        let ports = if way == direction { ports } else { (ports.1, ports.0) };
        signatures.ruleset.wants(&asked.flow, way, ports, &watch.state)
    });
    for (window, wants) in watch.windows.iter_mut().zip(&wants) {
        window.keep(wants.stream.unwrap_or(0));
    }
    let pending = matches!(layer.spoken, Spoken::Pending) && (tcp || !settled);
    let reads = pending || layer.parser().is_some_and(|parser| !parser.is_opaque());
    let read = reads && (signatures.log || wants.iter().any(|wants| wants.transactions));
    let closed = over.iter().all(|over| *over) && layer.parser().is_none_or(|parser| parser.transactions().is_empty());
    watch.reads = read;
    let wanted = read || wants.iter().any(|wants| wants.packets || wants.stream.is_some());
    // datagrams that no rule can match do not come here, once nothing else is wanted of them
    // as in Suricata: what is encrypted says nothing to rules
    let encrypted =
        matches!(layer.app(), App::Tls | App::Ssh) && layer.parser().is_some_and(|parser| parser.is_opaque());
    watch.over = tcp && (closed || encrypted || !wanted);
    if let Some(note) = note(talk, signatures, &out.watched) {
        out.noticed = Some(note);
    }
    follow(verdict, packet, talk, answer, out)
}

/// What events tell of the flow, if rules have changed anything about that.
fn note(talk: &mut Talk, signatures: &Signatures, watched: &Watched) -> Option<Arc<Note>> {
    let watch = &mut talk.watch;
    let (changes, verdict) = (watch.state.variables().changes(), watch.state.verdict());
    let alerted = !watched.alerts.is_empty();
    let ended = verdict != Verdict::Continue;
    if !alerted && !ended && changes == watch.noted {
        return None;
    }
    watch.noted = changes;
    let metadata = Metadata::of(watch.state.variables(), signatures.ruleset.names());
    let bypassed = watch.state.is_bypassed();
    talk.change_note(|note| {
        note.alerted |= alerted;
        note.bypassed |= bypassed;
        note.passed |= matches!(verdict, Verdict::Pass(true)) && !bypassed;
        note.metadata = metadata;
    })
}

/// The flow has ended: what was not complete is, and is asked about and told of. Its packets are gone, so nothing can be done
/// about them. `None`: there is nothing to tell; else the packet of which it is told.
pub fn finish(talk: &mut Talk, signatures: &Signatures, now_ns: u64, out: &mut Watched) -> Option<Arc<About>> {
    out.clear();
    let established = talk.is_established();
    let (layers, watch) = talk.watched();
    if std::mem::replace(&mut watch.over, true) {
        return None;
    }
    let last = watch.last.take()?;
    let (held, walk) = &*last;
    let direction = if held.direction == 0 { Direction::ToServer } else { Direction::ToClient };
    let original = layers.first().filter(|_| layers.len() > 1).map(Layer::app);
    let layer = layers.last_mut()?;
    let app = layer.app();
    let mut parser = layer.take_parser()?;
    end(&mut *parser);
    let age_s = watch.since_ns.map_or(0, |since| now_ns.saturating_sub(since) / 1_000_000_000);
    let flow = subject::Flow {
        established,
        app,
        original_app: original,
        packets: watch.packets,
        bytes: watch.bytes,
        age_s: u32::try_from(age_s).unwrap_or(u32::MAX),
    };
    let there = subject::Packet {
        direction,
        source: address(walk.family, walk.src),
        destination: address(walk.family, walk.dst),
        protocol: walk.protocol,
        source_port: walk.sport,
        destination_port: walk.dport,
        network: &[],
        transport: &[],
        payload: &[],
        events: &[],
    };
    for packet in [there, reversed(&there)] {
        show(&Asked { signatures, now_ns, packet, flow }, None, Some(&*parser), watch, out);
    }
    tell(Some(&mut *parser), &Asked { signatures, now_ns, packet: there, flow }, out);
    note(talk, signatures, out);
    Some(Arc::new(About { ended: true, note: talk.told_note(), ..About::new(held, walk, &[]) }))
}

/// The other direction of a packet's flow, of which there is no packet now.
const fn reversed<'a>(packet: &subject::Packet<'a>) -> subject::Packet<'a> {
    subject::Packet {
        direction: packet.direction.opposite(),
        source: packet.destination,
        destination: packet.source,
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        network: &[],
        transport: &[],
        payload: &[],
        ..*packet
    }
}

/// Both directions have ended.
fn end(parser: &mut dyn Parser) {
    parser.end(Direction::ToServer);
    parser.end(Direction::ToClient);
}

/// Asks the rules, and tells what is complete.
fn ask(
    asked: &Asked<'_>,
    stream: Option<usize>,
    mut parser: Option<&mut (dyn Parser + 'static)>,
    watch: &mut Watch,
    out: &mut Watched,
) -> Verdict {
    let verdict = show(asked, stream, parser.as_deref(), watch, out);
    tell(parser.take(), asked, out);
    verdict
}

/// Shows the rules what there is, and gathers what they say.
fn show(
    asked: &Asked<'_>,
    stream: Option<usize>,
    parser: Option<&(dyn Parser + 'static)>,
    watch: &mut Watch,
    out: &mut Watched,
) -> Verdict {
    let exchanges = parser.map(Parser::transactions).unwrap_or_default();
    let transactions: Vec<&dyn Transaction> = exchanges.iter().map(|exchange| *exchange as &dyn Transaction).collect();
    let Asked { signatures, now_ns, packet, flow } = asked;
    let window = &watch.windows[packet.direction as usize];
    let subject = Subject {
        now_ns: *now_ns,
        packet: *packet,
        flow: Some(*flow),
        stream: stream.map(|new| Stream { bytes: &window.bytes, offset: window.offset, new, ended: false }),
        transactions: &transactions,
    };
    let Watched { alerts, scratch, outcome, .. } = out;
    let (ruleset, state, shared) = (&signatures.ruleset, &mut watch.state, &signatures.shared);
    if out.explain {
        let asked = ruleset.explain(&subject, state, shared, scratch, outcome).into_iter();
        out.explained.get_or_insert_default().extend(asked.map(|explained| Candidate {
            rule: Arc::clone(&ruleset.rules()[explained.rule as usize]),
            explained,
            direction: packet.direction,
        }));
    } else {
        ruleset.inspect(&subject, state, shared, scratch, outcome);
    }
    out.limited.extend(outcome.limited.iter().filter_map(|rule| ruleset.rules().get(*rule as usize)).cloned());
    out.verdict = strictest(out.verdict, outcome.verdict);
    if let Some(rule) = outcome.dropped_by.filter(|_| out.dropped_by.is_none()) {
        out.dropped_by = ruleset.rules().get(rule as usize).cloned();
    }
    out.captured.append(&mut outcome.captured);
    let blocks = matches!(outcome.verdict, Verdict::Drop(_) | Verdict::Reject(..));
    for Alert { rule, transaction, in_stream, silent } in outcome.alerts.drain(..) {
        if silent {
            continue;
        }
        let of = exchanges.iter().find(|exchange| Some(exchange.id()) == transaction);
        alerts.push(Alerted {
            blocked: blocks && rule.action.blocks(),
            rule,
            transaction,
            in_stream,
            direction: packet.direction,
            app: flow.app,
            original_app: flow.original_app,
            context: of.map(|exchange| exchange.context()).unwrap_or_default(),
            said: (signatures.payload && (in_stream || transaction.is_some()))
                .then(|| window.bytes[window.bytes.len().saturating_sub(MOST_PAYLOAD)..].into()),
            packets: flow.packets,
            bytes: flow.bytes,
        });
    }
    outcome.verdict
}

/// Tells of the transactions that are over, and forgets them.
fn tell(parser: Option<&mut (dyn Parser + 'static)>, Asked { signatures, flow, .. }: &Asked<'_>, out: &mut Watched) {
    let Some(parser) = parser else { return };
    let over = |exchange: &&dyn Exchange| {
        exchange.is_complete(Direction::ToServer) && exchange.is_complete(Direction::ToClient)
    };
    let mut forgotten = Vec::new();
    for exchange in parser.transactions().into_iter().filter(over) {
        let (transaction, app) = (exchange.id(), exchange.app());
        forgotten.push(transaction);
        if signatures.log {
            let records = exchange.records().into_iter().chain(anomalies(exchange));
            out.logged.extend(records.map(|record| Logged {
                beside: exchange.beside(&record),
                direction: speaker(exchange, &record),
                record,
                transaction,
                app,
                original_app: flow.original_app,
            }));
        }
    }
    forgotten.into_iter().for_each(|id| parser.forget(id));
}

/// What was noticed about a transaction, in the words of Suricata's events: those of its older parsers are in capitals.
fn anomalies(exchange: &dyn Exchange) -> impl Iterator<Item = Record> {
    let app = exchange.app();
    let capitals = matches!(app, App::Http | App::Http1 | App::Smtp | App::Tls | App::Ftp);
    exchange.events().iter().map(move |name| {
        let event = if capitals { name.to_ascii_uppercase() } else { (*name).to_owned() };
        let told = [("app_proto", app_name(app)), ("type", "applayer"), ("event", &event), ("layer", "proto_parser")];
        let object = told.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        Record { event_type: "anomaly", object }
    })
}

/// As events have it: both versions of HTTP that rules tell apart by name are one.
const fn app_name(app: App) -> &'static str {
    match app {
        App::Http1 => App::Http.name(),
        app => app.name(),
    }
}

/// Whose words a record is about: a request, unless it is an answer, or a file that the server sends.
fn speaker(exchange: &dyn Exchange, record: &Record) -> Direction {
    let text = |key: &str| record.object.get(key).and_then(|value| value.as_str());
    match record.event_type {
        "dns" | "mdns" | "llmnr" if matches!(text("type"), Some("response" | "answer")) => Direction::ToClient,
        "fileinfo" => {
            let name = text("filename").unwrap_or_default();
            let has = |direction| {
                (0..)
                    .map_while(|at| exchange.file(direction, at))
                    .any(|file| name == String::from_utf8_lossy(file.name))
            };
            if !has(Direction::ToServer) && has(Direction::ToClient) {
                Direction::ToClient
            } else {
                Direction::ToServer
            }
        }
        _ => Direction::ToServer,
    }
}

/// What a verdict means for the packet and its flow.
fn follow(verdict: Verdict, packet: &Packet<'_>, talk: &mut Talk, answer: Answer, out: &mut Judged) -> Answer {
    let flow = match verdict {
        Verdict::Continue => return answer,
        Verdict::Pass(flow) => {
            talk.watch.over |= flow;
            return answer;
        }
        Verdict::Drop(flow) => flow,
        Verdict::Reject(ends, flow) => {
            out.resets = resets(packet, ends);
            flow
        }
    };
    if matches!(answer, Answer::Drop(_)) {
        return answer;
    }
    if flow {
        talk.condemn(Reason::signature, out);
    }
    Answer::Drop(Reason::signature)
}

/// The one of two verdicts that lets less through.
const fn strictest(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Verdict::Reject(..), _) | (Verdict::Drop(_), Verdict::Pass(_) | Verdict::Continue) => one,
        (Verdict::Pass(_), Verdict::Continue) => one,
        _ => other,
    }
}

/// What `stream-event` calls a reason.
const fn events(_reason: Reason) -> &'static [&'static str] {
    &[]
}
