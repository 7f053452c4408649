//! Stage 10: does this flow still need inspection? Its packets are held then: a credit is taken, and the entry point hands
//! the frame to userspace.

use dropgate_abi::{
    control::{Control, mode},
    flow::{Flow, flag},
    hold::{CLEAR, HoldPort, ONE, RELATED, SETTLED, SIEVED, part, passes, token},
    policy::{FIRST_ZONE, Settings, setting},
    reason::Reason,
    tunnel::inside::JUDGE,
    tuple::realm,
    walk::{Walk, action, hook, parsed},
};

use crate::{
    atomic,
    cursor::Frame,
    datagram, first, fragment,
    maps::{CREDITS, HOLD_PORTS, SCRATCH, SOCKETS, copy},
    opening,
    parse::protocol,
    step::{Decision, Step, drop, pass},
};

/// TCP's ACK, alone.
const ACK: u8 = 16;
/// Bytes of a TCP header without options, and of the most options.
const TCP_HEADER: u32 = 20;
const TCP_OPTIONS: u32 = 40;
/// Bytes of two VLAN tags.
const TAGS: u32 = 8;

/// The packet is held.
pub const HELD: Step = Err(Decision::new(action::HOLD, Reason::held));

/// A flow, as far as this stage has to do with it.
pub struct Subject {
    /// In the table; of one that begins, in [`SCRATCH`].
    pub flow: *mut Flow,
    /// Why the packet passes if it need not be held.
    pub reason: Reason,
    pub hash: u64,
}

impl Subject {
    /// [`Flow::flags`].
    #[inline(always)]
    pub fn flags(&self) -> u8 {
        // SAFETY: of a map value.
        unsafe { (*self.flow).flags }
    }

    /// [`Flow::hold`].
    #[inline(always)]
    pub fn hold(&self) -> *mut u32 {
        // SAFETY: of a map value.
        unsafe { &raw mut (*self.flow).hold }
    }
}

/// Ends the walk of a packet that passes so far: lets it go, or holds it.
#[inline(always)]
pub fn content(frame: &impl Frame, walk: &Walk, subject: &Subject, control: &Control, settings: &Settings) -> Step {
    // what is inside says it, and is looked into by itself
    if walk.inside == JUDGE {
        return Err(Decision::new(action::INSIDE, subject.reason));
    }
    if subject.flags() & flag::INSPECT == 0 || settings.flags & setting::INSPECTION == 0 || !first_look(walk) {
        return pass(subject.reason);
    }
    // what is not put together cannot be looked into
    if walk.parsed & parsed::FRAGMENT != 0 && !fragment::tracks(walk, settings) {
        return pass(subject.reason);
    }
    // SAFETY: a word of a map value.
    let seen = unsafe { subject.hold().read_volatile() };
    if seen & SETTLED != 0 {
        return pass(subject.reason);
    }
    if seen & SIEVED != 0 {
        if seen & CLEAR != 0 && !datagram::may_match(frame, walk, settings) {
            return pass(subject.reason);
        }
        return hold(frame, walk, subject, control, settings);
    }
    if seen & passes(walk.direction) != 0 {
        opening::watch(frame, walk, subject, control);
        return pass(subject.reason);
    }
    if seen / ONE == 2 && acknowledges(frame, walk) && !datagram::may_match_opening(walk, settings) {
        return pass(subject.reason);
    }
    if seen / ONE == 0 {
        opening::opening(frame, walk, subject, control, settings)?;
    }
    first::first(frame, walk, subject, settings)?;
    hold(frame, walk, subject, control, settings)
}

/// Marks an ICMP error that rules may match, for [`error`]. A function of its own for its stack, which the look-up of the flow need
/// not stand on. Of one in fragments, what the others are put together with is told by the first one alone: it is none of them.
#[inline(never)]
pub fn error_may_match<F: Frame>(frame: &F, walk: &mut Walk, settings: &Settings) {
    let whole = walk.parsed & (parsed::FRAGMENT | parsed::MERGED) == 0;
    if whole && settings.flags & setting::INSPECTION != 0 && datagram::may_match(frame, walk, settings) {
        walk.part = part::ERROR;
    }
}

