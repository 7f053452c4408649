//! The policy front end and compiler, from outside.

#[path = "policy/golden.rs"]
mod golden;
#[path = "policy/limits.rs"]
mod limits;
#[path = "policy/reference.rs"]
mod reference;
