//! What people and scripts get to see: replay, explain, status, flows, events, the list of reasons.
//!
//! Functions here turn plain data into text or JSON. They neither load programs nor speak to a daemon.

pub mod bench;
pub mod candidates;
pub mod cli;
pub mod explain;
pub mod filter;
pub mod flows;
pub mod inspection;
pub mod peek;
pub mod ports;
pub mod reasons;
pub mod related;
pub mod replay;
pub mod rules;
pub mod sides;
pub mod status;
pub mod subject;
pub mod target;
pub mod text;
