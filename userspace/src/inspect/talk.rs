//! What was said on a flow so far.

mod datagrams;
mod wait;

pub use self::wait::Waiting;

use std::sync::Arc;

use dropgate_abi::{hold::Held, opening::Opened, reason::Reason};

use super::{
    Announced, Answer, Judged, Note,
    expect::Rules,
    layer::{Layer, Parties, Stage},
    packet::Packet,
    watch::Watch,
};
use crate::{
    protocol::Direction,
    reassembly::{self, Connection, Limits, Outcome, Said, Segment, flag},
};

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

/// A flow under inspection.
#[derive(Debug)]
pub struct Talk {
    connection: Option<Box<Connection>>,
    /// What was inspected when it was known what is spoken. Until the receivers have it, the connection is kept, so that
    /// they cannot be given other bytes in its place.
    inspected: Option<Said>,
    datagrams: Vec<(Direction, Box<[u8]>)>,
    /// Conversations within one another, outermost first; the last one is what is spoken now.
    layers: Vec<Layer>,
    /// Out of turn, by token; of a fragmented packet, one after the other.
    kept: Vec<(u32, Direction, Box<[u8]>)>,
    next_token: u32,
    /// In their order: what was said before it is known what is spoken.
    waiting: Vec<Waiting>,
    /// Packets that those frames are.
    waits: usize,
    waiting_bytes: usize,
    /// How often what waited was let go without that.
    stalls: u8,
    /// Since when there was no memory for what it says, by the caller's clock.
    pub(super) refused_ns: Option<u64>,
    pub beginning: Beginning,
    /// Nothing more is wanted of it, but for what rules say.
    pub settled: bool,
    /// What rules say of it.
    pub(super) watch: Watch,
    /// There are rules, and they may yet say something.
    pub(super) watching: bool,
    /// [`dropgate_abi::flow::Flow::app`]: what the outermost conversation is, once that is known.
    pub app: u8,
    /// Beginnings that told nothing.
    beginnings: u8,
    /// Faults that were told of.
    pub(super) told: u8,
    /// What events tell of it.
    note: Arc<Note>,
    /// What of `app` the flow table was told while the flow stays under inspection.
    noted: u8,
    /// It ends: every packet of it is dropped.
    pub condemned: Option<Reason>,
}

impl Talk {
    /// A flow of which nothing has been seen here.
    pub fn new(beginning: Beginning) -> Self {
        Self {
            connection: None,
            inspected: None,
            datagrams: Vec::new(),
            layers: Vec::new(),
            kept: Vec::new(),
            next_token: 0,
            waiting: Vec::new(),
            waits: 0,
            waiting_bytes: 0,
            stalls: 0,
            refused_ns: None,
            beginning,
            settled: false,
            watch: Watch::default(),
            watching: false,
            app: 0,
            beginnings: 0,
            told: 0,
            note: Arc::default(),
            noted: 0,
            condemned: None,
        }
    }

