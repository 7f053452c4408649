//! Many patterns at once: the prefilter.
//!
//! Letters are of either case in the automaton; what asks for one of them is looked at again at the place of the hit. Where a
//! pattern may stand at all is known to it, so that hits elsewhere are no hits.

use std::collections::HashMap;

use aho_corasick::{
    Anchored, MatchKind, StartKind,
    automaton::{Automaton, StateID},
    dfa::DFA,
    nfa::contiguous::NFA,
};

/// Bytes of patterns up to which the faster and bigger form is taken.
const SMALL: usize = 64 << 10;
/// Hits are of a packet, of a stream or a buffer, or of either.
pub const PACKET: u8 = 1;
pub const STREAM: u8 = 2;

/// A pattern of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    pub rule: u32,
    pub bytes: Box<[u8]>,
    pub nocase: bool,
    /// Places where it may end: the least one and the greatest.
    pub ends: (u64, u64),
    /// What it is looked for in: [`PACKET`], [`STREAM`].
    pub of: u8,
}

/// What is scanned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scanned {
    /// A packet, whatever is looked for.
    Packet,
    /// A stream or a buffer.
    Stream,
    /// A stream, of which what stands behind this place is a packet too.
    Both(u64),
}

/// What a rule asks of a hit.
#[derive(Clone, Debug)]
struct Hit {
    rule: u32,
    exact: Option<Box<[u8]>>,
    ends: (u64, u64),
    of: u8,
}

#[derive(Clone, Debug)]
enum Machine {
    Small(Box<DFA>),
    Large(Box<NFA>),
}

/// Finds patterns.
#[derive(Clone, Debug)]
pub struct Matcher {
    machine: Machine,
    /// Of each pattern of the automaton, which hits are its own: the end of them, which is the beginning of the next one's.
    ends: Vec<u32>,
    hits: Vec<Hit>,
}

/// How far the automaton has come. It goes on where the last bytes have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor(StateID);

impl Matcher {
    /// An automaton of patterns; `None`: there are none, or they are too big for one.
    pub fn new(patterns: &[Pattern]) -> Option<Self> {
        let mut by_bytes: HashMap<Vec<u8>, Vec<&Pattern>> = HashMap::new();
        for pattern in patterns.iter().filter(|pattern| !pattern.bytes.is_empty()) {
            by_bytes.entry(pattern.bytes.to_ascii_lowercase()).or_default().push(pattern);
        }
        if by_bytes.is_empty() {
            return None;
        }
        let mut distinct: Vec<(Vec<u8>, Vec<&Pattern>)> = by_bytes.into_iter().collect();
        distinct.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let total: usize = distinct.iter().map(|(bytes, _)| bytes.len()).sum();
        let bytes = distinct.iter().map(|(bytes, _)| bytes);
        let machine = if total <= SMALL {
            Machine::Small(Box::new(
                DFA::builder()
                    .match_kind(MatchKind::Standard)
                    .start_kind(StartKind::Unanchored)
                    .ascii_case_insensitive(true)
                    .prefilter(false)
                    .build(bytes)
                    .ok()?,
            ))
        } else {
            Machine::Large(Box::new(
                NFA::builder()
                    .match_kind(MatchKind::Standard)
                    .ascii_case_insensitive(true)
                    .prefilter(false)
                    .build(bytes)
                    .ok()?,
            ))
        };
        let (mut ends, mut hits) = (Vec::with_capacity(distinct.len()), Vec::with_capacity(patterns.len()));
        for (_, rules) in distinct {
            for pattern in rules {
                let letters = pattern.bytes.iter().any(u8::is_ascii_alphabetic);
                let exact = (letters && !pattern.nocase).then(|| pattern.bytes.clone());
                hits.push(Hit { rule: pattern.rule, exact, ends: pattern.ends, of: pattern.of });
            }
            ends.push(hits.len() as u32);
        }
        Some(Self { machine, ends, hits })
    }

    /// At the beginning.
    pub fn start(&self) -> Option<Cursor> {
        match &self.machine {
            Machine::Small(machine) => machine.start_state(Anchored::No),
            Machine::Large(machine) => machine.start_state(Anchored::No),
        }
        .ok()
        .map(Cursor)
    }

    /// Goes through the next bytes, the first of which has the place `base`: tells which rules have hits, where they end, and
    /// of what they are.
    pub fn scan(&self, cursor: &mut Cursor, bytes: &[u8], base: u64, what: Scanned, hit: impl FnMut(u32, u64, u8)) {
        match &self.machine {
            Machine::Small(machine) => self.run(&**machine, cursor, bytes, base, what, hit),
            Machine::Large(machine) => self.run(&**machine, cursor, bytes, base, what, hit),
        }
    }

