//! Stage 9: a flow begins, and what TCP does to it afterwards.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_prandom_u32, generated::bpf_loop};
use dropgate_abi::{
    control::Control,
    flow::{Flow, flag, tallied, tcp as state},
    hold::{RELATED, sieved},
    policy::{
        MAX_ZONES, SLOTS, Settings, ZONE_NONE, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF, Zone, kind, service, setting,
        side, timeout, zone,
    },
    reason::Reason,
    tunnel::inside::{JUDGE, NOTHING},
    tuple::V4,
    walk::{Walk, found, hook},
};

use crate::{
    anomaly::tcp,
    content::{self, Subject},
    cursor::Frame,
    flow, inside,
    maps::{CONTROL, SCRATCH, SWEEP, ZONES},
    parse::protocol,
    policy::{self, Query},
    step::{Step, drop},
    table::{self, inserted},
    zone::peer,
};

/// Buckets swept when a zone is at its cap, before a flow is refused: of a table for a million flows, a sixteenth.
const RECLAIM: u32 = 16_384;
/// Ticks between two such sweeps, so that a flood at the cap does not pay for one with each packet.
const RECLAIM_PAUSE: u32 = 64;
/// Identities of flows stay below 2^53.
const ID_MASK: u64 = (1 << 53) - 1;

/// How a flow begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With a packet of its initiator that may start one.
    First = 0,
    /// In mid-stream, with a packet to the server.
    ToServer,
    /// In mid-stream, with a packet to the client.
    ToClient,
}

/// How a flow that may begin does so, in one register: [`Start`], bits of [`Flow::flags`], why its first packet passes.
#[derive(Clone, Copy)]
pub struct Opening(u32);

impl Opening {
    #[inline(always)]
    pub const fn new(start: Start, flags: u8, reason: Reason) -> Self {
        Self((start as u32) << 24 | (flags as u32) << 16 | reason.0 as u32)
    }

    #[inline(always)]
    const fn parts(self) -> (Start, u8, Reason) {
        let start = match self.0 >> 24 {
            0 => Start::First,
            1 => Start::ToServer,
            _ => Start::ToClient,
        };
        (start, (self.0 >> 16) as u8, Reason(self.0 as u16))
    }
}

/// A TCP segment that may start a flow.
#[inline(always)]
pub fn starts(walk: &Walk) -> bool {
    walk.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
}

/// What leaves translated by an outside interface is recorded for its replies. It was judged where it came in.
#[inline(always)]
pub fn translated(walk: &mut Walk, query: &mut Query, settings: &Settings) {
    walk.zone = ZONE_NONE;
    walk.peer = ZONE_OUTSIDE;
    let start = if walk.protocol != protocol::TCP || starts(walk) { Start::First } else { Start::ToServer };
    query.set(walk, settings);
    query.opening = Opening::new(start, flag::LEDGER, Reason::translated);
}

/// A TCP segment that belongs to no flow and starts none: taken in where the zone is loose or while flows are adopted,
/// if a service allows the flow in either orientation; dropped otherwise.
#[inline(never)]
pub fn midstream(walk: &Walk, query: &mut Query, control: &Control, settings: &Settings) -> Step {
    let adopting = walk.now_ns < control.adopt_until_ns;
    // either end's zone may be the one that sees one direction only
    let loose = (settings_of(walk.slot, walk.zone).flags | settings_of(walk.slot, walk.peer).flags) & zone::LOOSE != 0;
    if (adopting || loose) && walk.tcp_flags & tcp::RST == 0 && walk.zone != ZONE_NONE {
        let (flags, reason) = if loose { (flag::LOOSE, Reason::loose) } else { (flag::ADOPTED, Reason::adopted) };
        let mut start = Start::ToServer;
        // the packet as it is, then its flow the other way round
        let mut way = 0;
        while way < 2 {
            if policy::allowed(query) && (start == Start::ToServer || query.peer == walk.zone) {
                query.opening = Opening::new(start, flags, reason);
                return Ok(());
            }
            start = Start::ToClient;
            query.zone = walk.peer;
            query.peer = peer(walk.slot, walk.family, &walk.src);
            query.port = walk.sport;
            query.src = walk.dst;
            query.dst = walk.src;
            // its start would have been dropped
            if policy::blocked(query).is_some() {
                break;
            }
            way += 1;
        }
        if adopting && is_behind(walk, settings) {
            // a reply to a translated flow: which zone's, the program on that zone's interface sees and judges
            query.zone = ZONE_NONE;
            query.opening = Opening::new(Start::ToClient, flags | flag::LEDGER, reason);
            return Ok(());
        }
    }
    drop(match walk.tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST) {
        both if both == tcp::SYN | tcp::ACK => Reason::syn_ack_unsolicited,
        flags if flags & tcp::RST != 0 => Reason::rst_unsolicited,
        _ => Reason::tcp_no_flow,
    })
}