    /// Frames of it that are with us.
    pub fn frames(&self) -> usize {
        self.kept.len() + self.waiting.len()
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

    /// Whether it is not to be forgotten while it is silent, because what it says later cannot be told without what it said: as
    /// long as it says anything.
    pub fn lasts(&self) -> bool {
        let over = self.connection.as_ref().is_some_and(|connection| connection.over());
        !over && (self.announces() || self.layers.iter().any(Layer::is_proxied) || self.is_silent())
    }

    /// Whether the connection stands, and nobody has said anything yet.
    pub fn is_silent(&self) -> bool {
        self.beginning == Beginning::Seen
            && self.layers.iter().all(|layer| layer.bytes == 0)
            && self.connection.as_ref().is_some_and(|connection| connection.is_open())
    }

    /// What it is, if that is known and was not told yet.
    pub(super) fn note(&mut self) -> Option<u8> {
        let new = self.app != self.noted;
        self.noted = self.app;
        new.then_some(self.app)
    }

    /// What events tell of it.
    pub fn told_note(&self) -> Arc<Note> {
        Arc::clone(&self.note)
    }

    /// Changes what events tell of it: whether that is something else now, it is told.
    pub(super) fn notice(&mut self, out: &mut Judged, change: impl FnOnce(&mut Note)) {
        if let Some(note) = self.change_note(change) {
            out.noticed = Some(note);
        }
    }

    /// The same; what it is now, if it has changed.
    pub(super) fn change_note(&mut self, change: impl FnOnce(&mut Note)) -> Option<Arc<Note>> {
        let mut note = Note::clone(&self.note);
        change(&mut note);
        if note == *self.note {
            return None;
        }
        self.note = Arc::new(note);
        Some(self.told_note())
    }

    /// Takes in the hardware addresses of a frame.
    pub(super) fn see(&mut self, frame: &[u8], to_client: bool, out: &mut Judged) {
        let known = |at: usize, side: usize| {
            frame.get(at..at + 6).is_none_or(|mac| self.note.macs[side].iter().any(|known| known == mac))
        };
        if !known(6, usize::from(to_client)) || !known(0, usize::from(!to_client)) {
            self.notice(out, |note| _ = note.see(frame, to_client));
        }
    }

    /// What was announced with this packet.
    pub(super) fn announce(&mut self, held: &Held, packet: &Packet<'_>, out: &mut Vec<Announced>) {
        if let Some(control) = self.layers.first_mut().and_then(Layer::control) {
            control.announce(held, packet, out);
        }
    }

    /// Whether the receivers have all that told what is spoken. Where the packets of one side do not come this way, nobody
    /// says so, and it is enough that much was said.
    pub(super) fn is_confirmed(&self, rules: &Rules) -> bool {
        match (&self.connection, &self.inspected) {
            (Some(connection), Some(inspected)) => connection.has_delivered(inspected, rules.inspection.depth),
            _ => true,
        }
    }

    /// Bytes of memory that it takes beyond its own size, about.
    pub fn footprint(&self) -> usize {
        let kept = self.kept.iter().map(|(.., frame)| frame.len());
        let waiting = self.waiting.iter().map(|waiting| waiting.frame.len());
        let datagrams = self.datagrams.iter().map(|(_, payload)| payload.len());
        let layers = self.layers.iter().map(Layer::footprint);
        let connection = self.connection.as_ref().map_or(0, |connection| connection.footprint());
        let connection = connection + self.watch.footprint();
        connection + kept.chain(waiting).chain(datagrams).chain(layers).sum::<usize>()
    }

    /// Nothing more is looked for, for this reason. What is kept of a direction leaves; what is kept of the other one would
    /// leave by another way, and its sender sends it again.
    pub(super) fn give_up(&mut self, direction: Direction, reason: Reason, out: &mut Judged) {
        for (_, way, frame) in self.kept.drain(..) {
            if way == direction {
                out.let_go.push(frame);
            } else {
                out.discarded.push((reason, frame));
            }
        }
        self.connection = None;
    }

    /// What was said in a direction of the conversation that is held now, as far as it was not read.
    pub(super) fn said(&self, direction: Direction) -> &[u8] {
        match (self.datagrams.iter().find(|(way, _)| *way == direction), self.layers.last()) {
            (Some((_, payload)), _) => payload,
            (None, Some(layer)) => layer.said(direction),
            (None, None) => &[],
        }
    }

    /// The one direction of which its receiver has still to acknowledge something before it is confirmed, and the number that
    /// acknowledges all of it.
    pub(super) fn awaits(&self) -> Option<(Direction, u32)> {
        self.connection.as_ref()?.awaits(self.inspected.as_ref()?)
    }

    /// The receiver of a direction was seen to acknowledge something, by those who did not hold the packet.
    pub fn heard(&mut self, from: Direction, acknowledgement: (u32, u16)) {
        if let Some(connection) = &mut self.connection {
            connection.heard(from, acknowledgement, &mut Outcome::default());
        }
    }

    /// A TCP segment, of the packet that came in `parts`, on a connection that `opened` so; frames kept earlier that leave with
    /// it go into [`Judged::let_go`].
    pub(super) fn segment(
        &mut self,
        (segment, opened): (&Segment<'_>, &[Opened; 2]),
        parts: &[&[u8]],
        rules: &Rules,
        judged: &mut Judged,
    ) -> Answer {
        // Receivers take urgent bytes out of the stream unless they were told not to: they would read another one. On a control
        // channel that announces nothing to them that was not announced, and FTP's ABOR comes so (RFC 959, 4.1.3).
        let undecided = !self.settled && !self.announces() || self.inspected.is_some() || self.watching;
        if segment.flags & flag::URG != 0 && undecided {
            return Answer::Drop(Reason::tcp_urgent);
        }
        // the conversations keep what they still need
        let limits = Limits { prefix: 0, gaps: rules.capture, ..Limits::default() };
        let first = self.connection.is_none() && self.beginning == Beginning::Seen;
        let connection = self.connection.get_or_insert_with(|| Box::new(Connection::new(&limits)));
        let Judged { stream: out, let_go, discarded, .. } = judged;
        if first {
            connection.opened(opened, out);
        }
        let token = self.next_token;
        self.next_token = self.next_token.wrapping_add(1);
        let answer = connection.segment(segment, token, out);
        if out.restarted {
            // the same addresses and ports, another conversation
            self.layers.clear();
            self.watch = Watch::default();
            (self.settled, self.inspected, self.stalls) = (false, None, 0);
        }
        for (token, reason) in &out.discard {
            let ended = self.kept.extract_if(.., |(kept, ..)| kept == token);
            discarded.extend(ended.map(|(.., frame)| (*reason, frame)));
        }
        // in the order in which they came; one of the other direction would leave by another way, and its sender sends it again
        let leaving = self.kept.extract_if(.., |(kept, ..)| out.let_go.contains(kept));
        let_go.extend(leaving.filter(|(_, way, _)| *way == segment.direction).map(|(.., frame)| frame));
        let adopted = connection.adopted(Direction::ToServer) || connection.adopted(Direction::ToClient);
        if adopted && self.beginning == Beginning::Seen {
            self.beginning = Beginning::Before;
        }
        if !self.settled || self.watching {
            if let Some((direction, bytes)) = out.gap {
                self.layer().lost(direction, bytes);
            }
            self.layer().hear(out.stream(Direction::ToServer), out.stream(Direction::ToClient), rules);
        }
        match answer {
            reassembly::Answer::Release => Answer::Release,
            reassembly::Answer::Hold => {
                self.kept.extend(parts.iter().map(|part| (token, segment.direction, Box::from(*part))));
                Answer::Keep
            }
            reassembly::Answer::Drop(reason) => Answer::Drop(reason),
        }
    }

    /// The segment that was kept last does not leave when its turn comes.
    pub(super) fn drop_latest(&mut self) {
        let latest = self.next_token.wrapping_sub(1);
        self.kept.retain(|(token, ..)| *token != latest);
    }

    /// Nothing more is wanted of it.
    pub(super) fn settle(&mut self) {
        self.settled = true;
        let connection = self.connection.as_deref().filter(|_| self.beginning == Beginning::Seen);
        self.inspected = connection.map(Connection::said);
        if !self.watching {
            self.layers = Vec::new();
        }
        self.datagrams = Vec::new();
    }

    /// It is known what is spoken now: it is read for rules.
    pub(super) fn begin(&mut self, rules: &Rules, udp: bool, parties: Parties, unix_s: i64) {
        let (layers, datagrams) = (&mut self.layers, &self.datagrams);
        if let Some(layer) = layers.last_mut() {
            layer.begin(parties, udp.then_some(datagrams), rules.signatures.as_ref(), unix_s);
        }
    }

    /// Conversations, and what rules know of them.
    pub(super) fn watched(&mut self) -> (&mut [Layer], &mut Watch) {
        (&mut self.layers, &mut self.watch)
    }

    /// Whether nothing more will be said in a direction.
    pub(super) fn has_ended(&self, direction: Direction) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.has_ended(direction))
    }

