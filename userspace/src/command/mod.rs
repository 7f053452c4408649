//! The commands that speak for themselves; `replay` and `explain` are in [`crate::view`].

mod check;
mod client;
mod rules;

pub use check::{CheckArgs, check};
pub use client::{EventsArgs, FileArgs, ShowArgs, StopArgs, apply, diff, events, flows, status, stop};
pub use rules::{RulesArgs, rules};

/// What an operator gets back: 1 for a policy that is not in order, 3 for an environment that cannot.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Refused>().is_some() { 1 } else { 3 }
}

/// The answer is no.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);
