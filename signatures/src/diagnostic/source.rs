//! Text with places in it.

use std::ops::Range;

/// A file's name and text.
#[derive(Debug, Default)]
pub struct Source {
    /// As it was named on the command line or in the policy file.
    pub name: String,
    pub text: String,
    /// Offset of each line's first byte.
    lines: Vec<u32>,
    /// What was put into the text before it was parsed: where, and how many bytes, in order.
    inserted: Vec<(usize, usize)>,
}

/// A place in a [`Source`]: bytes `start..end`, which begin on `line` (counted from 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Location {
    pub line: u32,
    pub start: u32,
    pub end: u32,
}

impl Source {
    /// Text under a name. Its length must fit in 32 bits; what lies beyond has no line numbers.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let ends = memchr_lines(text.as_bytes());
        let lines = std::iter::once(0).chain(ends.map(|at| at as u32 + 1)).collect();
        Self { name: name.into(), text, lines, inserted: Vec::new() }
    }

    /// From now on [`Source::locate`] is asked in bytes of a text into which these were put.
    pub fn set_inserted(&mut self, inserted: Vec<(usize, usize)>) {
        self.inserted = inserted;
    }

    /// A byte of the text from one of the text that was parsed.
    fn original(&self, parsed: usize) -> usize {
        let mut at = parsed;
        for (place, length) in &self.inserted {
            if at <= *place {
                break;
            }
            at = at.saturating_sub(*length).max(*place);
        }
        at
    }

    /// The place of a range of bytes; a range beyond the text becomes its end.
    pub fn locate(&self, range: Range<usize>) -> Location {
        self.locate_original(self.original(range.start)..self.original(range.end))
    }

    /// As [`Source::locate`], in bytes of the text itself.
    pub fn locate_original(&self, range: Range<usize>) -> Location {
        let start = range.start.min(self.text.len());
        let end = range.end.clamp(start, self.text.len());
        let line = self.lines.partition_point(|first| *first as usize <= start).max(1);
        Location { line: line as u32, start: start as u32, end: end as u32 }
    }

    /// The place of a line (counted from 1), as far as a comment or the end of the line.
    pub fn line(&self, line: u32) -> Range<usize> {
        let at = (line as usize).saturating_sub(1).min(self.lines.len() - 1);
        let start = self.lines[at] as usize;
        let end = self.lines.get(at + 1).map_or(self.text.len(), |next| *next as usize - 1);
        start..end
    }
}

fn memchr_lines(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at)
}
