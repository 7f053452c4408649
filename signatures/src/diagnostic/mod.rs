//! What is wrong with a file, and where: of rules and of everything else that operators write.

mod code;
mod render;
mod source;

use std::ops::Range;

pub use self::{
    code::{Code, Severity, markdown},
    render::{render, summary},
    source::{Location, Source},
};

/// Most bytes of a line that a diagnostic shows.
const MAX_EXCERPT: usize = 400;

/// One mistake or warning. Its JSON form is stable.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Diagnostic {
    /// [`Code::id`]
    pub code: &'static str,
    pub severity: Severity,
    #[serde(flatten)]
    pub place: Place,
    pub message: String,
    /// What should stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Another place that belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
    /// More of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Related>,
}

/// A range of bytes in a file.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Place {
    pub file: String,
    /// Counted from 1; 0: the file as a whole.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// Bytes from the start of the file.
    pub span: Range<u32>,
    /// The line's text, or the part of it around the span.
    #[serde(skip)]
    excerpt: String,
    /// The span within the excerpt.
    #[serde(skip)]
    caret: Range<usize>,
}

/// A second place.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Related {
    #[serde(flatten)]
    pub place: Place,
    pub message: String,
}

impl Place {
    /// A place in a text.
    pub fn new(source: &Source, at: Location) -> Self {
        let line = source.line(at.line);
        let start = (at.start as usize).clamp(line.start, line.end);
        let end = (at.end as usize).clamp(start, line.end);
        // characters are counted near the start of a line only: a hostile line may be as long as the file
        let near = floor(&source.text, start.min(line.start + 4096));
        let column = source.text[line.start..near].chars().count() + (start - near) + 1;
        let shown = if line.len() <= MAX_EXCERPT {
            line
        } else {
            let first = floor(&source.text, start.saturating_sub(MAX_EXCERPT / 2).max(line.start));
            first..floor(&source.text, line.end.min(first + MAX_EXCERPT))
        };
        let excerpt = source.text[shown.clone()].trim_end_matches('\r');
        let within = |at: usize| floor(excerpt, at.clamp(shown.start, shown.start + excerpt.len()) - shown.start);
        let caret = within(start)..within(end);
        Self {
            file: source.name.clone(),
            line: at.line,
            column: column as u32,
            span: at.start..at.end,
            excerpt: excerpt.to_owned(),
            caret,
        }
    }

    /// A file as a whole.
    pub fn file(name: impl Into<String>) -> Self {
        Self { file: name.into(), line: 0, column: 0, span: 0..0, excerpt: String::new(), caret: 0..0 }
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl Diagnostic {
    /// A diagnostic with the code's own severity.
    pub fn new(code: &Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            code: code.id,
            severity: code.severity,
            place,
            message: message.into(),
            expected: None,
            help: None,
            related: None,
            further: Vec::new(),
        }
    }

    /// The same with what should stand at the caret.
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// The same with a next step.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a second place, or one more.
    pub fn related(mut self, place: Place, message: impl Into<String>) -> Self {
        let related = Related { place, message: message.into() };
        match self.related {
            None => self.related = Some(related),
            Some(_) => self.further.push(related),
        }
        self
    }

    /// The same as a warning: the front end knows of cases where an error does not stop anything.
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Whether what it is about cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A word from the file as it may stand in a message: in backticks, short, without control characters.
pub fn quoted(word: &str) -> String {
    const LONGEST: usize = 60;
    let mut text: String = word.chars().take(LONGEST).collect();
    if text.len() < word.len() {
        text.push_str("...");
    }
    if text.chars().any(char::is_control) {
        text = text.escape_default().to_string();
    }
    format!("`{text}`")
}

/// The known word nearest to a misspelt one, if it is near enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // a long word is no slip of the pen, and the distance costs the product of the lengths
    if word.len() > 100 {
        return None;
    }
    let most = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
