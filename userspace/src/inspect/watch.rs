//! Rules are asked about what a flow says, packet by packet, and what is to be told of it is gathered.

mod dropped;
mod names;
mod note;
mod told;

use std::sync::Arc;

use dropgate_abi::{flow, hold::Held, reason::Reason, walk::Walk};
use dropgate_signatures::{
    engine::{Alert, FlowState, Ruleset, Shared, Verdict, Wants},
    protocol::App,
    subject::{self, Direction, Stream, Subject, Transaction},
};

pub use self::told::{Alerted, Candidate, Logged, Watched};
pub use self::{
    dropped::dropped,
    names::{event_names, noticed_names},
};
use self::{note::note, told::tell};
use super::{
    About, Answer, Judged,
    layer::{Layer, Parties},
    packet::{Packet, TCP, address},
    reject::replies,
    related::Transfers,
    talk::Talk,
};
use crate::{
    app::{Limits, Parser},
    protocol::Spoken,
    reassembly::flag,
};

/// Rules, and what they remember of hosts and of themselves, which outlives them.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    pub ruleset: Arc<Ruleset>,
    pub shared: Arc<Shared>,
    /// What data connections of FTP are for.
    pub transfers: Arc<Transfers>,
    /// What is said is told of (EVE `http`, `tls`, `dns` and so on), also where no rule asks for it.
    pub log: bool,
    /// Alerts are to have what was said.
    pub payload: bool,
    pub limits: Limits,
}

/// The two ends speak something else.
const MISMATCH: &[&str] = &["applayer_mismatch_protocol_both_directions"];
/// Bytes of what was said that an alert has, at most.
const MOST_PAYLOAD: usize = 4096;

/// What was said on a direction, as far as rules may look back.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    /// How many of its first bytes are not remembered any more: they are taken out when they are as many as the others.
    gone: usize,
    /// Of its first byte in the stream, behind those.
    offset: u64,
}

impl Window {
    /// Adds bytes that were said.
    fn say(&mut self, said: &[u8]) {
        self.bytes.extend_from_slice(said);
    }

    /// What is remembered.
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    /// Where it ends in the stream.
    const fn end(&self) -> u64 {
        self.offset + (self.bytes.len() - self.gone) as u64
    }

    /// Keeps so many of the last bytes.
    fn keep(&mut self, most: usize) {
        let gone = self.bytes().len().saturating_sub(most);
        self.gone += gone;
        self.offset += gone as u64;
        if self.gone >= self.bytes.len() - self.gone {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
    }
}

/// What rules know of a flow.
#[derive(Debug, Default)]
pub struct Watch {
    state: FlowState,
    windows: [Window; 2],
    /// By direction: packets were seen.
    seen: [bool; 2],
    /// Its latest packet: what is told of its end is told of that.
    last: Option<Box<(Held, Walk)>>,
    /// By direction: the reader was told that nothing more will be said.
    ended: [bool; 2],
    /// Changes of what rules have set that were told of.
    noted: u32,
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
        self.answered || self.seen[0] && self.seen[1]
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        self.windows.iter().map(|window| window.bytes.capacity()).sum()
    }

    /// Bytes of the stream so far, by direction.
    const fn said(&self) -> [u64; 2] {
        let [to_server, to_client] = &self.windows;
        [to_server.end(), to_client.end()]
    }

    fn remember(&mut self, held: &Held, walk: &Walk) {
        match &mut self.last {
            Some(last) => **last = (*held, *walk),
            none => *none = Some(Box::new((*held, *walk))),
        }
    }
}

/// What is asked with each packet.
#[derive(Clone, Copy)]
struct Asked<'a> {
    signatures: &'a Signatures,
    now_ns: u64,
    packet: subject::Packet<'a>,
    flow: subject::Flow,
}

