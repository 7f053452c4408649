//! A socket, bound to a queue of a device.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    sync::Arc,
};

use libc::{c_int, sockaddr_xdp, xdp_desc, xdp_mmap_offsets, xdp_statistics, xdp_umem_reg};

use super::{
    chain::{Chains, MOST_CHUNKS, Next},
    memory::{Chunk, Memory},
    ring::{Consumer, Mapping, Producer},
};

/// Chunks of the longest frame that is sent: one, and the fragments of a socket buffer (`MAX_SKB_FRAGS`).
pub const MOST_SENT: usize = 18;
/// Attempts to make the kernel take what is queued, before the rest is left for the next time.
const KICKS: u32 = 64;
/// `include/uapi/linux/if_xdp.h`; Linux 6.17.
const XDP_MAX_TX_SKB_BUDGET: c_int = 9;

/// What a socket is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub ifindex: u32,
    pub queue: u32,
    /// Entries of each ring, a power of two.
    pub ring: u32,
    /// Chunks, at least two for each entry.
    pub chunks: u32,
    /// Bytes of each.
    pub chunk_size: u32,
    /// Bytes before a received packet that are not the kernel's, for what a program writes there.
    pub head_room: u32,
    /// Packets may lie in several chunks. Drivers that read and write memory themselves, but cannot do that, leave it to the kernel then.
    pub several: bool,
    /// Goes with what is sent.
    pub mark: u32,
}

/// What was received.
#[derive(Debug)]
pub enum Received {
    /// A packet where the kernel has put it.
    One(Chunk),
    /// One that lay in several chunks, with what stood before it.
    Several(Box<[u8]>),
    /// What stood before a packet that is not whole, and never will be.
    Broken(Box<[u8]>),
}

impl Received {
    /// The packet, with as many bytes before it as the socket has room for; nothing of one that is not whole.
    pub fn bytes<'a>(&'a mut self, memory: &'a Memory, before: u32) -> &'a mut [u8] {
        match self {
            Self::One(chunk) => memory.bytes(chunk, before),
            Self::Several(bytes) => bytes,
            Self::Broken(_) => &mut [],
        }
    }
}

/// The rings of a socket.
pub(super) struct Rings {
    pub received: Consumer<xdp_desc>,
    pub fill: Producer<u64>,
    pub to_send: Producer<xdp_desc>,
    pub sent: Consumer<u64>,
}

impl Rings {
    /// Makes them, and maps them.
    fn open(descriptor: RawFd, size: u32) -> io::Result<Self> {
        let options = [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING];
        options.iter().try_for_each(|ring| set(descriptor, libc::SOL_XDP, *ring, &size))?;
        // SAFETY: all-zero is a valid value.
        let at: xdp_mmap_offsets = get(descriptor, libc::XDP_MMAP_OFFSETS, unsafe { std::mem::zeroed() })?;
        let map = |offset: i64, start: u64, entry: usize| {
            Mapping::shared(descriptor, offset, start as usize + size as usize * entry)
        };
        let (packet, address) = (size_of::<xdp_desc>(), size_of::<u64>());
        let (fill, completion) = (libc::XDP_UMEM_PGOFF_FILL_RING as i64, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64);
        Ok(Self {
            received: Consumer::new(map(libc::XDP_PGOFF_RX_RING, at.rx.desc, packet)?, &at.rx, size)?,
            fill: Producer::new(map(fill, at.fr.desc, address)?, &at.fr, size)?,
            to_send: Producer::new(map(libc::XDP_PGOFF_TX_RING, at.tx.desc, packet)?, &at.tx, size)?,
            sent: Consumer::new(map(completion, at.cr.desc, address)?, &at.cr, size)?,
        })
    }
}

/// A socket with its memory and rings.
pub struct Socket {
    // closed before its rings and its memory go
    descriptor: OwnedFd,
    rings: Rings,
    memory: Arc<Memory>,
    /// Addresses of chunks that are in no ring, and that nobody has.
    free: Vec<u64>,
    chains: Chains,
    /// Entries of each ring; chunks that the kernel has to receive into; chunks that it has to send.
    ring: u32,
    filled: u32,
    sending: u32,
    /// The kernel has yet to be told of something to send.
    queued: bool,
    head_room: u32,
}

