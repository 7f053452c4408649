//! Header sections of HTTP/1 (RFC 9112 section 5), and trailers.
//!
//! They are read as libhtp reads them, because rules are written for that: fields may be folded, lines end with LF as well as
//! CRLF, in responses also with CR or LFCR; a line without a colon is a field without a name; fields of the same name are one,
//! their values joined by `, `.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Fields of a section beyond these are not kept.
const MOST: usize = 1024;
/// Repetitions of fields beyond these are not kept.
const MOST_REPEATED: u8 = 64;
/// Lines of a folded field that are joined.
const MOST_FOLDED: usize = 128;

/// Whose section it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Request,
    Response,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
    /// There were several of this name.
    pub repeated: bool,
}

impl Header {
    /// Whether this is its name, NULs aside.
    pub fn is(&self, name: &str) -> bool {
        same(&self.name, name.as_bytes())
    }
}

/// The fields of a message, and the bytes that they came in.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    list: Vec<Header>,
    raw: Vec<u8>,
    repeated: u8,
}

/// What was noticed of a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Oddity {
    MissingColon,
    Folding,
    Name,
    Repetition,
    TooMany,
    ContentLengths,
}

impl Headers {
    /// All of them, in order.
    pub fn list(&self) -> &[Header] {
        &self.list
    }

    /// As they were said, with the lines that end them.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|header| &header.value[..])
    }

    /// A field.
    pub fn find(&self, name: &str) -> Option<&Header> {
        self.list.iter().find(|header| header.is(name))
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a section as it was said, with the line that ends it.
    pub fn read(&mut self, section: &[u8], side: Side, odd: &mut impl FnMut(Oddity)) {
        self.raw.extend_from_slice(section);
        fields(section, side, |field| self.field(field, odd));
    }

    /// Adds a field, its lines joined.
    fn field(&mut self, line: &[u8], odd: &mut impl FnMut(Oddity)) {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let name = &line[..colon];
                if name.first().is_some_and(|byte| is_blank(*byte)) {
                    odd(Oddity::Folding);
                }
                if !is_token(name) {
                    odd(Oddity::Name);
                }
                (trim(name), trim(&line[colon + 1..]))
            }
            None => {
                odd(Oddity::MissingColon);
                (&b""[..], trim(line))
            }
        };
        self.add(name, value, odd);
    }

    /// Adds a field; to the one of the same name, if there is one.
    pub fn add(&mut self, name: &[u8], value: &[u8], odd: &mut impl FnMut(Oddity)) {
        let Some(known) = self.list.iter_mut().find(|header| header.name.eq_ignore_ascii_case(name)) else {
            if self.list.len() > MOST {
                return odd(Oddity::TooMany);
            }
            return self.list.push(Header { name: name.to_vec(), value: value.to_vec(), repeated: false });
        };
        if !known.repeated {
            odd(Oddity::Repetition);
        } else if self.repeated < MOST_REPEATED {
            self.repeated += 1;
        } else {
            return;
        }
        known.repeated = true;
        if known.is("content-length") {
            let [before, now] = [&known.value[..], value].map(number);
            if before.is_none() || before != now {
                odd(Oddity::ContentLengths);
            }
            return;
        }
        known.value.extend_from_slice(b", ");
        known.value.extend_from_slice(value);
    }

    /// Bytes of memory that they take, about.
    pub fn footprint(&self) -> usize {
        let each = |header: &Header| size_of::<Header>() + header.name.capacity() + header.value.capacity();
        self.list.iter().map(each).sum::<usize>() + self.raw.capacity()
    }
}

/// Whether two names are the same but for case and NULs.
fn same(name: &[u8], known: &[u8]) -> bool {
    let mut left = name.iter().filter(|byte| **byte != 0);
    let mut right = known.iter();
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(left), Some(right)) if left.eq_ignore_ascii_case(right) => {}
            _ => return false,
        }
    }
}

/// A decimal number, whatever stands before and behind it.
pub fn number(value: &[u8]) -> Option<u64> {
    let start = value.iter().position(u8::is_ascii_digit)?;
    let digits = value[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[start..start + digits]).ok()?.parse().ok()
}

