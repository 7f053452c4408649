//! SYN, and connections whose beginning was not seen.

use dropgate_abi::opening::{Opened, seen};

use super::*;
use crate::reassembly::{
    Ahead,
    flag::{FIN, RST},
};

#[test]
fn fast_open_data_is_inspected() {
    let mut wire = Wire::new(&Limits::default());
    assert_eq!(wire.send(ToServer, SYN, CLIENT, 0, b"GET /"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"GET /");
    // not taken by the server, and said again
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
    assert_eq!(wire.say(0, b"PUT /"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.say(0, b"GET /x"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"GET /x");
    // taken, and answered at once
    let mut wire = Wire::new(&Limits::default());
    wire.send(ToServer, SYN, CLIENT, 0, b"GET /");
    assert_eq!(wire.send(ToServer, SYN, CLIENT, 0, b"PUT /"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 6, b"200"), Answer::Release);
    assert_eq!(wire.send(ToServer, ACK, CLIENT + 6, SERVER + 4, b""), Answer::Release);
    assert_eq!(wire.seen(ToClient), b"200");
}

#[test]
fn simultaneous_open() {
    let mut wire = Wire::new(&Limits::default());
    assert_eq!(wire.send(ToServer, SYN, CLIENT, 0, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, SYN, SERVER, 0, b""), Answer::Release);
    assert_eq!(wire.send(ToServer, SYN | ACK, CLIENT, SERVER + 1, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
    assert_eq!(wire.say(0, b"abc"), Answer::Release);
    assert_eq!(wire.send(ToClient, ACK, SERVER + 1, CLIENT + 4, b"def"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abc");
    assert_eq!(wire.seen(ToClient), b"def");
}

/// Receivers drop what echoes none of the timestamps that their SYN said: it is no end, and no beginning.
#[test]
fn answers_that_echo_nothing() {
    let at = |timestamp, echo| Options { timestamp: Some(timestamp), echo: Some(echo), ..Options::default() };
    let old = dropped(Reason::tcp_timestamp_old);
    for offered in [at(5_000, 0), Options::default()] {
        let mut wire = Wire::new(&Limits::default());
        wire.options = offered;
        assert_eq!(wire.send(ToServer, SYN, CLIENT, 0, b""), Answer::Release);
        wire.options = at(100, 100);
        for flags in [RST | ACK, FIN | ACK, ACK] {
            assert_eq!(wire.send(ToClient, flags, 0, CLIENT + 1, b""), old, "{flags}");
        }
        // a client that was shown it all the same says that it cannot be
        assert_eq!(wire.send(ToServer, RST, CLIENT + 1, 0, b""), Answer::Release);
        // the SYN is said again, later
        wire.options = Options { timestamp: offered.timestamp.map(|first| first + 1_000), ..offered };
        assert_eq!(wire.send(ToServer, SYN, CLIENT, 0, b""), Answer::Release);
        if offered.timestamp.is_some() {
            wire.options = at(100, 6_001);
            assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), old);
            wire.options = at(100, 6_000);
        } else {
            wire.options = offered;
        }
        assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
        wire.options = Options::default();
        assert_eq!(wire.say(0, b"GET /"), Answer::Release);
        assert_eq!(wire.seen(ToServer), b"GET /");
    }
    // some answer without timestamps, or echo zero, or one that a path has taken from the SYN
    let (none, taken) = (Options::default(), at(5_000, 0));
    for (offered, options) in [(taken, none), (taken, at(100, 0)), (none, at(100, 1))] {
        let mut wire = Wire::new(&Limits::default());
        wire.options = offered;
        wire.send(ToServer, SYN, CLIENT, 0, b"");
        wire.options = options;
        assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
    }
}

#[test]
fn many_different_beginnings_are_odd() {
    let mut wire = Wire::new(&Limits::default());
    let mut odd = 0;
    for number in 0..20 {
        assert_eq!(wire.send(ToServer, SYN, CLIENT + 1_000 * number, 0, b""), Answer::Release);
        odd += u32::from(wire.out.odd == Some(Reason::tcp_syn_flood));
    }
    assert_eq!(odd, 9, "one began it, and ten more were let through without a word");
    assert_eq!(wire.send(ToServer, SYN, CLIENT + 1_000, 0, b""), Answer::Release);
    assert_eq!(wire.out.odd, None, "that one is known");
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1_001, b""), Answer::Release);
    assert!(wire.out.restarted);
}

#[test]
fn handshake_retransmitted() {
    let mut wire = Wire::new(&Limits::default());
    for _ in 0..2 {
        assert_eq!(wire.send(ToServer, SYN, CLIENT, 0, b""), Answer::Release);
    }
    for _ in 0..2 {
        assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
    }
    wire.say(0, b"abc");
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
    assert_eq!(wire.say(3, b"def"), Answer::Release);
}

#[test]
fn syn_ack_of_something_else_is_dropped() {
    let mut wire = Wire::new(&Limits::default());
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT, b""), dropped(Reason::tcp_ack_invalid));
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 2, b""), dropped(Reason::tcp_ack_invalid));
    // another number is possible until the client has taken one
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER - 5, CLIENT + 1, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
    assert_eq!(wire.say(0, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER - 5, CLIENT + 1, b""), dropped(Reason::tcp_syn_conflict));
}

