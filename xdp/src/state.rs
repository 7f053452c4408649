//! Stage 9: a flow begins, and what TCP does to it afterwards.

use aya_ebpf::helpers::bpf_get_prandom_u32;
use dropgate_abi::{
    control::Control,
    flow::{Flow, flag, tcp as state},
    policy::{MAX_ZONES, Settings, Zone, ZONE_NONE, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF, SLOTS, kind, side, timeout, zone},
    reason::Reason,
    walk::{Walk, hook},
};

use crate::{
    anomaly::tcp,
    flow,
    maps::{SCRATCH, SWEEP, ZONES},
    parse::protocol,
    policy::{self, Query},
    step::{Step, drop, pass},
    table::{self, Inserted},
    zone::peer,
};

/// Buckets swept when a zone is at its cap, before a flow is refused.
const RECLAIM: u32 = 8;
/// Identities of flows stay below 2^53.
const ID_MASK: u64 = (1 << 53) - 1;

/// How a flow begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With a packet of its initiator that may start one.
    First,
    /// In mid-stream, with a packet to the server.
    ToServer,
    /// In mid-stream, with a packet to the client.
    ToClient,
}

/// Begins the flow of a packet that a service allowed.
#[inline(always)]
pub fn state(walk: &mut Walk, control: &Control, settings: &Settings, query: &Query) -> Step {
    begin(walk, control, settings, query, Start::First, 0, Reason::allowed)
}

/// A TCP segment that may start a flow.
#[inline(always)]
pub fn starts(walk: &Walk) -> bool {
    walk.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
}

/// Records what leaves translated by an outside interface, for its replies. It was judged where it came in.
#[inline(always)]
pub fn translated(walk: &mut Walk, control: &Control, settings: &Settings) -> Step {
    walk.zone = ZONE_NONE;
    walk.peer = ZONE_OUTSIDE;
    let start = if walk.protocol != protocol::TCP || starts(walk) { Start::First } else { Start::ToServer };
    let query = Query::of(walk, settings);
    begin(walk, control, settings, &query, start, flag::LEDGER, Reason::translated)
}

/// A TCP segment that belongs to no flow and starts none: taken in where the zone is loose or while flows are adopted,
/// if a service allows the flow in either orientation; dropped otherwise.
#[inline(never)]
pub fn midstream(walk: &mut Walk, control: &Control, settings: &Settings) -> Step<Query> {
    let adopting = walk.now_ns < control.adopt_until_ns;
    let loose = settings_of(walk.slot, walk.zone).flags & zone::LOOSE != 0;
    if (adopting || loose) && walk.tcp_flags & tcp::RST == 0 && walk.zone != ZONE_NONE {
        let (flags, reason) = if loose { (flag::LOOSE, Reason::loose) } else { (flag::ADOPTED, Reason::adopted) };
        let mut query = Query::of(walk, settings);
        if policy::allowed(&mut query) {
            begin(walk, control, settings, &query, Start::ToServer, flags, reason)?;
        }
        query.zone = peer(walk.slot, walk.family, &walk.dst);
        query.port = walk.sport;
        query.src = walk.dst;
        query.dst = walk.src;
        if policy::allowed(&mut query) && query.peer == walk.zone {
            begin(walk, control, settings, &query, Start::ToClient, flags, reason)?;
        }
        let behind = settings.kind == kind::MASQUERADE && walk.side_kind == side::OUTSIDE && walk.hook == hook::INGRESS;
        if adopting && behind && walk.peer == ZONE_SELF {
            // a reply to a translated flow: which zone's, the program on that zone's interface sees and judges
            query.zone = ZONE_NONE;
            begin(walk, control, settings, &query, Start::ToClient, flags | flag::LEDGER, reason)?;
        }
    }
    drop(match walk.tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST) {
        both if both == tcp::SYN | tcp::ACK => Reason::syn_ack_unsolicited,
        flags if flags & tcp::RST != 0 => Reason::rst_unsolicited,
        _ => Reason::tcp_no_flow,
    })
}

#[inline(always)]
fn settings_of(slot: u32, zone: u16) -> Zone {
    ZONES.get((slot & (SLOTS - 1)) * MAX_ZONES + zone as u32).copied().unwrap_or_default()
}