/// White space in HTTP as libhtp has it.
pub const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Without white space around it.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let Some(start) = bytes.iter().position(|byte| !is_space(*byte)) else { return b"" };
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~')
}

/// A token, with blanks around it.
fn is_token(name: &[u8]) -> bool {
    let Some(start) = name.iter().position(|byte| !is_blank(*byte)) else { return true };
    let end = name.iter().rposition(|byte| !is_blank(*byte)).unwrap_or(start);
    name[start..=end].iter().all(|byte| is_token_byte(*byte))
}

/// Whether a line that begins with white space is nevertheless a field of its own: only responses have such.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = &line[..colon];
    !trim(name).is_empty() && is_token(name)
}

/// A line of a section.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Bytes without what ends it.
    content: usize,
    /// Bytes with that.
    length: usize,
    /// It ends the section.
    ends: bool,
    /// It ended with LF and CR.
    lfcr: bool,
}

/// The line that these bytes begin with. `after`: the one before it. `None`: it is not all there, or what follows has to be known.
fn line(bytes: &[u8], side: Side, after: Option<Line>, last: bool) -> Option<Line> {
    let line = match side {
        Side::Request => {
            let end = memchr(b'\n', bytes)?;
            let content = if bytes[..end].ends_with(b"\r") { end - 1 } else { end };
            let ends = bytes[..content].iter().all(|byte| *byte == b'\r');
            Line { content, length: end + 1, ends, lfcr: false }
        }
        Side::Response => {
            let content = memchr2(b'\r', b'\n', bytes)?;
            if content == 0 {
                // the line before the section may have ended with LF and CR
                if after.is_none() && bytes[0] == b'\r' && bytes.get(1).is_some_and(|next| *next != b'\n') {
                    return Some(Line { content: 0, length: 1, ends: false, lfcr: false });
                }
                return empty(bytes, after.is_some_and(|line| line.lfcr), last);
            }
            let next = bytes.get(content + 1);
            if next.is_none() && !last {
                return None;
            }
            let lfcr = bytes[content] == b'\n' && next == Some(&b'\r');
            let pair = lfcr || (bytes[content] == b'\r' && next == Some(&b'\n'));
            Line { content, length: content + 1 + usize::from(pair), ends: false, lfcr }
        }
    };
    // a line of one blank that ends with one byte ends the section; with an empty one, if that follows
    if line.content == 1 && line.length == 2 && after.is_some() && is_fold(bytes[0]) {
        let length = match bytes[2..] {
            [] | [b'\r'] if !last => return None,
            [b'\n', ..] => 3,
            [b'\r', b'\n', ..] => 4,
            _ => 2,
        };
        return Some(Line { content: 0, length, ends: true, lfcr: false });
    }
    Some(line)
}

/// A line of a response that begins with what ends lines.
fn empty(bytes: &[u8], after_lfcr: bool, last: bool) -> Option<Line> {
    let end = |length| Some(Line { content: 0, length, ends: true, lfcr: false });
    match bytes[1..] {
        [] if !last && (after_lfcr || bytes[0] == b'\r') => None,
        [b'\r', ..] if bytes[0] == b'\n' => end(1 + usize::from(after_lfcr)),
        [b'\n', ref rest @ ..] if bytes[0] == b'\r' => match rest {
            [] | [b'\r'] if after_lfcr && !last => None,
            [b'\n', ..] if after_lfcr => end(3),
            [b'\r', b'\n', ..] if after_lfcr => end(4),
            _ => end(2),
        },
        // CRs and blanks by themselves end nothing, unless another line end follows
        [b'\r' | b' ' | b'\t', ..] if bytes[0] == b'\r' => {
            let run = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b' ' | b'\t')).count();
            let run = run + usize::from(bytes.get(run) == Some(&b'\n'));
            match bytes[run..] {
                [] | [b'\r'] if !last => None,
                [] | [b'\n', ..] | [b'\r', b'\n', ..] => end(1),
                _ => Some(Line { content: 0, length: run, ends: false, lfcr: false }),
            }
        }
        _ => end(1),
    }
}

