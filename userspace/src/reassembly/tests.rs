//! The cases of `docs/reassembly.md`, one test each, by name.

use dropgate_abi::reason::Reason;

use super::{
    Ahead, Answer, Connection, Limits, Options, Outcome, Segment,
    flag::{ACK, FIN, PSH, SYN},
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

#[test]
fn handshake_and_data() {
    let mut wire = Wire::open();
    assert_eq!(wire.say(0, b"GET "), Answer::Release);
    assert_eq!(wire.say(4, b"/"), Answer::Release);
    assert_eq!(wire.send(ToClient, ACK, SERVER + 1, CLIENT + 6, b"200"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"GET /");
    assert_eq!(wire.seen(ToClient), b"200");
    assert_eq!(wire.connection.bytes(ToServer), b"GET /");
    assert!(!wire.connection.adopted(ToServer));
}

#[test]
fn prefix_is_bounded() {
    let mut wire = Wire::open_with(&Limits { prefix: 5, ..Limits::default() }, CLIENT, SERVER);
    wire.say(0, b"GET ");
    wire.say(4, b"/index");
    assert_eq!(wire.connection.bytes(ToServer), b"GET /");
    assert_eq!(wire.seen(ToServer), b"GET /index");
}

#[test]
fn out_of_order_is_held() {
    let mut wire = Wire::open();
    assert_eq!(wire.say(6, b"gh"), Answer::Hold);
    let last = wire.token;
    assert_eq!(wire.say(3, b"def"), Answer::Hold);
    let middle = wire.token;
    assert_eq!(wire.seen(ToServer), b"");
    assert_eq!(wire.connection.held().collect::<Vec<_>>(), [middle, last]);
    assert_eq!(wire.say(0, b"abc"), Answer::Release);
    assert_eq!(wire.out.let_go, [middle, last]);
    assert_eq!(wire.seen(ToServer), b"abcdefgh");
    assert_eq!(wire.connection.held().count(), 0);
}

#[test]
fn out_of_order_released_where_chosen() {
    let limits = Limits { ahead: Ahead::Release, ..Limits::default() };
    let mut wire = Wire::open_with(&limits, CLIENT, SERVER);
    assert_eq!(wire.say(3, b"def"), Answer::Release);
    assert_eq!(wire.say(3, b"def"), Answer::Release);
    assert_eq!(wire.say(3, b"xyz"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.seen(ToServer), b"");
    assert_eq!(wire.say(0, b"abc"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdef");
    assert!(wire.out.let_go.is_empty());
}

#[test]
fn held_bytes_and_packets_are_bounded() {
    let limits = Limits { ahead_bytes: 10, ahead_packets: 2, ..Limits::default() };
    let mut wire = Wire::open_with(&limits, CLIENT, SERVER);
    assert_eq!(wire.say(8, b"ijk"), dropped(Reason::tcp_held_limit));
    assert_eq!(wire.say(8, b"ij"), Answer::Hold);
    assert_eq!(wire.say(2, b"c"), Answer::Hold);
    assert_eq!(wire.say(5, b"f"), dropped(Reason::tcp_held_limit));
    assert_eq!(wire.say(0, b"ab"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abc");
}

#[test]
fn second_copy_of_held_is_dropped() {
    let mut wire = Wire::open();
    assert_eq!(wire.say(3, b"def"), Answer::Hold);
    assert_eq!(wire.say(3, b"def"), dropped(Reason::tcp_already_held));
    assert_eq!(wire.say(4, b"e"), dropped(Reason::tcp_already_held));
    assert_eq!(wire.say(4, b"efg"), Answer::Hold);
    assert_eq!(wire.say(4, b"eXgh"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.say(0, b"abcd"), Answer::Release);
    assert_eq!(wire.out.let_go.len(), 2);
    assert_eq!(wire.seen(ToServer), b"abcdefg");
}

#[test]
fn retransmission_is_compared() {
    let mut wire = Wire::open();
    wire.say(0, b"abcdef");
    assert_eq!(wire.say(0, b"abcdef"), Answer::Release);
    assert_eq!(wire.say(2, b"cd"), Answer::Release);
    assert_eq!(wire.say(2, b"cX"), dropped(Reason::tcp_bytes_differ));
    // acknowledged, and remembered still
    wire.confirm(6);
    assert_eq!(wire.say(0, b"abcdef"), Answer::Release);
    assert_eq!(wire.say(0, b"Xbcdef"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.seen(ToServer), b"abcdef");
}

#[test]
fn partly_new_is_compared_and_appended() {
    let mut wire = Wire::open();
    wire.say(0, b"abcd");
    assert_eq!(wire.say(2, b"cXef"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.say(2, b"cdef"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdef");
}

#[test]
fn overlapped_every_way() {
    // two segments of every place and length over eight bytes, the second with and without another byte
    let stream = b"abcdefgh";
    for a in 0..8 {
        for b in a + 1..=8 {
            for c in 0..8 {
                for d in c + 1..=8 {
                    for wrong in std::iter::once(None).chain((c..d).map(Some)) {
                        let mut wire = Wire::open();
                        wire.say(a as i32, &stream[a..b]);
                        let mut second = stream[c..d].to_vec();
                        if let Some(at) = wrong {
                            second[at - c] = b'X';
                        }
                        let answer = wire.say(c as i32, &second);
                        let clash = wrong.is_some_and(|at| (a..b).contains(&at));
                        assert_eq!(
                            answer == dropped(Reason::tcp_bytes_differ),
                            clash,
                            "{a}..{b}, then {c}..{d} with {wrong:?}: {answer:?}"
                        );
                        wire.say(0, stream);
                        let seen = wire.seen(ToServer);
                        let mut expected = stream.to_vec();
                        if let Some(at) = wrong.filter(|_| !clash) {
                            // the wrong byte was there first
                            expected[at] = b'X';
                        }
                        assert!(expected.starts_with(seen), "{a}..{b}, then {c}..{d} with {wrong:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn sequence_wraps() {
    let client = u32::MAX - 2;
    let mut wire = Wire::open_with(&Limits::default(), client, u32::MAX);
    assert_eq!(wire.send(ToServer, ACK, 3, 0, b"fgh"), Answer::Hold);
    assert_eq!(wire.send(ToServer, ACK, u32::MAX - 1, 0, b"abcde"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdefgh");
    assert_eq!(wire.send(ToServer, ACK, u32::MAX, 0, b"bX"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.send(ToClient, ACK, 0, 6, b"ok"), Answer::Release);
    assert_eq!(wire.send(ToServer, ACK | FIN, 6, 2, b""), Answer::Release);
}

#[test]
fn keep_alive() {
    let mut wire = Wire::open();
    // before anything was said: it lies on the SYN
    assert_eq!(wire.say(-1, b"\0"), Answer::Release);
    wire.say(0, b"abc");
    assert_eq!(wire.say(2, b""), Answer::Release);
    // its byte is of no meaning only if the receiver has the true one
    assert_eq!(wire.say(2, b"\0"), dropped(Reason::tcp_bytes_differ));
    wire.confirm(3);
    assert_eq!(wire.say(2, b"\0"), Answer::Release);
    assert_eq!(wire.say(2, b""), Answer::Release);
    assert_eq!(wire.confirm(3), Answer::Release);
    assert_eq!(wire.say(3, b"d"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcd");
}

#[test]
fn zero_window_probe() {
    let mut wire = Wire::open();
    wire.window = 3;
    wire.confirm(0);
    // what was allowed before stays allowed: the receiver should not take a window back (RFC 9293, 3.8.6)
    wire.window = 60_000;
    let mut wire = Wire::new(&Limits::default());
    wire.window = 3;
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b"");
    wire.say(0, b"abc");
    wire.window = 0;
    wire.confirm(3);
    assert_eq!(wire.say(3, b"de"), dropped(Reason::tcp_out_of_window));
    assert_eq!(wire.say(3, b"d"), Answer::Release);
    assert_eq!(wire.say(3, b"X"), dropped(Reason::tcp_bytes_differ));
    wire.window = 3;
    wire.confirm(3);
    assert_eq!(wire.say(3, b"def"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdef");
}

#[test]
fn window_scale() {
    let mut wire = Wire::new(&Limits::default());
    wire.window = 100;
    wire.options.scale = Some(2);
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b"");
    // the window of a SYN is not scaled
    assert_eq!(wire.say(0, &[0; 101]), dropped(Reason::tcp_out_of_window));
    wire.confirm(0);
    assert_eq!(wire.say(0, &[0; 401]), dropped(Reason::tcp_out_of_window));
    assert_eq!(wire.say(0, &[0; 400]), Answer::Release);
}

#[test]
fn window_scale_of_one_side_has_no_effect() {
    let mut wire = Wire::new(&Limits::default());
    wire.window = 100;
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    wire.options.scale = Some(2);
    wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b"");
    wire.confirm(0);
    assert_eq!(wire.say(0, &[0; 102]), dropped(Reason::tcp_out_of_window));
}

#[test]
fn out_of_window_is_dropped() {
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    wire.confirm(3);
    assert_eq!(wire.say(70_000, b"x"), dropped(Reason::tcp_out_of_window));
    assert_eq!(wire.say(70_000, b""), dropped(Reason::tcp_out_of_window));
    assert_eq!(wire.say(-70_000, b"x"), dropped(Reason::tcp_out_of_window));
    assert_eq!(wire.say(-70_000, b""), dropped(Reason::tcp_out_of_window));
    // before the beginning
    assert_eq!(wire.say(-1, b"xa"), dropped(Reason::tcp_out_of_window));
    assert_eq!(wire.say(3, b"d"), Answer::Release);
}

#[test]
fn half_close() {
    let mut wire = Wire::open();
    assert_eq!(wire.send(ToServer, ACK | FIN, CLIENT + 1, SERVER + 1, b"bye"), Answer::Release);
    assert_eq!(wire.send(ToClient, ACK, SERVER + 1, CLIENT + 5, b"more"), Answer::Release);
    assert!(!wire.connection.over());
    assert_eq!(wire.send(ToServer, ACK, CLIENT + 5, SERVER + 5, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, ACK | FIN, SERVER + 5, CLIENT + 5, b""), Answer::Release);
    assert_eq!(wire.send(ToServer, ACK, CLIENT + 5, SERVER + 6, b""), Answer::Release);
    assert!(wire.connection.over());
    // the last acknowledgement was lost
    assert_eq!(wire.send(ToClient, ACK | FIN, SERVER + 5, CLIENT + 5, b""), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"bye");
    assert_eq!(wire.seen(ToClient), b"more");
}

#[test]
fn data_after_fin_is_dropped() {
    let mut wire = Wire::open();
    wire.send(ToServer, ACK | FIN, CLIENT + 1, SERVER + 1, b"bye");
    assert_eq!(wire.say(3, b"x"), dropped(Reason::tcp_after_fin));
    assert_eq!(wire.say(4, b"x"), dropped(Reason::tcp_after_fin));
    assert_eq!(wire.say(2, b"ex"), dropped(Reason::tcp_after_fin));
    assert_eq!(wire.say(0, b"bye"), Answer::Release);
}

#[test]
fn fin_elsewhere_is_dropped() {
    let mut wire = Wire::open();
    wire.say(0, b"abcd");
    assert_eq!(wire.send(ToServer, ACK | FIN, CLIENT + 3, SERVER + 1, b""), dropped(Reason::tcp_fin_moved));
    assert_eq!(wire.say(6, b"gh"), Answer::Hold);
    assert_eq!(wire.send(ToServer, ACK | FIN, CLIENT + 5, SERVER + 1, b""), dropped(Reason::tcp_fin_moved));
    assert_eq!(wire.send(ToServer, ACK | FIN, CLIENT + 9, SERVER + 1, b""), Answer::Hold);
    assert_eq!(wire.send(ToServer, ACK | FIN, CLIENT + 9, SERVER + 1, b""), dropped(Reason::tcp_already_held));
    assert_eq!(wire.send(ToServer, ACK | FIN, CLIENT + 5, SERVER + 1, b"e"), dropped(Reason::tcp_fin_moved));
    assert_eq!(wire.say(4, b"ef"), Answer::Release);
    assert_eq!(wire.out.let_go.len(), 2);
    assert_eq!(wire.send(ToServer, ACK | FIN, CLIENT + 9, SERVER + 1, b""), Answer::Release);
}
