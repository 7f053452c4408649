//! Text with places in it.

use std::{fs::File, io::Read, ops::Range, path::Path};

/// Largest policy file, in bytes.
pub const MAX_POLICY_BYTES: u64 = 16 << 20;
/// Largest size of all list files together, in bytes.
pub const MAX_LISTS_BYTES: u64 = 256 << 20;
/// Largest list file, in bytes.
pub const MAX_LIST_BYTES: u64 = 64 << 20;

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

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read `{name}`: {error}")]
    Io { name: String, error: std::io::Error },
    #[error("`{0}` is not a regular file")]
    NotAFile(String),
    #[error("`{name}` is larger than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
    #[error("`{name}` is not UTF-8: the first wrong byte is number {offset}")]
    Encoding { name: String, offset: usize },
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
    pub(super) fn set_inserted(&mut self, inserted: Vec<(usize, usize)>) {
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

    /// A regular file of at most `limit` bytes of UTF-8.
    ///
    /// # Errors
    /// [`ReadError`]: it cannot be read, is no regular file, is too large or is not UTF-8.
    pub fn read(path: &Path, name: &str, limit: u64) -> Result<Self, ReadError> {
        let io = |error| ReadError::Io { name: name.to_owned(), error };
        // looked at before it is opened: opening a FIFO would wait for a writer
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(ReadError::NotAFile(name.to_owned()));
        }
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLarge { name: name.to_owned(), limit });
        }
        let text = String::from_utf8(bytes).map_err(|error| ReadError::Encoding {
            name: name.to_owned(),
            offset: error.utf8_error().valid_up_to() + 1,
        })?;
        Ok(Self::new(name, text))
    }

    /// The place of a range of bytes; a range beyond the text becomes its end.
    pub fn locate(&self, range: Range<usize>) -> Location {
        self.locate_original(self.original(range.start)..self.original(range.end))
    }

    /// As [`Source::locate`], in bytes of the text itself.
    pub(super) fn locate_original(&self, range: Range<usize>) -> Location {
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
