//! Dropgate

pub mod capture;
pub mod events;
pub mod policy;
pub mod view;