/// Whether it comes in to the gateway's own address, behind which hosts of a zone may be meant.
#[inline(always)]
pub fn is_behind(walk: &Walk, settings: &Settings) -> bool {
    let outside = walk.side_kind == side::OUTSIDE && walk.hook == hook::INGRESS;
    settings.kind == kind::MASQUERADE && outside && walk.peer == ZONE_SELF
}

#[inline(always)]
fn settings_of(slot: u32, zone: u16) -> Zone {
    ZONES.get((slot & (SLOTS - 1)) * MAX_ZONES + zone as u32).copied().unwrap_or_default()
}

/// Begins a flow and passes its first packet.
#[inline(always)]
pub fn state<F: Frame>(frame: &F, walk: &mut Walk, query: &Query, control: &Control, settings: &Settings) -> Step {
    make(walk, query, control, settings)?;
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return drop(Reason::internal) };
    // SAFETY: this CPU's own, for the time of this packet.
    let (flow, hash) = unsafe { (&raw mut (*scratch).flow, (*scratch).hash) };
    let subject = Subject { flow, reason: query.opening.parts().2, hash };
    // the flow goes into the table with this packet counted as held
    let answer = content::content(frame, walk, &subject, control, settings);
    match table::dropgate_insert(control.flow_mask, flow::tick(walk)) {
        inserted::DONE => answer,
        inserted::FULL => content::undo(frame, answer, Reason::flow_table_full),
        _ => content::undo(frame, answer, Reason::flow_table_busy),
    }
}

/// Makes the flow in [`SCRATCH`], unless its zone has too many.
#[inline(never)]
fn make(walk: &mut Walk, query: &Query, control: &Control, settings: &Settings) -> Step {
    let (start, flags, _) = query.opening.parts();
    let now = flow::tick(walk);
    // what is recorded of a translation is judged on its other side
    let carried = if flags & flag::LEDGER == 0 { inside::asked(query, settings) } else { NOTHING };
    inside::admit(walk, carried)?;
    let limit = settings_of(walk.slot, query.zone);
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return drop(Reason::internal) };
    // SAFETY: this CPU's own, for the time of this packet.
    let new = unsafe { &mut (*scratch).flow };
    // a connection that takes the place of a closed one of the same zone adds none, though the zone be above its cap
    let replaces = walk.found == found::REUSED && new.zone == query.zone;
    if limit.max_flows != 0
        && !replaces
        && table::live(query.zone) >= limit.max_flows as u64
        && !reclaim(query.zone, limit, now)
    {
        return drop(Reason::zone_flow_cap);
    }
    let (key, source_high) = flow::key(walk);
    let hash = key.hash(&control.secret);
    let reversed = start == Start::ToClient;
    let here = if walk.hook == hook::INGRESS && query.zone != ZONE_SELF && query.zone != ZONE_PUBLISHED {
        walk.port
    } else {
        0
    };
    // field by field: a whole flow on the stack would be too much of it
    new.key = key;
    new.generation = walk.generation;
    new.last_seen = now;
    new.timeout = settings.timeouts[first_timeout(walk, start)];
    new.tcp_state = match (walk.protocol == protocol::TCP, start) {
        (false, _) => carried,
        (true, Start::First) => state::SYN_SENT,
        (true, _) => state::ESTABLISHED,
    };
    // nothing but what rules say is wanted of other protocols
    let identified = matches!(walk.protocol, protocol::TCP | protocol::UDP);
    new.flags = flags
        | if source_high != reversed { flag::INITIATOR_HIGH } else { 0 }
        | if start == Start::First { 0 } else { flag::ESTABLISHED }
        | if limit.flags & zone::LOOSE != 0 { flag::LOOSE } else { 0 }
        | if query.service.flags & service::INSPECT != 0
            && carried != JUDGE
            && (identified || settings.flags & setting::DATAGRAMS != 0)
        {
            flag::INSPECT
        } else {
            0
        };
    new.drop_reason = 0;
    new.app = query.app;
    new.service = query.service.counter;
    new.zone = query.zone;
    new.peer = query.peer;
    new.to_server_port = if reversed { u64::MAX } else { here };
    new.to_client_port = if reversed { walk.port } else { u64::MAX };
    new.started = now;
    new.hold = if query.related { RELATED } else { 0 };
    new.hold = if identified { new.hold } else { sieved(new.hold) };
    // SAFETY: no preconditions.
    new.id = (((unsafe { bpf_get_prandom_u32() } as u64) << 32) ^ hash) & ID_MASK;
    let (server, client) = if reversed { (0, 1) } else { (1, 0) };
    let tally = tallied(0, walk.tcp_flags);
    new.tally = [server * tally, client * tally];
    new.bytes = [server * walk.ip_len as u64, client * walk.ip_len as u64];
    walk.service = new.service;
    walk.line = query.service.line;
    walk.flow_id = new.id;
    walk.direction = reversed as u8;
    // SAFETY: as above.
    unsafe { (*scratch).hash = hash };
    Ok(())
}

