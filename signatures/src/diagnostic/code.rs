//! What diagnostics are called: lists of codes. A code is never reused.

use std::fmt::Write;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What it is about cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One line of the list.
#[derive(Debug)]
pub struct Code {
    /// Stable: scripts may depend on it.
    pub id: &'static str,
    pub severity: Severity,
    /// One line for people.
    pub meaning: &'static str,
}

/// A list of codes: a static for each, and `ALL` of them in order.
#[macro_export]
macro_rules! diagnostic_codes {
    ($($name:ident = $id:literal $severity:ident $meaning:literal;)+) => {
        $(#[doc = $meaning] pub static $name: $crate::diagnostic::Code = $crate::diagnostic::Code {
            id: $id,
            severity: $crate::diagnostic::Severity::$severity,
            meaning: $meaning,
        };)+
        /// The whole list, in order.
        pub static ALL: &[&$crate::diagnostic::Code] = &[$(&$name),+];
    };
}

/// A list as a Markdown table, as it stands in `docs/`.
pub fn markdown(codes: &[&Code]) -> String {
    let mut text = String::from("| code | severity | meaning |\n| --- | --- | --- |\n");
    for code in codes {
        let severity = match code.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        // writing to a `String` cannot fail
        let _ = writeln!(text, "| {} | {severity} | {} |", code.id, code.meaning);
    }
    text
}
