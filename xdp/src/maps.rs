//! Every map, with who writes it, who reads it, and what happens when it is full.
//!
//! What one generation decides lies behind [`Control::active`]: a packet reads that word once and uses its slot for every
//! look-up. Sizes here are templates; the loader sets the real ones.

use aya_ebpf::{
    btf_maps::{
        Array, ArrayOfMaps, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf, XskMap,
    },
    macros::btf_map,
};
use dropgate_abi::{
    blocklist::{Blocked, PARTS},
    control::{Asked, Control, Counter, Limiter},
    datagrams::{Datagrams, ROOM},
    event::{PacketEvent, SAID},
    flow::{Bucket, Flow, Group, Tags},
    fragment::{FragmentBucket, SOURCES, Source},
    hold::{Credit, Held, HoldPort, MAX_SOCKETS},
    opening::Opening,
    policy::{
        FirstBytes, FirstKey, MAX_ZONES, PortKey, PrefixKey, SLOTS, Service, ServiceKey, ServiceList, Settings, Side,
        Sieve, Zone, table,
    },
    reason::REASON_SLOTS,
    related::{MAX_RELATED, Related, RelatedKey},
    tuple::Address,
    walk::Walk,
};

use crate::{
    datagram::BEHIND,
    forward::{Route, WAYS, Way},
    policy::Query,
};

/// `BPF_F_MMAPABLE`: userspace reads and fills these without a system call an entry.
const MMAPABLE: usize = 1 << 10;

/// What steers the programs. Daemon writes, every packet reads.
#[btf_map]
pub static CONTROL: Array<Control, 1, MMAPABLE> = Array::new();

/// By slot. Daemon writes the idle one.
#[btf_map]
pub static SETTINGS: Array<Settings, { SLOTS as usize }> = Array::new();

/// By `slot * MAX_ZONES + zone`. Daemon writes the idle half.
#[btf_map]
pub static ZONES: Array<Zone, { (SLOTS * MAX_ZONES) as usize }, MMAPABLE> = Array::new();

/// Ports of the gateway, by slot. A push that does not fit is refused.
#[btf_map]
pub static SIDES: ArrayOfMaps<HashMap<PortKey, Side, 64>, { SLOTS as usize }> = ArrayOfMaps::new();

/// Prefix tries, by `slot * TABLES + table`.
#[btf_map]
pub static PREFIXES: ArrayOfMaps<LpmTrie<PrefixKey, u32, 64>, { (SLOTS * table::TABLES) as usize }> =
    ArrayOfMaps::new();

/// `BPF_F_INNER_MAP`: the arrays of different slots may have different lengths.
const INNER: usize = 1 << 12;

/// Where blocked prefixes stand, by [`dropgate_abi::blocklist::part`].
#[btf_map]
pub static BLOCK_INDEX: ArrayOfMaps<Array<u64, 64, { MMAPABLE | INNER }>, { (SLOTS * PARTS) as usize }> =
    ArrayOfMaps::new();

/// Blocked prefixes in order, likewise.
#[btf_map]
pub static BLOCKED: ArrayOfMaps<Array<Blocked, 64, { MMAPABLE | INNER }>, { (SLOTS * PARTS) as usize }> =
    ArrayOfMaps::new();

/// Services by zone, peer, protocol and port, by slot.
#[btf_map]
pub static SERVICES: ArrayOfMaps<HashMap<ServiceKey, ServiceList, 64>, { SLOTS as usize }> = ArrayOfMaps::new();

/// What prefix tries and services cannot hold, by slot. Daemon writes the idle one.
#[btf_map]
pub static SIEVES: Array<Sieve, { SLOTS as usize }, MMAPABLE> = Array::new();

/// Lists that port ranges name. The idle half belongs to the daemon: `slot * (size / 2) + index`.
#[btf_map]
pub static LISTS: Array<ServiceList, 64, MMAPABLE> = Array::new();

/// Services in the order of their lists, halves as in `LISTS`.
#[btf_map]
pub static CANDIDATES: Array<Service, 64, MMAPABLE> = Array::new();

