//! Packets held in userspace: how they get there, what travels with them, and what bounds their number.

use crate::{opening::Opened, plain, tuple::Address};

/// What stands before a held frame: its metadata in an AF_XDP frame, its first bytes on the way through a hold device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Held {
    /// Who made this: [`token`] of the secret. Frames that others send through a hold device have none.
    pub token: u64,
    /// Hash of the flow's key, the same for both directions.
    pub hash: u64,
    /// [`crate::flow::Flow::id`].
    pub flow: u64,
    /// The generation that judged it.
    pub generation: u32,
    /// Which of its flow's held packets this is, from zero, both directions counted as one; wraps.
    pub sequence: u32,
    /// Index of the service's counter.
    pub service: u32,
    /// Zone of the initiator.
    pub zone: u16,
    /// 0: to the server, 1: to the client.
    pub direction: u8,
    /// See [`part`].
    pub part: u8,
    /// Of a flow that another one announced: what is to be spoken, as [`crate::flow::Flow::app`] numbers it; else 0.
    pub announced: u8,
    /// 1: the flow is [`SIEVED`].
    pub sieved: u8,
    /// [`crate::flow::Flow::app`] and [`crate::flow::Flow::flags`].
    pub app: u8,
    pub flags: u8,
    /// [`crate::flow::Flow::started`].
    pub started: u32,
    /// [`crate::flow::Flow::packets`] and [`crate::flow::Flow::bytes`], this packet included.
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    /// How its connection began, by direction, where those segments were not held.
    pub opened: [Opened; 2],
    /// Where the IP header of the packet stands that was judged last, in a tunnel; 0: the frame's own.
    pub inner: u16,
    /// [`crate::walk::Walk::tunnel`] and [`crate::walk::Walk::network`].
    pub tunnel: u8,
    /// Credits that were taken for it: as many as chunks of the socket's memory.
    pub buffers: u8,
    pub network: u32,
    /// [`crate::tuple::realm::of_tunnel`]
    pub realm: u16,
    pub _pad: [u16; 3],
}

/// Values of [`Held::part`]: what a frame is to its flow.
pub mod part {
    /// A packet of it.
    pub const WHOLE: u8 = 0;
    /// The first fragment of a packet of it, with a sequence number like a whole one.
    pub const FIRST: u8 = 1;
    /// The same, of a flow that needs no inspection: held because others of its datagram are, without a number.
    pub const BESIDE: u8 = 2;
    /// A later fragment, without a number: nothing is known of its flow.
    pub const LATER: u8 = 3;
    /// An ICMP error about a packet of the flow, without a number: rules are asked about it by itself.
    pub const ERROR: u8 = 4;
}

/// Mark of what this gateway itself put on a hold device: [`Held::token`], and of released frames the socket's mark.
#[inline(always)]
pub const fn token(secret: &[u32; 10]) -> u64 {
    // never zero: an unmarked frame is none of ours
    (secret[9] as u64) << 32 | secret[8] as u64 | 1
}

/// What a device has to do with holding. Value of `HOLD_PORTS`, by interface index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct HoldPort {
    /// Index in `SOCKETS` and `CREDITS` of the socket on queue 0.
    pub socket: u32,
    /// Queues with a socket.
    pub queues: u32,
    /// Where packets go that are held on their way out: an end of a pair whose other end has a socket. 0: nowhere.
    pub device: u32,
    /// What comes in here was released, and comes in there: the protected interface. 0: nothing is released here.
    pub release_into: u32,
    /// Index in `SOCKETS` and `CREDITS` of the socket at the other end of `device`.
    pub device_socket: u32,
    /// Bytes of the longest frame that can be held.
    pub longest: u32,
    /// As `device`, for packets that are held on their way in where no XDP program hands them to a socket. 0: nowhere.
    pub inward: u32,
    /// Of a device with `release_into`: see [`release`].
    pub release: u32,
    /// Bytes of a frame in one chunk of its sockets' memory. A longer one takes several.
    pub buffer: u32,
    pub _pad: u32,
}

/// Bits of [`HoldPort::release`].
pub mod release {
    /// What is released leaves by the interface, rather than comes in there.
    pub const OUTWARD: u32 = 1;
    /// The program of the interface sees it again, and knows it by its mark.
    pub const MARKED: u32 = 2;
}

/// Most sockets.
pub const MAX_SOCKETS: u32 = 4096;

