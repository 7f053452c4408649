//! Stage 11: the one place that counts, tells and acts.

use dropgate_abi::{
    control::{Control, Counter, Limiter, mode},
    event::{FLOW_END, FlowEnd, PACKET, PacketEvent, SAID, SHOWN, ShownEvent},
    flow::{Flow, TICK_SHIFT},
    policy::{Settings, setting},
    reason::Reason,
    walk::{Walk, action, hook, parsed},
};

use core::mem::offset_of;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    btf_maps::PerCpuArray,
    helpers::generated::bpf_ringbuf_query,
};

use crate::{
    cursor::Frame,
    flow,
    maps::{
        CONTROL, EVENTS, LIMITERS, REASON_COUNTERS, SCRATCH, SERVICE_COUNTERS, Scratch, TRACE, ZONE_COUNTERS, copy,
    },
    step::Decision,
};

/// Ticks of the flow clock in a second.
const SECOND: u32 = (1_000_000_000u64 >> TICK_SHIFT) as u32;
/// Unread bytes of [`EVENTS`] from which on the reader is woken for the end of a flow. Until then it reads of it when it looks by
/// itself, every 50 ms: waking it costs an interrupt and a switch of threads, for each connection.
const MANY: u64 = 1 << 20;

/// The same in a function of its own, for entry points whose stack is used up.
#[inline(never)]
pub fn apart<F: Frame>(frame: &F, walk: &mut Walk, with: &(&Control, &Settings), decision: Decision) -> u8 {
    verdict(frame, walk, with.0, with.1, decision)
}

/// Counts the packet, tells of a drop, and returns the action.
#[inline(always)]
pub fn verdict(frame: &impl Frame, walk: &mut Walk, control: &Control, settings: &Settings, decision: Decision) -> u8 {
    walk.reason = decision.reason();
    walk.action = decision.action();
    let bytes = bytes(walk);
    let dropped = decision.action() == action::DROP;
    add(&REASON_COUNTERS, decision.reason().0 as u32, bytes);
    add(&ZONE_COUNTERS, walk.zone as u32 * 2 + dropped as u32, bytes);
    if dropped {
        let quiet = decision.reason() == Reason::chatter && settings.flags & setting::QUIET_CHATTER != 0;
        if !quiet && settings.flags & setting::DATAGRAMS != 0 {
            show(frame, walk, settings);
        } else if !quiet {
            tell(walk, settings, decision.reason());
        }
    } else {
        served(walk.service, bytes);
        // once, where it came in; the inspector tells of what it gets
        let first = walk.hook == hook::INGRESS || walk.from_ifindex == 0;
        if walk.parsed & parsed::ODD != 0 && decision.action() == action::PASS && first {
            note(walk, settings, walk.odd());
        }
    }
    if control.mode & mode::TRACE != 0
        && let Some(trace) = TRACE.get_ptr_mut(0)
    {
        // SAFETY: a map value; tracing runs one packet at a time.
        copy(walk, unsafe { &mut *trace });
    }
    decision.action()
}

/// Counts what carries the packet at hand for the service that lets it through.
#[inline(never)]
pub fn carried() {
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: this CPU's own, for the time of this packet.
        let outer = unsafe { &(*scratch).outer };
        served(outer.service, outer.ip_len as u64);
    }
}

/// Counts a packet for its service. A function of its own for the stack of who calls it.
#[inline(never)]
fn served(service: u32, bytes: u64) {
    add(&SERVICE_COUNTERS, service, bytes);
}

/// Counts a packet whose inside nobody can judge.
#[inline(never)]
pub fn unread() {
    add(&REASON_COUNTERS, Reason::internal.0 as u32, 0);
}

/// Counts something odd that decides nothing.
#[inline(always)]
pub fn note(walk: &Walk, settings: &Settings, reason: Reason) {
    add(&REASON_COUNTERS, reason.0 as u32, bytes(walk));
    tell(walk, settings, reason);
}

/// Bytes to count: those of the IP packet, or of a frame that holds none.
#[inline(always)]
fn bytes(walk: &Walk) -> u64 {
    if walk.family == 0 { walk.frame_len as u64 } else { walk.ip_len as u64 }
}

#[inline(always)]
fn add<const N: usize>(counters: &PerCpuArray<Counter, N>, index: u32, bytes: u64) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: this CPU's own counter.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += bytes;
        }
    }
}

/// An event, if the reason's rate and the ring have room; what is not told is counted.
#[inline(never)]
fn tell(walk: &Walk, settings: &Settings, reason: Reason) {
    let Some(limiter) = turn(walk, settings, reason) else { return };
    let Some(mut entry) = EVENTS.reserve(0) else {
        limiter.lost += 1;
        return;
    };
    // SAFETY: room for one event, all of which is written before it is submitted.
    unsafe { write(entry.as_mut_ptr(), walk, reason) };
    entry.submit(0);
}