/// What clients can begin with, by slot: for a service that says what is spoken there, else for the server's port. What is
/// in neither may begin with anything.
#[btf_map]
pub static FIRST_BYTES: ArrayOfMaps<HashMap<FirstKey, FirstBytes, 64>, { SLOTS as usize }> = ArrayOfMaps::new();

/// Which datagrams no rule can match, by slot. Daemon writes the idle one.
#[btf_map]
pub static DATAGRAMS: Array<Datagrams, { SLOTS as usize }, MMAPABLE> = Array::new();

/// Which flows lie in each bucket of `FLOWS`. The programs write, the daemon reads.
#[btf_map]
pub static FLOW_TAGS: Array<Tags, 64, MMAPABLE> = Array::new();

/// What groups of buckets share. The programs write.
#[btf_map]
pub static FLOW_GROUPS: Array<Group, 1, MMAPABLE> = Array::new();

/// Live and recently ended flows. The programs write, the daemon reads. Full: `flow_table_full`.
#[btf_map]
pub static FLOWS: Array<Bucket, 64, MMAPABLE> = Array::new();

/// Live flows by the zone that started them. Written under the lock of the flow's group.
#[btf_map]
pub static ZONE_FLOWS: Array<u64, { MAX_ZONES as usize }, MMAPABLE> = Array::new();

/// Datagrams of which fragments were seen and others are missing. Full of live ones: `fragment_table_full`.
#[btf_map]
pub static FRAGMENTS: Array<FragmentBucket, 64, MMAPABLE> = Array::new();

/// How many of those a source has, by a hash of its address. As many as may be: `fragment_source_limit`.
#[btf_map]
pub static FRAGMENT_SOURCES: Array<Source, { SOURCES as usize }, MMAPABLE> = Array::new();

/// Addresses the gateway asked for by ARP or neighbour solicitation, with the time (ns). The oldest make room.
#[btf_map]
pub static ASKED: LruHashMap<Asked, u64, 4096> = LruHashMap::new();

/// Flows that others have announced. The inspector writes, the policy stage reads. The oldest make room.
#[btf_map]
pub static RELATED: LruHashMap<RelatedKey, Related, MAX_RELATED> = LruHashMap::new();

/// Interfaces by which packets may leave that are forwarded here: sides whose drivers can send what XDP gives them. Daemon writes.
/// By any other: they go by the kernel.
#[btf_map]
pub static FORWARD: DevMapHash<1024> = DevMapHash::new();

/// What devices have to do with holding, by interface index. Daemon writes. A packet to be held elsewhere: `inspector_absent`.
#[btf_map]
pub static HOLD_PORTS: HashMap<u32, HoldPort, 1024> = HashMap::new();

/// The inspector's AF_XDP sockets.
#[btf_map]
pub static SOCKETS: XskMap<{ MAX_SOCKETS as usize }> = XskMap::new();

/// Packets each socket holds. Programs take credits, the inspector returns them. None left: `hold_credits`.
#[btf_map]
pub static CREDITS: Array<Credit, { MAX_SOCKETS as usize }, MMAPABLE> = Array::new();

/// Packets and bytes by reason.
#[btf_map]
pub static REASON_COUNTERS: PerCpuArray<Counter, { REASON_SLOTS as usize }> = PerCpuArray::new();

/// Packets and bytes by `zone * 2`, passed, and `zone * 2 + 1`, dropped.
#[btf_map]
pub static ZONE_COUNTERS: PerCpuArray<Counter, { 2 * MAX_ZONES as usize }> = PerCpuArray::new();

/// Packets and bytes by service counter; survives pushes.
#[btf_map]
pub static SERVICE_COUNTERS: PerCpuArray<Counter, 64> = PerCpuArray::new();

/// Event rate by reason.
#[btf_map]
pub static LIMITERS: PerCpuArray<Limiter, { REASON_SLOTS as usize }> = PerCpuArray::new();

/// Drops, anomalies and ended flows, to the daemon. Full: the event is lost and counted in `LIMITERS`.
#[btf_map]
pub static EVENTS: RingBuf<PacketEvent, { 4 << 20 }> = RingBuf::new();

/// The last packet's walk, in trace mode. If it was found in a tunnel, that of what carried it comes second.
#[btf_map]
pub static TRACE: Array<Walk, 2, MMAPABLE> = Array::new();

