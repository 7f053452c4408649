//! One buffer or one stream, shown to the rules with nothing else.

use dropgate_signatures::{
    buffer::Buffer,
    engine::{FlowState, Outcome, Ruleset, Scratch, Shared},
    protocol::App,
    subject::{Direction, Field, Flow, Packet, Stream, Subject, Transaction},
};

/// Bytes of a segment, and of what is remembered before it.
const SEGMENT: usize = 1448;
const REMEMBERED: usize = 8 << 10;

/// Rules, and what asking them takes.
pub struct Asked<'a> {
    ruleset: &'a Ruleset,
    shared: Shared,
    scratch: Scratch,
    out: Outcome,
}

/// A transaction that is over and has one buffer.
struct Only<'a> {
    buffer: Buffer,
    holds: &'a [u8],
}

impl Transaction for Only<'_> {
    fn id(&self) -> u64 {
        0
    }

    fn app(&self) -> App {
        match self.buffer.apps().first() {
            Some(App::Http) | None => App::Http1,
            Some(app) => *app,
        }
    }

    fn revision(&self, _: Direction) -> u32 {
        1
    }

    fn is_complete(&self, _: Direction) -> bool {
        true
    }

    fn buffer(&self, buffer: Buffer, _: Direction, instance: usize) -> Field<'_> {
        if buffer == self.buffer && instance == 0 { Field::whole(self.holds) } else { Field::Absent }
    }

    fn events(&self) -> &[&'static str] {
        &[]
    }
}

impl<'a> Asked<'a> {
    pub fn new(ruleset: &'a Ruleset) -> Self {
        Self { ruleset, shared: Shared::default(), scratch: Scratch::default(), out: Outcome::default() }
    }

    /// A direction of a new connection on which nothing is spoken that is known, in segments.
    pub fn stream(&mut self, bytes: &[u8], port: u16) {
        let mut state = FlowState::default();
        for (number, segment) in bytes.chunks(SEGMENT).enumerate() {
            let end = number * SEGMENT + segment.len();
            let start = (number * SEGMENT).saturating_sub(REMEMBERED);
            let stream = Stream { bytes: &bytes[start..end], offset: start as u64, new: segment.len(), ended: false };
            let subject = Subject {
                now_ns: number as u64,
                packet: packet(Direction::ToServer, port, segment),
                flow: Some(flow(App::Failed)),
                stream: Some(stream),
                transactions: &[],
            };
            self.ruleset.inspect(&subject, &mut state, &self.shared, &mut self.scratch, &mut self.out);
        }
    }

    /// A transaction of a new flow in which nothing stands but this.
    pub fn buffer(&mut self, buffer: Buffer, holds: &[u8]) {
        let of = Only { buffer, holds };
        let to_client = buffer == Buffer::FileData || buffer == Buffer::TlsCerts;
        let direction = if to_client { Direction::ToClient } else { Direction::ToServer };
        // no packet, so that nothing else is asked
        let packet = Packet { network: &[], ..packet(direction, 80, &[]) };
        let subject = Subject { now_ns: 1, packet, flow: Some(flow(of.app())), stream: None, transactions: &[&of] };
        self.ruleset.inspect(&subject, &mut FlowState::default(), &self.shared, &mut self.scratch, &mut self.out);
    }
}

fn packet(direction: Direction, port: u16, payload: &[u8]) -> Packet<'_> {
    let (client, server) = (([192, 168, 0, 1].into(), 40_000), ([198, 51, 100, 1].into(), port));
    let ((source, source_port), (destination, destination_port)) =
        if direction == Direction::ToServer { (client, server) } else { (server, client) };
    Packet {
        direction,
        source,
        destination,
        protocol: 6,
        source_port,
        destination_port,
        network: &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        transport: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0],
        payload,
        vlan: [0; 2],
        cut: false,
        events: &[],
    }
}

const fn flow(app: App) -> Flow {
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
