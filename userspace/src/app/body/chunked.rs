//! Chunked bodies (RFC 9112 section 7.1), read as tolerantly as browsers do: any control characters and blank lines before a
//! size, line ends without CR, anything behind the size.

use memchr::memchr;

/// Bytes of a line with a size: more than that is none.
const LINE: usize = 8 << 10;

/// What some bytes of a chunked body are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// Content.
    Content(&'a [u8]),
    /// A line with a size, or the end of a chunk.
    Frame,
    /// The last chunk's line: trailers follow.
    Last,
    /// No size stands where one has to. Of the line, what was fed before: the bytes fed now are not used.
    Broken(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Size,
    Content(u64),
    End,
    Over,
}

/// A chunked body.
#[derive(Clone, Debug, Default)]
pub struct Chunked {
    state: State,
    line: Vec<u8>,
    /// A size was followed by `;`.
    pub extended: bool,
}

impl Chunked {
    /// What the first of these bytes are, and how many; at least one byte is used, except if the body is broken or over.
    pub fn next<'a>(&'a mut self, bytes: &'a [u8]) -> (usize, Piece<'a>) {
        match self.state {
            State::Size => self.size(bytes),
            State::Content(left) => {
                let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - length as u64;
                self.state = if left == 0 { State::End } else { State::Content(left) };
                (length, Piece::Content(&bytes[..length]))
            }
            State::End => match memchr(b'\n', bytes) {
                Some(end) => {
                    self.state = State::Size;
                    (end + 1, Piece::Frame)
                }
                None => (bytes.len(), Piece::Frame),
            },
            State::Over => (0, Piece::Last),
        }
    }

    /// So many bytes are missing: `false`, if they are not all content, so that there is no telling what follows.
    pub fn lose(&mut self, bytes: u64) -> bool {
        match self.state {
            State::Content(left) if bytes < left => {
                self.state = State::Content(left - bytes);
                true
            }
            _ => false,
        }
    }

    fn size<'a>(&'a mut self, bytes: &'a [u8]) -> (usize, Piece<'a>) {
        let end = memchr(b'\n', bytes).map(|end| end + 1);
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        let first = self.line.iter().chain(piece).find(|byte| !is_control(**byte));
        if first.is_some_and(|first| !first.is_ascii_hexdigit()) || self.line.len() + piece.len() > LINE {
            return (0, Piece::Broken(&self.line));
        }
        let blank = first.is_none();
        if end.is_none() {
            // nothing but white space says nothing, however much of it
            if !blank {
                self.line.extend_from_slice(piece);
            }
            return (piece.len(), Piece::Frame);
        }
        if blank {
            return (piece.len(), Piece::Frame);
        }
        let known = self.line.len();
        self.line.extend_from_slice(piece);
        let Some((size, rest)) = size(&self.line) else {
            self.line.truncate(known);
            return (0, Piece::Broken(&self.line));
        };
        self.extended |= rest.contains(&b';');
        self.line.clear();
        if size == 0 {
            self.state = State::Over;
            return (piece.len(), Piece::Last);
        }
        self.state = State::Content(size);
        (piece.len(), Piece::Frame)
    }
}

const fn is_control(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | 0x0b | 0x0c)
}

/// The size that a line begins with, and what stands behind it.
fn size(line: &[u8]) -> Option<(u64, &[u8])> {
    let start = line.iter().position(|byte| !is_control(*byte))?;
    let digits = line[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line[start..].split_at(digits);
    let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (size <= i32::MAX as u64).then_some((size, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], step: usize) -> (Vec<u8>, Option<bool>) {
        let mut chunked = Chunked::default();
        let mut content = Vec::new();
        for said in body.chunks(step) {
            let mut rest = said;
            while !rest.is_empty() {
                let (used, piece) = chunked.next(rest);
                match piece {
                    Piece::Content(bytes) => content.extend_from_slice(bytes),
                    Piece::Frame => {}
                    Piece::Last => return (content, Some(true)),
                    Piece::Broken(_) => return (content, Some(false)),
                }
                rest = &rest[used..];
            }
        }
        (content, None)
    }

    #[test]
    fn chunks_are_read_however_they_are_cut() {
        let cases: [(&[u8], &[u8], Option<bool>); 10] = [
            (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", Some(true)),
            (b"3\nabc\n0\n\n", b"abc", Some(true)),
            (b"\r\n\n 03 \r\nabc\r\n\x0c0\r\n", b"abc", Some(true)),
            (b"A;name=value\r\n0123456789\r\n0\r\n", b"0123456789", Some(true)),
            (b"3 x\r\nabc\r\n00x\r\n", b"abc", Some(true)),
            (b"3\r\nabcjunk\r\n0\r\n", b"abc", Some(true)),
            (b"3\r\nab", b"ab", None),
            (b"xyz", b"", Some(false)),
            (b"3\r\nabc\r\n-1\r\n", b"abc", Some(false)),
            (b"80000000\r\nabc\r\n", b"", Some(false)),
        ];
        for (body, content, over) in cases {
            for step in 1..=body.len() {
                assert_eq!(read(body, step), (content.to_vec(), over), "{:?} in steps of {step}", body.escape_ascii());
            }
        }
    }

    #[test]
    fn what_was_taken_for_a_size_is_given_back() {
        let mut chunked = Chunked::default();
        assert_eq!(chunked.next(b"fffffffff"), (9, Piece::Frame));
        assert_eq!(chunked.next(b"\r\nrest"), (0, Piece::Broken(b"fffffffff")));
    }
}