#[inline(always)]
fn first_timeout(walk: &Walk, start: Start) -> usize {
    match walk.protocol {
        protocol::TCP if start == Start::First => timeout::TCP_NEW,
        protocol::TCP => timeout::TCP_ESTABLISHED,
        protocol::UDP => timeout::UDP_NEW,
        protocol::ICMP if walk.family == V4 => timeout::ICMP,
        protocol::ICMPV6 if walk.family != V4 => timeout::ICMP,
        _ => timeout::OTHER,
    }
}

/// Sweeps a stretch of the table for expired flows, unless that was done a moment ago. Whether the zone has room now: with
/// the daemon's sweeper gone, attempts to start a flow do its work.
#[inline(never)]
fn reclaim(zone: u16, limit: Zone, now: u32) -> bool {
    if let Some(last) = SWEEP.get_ptr_mut(1) {
        // SAFETY: an aligned map value; two packets that race both sweep.
        let due = unsafe { now.wrapping_sub(last.read_volatile()) >= RECLAIM_PAUSE };
        if due {
            // SAFETY: as above.
            unsafe { last.write_volatile(now) };
            let mut now = now;
            let step: extern "C" fn(u64, *const u32) -> i64 = reclaim_one;
            // SAFETY: the helper calls `step` with a number and the address of `now`, which outlives the call.
            unsafe { bpf_loop(RECLAIM, step as *mut c_void, (&raw mut now).cast(), 0) };
        }
    }
    table::live(zone) < limit.max_flows as u64
}

/// One round of [`reclaim`].
extern "C" fn reclaim_one(_round: u64, now: *const u32) -> i64 {
    if let Some(control) = CONTROL.get(0) {
        // SAFETY: the address that `reclaim` gave.
        sweep(control, unsafe { *now }, 1);
    }
    0
}

/// Goes on sweeping where the last sweep ended.
#[inline(always)]
pub fn sweep(control: &Control, now: u32, buckets: u64) {
    let Some(cursor) = SWEEP.get_ptr_mut(0) else { return };
    let mut done = 0;
    while done < buckets {
        // SAFETY: an aligned map value; two sweeps that race only sweep a bucket twice.
        let index = unsafe {
            let index = cursor.read_volatile();
            cursor.write_volatile(index.wrapping_add(1));
            index
        };
        table::sweep(index & control.flow_mask, now);
        done += 1;
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