/// Puts the flow into the table and passes its first packet.
#[inline(always)]
fn begin(
    walk: &mut Walk,
    control: &Control,
    settings: &Settings,
    query: &Query,
    start: Start,
    flags: u8,
    reason: Reason,
) -> Step {
    let now = flow::tick(walk);
    let limit = settings_of(walk.slot, query.zone);
    if limit.max_flows != 0 && table::live(query.zone) >= limit.max_flows as u64 && !reclaim(query.zone, limit, control, now) {
        return drop(Reason::zone_flow_cap);
    }
    let Some(new) = SCRATCH.get_ptr_mut(0) else { return drop(Reason::internal) };
    // SAFETY: this CPU's own; programs of one CPU do not interrupt each other.
    let new = unsafe { &mut *new };
    let (key, source_high) = flow::key(walk);
    let hash = key.hash(&control.secret);
    let reversed = start == Start::ToClient;
    let here = if walk.hook == hook::INGRESS && query.zone != ZONE_SELF && query.zone != ZONE_PUBLISHED { walk.port } else { 0 };
    *new = Flow {
        key,
        generation: walk.generation,
        last_seen: now,
        timeout: settings.timeouts[first_timeout(walk, start)],
        tcp_state: match (walk.protocol == protocol::TCP, start) {
            (false, _) => 0,
            (true, Start::First) => state::SYN_SENT,
            (true, _) => state::ESTABLISHED,
        },
        flags: flags
            | if source_high != reversed { flag::INITIATOR_HIGH } else { 0 }
            | if start == Start::First { 0 } else { flag::ESTABLISHED }
            | if limit.flags & zone::LOOSE != 0 { flag::LOOSE } else { 0 },
        drop_reason: 0,
        service: query.service.counter,
        zone: query.zone,
        peer: query.peer,
        to_server_port: if reversed { u64::MAX } else { here },
        to_client_port: if reversed { walk.port } else { u64::MAX },
        start_ns: walk.now_ns,
        // SAFETY: no preconditions.
        id: (((unsafe { bpf_get_prandom_u32() } as u64) << 32) ^ hash) & ID_MASK,
        packets: [!reversed as u64, reversed as u64],
        bytes: [if reversed { 0 } else { walk.ip_len as u64 }, if reversed { walk.ip_len as u64 } else { 0 }],
    };
    walk.service = new.service;
    walk.line = query.service.line;
    walk.flow_id = new.id;
    walk.direction = reversed as u8;
    match table::insert(new, hash, control.flow_mask, now) {
        Inserted::Done => pass(reason),
        Inserted::Full => drop(Reason::flow_table_full),
        Inserted::Busy => drop(Reason::flow_table_busy),
    }
}

#[inline(always)]
fn first_timeout(walk: &Walk, start: Start) -> usize {
    match walk.protocol {
        protocol::TCP if start == Start::First => timeout::TCP_NEW,
        protocol::TCP => timeout::TCP_ESTABLISHED,
        protocol::UDP => timeout::UDP_NEW,
        protocol::ICMP | protocol::ICMPV6 => timeout::ICMP,
        _ => timeout::OTHER,
    }
}

/// Sweeps a few buckets for expired flows. Whether the zone has room now: with the daemon's sweeper gone, attempts to
/// start a flow do its work.
#[inline(never)]
fn reclaim(zone: u16, limit: Zone, control: &Control, now: u32) -> bool {
    sweep(control, now, RECLAIM);
    table::live(zone) < limit.max_flows as u64
}

/// Goes on sweeping where the last sweep ended.
#[inline(always)]
pub fn sweep(control: &Control, now: u32, buckets: u32) {
    let Some(cursor) = SWEEP.get_ptr_mut(0) else { return };
    // SAFETY: an aligned map value; two sweeps that race only sweep a bucket twice.
    let start = unsafe { *cursor };
    // SAFETY: as above.
    unsafe { *cursor = start.wrapping_add(buckets) };
    let mut at = 0;
    while at < buckets {
        table::sweep(start.wrapping_add(at) & control.flow_mask, now);
        at += 1;
    }
}

/// Whether a closed flow's tuple is used again.
#[inline(always)]
pub fn reused(walk: &Walk, flow: &Flow) -> bool {
    flow.tcp_state >= state::TIME_WAIT && starts(walk)
}

/// Moves a TCP flow on by the flags of one of its packets (RFC 9293, 3.3.2, as seen from the middle).
#[inline(always)]
pub fn tcp(walk: &Walk, flow: &mut Flow, settings: &Settings) {
    let flags = walk.tcp_flags;
    let to_client = walk.direction == 1;
    if flags & tcp::RST != 0 {
        flow.tcp_state = state::CLOSED;
        flow.timeout = settings.timeouts[timeout::TCP_CLOSING];
        return;
    }
    match flow.tcp_state {
        // SYN+ACK, or the other SYN of a simultaneous open
        state::SYN_SENT if to_client && flags & tcp::SYN != 0 => {
            flow.tcp_state = state::SYN_RECEIVED;
            flow.flags |= flag::ESTABLISHED;
        }
        state::SYN_RECEIVED if !to_client && flags & (tcp::SYN | tcp::ACK) == tcp::ACK => {
            flow.tcp_state = state::ESTABLISHED;
            flow.timeout = settings.timeouts[timeout::TCP_ESTABLISHED];
        }
        // the other direction takes another path
        state::SYN_SENT if flow.flags & flag::LOOSE != 0 && flags & tcp::SYN == 0 => {
            flow.tcp_state = state::ESTABLISHED;
            flow.flags |= flag::ESTABLISHED;
            flow.timeout = settings.timeouts[timeout::TCP_ESTABLISHED];
        }
        _ => {}
    }
    if flags & tcp::FIN != 0 && flow.tcp_state >= state::SYN_RECEIVED && flow.tcp_state <= state::CLOSING {
        flow.flags |= if to_client { flag::FIN_TO_CLIENT } else { flag::FIN_TO_SERVER };
        flow.tcp_state = state::CLOSING;
    }
    // the ACK of the last FIN may still come
    let both = flag::FIN_TO_CLIENT | flag::FIN_TO_SERVER;
    if flow.tcp_state == state::CLOSING && flow.flags & both == both {
        flow.tcp_state = state::TIME_WAIT;
        flow.timeout = settings.timeouts[timeout::TCP_CLOSING];
    }
}
