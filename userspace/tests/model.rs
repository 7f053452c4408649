//! The reference model against what people expect of it, and against the real object.
mod object;
mod packets;
#[path = "model/mod.rs"]
mod reference;

#[path = "model/agree.rs"]
mod agree;
#[path = "model/analysis.rs"]
mod analysis;
#[path = "model/expect.rs"]
mod expect;
