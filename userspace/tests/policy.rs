//! The policy front end and compiler, from outside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "policy/changes.rs"]
mod changes;
#[path = "policy/golden.rs"]
mod golden;
#[path = "policy/hostile.rs"]
mod hostile;
#[path = "policy/limits.rs"]
mod limits;
#[path = "policy/look_up.rs"]
mod look_up;
#[path = "policy/meaning.rs"]
mod meaning;
#[path = "policy/reference.rs"]
mod reference;
