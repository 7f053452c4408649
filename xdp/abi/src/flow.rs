//! The flow table: buckets of eight ways, two candidate buckets a key, both in one lock group.
//!
//! A bucket is eight flows and an [`Opening`]. Its tags lie in a table of their own, and a word of its group says whether it has any: most
//! packets that belong to no flow are found out in little memory. A look-up takes no lock; inserting, evicting and removing take that of
//! the group. See `docs/decisions/0002-flow-table.md`.

use crate::{
    hold::{RELATED, SETTLED},
    opening::Opening,
    plain,
    tuple::FlowKey,
};

/// Ways in a bucket.
pub const WAYS: usize = 8;
/// Buckets that share a lock and a word; both candidate buckets of a key lie in one group.
pub const GROUP: u32 = 64;

/// One unit of the flow clock is 2^20 ns (1.05 ms): `now_ns >> TICK_SHIFT`, truncated to 32 bits, which wraps after 52 days.
pub const TICK_SHIFT: u32 = 20;

/// One flow. 128 bytes: what the fast path reads lies in the first 64.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub struct Flow {
    pub key: FlowKey,
    /// The generation that judged it.
    pub generation: u32,
    /// Tick of its last packet.
    pub last_seen: u32,
    /// It has expired when `now - last_seen` is above this many ticks.
    pub timeout: u32,
    /// See [`tcp`]. Of other protocols: what becomes of the packets in its packets, see [`crate::tunnel::inside`].
    pub tcp_state: u8,
    /// See [`flag`].
    pub flags: u8,
    /// Zero while the flow passes, else the number of the reason to drop it for.
    pub drop_reason: u8,
    /// What it speaks, as the inspector numbers protocols; 0: nobody has said. See [`app`]. Of a flow that another one
    /// announced: what it is to speak, until it is known.
    pub app: u8,
    /// Index of the service's counter.
    pub service: u32,
    /// Zone of the initiator, and zone of its peer.
    pub zone: u16,
    pub peer: u16,
    /// Where packets to the server come in: see [`crate::policy::PortKey`] as one word; zero: from the gateway itself.
    pub to_server_port: u64,
    /// Where packets to the client come in; `u64::MAX` until the first reply.
    pub to_client_port: u64,
    /// Tick of its first packet; see [`Flow::start_ns`].
    pub started: u32,
    /// Of a flow with [`flag::INSPECT`]: packets held so far, times [`crate::hold::ONE`], [`crate::hold::SETTLED`],
    /// [`crate::hold::SIEVED`] and [`crate::hold::BEGUN`]. Of every flow: [`crate::hold::RELATED`].
    pub hold: u32,
    /// Random-looking identity, below 2^53 so that JSON readers keep it exact.
    pub id: u64,
    /// By direction: to-server, to-client. Packets, and in the highest byte every TCP flag that was seen: see
    /// [`Flow::packets`] and [`Flow::tcp_flags`].
    pub tally: [u64; 2],
    /// Those of the IP packets.
    pub bytes: [u64; 2],
}

/// Where flags begin in a word of [`Flow::tally`].
const FLAGS_SHIFT: u32 = 56;

/// A word of [`Flow::tally`] with one packet more, which has these TCP flags.
#[inline(always)]
pub const fn tallied(tally: u64, flags: u8) -> u64 {
    (tally + 1) | (flags as u64) << FLAGS_SHIFT
}

impl Flow {
    /// Packets by direction.
    #[inline(always)]
    pub const fn packets(&self) -> [u64; 2] {
        const PACKETS: u64 = (1 << FLAGS_SHIFT) - 1;
        [self.tally[0] & PACKETS, self.tally[1] & PACKETS]
    }

    /// Every TCP flag that was seen, by direction.
    pub const fn tcp_flags(&self) -> [u8; 2] {
        [(self.tally[0] >> FLAGS_SHIFT) as u8, (self.tally[1] >> FLAGS_SHIFT) as u8]
    }

    /// What it speaks, by [`Flow::app`], where that is not only what it was announced to speak.
    pub const fn spoken(&self) -> u8 {
        let open = self.flags & flag::INSPECT != 0 && self.hold & SETTLED == 0 && self.drop_reason == 0;
        if open && self.hold & RELATED != 0 { 0 } else { self.app }
    }

