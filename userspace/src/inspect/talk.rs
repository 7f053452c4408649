//! What was said on a flow so far.

use dropgate_abi::{hold::Held, reason::Reason};

use super::{Announced, Answer, expect::Rules, layer::Layer, packet::Packet};
use crate::{
    protocol::{Direction, MOST_DATAGRAMS},
    reassembly::{self, Connection, Limits, Outcome, Segment},
};

/// Bytes of a datagram that are kept.
const DATAGRAM: usize = 2048;
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
    /// Conversations within one another, outermost first; the last one is what is spoken now.
    layers: Vec<Layer>,
    /// Out of turn, by token.
    kept: Vec<(u32, Direction, Box<[u8]>)>,
    next_token: u32,
    /// In their order: what was said before it is known what is spoken.
    waiting: Vec<Waiting>,
    /// How often what waited was let go without that.
    stalls: u8,
    pub beginning: Beginning,
    /// Nothing more is wanted of it.
    pub settled: bool,
    /// [`dropgate_abi::flow::Flow::app`]: what the outermost conversation is, once that is known.
    pub app: u8,
    /// That was told, though the flow stays under inspection.
    noted: bool,
    /// It ends: every packet of it is dropped.
    pub condemned: Option<Reason>,
}

impl Talk {
    /// A flow of which nothing has been seen here.
    pub fn new(beginning: Beginning) -> Self {
        Self {
            connection: None,
            datagrams: Vec::new(),
            layers: Vec::new(),
            kept: Vec::new(),
            next_token: 0,
            waiting: Vec::new(),
            stalls: 0,
            beginning,
            settled: false,
            app: 0,
            noted: false,
            condemned: None,
        }
    }

    /// Whether packets of it are with us.
    pub const fn keeps(&self) -> bool {
        !self.kept.is_empty() || !self.waiting.is_empty()
    }

    /// The conversation that is held now.
    pub(super) fn layer(&mut self) -> &mut Layer {
        if self.layers.is_empty() {
            self.layers.push(Layer::default());
        }
        let last = self.layers.len() - 1;
        &mut self.layers[last]
    }

    /// Conversations within one another.
    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The conversation changes into another one, whose packets wait anew.
    pub(super) fn enter(&mut self, layer: Layer) {
        self.layers.push(layer);
        self.stalls = 0;
    }

    /// Whether it is listened to for as long as it lives, because it announces other flows.
    pub fn announces(&self) -> bool {
        self.layers.first().is_some_and(Layer::is_control)
    }

    /// What it is, if that was not told yet and it stays under inspection.
    pub(super) fn note(&mut self) -> Option<u8> {
        let new = self.announces() && !self.noted;
        self.noted |= new;
        new.then_some(self.app)
    }

    /// What was announced with this packet.
    pub(super) fn announce(&mut self, held: &Held, packet: &Packet<'_>, out: &mut Vec<Announced>) {
        if let Some(control) = self.layers.first_mut().and_then(Layer::control) {
            control.announce(held, packet, out);
        }
    }

    /// Whether something was said of which more is needed before it can be judged.
    fn is_midway(&self) -> bool {
        !self.settled && self.layers.last().is_none_or(Layer::is_midway)
    }

    /// Whether what is said now has to wait: until it can be judged, or behind what waits already. The other end must not
    /// see a byte of what does not belong there; but it may have to see some before it says what tells, so that nothing
    /// waits for long, nor often.
    pub(super) fn makes_wait(&self) -> bool {
        !self.waiting.is_empty() || self.is_midway() && self.stalls < STALLS
    }

    /// Takes a packet that came by the socket at `place`; whether it is the first one.
    pub fn wait(&mut self, place: u32, frame: Box<[u8]>) -> bool {
        self.waiting.push(Waiting { place, frame });
        self.waiting.len() == 1
    }

    /// Whether what waits is to be let go at once.
    pub fn has_waited(&self) -> bool {
        !self.is_midway() || self.waiting.len() >= MOST_WAITING
    }

    /// What waited, to be let go in this order.
    pub fn let_go(&mut self) -> Vec<Waiting> {
        if self.is_midway() && !self.waiting.is_empty() {
            self.stalls = self.stalls.saturating_add(1);
        }
        std::mem::take(&mut self.waiting)
    }

    /// What was said in a direction of the conversation that is held now, as far as it was not read.
    pub(super) fn said(&self, direction: Direction) -> &[u8] {
        match (self.datagrams.iter().find(|(way, _)| *way == direction), self.layers.last()) {
            (Some((_, payload)), _) => payload,
            (None, Some(layer)) => layer.said(direction),
            (None, None) => &[],
        }
    }

    /// A datagram.
    pub(super) fn datagram(&mut self, direction: Direction, payload: &[u8], rules: &Rules) {
        if self.settled && !rules.inspection.everything {
            return;
        }
        self.layer().hear_datagram(direction, payload);
        if self.datagrams.len() == MOST_DATAGRAMS {
            return;
        }
        self.datagrams.push((direction, payload[..payload.len().min(DATAGRAM)].into()));
        let datagrams = std::mem::take(&mut self.datagrams);
        let said: Vec<(Direction, &[u8])> = datagrams.iter().map(|(way, bytes)| (*way, &**bytes)).collect();
        self.layer().datagrams(&said);
        self.datagrams = datagrams;
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
        // the conversations keep what they still need
        let limits = Limits { prefix: 0, ..Limits::default() };
        let connection = self.connection.get_or_insert_with(|| Box::new(Connection::new(&limits)));
        let token = self.next_token;
        self.next_token = self.next_token.wrapping_add(1);
        let answer = connection.segment(segment, token, out);
        if out.restarted {
            // the same addresses and ports, another conversation
            self.layers.clear();
            (self.settled, self.noted) = (false, false);
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
        let adopted = connection.adopted(Direction::ToServer) || connection.adopted(Direction::ToClient);
        if adopted && self.beginning == Beginning::Seen {
            self.beginning = Beginning::Before;
        }
        if !self.settled {
            self.layer().hear(out.stream(Direction::ToServer), out.stream(Direction::ToClient), rules);
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
    pub(super) fn settle(&mut self) {
        self.settled = true;
        if self.kept.is_empty() {
            self.connection = None;
        }
        self.layers = Vec::new();
        self.datagrams = Vec::new();
    }

    /// The flow ends here.
    pub(super) fn condemn(&mut self, reason: Reason) {
        self.condemned = Some(reason);
        self.connection = None;
        self.layers = Vec::new();
        self.datagrams = Vec::new();
        self.kept = Vec::new();
        self.waiting = Vec::new();
    }
}
