//! A few bytes that a datagram must hold for a rule to match.

use std::ops::RangeInclusive;

use dropgate_abi::datagrams::{Datagrams, HEAD, fold, tier};

use crate::rule::{Check, Condition, Content, Rule, Selected, Value};

/// Most places where a pattern may stand that is looked for at its places alone.
const PLACES: u32 = 8;

/// Bytes, and how they are looked for.
pub struct Pattern {
    tier: usize,
    bytes: Vec<u8>,
    /// Where they may stand, of tiers that know their places.
    places: RangeInclusive<u32>,
}

impl Pattern {
    /// The one that is rarest by its length, and costs least to look for.
    pub fn of(rule: &Rule) -> Option<Self> {
        let payload = rule.conditions.iter().filter_map(|condition| match condition {
            Condition::Inspect(inspect) if inspect.selected == Selected::Payload && inspect.transforms.is_empty() => {
                Some(&inspect.checks)
            }
            _ => None,
        });
        let payload = payload.filter(|checks| !checks.iter().any(|check| matches!(check, Check::Absent(_))));
        let contents = payload.flatten().filter_map(|check| match check {
            Check::Content(content) if !content.negated => Some(content),
            _ => None,
        });
        contents.filter_map(Self::new).min_by_key(Self::rank)
    }

    fn new(content: &Content) -> Option<Self> {
        let length = content.bytes.len();
        let places = places(content);
        let (tier, window) = match (length, places.is_some()) {
            (0, _) | (1, false) => return None,
            (11.., _) => (tier::LONG, 11),
            (4.., true) => (tier::HEAD, 4),
            (7.., _) => (tier::MEDIUM, 7),
            (4.., _) => (tier::SHORT, 4),
            (2.., true) => (tier::HEAD_TINY, 2),
            (2.., _) => (tier::TINY, 2),
            (1, true) => (tier::HEAD_TINY, 1),
        };
        // the part with the most bytes that differ
        let parts = content.bytes.windows(window).enumerate();
        let (at, bytes) = parts.rev().max_by_key(|(_, part)| different(part))?;
        let places = places.map_or(0..=0, |(first, last)| first + at as u32..=last + at as u32);
        Some(Self { tier, bytes: bytes.to_vec(), places })
    }

    /// Lower is better.
    fn rank(&self) -> usize {
        let of = match (self.tier, self.bytes.len()) {
            (tier::LONG, _) => 0,
            (tier::HEAD, _) => 1,
            (tier::MEDIUM, _) => 2,
            (tier::SHORT, _) => 3,
            (tier::HEAD_TINY, 2) => 4,
            (tier::TINY, _) => 5,
            _ => 6,
        };
        // what is all alike is common
        if different(&self.bytes) < 3 && self.bytes.len() > 2 { of + 3 } else { of }
    }

    /// Groups get it.
    pub fn enter(&self, table: &mut Datagrams, groups: u16) {
        match self.tier {
            of @ (tier::LONG | tier::MEDIUM) => {
                let length = if of == tier::LONG { 8 } else { 4 };
                // one of them begins at a fourth place, wherever the pattern stands
                self.bytes.windows(length).for_each(|gram| table.enter(of, word(gram), 0, groups));
            }
            of @ (tier::SHORT | tier::TINY) => table.enter(of, word(&self.bytes), 0, groups),
            of => {
                for place in self.places.clone() {
                    if let [byte] = self.bytes[..] {
                        for next in 0..=u8::MAX {
                            table.enter(of, word(&[byte, next]), place, groups);
                        }
                    } else {
                        table.enter(of, word(&self.bytes), place, groups);
                    }
                }
            }
        }
    }
}

/// The first and the last place where a content may begin, if there are few of them, and all of it in the head of a payload.
fn places(content: &Content) -> Option<(u32, u32)> {
    let place = &content.place;
    let length = content.bytes.len() as i64;
    if place.distance.is_some() || place.within.is_some() {
        return None;
    }
    let number = |value: Option<Value>| match value {
        Some(Value::Number(number)) => Some(Some(number)),
        Some(Value::Variable(_)) => None,
        None => Some(None),
    };
    let (first, depth) = (number(place.offset)?.unwrap_or(0), number(place.depth)?);
    let last = match depth {
        _ if place.at_start => first,
        Some(depth) => first + depth - length,
        None => return None,
    };
    let few = first >= 0 && last >= first && last - first < i64::from(PLACES) && last + length <= i64::from(HEAD);
    few.then_some((u32::try_from(first).ok()?, u32::try_from(last).ok()?))
}

/// How many bytes of it differ, when folded.
fn different(bytes: &[u8]) -> usize {
    let mut folded: Vec<u8> = bytes.iter().map(|byte| byte | 0x20).collect();
    folded.sort_unstable();
    folded.dedup();
    folded.len()
}

/// Bytes as a folded word, the first one lowest.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    fold(u64::from_le_bytes(word))
}
