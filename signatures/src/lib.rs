//! Suricata's rule language: text in, diagnostics or a ruleset out, and the engine that matches it.
//!
//! A rule goes through four forms, each in a module of its name:
//!
//! 1. [`text`]: lines, continued ones joined, comments and commented-out rules told apart;
//! 2. [`syntax`]: action, header, options with their spans: what stands there;
//! 3. [`rule`]: what it means, every keyword understood, or a diagnostic that says which one is not ([`load`] leads there);
//! 4. [`engine`]: rules in groups behind a prefilter, which is shown packets, streams and transactions.
//!
//! There is no I/O and no protocol parsing here. Parsers are the inspector's; what they offer is a [`subject::Transaction`].

pub mod buffer;
pub mod codes;
pub mod datagrams;
pub mod diagnostic;
pub mod engine;
pub mod load;
pub mod protocol;
pub mod rule;
pub mod subject;
pub mod syntax;
pub mod text;
pub mod words;
