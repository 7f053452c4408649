//! Diagnostics of a policy, as they are found.

use std::collections::BTreeSet;

pub use dropgate_signatures::diagnostic::{Code, Diagnostic, Place, nearest, quoted};

use super::codes;

/// Most diagnostics of one run; one more says that there were more.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Diagnostics as they are found, bounded in number.
#[derive(Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
}

impl Diagnostics {
    /// Adds one. `make` is not called when there are too many already.
    pub fn add(&mut self, code: &Code, make: impl FnOnce() -> Diagnostic) {
        self.errors += usize::from(code.severity == codes::Severity::Error);
        if self.found.len() < MAX_DIAGNOSTICS {
            self.found.push(make());
        } else {
            self.left_out += 1;
        }
    }

    /// Adds those of another run.
    pub(super) fn extend(&mut self, others: Vec<Diagnostic>) {
        for diagnostic in others {
            self.errors += usize::from(diagnostic.is_error());
            if self.found.len() < MAX_DIAGNOSTICS || diagnostic.code == codes::TRUNCATED.id {
                self.found.push(diagnostic);
            } else {
                self.left_out += 1;
            }
        }
    }

    /// Errors found so far.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Leaves out what was found on a line that is no TOML: it follows from that.
    pub(super) fn keep_syntax_errors(&mut self) {
        let of_syntax = |diagnostic: &&Diagnostic| diagnostic.code == codes::SYNTAX.id;
        let lines: BTreeSet<(String, u32)> = self
            .found
            .iter()
            .filter(of_syntax)
            .map(|diagnostic| (diagnostic.place.file.clone(), diagnostic.place.line))
            .collect();
        self.found.retain(|diagnostic| {
            of_syntax(&diagnostic) || !lines.contains(&(diagnostic.place.file.clone(), diagnostic.place.line))
        });
    }

    /// All of them, by file and place.
    pub fn into_sorted(mut self, file: &str) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| {
            (&a.place.file, a.place.line, a.place.span.start).cmp(&(&b.place.file, b.place.line, b.place.span.start))
        });
        if self.left_out > 0 {
            let message = format!("{} more mistakes and warnings are not shown", self.left_out);
            let mut last = Diagnostic::new(&codes::TRUNCATED, Place::file(file), message);
            if self.errors == 0 {
                last = last.as_warning();
            }
            self.found.push(last);
        }
        self.found
    }
}
