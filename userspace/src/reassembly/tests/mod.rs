//! The cases of `docs/reassembly.md`, one test each, by name.

mod closing;
mod data;
mod header;
mod opening;
mod property;
mod receiver;

use dropgate_abi::reason::Reason;

use super::{
    Answer, Connection, Limits, Options, Outcome, Segment,
    flag::{ACK, PSH, SYN},
};
use crate::protocol::Direction::{self, ToClient, ToServer};

const CLIENT: u32 = 1_000;
const SERVER: u32 = 50_000;

/// A connection, with tokens given by turn, and what was seen of each stream.
struct Wire {
    connection: Connection,
    out: Outcome,
    token: u32,
    seen: [Vec<u8>; 2],
    options: Options,
    window: u16,
}

impl Wire {
    fn new(limits: &Limits) -> Self {
        Self {
            connection: Connection::new(limits),
            out: Outcome::default(),
            token: 0,
            seen: [Vec::new(), Vec::new()],
            options: Options::default(),
            window: 60_000,
        }
    }

    /// After the three-way handshake.
    fn open_with(limits: &Limits, client: u32, server: u32) -> Self {
        let mut wire = Self::new(limits);
        assert_eq!(wire.send(ToServer, SYN, client, 0, b""), Answer::Release);
        assert_eq!(wire.send(ToClient, SYN | ACK, server, client.wrapping_add(1), b""), Answer::Release);
        let (seq, ack) = (client.wrapping_add(1), server.wrapping_add(1));
        assert_eq!(wire.send(ToServer, ACK, seq, ack, b""), Answer::Release);
        wire
    }

    fn open() -> Self {
        Self::open_with(&Limits::default(), CLIENT, SERVER)
    }

    fn send(&mut self, direction: Direction, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Answer {
        let segment =
            Segment { direction, seq, ack, flags, window: self.window, urgent: 0, options: self.options, payload };
        self.token += 1;
        let answer = self.connection.segment(&segment, self.token, &mut self.out);
        if self.out.restarted {
            self.seen = [Vec::new(), Vec::new()];
        }
        for direction in [ToServer, ToClient] {
            self.seen[direction as usize].extend_from_slice(self.out.stream(direction));
        }
        answer
    }

    /// The client says something, `at` bytes from the start of its stream.
    fn say(&mut self, at: i32, payload: &[u8]) -> Answer {
        self.send(ToServer, ACK | PSH, CLIENT.wrapping_add_signed(1 + at), SERVER + 1, payload)
    }

    /// The server has that many bytes of the client's.
    fn confirm(&mut self, bytes: u32) -> Answer {
        self.send(ToClient, ACK, SERVER + 1, CLIENT + 1 + bytes, b"")
    }

    fn seen(&self, direction: Direction) -> &[u8] {
        &self.seen[direction as usize]
    }
}

fn dropped(reason: Reason) -> Answer {
    Answer::Drop(reason)
}
