//! Many patterns at once: the prefilter.
//!
//! Of each pattern four bytes that are rare in traffic stand for it. A bitmap says of any four bytes whether they may stand for
//! one; it is small enough for the first level of cache, and asking it at one place does not wait for the answer at another, as
//! the states of an automaton do. Where it says yes, a table has the patterns, which are compared. Patterns of two and three
//! bytes have a bitmap of their own; one byte is looked for from the end, and where it stands last is its hit. There is no state:
//! bytes that come later are scanned with the few in front of them in which a pattern may have begun.
//! docs/decisions/0010-matcher.md has what was measured.
//!
//! Letters are of either case; what asks for one of them is compared once more. Where a pattern may stand at all is known to it,
//! so that hits elsewhere are no hits.

use std::collections::HashMap;

/// Hits are of a packet, of a stream or a buffer, or of either.
pub const PACKET: u8 = 1;
pub const STREAM: u8 = 2;
/// Bytes of a pattern that are looked for; the rest of longer ones is seen when their rules are verified.
const LONGEST: usize = 32;
/// Bits of a bitmap for each pattern.
const BITS_EACH: usize = 32;
/// Least and most bits of a bitmap, as powers of two.
const BITS: (u32, u32) = (12, 20);
/// Sets the bit in which letters of either case differ. That it makes more bytes alike is found out when they are compared.
const FOLD: u32 = 0x2020_2020;

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
    /// Letters as they stand in it, as many bytes as are looked for.
    exact: Option<Box<[u8]>>,
    /// Of the whole pattern, from the end of what is looked for.
    ends: (u64, u64),
    of: u8,
}

impl Hit {
    /// What it is a hit of if the pattern ends here.
    const fn found(&self, end: u64, what: Scanned) -> u8 {
        match what {
            Scanned::Packet if self.may(end) => PACKET,
            Scanned::Stream if self.may(end) => self.of & STREAM,
            Scanned::Both(from) => {
                let packet = if self.may(end.saturating_sub(from)) { PACKET } else { 0 };
                self.of & (packet | if self.may(end) { STREAM } else { 0 })
            }
            _ => 0,
        }
    }

    const fn may(&self, end: u64) -> bool {
        end >= self.ends.0 && end <= self.ends.1
    }
}

/// A pattern, as it is looked for.
#[derive(Clone, Debug)]
struct Needle {
    /// In lower case.
    bytes: Box<[u8]>,
    /// The four bytes that stand for it, and where they stand in it.
    gram: u32,
    offset: u8,
    /// Its hits, from here to the next one's.
    hits: u32,
}

/// Finds patterns.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// Of four bytes.
    bitmap: Box<[u64]>,
    /// By how much a hash is shifted, to be a place in the bitmap and in the table.
    shifts: (u32, u32),
    /// Where the needles of a place in the table begin.
    table: Box<[u32]>,
    /// Needles of four bytes and more, by place in the table, and then the others.
    needles: Box<[Needle]>,
    short: Option<Box<Short>>,
    hits: Box<[Hit]>,
    longest: usize,
}

/// Needles of less than four bytes.
#[derive(Clone, Debug)]
struct Short {
    /// Whether two bytes begin any.
    begins: [u64; 1024],
    /// Those of more than one byte, by the first of them, with letters of either case alike.
    by_byte: [Vec<u32>; 256],
    /// Those of one byte.
    single: Vec<u32>,
}

impl Short {
    fn add(&mut self, bytes: &[u8], needle: u32) {
        let Some(pair) = bytes.first_chunk() else { return self.single.push(needle) };
        let pair = Self::pair(*pair);
        self.begins[pair / 64] |= 1 << (pair % 64);
        self.by_byte[pair & 0xff].push(needle);
    }

    const fn pair(bytes: [u8; 2]) -> usize {
        (u16::from_le_bytes(bytes) | FOLD as u16) as usize
    }
}