/// Asks the rules about a packet, after it was found out what is spoken. What becomes of the packet is what was `answer`ed, or it
/// is dropped. `established`: its flow was, before it.
pub(super) fn watch(
    held: &Held,
    packet: &Packet<'_>,
    talk: &mut Talk,
    signatures: &Signatures,
    (now_ns, established, answer): (u64, bool, Answer),
    out: &mut Judged,
) -> Answer {
    let direction = Direction::numbered(held.direction);
    let tcp = packet.walk.protocol == TCP;
    let said = out.stream.stream(direction);
    let (over, settled) = (Direction::BOTH.map(|way| talk.has_ended(way)), talk.settled);
    let finished = talk.is_over();
    talk.watch.seen[direction as usize] = true;
    talk.watch.windows[direction as usize].say(said);
    talk.watch.remember(held, &packet.walk);
    let stream = (tcp && !said.is_empty()).then_some(said.len());
    let events = noticed((answer, out.stream.odd.filter(|_| tcp)), packet);
    let mut asked = Asked {
        signatures,
        now_ns,
        packet: subject::Packet { events: &events, ..shown(packet, direction) },
        flow: flow(held, &packet.walk, established, now_ns),
    };
    asked.flow.said = talk.watch.said();
    let (layers, watch) = talk.watched();
    let (outer, innermost) = layers.split_at_mut(layers.len().saturating_sub(1));
    let original = outer.first().map(Layer::app);
    let mut verdict = Verdict::Continue;
    for (at, layer) in outer.iter_mut().enumerate() {
        let Some(mut parser) = layer.take_parser() else { continue };
        // what follows is another conversation
        end(&mut *parser);
        innermost.iter_mut().for_each(|layer| layer.take_over(&*parser));
        (asked.flow.app, asked.flow.original_app) = (layer.app(), original.filter(|_| at > 0));
        verdict = strictest(verdict, show(&asked, None, Some(&*parser), watch, &mut out.watched));
        tell(&mut *parser, signatures.log, asked.flow.original_app, &mut out.watched);
        watch.state.begin_conversation();
    }
    let mut none = Layer::default();
    let layer = innermost.first_mut().unwrap_or(&mut none);
    if layer.parser().is_some() {
        for way in Direction::BOTH.into_iter().filter(|way| over[*way as usize]) {
            if !std::mem::replace(&mut watch.ended[way as usize], true) {
                layer.end(way);
            }
        }
    }
    layer.begin_second(Parties::of(held, packet), signatures);
    (asked.flow.app, asked.flow.original_app, asked.flow.mismatch) = (layer.app(), original, layer.mismatch());
    if over == [true; 2]
        && packet.payload().is_empty()
        && packet.walk.tcp_flags & (flag::FIN | flag::SYN | flag::RST) == 0
    {
        // the conversation is over: this one only acknowledges that
        asked.flow.app = App::Unknown;
    }
    if layer.take_mismatch().is_some() {
        asked.packet.events = MISMATCH;
        if signatures.log {
            out.watched.logged.push(Logged::mismatch(direction, layer.app(), original));
        }
    }
    if layer.take_fresh() {
        // what the other direction has said was said before anybody read it
        let back = Asked { packet: asked.packet.reversed(), ..asked };
        verdict = strictest(verdict, show(&back, None, layer.parser().as_deref(), watch, &mut out.watched));
    }
    verdict = strictest(verdict, show(&asked, stream, layer.parser().as_deref(), watch, &mut out.watched));
    let left = layer.parser().is_some_and(|parser| tell(parser, signatures.log, original, &mut out.watched));
    let wants = wants(&asked, watch);
    for (window, wants) in watch.windows.iter_mut().zip(&wants) {
        window.keep(wants.stream.unwrap_or(0));
    }
    let opaque = layer.parser().map(|parser| parser.is_opaque());
    let pending = matches!(layer.spoken, Spoken::Pending) && (tcp || !settled)
        || matches!(layer.spoken, Spoken::Unknown) && layer.awaits_second();
    watch.reads =
        (pending || opaque == Some(false)) && (signatures.log || wants.iter().any(|wants| wants.transactions));
    let packets = wants.iter().any(|wants| wants.packets);
    let wanted = watch.reads || packets || wants.iter().any(|wants| wants.stream.is_some());
    // what acknowledges the end is a packet too
    let closed = over == [true; 2] && !left && (!packets || finished);
    // as in Suricata: what is encrypted says nothing to rules
    let encrypted = matches!(layer.app(), App::Tls | App::Ssh) && opaque == Some(true);
    // datagrams that no rule can match do not come here, once nothing else is wanted of them
    watch.over = tcp && (closed || encrypted || !wanted);
    let mismatch = layer.mismatch();
    if let Some(note) = note(talk, signatures, mismatch, &out.watched) {
        out.noticed = Some(note);
    }
    follow(verdict, packet, talk, answer, out)
}

