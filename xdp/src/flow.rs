//! Stage 6: a packet of a flow that was judged before ends its walk here. This is the hot path.

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use dropgate_abi::{
    control::{Control, mode},
    flow::{Flow, TICK_SHIFT, expired, flag, tallied, tcp as state},
    hold::{CLEAR, RELATED, SETTLED, SIEVED, sieved},
    policy::{
        FIRST_ZONE, PortKey, Settings, ZONE_NONE, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF, service, setting, side,
        timeout,
    },
    reason::Reason,
    tuple::{FlowKey, V4, V6, equal, realm},
    walk::{Walk, found, hook, parsed},
};

use crate::{
    anomaly::tcp,
    atomic,
    content::{self, Subject},
    cursor::Frame,
    datagram,
    hidden::Hidden,
    inside,
    maps::{CONTROL, SCRATCH, SETTINGS, SIDES, clear},
    parse::{self, protocol},
    policy::{self, Query},
    programs::in_force,
    related, state as tracking,
    step::{Step, drop},
    table, zone,
};

/// A packet of each flow goes by the kernel every 2^13 ticks, 8.6 s: see [`crate::forward`].
const KERNEL_SHIFT: u32 = 13;
/// [`Flow::drop_reason`] of a flow that a later policy does not allow.
const REVOKED: u8 = Reason::flow_revoked.0 as u8;

/// Ends the walk of a packet that belongs to a flow; goes on with what starts one.
#[inline(never)]
pub fn flow<F: Frame>(
    frame: &F,
    walk: &mut Walk,
    query: &mut Query,
    (control, settings): &(&Control, &Settings),
) -> Step {
    if walk.parsed & (parsed::FRAGMENT | parsed::FIRST) == parsed::FRAGMENT {
        return Ok(());
    }
    let (key, source_high) = key(walk);
    let (Some(scratch), Some(hidden)) = (SCRATCH.get_ptr_mut(0), Hidden::new()) else { return drop(Reason::internal) };
    let hash = key.hash(&control.secret);
    let Some(flow) = table::find(&key, hash, control.flow_mask, hidden) else {
        walk.found = found::MISS;
        return Ok(());
    };
    let now = tick(walk);
    if expired(now, flow.last_seen, flow.timeout) {
        walk.found = found::MISS;
        return Ok(());
    }
    if walk.protocol == protocol::TCP && tracking::reused(walk, flow) {
        // a new start, whatever became of the flow before it and wherever that came in
        walk.found = found::REUSED;
        // for its cap: see `state`
        // SAFETY: this CPU's own, for the time of this packet.
        unsafe { (*scratch).flow.zone = flow.zone };
        return Ok(());
    }
    walk.direction = (source_high != (flow.flags & flag::INITIATOR_HIGH != 0)) as u8;
    walk.found = found::HIT;
    if flow.generation != walk.generation && flow.flags & flag::LEDGER == 0 {
        older(walk, flow, query, settings);
    }
    walk.zone = flow.zone;
    walk.peer = flow.peer;
    walk.service = flow.service;
    walk.flow_id = flow.id;
    if walk.hook == hook::INGRESS {
        let port = if walk.direction == 0 { flow.to_server_port } else { flow.to_client_port };
        if port != walk.port && !fits(walk, flow) {
            return drop(Reason::wrong_side);
        }
    }
    if flow.drop_reason != 0 {
        return drop(Reason(flow.drop_reason.into()));
    }
    if walk.protocol != protocol::TCP {
        inside::admit(walk, flow.tcp_state)?;
    }
    if walk.protocol == protocol::TCP
        && (flow.tcp_state != state::ESTABLISHED || walk.tcp_flags & (tcp::SYN | tcp::FIN | tcp::RST) != 0)
    {
        tracking::tcp(walk, flow, settings);
    } else if walk.direction == 1 && flow.flags & flag::ESTABLISHED == 0 {
        reply(walk, flow, settings);
    }
    if walk.found == found::HIT && (now ^ flow.last_seen) >> KERNEL_SHIFT != 0 {
        walk.found = found::DUE;
    }
    flow.last_seen = now;
    if content::first_look(walk) {
        // each direction of a flow comes in on one queue, so that these are not raced for
        let direction = walk.direction as usize & 1;
        flow.tally[direction] = tallied(flow.tally[direction], walk.tcp_flags);
        flow.bytes[direction] += walk.ip_len as u64;
    }
    let subject = Subject { flow: &raw mut *flow, reason: Reason::flow, hash };
    content::content(frame, walk, &subject, control, settings)
}

