//! DNS over datagrams and over TCP (RFC 1035, RFC 7766), and what has its message format: multicast DNS and LLMNR.

mod exchange;
mod message;
mod names;
#[cfg(test)]
mod tests;
mod told;

use dropgate_signatures::{protocol::App, subject::Direction};

use self::{exchange::Asked, message::Message};
use super::{Exchange, Limits, Parser, events::Events, held::Held};

/// What stands before a message on TCP.
const LENGTH: usize = 2;

/// A parser of one flow.
#[derive(Debug)]
pub struct Dns {
    app: App,
    transactions: Held<Asked>,
    /// On TCP: what has come of each direction's message, with the length before it; `None`: it is not read any more.
    stream: Option<[Option<Vec<u8>>; 2]>,
}

impl Dns {
    /// Of datagrams: each one that is heard is a message.
    pub fn datagrams(app: App, limits: Limits) -> Self {
        Self { app, transactions: Held::new(limits.transactions), stream: None }
    }

    /// Of a TCP connection.
    pub fn stream(limits: Limits) -> Self {
        Self { stream: Some([Some(Vec::new()), Some(Vec::new())]), ..Self::datagrams(App::Dns, limits) }
    }

    fn message(&mut self, direction: Direction, bytes: &[u8]) {
        let mut events = Events::default();
        let message = Message::read(bytes, &mut events);
        match (&message, direction) {
            (None, _) => _ = events.note("malformed_data"),
            // anyone answers and asks on a multicast group
            _ if self.app == App::Mdns => {}
            (Some(message), Direction::ToServer) if message.is_response() => _ = events.note("not_request"),
            (Some(message), Direction::ToClient) if !message.is_response() => _ = events.note("not_response"),
            _ => {}
        }
        let app = self.app;
        self.transactions.add(|id| Asked { id, app, direction, message, events });
    }

    fn close(&mut self, direction: Direction) {
        if let Some(stream) = &mut self.stream {
            stream[direction as usize] = None;
        }
    }
}

impl Parser for Dns {
    fn hear(&mut self, direction: Direction, mut said: &[u8]) {
        let Some(stream) = &mut self.stream else { return self.message(direction, said) };
        let Some(mut kept) = stream[direction as usize].take() else { return };
        while !said.is_empty() {
            let wanted = match *kept {
                [high, low, ..] => LENGTH + usize::from(u16::from_be_bytes([high, low])),
                _ => LENGTH,
            };
            let (part, rest) = said.split_at((wanted - kept.len()).min(said.len()));
            kept.extend_from_slice(part);
            said = rest;
            if let [high, low, message @ ..] = &*kept
                && message.len() == usize::from(u16::from_be_bytes([*high, *low]))
            {
                if !message.is_empty() {
                    self.message(direction, message);
                }
                kept.clear();
            }
        }
        if let Some(stream) = &mut self.stream {
            stream[direction as usize] = Some(kept);
        }
    }

    fn lost(&mut self, direction: Direction, _bytes: u64) {
        // where the next message begins is not known any more
        self.close(direction);
    }

    fn end(&mut self, direction: Direction) {
        self.close(direction);
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.transactions.iter().map(|one| one as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        self.transactions.forget(id);
    }

    fn is_opaque(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.iter().all(Option::is_none))
    }

    fn footprint(&self) -> usize {
        let kept: usize = self.stream.iter().flatten().flatten().map(Vec::capacity).sum();
        size_of::<Self>() + kept + self.transactions.iter().map(Asked::footprint).sum::<usize>()
    }
}
