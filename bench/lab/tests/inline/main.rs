//! The daemon inline on a gateway: real clients and servers, raw frames, pushes under load, faults.
//!
//! Needs root, what `cargo xtask setup` installs, and the release build of `dropgate` (`cargo xtask test` makes it; the
//! environment variable `DROPGATE` names another one).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod anomalies;
mod asymmetric;
mod backlog;
mod blocklist;
mod bridged;
mod cases;
mod clients;
mod commits;
mod daemon;
mod dhcp;
mod evasion;
mod events;
mod first_attach;
mod forwarded;
mod fragmented;
mod frames;
mod full;
mod held;
mod interfaces;
mod jumbo;
mod killed;
mod life;
mod memory;
mod midstream;
mod neighbours;
mod nonstandard;
mod overlaps;
mod policies;
mod proxied;
mod proxy_kept;
mod raw;
mod related;
mod review;
mod sctp;
mod seen;
mod setup;
mod signatures;
mod signatures_load;
mod spoken;
mod starttls;
mod tcx;
mod traffic;
mod tunnels;
mod workers;