    /// Whether the connection was reset, or both ends have all that was said.
    pub(super) fn is_over(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.over())
    }

    /// Whether both ends have spoken: of TCP, both have begun.
    pub(super) fn is_established(&self) -> bool {
        self.connection.as_ref().map_or_else(|| self.watch.is_answered(), |connection| connection.is_established())
    }

    /// Whether rules may yet say something of it, or there is something to tell.
    pub const fn is_watched(&self) -> bool {
        self.watching && !self.watch.is_over()
    }

    /// Rules have nothing more to say of it.
    pub(super) fn unwatch(&mut self) {
        self.watching = false;
        if self.settled {
            self.settle();
        }
    }

    /// It leaves inspection.
    pub(super) fn leave(&mut self) {
        if self.kept.is_empty() {
            (self.connection, self.inspected) = (None, None);
        }
    }

    /// The flow ends here, and with it what is with us of it.
    pub(super) fn condemn(&mut self, reason: Reason, out: &mut Judged) {
        out.condemned = Some((reason, self.app));
        let kept = std::mem::take(&mut self.kept).into_iter().map(|(.., frame)| frame);
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.frame);
        out.discarded.extend(out.let_go.drain(..).chain(kept).chain(waiting).map(|frame| (reason, frame)));
        self.condemned = Some(reason);
        self.connection = None;
        self.layers = Vec::new();
        self.datagrams = Vec::new();
        (self.waits, self.waiting_bytes) = (0, 0);
    }
}
