//! What is wrong with a rule, before it is known on which line.

use std::ops::Range;

use crate::{
    codes,
    diagnostic::{Code, quoted},
};

/// A mistake in a rule's text.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    pub code: &'static Code,
    pub message: String,
    pub expected: Option<String>,
    pub help: Option<String>,
    /// Where in the rule's text; `None`: the value of the keyword, or the keyword.
    pub at: Option<Range<usize>>,
    /// It only follows from another mistake, if there is one before it.
    pub follows: bool,
}

/// What a keyword's function says.
pub(crate) type Done = Result<(), Mistake>;

impl Mistake {
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), expected: None, help: None, at: None, follows: false }
    }

    /// A value that the keyword does not take.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(&codes::VALUE, message)
    }

    /// A word that is not among those that the keyword takes.
    pub fn word(word: &str, expected: impl Into<String>) -> Self {
        Self::value(format!("{} is not understood", quoted(word))).expected(expected)
    }

    /// Something that is meant as in Suricata and not supported here.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(&codes::UNSUPPORTED, message)
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn at(mut self, at: Range<usize>) -> Self {
        self.at = Some(at);
        self
    }

    pub fn follows(mut self) -> Self {
        self.follows = true;
        self
    }
}
