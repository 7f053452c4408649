//! The memory of a socket, cut into chunks.

use std::io;

use libc::xdp_desc;

use super::ring::Mapping;

/// Bytes of a chunk: a page, or half of one.
pub const CHUNK_SIZES: [u32; 2] = [2048, 4096];
/// Bytes at the beginning of a chunk that belong to the kernel, where it receives into it (`XDP_PACKET_HEADROOM`).
pub const KERNEL_ROOM: u32 = 256;

/// The chunks of a socket.
#[derive(Debug)]
pub struct Memory {
    mapping: Mapping,
    chunk_size: u32,
}

/// Bytes in one chunk. Whoever has it is the only one to have this chunk: it is in no ring, and not among the free ones.
#[derive(Debug)]
pub struct Chunk {
    address: u64,
    len: u32,
}

impl Memory {
    /// So many chunks, of one of the [`CHUNK_SIZES`].
    ///
    /// # Errors
    /// There is not as much memory.
    pub fn new(chunks: u32, chunk_size: u32) -> io::Result<Self> {
        if !CHUNK_SIZES.contains(&chunk_size) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { mapping: Mapping::private(chunks as usize * chunk_size as usize)?, chunk_size })
    }

    /// Where it begins, and its bytes.
    pub(super) fn extent(&self) -> (u64, u64) {
        (self.mapping.start().as_ptr() as u64, self.mapping.len() as u64)
    }

    /// Bytes of a chunk.
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Addresses of all chunks.
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = u64> {
        let count = self.mapping.len() as u64 / u64::from(self.chunk_size);
        (0..count).map(|number| number * u64::from(self.chunk_size))
    }

    /// The chunk that an address lies in.
    pub(super) const fn chunk_of(&self, address: u64) -> u64 {
        address & !(self.chunk_size as u64 - 1)
    }

    /// What a descriptor names; `None` where that is no part of one chunk. Nobody else may have the chunk: it came out of a ring or
    /// from among the free ones just now.
    pub(super) fn claim(&self, found: &xdp_desc) -> Option<Chunk> {
        let within = found.addr - self.chunk_of(found.addr);
        let fits = within + u64::from(found.len) <= self.chunk_size.into() && found.addr < self.mapping.len() as u64;
        fits.then_some(Chunk { address: found.addr, len: found.len })
    }

    /// The bytes in a chunk of this memory, and so many of those that stand before them in it; nothing where there are not so many.
    pub fn bytes<'a>(&'a self, chunk: &'a mut Chunk, before: u32) -> &'a mut [u8] {
        let within = chunk.address - self.chunk_of(chunk.address);
        let end = chunk.address + u64::from(chunk.len);
        if within < before.into() || end > self.mapping.len() as u64 {
            return &mut [];
        }
        let start = (chunk.address - u64::from(before)) as usize;
        // SAFETY: inside the mapping, checked just now, and inside of one chunk, by `claim`. Whoever has the chunk is the only one who
        // has these bytes, for as long as it is borrowed.
        unsafe {
            std::slice::from_raw_parts_mut(self.mapping.start().as_ptr().add(start), (before + chunk.len) as usize)
        }
    }
}

impl Chunk {
    /// Where its bytes begin, in the memory.
    pub(super) const fn address(&self) -> u64 {
        self.address
    }
}