    fn run<M: Automaton>(
        &self,
        machine: &M,
        cursor: &mut Cursor,
        bytes: &[u8],
        base: u64,
        what: Scanned,
        mut hit: impl FnMut(u32, u64, u8),
    ) {
        let mut state = cursor.0;
        for (at, byte) in bytes.iter().enumerate() {
            state = machine.next_state(Anchored::No, state, *byte);
            if machine.is_special(state) && machine.is_match(state) {
                for index in 0..machine.match_len(state) {
                    let pattern = machine.match_pattern(state, index).as_usize();
                    self.hits(pattern, &bytes[..=at], base + at as u64 + 1, what, &mut hit);
                }
            }
        }
        cursor.0 = state;
    }

    /// Those of a pattern that ends here.
    fn hits(&self, pattern: usize, so_far: &[u8], end: u64, what: Scanned, hit: &mut impl FnMut(u32, u64, u8)) {
        let first = pattern.checked_sub(1).map_or(0, |before| self.ends[before]);
        for of in &self.hits[first as usize..self.ends[pattern] as usize] {
            let cased = |exact: &[u8]| {
                // what began in bytes that are gone is looked at when the rule is verified
                so_far.len() < exact.len() || so_far.ends_with(exact)
            };
            let may = |end: u64| end >= of.ends.0 && end <= of.ends.1;
            let found = match what {
                Scanned::Packet if may(end) => PACKET,
                Scanned::Stream if may(end) => of.of & STREAM,
                Scanned::Both(from) => {
                    let packet = if may(end.saturating_sub(from)) { PACKET } else { 0 };
                    of.of & (packet | if may(end) { STREAM } else { 0 })
                }
                _ => 0,
            };
            if found != 0 && of.exact.as_deref().is_none_or(cased) {
                hit(of.rule, end, found);
            }
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let machine = match &self.machine {
            Machine::Small(machine) => machine.memory_usage(),
            Machine::Large(machine) => machine.memory_usage(),
        };
        let exact: usize = self.hits.iter().filter_map(|hit| hit.exact.as_deref()).map(<[u8]>::len).sum();
        machine + self.hits.len() * size_of::<Hit>() + self.ends.len() * 4 + exact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(rule: u32, bytes: &str, nocase: bool) -> Pattern {
        Pattern { rule, bytes: bytes.as_bytes().into(), nocase, ends: (0, u64::MAX), of: STREAM }
    }

    fn hits(matcher: &Matcher, parts: &[&[u8]]) -> Vec<(u32, u64)> {
        let (mut cursor, mut base, mut out) = (matcher.start().unwrap(), 0, Vec::new());
        for part in parts {
            matcher.scan(&mut cursor, part, base, Scanned::Stream, |rule, end, _| out.push((rule, end)));
            base += part.len() as u64;
        }
        out.sort_unstable();
        out
    }

    #[test]
    fn overlapping_and_cut() {
        let patterns = [pattern(0, "he", false), pattern(1, "she", true), pattern(2, "hers", false)];
        let matcher = Matcher::new(&patterns).unwrap();
        let all = [(0, 4), (1, 4), (2, 6)];
        assert_eq!(hits(&matcher, &[b"ushers"]), all);
        for cut in 1..6 {
            assert_eq!(hits(&matcher, &[&b"ushers"[..cut], &b"ushers"[cut..]]), all, "{cut}");
        }
        assert_eq!(hits(&matcher, &[b"uSHErs"]), [(1, 4)]);
    }

    #[test]
    fn places() {
        let patterns = [Pattern { ends: (3, 5), ..pattern(7, "ab", false) }];
        let matcher = Matcher::new(&patterns).unwrap();
        assert_eq!(hits(&matcher, &[b"ab"]), []);
        assert_eq!(hits(&matcher, &[b"xabxabab"]), [(7, 3)]);
    }

    #[test]
    fn of_packets_and_of_streams() {
        let patterns = [Pattern { ends: (2, 4), of: PACKET | STREAM, ..pattern(7, "ab", false) }];
        let matcher = Matcher::new(&patterns).unwrap();
        let scan = |what, base| {
            let mut out = Vec::new();
            matcher.scan(&mut matcher.start().unwrap(), b"ab....ab", base, what, |_, end, of| out.push((end, of)));
            out
        };
        assert_eq!(scan(Scanned::Both(0), 0), [(2, PACKET | STREAM)]);
        assert_eq!(scan(Scanned::Both(6), 0), [(2, STREAM), (8, PACKET)]);
        assert_eq!(scan(Scanned::Packet, 0), [(2, PACKET)]);
        assert_eq!(scan(Scanned::Stream, 10), []);
    }

    #[test]
    fn many_are_found_as_few() {
        let many: Vec<_> = (0..8000).map(|rule| pattern(rule, &format!("pattern{rule}x"), rule % 2 == 0)).collect();
        let matcher = Matcher::new(&many).unwrap();
        assert!(matches!(matcher.machine, Machine::Large(_)));
        assert_eq!(hits(&matcher, &[b"..PATTERN12x..pattern13", b"x"]), [(12, 12), (13, 24)]);
        assert!(Matcher::new(&[]).is_none());
    }
}