/// Asks the rules about a packet that is none of its flow's: an ICMP error. What they say concerns it alone, and nothing is sent back:
/// an error is never answered by one (RFC 1122, 3.2.2).
pub(super) fn alone(held: &Held, of: &Packet<'_>, signatures: &Signatures, now_ns: u64, out: &mut Judged) -> Answer {
    let events = noticed((Answer::Release, None), of);
    let packet = subject::Packet { events: &events, ..shown(of, Direction::numbered(held.direction)) };
    let asked = Asked { signatures, now_ns, packet, flow: flow(held, &of.walk, false, now_ns) };
    match show(&asked, None, None, &mut Watch::default(), &mut out.watched) {
        Verdict::Drop(_) | Verdict::Reject(..) => Answer::Drop(Reason::signature),
        Verdict::Continue | Verdict::Pass(_) => Answer::Release,
    }
}

/// Asks the rules about a fragment, which is none of its flow's either.
pub(super) fn fragment(held: &Held, frame: &[u8], signatures: &Signatures, now_ns: u64, out: &mut Judged) -> Answer {
    let walk = &out.walk;
    let (start, end) = (usize::from(walk.l3), usize::from(walk.l3) + usize::from(walk.ip_len));
    let headers_end = end.saturating_sub(usize::from(walk.fragment_len)).max(start);
    let packet = subject::Packet {
        source_port: 0,
        destination_port: 0,
        network: frame.get(start..headers_end).unwrap_or_default(),
        ..headers(walk, Direction::numbered(held.direction))
    };
    let subject = Subject { now_ns, packet, flow: None, stream: None, transactions: &[] };
    let Watched { alerts, scratch, outcome, .. } = &mut out.watched;
    signatures.ruleset.inspect(&subject, &mut FlowState::default(), &signatures.shared, scratch, outcome);
    let blocked = matches!(outcome.verdict, Verdict::Drop(_) | Verdict::Reject(..));
    let told = outcome.alerts.drain(..).filter(|alert| !alert.silent);
    alerts.extend(told.map(|alert| Alerted { blocked, ..Alerted::of_packet(alert.rule, packet.direction) }));
    if blocked { Answer::Drop(Reason::signature) } else { Answer::Release }
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
    let (held, walk) = *watch.last.take()?;
    let original = layers.first().filter(|_| layers.len() > 1).map(Layer::app);
    let layer = layers.last_mut()?;
    let app = layer.app();
    let mut parser = layer.take_parser()?;
    end(&mut *parser);
    let said = watch.said();
    let flow = subject::Flow { app, original_app: original, said, ..flow(&held, &walk, established, now_ns) };
    let there = headers(&walk, Direction::numbered(held.direction));
    for packet in [there, there.reversed()] {
        show(&Asked { signatures, now_ns, packet, flow }, None, Some(&*parser), watch, out);
    }
    tell(&mut *parser, signatures.log, original, out);
    note(talk, signatures, None, out);
    Some(Arc::new(About { ended: true, note: talk.told_note(), ..About::new(&held, &walk, &[]) }))
}

