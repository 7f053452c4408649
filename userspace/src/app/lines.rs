//! Protocols that speak in lines: what was said, cut into them.

/// A line, or the next piece of one that is longer than is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Without its ending.
    pub bytes: &'a [u8],
    /// `\n` or `\r\n`. Empty: it goes on.
    pub ending: &'a [u8],
    /// It does not go on with an earlier piece.
    pub starts: bool,
}

impl Line<'_> {
    /// All of a line.
    pub const fn is_whole(&self) -> bool {
        self.starts && !self.ending.is_empty()
    }
}

/// Lines of a direction. However the bytes arrive, the same lines and pieces come out.
#[derive(Debug)]
pub struct Lines {
    /// Most bytes of a piece.
    limit: usize,
    /// A line that has not ended.
    held: Vec<u8>,
    /// What is held was handed out.
    spent: bool,
    /// What is held goes on with an earlier piece.
    goes_on: bool,
}

impl Lines {
    /// `limit`: of a longer line, pieces of so many bytes are made.
    pub const fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), spent: false, goes_on: false }
    }

    /// Takes the next line off what was said; `None`: it has not ended, and what there is of it is held.
    pub fn next<'a, 'b: 'a>(&'a mut self, said: &mut &'b [u8]) -> Option<Line<'a>> {
        if self.spent {
            self.held.clear();
            self.spent = false;
        }
        let room = self.limit.saturating_sub(self.held.len());
        let (window, _) = said.split_at(said.len().min(room));
        let end = window.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        if end.is_none() && window.len() < room {
            self.held.extend_from_slice(window);
            *said = &[];
            return None;
        }
        let (taken, rest) = said.split_at(end.unwrap_or(room));
        *said = rest;
        let starts = !self.goes_on;
        self.goes_on = end.is_none();
        let all = if self.held.is_empty() {
            taken
        } else {
            self.held.extend_from_slice(taken);
            self.spent = true;
            &self.held
        };
        let content = all.strip_suffix(b"\n").map_or(all, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let (bytes, ending) = all.split_at(content.len());
        Some(Line { bytes, ending, starts })
    }

    /// What there is of a line that has not ended and will not.
    pub fn rest(&mut self) -> Option<Line<'_>> {
        if self.spent || self.held.is_empty() {
            return None;
        }
        self.spent = true;
        Some(Line { bytes: &self.held, ending: &[], starts: !self.goes_on })
    }

    /// Forgets a line that has not ended: bytes behind it were lost.
    pub fn reset(&mut self) {
        self.held.clear();
        self.spent = false;
        self.goes_on = false;
    }

    /// Bytes of memory that it takes, about.
    pub const fn footprint(&self) -> usize {
        self.held.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
        let mut lines = Lines::new(8);
        let mut all = Vec::new();
        for piece in pieces {
            let mut said = *piece;
            while let Some(line) = lines.next(&mut said) {
                all.push((line.bytes.to_vec(), line.ending.to_vec(), line.starts));
            }
        }
        all.extend(lines.rest().map(|line| (line.bytes.to_vec(), line.ending.to_vec(), line.starts)));
        all
    }

    #[test]
    fn lines_end_with_their_ending() {
        let all = lines(&[b"one\r\ntwo\n\nlast"]);
        let expected: [(&[u8], &[u8], bool); 4] =
            [(b"one", b"\r\n", true), (b"two", b"\n", true), (b"", b"\n", true), (b"last", b"", true)];
        let expected = expected.map(|(bytes, ending, starts)| (bytes.to_vec(), ending.to_vec(), starts));
        assert_eq!(all, expected);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let all = lines(&[b"12345678123\r\nnext\n"]);
        let expected: [(&[u8], &[u8], bool); 3] =
            [(b"12345678", b"", true), (b"123", b"\r\n", false), (b"next", b"\n", true)];
        let expected = expected.map(|(bytes, ending, starts)| (bytes.to_vec(), ending.to_vec(), starts));
        assert_eq!(all, expected);
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(said in "[ab\r\n]{0,60}", cut in 0usize..60, next in 0usize..60) {
            let said = said.as_bytes();
            let (first, second) = said.split_at(cut.min(said.len()));
            let (second, third) = second.split_at(next.min(second.len()));
            prop_assert_eq!(lines(&[first, second, third]), lines(&[said]));
        }
    }
}
