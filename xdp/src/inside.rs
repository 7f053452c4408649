//! Tunnels: what the policy says of the packets in them, and the packet inside as one of its own.
//!
//! A flow keeps what becomes of its inside where TCP keeps its state. If that is to be judged, the entry point calls another
//! program in its own place, which walks the inner packet through the stages from `parse` on: see [`crate::programs`].

use dropgate_abi::{
    control::{Control, mode},
    policy::{Settings, kind as gateway, service},
    reason::Reason,
    tunnel::{inside, is_carrier, kind},
    tuple::{FlowKey, realm},
    walk::{Walk, parsed},
};

use crate::{
    cursor::Frame,
    ingress,
    maps::{Scratch, TRACE, clear},
    parse::{IPV4, IPV6, protocol},
    policy::Query,
    step::{Step, drop},
    tunnel,
};

/// What becomes of the packets in those of a flow, about which `query` has been answered: see [`inside`].
#[inline(always)]
pub fn asked(query: &Query, settings: &Settings) -> u8 {
    let carries = is_carrier(query.protocol) || query.protocol == protocol::UDP && is_vxlan(settings, query.port);
    if !carries {
        return inside::NOTHING;
    }
    match query.service.flags & (service::TUNNEL_JUDGE | service::TUNNEL_OPAQUE | service::TUNNEL_DROP) {
        service::TUNNEL_JUDGE => inside::JUDGE,
        service::TUNNEL_OPAQUE => inside::OPAQUE,
        service::TUNNEL_DROP => inside::DENIED,
        _ => inside::UNASKED,
    }
}

#[inline(always)]
fn is_vxlan(settings: &Settings, port: u16) -> bool {
    // one less than a difference of nothing has a sign: a comparison of each would be a branch for the verifier to walk
    let mut found = 0u32;
    let mut at = 0;
    while at < settings.vxlan.len() {
        found |= ((settings.vxlan[at] ^ port) as u32).wrapping_sub(1);
        at += 1;
    }
    found >> 31 != 0 && port != 0
}

/// Notes what becomes of the packet inside; ends the walk of a tunnel that may not be.
#[inline(always)]
pub fn admit(walk: &mut Walk, inside: u8) -> Step {
    if inside == inside::NOTHING { Ok(()) } else { carrier(walk, inside) }
}

#[inline(never)]
fn carrier(walk: &mut Walk, inside: u8) -> Step {
    // PPPoE is a link more than a tunnel: what its line calls opaque may pass in it
    if walk.tunnel != 0 && !(walk.tunnel == kind::PPPOE && inside == inside::OPAQUE) {
        return drop(Reason::tunnel_nested);
    }
    walk.inside = inside;
    match inside {
        inside::OPAQUE => Ok(()),
        inside::JUDGE if walk.parsed & parsed::FRAGMENT != 0 => drop(Reason::tunnel_fragment),
        inside::JUDGE => Ok(()),
        inside::DENIED => drop(Reason::tunnel_denied),
        _ => drop(Reason::tunnel_unasked),
    }
}

/// Begins the walk of the packet inside of the one that has just been judged, whose walk is kept in [`Scratch::outer`]. It is seen
/// where the outer one is, and its flows are those of its tunnel alone. If there is none, the walk stays that of the outer one.
#[inline(never)]
pub fn begin<F: Frame>(frame: &F, scratch: &mut Scratch, control: &Control, settings: &Settings) -> Step {
    let (walk, outer) = (&mut scratch.walk, &mut scratch.outer);
    copy(outer, walk);
    if control.mode & mode::TRACE != 0
        && let Some(trace) = TRACE.get_ptr_mut(1)
    {
        // SAFETY: an aligned map value; tracing runs one packet at a time.
        unsafe { copy(&mut *trace, walk) };
    }
    let found = tunnel::open(frame, walk)?;
    if found.ethertype != IPV4 && found.ethertype != IPV6 {
        return ingress::listed(settings, found.ethertype);
    }
    clear(walk);
    walk.now_ns = outer.now_ns;
    walk.hook = outer.hook;
    walk.slot = outer.slot;
    walk.generation = outer.generation;
    walk.from_ifindex = outer.from_ifindex;
    walk.service = dropgate_abi::policy::NO_SERVICE;
    walk.port = outer.port;
    walk.vlan = outer.vlan;
    walk.scope = outer.scope;
    walk.side_kind = outer.side_kind;
    walk.side_flags = outer.side_flags;
    walk.fallback = outer.fallback;
    walk.onward = outer.onward;
    walk.tunnel = found.kind;
    walk.network = found.network;
    walk.ethertype = found.ethertype;
    walk.l3 = found.l3 as u16;
    walk.realm = outer.realm;
    // a session that ends at the gateway is a link like any other: what comes out of it is answered by what the kernel sends there
    if found.kind != kind::PPPOE || settings.kind == gateway::BRIDGE {
        walk.realm = apart(outer, &found, &control.secret);
    }
    scratch.end = found.end as u32;
    Ok(())
}

/// The realm of what is in a tunnel, the same for both directions.
#[inline(always)]
fn apart(outer: &Walk, found: &tunnel::Inside, secret: &[u32; 10]) -> u16 {
    let mut both = FlowKey {
        low: outer.src,
        high: outer.dst,
        low_port: found.network as u16,
        high_port: (found.network >> 16) as u16,
        protocol: found.kind,
        family: outer.family,
        realm: outer.realm,
    };
    let there = both.hash(secret);
    (both.low, both.high) = (outer.dst, outer.src);
    // tags by a product of their own: of whatever else they were mixed into, some networks would meet for every secret
    let tags = (found.vlan[0] as u64 | (found.vlan[1] as u64) << 12)
        .wrapping_mul((secret[6] as u64) << 32 | secret[7] as u64 | 1);
    (there.wrapping_add(both.hash(secret)).wrapping_add(tags) >> 32) as u16 | realm::TUNNEL
}

/// Whether the packet inside ends where what carries it does, or before.
#[inline(always)]
pub fn fits(walk: &Walk, end: u32) -> Step {
    let merged = walk.parsed & parsed::MERGED != 0;
    if merged || walk.l3 as u32 + walk.ip_len as u32 <= end { Ok(()) } else { drop(Reason::tunnel_truncated) }
}

/// Word by word, as [`clear`] does it.
#[inline(always)]
fn copy(to: &mut Walk, from: &Walk) {
    let (to, from): (*mut u64, *const u64) = (core::ptr::from_mut(to).cast(), core::ptr::from_ref(from).cast());
    let mut at = 0;
    while at < size_of::<Walk>() / 8 {
        // SAFETY: inside both, which are aligned to 8 and of a size that is a multiple of it.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
        at += 1;
    }
}
