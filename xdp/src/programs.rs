//! Entry points: where a frame comes in, where a packet leaves, and the sweep. Those for devices without native XDP: [`crate::tcx`].

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action},
    helpers::bpf_redirect,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use dropgate_abi::{
    control::{Control, mode},
    flow::TICK_SHIFT,
    policy::{NO_SERVICE, PortKey, SLOTS, Settings, side},
    reason::Reason,
    walk::{Walk, action, hook, parsed},
};

use crate::{
    anomaly, content,
    cursor::{Frame, Skb, Xdp},
    flow, forward, fragment, frame, hold, ingress, inside,
    maps::{CONTROL, INSIDE_XDP, SCRATCH, SETTINGS, clear},
    parse,
    policy::{self, Query},
    state,
    step::{Decision, Step},
    tcx, verdict, zone,
};

/// The next program of the interface, or the stack (`include/uapi/linux/bpf.h`, `enum tcx_action_base`).
pub const TCX_NEXT: i32 = -1;
/// Buckets freed by one run of the sweep.
const SWEEP_BUCKETS: u64 = 16;

/// Where a frame comes in. The only place that turns a decision into an XDP action.
#[xdp(frags)]
pub fn dropgate_ingress(ctx: XdpContext) -> u32 {
    let at = Hook { hook: hook::INGRESS, ifindex: ctx.ingress_ifindex() as u32, from_ifindex: 0 };
    match judge(&Xdp(&ctx), at) {
        action::PASS => onward(&ctx),
        action::HOLD => hold::came_in(&ctx),
        action::INSIDE => {
            // SAFETY: what was found out so far lies in maps.
            unsafe { INSIDE_XDP.tail_call(&ctx, 0) };
            verdict::unread();
            xdp_action::XDP_DROP
        }
        _ => xdp_action::XDP_DROP,
    }
}

/// What is inside of a packet that came in.
#[xdp(frags)]
pub fn dropgate_inside(ctx: XdpContext) -> u32 {
    match judge_inside(&Xdp(&ctx)) {
        action::PASS => onward(&ctx),
        action::HOLD => hold::came_in(&ctx),
        _ => xdp_action::XDP_DROP,
    }
}

/// Lets a frame that passes go on: to the kernel, or by the interface that its walk has found.
#[inline(always)]
fn onward(ctx: &XdpContext) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return xdp_action::XDP_DROP };
    // SAFETY: this CPU's own, for the time of this packet.
    let scratch = unsafe { &mut *scratch };
    match (scratch.walk.onward, scratch.walk.reason) {
        (0, _) => xdp_action::XDP_PASS,
        // where to has been said
        (_, Reason::forwarded) if forward::rewrite(ctx, scratch) => xdp_action::XDP_REDIRECT,
        (_, Reason::forwarded) => xdp_action::XDP_DROP,
        // SAFETY: only what the helper says of this packet changes.
        (ifindex, _) => unsafe { bpf_redirect(ifindex, 0) as u32 },
    }
}

/// Where a packet leaves. The only place that turns a decision into a tcx action.
#[classifier]
pub fn dropgate_egress(ctx: TcContext) -> i32 {
    // SAFETY: a live socket buffer.
    let (ifindex, from_ifindex) = unsafe { ((*ctx.skb.skb).ifindex, (*ctx.skb.skb).ingress_ifindex) };
    let at = Hook { hook: hook::EGRESS, ifindex, from_ifindex };
    match judge(&Skb::<false>(ctx.skb.skb), at) {
        action::PASS => TCX_NEXT,
        action::HOLD => hold::leaves::<false>(ctx.skb.skb),
        action::INSIDE => tcx::look_inside::<false>(ctx.skb.skb),
        _ => TC_ACT_SHOT,
    }
}

/// What is inside of a packet that tcx has.
#[classifier]
pub fn dropgate_inside_leaving(ctx: TcContext) -> i32 {
    match judge_inside(&Skb::<false>(ctx.skb.skb)) {
        action::PASS => tcx::onward(ctx.skb.skb),
        action::HOLD => hold::leaves::<false>(ctx.skb.skb),
        _ => TC_ACT_SHOT,
    }
}

/// Frees expired flows: the daemon runs it by `BPF_PROG_TEST_RUN`, so that the table is only changed by programs.
#[classifier]
pub fn dropgate_sweep(_ctx: TcContext) -> i32 {
    if let Some(control) = CONTROL.get(0) {
        let now = (flow::now_ns(control) >> TICK_SHIFT) as u32;
        state::sweep(control, now, SWEEP_BUCKETS);
    }
    0
}

/// Where a program stands.
pub struct Hook {
    pub hook: u8,
    pub ifindex: u32,
    pub from_ifindex: u32,
}

/// Reads what is in force once, walks the packet through the stages and gives the verdict.
#[inline(always)]
pub fn judge<F: Frame>(frame: &F, at: Hook) -> u8 {
    let Some(control) = CONTROL.get(0) else { return action::DROP };
    let (slot, generation) = in_force(control);
    let Some(settings) = SETTINGS.get(slot) else { return action::DROP };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return action::DROP };
    // SAFETY: this CPU's own, for the time of this packet.
    let (walk, query) = unsafe { (&mut (*scratch).walk, &mut (*scratch).query) };
    clear(walk);
    walk.now_ns = flow::now_ns(control);
    walk.hook = at.hook;
    walk.slot = slot;
    walk.generation = generation;
    walk.from_ifindex = at.from_ifindex;
    walk.service = NO_SERVICE;
    let mut ifindex = at.ifindex;
    if control.mode & mode::BENCH != 0 {
        ifindex = control.port_ifindex;
        walk.from_ifindex = control.from_ifindex;
    }
    let decision = decided(decide(frame, walk, query, (control, settings), ifindex));
    let decision = forward::forward(frame, walk, settings, decision);
    match decision.action() {
        action::INSIDE => action::INSIDE,
        _ => conclude(frame, walk, control, settings, decision),
    }
}