/// Ends the walk of an ICMP error about a packet of a flow: lets it go, or holds it, if rules may match it. It is no packet of that
/// flow, and waits for none.
#[inline(always)]
pub fn error(frame: &impl Frame, walk: &mut Walk, subject: &Subject, control: &Control, settings: &Settings) -> Step {
    if walk.part != part::ERROR || subject.flags() & flag::INSPECT == 0 || !first_look(walk) {
        walk.part = part::WHOLE;
        return pass(subject.reason);
    }
    match credit(frame, walk, control, settings)? {
        Some(place) => hand_over(walk, control, &place, None),
        None => HELD,
    }
}

/// Takes back the credit of a packet whose flow found no place, and drops it for `reason`.
#[inline(always)]
pub fn undo(frame: &impl Frame, answer: Step, reason: Reason) -> Step {
    if answer == HELD
        && let Some(scratch) = SCRATCH.get_ptr_mut(0)
        // SAFETY: this CPU's own, for the time of this packet.
        && let Some(credit) = CREDITS.get_ptr_mut(unsafe { (*scratch).socket })
    {
        // SAFETY: a word of a map value.
        give_back(frame, unsafe { &raw mut (*credit).taken });
    }
    drop(reason)
}

/// Gives back credits that were taken for nothing. `taken`: see [`Place::taken`].
#[inline(always)]
fn give_back(frame: &impl Frame, taken: *mut u32) {
    atomic::fetch_add(taken, 0u32.wrapping_sub(credits(frame)));
}

/// Credits of a packet for which [`credit`] has noted those of each segment: not on the stack, of which there is little.
#[inline(always)]
fn credits(frame: &impl Frame) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own, for the time of this packet.
    frame.segments() * unsafe { (*scratch).held.buffers } as u32
}

/// Whether a packet is short enough to be held; notes the credits of each of its segments: the chunks that it fills. A function of its
/// own for its stack.
#[inline(never)]
fn fits<F: Frame>(frame: &F, walk: &Walk, port: &HoldPort) -> bool {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    // merged packets are cut up again on their way to the socket
    let merged = walk.parsed & parsed::MERGED != 0;
    let length = if merged { walk.l4 as u32 + TCP_HEADER + frame.segment_size() } else { frame.len() };
    // on its way through a hold device it has the tags that travelled beside it, and may be the longest of its segments
    let more = match (frame.queue(), merged) {
        (Some(_), _) => 0,
        (None, true) => TCP_OPTIONS + TAGS,
        (None, false) => TAGS,
    };
    let (filled, buffer) = (length + more, port.buffer);
    let buffers = if filled > buffer { (filled - 1).checked_div(buffer).unwrap_or(0) + 1 } else { 1 };
    // SAFETY: this CPU's own, for the time of this packet.
    unsafe { (*scratch).held.buffers = buffers as u8 };
    length <= port.longest
}

/// Behind translation, a packet from zone to zone passes two programs: only the first looks into it.
#[inline(always)]
pub fn first_look(walk: &Walk) -> bool {
    walk.hook == hook::INGRESS || walk.from_ifindex == 0 || walk.zone < FIRST_ZONE || walk.peer < FIRST_ZONE
}

/// Whether it is the segment that completes the handshake, as third packet of its flow, and says nothing else. It need not be
/// held: what follows it says the same.
#[inline(always)]
fn acknowledges(frame: &impl Frame, walk: &Walk) -> bool {
    let third = walk.protocol == protocol::TCP && walk.direction == 0 && walk.tcp_flags == ACK;
    third && first::payload(frame, walk).is_none()
}

/// Holds a packet of a flow, with the number that it has there. A function of its own for its stack.
#[inline(never)]
fn hold<F: Frame>(frame: &F, walk: &Walk, subject: &Subject, control: &Control, settings: &Settings) -> Step {
    let Some(place) = credit(frame, walk, control, settings)? else { return HELD };
    let segments = frame.segments();
    let sequence = atomic::fetch_add(subject.hold(), ONE * segments);
    if sequence & (SETTLED | passes(walk.direction)) != 0 {
        // a moment ago, after everything held before this packet had left
        atomic::fetch_add(subject.hold(), 0u32.wrapping_sub(ONE * segments));
        give_back(frame, place.taken);
        return pass(subject.reason);
    }
    if sequence & CLEAR != 0 {
        // what comes behind it does not overtake it
        atomic::clear(subject.hold(), CLEAR);
    }
    hand_over(walk, control, &place, Some((subject, sequence)))
}

/// Holds a fragment because others of its datagram are held, whatever its flow needs; [`Walk::part`] says so.
#[inline(always)]
pub fn beside(frame: &impl Frame, walk: &Walk, control: &Control, settings: &Settings) -> Step {
    match credit(frame, walk, control, settings)? {
        Some(place) => hand_over(walk, control, &place, None),
        None => HELD,
    }
}

