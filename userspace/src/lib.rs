//! Dropgate

pub mod policy;
