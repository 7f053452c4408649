//! What was said on a flow so far.

use dropgate_abi::reason::Reason;

use super::{Answer, expect::Rules};
use crate::{
    protocol::{self, Candidates, Datagrams, Direction, MOST_DATAGRAMS, Spoken, Stream},
    reassembly::{self, Connection, Limits, Outcome, Segment},
};

/// Bytes of a datagram that are kept.
const DATAGRAM: usize = 2048;
/// Most bytes of each direction that identification is shown.
const PREFIX: u64 = 16 << 10;

/// Packets of a flow that wait at most.
const MOST_WAITING: usize = 32;
/// How often what a flow says may wait in vain.
const STALLS: u8 = 3;

/// What became of a flow's first packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// They were inspected.
    Seen,
    /// They came before anything was inspected: the flow was taken in mid-stream, or another daemon held them.
    Before,
    /// They were inspected, and what they said has been forgotten: too many flows, or silent for too long.
    Forgotten,
}

/// A packet that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Place of the socket that it came by.
    pub place: u32,
    pub frame: Box<[u8]>,
}

/// A flow under inspection.
#[derive(Debug)]
pub struct Talk {
    connection: Option<Box<Connection>>,
    datagrams: Vec<(Direction, Box<[u8]>)>,
    candidates: Candidates,
    /// Out of turn, by token.
    kept: Vec<(u32, Direction, Box<[u8]>)>,
    next_token: u32,
    /// In their order: what was said before it is known what is spoken.
    waiting: Vec<Waiting>,
    /// How often what waited was let go without that.
    stalls: u8,
    pub spoken: Spoken,
    /// Payload so far, both directions.
    pub bytes: u64,
    pub beginning: Beginning,
    /// When the first payload came, by the caller's clock.
    pub since_ns: Option<u64>,
    /// Nothing more is wanted of it, and [`dropgate_abi::flow::Flow::app`].
    pub settled: bool,
    pub app: u8,
    /// It ends: every packet of it is dropped.
    pub condemned: Option<Reason>,
}

impl Talk {
    /// A flow of which nothing has been seen here.
    pub fn new(beginning: Beginning) -> Self {
        Self {
            connection: None,
            datagrams: Vec::new(),
            candidates: Candidates::default(),
            kept: Vec::new(),
            next_token: 0,
            waiting: Vec::new(),
            stalls: 0,
            spoken: Spoken::Pending,
            bytes: 0,
            beginning,
            since_ns: None,
            settled: false,
            app: 0,
            condemned: None,
        }
    }

    /// Whether packets of it are with us.
    pub const fn keeps(&self) -> bool {
        !self.kept.is_empty() || !self.waiting.is_empty()
    }

    /// Whether what is said now has to wait: until it is known what is spoken, or behind what waits already. The other end
    /// must not see a byte of what does not belong there; but it may have to see some before it says what tells, so that
    /// nothing waits for long, nor often.
    pub(super) const fn makes_wait(&self) -> bool {
        !self.waiting.is_empty() || !self.settled && self.stalls < STALLS
    }

    /// Takes a packet that came by the socket at `place`; whether it is the first one.
    pub fn wait(&mut self, place: u32, frame: Box<[u8]>) -> bool {
        self.waiting.push(Waiting { place, frame });
        self.waiting.len() == 1
    }

    /// Whether what waits is to be let go at once.
    pub const fn has_waited(&self) -> bool {
        self.settled || self.waiting.len() >= MOST_WAITING
    }

    /// What waited, to be let go in this order.
    pub fn let_go(&mut self) -> Vec<Waiting> {
        if !self.settled && !self.waiting.is_empty() {
            self.stalls = self.stalls.saturating_add(1);
        }
        std::mem::take(&mut self.waiting)
    }

    /// Bytes of memory that it takes beyond its own size, about.
    pub fn footprint(&self) -> usize {
        let kept = self.kept.iter().map(|(.., frame)| frame.len());
        let waiting = self.waiting.iter().map(|waiting| waiting.frame.len());
        let datagrams = self.datagrams.iter().map(|(_, payload)| payload.len());
        let connection = self.connection.as_ref().map_or(0, |connection| connection.footprint());
        connection + kept.chain(waiting).chain(datagrams).sum::<usize>()
    }

