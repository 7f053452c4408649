//! A TCP flow whose packets are judged one after the other.

use std::sync::Arc;

use dropgate_abi::hold::Held;
use etherparse::PacketBuilder;

use crate::{
    inspect::{Answer, Beginning, Context, Finding, Judged, Peers, Rules, Talk, judge},
    policy::model::{Expect, Inspection},
    protocol::{Direction, Protocol},
    reassembly::flag::{ACK, FIN, RST, SYN, URG},
};

pub const CLIENT: [u8; 4] = [10, 10, 0, 5];
pub const SERVER: [u8; 4] = [203, 0, 113, 9];
pub const SERVICE: u32 = 7;
/// A zone of the policy.
pub const ZONE: u16 = 16;
/// Of a tunnel.
pub const REALM: u16 = 0x8005;

/// The rules of a service that expects these.
pub fn expecting(protocols: &[Protocol]) -> Rules {
    let inspection = Inspection { unknown: crate::policy::model::Reaction::Drop, ..Inspection::default() };
    let expect = [(SERVICE, Expect::Only(protocols.to_vec()))].into_iter().collect();
    Rules { inspection, expect, ..Rules::default() }
}

/// A flow, its handshake done.
pub struct Wire {
    pub talk: Talk,
    pub judged: Judged,
    rules: Arc<Rules>,
    peers: Peers,
    /// There is no memory left.
    pub full: bool,
    /// Next sequence numbers.
    next: [u32; 2],
    port: u16,
    sequence: u32,
    /// The clock, ns.
    pub now_ns: u64,
    /// What was found out, in order.
    pub found: Vec<Finding>,
}

impl Wire {
    pub fn new(rules: Rules, port: u16) -> Self {
        let mut wire = Self {
            talk: Talk::new(Beginning::Seen),
            judged: Judged::default(),
            rules: Arc::new(rules),
            peers: Peers::default(),
            full: false,
            next: [1000, 5000],
            port,
            sequence: 0,
            now_ns: 1,
            found: Vec::new(),
        };
        for (direction, flags) in [(Direction::ToServer, SYN), (Direction::ToClient, SYN | ACK)] {
            assert_eq!(wire.packet(direction, flags, b""), Answer::Release);
        }
        wire
    }

    /// One side says something in one packet.
    pub fn say(&mut self, direction: Direction, said: &[u8]) -> Answer {
        self.packet(direction, ACK, said)
    }

    /// One side has said all that it has to say.
    pub fn end(&mut self, direction: Direction) -> Answer {
        self.packet(direction, FIN | ACK, b"")
    }

    /// One side says something urgent.
    pub fn urgent(&mut self, direction: Direction, said: &[u8]) -> Answer {
        self.packet(direction, URG | ACK, said)
    }

    /// One side resets the connection.
    pub fn reset(&mut self, direction: Direction) -> Answer {
        self.packet(direction, RST, b"")
    }

    pub fn client(&mut self, said: &[u8]) -> Answer {
        self.say(Direction::ToServer, said)
    }

    pub fn server(&mut self, said: &[u8]) -> Answer {
        self.say(Direction::ToClient, said)
    }

    /// One side says something in place of the last bytes that it said.
    pub fn instead(&mut self, direction: Direction, said: &[u8]) -> Answer {
        let next = &mut self.next[direction as usize];
        *next = next.wrapping_sub(said.len() as u32);
        self.say(direction, said)
    }

    /// One side says something with `skipped` bytes missing before it, and is then to say those.
    pub fn ahead(&mut self, direction: Direction, skipped: usize, said: &[u8]) -> Answer {
        let next = self.next[direction as usize];
        self.next[direction as usize] = next.wrapping_add(skipped as u32);
        let answer = self.say(direction, said);
        self.next[direction as usize] = next;
        answer
    }

    /// The same hosts, and another flow.
    pub fn another(&mut self, beginning: Beginning) {
        (self.talk, self.sequence) = (Talk::new(beginning), 0);
    }

    /// Bytes of one side are lost on their way.
    pub fn skip(&mut self, direction: Direction, bytes: u32) {
        self.next[direction as usize] = self.next[direction as usize].wrapping_add(bytes);
    }

    /// One side says something in one datagram.
    pub fn datagram(&mut self, direction: Direction, said: &[u8]) -> Answer {
        let ((source, sport), (destination, dport)) = self.ends(direction);
        let mut frame = Vec::new();
        let udp = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 64).udp(sport, dport);
        udp.write(&mut frame, said).unwrap();
        self.frame(direction, frame)
    }

    fn ends(&self, direction: Direction) -> (([u8; 4], u16), ([u8; 4], u16)) {
        let (client, server) = ((CLIENT, 40_000), (SERVER, self.port));
        if direction == Direction::ToServer { (client, server) } else { (server, client) }
    }

    fn packet(&mut self, direction: Direction, flags: u8, said: &[u8]) -> Answer {
        let ((source, sport), (destination, dport)) = self.ends(direction);
        let (seq, back) = (self.next[direction as usize], self.next[1 - direction as usize]);
        let mut tcp =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 64).tcp(sport, dport, seq, 65_000);
        tcp = if flags & SYN != 0 { tcp.syn() } else { tcp };
        tcp = if flags & FIN != 0 { tcp.fin() } else { tcp };
        tcp = if flags & ACK != 0 { tcp.ack(back) } else { tcp };
        tcp = if flags & RST != 0 { tcp.rst() } else { tcp };
        tcp = if flags & URG != 0 { tcp.urg(said.len() as u16) } else { tcp };
        let mut frame = Vec::new();
        tcp.write(&mut frame, said).unwrap();
        self.next[direction as usize] = seq.wrapping_add(said.len() as u32 + (flags & (SYN | FIN)).count_ones());
        self.frame(direction, frame)
    }

    fn frame(&mut self, direction: Direction, frame: Vec<u8>) -> Answer {
        let held = Held {
            service: SERVICE,
            zone: ZONE,
            sequence: self.sequence,
            direction: direction as u8,
            generation: 1,
            realm: REALM,
            ..Held::default()
        };
        self.sequence += 1;
        let context =
            Context { rules: &self.rules, peers: &self.peers, full: self.full, now_ns: self.now_ns, unix_s: 0 };
        let answer = judge(&held, &frame, &mut self.talk, &context, &mut self.judged);
        self.found.extend(self.judged.found.clone());
        if answer == Answer::Wait {
            self.talk.wait(0, frame.into());
            if self.talk.has_waited() {
                self.talk.let_go();
            }
        }
        answer
    }

    /// Both sides acknowledge what was said; what the flow leaves inspection as, if it does then.
    pub fn confirm(&mut self) -> Option<u8> {
        [Direction::ToClient, Direction::ToServer].map(|direction| {
            assert_eq!(self.say(direction, b""), Answer::Release);
            self.judged.finished
        })[1]
    }

    /// Whether a packet was given the answer that it may leave, now or with others.
    pub fn passes(answer: Answer) -> bool {
        matches!(answer, Answer::Release | Answer::Wait)
    }

    /// A conversation in turns, each in parts of so many bytes; the answer to the last one.
    pub fn turns(&mut self, turns: &[(Direction, &[u8])], part: usize) -> Answer {
        let mut answer = Answer::Release;
        for (direction, said) in turns {
            for part in said.chunks(part) {
                answer = self.say(*direction, part);
                if !Self::passes(answer) {
                    return answer;
                }
            }
        }
        answer
    }
}
