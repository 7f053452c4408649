//! One AF_XDP socket with its memory and rings.

use std::{
    io,
    os::fd::{AsRawFd as _, RawFd},
};

use dropgate_abi::{
    bytes_of, from_bytes,
    hold::{Held, part},
};
use xdp::{
    Packet, RingConfigBuilder, Umem, WakableRings,
    nic::NicIndex,
    slab::{HeapSlab, Slab as _},
    socket::{XdpSocket, XdpSocketBuilder},
    umem::{FrameSize, UmemCfgBuilder},
};

use super::card;

/// Packets taken at once.
pub const BATCH: usize = 64;
/// Room before a packet, for [`Held`].
const HEAD_ROOM: u32 = 128;
const _: () = assert!(size_of::<Held>() <= HEAD_ROOM as usize);
/// Bytes of a frame's memory that belong to the kernel (`XDP_PACKET_HEADROOM`).
const KERNEL_ROOM: u32 = 256;
/// Bytes of the longest frame that fits into a socket's memory: a page of it for each.
pub const LONGEST: u32 = 4096 - HEAD_ROOM - KERNEL_ROOM;
/// Attempts to make the kernel take what is queued, before the rest is left for the next time.
const KICKS: u32 = 64;

/// A socket. Frames to send are copied into its memory.
pub struct Socket {
    // the socket first: it is closed before its memory goes
    socket: XdpSocket,
    rings: WakableRings,
    umem: Umem,
    /// Frames given to the kernel to receive into, and frames that it has to send.
    filled: usize,
    sending: usize,
    ring: usize,
    longest: usize,
    /// Of [`Socket::dropped`], those that somebody has been told of.
    told: u64,
}

/// Slabs that packets pass through on their way between rings; one pair serves every socket of a thread.
pub struct Hands {
    pub received: HeapSlab,
    to_send: HeapSlab,
}

impl Hands {
    pub fn new() -> Self {
        Self { received: HeapSlab::with_capacity(BATCH), to_send: HeapSlab::with_capacity(1) }
    }
}

impl Socket {
    /// Opens a socket for `held` packets at once of at most `longest` bytes. `mark` goes with what it sends. The kernel
    /// chooses zero-copy mode where the driver has it, and copies elsewhere.
    pub fn open(ifindex: u32, queue: u32, held: u32, longest: u32, mark: u32) -> io::Result<Self> {
        let ring = (held + BATCH as u32).next_power_of_two();
        let room = longest + HEAD_ROOM + KERNEL_ROOM;
        let config = UmemCfgBuilder {
            frame_size: if room <= 2048 { FrameSize::TwoK } else { FrameSize::FourK },
            head_room: HEAD_ROOM,
            frame_count: 2 * ring + 2 * BATCH as u32,
            ..UmemCfgBuilder::default()
        };
        let mut umem = Umem::map(config.build().map_err(io::Error::other)?)?;
        let mut builder = XdpSocketBuilder::new().map_err(io::Error::other)?;
        let config = RingConfigBuilder { rx_count: ring, tx_count: ring, fill_count: ring, completion_count: ring };
        let config = config.build().map_err(io::Error::other)?;
        let (mut rings, flags) = builder.build_wakable_rings(&umem, config).map_err(io::Error::other)?;
        // SAFETY: `umem` and the rings go into one value, which drops the socket first.
        let filled = unsafe { rings.fill_ring.enqueue(&mut umem, ring as usize, false) }?;
        let descriptor = builder.as_raw_fd();
        option(descriptor, libc::SOL_SOCKET, libc::SO_MARK, mark)?;
        let socket = builder.bind(NicIndex(ifindex), queue, flags).map_err(io::Error::other)?;
        // frames that one call sends; an older kernel sends 32
        let _ = option(descriptor, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, 256);
        Ok(Self { socket, rings, umem, filled, sending: 0, ring: ring as usize, longest: longest as usize, told: 0 })
    }

    /// The descriptor, to poll and to put into the map of sockets; open as long as the socket.
    pub fn descriptor(&self) -> RawFd {
        self.socket.raw_fd()
    }

