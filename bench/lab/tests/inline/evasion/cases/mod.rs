//! Ways to show a device in the path something else than the server gets, one function each.
//!
//! Each is given what the client really says, and as many bytes of something else, for decoys; it returns what the stream is
//! to hold in the end. Whatever the server has not acknowledged then is said again, plainly.

mod beginnings;
mod decoys;
mod ends;
mod fragments;
mod headers;
mod segments;

use super::{client::Hand, packet::Segment};

/// What comes of it when the client means no harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Legal {
    /// The server answers to what the trick sent; what decoys there are say the same as the truth.
    AtOnce,
    /// As [`Legal::AtOnce`], although decoys hold other bytes: no receiver takes them.
    InSpiteOfNoise,
    /// What the trick sent does not arrive, by the gateway's kernel or by us; said again plainly, it does.
    SaidAgain,
    /// No client does this and goes on: the connection stands still.
    Cut,
}

/// Families that it exists in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum In {
    Both,
    V4,
    V6,
}

pub struct Case {
    pub name: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// What Dropgate does with it.
    pub handling: &'static str,
    /// Why what must not get through does not; one of the reasons that are counted for such a flow.
    pub reason: &'static str,
    pub legal: Legal,
    pub family: In,
    /// To the server that takes data on a SYN.
    pub early: bool,
    pub run: fn(&mut Hand, &[u8], &[u8]) -> Vec<u8>,
}

const fn case(
    name: &'static str,
    source: &'static str,
    reason: &'static str,
    legal: Legal,
    handling: &'static str,
    run: fn(&mut Hand, &[u8], &[u8]) -> Vec<u8>,
) -> Case {
    Case { name, source, handling, reason, legal, family: In::Both, early: false, run }
}

const fn v4(case: Case) -> Case {
    Case { family: In::V4, ..case }
}

const fn v6(case: Case) -> Case {
    Case { family: In::V6, ..case }
}

const fn early(case: Case) -> Case {
    Case { early: true, ..case }
}

/// Cases by group, in the order of `docs/evasion.md`: what they have in common, and they.
pub const GROUPS: &[(&str, &[Case])] = &[
    ("Bytes cut, ordered and repeated", segments::CASES),
    ("Decoys", decoys::CASES),
    ("Ends", ends::CASES),
    ("Beginnings", beginnings::CASES),
    ("Headers", headers::CASES),
    ("Fragments", fragments::CASES),
];

/// Opens, sends a segment, and says the truth.
fn after(hand: &mut Hand, truth: &[u8], first: impl FnOnce(&mut Hand) -> Segment) -> Vec<u8> {
    hand.open();
    let segment = first(hand);
    hand.send(&segment);
    hand.say(0, truth);
    truth.to_vec()
}
