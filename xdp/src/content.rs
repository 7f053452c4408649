//! Stage 10: does this flow still need inspection? Its packets are held then: a credit is taken, and the entry point hands
//! the frame to userspace.

use dropgate_abi::{
    control::{Control, mode},
    flow::flag,
    hold::{Credit, HoldPort, ONE, RELATED, SETTLED, token},
    policy::{FIRST_ZONE, Settings, setting},
    reason::Reason,
    walk::{Walk, action, hook, parsed},
};

use crate::{
    atomic,
    cursor::Frame,
    first,
    maps::{CREDITS, HOLD_PORTS, SCRATCH, SOCKETS},
    step::{Decision, Step, drop, pass},
};

/// Bytes of a TCP header without options.
const TCP_HEADER: u32 = 20;

/// A flow, as far as this stage has to do with it.
pub struct Subject {
    /// [`dropgate_abi::flow::Flow::flags`].
    pub flags: u8,
    /// Why the packet passes if it need not be held.
    pub reason: Reason,
    /// [`dropgate_abi::flow::Flow::hold`].
    pub hold: *mut u32,
    pub hash: u64,
    /// [`dropgate_abi::flow::Flow::app`].
    pub app: u8,
}

/// Ends the walk of a packet that passes so far: lets it go, or holds it.
#[inline(always)]
pub fn content(frame: &impl Frame, walk: &Walk, subject: &Subject, control: &Control, settings: &Settings) -> Step {
    if subject.flags & flag::INSPECT == 0 || settings.flags & setting::INSPECTION == 0 || !first_look(walk) {
        return pass(subject.reason);
    }
    // SAFETY: a word of a map value.
    if unsafe { subject.hold.read_volatile() } & SETTLED != 0 {
        return pass(subject.reason);
    }
    first::first(frame, walk, subject, settings)?;
    hold(frame, walk, subject, control, settings)
}

/// Takes back the credit of a packet whose flow found no place, and drops it for `reason`.
#[inline(always)]
pub fn undo(frame: &impl Frame, answer: Step, reason: Reason) -> Step {
    if answer == Err(Decision::new(action::HOLD, Reason::held))
        && let Some(scratch) = SCRATCH.get_ptr_mut(0)
        // SAFETY: this CPU's own, for the time of this packet.
        && let Some(credit) = CREDITS.get_ptr_mut(unsafe { (*scratch).socket })
    {
        give_back(credit, frame.segments());
    }
    drop(reason)
}

/// Credits that were taken for nothing.
#[inline(always)]
fn give_back(credit: *mut Credit, segments: u32) {
    // SAFETY: a word of a map value, only changed by atomic additions.
    atomic::fetch_add(unsafe { &raw mut (*credit).taken }, 0u32.wrapping_sub(segments));
}

/// Behind translation, a packet from zone to zone passes two programs: only the first looks into it.
#[inline(always)]
pub fn first_look(walk: &Walk) -> bool {
    walk.hook == hook::INGRESS || walk.from_ifindex == 0 || walk.zone < FIRST_ZONE || walk.peer < FIRST_ZONE
}

#[inline(always)]
fn hold(frame: &impl Frame, walk: &Walk, subject: &Subject, control: &Control, settings: &Settings) -> Step {
    let open = |flag: u32, reason: Reason| if settings.flags & flag != 0 { pass(reason) } else { drop(reason) };
    // SAFETY: entries are only written by the daemon, whole.
    let Some(port) = (unsafe { HOLD_PORTS.get(walk.port as u32) }) else {
        // in replay and explanations there are no sockets, and the inspector is whoever asks
        if control.mode & mode::BENCH != 0 {
            return Err(Decision::new(action::HOLD, Reason::held));
        }
        return open(setting::OPEN_INSPECTOR, Reason::inspector_absent);
    };
    let Some(socket) = socket(frame, walk, port) else {
        return open(setting::OPEN_INSPECTOR, Reason::inspector_absent);
    };
    // merged packets are cut up again on their way to the socket
    let merged = walk.parsed & parsed::MERGED != 0;
    let length = if merged { walk.l4 as u32 + TCP_HEADER + frame.segment_size() } else { frame.len() };
    if length > port.longest {
        return open(setting::OPEN_LONG, Reason::hold_too_long);
    }
    let Some(credit) = CREDITS.get_ptr_mut(socket) else {
        return open(setting::OPEN_INSPECTOR, Reason::inspector_absent);
    };
    // SAFETY: aligned words of a map value; `taken` is only changed by atomic additions.
    let (taken, returned, limit, alive) = unsafe {
        (
            &raw mut (*credit).taken,
            (&raw const (*credit).returned).read_volatile(),
            (&raw const (*credit).limit).read_volatile(),
            (&raw const (*credit).alive_ns).read_volatile(),
        )
    };
    if limit == 0 {
        return open(setting::OPEN_INSPECTOR, Reason::inspector_absent);
    }
    if walk.now_ns > alive.wrapping_add(settings.late_ns) {
        return open(setting::OPEN_INSPECTOR, Reason::inspector_late);
    }
    // the sockets of a daemon that was killed are gone with it
    if SOCKETS.get(socket).is_none() {
        return open(setting::OPEN_INSPECTOR, Reason::inspector_absent);
    }
    let segments = frame.segments();
    let before = atomic::fetch_add(taken, segments);
    if before.wrapping_sub(returned).wrapping_add(segments) > limit {
        give_back(credit, segments);
        return open(setting::OPEN_CREDITS, Reason::hold_credits);
    }
    let sequence = atomic::fetch_add(subject.hold, ONE * segments);
    if sequence & SETTLED != 0 {
        // settled a moment ago, after everything held before this packet had left
        give_back(credit, segments);
        return pass(subject.reason);
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return drop(Reason::internal) };
    // SAFETY: this CPU's own, for the time of this packet.
    let held = unsafe { &mut (*scratch).held };
    held.token = token(&control.secret);
    held.hash = subject.hash;
    held.flow = walk.flow_id;
    held.generation = walk.generation;
    held.sequence = sequence / ONE;
    held.service = walk.service;
    held.zone = walk.zone;
    held.direction = walk.direction;
    held.announced = if sequence & RELATED != 0 { subject.app } else { 0 };
    // SAFETY: as above.
    unsafe {
        (*scratch).socket = socket;
        (*scratch).device = port.device;
    }
    Err(Decision::new(action::HOLD, Reason::held))
}

/// The socket that serves a packet: that of its queue or, on its way out, the one behind the hold device.
#[inline(always)]
fn socket(frame: &impl Frame, walk: &Walk, port: &HoldPort) -> Option<u32> {
    if walk.hook == hook::EGRESS {
        return (port.device != 0).then_some(port.device_socket);
    }
    let queue = frame.queue();
    (queue < port.queues).then(|| port.socket + queue)
}
