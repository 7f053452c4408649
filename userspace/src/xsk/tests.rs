//! Rings between two ends in one process: what the kernel would do is done by hand.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use libc::{XDP_PKT_CONTD, off_t, xdp_desc, xdp_ring_offset};
use proptest::prelude::*;

use super::{
    chain::{Chains, MOST_CHUNKS, Next},
    memory::{KERNEL_ROOM, Memory},
    ring::{Consumer, Mapping, Producer},
    socket::{Config, Received, Rings, Socket},
};

const RING: u32 = 128;
const HEAD_ROOM: u32 = 128;
const CHUNK: u32 = 2048;
/// Bytes that the kernel receives into one chunk.
const BUFFER: usize = (CHUNK - KERNEL_ROOM - HEAD_ROOM) as usize;
const CONFIG: Config = Config {
    ifindex: 0,
    queue: 0,
    ring: RING,
    chunks: 2 * RING + 128,
    chunk_size: CHUNK,
    head_room: HEAD_ROOM,
    several: true,
    mark: 0,
};

/// Memory of a ring, whose counts begin shortly before they wrap.
fn file() -> OwnedFd {
    // SAFETY: a name that ends with zero; a descriptor that is ours alone.
    let memory = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"ring".as_ptr(), 0)) };
    let file = std::fs::File::from(memory.try_clone().unwrap());
    let counts = (u32::MAX - 40).to_ne_bytes();
    std::os::unix::fs::FileExt::write_all_at(&file, &counts, 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &counts, 64).unwrap();
    file.set_len(4096).unwrap();
    memory
}

/// Both ends of a ring.
fn ring<T: Copy>() -> (Producer<T>, Consumer<T>) {
    let file = file();
    let at = xdp_ring_offset { producer: 0, consumer: 64, flags: 128, desc: 192 };
    let map = || Mapping::shared(file.as_raw_fd(), 0 as off_t, 4096).unwrap();
    (Producer::new(map(), &at, RING).unwrap(), Consumer::new(map(), &at, RING).unwrap())
}

/// The other ends.
struct Kernel {
    received: Producer<xdp_desc>,
    fill: Consumer<u64>,
    to_send: Consumer<xdp_desc>,
    sent: Producer<u64>,
}

fn socket() -> (Socket, Kernel) {
    let (received, fill, to_send, sent) = (ring(), ring(), ring(), ring());
    let rings = Rings { received: received.1, fill: fill.0, to_send: to_send.0, sent: sent.1 };
    let kernel = Kernel { received: received.0, fill: fill.1, to_send: to_send.1, sent: sent.0 };
    let memory = Memory::new(CONFIG.chunks, CONFIG.chunk_size).unwrap();
    let mut socket = Socket::over(file(), rings, memory, &CONFIG);
    socket.refill();
    (socket, kernel)
}

impl Kernel {
    /// Takes a chunk to receive into, and puts these bytes there.
    fn put(&mut self, socket: &Socket, bytes: &[u8], continued: bool) {
        assert!(self.fill.count(1) > 0, "nothing to receive into");
        let chunk = self.fill.get(0);
        self.fill.take(1);
        self.fill.tell();
        let options = if continued { XDP_PKT_CONTD } else { 0 };
        let addr = chunk + u64::from(KERNEL_ROOM + HEAD_ROOM);
        let entry = xdp_desc { addr, len: bytes.len() as u32, options };
        let mut claimed = socket.memory().claim(&entry).unwrap();
        socket.memory().bytes(&mut claimed, 1)[0] = b'#';
        socket.memory().bytes(&mut claimed, 0).copy_from_slice(bytes);
        assert!(self.received.put(entry));
    }

    /// Receives a frame, in as many chunks as it takes.
    fn receive(&mut self, socket: &Socket, frame: &[u8]) {
        let count = frame.len().div_ceil(BUFFER);
        for (number, piece) in frame.chunks(BUFFER).enumerate() {
            self.put(socket, piece, number + 1 < count);
        }
        self.received.tell();
    }