    /// Nothing more is looked for. What is kept of a direction leaves; what is kept of the other one would leave by another
    /// way, and its sender sends it again.
    pub(super) fn give_up(&mut self, direction: Direction, let_go: &mut Vec<Box<[u8]>>) {
        let kept = self.kept.drain(..).filter(|(_, way, _)| *way == direction);
        let_go.extend(kept.map(|(.., frame)| frame));
    }

    /// The first bytes of a direction.
    pub fn said(&self, direction: Direction) -> &[u8] {
        match &self.connection {
            Some(connection) => connection.bytes(direction),
            None => {
                let first = self.datagrams.iter().find(|(way, _)| *way == direction);
                first.map_or(&[], |(_, payload)| payload)
            }
        }
    }

    /// A datagram.
    pub(super) fn datagram(&mut self, direction: Direction, payload: &[u8], rules: &Rules) {
        self.bytes += payload.len() as u64;
        if self.settled && !rules.inspection.everything || self.datagrams.len() == MOST_DATAGRAMS {
            return;
        }
        self.datagrams.push((direction, payload[..payload.len().min(DATAGRAM)].into()));
        if self.spoken == Spoken::Pending {
            let said: Vec<(Direction, &[u8])> = self.datagrams.iter().map(|(way, bytes)| (*way, &**bytes)).collect();
            self.spoken = protocol::datagrams(Datagrams { said: &said }, &mut self.candidates);
        }
    }

    /// A TCP segment, of the packet `frame`; frames that leave after it go into `let_go`.
    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        frame: &[u8],
        rules: &Rules,
        out: &mut Outcome,
        let_go: &mut Vec<Box<[u8]>>,
    ) -> Answer {
        self.bytes += segment.payload.len() as u64;
        let limits = Limits { prefix: rules.inspection.depth.min(PREFIX) as usize, ..Limits::default() };
        let connection = self.connection.get_or_insert_with(|| Box::new(Connection::new(&limits)));
        let token = self.next_token;
        self.next_token = self.next_token.wrapping_add(1);
        let answer = connection.segment(segment, token, out);
        if out.restarted {
            // the same addresses and ports, another conversation
            (self.spoken, self.candidates, self.settled) = (Spoken::Pending, Candidates::default(), false);
        }
        for (token, _) in &out.discard {
            self.kept.retain(|(kept, ..)| kept != token);
        }
        for token in &out.let_go {
            if let Some(at) = self.kept.iter().position(|(kept, ..)| kept == token) {
                let (_, direction, frame) = self.kept.remove(at);
                // one of the other direction would leave by another way; its sender sends it again
                if direction == segment.direction {
                    let_go.push(frame);
                }
            }
        }
        let connection = self.connection.as_deref();
        if let Some(connection) = connection {
            let adopted = connection.adopted(Direction::ToServer) || connection.adopted(Direction::ToClient);
            if adopted && self.beginning == Beginning::Seen {
                self.beginning = Beginning::Before;
            }
            let new = !out.stream(Direction::ToServer).is_empty() || !out.stream(Direction::ToClient).is_empty();
            if new && self.spoken == Spoken::Pending {
                let said = Stream {
                    to_server: connection.bytes(Direction::ToServer),
                    to_client: connection.bytes(Direction::ToClient),
                };
                self.spoken = protocol::stream(said, &mut self.candidates);
            }
        }
        match answer {
            reassembly::Answer::Release => Answer::Release,
            reassembly::Answer::Hold => {
                self.kept.push((token, segment.direction, frame.into()));
                Answer::Keep
            }
            reassembly::Answer::Drop(reason) => Answer::Drop(reason),
        }
    }

    /// Nothing more is wanted of it.
    pub(super) fn settle(&mut self, app: u8) {
        self.settled = true;
        self.app = app;
        if self.kept.is_empty() {
            self.connection = None;
        }
        self.datagrams = Vec::new();
    }

    /// The flow ends here.
    pub(super) fn condemn(&mut self, reason: Reason) {
        self.condemned = Some(reason);
        self.connection = None;
        self.datagrams = Vec::new();
        self.kept = Vec::new();
        self.waiting = Vec::new();
    }
}