/// What a line begins with that belongs to the one before.
const fn is_fold(byte: u8) -> bool {
    is_blank(byte) || byte == 0
}

/// Folded lines of a section, each as one.
fn fields(section: &[u8], side: Side, mut each: impl FnMut(&[u8])) {
    let mut field: Option<Cow<'_, [u8]>> = None;
    let mut folded = 0;
    let mut rest = section;
    let mut after = None;
    while !rest.is_empty() {
        let whole = Line { content: rest.len(), length: rest.len(), ends: false, lfcr: false };
        let found = line(rest, side, after, true).unwrap_or(whole);
        let content = &rest[..found.content];
        rest = &rest[found.length..];
        after = Some(found);
        let continues = content.first().is_some_and(|byte| is_fold(*byte));
        match &mut field {
            Some(last) if continues && folded < MOST_FOLDED && !(side == Side::Response && is_field(&content[1..])) => {
                let last = last.to_mut();
                if !last.is_empty() {
                    last.push(content[0]);
                }
                last.extend_from_slice(&content[1..]);
                folded += 1;
            }
            _ if content.is_empty() => {}
            _ => {
                if let Some(before) = field.replace(content.into()) {
                    each(&before);
                }
                folded = 0;
            }
        }
    }
    if let Some(last) = field {
        each(&last);
    }
}

/// Finds where a section ends while it is being said.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// Where the line begins that is looked at, and up to where it was looked at.
    at: usize,
    seen: usize,
    after: Option<Line>,
}

/// What came of the next bytes of a section.
#[derive(Debug)]
pub struct Taken<'a> {
    /// Bytes that belong to it.
    pub used: usize,
    /// All of it, if it is over.
    pub section: Option<Cow<'a, [u8]>>,
    /// Bytes that are known of it.
    pub known: usize,
}

