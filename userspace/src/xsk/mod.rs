//! AF_XDP: sockets that share memory with the kernel, and the rings through which its chunks pass
//! (`Documentation/networking/af_xdp.rst`).
//!
//! A packet lies in one chunk, or in several ones that follow each other in a ring: all but the last one are marked as continued
//! (Linux 6.6). A socket delivers and takes whole packets only.

mod chain;
mod memory;
mod ring;
mod socket;
#[cfg(test)]
mod tests;

pub use self::{
    memory::{CHUNK_SIZES, Chunk, KERNEL_ROOM, Memory},
    socket::{Config, MOST_SENT, Received, Socket},
};