impl Matcher {
    /// Of these patterns; `None`: there are none.
    pub fn new(patterns: &[Pattern]) -> Option<Self> {
        let mut by_bytes: HashMap<Vec<u8>, Vec<&Pattern>> = HashMap::new();
        for pattern in patterns.iter().filter(|pattern| !pattern.bytes.is_empty()) {
            let bytes = &pattern.bytes[..pattern.bytes.len().min(LONGEST)];
            by_bytes.entry(bytes.to_ascii_lowercase()).or_default().push(pattern);
        }
        if by_bytes.is_empty() {
            return None;
        }
        let bits = (by_bytes.len() * BITS_EACH).next_power_of_two().trailing_zeros().clamp(BITS.0, BITS.1);
        let places = by_bytes.len().next_power_of_two().trailing_zeros().clamp(4, 24);
        let mut out = Self {
            bitmap: vec![0; 1 << (bits - 6)].into(),
            shifts: (32 - bits, 32 - places),
            longest: by_bytes.keys().map(Vec::len).max().unwrap_or(0),
            ..Self::default()
        };
        let mut uses: HashMap<u32, u32> = HashMap::new();
        let mut distinct: Vec<_> = by_bytes
            .into_iter()
            .map(|(bytes, patterns)| {
                let offset = rarest(&bytes, &uses);
                let gram = offset.map(|offset| gram(&bytes[offset..]));
                gram.into_iter().for_each(|gram| *uses.entry(gram).or_default() += 1);
                let place = gram.map_or(u32::MAX, |gram| hash(gram) >> out.shifts.1);
                (place, bytes, offset.unwrap_or(0), patterns)
            })
            .collect();
        distinct.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let (mut needles, mut hits) = (Vec::with_capacity(distinct.len()), Vec::with_capacity(patterns.len()));
        let mut table = vec![0_u32; (1 << places) + 1];
        let empty = || std::array::from_fn(|_| Vec::new());
        let mut short = Box::new(Short { begins: [0; 1024], by_byte: empty(), single: Vec::new() });
        let mut any_short = false;
        for (place, bytes, offset, patterns) in distinct {
            let number = needles.len() as u32;
            if place == u32::MAX {
                short.add(&bytes, number);
                any_short = true;
            } else {
                let bit = hash(gram(&bytes[offset..])) >> out.shifts.0;
                out.bitmap[bit as usize / 64] |= 1 << (bit % 64);
                table[place as usize + 1] += 1;
            }
            let first = hits.len() as u32;
            for pattern in patterns {
                let exact = !pattern.nocase && bytes.iter().any(u8::is_ascii_lowercase);
                let exact = exact.then(|| pattern.bytes[..bytes.len()].into());
                let behind = (pattern.bytes.len() - bytes.len()) as u64;
                let ends = (pattern.ends.0.saturating_sub(behind), pattern.ends.1.saturating_sub(behind));
                hits.push(Hit { rule: pattern.rule, exact, ends, of: pattern.of });
            }
            needles.push(Needle {
                gram: gram(&bytes[offset..]),
                bytes: bytes.into(),
                offset: offset as u8,
                hits: first,
            });
        }
        for place in 1..table.len() {
            table[place] += table[place - 1];
        }
        out.short = any_short.then_some(short);
        (out.table, out.needles, out.hits) = (table.into(), needles.into(), hits.into());
        Some(out)
    }

    /// Looks for patterns that end behind the first `from` bytes, the first of which has the place `base`: tells which rules have
    /// hits, where what was looked for ends, and of what they are.
    pub fn scan(&self, bytes: &[u8], from: usize, base: u64, what: Scanned, mut hit: impl FnMut(u32, u64, u8)) {
        let start = from.saturating_sub(self.longest - 1);
        let (shift, end) = (self.shifts.0, bytes.len().saturating_sub(3));
        for at in start..end {
            let gram = gram(&bytes[at..]);
            let bit = hash(gram) >> shift;
            if self.bitmap[bit as usize / 64] >> (bit % 64) & 1 != 0 {
                self.compare(gram, bytes, at, from, base, what, &mut hit);
            }
        }
        let Some(short) = &self.short else { return };
        let start = from.saturating_sub(2);
        for (at, two) in bytes.windows(2).enumerate().skip(start) {
            let pair = Short::pair([two[0], two[1]]);
            if short.begins[pair / 64] >> (pair % 64) & 1 != 0 {
                for number in &short.by_byte[pair & 0xff] {
                    self.compare_one(*number, bytes, at, from, base, what, &mut hit);
                }
            }
        }
        for number in &short.single {
            self.last(*number, bytes, from, base, what, &mut hit);
        }
    }

    /// Looks for a pattern of one byte, which may stand anywhere and often does: where each of its hits stands last.
    fn last(
        &self,
        number: u32,
        bytes: &[u8],
        from: usize,
        base: u64,
        what: Scanned,
        hit: &mut impl FnMut(u32, u64, u8),
    ) {
        let byte = self.needles[number as usize].bytes[0];
        for of in self.hits_of(number) {
            let forms = match of.exact.as_deref() {
                Some(exact) => [exact[0]; 2],
                None => [byte, byte.to_ascii_uppercase()],
            };
            let most = match what {
                Scanned::Packet => PACKET,
                Scanned::Stream => of.of & STREAM,
                Scanned::Both(_) => of.of,
            };
            let (mut found, mut end) = (0, bytes.len());
            while found != most
                && let Some(at) = memchr::memrchr2(forms[0], forms[1], &bytes[from..end])
            {
                let here = base + (from + at) as u64 + 1;
                let new = of.found(here, what) & !found;
                if new != 0 {
                    hit(of.rule, here, new);
                    found |= new;
                } else if here < of.ends.0 {
                    break;
                }
                end = from + at;
            }
        }
    }

