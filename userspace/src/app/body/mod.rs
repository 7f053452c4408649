//! Bodies as they were meant: out of chunks, unpacked.

pub mod chunked;
pub mod packed;