impl Socket {
    /// Opens a socket, with chunks to receive into. The kernel chooses zero-copy mode where the driver has it, and copies elsewhere.
    ///
    /// # Errors
    /// There is no such queue, it has a socket, there is not enough memory, or the kernel is older than 6.6.
    pub fn open(config: &Config) -> io::Result<Self> {
        // SAFETY: plain socket(2).
        let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just made.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let fd = descriptor.as_raw_fd();
        let memory = Memory::new(config.chunks, config.chunk_size)?;
        let (addr, len) = memory.extent();
        let (chunk_size, headroom) = (config.chunk_size, config.head_room);
        let area = xdp_umem_reg { addr, len, chunk_size, headroom, flags: 0, tx_metadata_len: 0 };
        set(fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &area)?;
        let rings = Rings::open(fd, config.ring)?;
        let mut socket = Self::over(descriptor, rings, memory, config);
        socket.refill();
        set(fd, libc::SOL_SOCKET, libc::SO_MARK, &config.mark)?;
        bind(fd, config)?;
        // chunks that one call sends; an older kernel sends 32
        let _ = set(fd, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &256u32.min(config.ring));
        Ok(socket)
    }

    /// Of these rings and this memory.
    pub(super) fn over(descriptor: OwnedFd, rings: Rings, memory: Memory, config: &Config) -> Self {
        Self {
            descriptor,
            rings,
            // the first one is the first to be used
            free: memory.chunks().rev().collect(),
            memory: Arc::new(memory),
            chains: Chains::default(),
            ring: config.ring,
            filled: 0,
            sending: 0,
            queued: false,
            head_room: config.head_room,
        }
    }

