//! A socket that packets are held on, or released by.

use std::{io, os::fd::RawFd, sync::Arc};

use dropgate_abi::{
    from_bytes,
    hold::{Held, part},
};

use super::card;
use crate::xsk::{self, CHUNK_SIZES, Config, KERNEL_ROOM, Memory, Received};

/// Packets taken at once.
pub const BATCH: usize = 64;
/// Room before a packet, for [`Held`].
const HEAD_ROOM: u32 = 128;
/// Where that lies in the room.
const HEAD: usize = HEAD_ROOM as usize - size_of::<Held>();
/// Bytes of the longest frame that is held: the longest IP packet, Ethernet and two VLAN tags.
pub const LONGEST: u32 = 0xffff + 22;

/// Bytes of a chunk: one takes a frame of the link, if it can.
const fn chunk_size(longest: u32) -> u32 {
    let [small, large] = CHUNK_SIZES;
    if longest + HEAD_ROOM + KERNEL_ROOM <= small { small } else { large }
}

/// Bytes of a received frame in one chunk, where frames have at most `longest`.
pub const fn buffer(longest: u32) -> u32 {
    chunk_size(longest) - HEAD_ROOM - KERNEL_ROOM
}

/// A socket. Frames to send are copied into its memory.
pub struct Socket {
    socket: xsk::Socket,
    longest: usize,
    /// Of the kernel's count of [`Socket::dropped`], those that somebody has been told of.
    told: u64,
}

impl Socket {
    /// Opens a socket for frames of at most `longest` bytes that fill `held` chunks at once. `mark` goes with what it sends.
    ///
    /// # Errors
    /// See [`xsk::Socket::open`].
    pub fn open(ifindex: u32, queue: u32, held: u32, longest: u32, mark: u32) -> io::Result<Self> {
        let ring = (held + BATCH as u32).next_power_of_two();
        let socket = xsk::Socket::open(&Config {
            ifindex,
            queue,
            ring,
            chunks: 2 * ring + 2 * BATCH as u32,
            chunk_size: chunk_size(longest),
            head_room: HEAD_ROOM,
            several: longest > buffer(longest),
            mark,
        })?;
        Ok(Self { socket, longest: longest as usize, told: 0 })
    }

    /// The descriptor, to poll and to put into the map of sockets; open as long as the socket.
    pub fn descriptor(&self) -> RawFd {
        self.socket.descriptor()
    }

    /// Whether the driver reads and writes this socket's memory itself.
    pub fn is_zero_copy(&self) -> bool {
        self.socket.is_zero_copy()
    }

    /// Where what is received here lies.
    pub fn memory(&self) -> Arc<Memory> {
        Arc::clone(self.socket.memory())
    }

    /// Takes what has come: at most [`BATCH`] packets, that fill at most `room` chunks.
    pub fn receive(&mut self, into: &mut Vec<Received>, mut room: usize) {
        if room < BATCH {
            return;
        }
        let fits = |chunks: u32| {
            let left = room.checked_sub(chunks as usize);
            room = left.unwrap_or(room);
            left.is_some()
        };
        self.socket.receive(BATCH, fits, into);
    }

    /// What goes with a packet that was received here, and its bytes, as they would be on a wire. `None`: it is not whole.
    pub fn read<'a>(packet: &'a mut Received, memory: &'a Memory) -> Option<(Held, &'a [u8])> {
        let (head, frame) = packet.bytes(memory, HEAD_ROOM).split_at_mut_checked(HEAD_ROOM as usize)?;
        let held: Held = from_bytes(head.get(HEAD..)?)?;
        if matches!(held.part, part::WHOLE | part::ERROR) {
            card::complete(frame);
        }
        Some((held, frame))
    }

    /// Credits of a packet that was received here, whole or not.
    pub fn credits(packet: &mut Received, memory: &Memory) -> usize {
        let head = match packet {
            Received::Broken(head) => head,
            whole => whole.bytes(memory, HEAD_ROOM),
        };
        let held: Option<Held> = head.get(HEAD..).and_then(from_bytes);
        held.map_or(1, |held| held.buffers.into())
    }

    /// Takes back a packet's memory.
    pub fn free(&mut self, packet: Received) {
        self.socket.give_back(packet);
    }

    /// Gives the kernel memory to receive into, as much as there was at first. To be called before credits are returned.
    pub fn refill(&mut self) {
        self.socket.refill();
    }

    /// Chunks that can be queued for sending now.
    pub fn room(&mut self) -> usize {
        self.socket.room() as usize
    }

    /// Whether a frame can be queued now.
    pub fn takes(&mut self, frame: &[u8]) -> bool {
        self.room() >= self.socket.chunks(frame)
    }

    /// Queues a frame; whether it was, the whole of it.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        if frame.len() > self.longest {
            return false;
        }
        self.socket.send(frame) || self.flush() && self.takes(frame) && self.socket.send(frame)
    }

    /// Makes the kernel send what is queued. Whether it took all of it.
    pub fn flush(&mut self) -> bool {
        self.socket.flush()
    }

    /// Packets that the kernel had to drop because of this socket, since it was asked last: for want of room in a ring, or
    /// of memory.
    pub fn dropped(&mut self) -> u64 {
        let all = self.socket.dropped().unwrap_or(self.told);
        all.saturating_sub(std::mem::replace(&mut self.told, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xsk::MOST_SENT;

    #[test]
    fn a_chunk_takes_a_frame_of_the_link_if_it_can() {
        for (longest, chunk) in [(1522, 2048), (1664, 2048), (1665, 4096), (3712, 4096), (9022, 4096), (LONGEST, 4096)]
        {
            assert_eq!((chunk_size(longest), buffer(longest)), (chunk, chunk - 384), "{longest}");
            assert_eq!(longest > buffer(longest), longest > 3712, "{longest}");
        }
    }

    /// As many chunks as one socket buffer takes; and the program notes their number in a byte.
    #[test]
    fn the_longest_frame_can_be_sent() {
        assert!(LONGEST.div_ceil(chunk_size(LONGEST)) <= MOST_SENT as u32);
        assert!(u8::try_from(LONGEST.div_ceil(buffer(LONGEST))).is_ok());
    }

    /// What stands before a packet says what it has taken, also where nothing else of it is there.
    #[test]
    fn credits_of_what_is_not_whole() {
        let memory = Memory::new(1, 2048).unwrap();
        let held = Held { buffers: 3, ..Held::default() };
        let head = [&[0; HEAD][..], dropgate_abi::bytes_of(&held)].concat();
        assert_eq!(Socket::credits(&mut Received::Broken(head.clone().into()), &memory), 3);
        assert!(Socket::read(&mut Received::Broken(head.clone().into()), &memory).is_none());
        assert_eq!(Socket::credits(&mut Received::Broken(Box::default()), &memory), 1);
        let mut whole = Received::Several([&head[..], b"a frame"].concat().into());
        assert_eq!(Socket::credits(&mut whole, &memory), 3);
        assert_eq!(Socket::read(&mut whole, &memory), Some((held, &b"a frame"[..])));
    }
}