#[test]
fn the_first_of_two_syn_acks_may_be_the_one_taken() {
    let mut wire = Wire::new(&Limits::default());
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER + 900, CLIENT + 1, b""), Answer::Release);
    // both may be on their way when the client has taken the one that came first
    assert_eq!(wire.send(ToServer, ACK, CLIENT + 1, SERVER + 1, b"hello"), Answer::Release);
    assert_eq!(wire.send(ToClient, ACK, SERVER + 1, CLIENT + 6, b"answer"), Answer::Release);
    let answer = wire.send(ToServer, ACK, CLIENT + 6, SERVER + 901, b"");
    assert_eq!(answer, dropped(Reason::tcp_ack_invalid), "the other one is no more");
}

#[test]
fn syn_ack_with_another_number_after_data_is_dropped() {
    for at in [0, 5] {
        let mut wire = Wire::new(&Limits::default());
        wire.send(ToServer, SYN, CLIENT, 0, b"");
        wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b"");
        wire.send(ToClient, ACK, SERVER + 1 + at, CLIENT + 1, b"abc");
        let answer = wire.send(ToClient, SYN | ACK, SERVER - 5, CLIENT + 1, b"");
        assert_eq!(answer, dropped(Reason::tcp_syn_conflict));
        assert_eq!(wire.connection.held().count(), usize::from(at > 0));
    }
}

#[test]
fn syn_with_another_number() {
    // two beginnings: the server says which one it took
    for (taken, restarted) in [(CLIENT, false), (CLIENT + 500, true)] {
        let mut wire = Wire::new(&Limits::default());
        wire.send(ToServer, SYN, CLIENT, 0, b"");
        assert_eq!(wire.send(ToServer, SYN, CLIENT + 500, 0, b""), Answer::Release);
        assert_eq!(wire.send(ToServer, SYN, CLIENT + 900, 0, b"abc"), dropped(Reason::tcp_syn_conflict));
        assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, taken + 1, b""), Answer::Release);
        assert_eq!(wire.out.restarted, restarted);
        assert_eq!(wire.send(ToServer, ACK, taken + 1, SERVER + 1, b"abc"), Answer::Release);
        assert_eq!(wire.seen(ToServer), b"abc");
    }
}

#[test]
fn syn_in_an_open_connection_changes_nothing() {
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    assert_eq!(wire.send(ToServer, SYN, CLIENT + 500, 0, b""), Answer::Release);
    // challenged
    assert_eq!(wire.confirm(3), Answer::Release);
    assert_eq!(wire.say(3, b"def"), Answer::Release);
    assert_eq!(wire.say(2, b"X"), dropped(Reason::tcp_bytes_differ));
    assert_eq!(wire.seen(ToServer), b"abcdef");
    // refused by a host that knows of nothing
    assert_eq!(wire.send(ToClient, RST | ACK, 0, CLIENT + 501, b""), Answer::Release);
    assert!(!wire.connection.over());
}