impl End {
    /// Takes the next bytes of a section, of which some are `held`. One of more than `most` bytes ends where those do.
    pub fn take<'a>(&mut self, held: &mut Vec<u8>, said: &'a [u8], side: Side, last: bool, most: usize) -> Taken<'a> {
        let before = held.len();
        if before == 0
            && let Some(known) = self.find(said, side, last)
        {
            // most come in one piece, which need not be copied
            return Taken { used: known, section: Some(said[..known].into()), known };
        }
        held.extend_from_slice(said);
        let found = self.find(held, side, last);
        let known = found.unwrap_or(held.len());
        if found.is_none() && !last && held.len() <= most {
            return Taken { used: said.len(), section: None, known };
        }
        held.truncate(known);
        Taken { used: known.saturating_sub(before), section: Some(std::mem::take(held).into()), known }
    }

    /// Where the section ends that these bytes begin with, with the line that ends it; `None`: not yet. `bytes` may only grow from
    /// one call to the next. `last`: nothing more is said.
    pub fn find(&mut self, bytes: &[u8], side: Side, last: bool) -> Option<usize> {
        loop {
            // what has no line end is not looked through again
            self.seen += memchr2(b'\r', b'\n', &bytes[self.seen..]).unwrap_or(bytes.len() - self.seen);
            if self.seen == bytes.len() {
                return None;
            }
            let found = line(&bytes[self.at..], side, self.after, last)?;
            self.at += found.length;
            self.seen = self.at;
            self.after = Some(found);
            if found.ends {
                return Some(self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &str, side: Side) -> (Vec<(String, String)>, Vec<Oddity>) {
        let mut headers = Headers::default();
        let mut odd = Vec::new();
        headers.read(section.as_bytes(), side, &mut |oddity| odd.push(oddity));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (headers.list().iter().map(|header| (text(&header.name), text(&header.value))).collect(), odd)
    }

    #[track_caller]
    fn check(section: &str, side: Side, fields: &[(&str, &str)], odd: &[Oddity]) {
        let (list, noticed) = read(section, side);
        let list: Vec<_> = list.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!((&list[..], &noticed[..]), (fields, odd), "{}", section.escape_debug());
    }

    #[test]
    fn fields_are_trimmed_folded_and_joined() {
        use Side::{Request, Response};
        for side in [Request, Response] {
            check("A: b\r\nC:d\n\r\n", side, &[("A", "b"), ("C", "d")], &[]);
            check("A:  b c \t\r\n\r\n", side, &[("A", "b c")], &[]);
            check("A: b\r\n c\r\n\td\r\n\r\n", side, &[("A", "b c\td")], &[]);
            check("A: b\r\nB: c\r\na: d\r\n\r\n", side, &[("A", "b, d"), ("B", "c")], &[Oddity::Repetition]);
            check("A: b:c\r\n: d\r\n\r\n", side, &[("A", "b:c"), ("", "d")], &[]);
            check("junk line\r\nA: b\r\n\r\n", side, &[("", "junk line"), ("A", "b")], &[Oddity::MissingColon]);
            check(" A: b\r\n\r\n", side, &[("A", "b")], &[Oddity::Folding]);
            check("A b : c\r\n\r\n", side, &[("A b", "c")], &[Oddity::Name]);
            check("A\r\n : b\r\n\r\n", side, &[("A", "b")], &[]);
            let twice = "Content-Length: 5\r\nContent-Length: 6\r\n\r\n";
            check(twice, side, &[("Content-Length", "5")], &[Oddity::Repetition, Oddity::ContentLengths]);
            check(
                "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
                side,
                &[("Content-Length", "5")],
                &[Oddity::Repetition],
            );
        }
        check("A: b\rC: d\r\n\r\n", Request, &[("A", "b\rC: d")], &[]);
        check("A: b\rC: d\r\n\r\n", Response, &[("A", "b"), ("C", "d")], &[]);
        check("A: b\r\n C: d\r\n\r\n", Request, &[("A", "b C: d")], &[]);
        check("A: b\r\n C: d\r\n\r\n", Response, &[("A", "b"), ("C", "d")], &[Oddity::Folding]);
        check("A: b\r\n\r\r\nC: d\r\n\r\n", Response, &[("A", "b"), ("C", "d")], &[]);
    }

    #[test]
    fn sections_end_where_they_end_however_they_are_cut() {
        use Side::{Request, Response};
        // each with what follows it
        let cases: &[(Side, &str, &str)] = &[
            (Request, "A: b\r\n\r\n", "body"),
            (Request, "A: b\n\n", "body"),
            (Request, "A: b\r\n\n", "\r\nbody"),
            (Request, "\r\n", "body"),
            (Request, "A: b\n\r\r\n", "body"),
            (Response, "A: b\r\n\r\n", "\r\nbody"),
            (Response, "A: b\n\n", "\rbody"),
            (Response, "A: b\n\r\r\n", "body"),
            (Response, "A: b\n\r\n", "body"),
            (Response, "A: b\n\r\n\r", "body"),
            (Response, "A: b\n\r\r\n\r\n", "body"),
            (Response, "\rA: b\r\n\r\n", "body"),
            (Response, "A: b\r\r", "body"),
            (Response, "A: b\r\n\r", "body"),
            (Response, "A: b\r\n\r\r\nC: d\r\n\r\n", "body"),
            (Response, "A: b\r\n\r \rC: d\r\n\r\n", "body"),
            (Response, "A: b\n \n", "body"),
            (Response, "A: b\n \n\n", "body"),
            (Response, "A: b\r\n \r\n\r\n", "body"),
            (Response, "A: b\n\x0b\n\n", "body"),
        ];
        for (side, section, body) in cases {
            let said = format!("{section}{body}");
            for step in 1..=said.len() {
                let mut end = End::default();
                let found = (1..=said.len().div_ceil(step))
                    .find_map(|steps| end.find(&said.as_bytes()[..said.len().min(steps * step)], *side, false));
                assert_eq!(found, Some(section.len()), "{} in steps of {step}", said.escape_debug());
            }
        }
    }

    #[test]
    fn a_line_is_not_looked_through_again() {
        let mut end = End::default();
        let mut bytes = vec![b'x'; 100];
        assert_eq!(end.find(&bytes, Side::Request, false), None);
        assert_eq!(end.seen, 100);
        bytes.extend_from_slice(b"\r\n\r\n");
        assert_eq!(end.find(&bytes, Side::Request, false), Some(104));
    }
}
