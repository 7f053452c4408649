//! The kernel side as the daemon sees it: loading, filling, switching, reading.

mod bench;
mod counters;
mod mapped;
mod object;
mod slots;
mod sys;

pub use bench::{Bench, BenchError};
pub use mapped::Mapped;
pub use object::{Object, ObjectError, Sizes};
pub use slots::{Committed, SlotError, Slots};
