//! What rules do to packets.

use std::sync::Arc;

use dropgate_abi::reason::Reason;
use dropgate_signatures::engine::Ruleset;

use super::wire::{Wire, expecting};
use crate::{
    inspect::{Answer, Rules, Signatures},
    protocol::{Direction, Protocol},
    samples::rules,
};

fn signed(text: &str) -> Rules {
    let signatures = Signatures { ruleset: Arc::new(Ruleset::compile(rules(text))), ..Signatures::default() };
    Rules { signatures: Some(signatures), ..expecting(&[Protocol::Http]) }
}

/// A packet that came before its turn and is dropped by a rule about packets does not leave when its turn comes.
#[test]
fn what_is_dropped_out_of_turn_stays_dropped() {
    for (rule, leaves) in [
        ("drop tcp any any -> any any (dsize:7; content:\"badness\"; sid:1;)", false),
        ("alert tcp any any -> any any (dsize:7; content:\"badness\"; sid:1;)", true),
    ] {
        let mut wire = Wire::new(signed(rule), 80);
        let answer = wire.ahead(Direction::ToServer, 6, b"badness");
        assert_eq!(answer, if leaves { Answer::Keep } else { Answer::Drop(Reason::signature) }, "{rule}");
        assert_eq!(wire.judged.watched.alerts.len(), 1, "{rule}");
        assert_ne!(wire.client(b"GET / "), Answer::Drop(Reason::signature), "{rule}");
        let left = wire.judged.let_go.iter().any(|frame| frame.ends_with(b"badness")) || wire.talk.frames() > 1;
        assert_eq!(left, leaves, "{rule}");
    }
}
