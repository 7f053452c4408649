//! An array map mapped into memory (`BPF_F_MMAPABLE`).

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::NonNull,
};

use dropgate_abi::Plain;

/// The entries of a memory-mapped array map. The kernel side may change them at any time, so they are only ever copied.
pub struct Mapped<T> {
    start: NonNull<u8>,
    len: usize,
    bytes: usize,
    _entries: PhantomData<T>,
}

// SAFETY: shared memory that is read and written by whole copies.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T: Plain> Mapped<T> {
    /// Bytes from one entry to the next.
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps the `len` entries of `map`, which must be an array of `T`.
    pub fn new(map: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let bytes = len * Self::STRIDE;
        // SAFETY: a new mapping; the kernel checks that it lies within the map.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Self { start, len, bytes, _entries: PhantomData })
    }

    /// Entries.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where an entry lies; `None` beyond the end. For fields that are shared with the kernel side word by word.
    pub fn at(&self, index: usize) -> Option<*mut T> {
        // SAFETY: inside the mapping.
        (index < self.len).then(|| unsafe { self.start.as_ptr().add(index * Self::STRIDE).cast() })
    }

    /// A copy of an entry; `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<T> {
        // SAFETY: inside the mapping, aligned as the kernel aligns array values; `T` is plain.
        self.at(index).map(|entry| unsafe { entry.read_volatile() })
    }

    /// Writes an entry; nothing beyond the end.
    pub fn set(&self, index: usize, value: T) {
        if let Some(entry) = self.at(index) {
            // SAFETY: as in `get`.
            unsafe { entry.write_volatile(value) };
        }
    }

    /// Sets every byte to zero.
    pub fn clear(&self) {
        // SAFETY: the whole mapping.
        unsafe { self.start.as_ptr().write_bytes(0, self.bytes) };
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
