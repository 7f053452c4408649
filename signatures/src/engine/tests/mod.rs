//! Rules made by hand, and flows that they are shown.

mod packets;
mod property;
mod streams;
mod transactions;

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use super::*;
use crate::{
    buffer::Buffer,
    protocol::App,
    rule::{
        Action, Addresses, Arrow, Check, Condition, Content, Effect, FlowKeyword, Header, Inspect, Place, Ports,
        Protocol, Selected, Value,
    },
    subject::{Data, Direction, Field, File, Flow, Packet, Stream, Subject, Transaction},
};

/// A rule that is put together.
#[derive(Clone, Debug)]
pub struct Make(pub Rule);

/// A rule for any packet of a protocol.
pub fn rule(sid: u32, protocol: Protocol) -> Make {
    let header = Header {
        protocol,
        source: Addresses::default(),
        source_ports: Ports::default(),
        arrow: Arrow::To,
        destination: Addresses::default(),
        destination_ports: Ports::default(),
    };
    let apps = if let Protocol::App(app) = protocol { vec![app] } else { Vec::new() };
    Make(Rule {
        gid: 1,
        sid,
        rev: 1,
        action: Action::Alert,
        header,
        apps,
        message: "".into(),
        class: None,
        priority: 3,
        metadata: Vec::new(),
        references: Vec::new(),
        target: None,
        noalert: false,
        flow: FlowKeyword::default(),
        conditions: Vec::new(),
        effects: Vec::new(),
        threshold: None,
        detection: None,
        suppress: Vec::new(),
        options: Default::default(),
        fast_pattern: None,
        line: 0,
        file: "".into(),
        text: "".into(),
    })
}

/// A content.
pub fn content(bytes: &str) -> Content {
    Content { bytes: bytes.as_bytes().into(), nocase: false, negated: false, place: Place::default() }
}

pub fn number(number: i64) -> Option<Value> {
    Some(Value::Number(number))
}

impl Make {
    pub fn with(mut self, with: impl FnOnce(&mut Rule)) -> Self {
        with(&mut self.0);
        self
    }

    pub fn action(self, action: Action) -> Self {
        self.with(|rule| rule.action = action)
    }

    pub fn on_port(self, first: u16, last: u16) -> Self {
        self.with(|rule| rule.header.destination_ports = Ports(vec![(first, last)]))
    }

    pub fn by_client(self) -> Self {
        self.with(|rule| rule.flow.to_server = true)
    }

    pub fn by_server(self) -> Self {
        self.with(|rule| rule.flow.to_client = true)
    }

    pub fn when(self, condition: Condition) -> Self {
        self.with(|rule| rule.conditions.push(condition))
    }

    pub fn then(self, effect: Effect) -> Self {
        self.with(|rule| rule.effects.push(effect))
    }

    pub fn checks(self, selected: Selected, checks: Vec<Check>) -> Self {
        self.when(Condition::Inspect(Inspect { selected, toward: None, transforms: Vec::new(), checks }))
    }

    pub fn payload(self, contents: Vec<Content>) -> Self {
        self.checks(Selected::Payload, contents.into_iter().map(Check::Content).collect())
    }

    pub fn buffer(self, buffer: Buffer, contents: Vec<Content>) -> Self {
        self.checks(Selected::Buffer(buffer), contents.into_iter().map(Check::Content).collect())
    }
}

/// A transaction whose buffers are said one after the other.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub id: u64,
    pub app: Option<App>,
    pub revisions: [u32; 2],
    pub complete: [bool; 2],
    /// What was said of buffers, by direction; with `true`: as it stays.
    pub said: Vec<(Buffer, Direction, Vec<u8>, bool)>,
    pub numbers: Vec<(&'static str, u64)>,
    pub events: Vec<&'static str>,
    pub files: Vec<(Vec<u8>, u64, bool)>,
}

impl Exchange {
    pub fn http(id: u64) -> Self {
        Self { id, app: Some(App::Http1), ..Self::default() }
    }

    /// Adds an instance of a buffer.
    pub fn say(&mut self, buffer: Buffer, direction: Direction, bytes: &[u8]) {
        self.said.push((buffer, direction, bytes.to_vec(), true));
        self.revisions[direction as usize] += 1;
    }

    /// Adds bytes to a buffer that grows.
    pub fn grow(&mut self, buffer: Buffer, direction: Direction, bytes: &[u8]) {
        match self.said.iter_mut().find(|(of, way, ..)| (*of, *way) == (buffer, direction)) {
            Some((_, _, said, _)) => said.extend_from_slice(bytes),
            None => self.said.push((buffer, direction, bytes.to_vec(), false)),
        }
        self.revisions[direction as usize] += 1;
    }

    pub fn complete(&mut self, direction: Direction) {
        self.complete[direction as usize] = true;
        self.revisions[direction as usize] += 1;
    }
}