/// A flow as of a packet, before it is looked at what is spoken.
fn flow(held: &Held, walk: &Walk, established: bool, now_ns: u64) -> subject::Flow {
    let link = u64::from(walk.l3);
    let age_ns = now_ns.saturating_sub(flow::start_ns(held.started, now_ns));
    subject::Flow {
        established,
        app: App::Unknown,
        original_app: None,
        mismatch: None,
        packets: held.packets,
        bytes: [0, 1].map(|way| held.bytes[way] + link * held.packets[way]),
        said: [0; 2],
        age_s: u32::try_from(age_ns / 1_000_000_000).unwrap_or(u32::MAX),
    }
}

/// A packet as rules see it.
fn shown<'a>(packet: &Packet<'a>, direction: Direction) -> subject::Packet<'a> {
    subject::Packet {
        network: packet.network(),
        transport: packet.transport_header(),
        payload: packet.payload(),
        ..headers(&packet.walk, direction)
    }
}

/// What was noticed about a packet: why it is dropped, or what is `odd` about its stream.
fn noticed((answer, odd): (Answer, Option<Reason>), packet: &Packet<'_>) -> Vec<&'static str> {
    let reason = match answer {
        Answer::Drop(reason) => Some(reason),
        _ => odd,
    };
    noticed_names(reason, &packet.walk, packet.frame)
}

/// A packet of which only this is known.
fn headers(walk: &Walk, direction: Direction) -> subject::Packet<'static> {
    subject::Packet {
        direction,
        source: address(walk.family, walk.src),
        destination: address(walk.family, walk.dst),
        protocol: walk.protocol,
        source_port: walk.sport,
        destination_port: walk.dport,
        network: &[],
        transport: &[],
        payload: &[],
        vlan: walk.vlan,
        events: &[],
        cut: false,
    }
}

/// Both directions have ended.
fn end(parser: &mut dyn Parser) {
    Direction::BOTH.into_iter().for_each(|direction| parser.end(direction));
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
        stream: stream.map(|new| Stream { bytes: window.bytes(), offset: window.offset, new, ended: false }),
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
    for Alert { rule, transaction, in_stream, direction, silent } in outcome.alerts.drain(..) {
        if silent {
            continue;
        }
        let of = exchanges.iter().find(|exchange| Some(exchange.id()) == transaction);
        alerts.push(Alerted {
            blocked: blocks && rule.action.blocks(),
            rule,
            transaction,
            direction,
            app: flow.app,
            original_app: flow.original_app,
            context: of.map(|exchange| exchange.context()).unwrap_or_default(),
            said: (signatures.payload && (in_stream || transaction.is_some()))
                .then(|| window.bytes()[window.bytes().len().saturating_sub(MOST_PAYLOAD)..].into()),
        });
    }
    outcome.verdict
}

/// What rules may yet match, by direction.
fn wants(Asked { signatures, packet, flow, .. }: &Asked<'_>, watch: &Watch) -> [Wants; 2] {
    let ports = (packet.source_port, packet.destination_port);
    Direction::BOTH.map(|way| {
        let ports = if way == packet.direction { ports } else { (ports.1, ports.0) };
        signatures.ruleset.wants(flow, way, ports, &watch.state)
    })
}

/// What a verdict means for the packet and its flow.
fn follow(verdict: Verdict, packet: &Packet<'_>, talk: &mut Talk, answer: Answer, out: &mut Judged) -> Answer {
    let flow = match verdict {
        Verdict::Continue => return answer,
        // what is said is told of all the same
        Verdict::Pass(flow) => {
            talk.watch.over |= flow && (!talk.watch.reads || talk.watch.state.is_bypassed());
            return answer;
        }
        Verdict::Drop(flow) => flow,
        Verdict::Reject(ends, flow) => {
            out.replies = replies(packet, ends);
            flow
        }
    };
    if matches!(answer, Answer::Drop(_)) {
        return answer;
    }
    if flow {
        talk.condemn(Reason::signature, out);
    } else if answer == Answer::Keep {
        talk.drop_latest();
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
