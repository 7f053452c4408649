//! Events: what the programs report, as EVE JSON lines.
//!
//! EVE is Suricata's event format; fields that it has are written as it writes them, so that shippers and dashboards read
//! them unchanged. What is Dropgate's own stands under `dropgate`.

mod community;
mod convert;
pub mod eve;
pub mod inspection;
mod limited;
mod names;
mod record;
pub mod signatures;
mod stats;
mod time;
mod told;
mod writer;

pub(crate) use convert::tcp_state;
pub use convert::{ended, flow, of_packet, packet};
pub use limited::LimitedRules;
pub use names::{Names, ServiceName};
pub use record::Record;
pub use stats::{Totals, stats, stats_own};
pub use time::{Clock, format_time};
pub use writer::{EveWriter, WriterCounters};
