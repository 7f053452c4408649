//! Datagrams: what is spoken, however late that shows.

use dropgate_abi::{
    flow::{app, flag},
    hold::Held,
};

use super::{Layer, Rules, Stage, Talk};
use crate::{
    inspect::{Context, layer::Parties, packet::Packet, recall::is_session},
    protocol::{self, Candidates, Datagrams, Direction, MOST_DATAGRAMS, Protocol, Spoken},
};

/// Bytes of a datagram that are kept.
const DATAGRAM: usize = 2048;

impl Talk {
    /// What the programs know of a flow that is no connection: whether it was answered, and, where nothing is wanted of it but what
    /// rules say, what it speaks.
    pub(in crate::inspect) fn resume(&mut self, held: &Held, packet: &Packet<'_>, context: &Context<'_>) {
        self.watch.answered |= held.flags & flag::ESTABLISHED != 0;
        if held.sieved == 0 || self.settled {
            return;
        }
        (self.settled, self.app) = (true, held.app);
        let spoken = match (Protocol::numbered(held.app), held.app) {
            (Some(protocol), _) => Spoken::Known(protocol, Direction::ToServer, 0),
            (None, app::UNKNOWN) => Spoken::Unknown,
            (None, _) => Spoken::Pending,
        };
        let parties = Parties::of(held, packet);
        self.layers = vec![Layer::of(spoken, parties.port)];
        self.datagrams.clear();
        // of what goes on where its beginning was, nothing can be read
        if !Protocol::numbered(held.app).is_some_and(is_session) {
            self.begin(context.rules, true, parties, context.unix_s);
        }
    }

    /// Whether nothing more is wanted of it, but packets that rules may match.
    pub const fn is_finished(&self) -> bool {
        self.settled && (!self.watching || !self.watch.reads)
    }

    /// Whether nothing is wanted of it but what rules say of packets by themselves.
    pub const fn is_sieved(&self) -> bool {
        self.settled && self.watching && !self.watch.reads
    }

    /// A datagram.
    pub(in crate::inspect) fn datagram(&mut self, direction: Direction, payload: &[u8], rules: &Rules) {
        if self.settled && !self.watching && !rules.inspection.everything {
            return;
        }
        self.layer().hear_datagram(direction, payload);
        if self.settled || self.datagrams.len() == MOST_DATAGRAMS {
            return;
        }
        if self.layer().is_carrying() && protocol::is_stun(payload) {
            return;
        }
        self.datagrams.push((direction, payload[..payload.len().min(DATAGRAM)].into()));
        let datagrams = std::mem::take(&mut self.datagrams);
        let said: Vec<(Direction, &[u8])> = datagrams.iter().map(|(way, bytes)| (*way, &**bytes)).collect();
        self.layer().datagrams(&said);
        self.datagrams = datagrams;
    }

    /// Nothing that is known: what is said from here on is looked at as if the flow began with it. Whether there is a next
    /// time.
    pub(in crate::inspect) fn begin_anew(&mut self) -> bool {
        self.beginnings += 1;
        let layer = self.layer();
        layer.stage = Stage::Anew;
        (layer.spoken, layer.candidates) = (Spoken::Pending, Candidates::default());
        self.datagrams.clear();
        usize::from(self.beginnings) < MOST_DATAGRAMS
    }

    /// It is STUN: from here on what is none of its messages is looked at.
    pub(in crate::inspect) fn carries(&mut self) {
        self.layer().stage = Stage::Carry;
        self.datagrams.clear();
    }

    /// What came after STUN; whether as much of it is there as is looked at.
    pub(in crate::inspect) fn carried(&self) -> (Option<Protocol>, bool) {
        let said: Vec<(Direction, &[u8])> = self.datagrams.iter().map(|(way, bytes)| (*way, &**bytes)).collect();
        (protocol::carried(Datagrams { said: &said }), self.datagrams.len() == MOST_DATAGRAMS)
    }
}