/// What one socket holds. `CREDITS`, by socket: a credit for each chunk of its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct Credit {
    /// Credits taken; wraps. Written by the programs.
    pub taken: u32,
    pub _taken: [u32; 15],
    /// Credits given back; wraps. Written by the inspector.
    pub returned: u32,
    /// Most credits out at once; 0: nobody serves this socket.
    pub limit: u32,
    /// Monotonic time of the inspector's last sign of life, ns.
    pub alive_ns: u64,
    pub _returned: [u64; 6],
}

/// Adds one to the count of a flow's held packets, in [`crate::flow::Flow::hold`].
pub const ONE: u32 = 128;
/// In [`crate::flow::Flow::hold`]: nothing of the flow is held any more.
pub const SETTLED: u32 = 1;
/// In [`crate::flow::Flow::hold`], of every flow: allowed because another one announced it.
pub const RELATED: u32 = 8;
/// In [`crate::flow::Flow::hold`]: the client has said something that may be what is expected.
pub const BEGUN: u32 = 16;
/// In [`crate::flow::Flow::hold`], of what is no TCP: nothing but what rules say is wanted of it, packet by packet.
pub const SIEVED: u32 = 32;
/// In [`crate::flow::Flow::hold`], with [`SIEVED`]: nothing of the flow is held, and what no rule can match passes.
pub const CLEAR: u32 = 64;
/// The bits of [`Held::sequence`].
pub const NUMBERS: u32 = u32::MAX / ONE;

/// In [`crate::flow::Flow::hold`]: nothing more is held in this direction, 0: to the server, 1: to the client.
#[inline(always)]
pub const fn passes(direction: u8) -> u32 {
    2 << (direction & 1)
}

/// A flow's word, once nothing but what rules say is wanted of it, and nothing of it is held.
#[inline(always)]
pub const fn sieved(word: u32) -> u32 {
    word & !(SETTLED | passes(0) | passes(1)) | SIEVED | CLEAR
}

/// What the inspector asks of `dropgate_settle`: the frame of a test run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Settle {
    /// [`Held::hash`], [`Held::flow`].
    pub hash: u64,
    pub flow: u64,
    /// Packets of the flow that were held and have been released or dropped: the flow is settled if these are all.
    pub held: u32,
    /// 0: it passes from now on; else the number of the reason that it is dropped for, from now on too.
    pub drop_reason: u8,
    /// [`crate::flow::Flow::app`].
    pub app: u8,
    /// 0: both directions pass. Else [`passes`] of the one that does; the other one's packets are held on.
    pub only: u8,
    /// 1: `app` is to be known, and nothing else changes.
    pub note: u8,
    /// 1: as soon as the direction of `only` acknowledges `settles_at`, and nothing more was held until then, both pass.
    pub watches: u8,
    /// 1: what rules may match is held on.
    pub sieved: u8,
    pub _pad: [u8; 2],
    pub settles_at: u32,
}

/// What `dropgate_review`, asked by [`Settle::hash`] and [`Settle::flow`], answers for a flow that passes; else the number
/// of the reason that it is dropped for.
pub const PASSES: u32 = 0;

/// What `dropgate_settle` answers.
pub mod settled {
    pub const DONE: u32 = 1;
    /// More was held meanwhile.
    pub const LATER: u32 = 2;
    /// There is no such flow.
    pub const GONE: u32 = 3;
    /// The lock of its place in the table was held for too long.
    pub const BUSY: u32 = 4;
}

/// What the inspector asks of `dropgate_target`, the frame of a test run: whether a host of a zone may start a flow to a
/// target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Target {
    pub address: Address,
    /// The zone of the host.
    pub zone: u16,
    /// The target's port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// [`crate::tuple::V4`] or [`crate::tuple::V6`].
    pub family: u8,
    /// 1: the target is a name, and `address` means nothing: an outside address that no prefix names.
    pub named: u8,
    pub _pad: u8,
}

/// What `dropgate_target` answers: one of these, or [`ALLOWED`](target::ALLOWED) with a flag and a counter.
pub mod target {
    /// No service of the zone allows it.
    pub const DENIED: u32 = 1;
    /// The address is on the blocklist.
    pub const BLOCKED: u32 = 2;
    pub const ALLOWED: u32 = 1 << 31;
    /// The flows of the service that allows it are inspected.
    pub const INSPECTED: u32 = 1 << 30;
    /// Bits of the counter of the service that allows it.
    pub const COUNTER: u32 = INSPECTED - 1;
}

plain!(Held = 120, HoldPort = 40, Credit = 128, Settle = 32, Target = 24);