    /// What is asked of a pattern's hits.
    fn hits_of(&self, number: u32) -> &[Hit] {
        let first = self.needles[number as usize].hits as usize;
        let last = self.needles.get(number as usize + 1).map_or(self.hits.len(), |next| next.hits as usize);
        &self.hits[first..last]
    }

    /// Compares the patterns for which four bytes stand.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "the inner part of one loop")]
    fn compare(
        &self,
        gram: u32,
        bytes: &[u8],
        at: usize,
        from: usize,
        base: u64,
        what: Scanned,
        hit: &mut impl FnMut(u32, u64, u8),
    ) {
        let place = (hash(gram) >> self.shifts.1) as usize;
        for number in self.table[place]..self.table[place + 1] {
            let needle = &self.needles[number as usize];
            if needle.gram == gram
                && let Some(start) = at.checked_sub(usize::from(needle.offset))
            {
                self.compare_one(number, bytes, start, from, base, what, hit);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the inner part of one loop")]
    fn compare_one(
        &self,
        number: u32,
        bytes: &[u8],
        start: usize,
        from: usize,
        base: u64,
        what: Scanned,
        hit: &mut impl FnMut(u32, u64, u8),
    ) {
        let needle = &self.needles[number as usize];
        let end = start + needle.bytes.len();
        let Some(here) = bytes.get(start..end).filter(|_| end > from) else { return };
        if !here.eq_ignore_ascii_case(&needle.bytes) {
            return;
        }
        let end = base + end as u64;
        for of in self.hits_of(number) {
            let found = of.found(end, what);
            if found != 0 && of.exact.as_deref().is_none_or(|exact| *exact == *here) {
                hit(of.rule, end, found);
            }
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let needles: usize = self.needles.iter().map(|needle| size_of::<Needle>() + needle.bytes.len()).sum();
        let exact: usize = self.hits.iter().filter_map(|hit| hit.exact.as_deref()).map(<[u8]>::len).sum();
        self.bitmap.len() * 8 + self.table.len() * 4 + needles + self.hits.len() * size_of::<Hit>() + exact
    }
}

/// Four bytes, with letters of either case alike.
fn gram(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |four| u32::from_le_bytes(*four) | FOLD)
}

const fn hash(gram: u32) -> u32 {
    (gram ^ gram >> 15).wrapping_mul(0x9e37_79b1)
}

/// Where the four bytes stand that are to stand for a pattern: the rarest, of those by which fewest are found already.
fn rarest(bytes: &[u8], uses: &HashMap<u32, u32>) -> Option<usize> {
    let last = bytes.len().checked_sub(4)?;
    (0..=last).max_by_key(|at| {
        let four = &bytes[*at..at + 4];
        let rarity: i32 = four.iter().map(|byte| rarity(*byte)).sum();
        let alike = four.iter().all(|byte| *byte == four[0]);
        rarity - uses.get(&gram(four)).map_or(0, |uses| 4 * (*uses).min(8) as i32) - if alike { 20 } else { 0 }
    })
}

/// How rarely a byte stands in text, headers and binary protocols, roughly.
const fn rarity(byte: u8) -> i32 {
    match byte {
        0 => -2,
        b' ' | b'e' | b't' | b'a' | 0xff => 0,
        b'o' | b'i' | b'n' | b's' | b'r' | b'\r' | b'\n' | b'/' | b'.' | b'0' | b'1' => 1,
        b'j' | b'q' | b'x' | b'z' => 5,
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b':' | b'=' => 3,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(rule: u32, bytes: &str, nocase: bool) -> Pattern {
        Pattern { rule, bytes: bytes.as_bytes().into(), nocase, ends: (0, u64::MAX), of: STREAM }
    }

    /// Hits in bytes that come in parts.
    fn hits(matcher: &Matcher, parts: &[&[u8]]) -> Vec<(u32, u64)> {
        let (mut all, mut out) = (Vec::new(), Vec::new());
        for part in parts {
            let from = all.len();
            all.extend_from_slice(part);
            matcher.scan(&all, from, 0, Scanned::Stream, |rule, end, _| out.push((rule, end)));
        }
        out.sort_unstable();
        out
    }

    /// Each rule's last hit.
    fn last(mut hits: Vec<(u32, u64)>) -> Vec<(u32, u64)> {
        hits.reverse();
        hits.dedup_by_key(|(rule, _)| *rule);
        hits.reverse();
        hits
    }

    /// Of one byte the last place in each part is a hit, where it may stand.
    #[test]
    fn one_byte() {
        let patterns = [
            pattern(0, "a", true),
            pattern(1, "A", false),
            Pattern { ends: (2, 3), ..pattern(2, "a", false) },
            Pattern { ends: (2, 3), of: PACKET | STREAM, ..pattern(3, "b", false) },
        ];
        let matcher = Matcher::new(&patterns).unwrap();
        assert_eq!(hits(&matcher, &[b"aaaAa"]), [(0, 5), (1, 4), (2, 3)]);
        assert_eq!(hits(&matcher, &[b"aa", b"xA"]), [(0, 2), (0, 4), (1, 4), (2, 2)]);
        let mut out = Vec::new();
        matcher.scan(b"bbbb.bbbb", 0, 0, Scanned::Both(5), |rule, end, of| out.push((rule, end, of)));
        assert_eq!(out, [(3, 8, PACKET), (3, 3, STREAM)]);
    }

    #[test]
    fn overlapping_and_cut() {
        let patterns = [
            pattern(0, "he", false),
            pattern(1, "she", true),
            pattern(2, "hers", false),
            pattern(3, "ushers", true),
            pattern(4, "s", false),
        ];
        let matcher = Matcher::new(&patterns).unwrap();
        let all = [(0, 4), (1, 4), (2, 6), (3, 6), (4, 6)];
        assert_eq!(hits(&matcher, &[b"ushers"]), all);
        for cut in 1..6 {
            assert_eq!(last(hits(&matcher, &[&b"ushers"[..cut], &b"ushers"[cut..]])), all, "{cut}");
        }
        let single: Vec<&[u8]> = b"ushers".chunks(1).collect();
        assert_eq!(last(hits(&matcher, &single)), all);
        assert_eq!(hits(&matcher, &[b"uSHErs"]), [(1, 4), (3, 6), (4, 6)]);
    }

    #[test]
    fn places() {
        let patterns = [Pattern { ends: (3, 5), ..pattern(7, "ab", false) }];
        let matcher = Matcher::new(&patterns).unwrap();
        assert_eq!(hits(&matcher, &[b"ab"]), []);
        assert_eq!(hits(&matcher, &[b"xabxabab"]), [(7, 3)]);
        let long = "x".repeat(40);
        let patterns = [Pattern { ends: (40, 40), ..pattern(7, &long, false) }];
        let matcher = Matcher::new(&patterns).unwrap();
        assert_eq!(hits(&matcher, &[long.as_bytes()]), [(7, 32)]);
        assert_eq!(hits(&matcher, &[b".", &long.as_bytes()[..39]]), []);
    }

    #[test]
    fn of_packets_and_of_streams() {
        let patterns = [Pattern { ends: (2, 4), of: PACKET | STREAM, ..pattern(7, "ab", false) }];
        let matcher = Matcher::new(&patterns).unwrap();
        let scan = |what, base| {
            let mut out = Vec::new();
            matcher.scan(b"ab....ab", 0, base, what, |_, end, of| out.push((end, of)));
            out
        };
        assert_eq!(scan(Scanned::Both(0), 0), [(2, PACKET | STREAM)]);
        assert_eq!(scan(Scanned::Both(6), 0), [(2, STREAM), (8, PACKET)]);
        assert_eq!(scan(Scanned::Packet, 0), [(2, PACKET)]);
        assert_eq!(scan(Scanned::Stream, 10), []);
    }

    #[test]
    fn many() {
        let many: Vec<_> = (0..8000).map(|rule| pattern(rule, &format!("pattern{rule}x"), rule % 2 == 0)).collect();
        let matcher = Matcher::new(&many).unwrap();
        assert_eq!(hits(&matcher, &[b"..PATTERN12x..pattern13", b"x"]), [(12, 12), (13, 24)]);
        assert!(Matcher::new(&[]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn finds_what_is_there(
            patterns in proptest::collection::vec("[aAbB%]{1,7}", 1..12),
            nocase in proptest::collection::vec(proptest::bool::ANY, 12),
            text in "[aAbB%]{0,60}",
            cut in 0_usize..60,
        ) {
            let made: Vec<_> =
                patterns.iter().enumerate().map(|(at, bytes)| pattern(at as u32, bytes, nocase[at])).collect();
            let mut expected = Vec::new();
            for (at, of) in made.iter().enumerate() {
                for end in of.bytes.len()..=text.len() {
                    let here = &text.as_bytes()[end - of.bytes.len()..end];
                    if *here == *of.bytes || of.nocase && here.eq_ignore_ascii_case(&of.bytes) {
                        expected.push((at as u32, end as u64));
                    }
                }
            }
            expected.sort_unstable();
            let (one, other) = text.as_bytes().split_at(cut.min(text.len()));
            let found = hits(&Matcher::new(&made).unwrap(), &[one, other]);
            proptest::prop_assert!(found.iter().all(|hit| expected.contains(hit)), "{found:?}, {expected:?}");
            proptest::prop_assert_eq!(last(found), last(expected));
        }
    }
}
