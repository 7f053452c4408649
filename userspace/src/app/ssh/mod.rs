//! SSH (RFC 4253): banners and the first key exchange, up to where it is encrypted. One transaction a connection.

mod exchange;
mod reader;
#[cfg(test)]
mod tests;

use dropgate_signatures::subject::Direction;

use self::{exchange::Opening, reader::Reader};
use super::{Exchange, Parser};

/// A parser of one connection.
#[derive(Debug, Default)]
pub struct Ssh {
    readers: [Reader; 2],
    opening: Option<Opening>,
}

impl Ssh {
    pub fn new() -> Self {
        Self { opening: Some(Opening::default()), ..Self::default() }
    }
}

impl Parser for Ssh {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        let Some(opening) = &mut self.opening else { return };
        self.readers[direction as usize].hear(said, &mut |said| opening.hear(direction, said));
    }

    fn lost(&mut self, direction: Direction, _bytes: u64) {
        // where the next packet begins is not known any more
        self.end(direction);
    }

    fn end(&mut self, direction: Direction) {
        self.readers[direction as usize].end();
        if let Some(opening) = &mut self.opening {
            opening.close(direction);
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.opening.iter().map(|opening| opening as &dyn Exchange).collect()
    }

    fn forget(&mut self, _id: u64) {
        self.opening = None;
    }

    fn is_opaque(&self) -> bool {
        self.opening.is_none() || self.readers.iter().all(Reader::is_over)
    }

    fn footprint(&self) -> usize {
        let readers: usize = self.readers.iter().map(Reader::footprint).sum();
        size_of::<Self>() + readers + self.opening.as_ref().map_or(0, Opening::footprint)
    }
}