/// Goes on with a packet that could be held; ends the walk of one that could not as if it had to be.
#[inline(never)]
pub fn could_hold<F: Frame>(frame: &F, walk: &Walk, control: &Control, settings: &Settings) -> Step {
    if let Some(place) = credit(frame, walk, control, settings)? {
        give_back(frame, place.taken);
    }
    Ok(())
}

/// A place for a held packet.
struct Place {
    /// [`Credit::taken`](dropgate_abi::hold::Credit::taken) of the socket.
    taken: *mut u32,
    socket: u32,
    device: u32,
}

/// Takes a credit for a packet. `None` in replay and explanations: there are no sockets, and the inspector is whoever asks.
#[inline(always)]
fn credit(frame: &impl Frame, walk: &Walk, control: &Control, settings: &Settings) -> Step<Option<Place>> {
    let open = |flag: u32, reason: Reason| if settings.flags & flag != 0 { pass(reason) } else { drop(reason) };
    // SAFETY: entries are only written by the daemon, whole.
    let Some(port) = (unsafe { HOLD_PORTS.get(walk.port as u32) }) else {
        if control.mode & mode::BENCH != 0 {
            return Ok(None);
        }
        return open(setting::OPEN_INSPECTOR, Reason::inspector_absent);
    };
    let Some(socket) = socket(frame, walk, port) else {
        return open(setting::OPEN_INSPECTOR, Reason::inspector_absent);
    };
    if !fits(frame, walk, port) {
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
    let credits = credits(frame);
    let before = atomic::fetch_add(taken, credits);
    if before.wrapping_sub(returned).wrapping_add(credits) > limit {
        give_back(frame, taken);
        return open(setting::OPEN_CREDITS, Reason::hold_credits);
    }
    let device = if walk.hook == hook::EGRESS { port.device } else { port.inward };
    Ok(Some(Place { taken, socket, device }))
}

/// Writes down what goes with a packet and where it goes, for the entry point. Of its flow: what
/// [`Flow::hold`](dropgate_abi::flow::Flow::hold) was before it.
#[inline(always)]
fn hand_over(walk: &Walk, control: &Control, place: &Place, flow: Option<(&Subject, u32)>) -> Step {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return drop(Reason::internal) };
    // SAFETY: this CPU's own, for the time of this packet.
    let held = unsafe { &mut (*scratch).held };
    let (hash, hold, app) = match flow {
        Some((subject, hold)) => {
            // SAFETY: of a map value.
            let flow = unsafe { &*subject.flow };
            held.flags = flow.flags;
            held.started = flow.started;
            held.packets = flow.packets();
            copy(&flow.bytes, &mut held.bytes);
            (subject.hash, hold, flow.app)
        }
        None => {
            held.flags = 0;
            held.started = 0;
            copy(&[0; 2], &mut held.packets);
            copy(&[0; 2], &mut held.bytes);
            (0, 0, 0)
        }
    };
    held.token = token(&control.secret);
    held.hash = hash;
    held.flow = walk.flow_id;
    held.generation = walk.generation;
    held.sequence = hold / ONE;
    held.service = walk.service;
    held.zone = walk.zone;
    held.direction = walk.direction;
    held.part = walk.part;
    held.announced = if hold & RELATED != 0 { app } else { 0 };
    held.sieved = (hold & SIEVED != 0) as u8;
    held.app = app;
    held.inner = if walk.tunnel != 0 { walk.l3 } else { 0 };
    held.tunnel = walk.tunnel;
    held.network = walk.network;
    held.realm = realm::of_tunnel(walk.realm);
    opening::of_flow(walk.flow_id, hash, control, &mut held.opened);
    // SAFETY: as above.
    unsafe {
        (*scratch).socket = place.socket;
        (*scratch).device = place.device;
    }
    HELD
}

/// The socket that serves a packet: that of its queue or, from tcx, the one behind a hold device.
#[inline(always)]
fn socket(frame: &impl Frame, walk: &Walk, port: &HoldPort) -> Option<u32> {
    if walk.hook == hook::EGRESS {
        return (port.device != 0).then_some(port.device_socket);
    }
    match frame.queue() {
        Some(queue) => (queue < port.queues).then(|| port.socket + queue),
        None => (port.inward != 0).then_some(port.socket),
    }
}
