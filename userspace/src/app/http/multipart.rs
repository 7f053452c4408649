//! Files in bodies of `multipart/form-data` (RFC 7578).

use memchr::{memchr, memmem};

use super::header::{Headers, Side};
use crate::app::files::Tracked;

/// Bytes of the header of a part.
const HEADER: usize = 8 << 10;
/// Files of a body that are told apart.
const FILES: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Preamble,
    Header,
    /// The contents of a part; `true`: it is a file.
    Part(bool),
    Over,
}

/// A multipart body.
#[derive(Debug)]
pub struct Multipart {
    /// With the dashes before it.
    boundary: Vec<u8>,
    state: State,
    /// What was said and not used.
    rest: Vec<u8>,
    pub events: Vec<&'static str>,
}

impl Multipart {
    /// Of a request with this `Content-Type`; `None`: it is not multipart, or says no boundary.
    pub fn new(content_type: &[u8]) -> Option<Self> {
        if !content_type.to_ascii_lowercase().starts_with(b"multipart/form-data") {
            return None;
        }
        let boundary = parameter(content_type, b"boundary")?;
        if boundary.is_empty() || boundary.len() > 200 {
            return None;
        }
        let boundary = [b"--", boundary].concat();
        Some(Self { boundary, state: State::Preamble, rest: Vec::new(), events: Vec::new() })
    }

    /// The next bytes of the body. `most`: bytes of files that are remembered.
    pub fn push(&mut self, bytes: &[u8], files: &mut Vec<Tracked>, most: usize) {
        if self.state == State::Over {
            return;
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(used) = self.step(&rest[at..], files, most) {
            at += used;
        }
        // what may be part of a boundary waits
        let wait = match self.state {
            State::Over => 0,
            State::Header => rest.len() - at,
            State::Preamble | State::Part(_) => (rest.len() - at).min(self.boundary.len() + 4),
        };
        if self.state == State::Part(true) {
            let end = rest.len() - wait;
            if let Some(file) = files.last_mut() {
                file.push(&rest[at..end]);
            }
        }
        rest.drain(..rest.len() - wait);
        self.rest = rest;
    }

    /// What the next bytes say, and how many they are; `None`: they are not enough.
    fn step(&mut self, rest: &[u8], files: &mut Vec<Tracked>, most: usize) -> Option<usize> {
        match self.state {
            State::Preamble | State::Part(_) => {
                let found = memmem::find(rest, &self.boundary)?;
                let behind = found + self.boundary.len();
                let next = rest.get(behind..behind + 2)?;
                let line = if next == b"--" { behind + 2 } else { behind + memchr(b'\n', &rest[behind..])? + 1 };
                if self.state == State::Part(true)
                    && let Some(file) = files.last_mut()
                {
                    let contents = &rest[..found];
                    let contents = contents.strip_suffix(b"\n").unwrap_or(contents);
                    file.push(contents.strip_suffix(b"\r").unwrap_or(contents));
                    file.close();
                }
                self.state = if next == b"--" { State::Over } else { State::Header };
                Some(line)
            }
            State::Header => {
                let end = header_end(rest);
                if end.is_none() && rest.len() > HEADER {
                    self.events.push("multipart_invalid_header");
                    self.state = State::Over;
                }
                let end = end?;
                let name = file_name(&rest[..end]);
                if let Some(name) = &name {
                    if files.len() >= FILES {
                        self.state = State::Over;
                        return None;
                    }
                    let kept: usize = files.iter().map(|file| file.contents().len()).sum();
                    files.push(Tracked::new(name, most.saturating_sub(kept)));
                }
                self.state = State::Part(name.is_some());
                Some(end)
            }
            State::Over => None,
        }
    }

    /// The body has ended.
    pub fn finish(&mut self, files: &mut [Tracked]) {
        if self.state == State::Part(true)
            && let Some(file) = files.last_mut()
        {
            file.push(&self.rest);
        }
        if !matches!(self.state, State::Over) {
            self.events.push("multipart_generic_error");
        }
        self.rest = Vec::new();
        self.state = State::Over;
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.boundary.capacity() + self.rest.capacity()
    }
}

/// Where the header of a part ends.
fn header_end(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(b"\n") {
        return Some(1);
    }
    if rest.starts_with(b"\r\n") {
        return Some(2);
    }
    let ends = [&b"\r\n\r\n"[..], b"\n\n"].map(|end| memmem::find(rest, end).map(|at| at + end.len()));
    ends.into_iter().flatten().min()
}

/// The name of the file of a part that has this header.
fn file_name(header: &[u8]) -> Option<Vec<u8>> {
    let mut headers = Headers::default();
    headers.read(header, Side::Request, &mut |_| ());
    let disposition = headers.get("content-disposition")?;
    parameter(disposition, b"filename").map(<[u8]>::to_vec)
}

/// A parameter of a field: what stands behind its name and `=`, to the next `;` or between quotes.
pub fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = value;
    while let Some(semicolon) = memchr(b';', rest) {
        rest = &rest[semicolon + 1..];
        let part = super::header::trim(rest);
        let Some((found, after)) = part.split_at_checked(name.len()) else { continue };
        let after = super::header::trim(after);
        if !found.eq_ignore_ascii_case(name) || !after.starts_with(b"=") {
            continue;
        }
        let after = super::header::trim(&after[1..]);
        return Some(match after.strip_prefix(b"\"") {
            Some(quoted) => &quoted[..memchr(b'"', quoted).unwrap_or(quoted.len())],
            None => super::header::trim(&after[..memchr(b';', after).unwrap_or(after.len())]),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=\"xyz\"";
    const BODY: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno file\r\n--xyz\r\n\
        Content-Disposition: form-data; name=\"b\"; filename=\"b.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        first\r\n--xy and so on\r\n--xyz\r\nContent-Disposition: form-data; filename=c\r\n\r\n\r\n--xyz--\r\n";

    #[test]
    fn files_are_found_however_the_body_is_cut() {
        for step in 1..=BODY.len() {
            let mut multipart = Multipart::new(TYPE).unwrap();
            let mut files = Vec::new();
            BODY.chunks(step).for_each(|piece| multipart.push(piece, &mut files, 1000));
            multipart.finish(&mut files);
            let found: Vec<_> = files.iter().map(|file| (file.name(), file.contents(), file.is_over())).collect();
            let expected: [(&[u8], &[u8], bool); 2] = [(b"b.txt", b"first\r\n--xy and so on", true), (b"c", b"", true)];
            assert_eq!(found, expected, "in steps of {step}");
            assert_eq!(multipart.events, [""; 0]);
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_told_of() {
        let mut multipart = Multipart::new(TYPE).unwrap();
        let mut files = Vec::new();
        multipart.push(&BODY[..180], &mut files, 1000);
        multipart.finish(&mut files);
        assert_eq!(files.len(), 1);
        assert_eq!(multipart.events, ["multipart_generic_error"]);
    }

    #[test]
    fn parameters() {
        assert_eq!(parameter(b"attachment; filename=\"a b;c\"; x=y", b"filename"), Some(&b"a b;c"[..]));
        assert_eq!(parameter(b"attachment;FileName = a ; x=y", b"filename"), Some(&b"a"[..]));
        assert_eq!(parameter(b"attachment; filename*=UTF-8''a", b"filename"), None);
        assert_eq!(parameter(b"filename=a", b"filename"), None);
        assert!(Multipart::new(b"text/plain; boundary=a").is_none());
    }
}