    /// Takes what there is to send: the frames.
    fn send(&mut self, socket: &Socket) -> Vec<Vec<u8>> {
        let (mut frames, mut frame) = (Vec::new(), Vec::new());
        let count = self.to_send.count(RING);
        for number in 0..count {
            let entry = self.to_send.get(number);
            let mut chunk = socket.memory().claim(&entry).unwrap();
            frame.extend_from_slice(socket.memory().bytes(&mut chunk, 0));
            if entry.options & XDP_PKT_CONTD == 0 {
                frames.push(std::mem::take(&mut frame));
            }
            assert!(self.sent.put(entry.addr));
        }
        assert!(frame.is_empty(), "half a frame");
        self.to_send.take(count);
        self.to_send.tell();
        self.sent.tell();
        frames
    }
}

fn frame(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Takes what has come; nothing of it is kept.
fn taken(socket: &mut Socket) -> Vec<Option<Vec<u8>>> {
    let (memory, mut received) = (std::sync::Arc::clone(socket.memory()), Vec::new());
    socket.receive(64, |_| true, &mut received);
    let all = received.drain(..).map(|mut packet| {
        let bytes = packet.bytes(&memory, HEAD_ROOM);
        let whole = bytes.split_at_checked(HEAD_ROOM as usize).map(|(head, frame)| {
            assert_eq!(head.last(), Some(&b'#'), "what stands before it");
            frame.to_vec()
        });
        socket.give_back(packet);
        whole
    });
    let all = all.collect();
    socket.refill();
    all
}

#[test]
fn whole_packets_are_received() {
    let (mut socket, mut kernel) = socket();
    for round in 0..40 {
        for length in [1, 60, BUFFER, BUFFER + 1, 9_000, 3 * BUFFER, 65_557] {
            let wanted = frame(length);
            kernel.receive(&socket, &wanted);
            assert!(taken(&mut socket) == [Some(wanted)], "round {round}, {length} bytes");
        }
    }
}

#[test]
fn half_a_packet_is_not() {
    let (mut socket, mut kernel) = socket();
    let wanted = frame(2 * BUFFER + 7);
    kernel.receive(&socket, &frame(60));
    for piece in 0..2 {
        kernel.put(&socket, &wanted[piece * BUFFER..][..BUFFER], true);
        kernel.received.tell();
        let before = if piece == 0 { vec![Some(frame(60))] } else { Vec::new() };
        assert!(taken(&mut socket) == before, "after {piece}");
    }
    kernel.put(&socket, &wanted[2 * BUFFER..], false);
    kernel.received.tell();
    assert!(taken(&mut socket) == [Some(wanted)]);
}

#[test]
fn a_packet_without_end_is_none_and_its_memory_comes_back() {
    let (mut socket, mut kernel) = socket();
    // more often than there are chunks
    for _ in 0..=CONFIG.chunks {
        let mut found = Vec::new();
        for at in 0..MOST_CHUNKS + 10 {
            kernel.put(&socket, &[at as u8], true);
            kernel.received.tell();
            found.extend(taken(&mut socket));
        }
        assert!(found == [None], "it is told of once");
        kernel.put(&socket, b"its end", false);
        kernel.receive(&socket, &frame(5000));
        assert!(taken(&mut socket) == [Some(frame(5000))]);
    }
}

#[test]
fn what_lies_outside_of_the_memory_is_no_packet() {
    let beyond = u64::from(CONFIG.chunks * CHUNK);
    for (addr, len) in [(beyond, 60), (u64::MAX - 10, 60), (u64::from(CHUNK) - 10, 11), (0, CHUNK + 1)] {
        let (mut socket, mut kernel) = socket();
        kernel.put(&socket, b"the first", true);
        assert!(kernel.received.put(xdp_desc { addr, len, options: 0 }));
        assert!(kernel.received.put(xdp_desc { addr, len, options: 0 }));
        kernel.receive(&socket, &frame(60));
        assert!(taken(&mut socket) == [None, None, Some(frame(60))], "{addr} {len}");
    }
}

#[test]
fn what_does_not_fit_waits() {
    let (mut socket, mut kernel) = socket();
    kernel.receive(&socket, &frame(60));
    kernel.receive(&socket, &frame(9_000));
    let (mut received, mut asked) = (Vec::new(), Vec::new());
    let ask = |chunks| {
        asked.push(chunks);
        chunks == 1
    };
    socket.receive(64, ask, &mut received);
    assert_eq!((received.len(), asked), (1, vec![1, 6]));
    received.drain(..).for_each(|packet| socket.give_back(packet));
    assert!(taken(&mut socket) == [Some(frame(9_000))]);
}

#[test]
fn a_frame_is_sent_whole_or_not_at_all() {
    let (mut socket, mut kernel) = socket();
    for _ in 0..40 {
        for length in [1, 60, CHUNK as usize, CHUNK as usize + 1, 9_000, 18 * CHUNK as usize] {
            assert!(socket.send(&frame(length)));
            assert!(kernel.send(&socket) == [frame(length)], "{length} bytes");
            assert_eq!(socket.room(), RING);
        }
    }
    assert!(!socket.send(&frame(18 * CHUNK as usize + 1)), "more than a socket buffer takes");
    assert!(!socket.send(&[]), "nothing");
    // all but two places
    (0..RING - 2).for_each(|_| assert!(socket.send(&frame(60))));
    assert!(!socket.send(&frame(3 * CHUNK as usize)));
    assert!(socket.send(&frame(2 * CHUNK as usize)));
    assert!(!socket.send(&frame(1)));
    let sent = kernel.send(&socket);
    assert_eq!((sent.len() as u32, sent.last().unwrap().len()), (RING - 1, 2 * CHUNK as usize));
    assert_eq!(socket.room(), RING);
    assert!(socket.send(&frame(3 * CHUNK as usize)));
}

proptest! {
    /// However the descriptors come, each packet is found once, with all of its descriptors, and nothing else is.
    #[test]
    fn packets_among_descriptors(
        lengths in proptest::collection::vec(1..2 * MOST_CHUNKS, 1..30),
        steps in proptest::collection::vec(1..90u32, 1..90),
    ) {
        let entries = lengths.iter().flat_map(|length| (1..=*length).map(move |at| (at, if at < *length { XDP_PKT_CONTD } else { 0 })));
        let entries: Vec<xdp_desc> = entries.map(|(len, options)| xdp_desc { addr: 0, len, options }).collect();
        let (mut chains, mut at, mut there, mut found) = (Chains::default(), 0, 0, Vec::new());
        for step in steps.into_iter().chain([u32::MAX]) {
            there = entries.len().min(there + step as usize);
            loop {
                match chains.next((there - at) as u32, |number| entries[at + number as usize]) {
                    Next::Nothing => break,
                    Next::Packet { descriptors, bytes } => {
                        prop_assert_eq!(bytes as u32, descriptors * (descriptors + 1) / 2);
                        found.push(descriptors);
                        at += descriptors as usize;
                    }
                    Next::Broken { descriptors, begins } => {
                        prop_assert_eq!(begins, entries[at].len == 1);
                        at += descriptors as usize;
                    }
                }
            }
        }
        prop_assert_eq!(at, entries.len());
        let whole: Vec<u32> = lengths.into_iter().filter(|length| *length <= MOST_CHUNKS).collect();
        prop_assert_eq!(found, whole);
    }
}

#[test]
fn a_packet_that_is_not_whole_has_no_bytes() {
    let memory = Memory::new(1, CHUNK).unwrap();
    assert!(Received::Broken([1; 128].into()).bytes(&memory, HEAD_ROOM).is_empty());
}