/// The programs that judge the packet inside, called by those of their type. Daemon writes when it loads them. Empty: what is in a
/// tunnel is dropped, `internal`.
#[btf_map]
pub static INSIDE_XDP: ProgramArray<1> = ProgramArray::new();
/// 0: of Ethernet devices; 1: of those without link-layer header.
#[btf_map]
pub static INSIDE_TC: ProgramArray<2> = ProgramArray::new();

/// Where the sweep goes on: bucket of the flow table. Then the tick of the last sweep that a zone at its cap caused.
#[btf_map]
pub static SWEEP: Array<u32, 2, MMAPABLE> = Array::new();

/// What is too large for the stack, one packet at a time: programs of one CPU do not interrupt each other.
#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Starts a walk: all zero, word by word. (An assignment would call a byte-wise loop for its tail.)
#[inline(always)]
pub fn clear(walk: &mut Walk) {
    let words: *mut u64 = core::ptr::from_mut(walk).cast();
    let mut at = 0;
    while at < size_of::<Walk>() / 8 {
        // SAFETY: inside the walk, which is aligned to 8 and of a size that is a multiple of it.
        unsafe { words.add(at).write_volatile(0) };
        at += 1;
    }
}

/// Copies a value word by word. (An assignment would call a loop over its bytes.)
#[inline(always)]
pub fn copy<T: Copy>(from: &T, to: &mut T) {
    const { assert!(size_of::<T>().is_multiple_of(4) && align_of::<T>() >= 4) };
    let (from, to) = (core::ptr::from_ref(from).cast::<u32>(), core::ptr::from_mut(to).cast::<u32>());
    let mut at = 0;
    while at < size_of::<T>() / 4 {
        // SAFETY: inside both, which are aligned to words and of a size that is a multiple of them.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
        at += 1;
    }
}

/// Value of [`SCRATCH`].
#[repr(C)]
pub struct Scratch {
    /// The packet's.
    pub walk: Walk,
    /// That of a packet quoted in an ICMP error.
    pub inner: Walk,
    /// That of what carries it, if it was found in a tunnel, and where that ends: see [`crate::inside`].
    pub outer: Walk,
    pub end: u32,
    pub _end: u32,
    /// What the allowlist is asked.
    pub query: Query,
    /// What it is asked about the flow that announced another one, and how that other one is looked up.
    pub control: Query,
    pub related: RelatedKey,
    /// A flow being made.
    pub flow: Flow,
    /// Its hash.
    pub hash: u64,
    /// How its connection begins, if that is noted: see [`crate::opening`].
    pub opening: Opening,
    /// What goes with a packet that is held, and where it goes: see [`crate::content`].
    pub held: Held,
    pub socket: u32,
    pub device: u32,
    /// How the payload of a packet begins that is dropped for it, and how many bytes that is: see [`crate::first`].
    pub said: [u8; SAID],
    pub said_len: u32,
    pub _pad: u32,
    /// What is asked about a packet that may be forwarded here, and what was answered of late: see [`crate::forward`].
    pub route: Route,
    pub ways: [Way; WAYS],
    /// The payload of a datagram that rules may match: see [`crate::datagram`].
    pub payload: [u64; (ROOM + BEHIND) as usize / 8],
    /// A number on its way past the verifier: see [`crate::table`].
    pub hidden: u64,
    /// What [`SIDES`] answered of late, by a few bits of the port: see [`crate::ingress`].
    pub sides: [Seen; SEEN],
    /// Sources found of late, by a hash: see [`crate::zone`].
    pub hosts: [Host; HOSTS],
}

/// Sources remembered; a power of two.
pub const HOSTS: usize = 256;

/// A source and its zone.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Host {
    pub address: Address,
    /// Of the side, shifted left by one; the lowest bit is on for IPv6.
    pub scope: u32,
    /// Complement of the generation, so that zero is none.
    pub stamp: u32,
    pub zone: u32,
    pub _pad: u32,
}

/// Answers remembered; a power of two.
pub const SEEN: usize = 8;

/// An answer of [`SIDES`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Seen {
    /// [`PortKey::word`].
    pub port: u64,
    pub side: Side,
    /// Complement of the generation, so that zero is none.
    pub stamp: u32,
    pub _pad: u32,
}
