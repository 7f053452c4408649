//! FIN and RST.

use super::*;
use crate::reassembly::flag::{FIN, RST};

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

#[test]
fn reset_at_the_expected_number() {
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    assert_eq!(wire.say(5, b"fgh"), Answer::Hold);
    let held = wire.token;
    assert_eq!(wire.send(ToServer, RST, CLIENT + 4, 0, b""), Answer::Release);
    assert_eq!(wire.out.discard, [(held, Reason::tcp_after_reset)]);
    assert!(wire.connection.over());
    assert_eq!(wire.say(3, b"def"), dropped(Reason::tcp_after_reset));
    assert_eq!(wire.say(0, b"abc"), dropped(Reason::tcp_after_reset));
    // the other end may not have got it: what it says earns it another one
    assert_eq!(wire.confirm(3), Answer::Release);
    assert_eq!(wire.send(ToServer, RST, CLIENT + 4, 0, b""), Answer::Release);
    assert_eq!(wire.seen(ToServer), b"abc");
}

#[test]
fn reset_elsewhere_in_the_window_changes_nothing() {
    let mut wire = Wire::open();
    wire.say(0, b"abcdef");
    wire.confirm(1);
    // before what is acknowledged, between that and what is expected, and beyond
    for at in [0, 2, 5, 7, 1000] {
        assert_eq!(wire.send(ToServer, RST, CLIENT + 1 + at, 0, b""), Answer::Release);
        assert!(!wire.connection.over());
    }
    // the receiver's challenge is answered with a RST at the number it expects
    assert_eq!(wire.confirm(6), Answer::Release);
    assert_eq!(wire.send(ToServer, RST, CLIENT + 7, 0, b""), Answer::Release);
    assert!(wire.connection.over());
}

#[test]
fn reset_out_of_window_is_dropped() {
    let mut wire = Wire::open();
    wire.say(0, b"abc");
    wire.confirm(3);
    assert_eq!(wire.send(ToServer, RST, CLIENT.wrapping_sub(70_000), 0, b""), dropped(Reason::tcp_reset_invalid));
    assert_eq!(wire.send(ToServer, RST, CLIENT + 90_000, 0, b""), dropped(Reason::tcp_reset_invalid));
    assert_eq!(wire.say(3, b"d"), Answer::Release);
}

#[test]
fn refused() {
    let mut wire = Wire::new(&Limits::default());
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    assert_eq!(wire.send(ToClient, RST, 0, 0, b""), dropped(Reason::tcp_reset_invalid));
    assert_eq!(wire.send(ToClient, RST | ACK, 0, CLIENT + 9, b""), dropped(Reason::tcp_ack_invalid));
    assert_eq!(wire.send(ToClient, RST | ACK, 0, CLIENT + 1, b""), Answer::Release);
    // the client tries once more
    assert_eq!(wire.send(ToServer, SYN, CLIENT, 0, b""), Answer::Release);
    assert_eq!(wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b""), Answer::Release);
}

/// A RST is obeyed whatever its timestamp (RFC 7323, 5.2).
#[test]
fn reset_with_an_old_timestamp_is_odd() {
    let mut wire = Wire::new(&Limits::default());
    let at = |timestamp, echo| Options { timestamp: Some(timestamp), echo: Some(echo), ..Options::default() };
    wire.options = at(5_000, 0);
    wire.send(ToServer, SYN, CLIENT, 0, b"");
    wire.options = at(9_000, 5_000);
    wire.send(ToClient, SYN | ACK, SERVER, CLIENT + 1, b"");
    wire.options = at(0, 5_000);
    assert_eq!(wire.send(ToClient, RST | ACK, SERVER + 1, CLIENT + 1, b""), Answer::Release);
    assert_eq!(wire.out.odd, Some(Reason::tcp_timestamp_old));
}
