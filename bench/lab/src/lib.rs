//! A laboratory: network namespaces with a gateway between them, real servers, real clients, and raw frames.
//!
//! [`Lab`] owns what it builds (namespaces, processes, one temporary folder) and removes all of it when it is dropped,
//! also while a panic unwinds. A binary calls [`clean_up_on_signals`] once, so that Ctrl-C and SIGTERM clean up too. What
//! a run killed with -9 left behind is removed by the next run: every name holds the owner's process id.
//!
//! ```no_run
//! use dropgate_lab::{Kind, Lab};
//! let mut lab = Lab::gateway(Kind::Masquerade)?;
//! lab.start_servers()?;
//! let status = lab.office.command("curl").args(["-sf", "http://203.0.113.9/"]).status();
//! # Ok::<(), dropgate_lab::Error>(())
//! ```
//!
//! Needs root, and the Debian packages that `cargo xtask setup` installs.

mod cleanup;
mod error;
mod gateway;
mod lab;
mod namespace;
mod process;
mod raw;
pub mod rules;
mod servers;
pub mod trafgen;
mod tunnel;

pub use cleanup::{Kept, clean_up_on_signals, kept, stay_if_interrupted, sweep, take_down};
pub use error::{Error, Result};
pub use gateway::{Gateway, Kind, address};
pub use lab::{Lab, Options};
pub use namespace::Namespace;
pub use process::{Finished, Process, checked, run, wait_until};
pub use raw::RawSocket;
pub use tunnel::Tunnel;
