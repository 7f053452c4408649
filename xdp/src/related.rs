//! In stage 8, when nothing else allows a new flow: has another flow announced it, and may that one still be?

use dropgate_abi::{
    policy::{ZONE_NONE, service},
    related::{Related, RelatedKey, flag},
};

use crate::{
    atomic,
    maps::RELATED,
    policy::{self, Query},
};

/// Whether the flow that the query asks about was announced and may begin at tick `now`; finds the service of the flow that
/// announced it.
#[inline(never)]
pub fn begins(query: &mut Query, now: u32) -> bool {
    let Some(related) = announced(query) else { return false };
    // SAFETY: an entry that the inspector writes whole, and only programs change later.
    let (expires, flags, begun) = unsafe { ((*related).expires, (*related).flags, &raw mut (*related).begun) };
    if now.wrapping_sub(expires) < u32::MAX / 2 || !allowed(query, related) {
        return false;
    }
    flags & flag::ONCE == 0 || atomic::exchange_if(begun, 0, 1)
}

/// Whether it was announced once and might be today: for a flow of an older generation.
#[inline(never)]
pub fn goes_on(query: &mut Query) -> bool {
    match announced(query) {
        Some(related) => allowed(query, related),
        None => false,
    }
}

#[inline(always)]
fn announced(query: &Query) -> Option<*mut Related> {
    let key = RelatedKey {
        src: query.src,
        dst: query.dst,
        port: query.port,
        protocol: query.protocol,
        family: query.family,
        _pad: 0,
    };
    RELATED.get_ptr_mut(&key)
}

/// Asks the allowlist for the flow that announced this one. The query is as before afterwards, but for its answer.
#[inline(always)]
fn allowed(query: &mut Query, related: *mut Related) -> bool {
    // SAFETY: as above.
    let Related { zone, port, protocol, flags, app, .. } = unsafe { *related };
    let (own_zone, own_peer, own_port, own_protocol) = (query.zone, query.peer, query.port, query.protocol);
    let reversed = flags & flag::FROM_SERVER != 0;
    // each end is where the control flow has it
    if zone == ZONE_NONE || zone != if reversed { own_peer } else { own_zone } {
        return false;
    }
    if reversed {
        exchange(query);
        query.peer = own_zone;
    }
    (query.zone, query.port, query.protocol) = (zone, port, protocol);
    let allowed = policy::blocked(query).is_none() && policy::allowed(query);
    (query.zone, query.peer, query.port, query.protocol) = (own_zone, own_peer, own_port, own_protocol);
    if reversed {
        exchange(query);
    }
    if app == 0 {
        query.service.flags &= !service::INSPECT;
    }
    query.app = app;
    allowed
}

/// Looks from the other end.
#[inline(always)]
fn exchange(query: &mut Query) {
    (query.src, query.dst) = (query.dst, query.src);
}
