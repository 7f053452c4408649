//! What must hold for segments of any kind. Shared with the fuzz target.

use std::collections::HashMap;

use dropgate::{
    protocol::Direction::{self, ToClient, ToServer},
    reassembly::{Ahead, Answer, Connection, Limits, Options, Outcome, Segment, Urgent, flag},
};

/// A packet as the caller keeps it.
struct Packet {
    direction: Direction,
    /// Of its first byte.
    seq: u32,
    payload: Vec<u8>,
}

/// Takes bytes from the front; zero when there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Mostly near `around`, at times anywhere.
    fn number(&mut self, around: u32) -> u32 {
        match self.byte() {
            255 => u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
            254 => 0,
            near => around.wrapping_add_signed(i32::from(near) - 100),
        }
    }
}

/// Reads bytes as limits and segments, and plays them.
pub fn check(bytes: &[u8]) {
    let mut script = Script(bytes);
    let choices = script.byte();
    let limits = Limits {
        prefix: 64,
        unacknowledged: 20 + usize::from(script.byte()),
        acknowledged: 1 << 20,
        ahead_bytes: usize::from(script.byte()),
        ahead_packets: usize::from(script.byte() % 8),
        ahead: if choices & 1 == 0 { Ahead::Hold } else { Ahead::Release },
        urgent: if choices & 2 == 0 { Urgent::Inline } else { Urgent::Drop },
        adopt: choices & 4 != 0,
        gaps: false,
    };
    // near the places where numbers wrap, or change their sign
    let around = [[1000, u32::MAX - 40], [u32::MAX - 40, 0x7fff_ffe0]][usize::from(choices >> 3 & 1)];
    let mut connection = Connection::new(&limits);
    let mut out = Outcome::default();
    let mut held: HashMap<u32, Packet> = HashMap::new();
    let mut passed: HashMap<(bool, u32), u8> = HashMap::new();
    let mut token = 0;
    while !script.0.is_empty() {
        token += 1;
        let shape = script.byte();
        let direction = if shape & 1 == 0 { ToServer } else { ToClient };
        let flags = match shape >> 1 & 15 {
            0..=7 => flag::ACK,
            8 => flag::SYN,
            9 => flag::SYN | flag::ACK,
            10 | 11 => flag::ACK | flag::FIN,
            12 => flag::RST,
            13 => flag::RST | flag::ACK,
            14 => flag::ACK | flag::URG,
            _ => script.byte(),
        };
        let (seq, ack) = (script.number(around[direction as usize]), script.number(around[1 - direction as usize]));
        let length = usize::from(script.byte() % 24).min(script.0.len());
        let (payload, rest) = script.0.split_at(length);
        script.0 = rest;
        let options = match shape >> 5 {
            0 => Options { scale: Some(script.byte()), ..Options::default() },
            1 => Options {
                timestamp: Some(u32::from(script.byte())),
                echo: Some(u32::from(script.byte())),
                ..Options::default()
            },
            _ => Options::default(),
        };
        let window = if shape >> 5 == 2 { u16::from(script.byte()) } else { 500 };
        let segment = Segment { direction, seq, ack, flags, window, urgent: 0, options, payload };
        let answer = connection.segment(&segment, token, &mut out);

        if out.restarted {
            passed.clear();
        }
        let first = seq.wrapping_add(u32::from(flags & flag::SYN != 0));
        let packet = Packet { direction, seq: first, payload: payload.to_vec() };
        // a RST's payload reaches nobody; a keep-alive has one byte of any value; what came before adoption is unknown
        let told = flags & flag::RST == 0 && length != 1 && !limits.adopt;
        match answer {
            Answer::Release if told => pass(&mut passed, &packet),
            Answer::Release | Answer::Drop(_) => {}
            Answer::Hold => assert!(held.insert(token, packet).is_none()),
        }
        for token in &out.let_go {
            let packet = held.remove(token).expect("let go once, after it was held");
            if !limits.adopt {
                pass(&mut passed, &packet);
            }
        }
        for (token, _) in &out.discard {
            assert!(held.remove(token).is_some(), "discarded once, after it was held");
        }
        assert_eq!(held.len(), connection.held().count());
        assert!(held.len() <= 2 * limits.ahead_packets);
        assert!(connection.footprint() < 100_000);
        assert!([ToServer, ToClient].iter().all(|direction| connection.bytes(*direction).len() <= limits.prefix));
    }
}

/// A packet was let through: its bytes must be those that were let through before in their places.
fn pass(passed: &mut HashMap<(bool, u32), u8>, packet: &Packet) {
    let to_server = packet.direction == ToServer;
    for (at, byte) in packet.payload.iter().enumerate() {
        let seq = packet.seq.wrapping_add(at as u32);
        let before = *passed.entry((to_server, seq)).or_insert(*byte);
        assert_eq!(before, *byte, "two values at {seq}, to server: {to_server}");
    }
}
