//! The policy front end and compiler, from outside.

#[path = "policy/golden.rs"]
mod golden;
#[path = "policy/limits.rs"]
mod limits;
#[path = "policy/look_up.rs"]
mod look_up;
#[path = "policy/meaning.rs"]
mod meaning;
#[path = "policy/reference.rs"]
mod reference;