impl Transaction for Exchange {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        self.app.unwrap_or(App::Unknown)
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.revisions[direction as usize]
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.complete[direction as usize]
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        let of = self.said.iter().filter(|(of, way, ..)| (*of, *way) == (buffer, direction)).nth(instance);
        match of {
            Some((.., bytes, whole)) => {
                let data = Data { bytes: Cow::Borrowed(bytes) };
                if *whole { Field::Whole(data) } else { Field::Part(data) }
            }
            None if self.is_complete(direction) => Field::Absent,
            None => Field::Pending,
        }
    }

    fn number(&self, keyword: &str, _direction: Direction, instance: usize) -> Option<u64> {
        self.numbers.iter().filter(|(of, _)| *of == keyword).nth(instance).map(|(_, number)| *number)
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn file(&self, _direction: Direction, instance: usize) -> Option<File<'_>> {
        self.files.get(instance).map(|(name, size, complete)| File {
            name,
            size: *size,
            complete: *complete,
            truncated: name.ends_with(b".cut"),
            md5: None,
            sha1: None,
            sha256: None,
        })
    }
}

/// A flow that is shown to rules.
#[derive(Debug)]
pub struct Shown {
    pub ruleset: Ruleset,
    pub state: FlowState,
    pub shared: Shared,
    pub scratch: Scratch,
    pub out: Outcome,
    pub now_ns: u64,
    pub flow: Option<Flow>,
    pub protocol: u8,
    pub ports: (u16, u16),
    pub hosts: (IpAddr, IpAddr),
    pub windows: [Vec<u8>; 2],
    /// Most bytes of a stream that are remembered.
    pub remembered: usize,
    pub offsets: [u64; 2],
    pub events: &'static [&'static str],
    pub transport: Vec<u8>,
    pub vlan: [u16; 2],
    pub cut: bool,
}

impl Shown {
    pub fn new(rules: Vec<Make>) -> Self {
        let flow = Flow {
            established: true,
            app: App::Failed,
            original_app: None,
            mismatch: None,
            packets: [1, 1],
            bytes: [0, 0],
            said: [0, 0],
            age_s: 0,
        };
        let mut transport = vec![0; 20];
        transport[12] = 0x50;
        transport[13] = 0x18;
        Self {
            ruleset: Ruleset::compile(rules.into_iter().map(|rule| rule.0).collect()),
            state: FlowState::default(),
            shared: Shared::default(),
            scratch: Scratch::default(),
            out: Outcome::default(),
            now_ns: 1,
            flow: Some(flow),
            protocol: 6,
            ports: (40_000, 80),
            hosts: ([192, 0, 2, 1].into(), [198, 51, 100, 1].into()),
            windows: Default::default(),
            remembered: 64 << 10,
            offsets: [0; 2],
            events: &[],
            cut: false,
            transport,
            vlan: [0; 2],
        }
    }

    pub fn app(mut self, app: App) -> Self {
        if let Some(flow) = &mut self.flow {
            flow.app = app;
        }
        self
    }

    pub fn udp(mut self) -> Self {
        self.protocol = 17;
        self
    }

    /// Shows a packet: the sids that have alerted, in order.
    pub fn show(&mut self, direction: Direction, payload: &[u8], transactions: &[&dyn Transaction]) -> Vec<u32> {
        let way = direction as usize;
        let back = direction == Direction::ToClient;
        let swap = |(a, b)| if back { (b, a) } else { (a, b) };
        let (source, destination) = if back { (self.hosts.1, self.hosts.0) } else { self.hosts };
        let (source_port, destination_port): (u16, u16) = swap(self.ports);
        let mut network = vec![0_u8; 20];
        (network[0], network[8], network[9]) = (0x45, 64, self.protocol);
        if self.protocol == 6 {
            self.windows[way].extend_from_slice(payload);
            self.flow.iter_mut().for_each(|flow| flow.said[way] += payload.len() as u64);
        }
        let packet = Packet {
            direction,
            source,
            destination,
            protocol: self.protocol,
            source_port,
            destination_port,
            network: &network,
            transport: if self.protocol == 6 { &self.transport } else { &[] },
            payload,
            vlan: self.vlan,
            cut: self.cut,
            events: self.events,
        };
        let stream = (self.protocol == 6 && !payload.is_empty() && self.flow.is_some()).then(|| Stream {
            bytes: &self.windows[way],
            offset: self.offsets[way],
            new: payload.len(),
            ended: false,
        });
        let subject = Subject { now_ns: self.now_ns, packet, flow: self.flow, stream, transactions };
        self.ruleset.inspect(&subject, &mut self.state, &self.shared, &mut self.scratch, &mut self.out);
        let gone = self.windows[way].len().saturating_sub(self.remembered);
        self.windows[way].drain(..gone);
        self.offsets[way] += gone as u64;
        self.out.alerts.iter().filter(|alert| !alert.silent).map(|alert| alert.rule.sid).collect()
    }

    pub fn say(&mut self, payload: &[u8]) -> Vec<u32> {
        self.show(Direction::ToServer, payload, &[])
    }

    pub fn reply(&mut self, payload: &[u8]) -> Vec<u32> {
        self.show(Direction::ToClient, payload, &[])
    }

    pub fn asks(&mut self, of: &Exchange) -> Vec<u32> {
        self.show(Direction::ToServer, b"", &[of])
    }

    pub fn answers(&mut self, of: &Exchange) -> Vec<u32> {
        self.show(Direction::ToClient, b"", &[of])
    }
}

pub fn shared_name(name: &str) -> Arc<str> {
    name.into()
}
