//! From rules to what is asked: sorted, prepared, and put into groups.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Ruleset,
    address::{AddressInterner, AddressSets, is_any_port},
    fast::{Fast, fast},
    fields::{Fields, Selector},
    groups::{Carrier, Group, Grouping, Member, Table},
    hosts::Hosts,
    kind::{Kind, is_of_transaction},
    matcher::{PACKET, Pattern, STREAM},
    order::{self, ActionOrder},
    transform::Prepared,
    variables::Names,
    verify::Steps,
};
use crate::{
    buffer::{Buffer, Way},
    protocol::App,
    rule::{Arrow, Check, Condition, FlagsTest, Inspect, Number, PacketTest, Rule, Selected, Transform},
    subject::Direction,
};

/// A rule, prepared.
#[derive(Debug)]
pub struct Compiled {
    pub rule: Arc<Rule>,
    pub kind: Kind,
    /// Directions in which it can match.
    pub directions: [bool; 2],
    /// Sets of addresses; `None`: any.
    pub source: Option<u32>,
    pub destination: Option<u32>,
    /// It asks for ports.
    pub ports: bool,
    /// Conditions about packets and about what is remembered, by index.
    pub tests: Box<[u16]>,
    /// What is looked for in packets and streams.
    pub contents: Box<[Contents]>,
    /// What is asked of a transaction.
    pub fields: Box<[FieldTest]>,
    /// It has variables: what holds of a transaction is asked again.
    pub variables: bool,
    /// It is asked of a transaction as a whole, whoever says what it asks for: it matches once.
    pub once: bool,
    /// It can be asked about a packet whose bytes are not known.
    pub without_bytes: bool,
    /// What it is found by.
    pub pattern: Option<Pattern>,
}

/// What is looked for in a packet or a stream.
#[derive(Debug)]
pub struct Contents {
    /// The condition, by index.
    pub condition: u16,
    pub selected: Selected,
    pub transforms: Box<[Prepared]>,
    pub steps: Steps,
}

/// A condition of a transaction.
#[derive(Debug)]
pub struct FieldTest {
    /// By index. Of a file there are several: the first one's.
    pub condition: u16,
    /// The direction that it is asked of; `None`: the packet's.
    pub direction: Option<Direction>,
    pub ask: FieldAsk,
}

/// What is asked of a transaction.
#[derive(Debug)]
pub enum FieldAsk {
    Buffer {
        selector: u16,
        steps: Steps,
    },
    /// `Condition::Number`, `Condition::Test` or `Condition::AppEvent`
    Condition,
    /// `filesize`, `fileext`, hashes and `filestore`, by index: all hold of the same file.
    File(Box<[u16]>),
}

