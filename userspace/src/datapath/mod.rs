//! The kernel side as the daemon sees it: loading, filling, switching, reading.

mod bench;
mod blocklist;
pub mod counters;
pub mod flows;
mod mapped;
mod object;
mod related;
mod slots;
mod sys;

pub use bench::{Bench, BenchError};
pub use blocklist::BlockTable;
pub(crate) use counters::Raw;
pub use flows::FlowTable;
pub use mapped::Mapped;
pub(crate) use object::find;
pub use object::{Object, ObjectError, POLICY_MAPS, STATE_MAPS, Sizes, program};
pub use related::RelatedMap;
pub use slots::{Committed, SlotError, Slots};
pub(crate) use sys::detach_link;
pub use sys::{Ran, bring, test_run};
