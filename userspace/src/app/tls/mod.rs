//! TLS: what is said in clear before it is encrypted. One transaction a connection.

mod asked;
mod certificate;
mod date;
mod handshake;
pub mod hello;
pub mod ja3;
pub mod ja4;
mod record;
#[cfg(test)]
mod tests;
mod told;
mod version;

use dropgate_signatures::subject::Direction;

use self::{handshake::Handshake, record::Records};
use super::{Exchange, Parser};

/// A parser of one connection.
#[derive(Debug)]
pub struct Tls {
    records: [Records; 2],
    handshake: Option<Handshake>,
}

impl Tls {
    pub fn new() -> Self {
        Self { records: Default::default(), handshake: Some(Handshake::default()) }
    }

    /// Events show certificates as they are, and those of clients, or not.
    #[must_use]
    pub fn showing(mut self, certificates: bool) -> Self {
        self.handshake.iter_mut().for_each(|handshake| handshake.shows = certificates);
        self
    }

    fn over(&self) -> bool {
        self.records.iter().all(Records::is_over)
    }

    /// Nothing more is read of a direction.
    fn close(&mut self, direction: Direction) {
        self.records[index(direction)].end();
        if let Some(handshake) = &mut self.handshake {
            handshake.close(direction);
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser for Tls {
    fn tick(&mut self, unix_s: i64) {
        if let Some(handshake) = &mut self.handshake {
            handshake.now(unix_s);
        }
    }

    fn hear(&mut self, direction: Direction, said: &[u8]) {
        let Some(handshake) = &mut self.handshake else { return };
        let records = &mut self.records[index(direction)];
        if records.is_over() {
            return;
        }
        records.hear(said, &mut |said| handshake.hear(direction, said));
        // what one side cannot go on with ends it for both
        if handshake.is_broken() {
            self.close(Direction::ToServer);
            self.close(Direction::ToClient);
        }
    }

    fn lost(&mut self, direction: Direction, _bytes: u64) {
        // where the next record begins is not known any more
        self.close(direction);
    }

    fn end(&mut self, direction: Direction) {
        self.close(direction);
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.handshake.iter().map(|handshake| handshake as &dyn Exchange).collect()
    }

    fn forget(&mut self, _id: u64) {
        self.handshake = None;
    }

    fn is_opaque(&self) -> bool {
        self.handshake.is_none() || self.over()
    }

    fn footprint(&self) -> usize {
        let records: usize = self.records.iter().map(Records::footprint).sum();
        size_of::<Self>() + records + self.handshake.as_ref().map_or(0, Handshake::footprint)
    }
}

/// Place of a direction among two.
const fn index(direction: Direction) -> usize {
    match direction {
        Direction::ToServer => 0,
        Direction::ToClient => 1,
    }
}