/// Walks the packet inside of the one that was judged last through the stages, by the same generation, and gives the verdict about
/// both.
#[inline(always)]
pub fn judge_inside<F: Frame>(frame: &F) -> u8 {
    let Some(control) = CONTROL.get(0) else { return action::DROP };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return action::DROP };
    // SAFETY: this CPU's own, for the time of this packet.
    let scratch = unsafe { &mut *scratch };
    let Some(settings) = SETTINGS.get(scratch.walk.slot & (SLOTS - 1)) else { return action::DROP };
    let answer = match inside::begin(frame, scratch, control, settings) {
        Ok(()) => {
            let (walk, query) = (&mut scratch.walk, &mut scratch.query);
            let found = sound_inside(frame, walk, settings, scratch.end);
            concluded(frame, walk, query, (control, settings), found)
        }
        decided => decided,
    };
    let action = conclude(frame, &mut scratch.walk, control, settings, decided(answer));
    if action != action::DROP {
        verdict::carried();
    }
    action
}

/// What the stages came to. One of them decides; if none did, that is a fault of ours.
#[inline(always)]
fn decided(answer: Step) -> Decision {
    match answer {
        Err(decision) => decision,
        Ok(()) => Decision::new(action::DROP, Reason::internal),
    }
}

/// Gives the verdict.
#[inline(always)]
fn conclude<F: Frame>(frame: &F, walk: &mut Walk, control: &Control, settings: &Settings, decision: Decision) -> u8 {
    if walk.family == 0 {
        walk.frame_len = frame.len();
    }
    if F::LACKS != 0 {
        verdict::apart(frame, walk, &(control, settings), decision)
    } else {
        verdict::verdict(frame, walk, control, settings, decision)
    }
}

/// The slot and the generation in force, for the time of a packet.
#[inline(always)]
pub fn in_force(control: &Control) -> (u32, u32) {
    // SAFETY: an aligned 64-bit word, written at once by a commit.
    let active = unsafe { (&raw const control.active).read_volatile() };
    (active as u32 & (SLOTS - 1), (active >> 32) as u32)
}

/// The stages, in order. Each answers "go on" or decides.
#[inline(always)]
fn decide(
    frame: &impl Frame,
    walk: &mut Walk,
    query: &mut Query,
    (control, settings): (&Control, &Settings),
    ifindex: u32,
) -> Step {
    frame::frame(frame, walk)?;
    let found = sound(frame, walk, settings, ifindex);
    concluded(frame, walk, query, (control, settings), found)
}

/// The stages behind those that `sound` has walked through.
#[inline(always)]
fn concluded(
    frame: &impl Frame,
    walk: &mut Walk,
    query: &mut Query,
    (control, settings): (&Control, &Settings),
    sound: Step,
) -> Step {
    let (answer, judged) = match sound {
        Ok(()) => (admit(frame, walk, query, control, settings), true),
        Err(decision) => (Err(decision), false),
    };
    if walk.parsed & parsed::FRAGMENT == 0 {
        return answer;
    }
    fragment::conclude(frame, walk, &(control, settings), answer, judged)
}

/// The stages that judge a packet by what it says of itself and where it came in.
#[inline(always)]
fn sound(frame: &impl Frame, walk: &mut Walk, settings: &Settings, ifindex: u32) -> Step {
    walk.port = PortKey { ifindex, outer: walk.vlan[0], inner: walk.vlan[1] }.word();
    parse::parse(frame, walk)?;
    ingress::ingress(frame, walk, settings, ifindex)?;
    anomaly::anomaly(walk)?;
    fragment::fragment(walk, settings)
}

/// The same for a packet in a tunnel, which came in where the outer one did.
#[inline(always)]
fn sound_inside(frame: &impl Frame, walk: &mut Walk, settings: &Settings, end: u32) -> Step {
    parse::parse(frame, walk)?;
    inside::fits(walk, end)?;
    anomaly::anomaly(walk)?;
    fragment::fragment(walk, settings)
}

/// The stages that judge a packet by its flow and, when it starts one, by the policy.
#[inline(always)]
fn admit(frame: &impl Frame, walk: &mut Walk, query: &mut Query, control: &Control, settings: &Settings) -> Step {
    if walk.parsed & parsed::ICMP_ERROR != 0 {
        content::error_may_match(frame, walk, settings);
        return flow::icmp_error(frame, walk, query, control, settings);
    }
    flow::flow(frame, walk, query, &(control, settings))?;
    if walk.hook == hook::EGRESS && walk.from_ifindex != 0 && walk.side_kind == side::OUTSIDE {
        state::translated(walk, query, settings);
    } else {
        zone::zone(walk)?;
        policy::policy(frame, walk, query, &(control, settings))?;
    }
    state::state(frame, walk, query, control, settings)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
