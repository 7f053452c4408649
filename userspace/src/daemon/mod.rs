//! The daemon: a gateway's policy kept in force, its events written, its questions answered.

pub mod attach;
pub mod control;
pub mod gateway;

mod forward;
mod guard;
mod links;
pub mod live;
mod notes;
pub mod place;
mod report;
mod ring;
mod run;
pub mod state;

pub use run::{RunArgs, run};