/// Which rules are asked when.
#[derive(Debug, Default)]
pub struct Index {
    pub compiled: Vec<Compiled>,
    pub addresses: AddressSets,
    pub groups: Vec<Group>,
    /// By carrier and direction.
    pub tables: Vec<[Table; 2]>,
    /// Rules about what was noticed of packets, by its name.
    pub events: HashMap<Arc<str>, Vec<u32>>,
    /// Rules about addresses alone, by direction.
    pub only_addresses: [Hosts; 2],
    /// Rules about what is spoken, by direction.
    pub spoken: [Vec<u32>; 2],
    pub fields: Fields,
    /// Whether there are rules about transactions, and any about digests of files.
    pub transactions: bool,
    pub digests: bool,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Ruleset {
    /// Prepares rules to be matched. What cannot be found by a fast pattern is asked about every time.
    pub fn compile(rules: Vec<Rule>) -> Self {
        Self::compile_in(rules, ActionOrder::default())
    }

    /// The same with actions in another order: what comes in front of `pass` is told and done all the same.
    pub fn compile_in(mut rules: Vec<Rule>, order: ActionOrder) -> Self {
        order::sort(&mut rules, order);
        let rules: Vec<Arc<Rule>> = rules.into_iter().map(Arc::new).collect();
        let (mut addresses, mut selectors) = (AddressInterner::default(), Selectors::default());
        let compiled = rules.iter().enumerate();
        let compiled: Vec<Compiled> =
            compiled.map(|(number, rule)| prepare(number as u32, rule, &mut addresses, &mut selectors)).collect();
        let mut index = Index { addresses: addresses.finish(), ..Index::default() };
        let mut grouping = Grouping::default();
        for carrier in Carrier::ALL {
            index.tables.push([0, 1].map(|direction| {
                let members: Vec<Member> = compiled
                    .iter()
                    .enumerate()
                    .filter_map(|(number, rule)| member(number as u32, rule, carrier, direction))
                    .collect();
                grouping.table(&members, carrier.has_ports())
            }));
        }
        index.groups = grouping.finish();
        index.only_addresses = [0, 1].map(|direction| {
            let of = |rule: &&Compiled| rule.kind == Kind::Addresses && rule.directions[direction];
            let numbered = compiled.iter().enumerate().filter(|(_, rule)| of(rule));
            Hosts::new(numbered.map(|(number, rule)| (number as u32, &rule.rule.header)))
        });
        for (number, rule) in compiled.iter().enumerate() {
            let number = number as u32;
            for direction in (0..2).filter(|direction| rule.directions[*direction]) {
                if rule.kind == Kind::Spoken {
                    index.spoken[direction].push(number);
                }
            }
            if let Some(event) = event(rule) {
                index.events.entry(event).or_default().push(number);
            }
        }
        index.fields = Fields::new(selectors.all, &compiled);
        let asks = |rule: &Compiled| rule.rule.conditions.iter().any(|of| matches!(of, Condition::FileHash(..)));
        index.digests = compiled.iter().any(asks);
        index.transactions = compiled.iter().any(|rule| rule.kind == Kind::Transaction);
        index.compiled = compiled;
        let names = Names::of(&rules);
        Self { rules, names, index, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

/// The event that a rule about packets is found by.
fn event(rule: &Compiled) -> Option<Arc<str>> {
    if !matches!(rule.kind, Kind::Event | Kind::Packet) {
        return None;
    }
    rule.rule.conditions.iter().find_map(|condition| match condition {
        Condition::Event(event) => Some(event.clone()),
        _ => None,
    })
}

/// Transforms and buffers, each pair held once.
#[derive(Debug, Default)]
struct Selectors {
    known: HashMap<(Buffer, Vec<Transform>), u16>,
    all: Vec<Selector>,
}

impl Selectors {
    fn intern(&mut self, buffer: Buffer, transforms: &[Transform]) -> u16 {
        let next = self.all.len() as u16;
        *self.known.entry((buffer, transforms.to_vec())).or_insert_with(|| {
            self.all.push(Selector { buffer, transforms: Prepared::all(transforms) });
            next
        })
    }
}

fn prepare(number: u32, rule: &Arc<Rule>, addresses: &mut AddressInterner, selectors: &mut Selectors) -> Compiled {
    let kind = Kind::of(rule);
    let (mut tests, mut contents, mut fields) = (Vec::new(), Vec::<Contents>::new(), Vec::<FieldTest>::new());
    let mut files = Vec::new();
    let (mut decoding, mut decoded) = (None, Vec::new());
    for (at, condition) in rule.conditions.iter().enumerate() {
        let condition_at = at as u16;
        match condition {
            Condition::Inspect(Inspect { selected: Selected::Base64, checks, .. }) => {
                // what stands behind several `base64_data` is asked of the same bytes, one behind the other
                decoded.extend_from_slice(checks);
                attach(decoding, &decoded, &mut contents, &mut fields);
            }
            Condition::Inspect(inspect) => {
                let steps = Steps::new(&inspect.checks);
                let decodes = inspect.checks.iter().any(|check| matches!(check, Check::Base64(_)));
                if decodes {
                    decoded.clear();
                }
                if let Selected::Buffer(buffer) = inspect.selected {
                    let selector = selectors.intern(buffer, &inspect.transforms);
                    let direction = (rule.header.arrow == Arrow::Transaction).then_some(match buffer.way() {
                        Way::ToClient => Direction::ToClient,
                        Way::ToServer => Direction::ToServer,
                        Way::Both => inspect.toward.unwrap_or(Direction::ToServer),
                    });
                    fields.push(FieldTest {
                        condition: condition_at,
                        direction,
                        ask: FieldAsk::Buffer { selector, steps },
                    });
                    decoding = if decodes { Some((true, fields.len() - 1)) } else { decoding };
                } else {
                    let (selected, transforms) = (inspect.selected.clone(), Prepared::all(&inspect.transforms));
                    contents.push(Contents { condition: condition_at, selected, transforms, steps });
                    decoding = if decodes { Some((false, contents.len() - 1)) } else { decoding };
                }
            }
            Condition::FileSize(_) | Condition::FileExtension(..) | Condition::FileHash(..) | Condition::FileStore => {
                files.push(condition_at)
            }
            condition if is_of_transaction(condition) => {
                fields.push(FieldTest { condition: condition_at, direction: None, ask: FieldAsk::Condition });
            }
            _ => tests.push(condition_at),
        }
    }
    if let Some(first) = files.first() {
        fields.push(FieldTest { condition: *first, direction: None, ask: FieldAsk::File(files.into()) });
    }
    let variable = |steps: &Steps| steps.variables;
    let variables = contents.iter().any(|contents| variable(&contents.steps))
        || fields.iter().any(|field| matches!(&field.ask, FieldAsk::Buffer { steps, .. } if variable(steps)));
    let pattern = fast(rule, kind == Kind::Transaction).map(|fast| pattern(number, kind, &fast));
    let header = &rule.header;
    Compiled {
        kind,
        directions: directions(rule),
        source: addresses.intern(&header.source),
        destination: addresses.intern(&header.destination),
        ports: !is_any_port(&header.source_ports) || !is_any_port(&header.destination_ports),
        tests: tests.into(),
        contents: contents.into(),
        fields: fields.into(),
        variables,
        once: is_once(rule),
        without_bytes: is_without_bytes(rule),
        pattern,
        rule: rule.clone(),
    }
}

/// Whether a rule is asked of a transaction as a whole: of both directions if it says so, and of what is noted beside them if it
/// names none. Messages of MQTT are such as well, and so is whether FTP has answered.
fn is_once(rule: &Rule) -> bool {
    let beside = |condition: &Condition| match condition {
        Condition::AppEvent(_) => true,
        Condition::Number { keyword, .. } | Condition::Test { keyword, .. } => {
            keyword.starts_with("mqtt.") || *keyword == "ftp.reply_received"
        }
        Condition::Inspect(Inspect { selected: Selected::Buffer(buffer), .. }) => buffer.apps() == [App::Mqtt],
        _ => false,
    };
    let mut asked = rule.conditions.iter().filter(|condition| is_of_transaction(condition));
    let one_way = rule.flow.to_server || rule.flow.to_client;
    rule.header.arrow == Arrow::Transaction || !one_way && asked.all(beside)
}

/// Gives `base64_data` to the condition that decodes.
fn attach(to: Option<(bool, usize)>, checks: &[Check], contents: &mut [Contents], fields: &mut [FieldTest]) {
    let steps = match to {
        Some((true, at)) => match &mut fields[at].ask {
            FieldAsk::Buffer { steps, .. } => steps,
            _ => return,
        },
        Some((false, at)) => &mut contents[at].steps,
        None => return,
    };
    steps.decoded = Some(Arc::new(Steps::new(checks)));
}

fn pattern(rule: u32, kind: Kind, fast: &Fast<'_>) -> Pattern {
    Pattern { rule, bytes: fast.bytes.into(), nocase: fast.nocase, ends: fast.ends, of: asked_of(kind) }
}

/// What a rule is asked about, of payloads and what parsers make of them.
pub const fn asked_of(kind: Kind) -> u8 {
    match kind {
        Kind::Stream | Kind::Transaction => STREAM,
        Kind::PacketAndStream => PACKET | STREAM,
        _ => PACKET,
    }
}

/// Directions in which a rule can match: those it names, else those in which all of its buffers are said.
fn directions(rule: &Rule) -> [bool; 2] {
    let flow = &rule.flow;
    if rule.header.arrow == Arrow::Transaction {
        return [true, true];
    }
    let named = if flow.to_server || flow.to_client { [flow.to_server, flow.to_client] } else { [true, true] };
    let mut out = named;
    for condition in &rule.conditions {
        if let Condition::Inspect(Inspect { selected: Selected::Buffer(buffer), .. }) = condition {
            out[0] &= buffer.way().is(Direction::ToServer);
            out[1] &= buffer.way().is(Direction::ToClient);
        }
    }
    out
}

/// Whether addresses, ports and what was noticed are all that a rule asks for.
fn is_without_bytes(rule: &Rule) -> bool {
    let fragments = rule.flow.only_fragments || rule.flow.no_fragments;
    let known = |condition: &Condition| {
        matches!(
            condition,
            Condition::Event(_)
                | Condition::Xbits(_)
                | Condition::Hostbits(_)
                | Condition::Packet(PacketTest::SameAddress | PacketTest::Number(Number::IpProtocol, _))
        )
    };
    !fragments && rule.conditions.iter().all(known)
}

/// A rule as a member of a group, if it belongs to this carrier and direction.
fn member(number: u32, rule: &Compiled, carrier: Carrier, direction: usize) -> Option<Member> {
    let stream = carrier == Carrier::TcpStream;
    let asked = match rule.kind {
        Kind::Packet | Kind::LikeAddresses | Kind::Application => event(rule).is_none(),
        Kind::PacketAndStream => true,
        Kind::Stream => stream || carrier != Carrier::TcpPacket,
        Kind::Event | Kind::Addresses | Kind::Spoken | Kind::Transaction => false,
    };
    let header = &rule.rule.header;
    let of = carrier.may_carry(header.protocol);
    // what is asked of the stream where there is one is asked of datagrams as they come
    (asked && of && rule.directions[direction]).then(|| Member {
        rule: number,
        pattern: rule.pattern.clone(),
        source: header.source_ports.clone(),
        destination: header.destination_ports.clone(),
        both_ways: header.arrow == Arrow::Both,
        of: asked_of(rule.kind),
        apps: apps(&rule.rule),
    })
}

/// What may be spoken where a rule can match once both ends have spoken: a bit for each protocol.
fn apps(rule: &Rule) -> u64 {
    let begins = |condition: &Condition| match condition {
        // SYN, which is behind us
        Condition::Packet(PacketTest::TcpFlags(flags)) => {
            matches!(flags.test, FlagsTest::Exactly | FlagsTest::All) && flags.bits & !flags.ignored & 2 != 0
        }
        _ => false,
    };
    if rule.flow.not_established || rule.conditions.iter().any(begins) {
        return 0;
    }
    let may = |app: &App| {
        is_spoken(&rule.apps, *app)
            && rule.conditions.iter().all(|condition| match condition {
                Condition::App(of, negated) | Condition::AppBy(None, of, negated) => {
                    is_spoken(&[*of], *app) != *negated
                }
                _ => true,
            })
    };
    App::ALL.iter().filter(|app| may(app)).fold(0, |bits, app| bits | bit(*app))
}

/// A protocol's bit.
pub const fn bit(app: App) -> u64 {
    1 << (app as u64 % 64)
}

/// Whether what is spoken is what a rule asks for: one of these.
pub fn is_spoken(asked: &[App], spoken: App) -> bool {
    asked.is_empty()
        || asked.iter().any(|app| {
            *app == spoken
                || match app {
                    App::Http => matches!(spoken, App::Http1 | App::Http2 | App::Doh2),
                    App::Http2 | App::Dns => spoken == App::Doh2,
                    App::Http1 => spoken == App::Http,
                    _ => false,
                }
        })
}
