//! QUIC as far as anyone can read it: the hellos in Initial packets, and Google's hello in clear. One transaction a hello.

mod exchange;
mod google;
#[cfg(test)]
mod tests;

use dropgate_signatures::subject::Direction;

use self::exchange::Said;
use super::{
    Exchange, Limits, Parser,
    events::Events,
    held::Held,
    tls::{
        hello::{Hello, Side},
        ja3::Ja3,
        ja4::ja4,
    },
};
use crate::protocol::{
    quic::{
        crypto::Crypto,
        header::{self, Kind, Long},
        initial::Keys,
    },
    wire::Bytes,
};

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Initial packets of a flow that are opened: each costs a key derivation at most, and a decryption.
const OPENED_MAX: u32 = 64;
/// Datagrams without a hello in which one is looked for.
const DATAGRAMS_MAX: u32 = 256;

/// A parser of one flow.
#[derive(Debug)]
pub struct Quic {
    /// Both sides', from the client's first packet.
    keys: Option<[Keys; 2]>,
    crypto: [Crypto; 2],
    transactions: Held<Said>,
    /// Whose hello was read.
    greeted: [bool; 2],
    opened: u32,
    datagrams: u32,
}

impl Quic {
    pub fn new(limits: Limits) -> Self {
        Self {
            keys: None,
            crypto: Default::default(),
            transactions: Held::new(limits.transactions),
            greeted: [false; 2],
            opened: 0,
            datagrams: 0,
        }
    }

    fn packet(&mut self, direction: Direction, packet: &Long<'_>) {
        if packet.kind != Kind::Initial || self.opened >= OPENED_MAX {
            return;
        }
        self.opened += 1;
        let mut events = Events::default();
        let Some(payload) = self.open(direction, packet) else {
            // the server's are sealed with keys that the client's first packet gives
            if direction == Direction::ToServer {
                events.note("failed_decrypt");
                self.tell(direction, packet.version, None, events);
            }
            return;
        };
        let crypto = &mut self.crypto[direction as usize];
        if crypto.take(&payload).is_none() {
            events.note("error_on_data");
        }
        let (side, kind) = match direction {
            Direction::ToServer => (Side::Client, CLIENT_HELLO),
            Direction::ToClient => (Side::Server, SERVER_HELLO),
        };
        let message = if self.greeted[direction as usize] { None } else { crypto.message(kind) };
        let hello = message.and_then(|message| Hello::read(side, message.get(4..)?, &mut Events::default()));
        self.greeted[direction as usize] |= hello.is_some();
        if hello.is_some() || !events.names().is_empty() {
            self.tell(direction, packet.version, hello, events);
        }
    }

    fn open(&mut self, direction: Direction, packet: &Long<'_>) -> Option<Vec<u8>> {
        if let Some(payload) = self.keys.as_ref().and_then(|keys| keys[direction as usize].open(packet)) {
            return Some(payload);
        }
        if direction == Direction::ToClient {
            return None;
        }
        // the first one, or the first one behind a Retry, which names a new id
        header::salts(packet.version).iter().find_map(|salt| {
            let client = Keys::of_client(packet.version, salt, packet.destination)?;
            let payload = client.open(packet)?;
            let server = Keys::of_server(packet.version, salt, packet.destination)?;
            self.keys = Some([client, server]);
            self.crypto = Default::default();
            self.greeted = [false; 2];
            Some(payload)
        })
    }

    fn tell(&mut self, direction: Direction, version: u32, hello: Option<Hello>, events: Events) {
        let ja3 = hello.as_ref().map(|hello| match direction {
            Direction::ToServer => Ja3::of_client(hello),
            Direction::ToClient => Ja3::of_server(hello),
        });
        let client = hello.as_ref().filter(|_| direction == Direction::ToServer);
        let ja4 = client.map(|hello| ja4(hello, true));
        let said = |id| Said { id, direction, version, hello, ja3, ja4, google: None, events };
        self.transactions.add(said);
    }
}

impl Parser for Quic {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        self.datagrams = self.datagrams.saturating_add(1);
        if let Some((version, hello)) = google::hello(said) {
            let google = Some(hello);
            let events = Events::default();
            let said = |id| Said { id, direction, version, hello: None, ja3: None, ja4: None, google, events };
            self.transactions.add(said);
            return;
        }
        let mut bytes = Bytes::new(said);
        // packets behind a short header have no length; what is no packet is padding
        while bytes.rest.first().is_some_and(|byte| byte & 0x80 != 0) {
            let Some(packet) = header::long(&mut bytes) else { return };
            self.packet(direction, &packet);
        }
    }

    fn lost(&mut self, _direction: Direction, _bytes: u64) {}

    fn end(&mut self, _direction: Direction) {}

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.transactions.iter().map(|one| one as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        self.transactions.forget(id);
    }

    fn is_opaque(&self) -> bool {
        let silent = self.datagrams >= DATAGRAMS_MAX || self.opened >= OPENED_MAX;
        (self.greeted == [true; 2] || silent) && self.transactions.iter().next().is_none()
    }

    fn footprint(&self) -> usize {
        let crypto: usize = self.crypto.iter().map(Crypto::footprint).sum();
        size_of::<Self>() + crypto + self.transactions.iter().map(Said::footprint).sum::<usize>()
    }
}