    /// The descriptor, open as long as the socket.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Where what was received lies.
    pub const fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Whether the driver reads and writes the memory itself.
    pub fn is_zero_copy(&self) -> bool {
        get(self.descriptor(), libc::XDP_OPTIONS, 0u32).is_ok_and(|flags| flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Takes the packets that have come, at most `most` of them, as long as `fits` agrees with their chunks.
    pub fn receive(&mut self, most: usize, mut fits: impl FnMut(u32) -> bool, into: &mut Vec<Received>) {
        let count = self.rings.received.count(MOST_CHUNKS);
        let (mut at, end) = (0, into.len() + most);
        while into.len() < end {
            let ring = &self.rings.received;
            match self.chains.next(count - at, |number| ring.get(at + number)) {
                Next::Nothing => break,
                Next::Packet { descriptors, bytes } if fits(descriptors) => {
                    into.push(self.packet(at, descriptors, bytes));
                    at += descriptors;
                }
                Next::Packet { .. } => break,
                Next::Broken { descriptors, begins } => {
                    let broken = self.broken(at, descriptors);
                    into.extend(begins.then_some(broken));
                    at += descriptors;
                }
            }
        }
        if at > 0 {
            self.rings.received.take(at);
            self.rings.received.tell();
            self.filled = self.filled.saturating_sub(at);
        }
    }

    /// The packet in so many descriptors from `at` on.
    fn packet(&mut self, at: u32, descriptors: u32, bytes: usize) -> Received {
        if descriptors == 1 {
            return match self.memory.claim(&self.rings.received.get(at)) {
                Some(chunk) => Received::One(chunk),
                None => Received::Broken(Box::default()),
            };
        }
        if (at..at + descriptors).any(|at| self.memory.claim(&self.rings.received.get(at)).is_none()) {
            return self.broken(at, descriptors);
        }
        let mut whole = Vec::with_capacity(self.head_room as usize + bytes);
        for number in at..at + descriptors {
            let Some(mut chunk) = self.memory.claim(&self.rings.received.get(number)) else { continue };
            let before = if number == at { self.head_room } else { 0 };
            whole.extend_from_slice(self.memory.bytes(&mut chunk, before));
            self.free(chunk);
        }
        Received::Several(whole.into())
    }

    /// What stands before the packet that begins `at`; frees its chunks.
    fn broken(&mut self, at: u32, descriptors: u32) -> Received {
        let mut before: Box<[u8]> = Box::default();
        for number in at..at + descriptors {
            // a chunk that is none is lost
            let Some(mut chunk) = self.memory.claim(&self.rings.received.get(number)) else { continue };
            if number == at {
                let head = self.memory.bytes(&mut chunk, self.head_room);
                before = head.get(..self.head_room as usize).unwrap_or_default().into();
            }
            self.free(chunk);
        }
        Received::Broken(before)
    }

    /// Takes back the memory of what was received here.
    pub fn give_back(&mut self, received: Received) {
        if let Received::One(chunk) = received {
            self.free(chunk);
        }
    }

    fn free(&mut self, chunk: Chunk) {
        self.free.push(self.memory.chunk_of(chunk.address()));
    }

    /// Gives the kernel chunks to receive into, as many as there were at first.
    pub fn refill(&mut self) {
        let missing = self.ring.saturating_sub(self.filled);
        let added = (0..missing).take_while(|_| {
            let Some(chunk) = self.free.pop() else { return false };
            let put = self.rings.fill.put(chunk);
            if !put {
                self.free.push(chunk);
            }
            put
        });
        let added = added.count() as u32;
        if added == 0 {
            return;
        }
        self.filled += added;
        self.rings.fill.tell();
        if self.rings.fill.needs_wakeup() {
            let nothing = std::ptr::null_mut();
            // SAFETY: an open descriptor and no room for data. A driver that was not woken is the next time.
            unsafe {
                libc::recvfrom(self.descriptor(), nothing, 0, libc::MSG_DONTWAIT, nothing.cast(), nothing.cast())
            };
        }
    }

    /// Chunks that can be queued for sending now.
    pub fn room(&mut self) -> u32 {
        let done = self.rings.sent.count(self.ring);
        if done > 0 {
            for number in 0..done {
                // the kernel says them as they were queued
                self.free.push(self.memory.chunk_of(self.rings.sent.get(number)));
            }
            self.rings.sent.take(done);
            self.rings.sent.tell();
            self.sending = self.sending.saturating_sub(done);
        }
        self.ring - self.sending.min(self.ring)
    }

    /// Chunks that a frame takes to be sent.
    pub fn chunks(&self, frame: &[u8]) -> usize {
        frame.len().div_ceil(self.memory.chunk_size() as usize)
    }

    /// Queues a frame, in as many chunks as it takes; whether it was, the whole of it.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        let size = self.memory.chunk_size() as usize;
        let count = self.chunks(frame);
        if !self.takes(count) || count > MOST_SENT {
            return false;
        }
        let last = count.wrapping_sub(1);
        for (number, piece) in frame.chunks(size).enumerate() {
            let Some(addr) = self.free.pop() else { return false };
            let options = if number == last { 0 } else { libc::XDP_PKT_CONTD };
            let entry = xdp_desc { addr, len: piece.len() as u32, options };
            if let Some(mut chunk) = self.memory.claim(&entry) {
                self.memory.bytes(&mut chunk, 0).copy_from_slice(piece);
            }
            self.rings.to_send.put(entry);
        }
        self.sending += count as u32;
        self.rings.to_send.tell();
        self.queued = true;
        true
    }

    /// Whether so many chunks can be queued.
    fn takes(&mut self, count: usize) -> bool {
        let wanted = count as u32;
        wanted > 0
            && self.sending + wanted <= self.ring
            && self.free.len() >= count
            && self.rings.to_send.room(wanted) >= wanted
    }

    /// Makes the kernel send what is queued. Whether it took all of it.
    pub fn flush(&mut self) -> bool {
        if !self.queued {
            return true;
        }
        for _ in 0..KICKS {
            // SAFETY: an open descriptor and no data.
            let sent = unsafe {
                libc::sendto(self.descriptor(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
            };
            if sent >= 0 {
                self.queued = false;
                return true;
            }
            match io::Error::last_os_error().raw_os_error() {
                // more to send than one call does, or the device was busy
                Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR) => {}
                _ => return false,
            }
        }
        false
    }

    /// Packets that the kernel had to drop because of this socket so far: for want of room in a ring, or of memory. `None`: it does
    /// not say.
    pub fn dropped(&self) -> Option<u64> {
        // SAFETY: all-zero is a valid value.
        let none: xdp_statistics = unsafe { std::mem::zeroed() };
        let found = get(self.descriptor(), libc::XDP_STATISTICS, none).ok()?;
        Some(found.rx_dropped + found.rx_ring_full + found.rx_fill_ring_empty_descs + found.tx_invalid_descs)
    }
}

/// Binds a socket to its queue.
fn bind(descriptor: RawFd, config: &Config) -> io::Result<()> {
    let address = sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_USE_NEED_WAKEUP | if config.several { libc::XDP_USE_SG } else { 0 },
        sxdp_ifindex: config.ifindex,
        sxdp_queue_id: config.queue,
        sxdp_shared_umem_fd: 0,
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: an open descriptor, and an address of the length given.
    let done = unsafe { libc::bind(descriptor, (&raw const address).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set<T>(descriptor: RawFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: an open descriptor, and a value of the length given.
    let done = unsafe { libc::setsockopt(descriptor, level, name, std::ptr::from_ref(value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An option whose value is made of integers; `value` is what an older kernel leaves as it is.
fn get<T>(descriptor: RawFd, name: c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: an open descriptor, and room of the length given.
    let done = unsafe { libc::getsockopt(descriptor, libc::SOL_XDP, name, (&raw mut value).cast(), &raw mut length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