#[test]
fn connection_begun_again() {
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    assert_eq!(wire.say(6, b"ghi"), Answer::Hold);
    let held = wire.token;
    let (client, server) = (CLIENT + 100_000, SERVER + 100_000);
    assert_eq!(wire.send(ToServer, SYN, client, 0, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, SYN | ACK, server, client + 1, b""), Answer::Release);
    assert!(wire.out.restarted);
    assert_eq!(wire.out.discard, [(held, Reason::tcp_syn_conflict)]);
    assert_eq!(wire.connection.bytes(ToServer), b"");
    assert_eq!(wire.send(ToServer, ACK, client + 1, server + 1, b"new"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"new");
    assert_eq!(wire.connection.bytes(ToServer), b"new");
}

/// Data before its turn may have left, and its receiver may keep it: the side has begun.
#[test]
fn another_beginning_after_data_ahead() {
    for ahead in [Ahead::Hold, Ahead::Release] {
        let mut wire = Wire::new(&Limits { ahead, ..Limits::default() });
        wire.send(ToServer, SYN, CLIENT, 0, b"");
        wire.send(ToClient, SYN, SERVER, 0, b"");
        assert_ne!(wire.say(1, b"b"), dropped(Reason::tcp_out_of_window));
        let again = wire.send(ToServer, SYN | ACK, CLIENT + 1, SERVER + 1, b"X");
        assert_eq!(again, dropped(Reason::tcp_syn_conflict), "{ahead:?}");
    }
}

#[test]
fn syn_with_fin_is_dropped() {
    let mut wire = Wire::new(&Limits::default());
    assert_eq!(wire.send(ToServer, SYN | FIN, CLIENT, 0, b""), dropped(Reason::tcp_syn_fin));
}

#[test]
fn mid_stream_is_adopted() {
    let mut wire = Wire::new(&Limits::default());
    assert_eq!(wire.send(ToClient, ACK, SERVER, CLIENT, b"def"), Answer::Release);
    assert!(wire.connection.adopted(ToClient) && wire.connection.adopted(ToServer));
    assert_eq!(wire.send(ToServer, ACK, CLIENT, SERVER + 3, b"abc"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abc");
    assert_eq!(wire.seen(ToClient), b"def");
    assert_eq!(wire.send(ToServer, ACK, CLIENT, SERVER + 3, b"aXc"), dropped(Reason::tcp_bytes_differ));
    // what came before is not known, and its retransmission cannot be held against it
    assert_eq!(wire.send(ToServer, ACK, CLIENT - 3, SERVER + 3, b"xyzabcd"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcd");
}

#[test]
fn mid_stream_with_unseen_bytes_in_flight() {
    let mut wire = Wire::new(&Limits::default());
    // the server has not got yet what passed before the connection was met
    assert_eq!(wire.send(ToClient, ACK, SERVER, CLIENT, b""), Answer::Release);
    assert_eq!(wire.send(ToServer, ACK, CLIENT + 100, SERVER, b"abc"), Answer::Hold);
    let held = wire.token;
    assert_eq!(wire.send(ToClient, ACK, SERVER, CLIENT + 100, b"x"), Answer::Release);
    assert_eq!(wire.out.gap, Some((ToServer, 100)));
    assert_eq!(wire.out.let_go, [held]);
    assert_eq!(wire.seen(ToServer), b"abc");
    assert_eq!(wire.seen(ToClient), b"x");
    assert_eq!(wire.send(ToServer, ACK, CLIENT + 103, SERVER + 1, b"def"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdef");
}

#[test]
fn gaps_of_a_capture() {
    let mut wire = Wire::open_with(&Limits { gaps: true, ..Limits::default() }, CLIENT, SERVER);
    wire.say(0, b"abc");
    assert_eq!(wire.say(10, b"def"), Answer::Hold);
    assert_eq!(wire.confirm(13), Answer::Release);
    assert_eq!(wire.out.gap, Some((ToServer, 7)));
    assert_eq!(wire.seen(ToServer), b"abcdef");
    assert_eq!(wire.connection.held().count(), 0);
    assert_eq!(wire.say(13, b"ghi"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdefghi");
}

#[test]
fn mid_stream_is_dropped_where_chosen() {
    let limits = Limits { adopt: false, ..Limits::default() };
    let mut wire = Wire::new(&limits);
    assert_eq!(wire.send(ToServer, ACK, CLIENT, SERVER, b"abc"), dropped(Reason::tcp_mid_stream));
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT, b""), dropped(Reason::tcp_mid_stream));
    assert_eq!(wire.send(ToClient, RST, SERVER, 0, b""), dropped(Reason::tcp_mid_stream));
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    assert_eq!(wire.say(0, b"abc"), dropped(Reason::tcp_mid_stream));
    assert_eq!(wire.seen(ToServer), b"");
}

#[test]
fn seen_elsewhere() {
    let side = |seq, timestamp| Opened {
        seq,
        timestamp,
        window: 60_000,
        scale: 3,
        seen: seen::SEGMENT | seen::SCALE | seen::TIMESTAMP,
    };
    let at = |timestamp| Options { timestamp: Some(timestamp), ..Options::default() };
    let mut wire = Wire::new(&Limits::default());
    wire.connection.opened(&[side(CLIENT, 700), side(SERVER, 900)], &mut wire.out);
    // what came before the first data that is held is known all the same
    wire.options = at(700);
    assert_eq!(wire.say(3, b"def"), Answer::Hold);
    assert_eq!(wire.say(0, b"abc"), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abcdef");
    assert!(!wire.connection.adopted(ToServer) && !wire.connection.adopted(ToClient));
    wire.options = at(699);
    assert_eq!(wire.say(6, b"ghi"), dropped(Reason::tcp_timestamp_old));
    wire.options = at(900);
    assert_eq!(wire.send(ToClient, ACK, SERVER + 1, CLIENT + 7, b"200"), Answer::Release);
    assert_eq!(wire.send(ToClient, ACK, SERVER, CLIENT + 7, b"x"), dropped(Reason::tcp_out_of_window));
    // both offered a scale: a window of 60,000 is one of 480,000
    wire.options = at(700);
    assert_eq!(wire.say(400_006, b"x"), dropped(Reason::tcp_held_limit));
    assert_eq!(wire.say(500_006, b"x"), dropped(Reason::tcp_out_of_window));
    // the client's alone: the server's packets take another way
    let mut wire = Wire::new(&Limits::default());
    wire.connection.opened(&[side(CLIENT, 700), Opened::default()], &mut wire.out);
    assert_eq!(wire.say(0, b"abc"), Answer::Release);
    assert!(!wire.connection.adopted(ToServer) && wire.connection.adopted(ToClient));
}

#[test]
fn acknowledged_elsewhere() {
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    let said = wire.connection.said();
    assert_eq!(wire.connection.awaits(&said), Some((ToServer, CLIENT + 4)));
    // what was said since is to be acknowledged as well, and so is a FIN
    wire.say(3, b"de");
    assert_eq!(wire.connection.awaits(&said), Some((ToServer, CLIENT + 6)));
    wire.send(ToServer, ACK | FIN, CLIENT + 6, SERVER + 1, b"");
    assert_eq!(wire.connection.awaits(&said), Some((ToServer, CLIENT + 7)));
    let heard = |wire: &mut Wire, ack| {
        wire.connection.heard(ToClient, (ack, 60_000), &mut wire.out);
        wire.connection.awaits(&said).is_none()
    };
    // neither what was not sent nor less than what was said until then
    assert!(!heard(&mut wire, CLIENT + 8) && !heard(&mut wire, CLIENT + 3));
    assert!(heard(&mut wire, CLIENT + 4));
    assert_eq!(wire.say(0, b"xbc"), dropped(Reason::tcp_bytes_differ));
    // both directions are to be acknowledged: no packet of either does for both
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    wire.send(ToClient, ACK, SERVER + 1, CLIENT + 1, b"220");
    assert_eq!(wire.connection.awaits(&wire.connection.said()), None);
}
