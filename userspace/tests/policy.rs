//! The policy front end and compiler, from outside.

#[path = "policy/reference.rs"]
mod reference;
