//! Policy: text in, diagnostics or maps out.

pub mod codes;
pub mod compile;
pub mod diagnostic;
pub mod model;
mod parse;
pub mod prefix;
pub mod source;

use std::{path::Path, sync::Arc};

pub use self::{
    compile::{Environment, Ids, Image, compile},
    diagnostic::Diagnostic,
    model::Policy,
    prefix::Prefix,
    source::Source,
};

/// Parses a policy from text; list files are looked for in `directory`. The policy is `None` when there is an error.
pub fn parse(source: Source, directory: &Path) -> (Option<Policy>, Vec<Diagnostic>) {
    let source = Arc::new(source);
    let (policy, diagnostics) = parse::parse(Arc::clone(&source), directory);
    (policy, diagnostics.into_sorted(&source.name))
}
