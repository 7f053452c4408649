//! Reading one direction from its start, byte order and all; what is missing or wrong ends the reading.

use crate::protocol::{Answer, Direction, Stream};

/// Why reading ended without a yes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lack {
    /// A byte contradicts.
    No,
    /// The bytes so far fit and have run out.
    More,
}

/// What was read, or why not.
pub type Read<T> = Result<T, Lack>;

/// Reads one direction.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    said: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub const fn new(said: &'a [u8]) -> Self {
        Self { said, at: 0 }
    }

    /// Bytes read so far.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// What is still to be read of what was said.
    pub fn rest(&self) -> &'a [u8] {
        self.said.get(self.at..).unwrap_or_default()
    }

    /// The next byte, which stays where it is.
    pub fn peek(&self) -> Read<u8> {
        self.said.get(self.at).copied().ok_or(Lack::More)
    }

    pub fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let taken = self.rest().get(..count).ok_or(Lack::More)?;
        self.at += count;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Lack::More)
    }

    pub fn byte(&mut self) -> Read<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u16_le(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32_le(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// These bytes and no others; the first one that differs is a no.
    pub fn literal(&mut self, expected: &[u8]) -> Read<()> {
        for byte in expected {
            require(self.peek()? == *byte)?;
            self.at += 1;
        }
        Ok(())
    }

    /// One byte of which something is required.
    pub fn byte_that(&mut self, holds: impl Fn(u8) -> bool) -> Read<u8> {
        require(holds(self.peek()?))?;
        self.byte()
    }

    /// Bytes while they are of a kind, at most so many, up to one that is not, which stays where it is. More than that
    /// many is a no.
    pub fn run(&mut self, most: usize, kind: impl Fn(u8) -> bool) -> Read<&'a [u8]> {
        let rest = self.rest();
        let window = rest.get(..=most).unwrap_or(rest);
        match window.iter().position(|byte| !kind(*byte)) {
            Some(length) => self.take(length),
            None if rest.len() > most => Err(Lack::No),
            None => Err(Lack::More),
        }
    }

    /// A line of text without its ending (CR LF or LF alone), of at most so many bytes. Control bytes other than tab are a
    /// no.
    pub fn line(&mut self, most: usize) -> Read<&'a [u8]> {
        let line = self.run(most, |byte| byte >= b' ' && byte != 0x7f || byte == b'\t')?;
        self.line_end()?;
        Ok(line)
    }

    /// CR LF, or LF alone.
    pub fn line_end(&mut self) -> Read<()> {
        if self.peek()? == b'\r' {
            self.at += 1;
        }
        self.literal(b"\n")
    }

    /// A decimal number of at most nine digits, up to what is no digit.
    pub fn number(&mut self) -> Read<u32> {
        let digits = self.run(9, |byte| byte.is_ascii_digit())?;
        require(!digits.is_empty())?;
        Ok(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }
}

/// A no unless it holds.
pub const fn require(holds: bool) -> Read<()> {
    if holds { Ok(()) } else { Err(Lack::No) }
}

/// Whether one of these is the word, in any case.
pub fn one_of(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
}

/// Reads one direction as far as a protocol is certain; how far that was is the reader's place.
pub type Form = fn(&mut Reader<'_>) -> Read<()>;

/// A form that no bytes contradict and none confirm: for a direction that tells nothing by itself.
pub const fn silent(_: &mut Reader<'_>) -> Read<()> {
    Err(Lack::More)
}

/// A protocol of which either direction can be certain by itself, and either contradicts by itself. The client's bytes
/// are asked first; a direction in which nothing was said says nothing.
pub fn either(said: Stream<'_>, client: Form, server: Form) -> Answer {
    match read(said.to_server, client) {
        Ok(bytes) => Answer::Yes(Direction::ToServer, bytes),
        Err(Lack::No) => Answer::No,
        Err(Lack::More) => match read(said.to_client, server) {
            Ok(bytes) => Answer::Yes(Direction::ToClient, bytes),
            Err(Lack::No) => Answer::No,
            Err(Lack::More) => Answer::More,
        },
    }
}

/// As [`either`], of a protocol in which the server never speaks first.
pub fn asked(said: Stream<'_>, client: Form, server: Form) -> Answer {
    if said.to_server.is_empty() && !said.to_client.is_empty() {
        return Answer::No;
    }
    either(said, client, server)
}

/// How many bytes a form needed to be certain.
pub fn read(said: &[u8], form: Form) -> Read<usize> {
    if said.is_empty() {
        return Err(Lack::More);
    }
    let mut reader = Reader::new(said);
    form(&mut reader)?;
    Ok(reader.at())
}
