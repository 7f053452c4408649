//! Behind the stages, where the policy wants it: packets of settled flows are forwarded here, without the kernel's stack.
//!
//! What is not plain goes by the kernel, which says to a sender what has to be said (RFC 1812, 5.2.7): options, tags, fragments, a TTL
//! that ends here, a packet too long for its route, a neighbour not yet known, a host of its own. So do the packets that begin and
//! end a connection, and one of each flow in a while: it keeps the kernel's neighbours (RFC 4861, 7.3.3) and tracked connections alive.

use aya_ebpf::{helpers::generated::bpf_fib_lookup, programs::XdpContext};
use dropgate_abi::{
    policy::{Settings, setting},
    reason::Reason,
    tuple::{Address, V4},
    walk::{Walk, action, found, parsed},
};

use crate::{
    anomaly::tcp,
    cursor::Frame,
    flow, ingress,
    maps::{FORWARD, SCRATCH, Scratch},
    parse::protocol,
    step::Decision,
};

/// A packet of a flow that needs no inspection, or none any more.
const SETTLED: Decision = Decision::new(action::PASS, Reason::flow);
/// Bytes of an Ethernet header, of an IPv4 header without options, and of an IPv6 header.
const ETHERNET: u16 = 14;
const IP4: u16 = 20;
const IP6: u16 = 40;
/// The part of the first word of an IPv6 header that routes may depend on (RFC 6437): all but the version.
const FLOWINFO: u32 = 0x0fff_ffff;

/// Ticks for which an answer of the kernel's routes is used for further packets like the one that asked: 4 ms, and until the clock's
/// next step. Asking is a fifth of what a packet costs that is forwarded.
const FRESH: u32 = 4;
/// Answers remembered; a power of two.
pub const WAYS: usize = 256;

/// An answer of the kernel's routes.
#[repr(C)]
pub struct Way {
    /// Identity of the flow, and in the lowest bit the direction.
    of: u64,
    /// When it was asked for: see [`flow::tick`].
    asked: u32,
    /// [`Route::class`].
    class: [u8; 4],
    /// Where the packet came in, and where it leaves.
    from: u32,
    ifindex: u32,
    /// Bytes of the packet that asked: a longer one may be too long.
    length: u16,
    smac: [u16; 3],
    dmac: [u16; 3],
    _pad: u16,
}

const _: () = assert!(size_of::<Way>() == 40);

/// What is asked of the kernel's routes, and its answer: `struct bpf_fib_lookup` (`include/uapi/linux/bpf.h`).
#[repr(C)]
pub struct Route {
    family: u8,
    protocol: u8,
    /// In network order, like the ports behind it.
    sport: u16,
    dport: u16,
    /// Bytes of the packet; longer than what its route takes: the look-up fails.
    length: u16,
    /// Where it came in; then where it leaves.
    ifindex: u32,
    /// The type of service of IPv4, in the first byte; the traffic class and the flow label of IPv6.
    class: [u8; 4],
    src: Address,
    dst: Address,
    _tag: [u16; 2],
    smac: [u16; 3],
    dmac: [u16; 3],
}

const _: () = assert!(size_of::<Route>() == 64);

/// What becomes of a packet that passes: it is forwarded here if it can be, else it goes by the kernel.
#[inline(always)]
pub fn forward<F: Frame>(frame: &F, walk: &mut Walk, settings: &Settings, decision: Decision) -> Decision {
    let wanted = F::FORWARDS && settings.flags & setting::FAST_FORWARD != 0;
    if !wanted || decision != SETTLED || walk.found != found::HIT || !is_plain(walk) {
        return decision;
    }
    walk.onward = route(frame, walk);
    if walk.onward == 0 { decision } else { Decision::new(action::PASS, Reason::forwarded) }
}

/// Whether a packet has nothing about it that the kernel has to see.
#[inline(always)]
fn is_plain(walk: &Walk) -> bool {
    let header = if walk.family == V4 { IP4 } else { IP6 };
    let ends = walk.protocol == protocol::TCP && walk.tcp_flags & (tcp::SYN | tcp::FIN | tcp::RST) != 0;
    walk.l3 == ETHERNET && walk.l4 == ETHERNET + header && walk.parsed & parsed::FRAGMENT == 0 && walk.ttl > 1 && !ends
}

