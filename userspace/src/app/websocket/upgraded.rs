//! A WebSocket connection from its request on: HTTP up to the empty line of either side, frames behind it.

use dropgate_signatures::subject::Direction;

use super::WebSocket;
use crate::app::{Exchange, Limits, Parser, http::Http1};

/// Transactions of the handshake have ids below this, frames from here on: there is one, or one of each side.
const FRAMES: u64 = 2;

/// How far a side is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing was said.
    Begin,
    /// A request or a response, of whose end so many bytes were said.
    Header(usize),
    Frames,
}

/// A parser of both.
#[derive(Debug)]
pub struct Upgraded {
    http: Http1,
    frames: WebSocket,
    stages: [Stage; 2],
}

impl Upgraded {
    /// A connection of which nothing was said.
    pub fn new(limits: Limits) -> Self {
        let frames = WebSocket { next: FRAMES, ..WebSocket::new(limits) };
        Self { http: Http1::new(limits), frames, stages: [Stage::Begin; 2] }
    }

    /// How many of these bytes belong to the handshake.
    fn handshake(stage: &mut Stage, said: &[u8]) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        if *stage == Stage::Begin && !said.is_empty() {
            // no frame begins with a letter: the bits of those mean nothing
            let is_text = said.first().is_some_and(u8::is_ascii_uppercase);
            *stage = if is_text { Stage::Header(0) } else { Stage::Frames };
        }
        let Stage::Header(matched) = stage else { return 0 };
        for (at, byte) in said.iter().enumerate() {
            *matched = match END.get(*matched) {
                Some(wanted) if wanted == byte => *matched + 1,
                _ if *byte == b'\r' => 1,
                _ => 0,
            };
            if *matched == END.len() {
                *stage = Stage::Frames;
                return at + 1;
            }
        }
        said.len()
    }
}

impl Parser for Upgraded {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        let used = Self::handshake(&mut self.stages[direction as usize], said);
        let (handshake, frames) = said.split_at(used);
        if !handshake.is_empty() {
            self.http.hear(direction, handshake);
        }
        if !frames.is_empty() {
            self.frames.hear(direction, frames);
        }
    }

    fn lost(&mut self, direction: Direction, bytes: u64) {
        if matches!(self.stages[direction as usize], Stage::Header(_)) {
            self.http.lost(direction, bytes);
        } else {
            self.frames.lost(direction, bytes);
        }
    }

    fn end(&mut self, direction: Direction) {
        self.http.end(direction);
        self.frames.end(direction);
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.http.transactions().into_iter().chain(self.frames.transactions()).collect()
    }

    fn forget(&mut self, id: u64) {
        if id < FRAMES {
            self.http.forget(id);
        } else {
            self.frames.forget(id);
        }
    }

    fn is_opaque(&self) -> bool {
        self.frames.is_opaque()
    }

    fn footprint(&self) -> usize {
        self.http.footprint() + self.frames.footprint()
    }
}

#[cfg(test)]
mod tests {
    use dropgate_signatures::protocol::App;

    use super::*;

    #[test]
    fn a_handshake_then_frames_however_they_are_cut() {
        let asked = b"GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\r\n\x81\x85\0\0\0\0hello";
        let told = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi";
        for cut in 1..asked.len() {
            let mut parser = Upgraded::new(Limits::default());
            asked.chunks(cut).for_each(|piece| parser.hear(Direction::ToServer, piece));
            told.chunks(cut).for_each(|piece| parser.hear(Direction::ToClient, piece));
            let apps: Vec<App> = parser.transactions().iter().map(|exchange| exchange.app()).collect();
            assert_eq!(apps, [App::Http1, App::Websocket, App::Websocket], "in pieces of {cut}");
            let ids: Vec<u64> = parser.transactions().iter().map(|exchange| exchange.id()).collect();
            ids.into_iter().for_each(|id| parser.forget(id));
            assert!(parser.transactions().is_empty());
        }
    }

    #[test]
    fn frames_of_a_connection_met_in_its_middle() {
        let mut parser = Upgraded::new(Limits::default());
        parser.hear(Direction::ToServer, b"\x81\x85\0\0\0\0hello");
        assert_eq!(parser.transactions()[0].app(), App::Websocket);
    }
}
