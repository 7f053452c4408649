//! Dropgate
pub mod capture;
pub mod events;
pub mod view;