    /// Whether the driver reads and writes this socket's memory itself.
    pub fn is_zero_copy(&self) -> bool {
        let (mut flags, mut length) = (0u32, size_of::<u32>() as libc::socklen_t);
        // SAFETY: an open descriptor, and room of the length given.
        let done = unsafe {
            let room = (&raw mut flags).cast();
            libc::getsockopt(self.socket.raw_fd(), libc::SOL_XDP, libc::XDP_OPTIONS, room, &raw mut length)
        };
        done == 0 && flags & libc::XDP_OPTIONS_ZEROCOPY != 0
    }

    /// Takes what has come, at most `most` packets.
    pub fn receive(&mut self, hands: &mut Hands, most: usize) -> usize {
        let Some(ring) = &mut self.rings.rx_ring else { return 0 };
        if most < BATCH {
            return 0;
        }
        // SAFETY: the packets are given back before this call's caller is done with the socket.
        let count = unsafe { ring.recv(&self.umem, &mut hands.received) };
        self.filled -= count;
        count
    }

    /// What goes with a packet that was received here, and its bytes, as they would be on a wire.
    pub fn read(packet: &mut Packet) -> Option<(Held, &[u8])> {
        let head = size_of::<Held>();
        packet.adjust_head(-(head as i32)).ok()?;
        let held = packet.get(..head).and_then(from_bytes::<Held>);
        packet.adjust_head(head as i32).ok()?;
        let held = held?;
        if matches!(held.part, part::WHOLE | part::ERROR) {
            card::complete(packet);
        }
        Some((held, packet))
    }

    /// Gives a packet's memory back.
    pub fn free(&mut self, packet: Packet) {
        self.umem.free_packet(packet);
    }

    /// Gives the kernel memory to receive into, as much as there was at first. To be called before credits are returned.
    pub fn refill(&mut self) {
        let missing = self.ring - self.filled;
        if missing > 0 {
            // SAFETY: the memory lives as long as the socket.
            if let Ok(added) = unsafe { self.rings.fill_ring.enqueue(&mut self.umem, missing, true) } {
                self.filled += added;
            }
        }
    }

    /// Frames that can be queued for sending now.
    pub fn room(&mut self) -> usize {
        self.sending -= self.rings.completion_ring.dequeue(&mut self.umem, self.ring);
        self.ring - self.sending
    }

    /// Queues a frame; whether it was.
    pub fn send(&mut self, hands: &mut Hands, bytes: &[u8]) -> bool {
        if self.sending == self.ring || bytes.len() > self.longest {
            return false;
        }
        // SAFETY: the memory lives as long as the socket.
        let Some(mut packet) = (unsafe { self.umem.alloc() }) else { return false };
        if packet.append(bytes).is_err() {
            self.umem.free_packet(packet);
            return false;
        }
        let Some(ring) = &mut self.rings.tx_ring else { return false };
        let _ = hands.to_send.push_front(packet);
        // SAFETY: as above. Without a wake-up it cannot fail.
        match unsafe { ring.send(&mut hands.to_send, false) } {
            Ok(1) => {
                self.sending += 1;
                true
            }
            _ => {
                if let Some(packet) = hands.to_send.pop_back() {
                    self.umem.free_packet(packet);
                }
                false
            }
        }
    }

    /// Makes the kernel send what is queued. Whether it took all of it.
    pub fn flush(&mut self) -> bool {
        for _ in 0..KICKS {
            // SAFETY: an open descriptor and no data.
            let sent = unsafe {
                libc::sendto(self.socket.raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
            };
            if sent >= 0 {
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

    /// Packets that the kernel had to drop because of this socket, since it was asked last: for want of room in a ring, or
    /// of memory.
    pub fn dropped(&mut self) -> u64 {
        let all = self.socket.statistics().map_or(self.told, |found| {
            found.rx_dropped + found.rx_ring_full + found.rx_fill_ring_empty_descs + found.tx_invalid_descs
        });
        all.saturating_sub(std::mem::replace(&mut self.told, all))
    }
}

/// `include/uapi/linux/if_xdp.h`; Linux 6.17.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

fn option(descriptor: i32, level: libc::c_int, name: libc::c_int, value: u32) -> io::Result<()> {
    // SAFETY: an open descriptor, and a value of the length given.
    let done = unsafe {
        libc::setsockopt(descriptor, level, name, bytes_of(&value).as_ptr().cast(), size_of::<u32>() as libc::socklen_t)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
