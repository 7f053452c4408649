//! One content, and how it is found.

use memchr::{memchr, memchr2, memmem::Finder};

/// Bytes to be found. The searcher is chosen once.
#[derive(Clone, Debug)]
pub struct Needle {
    bytes: Box<[u8]>,
    search: Search,
}

#[derive(Clone, Debug)]
enum Search {
    Exact(Box<Finder<'static>>),
    /// Letters of either case. A byte that is rare in traffic, its place, and both forms of it.
    Folded {
        place: usize,
        forms: (u8, u8),
    },
}

impl Needle {
    /// A needle; without any letters `nocase` changes nothing.
    pub fn new(bytes: &[u8], nocase: bool) -> Self {
        if !nocase || !bytes.iter().any(u8::is_ascii_alphabetic) {
            return Self { bytes: bytes.into(), search: Search::Exact(Box::new(Finder::new(bytes).into_owned())) };
        }
        let place = (0..bytes.len()).max_by_key(|at| rarity(bytes[*at])).unwrap_or(0);
        let byte = bytes[place];
        let forms = (byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
        Self { bytes: bytes.into(), search: Search::Folded { place, forms } }
    }

    /// Its length.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where it begins first.
    pub fn find(&self, hay: &[u8]) -> Option<usize> {
        match &self.search {
            Search::Exact(finder) => finder.find(hay),
            Search::Folded { place, forms: (lower, upper) } => {
                let last = hay.len().checked_sub(self.bytes.len())?;
                let mut from = 0;
                while from <= last {
                    let rest = &hay[from + place..=last + place];
                    let next = if lower == upper { memchr(*lower, rest) } else { memchr2(*lower, *upper, rest) };
                    let at = from + next?;
                    if hay[at..at + self.bytes.len()].eq_ignore_ascii_case(&self.bytes) {
                        return Some(at);
                    }
                    from = at + 1;
                }
                None
            }
        }
    }

    /// Whether it stands at the beginning.
    pub fn begins(&self, hay: &[u8]) -> bool {
        hay.get(..self.bytes.len()).is_some_and(|head| match self.search {
            Search::Exact(_) => head == &*self.bytes,
            Search::Folded { .. } => head.eq_ignore_ascii_case(&self.bytes),
        })
    }
}

/// How rarely a byte stands in text and headers, roughly.
const fn rarity(byte: u8) -> u8 {
    match byte {
        0 | b' ' | b'e' | b'E' | b't' | b'T' | b'a' | b'A' => 0,
        b'o' | b'i' | b'n' | b's' | b'r' | b'O' | b'I' | b'N' | b'S' | b'R' | b'\r' | b'\n' => 1,
        b'j' | b'J' | b'q' | b'Q' | b'x' | b'X' | b'z' | b'Z' => 4,
        b'a'..=b'z' | b'A'..=b'Z' | b'0' | b'1' | b'/' | b'.' | b'-' | 0xff => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_case() {
        let needle = Needle::new(b"User-Agent", true);
        assert_eq!(needle.find(b"xx\r\nuSER-aGENT: y"), Some(4));
        assert_eq!(needle.find(b"User-Agen"), None);
        assert_eq!(needle.find(b"User-User-Agent"), Some(5));
        assert!(needle.begins(b"USER-AGENT"));
        assert_eq!(Needle::new(b"|01|", true).find(b"a|01|"), Some(1));
    }

    #[test]
    fn exact() {
        let needle = Needle::new(b"Abc", false);
        assert_eq!(needle.find(b"abcAbc"), Some(3));
        assert!(!needle.begins(b"abc"));
    }
}
