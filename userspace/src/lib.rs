//! Dropgate
pub mod capture;