/// The time, ns: the machine's, or the one that replay and tests set.
#[inline(always)]
pub fn now_ns(control: &Control) -> u64 {
    if control.mode & mode::BENCH != 0 {
        return control.clock_ns;
    }
    // SAFETY: no preconditions. Coarse time is monotonic too, and all that a millisecond clock needs.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// The time in the unit of the flow table.
#[inline(always)]
pub fn tick(walk: &Walk) -> u32 {
    (walk.now_ns >> TICK_SHIFT) as u32
}

/// The key of a packet's flow, and whether its source is the `high` endpoint.
#[inline(always)]
pub fn key(walk: &Walk) -> (FlowKey, bool) {
    order(walk, &walk.src, &walk.dst, walk.sport, walk.dport, walk.protocol)
}

#[inline(always)]
fn order(walk: &Walk, src: &[u32; 4], dst: &[u32; 4], sport: u16, dport: u16, protocol: u8) -> (FlowKey, bool) {
    let word = |address: &[u32; 4], at: usize| address[at] as u64 | (address[at + 1] as u64) << 32;
    let (s0, s1) = (word(src, 0), word(src, 2));
    let (d0, d1) = (word(dst, 0), word(dst, 2));
    // any total order will do
    let high = if s0 != d0 {
        s0 > d0
    } else if s1 != d1 {
        s1 > d1
    } else {
        sport > dport
    };
    let (low, high_address, low_port, high_port) =
        if high { (*dst, *src, dport, sport) } else { (*src, *dst, sport, dport) };
    let key =
        FlowKey { low, high: high_address, low_port, high_port, protocol, family: walk.family, realm: walk.realm };
    (key, high)
}

/// The first packet to the client of a flow that is not TCP: it is established now.
#[inline(always)]
fn reply(walk: &Walk, flow: &mut Flow, settings: &Settings) {
    flow.flags |= flag::ESTABLISHED;
    if walk.protocol == protocol::UDP {
        flow.timeout = settings.timeouts[timeout::UDP];
    }
}

/// Whether a packet may come in by this port, which is not where its flow's packets came in so far. A port not yet known
/// is learned from a source that the flow's zone or peer holds there; replies may change over between outside ports.
#[inline(never)]
fn fits(walk: &Walk, flow: &mut Flow) -> bool {
    if flow.flags & flag::LOOSE != 0 {
        return true;
    }
    let to_server = walk.direction == 0;
    if to_server && flow.to_server_port != u64::MAX {
        return false;
    }
    // what crossed a bridge to its server is answered from beyond, though the server have an address of the zone before it
    if !to_server && walk.onward != 0 && walk.onward == flow.to_server_port as u32 {
        flow.to_client_port = walk.port;
        return true;
    }
    let Ok(zone) = zone::of_source(walk) else { return false };
    if flow.flags & flag::LEDGER != 0 {
        if walk.side_kind != side::OUTSIDE {
            return false;
        }
    } else if zone != if to_server { flow.zone } else { flow.peer } {
        return false;
    }
    if to_server {
        flow.to_server_port = walk.port;
    } else {
        flow.to_client_port = walk.port;
    }
    true
}

/// Judges a flow of an older generation afresh, from its initiator's side. It keeps its TCP state; one that the policy in
/// force does not allow is remembered as revoked, until a generation that allows it again.
#[inline(never)]
fn older(walk: &mut Walk, flow: &mut Flow, query: &mut Query, settings: &Settings) {
    let high = flow.flags & flag::INITIATOR_HIGH != 0;
    query.set(walk, settings);
    query.zone = flow.zone;
    query.protocol = flow.key.protocol;
    query.realm = realm::of_tunnel(flow.key.realm);
    query.port = if high { flow.key.low_port } else { flow.key.high_port };
    query.src = if high { flow.key.high } else { flow.key.low };
    query.dst = if high { flow.key.low } else { flow.key.high };
    if flow.zone != ZONE_SELF && flow.zone != ZONE_PUBLISHED && flow.to_server_port != u64::MAX {
        query.zone = initiator_zone(query, flow.to_server_port);
    }
    query.peer = zone::peer(query.slot, query.family, &query.dst);
    let allowed = query.zone != ZONE_NONE
        && policy::blocked(query).is_none()
        && (policy::allowed(query) || flow.hold & RELATED != 0 && related::goes_on(query));
    if allowed {
        if query.zone != flow.zone {
            table::count(flow.zone, u64::MAX);
            table::count(query.zone, 1);
        }
        flow.zone = query.zone;
        flow.peer = query.peer;
        flow.service = query.service.counter;
        renew(flow, query, settings);
        // what the inspector found stays true
        if flow.drop_reason == REVOKED {
            flow.drop_reason = 0;
        }
        walk.line = query.service.line;
    } else if flow.drop_reason == 0 {
        flow.drop_reason = REVOKED;
    }
    flow.generation = walk.generation;
    walk.found = found::OLDER;
}

/// What a later generation wants of a flow that it allows. A function of its own for its stack.
#[inline(never)]
fn renew(flow: &mut Flow, query: &Query, settings: &Settings) {
    show_to_rules(flow, query, settings);
    if flow.key.protocol != protocol::TCP {
        flow.tcp_state = inside::asked(query, settings);
    }
}

/// Packets of what is no TCP are shown to the rules of a later generation, though its flow had left inspection; those of
/// protocols that are not identified, though it never was under it.
#[inline(always)]
fn show_to_rules(flow: &mut Flow, query: &Query, settings: &Settings) {
    if settings.flags & setting::DATAGRAMS == 0
        || query.service.flags & service::INSPECT == 0
        || flow.key.protocol == protocol::TCP
    {
        return;
    }
    let word = &raw mut flow.hold;
    // SAFETY: an aligned word of a map value.
    let seen = unsafe { word.read_volatile() };
    let judged = flow.flags & flag::INSPECT != 0;
    if judged && seen & (SETTLED | SIEVED) == 0 || !judged && flow.key.protocol == protocol::UDP {
        return;
    }
    // what was held is in front of it, or all of it is to be held
    let read = flow.key.protocol == protocol::UDP && datagram::holds(query.slot, flow.app);
    let held = judged && seen & (SETTLED | CLEAR) == 0 || read;
    let next = if held { sieved(seen) & !CLEAR } else { sieved(seen) };
    // another packet that came at this moment has done it, or is the one that is held
    atomic::exchange_if(word, seen, next);
    flow.flags |= flag::INSPECT;
}

/// Judges the flow of this hash and identity as its next packet would be judged, and counts nothing. `None`: there is no such
/// flow any more.
#[inline(always)]
pub fn review(hash: u64, id: u64) -> Option<u32> {
    let control = CONTROL.get(0)?;
    let (slot, generation) = in_force(control);
    let settings = SETTINGS.get(slot)?;
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: this CPU's own: programs of one CPU do not interrupt each other.
    let (walk, query) = unsafe { (&mut (*scratch).walk, &mut (*scratch).query) };
    let flow = table::by_id(hash, id, control.flow_mask, Hidden::new()?)?;
    clear(walk);
    walk.slot = slot;
    walk.generation = generation;
    walk.family = flow.key.family;
    walk.protocol = flow.key.protocol;
    if flow.generation != generation && flow.flags & flag::LEDGER == 0 {
        older(walk, flow, query, settings);
    }
    Some(flow.drop_reason as u32)
}

#[inline(always)]
fn initiator_zone(query: &Query, port: u64) -> u16 {
    let key = PortKey { ifindex: port as u32, outer: (port >> 32) as u16, inner: (port >> 48) as u16 };
    let Some(found) = SIDES.get_value_ptr_mut(query.slot, &key) else { return ZONE_NONE };
    // SAFETY: an entry of the inner map, which is not written while its slot is in force.
    let found = unsafe { *found };
    match zone::lookup(query.slot, found.scope, query.family, &query.src) {
        Some(zone) if zone >= FIRST_ZONE => zone,
        None if found.fallback == ZONE_OUTSIDE => ZONE_OUTSIDE,
        _ => ZONE_NONE,
    }
}

/// An ICMP error passes when the packet it quotes belongs to a known flow and was sent by the host the error goes to,
/// whoever sends the error (RFC 792, RFC 4443, 3).
#[inline(never)]
pub fn icmp_error<F: Frame>(
    frame: &F,
    walk: &mut Walk,
    query: &mut Query,
    control: &Control,
    settings: &Settings,
) -> Step {
    let (Some(scratch), Some(hidden)) = (SCRATCH.get_ptr_mut(0), Hidden::new()) else { return drop(Reason::internal) };
    // SAFETY: this CPU's own, for the time of this packet.
    let inner = unsafe { &mut (*scratch).inner };
    let (src, key, source_high) = quoted(frame, walk, inner)?;
    if !equal(&src, &walk.dst) {
        return drop(Reason::icmp_error_unrelated);
    }
    let hash = key.hash(&control.secret);
    let Some(flow) = table::find(&key, hash, control.flow_mask, hidden) else {
        return drop(Reason::icmp_error_unrelated);
    };
    if expired(tick(walk), flow.last_seen, flow.timeout) {
        return drop(Reason::icmp_error_unrelated);
    }
    walk.direction = (source_high == (flow.flags & flag::INITIATOR_HIGH != 0)) as u8;
    walk.found = found::HIT;
    if flow.generation != walk.generation && flow.flags & flag::LEDGER == 0 {
        older(walk, flow, query, settings);
    }
    walk.zone = flow.zone;
    walk.peer = flow.peer;
    walk.service = flow.service;
    walk.flow_id = flow.id;
    if flow.drop_reason != 0 {
        return drop(Reason::icmp_error_unrelated);
    }
    query.set(walk, settings);
    match policy::blocked(query) {
        Some(reason) => drop(reason),
        None => {
            let subject = Subject { flow: &raw mut *flow, reason: Reason::icmp_error, hash };
            content::error(frame, walk, &subject, control, settings)
        }
    }
}

/// The source, flow key and orientation of the packet that an ICMP error quotes.
#[inline(always)]
fn quoted(frame: &impl Frame, walk: &Walk, inner: &mut Walk) -> Step<([u32; 4], FlowKey, bool)> {
    let l3 = walk.l4 as usize + 8;
    let malformed = Reason::icmp_error_malformed;
    clear(inner);
    inner.l3 = l3 as u16;
    inner.family = walk.family;
    let l4 = if walk.family == V4 {
        let Some(head) = frame.read::<[u32; 5]>(l3) else { return drop(malformed) };
        let first = u32::from_be(head[0]);
        let header = (first >> 24 & 0xf) as usize * 4;
        if first >> 28 != 4 || header < 20 || !frame.holds(l3 + header) {
            return drop(malformed);
        }
        if u32::from_be(head[1]) & 0x1fff != 0 {
            return drop(Reason::icmp_error_unrelated);
        }
        inner.protocol = (u32::from_be(head[2]) >> 16) as u8;
        inner.src[0] = head[3];
        inner.dst[0] = head[4];
        l3 + header
    } else {
        let Some(head) = frame.read::<[u32; 10]>(l3) else { return drop(malformed) };
        if u32::from_be(head[0]) >> 28 != V6 as u32 {
            return drop(malformed);
        }
        inner.protocol = (u32::from_be(head[1]) >> 8) as u8;
        inner.src = [head[2], head[3], head[4], head[5]];
        inner.dst = [head[6], head[7], head[8], head[9]];
        // the quoted packet may be cut short: only the frame's end counts
        if parse::extensions(frame, inner, usize::MAX >> 1).is_err() || inner.l4 == 0 {
            return drop(Reason::icmp_error_unrelated);
        }
        inner.l4 as usize
    };
    match inner.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            let Some(ports) = frame.read::<[u16; 2]>(l4) else { return drop(malformed) };
            inner.sport = u16::from_be(ports[0]);
            inner.dport = u16::from_be(ports[1]);
        }
        protocol::ICMP | protocol::ICMPV6 if (inner.protocol == protocol::ICMP) == (walk.family == V4) => {
            let Some(head) = frame.read::<[u16; 4]>(l4) else { return drop(malformed) };
            let kind = (u16::from_be(head[0]) >> 8) as u8;
            (inner.sport, inner.dport) = parse::icmp_ports(walk.family, kind, u16::from_be(head[2]));
        }
        _ => {}
    }
    let (key, high) = order(walk, &inner.src, &inner.dst, inner.sport, inner.dport, inner.protocol);
    Ok((inner.src, key, high))
}
