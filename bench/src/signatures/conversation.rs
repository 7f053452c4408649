//! Conversations as the inspector sees them: frames of a flow, judged one after the other with nothing else around.

use dropgate::{
    inspect::{Answer, Beginning, Context, Judged, Peers, Rules, Talk, judge},
    protocol::Direction::{self, ToClient, ToServer},
};
use dropgate_abi::hold::Held;
use etherparse::PacketBuilder;

const CLIENT: ([u8; 4], u16) = ([10, 10, 0, 5], 40_000);
const SERVER: [u8; 4] = [203, 0, 113, 9];
/// Bytes of a segment.
const SEGMENT: usize = 1448;

/// A flow, frame by frame.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    frames: Vec<(Held, Vec<u8>)>,
    port: u16,
    /// Next sequence numbers.
    next: [u32; 2],
}

impl Conversation {
    /// Datagrams to this port.
    pub fn datagrams(port: u16, said: &[(Direction, Vec<u8>)]) -> Self {
        let mut conversation = Self { port, ..Self::default() };
        for (direction, said) in said {
            let ((source, sport), (destination, dport)) = conversation.ends(*direction);
            let udp = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 64).udp(sport, dport);
            conversation.frame(*direction, |frame| udp.write(frame, said));
        }
        conversation
    }

    /// A connection to this port, from its SYN to the last thing said, each acknowledged by the next.
    pub fn connection(port: u16, said: &[(Direction, Vec<u8>)]) -> Self {
        let mut conversation = Self { port, next: [1000, 5000], ..Self::default() };
        conversation.segment(ToServer, true, false, &[]);
        conversation.segment(ToClient, true, true, &[]);
        conversation.segment(ToServer, false, true, &[]);
        for (direction, said) in said {
            for part in said.chunks(SEGMENT) {
                conversation.segment(*direction, false, true, part);
            }
        }
        conversation
    }

    fn segment(&mut self, direction: Direction, syn: bool, ack: bool, said: &[u8]) {
        let ((source, sport), (destination, dport)) = self.ends(direction);
        let (seq, back) = (self.next[direction as usize], self.next[1 - direction as usize]);
        let mut tcp =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 64).tcp(sport, dport, seq, 65_000);
        tcp = if syn { tcp.syn() } else { tcp };
        tcp = if ack { tcp.ack(back) } else { tcp };
        self.next[direction as usize] = seq.wrapping_add(said.len() as u32 + u32::from(syn));
        self.frame(direction, |frame| tcp.write(frame, said));
    }

    fn ends(&self, direction: Direction) -> (([u8; 4], u16), ([u8; 4], u16)) {
        let (client, server) = (CLIENT, (SERVER, self.port));
        if direction == ToServer { (client, server) } else { (server, client) }
    }

    fn frame<E: std::fmt::Debug>(&mut self, direction: Direction, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) {
        let mut frame = Vec::new();
        write(&mut frame).expect("what is said fits into a packet");
        let held =
            Held { sequence: self.frames.len() as u32, direction: direction as u8, generation: 1, ..Held::default() };
        self.frames.push((held, frame));
    }

    /// Judges all of it; how many alerts that gave.
    pub fn judge(&self, rules: &Rules, peers: &Peers, judged: &mut Judged) -> usize {
        let mut talk = Talk::new(Beginning::Seen);
        let mut alerts = 0;
        for (number, (held, frame)) in self.frames.iter().enumerate() {
            let context = Context { rules, peers, full: false, now_ns: 1 + number as u64, unix_s: 0 };
            let answer = judge(held, frame, &mut talk, &context, judged);
            alerts += judged.watched.alerts.len();
            if answer == Answer::Wait {
                talk.wait(0, frame.clone().into());
            }
            if talk.has_waited() {
                talk.let_go();
            }
        }
        alerts
    }
}
