//! In stage 8, when nothing else allows a new flow: has another flow announced it, and may that one still be?

use dropgate_abi::{
    policy::{ZONE_NONE, ZONE_OUTSIDE, ZONE_PUBLISHED, service},
    related::{Related, RelatedKey, SOMEBODY, flag},
    tuple::Address,
};

use crate::{
    atomic,
    maps::{RELATED, SCRATCH},
    policy::{self, Query},
};

/// Whether the flow that the query asks about was announced and may begin at tick `now`; finds the service of the flow that
/// announced it.
#[inline(never)]
pub fn begins(query: &mut Query, now: u32) -> bool {
    match announced(query, &query.dst) {
        Some(related) => !is_late(related, now) && allowed(query, related) && may_begin(related),
        None => false,
    }
}

/// Whether it goes to the gateway itself for a host behind translation, who was to get it at that port: the kernel, if it has
/// followed the control flow too, keeps the port free and translates it back. Which host that is, and whether it may, the
/// program on the interface of its zone says.
#[inline(never)]
pub fn translated(query: &Query, now: u32) -> bool {
    if query.port < UNPRIVILEGED {
        return false;
    }
    match announced(query, &SOMEBODY) {
        Some(related) => !is_late(related, now) && may_begin(related),
        None => false,
    }
}

/// Ports below belong to the gateway's own services.
const UNPRIVILEGED: u16 = 1024;

#[inline(always)]
fn is_late(related: *mut Related, now: u32) -> bool {
    // SAFETY: an entry that the inspector writes whole, and only programs change later.
    unsafe { (*related).is_late(now) }
}

#[inline(always)]
fn may_begin(related: *mut Related) -> bool {
    // SAFETY: as above.
    let (flags, begun) = unsafe { ((*related).flags, &raw mut (*related).begun) };
    atomic::exchange_if(begun, 0, 1) || flags & flag::ONCE == 0
}

/// Whether it was announced once and might be today: for a flow of an older generation.
#[inline(always)]
pub fn goes_on(query: &mut Query) -> bool {
    match announced(query, &query.dst) {
        Some(related) => allowed(query, related),
        None => false,
    }
}

#[inline(always)]
fn announced(query: &Query, dst: &Address) -> Option<*mut Related> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: this CPU's own, for the time of this packet.
    let key = unsafe { &mut (*scratch).related };
    key.src = query.src;
    key.dst = *dst;
    key.port = query.port;
    key.protocol = query.protocol;
    key.family = query.family;
    key.realm = query.realm;
    key._pad = 0;
    let key: &RelatedKey = key;
    RELATED.get_ptr_mut(key)
}

/// Asks the allowlist for the flow that announced this one, and takes its service for the query's answer.
#[inline(always)]
fn allowed(query: &mut Query, related: *mut Related) -> bool {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    // SAFETY: as above, and this CPU's own for the time of this packet.
    let (related, control) = unsafe { (&*related, &mut (*scratch).control) };
    let reversed = related.flags & flag::FROM_SERVER != 0;
    // each end is where the control flow has it
    let (zone, peer) = if reversed { (query.peer, query.zone) } else { (query.zone, query.peer) };
    // what was translated back comes from the outside
    let peer = if peer == ZONE_PUBLISHED { ZONE_OUTSIDE } else { peer };
    if zone == ZONE_NONE || zone != related.zone {
        return false;
    }
    (control.slot, control.flags, control.family) = (query.slot, query.flags, query.family);
    (control.zone, control.peer, control.port, control.protocol) = (zone, peer, related.port, related.protocol);
    if reversed {
        control.src = query.dst;
        control.dst = query.src;
    } else {
        control.src = query.src;
        control.dst = query.dst;
    }
    if policy::blocked(control).is_some() || !policy::allowed(control) {
        return false;
    }
    query.service = control.service;
    if related.app == 0 {
        query.service.flags &= !service::INSPECT;
    }
    query.app = related.app;
    true
}