/// The same of a packet that is dropped, with how its frame begins: rules are asked about it.
#[inline(never)]
fn show<F: Frame>(frame: &F, walk: &Walk, settings: &Settings) {
    let Some(limiter) = turn(walk, settings, walk.reason) else { return };
    let Some(mut entry) = EVENTS.reserve_untyped::<ShownEvent>(0) else {
        limiter.lost += 1;
        return;
    };
    let event = entry.as_mut_ptr();
    let length = frame.len() - F::LACKS as u32;
    let mut last = length.wrapping_sub(1);
    if last > SHOWN - 1 {
        last = SHOWN - 1;
    }
    // SAFETY: a mask that changes nothing after the comparison above, in the register that the verifier looks at.
    unsafe { core::arch::asm!("{0} &= {1}", inout(reg) last, const SHOWN - 1, options(pure, nomem, nostack)) };
    // SAFETY: room for one event. What is not written of its frame is not read: `frame_len` says so.
    unsafe {
        write((&raw mut (*event).event).cast(), walk, walk.reason);
        (*event).lacks = F::LACKS as u32;
        let copied = frame.copy(F::LACKS, (&raw mut (*event).frame).cast(), last as usize + 1);
        (*event).frame_len = if copied { length } else { 0 };
    }
    entry.submit(0);
}

/// Whether another event of this reason may be told now; what counts those that are lost.
#[inline(always)]
fn turn(walk: &Walk, settings: &Settings, reason: Reason) -> Option<&'static mut Limiter> {
    let limiter = LIMITERS.get_ptr_mut(reason.0 as u32)?;
    // SAFETY: this CPU's own.
    let limiter = unsafe { &mut *limiter };
    let now = (walk.now_ns >> TICK_SHIFT) as u32;
    if now.wrapping_sub(limiter.refilled) >= SECOND {
        limiter.refilled = now;
        limiter.tokens = settings.event_rate;
    }
    if limiter.tokens == 0 {
        limiter.suppressed += 1;
        return None;
    }
    limiter.tokens -= 1;
    Some(limiter)
}

/// How a payload begins, in words.
type Said = [u32; SAID / 4];
const _: () = assert!(offset_of!(Scratch, said) % 4 == 0 && offset_of!(PacketEvent, said) % 4 == 0);

/// Writes an event, all of it.
///
/// # Safety
/// There is room for it.
#[inline(always)]
unsafe fn write(event: *mut PacketEvent, walk: &Walk, reason: Reason) {
    // SAFETY: the caller has room; scratch is this CPU's own.
    unsafe {
        (*event).kind = PACKET;
        copy(walk, &mut (*event).walk);
        (*event).walk.reason = reason;
        (*event).said_len = 0;
        if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
            let (from, to) = (&raw const (*scratch).said, &raw mut (*event).said);
            copy(&*from.cast::<Said>(), &mut *to.cast::<Said>());
            let outer = &raw const (*scratch).outer;
            let carried = (walk.tunnel != 0) as u32;
            let mut at = 0;
            while at < 4 {
                (*event).outer_src[at] = (*outer).src[at] * carried;
                (*event).outer_dst[at] = (*outer).dst[at] * carried;
                at += 1;
            }
            (*event).outer_family = (*outer).family * carried as u8;
            (*event).outer_protocol = (*outer).protocol * carried as u8;
            (*event)._pad = [0; 3];
            if reason == Reason::first_byte_impossible {
                (*event).said_len = (*scratch).said_len;
            }
        }
    }
}

/// Tells that a flow has left the table.
#[inline(always)]
pub fn flow_end(flow: &Flow) {
    let now_ns = CONTROL.get(0).map_or(0, flow::now_ns);
    let Some(mut entry) = EVENTS.reserve_untyped::<FlowEnd>(0) else {
        if let Some(limiter) = LIMITERS.get_ptr_mut(0) {
            // SAFETY: this CPU's own. Reason 0 is nobody's: ended flows count their losses there.
            unsafe { (*limiter).lost += 1 };
        }
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: room for one event, all of which is written before it is submitted.
    unsafe {
        (*event).kind = FLOW_END;
        (*event)._pad = 0;
        (*event).now_ns = now_ns;
        (*event).flow = *flow;
    }
    // SAFETY: a ring buffer's map.
    let unread = unsafe { bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), BPF_RB_AVAIL_DATA.into()) };
    entry.submit(if unread > MANY { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }.into());
}
