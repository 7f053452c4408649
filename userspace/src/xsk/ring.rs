//! The rings: arrays of entries, with a count of those that were put in and one of those that were taken out, both wrapping.

use std::{
    io,
    marker::PhantomData,
    os::fd::RawFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use libc::{off_t, xdp_ring_offset};

/// Memory that is mapped for as long as this lives.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: memory of the process, bound to no thread; who uses it sees to it that accesses do not collide.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is read or written through a shared reference to it alone.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps memory of the process's own.
    ///
    /// # Errors
    /// There is not as much.
    pub fn private(len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// Maps what `descriptor` has from `offset` on.
    ///
    /// # Errors
    /// It has not as much there.
    pub fn shared(descriptor: RawFd, offset: off_t, len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_POPULATE, descriptor, offset)
    }

    fn map(len: usize, flags: libc::c_int, descriptor: RawFd, offset: off_t) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, where the kernel likes.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, descriptor, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Self { start, len })
    }

    /// Where it begins.
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Its bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Where `count` of these lie from `offset` on, if all of them do.
    fn at<T>(&self, offset: u64, count: u32) -> io::Result<NonNull<T>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.checked_add(count as usize * size_of::<T>()).filter(|end| *end <= self.len);
        if end.is_none() || !offset.is_multiple_of(align_of::<T>()) {
            return Err(io::Error::other("a ring that the kernel describes lies outside of its memory"));
        }
        // SAFETY: inside the mapping, checked just now.
        Ok(unsafe { self.start.add(offset) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what was mapped, which nobody uses any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// One end of a ring.
struct End<T> {
    produced: NonNull<AtomicU32>,
    consumed: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    /// Entries, a power of two.
    size: u32,
    /// Holds what the others point to.
    _mapping: Mapping,
    _entries: PhantomData<T>,
}

// SAFETY: all of it points into the mapping that goes with it; the other end is the kernel's, which reads and writes by the counts.
unsafe impl<T: Send> Send for End<T> {}

impl<T: Copy> End<T> {
    /// `size`: a power of two.
    fn new(mapping: Mapping, at: &xdp_ring_offset, size: u32) -> io::Result<Self> {
        if !size.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self {
            produced: mapping.at(at.producer, 1)?,
            consumed: mapping.at(at.consumer, 1)?,
            flags: mapping.at(at.flags, 1)?,
            entries: mapping.at(at.desc, size)?,
            size,
            _mapping: mapping,
            _entries: PhantomData,
        })
    }

    fn produced(&self) -> &AtomicU32 {
        // SAFETY: an aligned word of the mapping, by `new`, that both ends access atomically.
        unsafe { self.produced.as_ref() }
    }

    fn consumed(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumed.as_ref() }
    }

    /// The place of the entry with this number.
    fn entry(&self, number: u32) -> NonNull<T> {
        // SAFETY: below the size, so among the entries, by `new`.
        unsafe { self.entries.add((number & (self.size - 1)) as usize) }
    }

    /// Whether the kernel goes on only when it is called.
    fn needs_wakeup(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The end where entries are put in.
pub struct Producer<T> {
    end: End<T>,
    /// Entries put in, told and untold; and taken out, as far as is known.
    put: u32,
    taken: u32,
}

impl<T: Copy> Producer<T> {
    /// Of a ring in this memory.
    ///
    /// # Errors
    /// It does not lie in there.
    pub fn new(mapping: Mapping, at: &xdp_ring_offset, size: u32) -> io::Result<Self> {
        let end = End::new(mapping, at, size)?;
        let put = end.produced().load(Ordering::Relaxed);
        let taken = end.consumed().load(Ordering::Acquire);
        Ok(Self { end, put, taken })
    }

    /// Entries for which there is room; at least `wanted` if there is for so many.
    pub fn room(&mut self, wanted: u32) -> u32 {
        let free = |taken, put: u32| self.end.size.saturating_sub(put.wrapping_sub(taken));
        if free(self.taken, self.put) < wanted {
            // after it, what the kernel has read of the entries it has read
            self.taken = self.end.consumed().load(Ordering::Acquire);
        }
        free(self.taken, self.put)
    }

    /// Puts one in; whether there was room. The kernel sees it when it is [told](Self::tell).
    pub fn put(&mut self, entry: T) -> bool {
        if self.room(1) == 0 {
            return false;
        }
        // SAFETY: a place among the entries, that the kernel does not read before it is told.
        unsafe { self.end.entry(self.put).write(entry) };
        self.put = self.put.wrapping_add(1);
        true
    }

    /// Makes what was put in known to the kernel.
    pub fn tell(&mut self) {
        self.end.produced().store(self.put, Ordering::Release);
    }

    /// Whether the kernel goes on only when it is called.
    pub fn needs_wakeup(&self) -> bool {
        self.end.needs_wakeup()
    }
}

/// The end where entries are taken out.
pub struct Consumer<T> {
    end: End<T>,
    /// Entries put in, as far as is known; and taken out.
    put: u32,
    taken: u32,
}

impl<T: Copy> Consumer<T> {
    /// Of a ring in this memory.
    ///
    /// # Errors
    /// It does not lie in there.
    pub fn new(mapping: Mapping, at: &xdp_ring_offset, size: u32) -> io::Result<Self> {
        let end = End::new(mapping, at, size)?;
        let put = end.produced().load(Ordering::Acquire);
        let taken = end.consumed().load(Ordering::Relaxed);
        Ok(Self { end, put, taken })
    }

    /// Entries that are there; all of them if there are fewer than `wanted`.
    pub fn count(&mut self, wanted: u32) -> u32 {
        if self.put.wrapping_sub(self.taken) < wanted {
            // before it, what the kernel has written of the entries
            self.put = self.end.produced().load(Ordering::Acquire);
        }
        self.put.wrapping_sub(self.taken).min(self.end.size)
    }

    /// One of them, by its number among those that are there.
    pub fn get(&self, number: u32) -> T {
        // SAFETY: a place among the entries; what the kernel has written there is a `T`, or zero.
        unsafe { self.end.entry(self.taken.wrapping_add(number)).read() }
    }

    /// Takes out the first ones; the kernel may write there when it is [told](Self::tell).
    pub fn take(&mut self, count: u32) {
        self.taken = self.taken.wrapping_add(count);
    }

    /// Makes known to the kernel what was taken out.
    pub fn tell(&mut self) {
        self.end.consumed().store(self.taken, Ordering::Release);
    }
}