    /// Monotonic time of the first packet, ns, to the tick; wrong by 52 days for each that the flow is older at `now_ns`.
    pub const fn start_ns(&self, now_ns: u64) -> u64 {
        start_ns(self.started, now_ns)
    }
}

/// The time, ns, of a tick before `now_ns`: see [`Flow::start_ns`].
pub const fn start_ns(tick: u32, now_ns: u64) -> u64 {
    let age = ((now_ns >> TICK_SHIFT) as u32).wrapping_sub(tick);
    ((now_ns >> TICK_SHIFT) - age as u64) << TICK_SHIFT
}

/// Values of [`Flow::app`] that are no protocol's number.
pub mod app {
    /// Nothing that is known.
    pub const UNKNOWN: u8 = 255;
}

/// Bits of [`Flow::flags`].
pub mod flag {
    /// The initiator is the `high` endpoint of the key.
    pub const INITIATOR_HIGH: u8 = 1;
    /// A reply was seen: the flow is established, and new flows cannot push it out.
    pub const ESTABLISHED: u8 = 2;
    /// Taken in mid-stream.
    pub const ADOPTED: u8 = 4;
    /// A translated tuple that left by an outside interface; admitted for its replies, judged elsewhere.
    pub const LEDGER: u8 = 8;
    /// FIN seen to the server, to the client.
    pub const FIN_TO_SERVER: u8 = 16;
    pub const FIN_TO_CLIENT: u8 = 32;
    /// The zone's state is loose.
    pub const LOOSE: u8 = 64;
    /// Its packets are held until [`Flow::hold`](super::Flow::hold) says that it is settled.
    pub const INSPECT: u8 = 128;
}

/// Values of [`Flow::tcp_state`].
pub mod tcp {
    /// SYN seen.
    pub const SYN_SENT: u8 = 1;
    /// SYN+ACK seen.
    pub const SYN_RECEIVED: u8 = 2;
    /// Handshake complete, or adopted.
    pub const ESTABLISHED: u8 = 3;
    /// One FIN seen.
    pub const CLOSING: u8 = 4;
    /// Both FINs seen: only their retransmissions may come.
    pub const TIME_WAIT: u8 = 5;
    /// RST seen.
    pub const CLOSED: u8 = 6;
}

/// What the buckets of a group share.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Group {
    /// By bucket, the first one in the lowest bit: whether any of its ways is taken. Changed under the lock.
    pub taken: u64,
    /// 0 free, 1 held.
    pub lock: u32,
    pub _pad: u32,
}

impl Group {
    /// The bit of a bucket in [`Group::taken`].
    #[inline(always)]
    pub const fn bit(bucket: u32) -> u64 {
        1 << (bucket % GROUP)
    }
}

/// The tags of a bucket's ways. Zero: the way is free.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct Tags(pub [u32; WAYS]);

impl Tags {
    /// Whether no way is taken. (A comparison with an array of zeros would be a branch for each of them.)
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        let mut any = 0;
        let mut way = 0;
        while way < WAYS {
            any |= self.0[way];
            way += 1;
        }
        any == 0
    }
}

/// Eight flows, and what is noted of one that is inspected.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Bucket {
    pub ways: [Flow; WAYS],
    pub opening: Opening,
}

plain!(Flow = 128, Group = 16, Tags = 32, Bucket = 1088);

/// The two candidate buckets of a hash, and its tag (never zero). `mask` is the number of buckets less one.
#[inline(always)]
pub fn place(hash: u64, mask: u32) -> (u32, u32, u32) {
    let first = (hash >> 32) as u32 & mask;
    let tag = hash as u32 | 1;
    (first, second(first, tag, mask), tag)
}

/// The second candidate bucket of a flow, by its first and its tag: another one of the same group, by bits of the hash that choose
/// neither bucket nor tag's low bit.
#[inline(always)]
pub fn second(first: u32, tag: u32, mask: u32) -> u32 {
    (first ^ (1 + ((tag >> 8) & (GROUP - 2)))) & mask
}

/// Whether a flow's time is up at tick `now`.
#[inline(always)]
pub fn expired(now: u32, last_seen: u32, timeout: u32) -> bool {
    let idle = now.wrapping_sub(last_seen);
    // a last_seen slightly ahead of this CPU's clock is no expiry
    idle > timeout && idle < u32::MAX - 0xffff
}
