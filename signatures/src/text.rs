//! Files of rules as lines: continued ones joined, comments left out, rules that are commented out told apart.
//!
//! A file is bytes: what is no UTF-8 stands in contents and messages as it is. A backslash at the end of a line joins it with the
//! next one; a place in what comes of that is still a place in the file.

use std::{borrow::Cow, ops::Range};

/// A rule's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Without line ends and the backslashes before them.
    pub text: Cow<'a, [u8]>,
    /// Where pieces of the text come from: place in the text, place in the file; ascending.
    pieces: Vec<(usize, usize)>,
    /// On which line of the file it begins, counted from 1.
    pub number: u32,
    /// It is commented out: `#alert ...`
    pub disabled: bool,
}

impl Line<'_> {
    /// Where a part of the text stands in the file.
    pub fn locate(&self, range: Range<usize>) -> Range<usize> {
        let start = self.place(range.start);
        // the end belongs to the piece of the byte before it
        let end = if range.is_empty() { start } else { self.place(range.end - 1) + 1 };
        start..end
    }

    fn place(&self, at: usize) -> usize {
        let piece = self.pieces.partition_point(|(text, _)| *text <= at).saturating_sub(1);
        self.pieces.get(piece).map_or(at, |(text, file)| file + (at - text))
    }
}

/// The actions that a rule may begin with, and those that are known and not supported.
pub const ACTIONS: &[&str] =
    &["alert", "drop", "reject", "rejectsrc", "rejectdst", "rejectboth", "pass", "config", "accept"];

/// The rules of a file, those that are commented out as well.
pub fn lines(file: &[u8]) -> impl Iterator<Item = Line<'_>> {
    Lines { file, at: 0, number: 0 }
}

/// The lines of a file that are neither empty nor comments.
pub fn statements(file: &[u8]) -> impl Iterator<Item = Line<'_>> {
    lines(file).filter(|line| !line.disabled)
}

struct Lines<'a> {
    file: &'a [u8],
    at: usize,
    number: u32,
}

impl<'a> Lines<'a> {
    /// The next line as it stands there, without its end, and where it begins.
    fn physical(&mut self) -> Option<(&'a [u8], usize)> {
        let start = self.at;
        let rest = self.file.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at = start + length + 1;
        self.number += 1;
        Some((rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]), start))
    }

    /// Whether the next line begins with a space: behind a comment that ends with a backslash it belongs to that.
    fn next_is_indented(&self) -> bool {
        self.file.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'#'))
    }
}

/// The line without the backslash at its end, if there is one.
fn continued(line: &[u8]) -> Option<&[u8]> {
    line.trim_ascii_end().strip_suffix(b"\\")
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let (mut line, mut start) = self.physical()?;
            if self.number == 1 {
                // a byte order mark is no part of a rule
                let without = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                start += line.len() - without.len();
                line = without;
            }
            let number = self.number;
            let begins = line.trim_ascii_start();
            // as in Suricata, a semicolon begins a comment too
            if begins.is_empty() || begins.starts_with(b";") {
                continue;
            }
            let comment = begins.iter().take_while(|byte| **byte == b'#').count();
            let disabled = comment > 0;
            let begins = begins[comment..].trim_ascii_start();
            if disabled && !is_rule(begins) {
                continue;
            }
            let skipped = line.len() - begins.len();
            let Some(mut first) = continued(begins) else {
                return Some(Line {
                    text: Cow::Borrowed(begins.trim_ascii_end()),
                    pieces: vec![(0, start + skipped)],
                    number,
                    disabled,
                });
            };
            let mut text = Vec::new();
            let mut pieces = Vec::new();
            let mut place = start + skipped;
            loop {
                pieces.push((text.len(), place));
                text.extend_from_slice(first);
                if disabled && !self.next_is_indented() {
                    break;
                }
                let Some((next, at)) = self.physical() else { break };
                place = at;
                let next = if disabled { next.strip_prefix(b"#").unwrap_or(next) } else { next };
                match continued(next) {
                    Some(more) => first = more,
                    None => {
                        pieces.push((text.len(), place));
                        text.extend_from_slice(next);
                        break;
                    }
                }
            }
            text.truncate(text.trim_ascii_end().len());
            return Some(Line { text: Cow::Owned(text), pieces, number, disabled });
        }
    }
}

/// Whether a comment is a rule: an action, and options in brackets at its end.
fn is_rule(text: &[u8]) -> bool {
    let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let action = ACTIONS.iter().any(|action| word.eq_ignore_ascii_case(action.as_bytes()));
    // a sentence may begin with the name of an action
    action && (continued(text).is_some() || (text.contains(&b'(') && memchr::memmem::find(text, b"sid").is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(file: &str) -> Vec<(String, u32, bool)> {
        lines(file.as_bytes())
            .map(|line| (String::from_utf8_lossy(&line.text).into_owned(), line.number, line.disabled))
            .collect()
    }

    #[test]
    fn comments_are_left_out_and_rules_in_them_told_apart() {
        let file = "# a set\n;alert\n  # alert that matters (see sidebar)\r\nalert a (sid:1;)\r\n#drop b (sid:2;)\n## pass c (sid:3;)\n";
        // "alert that matters (see sidebar)" has the look of a rule: it is one that is commented out, which nobody loads
        assert_eq!(
            all(file),
            [
                ("alert that matters (see sidebar)".to_owned(), 3, true),
                ("alert a (sid:1;)".to_owned(), 4, false),
                ("drop b (sid:2;)".to_owned(), 5, true),
                ("pass c (sid:3;)".to_owned(), 6, true),
            ]
        );
    }

    #[test]
    fn continued_lines_are_one_and_keep_their_places() {
        let file = b"\n\nalert x \\\r\n  (msg:\"y\"; \\  \n sid:7;)\nalert z (sid:8;)";
        let all: Vec<_> = lines(file).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(&*all[0].text, b"alert x   (msg:\"y\";  sid:7;)");
        assert_eq!((all[0].number, all[1].number), (3, 6));
        let at = memchr::memmem::find(&all[0].text, b"sid").unwrap();
        let place = all[0].locate(at..at + 5);
        assert_eq!(&file[place], b"sid:7");
        let at = memchr::memmem::find(&all[0].text, b"msg").unwrap();
        assert_eq!(&file[all[0].locate(at..at + 7)], b"msg:\"y\"");
    }

    #[test]
    fn a_rule_that_is_commented_out_takes_its_indented_lines_with_it() {
        let file = "#alert x \\\n   (msg:\"y\"; \\\n   sid:7;)\nalert z (sid:8;)";
        assert_eq!(
            all(file).iter().map(|(_, line, disabled)| (*line, *disabled)).collect::<Vec<_>>(),
            [(1, true), (4, false)]
        );
    }

    #[test]
    fn bytes_that_are_no_text_stop_nothing() {
        let file = b"\xef\xbb\xbfalert a (content:\"\xff\xfe\"; sid:1;)\n\x80\x81\nalert b (sid:2;) \\";
        let all: Vec<_> = lines(file).collect();
        assert_eq!(all.len(), 3);
        assert!(all[0].text.starts_with(b"alert"));
        assert_eq!(&*all[2].text, b"alert b (sid:2;)");
    }
}
