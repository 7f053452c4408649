//! Entry points for devices without native XDP: the same stages at tcx ingress and egress, with and without an Ethernet header.
//! The loader loads them where such a device is a side.
//!
//! Unlike XDP they see what they let go again: what a bridge sends on passes the egress program of the other side, what was held
//! comes by here when it is released. Such packets carry a mark that only this gateway knows, and are not judged twice.

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT},
    helpers::bpf_redirect,
    macros::classifier,
    programs::TcContext,
};
use dropgate_abi::{
    hold::token,
    walk::{action, hook},
};

use crate::{
    cursor::Skb,
    hold,
    maps::{CONTROL, INSIDE_TC, SCRATCH},
    programs::{Hook, TCX_NEXT, judge, judge_inside},
    verdict,
};

/// Where a frame comes in.
#[classifier]
pub fn dropgate_tcx_ingress(ctx: TcContext) -> i32 {
    comes_in::<false>(ctx.skb.skb)
}

/// Where a packet leaves.
#[classifier]
pub fn dropgate_tcx_egress(ctx: TcContext) -> i32 {
    leaves::<false>(ctx.skb.skb)
}

/// Where a packet comes in that has no link-layer header.
#[classifier]
pub fn dropgate_bare_ingress(ctx: TcContext) -> i32 {
    comes_in::<true>(ctx.skb.skb)
}

/// Where one leaves.
#[classifier]
pub fn dropgate_bare_egress(ctx: TcContext) -> i32 {
    leaves::<true>(ctx.skb.skb)
}

#[inline(always)]
fn comes_in<const BARE: bool>(skb: *mut __sk_buff) -> i32 {
    if ours(skb) {
        return TCX_NEXT;
    }
    // SAFETY: a live socket buffer.
    let ifindex = unsafe { (*skb).ifindex };
    let at = Hook { hook: hook::INGRESS, ifindex, from_ifindex: 0 };
    match judge(&Skb::<BARE>(skb), at) {
        action::PASS => onward(skb),
        action::HOLD => hold::leaves::<BARE>(skb),
        action::INSIDE => look_inside::<BARE>(skb),
        _ => TC_ACT_SHOT,
    }
}

#[inline(always)]
fn leaves<const BARE: bool>(skb: *mut __sk_buff) -> i32 {
    // SAFETY: a live socket buffer.
    let (ifindex, from_ifindex) = unsafe { ((*skb).ifindex, (*skb).ingress_ifindex) };
    // what came in by nothing is the gateway's own, whatever its sender has marked it with
    if from_ifindex != 0 && ours(skb) {
        return TCX_NEXT;
    }
    let at = Hook { hook: hook::EGRESS, ifindex, from_ifindex };
    match judge(&Skb::<BARE>(skb), at) {
        action::PASS => TCX_NEXT,
        action::HOLD => hold::leaves::<BARE>(skb),
        action::INSIDE => look_inside::<BARE>(skb),
        _ => TC_ACT_SHOT,
    }
}

/// What is inside of a packet of a device that has no link-layer header.
#[classifier]
pub fn dropgate_bare_inside(ctx: TcContext) -> i32 {
    match judge_inside(&Skb::<true>(ctx.skb.skb)) {
        action::PASS => onward(ctx.skb.skb),
        action::HOLD => hold::leaves::<true>(ctx.skb.skb),
        _ => TC_ACT_SHOT,
    }
}

/// Goes on with the program that judges the packet inside.
#[inline(always)]
pub fn look_inside<const BARE: bool>(skb: *mut __sk_buff) -> i32 {
    // SAFETY: what was found out so far lies in maps.
    unsafe { INSIDE_TC.tail_call(&TcContext::new(skb), BARE as u32) };
    verdict::unread();
    TC_ACT_SHOT
}

/// Whether a packet was judged, or released: it carries our mark, which nobody behind us is to see.
#[inline(never)]
fn ours(skb: *mut __sk_buff) -> bool {
    let Some(control) = CONTROL.get(0) else { return false };
    // SAFETY: a live socket buffer.
    unsafe {
        if (*skb).mark != token(&control.secret) as u32 {
            return false;
        }
        (*skb).mark = 0;
    }
    true
}

/// Lets a frame that passes go on: to the kernel, or by the interface that its walk has found, whose egress program knows it by
/// the mark.
#[inline(never)]
pub fn onward(skb: *mut __sk_buff) -> i32 {
    let (Some(control), Some(scratch)) = (CONTROL.get(0), SCRATCH.get_ptr_mut(0)) else { return TC_ACT_SHOT };
    // SAFETY: scratch is this CPU's own, for the time of this packet; a live socket buffer.
    unsafe {
        match (*scratch).walk.onward {
            0 => TCX_NEXT,
            ifindex => {
                (*skb).mark = token(&control.secret) as u32;
                bpf_redirect(ifindex, 0) as i32
            }
        }
    }
}
