//! What the inspector asks of the allowlist about a flow that a proxy would start for a host of a zone.

use aya_ebpf::{macros::classifier, programs::TcContext};
use dropgate_abi::{
    hold::{Target, target},
    policy::{NO_SERVICE, SLOTS, Service, ZONE_OUTSIDE, service},
};

use crate::{
    maps::{CONTROL, SCRATCH, SETTINGS},
    policy::{self, Query},
    zone,
};

/// Whether a host may start a flow to a target, by the very look-ups of the policy stage and the generation in force. The
/// daemon runs it by `BPF_PROG_TEST_RUN`; nothing changes by it. The frame is a [`Target`]; see [`target`] for the answer.
#[classifier]
pub fn dropgate_target(ctx: TcContext) -> i32 {
    let at = ctx.data();
    if at + size_of::<Target>() > ctx.data_end() {
        return target::DENIED as i32;
    }
    // SAFETY: inside the packet, checked just now.
    let asked = unsafe { (at as *const Target).read_unaligned() };
    in_force(&asked) as i32
}

#[inline(always)]
fn in_force(asked: &Target) -> u32 {
    let (Some(control), Some(scratch)) = (CONTROL.get(0), SCRATCH.get_ptr_mut(0)) else { return target::DENIED };
    // SAFETY: an aligned 64-bit word, written at once by a commit.
    let active = unsafe { (&raw const control.active).read_volatile() };
    let slot = active as u32 & (SLOTS - 1);
    let Some(settings) = SETTINGS.get(slot) else { return target::DENIED };
    // SAFETY: this CPU's own, for the time of this run.
    let query = unsafe { &mut (*scratch).query };
    ask(query, asked, slot, settings.flags)
}

#[inline(always)]
fn ask(query: &mut Query, asked: &Target, slot: u32, flags: u32) -> u32 {
    let named = asked.named != 0;
    query.slot = slot;
    query.flags = flags;
    query.zone = asked.zone;
    query.port = asked.port;
    query.family = asked.family;
    query.protocol = asked.protocol;
    query.src = [0; 4];
    query.dst = asked.address;
    query.peer = if named { ZONE_OUTSIDE } else { zone::peer(slot, asked.family, &asked.address) };
    query.service = Service { counter: NO_SERVICE, line: 0, flags: 0, _pad: 0 };
    if !named && policy::blocked(query).is_some() {
        return target::BLOCKED;
    }
    let allowed = if named { policy::allowed_anywhere(query) } else { policy::allowed(query) };
    if !allowed {
        return target::DENIED;
    }
    let inspected = if query.service.flags & service::INSPECT != 0 { target::INSPECTED } else { 0 };
    target::ALLOWED | inspected | query.service.counter & target::COUNTER
}
