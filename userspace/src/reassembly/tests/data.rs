//! Data: its order, its copies, its place in the window.

use super::*;
use crate::reassembly::{
    Ahead, Urgent,
    flag::{FIN, URG},
};

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
fn timestamp_older_than_noted_is_dropped() {
    let mut wire = Wire::open();
    wire.options.timestamp = Some(1_000);
    wire.say(0, b"abc");
    wire.options.timestamp = Some(999);
    assert_eq!(wire.say(3, b"def"), dropped(Reason::tcp_timestamp_old));
    // without data it says nothing that could harm
    assert_eq!(wire.say(3, b""), Answer::Release);
    // noted only when the segment holds what was expected at the last acknowledgement
    wire.options.timestamp = Some(2_000);
    wire.say(3, b"def");
    wire.options.timestamp = Some(1_500);
    assert_eq!(wire.say(6, b"ghi"), Answer::Release);
    // they wrap
    let mut wire = Wire::open();
    wire.options.timestamp = Some(u32::MAX);
    wire.say(0, b"abc");
    wire.options.timestamp = Some(3);
    assert_eq!(wire.say(3, b"def"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdef");
}

#[test]
fn urgent_data_is_inspected_in_line() {
    let mut wire = Wire::open();
    let flags = ACK | URG;
    assert_eq!(wire.send(ToServer, flags, CLIENT + 1, SERVER + 1, b"GxET"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"GxET");
}

#[test]
fn urgent_data_is_dropped_where_chosen() {
    let mut wire = Wire::open_with(&Limits { urgent: Urgent::Drop, ..Limits::default() }, CLIENT, SERVER);
    assert_eq!(wire.send(ToServer, ACK | URG, CLIENT + 1, SERVER + 1, b"GxET"), dropped(Reason::tcp_urgent));
    assert_eq!(wire.seen(ToServer), b"");
}

#[test]
fn unacknowledged_bytes_are_bounded() {
    let mut wire = Wire::open_with(&Limits { unacknowledged: 6, ..Limits::default() }, CLIENT, SERVER);
    wire.say(0, b"abcd");
    assert_eq!(wire.say(4, b"efg"), dropped(Reason::tcp_unacknowledged_limit));
    assert_eq!(wire.say(4, b"ef"), Answer::Release);
    wire.confirm(4);
    assert_eq!(wire.say(6, b"ghij"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdefghij");
}

#[test]
fn acknowledged_bytes_are_forgotten() {
    let mut wire = Wire::open_with(&Limits { acknowledged: 2, ..Limits::default() }, CLIENT, SERVER);
    wire.say(0, b"abcdef");
    wire.confirm(6);
    // the receiver has them, and cannot take others
    assert_eq!(wire.say(0, b"Xbcdef"), Answer::Release);
    assert_eq!(wire.say(0, b"XbcdeX"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.say(3, b"Xefgh"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdefgh");
}

#[test]
fn forgotten_and_unacknowledged_is_dropped() {
    // the server's packets do not come this way
    let mut wire = Wire::new(&Limits { unacknowledged: 4, ..Limits::default() });
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    for at in 0..8 {
        assert_eq!(wire.say(at, b"x"), Answer::Release);
    }
    assert_eq!(wire.say(5, b"xx"), Answer::Release);
    assert_eq!(wire.say(1, b"x"), dropped(Reason::tcp_bytes_forgotten));
    assert_eq!(wire.say(1, b"xxxxxxxxx"), dropped(Reason::tcp_bytes_forgotten));
}

#[test]
fn acknowledgement_of_what_was_not_sent_is_dropped() {
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    assert_eq!(wire.confirm(4), dropped(Reason::tcp_ack_invalid));
    // not what is only held, either
    assert_eq!(wire.say(5, b"f"), Answer::Hold);
    assert_eq!(wire.confirm(6), dropped(Reason::tcp_ack_invalid));
    // nor together with data
    assert_eq!(wire.send(ToClient, ACK, SERVER + 1, CLIENT + 7, b"x"), dropped(Reason::tcp_ack_invalid));
    assert_eq!(wire.send(ToClient, ACK, SERVER + 1, CLIENT, b"x"), dropped(Reason::tcp_ack_invalid));
    assert_eq!(wire.seen(ToClient), b"");
    assert_eq!(wire.confirm(3), Answer::Release);
    // older ones come late
    assert_eq!(wire.confirm(1), Answer::Release);
}

#[test]
fn segment_without_ack_is_dropped() {
    let mut wire = Wire::open();
    assert_eq!(wire.send(ToServer, PSH, CLIENT + 1, 0, b"abc"), dropped(Reason::tcp_without_ack));
    assert_eq!(wire.send(ToServer, FIN, CLIENT + 1, 0, b""), dropped(Reason::tcp_without_ack));
    assert_eq!(wire.send(ToServer, 0, CLIENT + 1, 0, b""), dropped(Reason::tcp_without_ack));
}

#[test]
fn long_stream_costs_bounded_memory() {
    let mut wire = Wire::open();
    let payload = [7; 1000];
    for at in 0..5_000_u32 {
        assert_eq!(wire.say((at * 1000) as i32, &payload), Answer::Release);
        wire.confirm((at + 1) * 1000);
        wire.seen[0].clear();
    }
    assert_eq!(wire.connection.bytes(ToServer).len(), Limits::default().prefix);
    assert!(wire.connection.footprint() < 100_000, "{}", wire.connection.footprint());
}
