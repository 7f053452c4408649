//! The packet table's parts.

mod apart;
pub mod bench;
mod blocked;
pub mod cases;
mod datagrams;
pub mod elsewhere;
mod fragments;
mod held;
pub mod net;
mod openings;
mod related;
mod targets;
mod tunnels;