/// The interface by which a packet leaves, or 0: it goes by the kernel. What its new link header says stays in [`SCRATCH`], see [`way`].
#[inline(never)]
fn route<F: Frame>(frame: &F, walk: &Walk) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own, for the time of this packet.
    let (ways, asked) = unsafe { (&mut (*scratch).ways, &mut (*scratch).route) };
    let (Some(to), Some(first)) = (frame.read::<[u16; 3]>(0), frame.read::<u32>(ETHERNET.into())) else { return 0 };
    // a frame for another host, on an interface that takes them all; one in further buffers, which not every driver can send
    if ingress::mac(walk) != Some(to) || !frame.is_linear() {
        return 0;
    }
    let first = u32::from_be(first);
    let class = if walk.family == V4 { [(first >> 16) as u8, 0, 0, 0] } else { (first & FLOWINFO).to_be_bytes() };
    let way = way(ways, walk);
    let fresh = flow::tick(walk).wrapping_sub(way.asked) < FRESH;
    let alike = way.from == walk.port as u32 && way.class == class && walk.ip_len <= way.length;
    let known = way.of == of(walk) && fresh && alike;
    if !known && !ask(frame, walk, class, asked, way) {
        return 0;
    }
    if FORWARD.redirect(way.ifindex, 0).is_ok() { way.ifindex } else { 0 }
}

/// Whose answer it is.
#[inline(always)]
fn of(walk: &Walk) -> u64 {
    walk.flow_id << 1 | (walk.direction & 1) as u64
}

/// Where the answer for a packet is kept.
#[inline(always)]
fn way<'s>(ways: &'s mut [Way; WAYS], walk: &Walk) -> &'s mut Way {
    &mut ways[of(walk) as usize & (WAYS - 1)]
}

/// Asks the kernel's routes about a packet, and keeps what they say. Whether it can be sent.
#[inline(always)]
fn ask<F: Frame>(frame: &F, walk: &Walk, class: [u8; 4], route: &mut Route, way: &mut Way) -> bool {
    route.family = if walk.family == V4 { 2 } else { 10 };
    route.protocol = walk.protocol;
    route.sport = walk.sport.to_be();
    route.dport = walk.dport.to_be();
    route.length = walk.ip_len;
    route.ifindex = walk.port as u32;
    route.class = class;
    route.src = walk.src;
    route.dst = walk.dst;
    if !frame.route(route) {
        return false;
    }
    way.of = of(walk);
    way.asked = flow::tick(walk);
    way.class = class;
    way.from = walk.port as u32;
    way.ifindex = route.ifindex;
    way.length = walk.ip_len;
    way.smac = route.smac;
    way.dmac = route.dmac;
    true
}

/// Asks the kernel's routes; whether a packet in one piece can be sent as they say.
#[inline(always)]
pub fn look_up(ctx: &XdpContext, route: &mut Route) -> bool {
    let length = size_of::<Route>() as i32;
    // SAFETY: a live XDP context, and a route of the length given.
    unsafe { bpf_fib_lookup(ctx.ctx.cast(), core::ptr::from_mut(route).cast(), length, 0) == 0 }
}

/// Makes the packet one that this gateway sends: link header, TTL, checksum (RFC 1624). Whether it lies where it is expected.
#[inline(always)]
pub fn rewrite(ctx: &XdpContext, scratch: &mut Scratch) -> bool {
    let walk = &scratch.walk;
    let way = way(&mut scratch.ways, walk);
    let at = ctx.data();
    let ip = at + ETHERNET as usize;
    if ip + IP4 as usize > ctx.data_end() {
        return false;
    }
    // SAFETY: inside the packet, checked just now. Of any alignment, as in [`crate::cursor`].
    unsafe {
        let mut part = 0;
        while part < 3 {
            // volatile, because else it is a call of a loop over bytes
            (at as *mut u16).add(part).write_volatile(way.dmac[part]);
            (at as *mut u16).add(3 + part).write_volatile(way.smac[part]);
            part += 1;
        }
        if walk.family == V4 {
            *((ip + 8) as *mut u8) -= 1;
            let sum = *((ip + 10) as *mut u16);
            let more = sum as u32 + 0x0100_u16.to_be() as u32;
            // all ones is the other zero
            *((ip + 10) as *mut u16) = (more + (more >= 0xffff) as u32) as u16;
        } else {
            *((ip + 7) as *mut u8) -= 1;
        }
    }
    true
}
