//! Where held packets go, and where they come back.
//!
//! In: XDP hands the frame to the AF_XDP socket of its queue. Out, and in where there is no native XDP: tcx puts [`Held`] before the packet and redirects it to one
//! end of a pair of virtual devices; XDP at the other end hands it to the socket there. A packet that came in is released
//! through that pair too, in the other direction, and tcx at its near end lets it come in again where it did.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT, xdp_action},
    helpers::{
        bpf_redirect,
        generated::{
            bpf_skb_change_head, bpf_skb_load_bytes, bpf_skb_store_bytes, bpf_skb_vlan_pop, bpf_xdp_adjust_head,
            bpf_xdp_adjust_meta,
        },
    },
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use dropgate_abi::{
    flow::{Bucket, Flow, place},
    hold::{Held, ONE, SETTLED, Settle, release, settled, sieved, token},
    opening::Opening,
    reason::Reason,
};

use crate::{
    atomic, flow,
    hidden::Hidden,
    maps::{CONTROL, FLOWS, HOLD_PORTS, SCRATCH, SOCKETS, copy},
    table,
};

/// Bytes before a held frame.
const HEAD: i32 = size_of::<Held>() as i32;
/// Bytes of the addresses of an Ethernet header, of a VLAN tag, and of as many as there may be.
const ADDRESSES: u32 = 12;
const TAG: u32 = 4;
const TAGS: u32 = 2 * TAG;
/// `BPF_F_INGRESS` (`include/uapi/linux/bpf.h`).
const INGRESS: u64 = 1;

/// Hands a frame that came in to the socket of its queue.
#[inline(always)]
pub fn came_in(ctx: &XdpContext) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return xdp_action::XDP_DROP };
    // SAFETY: this CPU's own, for the time of this packet.
    let (held, socket) = unsafe { (&(*scratch).held, (*scratch).socket) };
    to_socket(ctx, held, socket)
}

/// Sends a packet that tcx has to the hold device, as a whole frame: `BARE` ones get an Ethernet header, and tags that travel
/// beside the bytes their place among them. A function of its own for its stack.
#[inline(never)]
pub fn leaves<const BARE: bool>(skb: *mut __sk_buff) -> i32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return TC_ACT_SHOT };
    // addresses, and what stands behind them
    let mut link = [0u16; (ADDRESSES + TAGS) as usize / 2];
    // SAFETY: this CPU's own; a live socket buffer; what is loaded and stored lies in `held` or in `link`.
    unsafe {
        let at: *mut u16 = link.as_mut_ptr();
        let stored = if BARE {
            // no addresses; network order, as it lies in the packet
            at.add(ADDRESSES as usize / 2).write((*skb).protocol as u16);
            let length = ADDRESSES + size_of::<u16>() as u32;
            bpf_skb_change_head(skb, HEAD as u32 + length, 0) == 0
                && bpf_skb_store_bytes(skb.cast(), HEAD as u32, at.cast(), length, 0) == 0
        } else {
            let mut tags = 0;
            while tags < TAGS && (*skb).vlan_present != 0 {
                let tag = at.add((ADDRESSES + tags) as usize / 2);
                tag.write((*skb).vlan_proto as u16);
                tag.add(1).write(((*skb).vlan_tci as u16).to_be());
                // the next one takes its place
                if bpf_skb_vlan_pop(skb) != 0 {
                    return TC_ACT_SHOT;
                }
                tags += TAG;
            }
            let moved = tags == 0 || bpf_skb_load_bytes(skb.cast(), 0, at.cast(), ADDRESSES) == 0;
            moved
                && bpf_skb_change_head(skb, HEAD as u32 + tags, 0) == 0
                && (tags == 0 || bpf_skb_store_bytes(skb.cast(), HEAD as u32, at.cast(), ADDRESSES + tags, 0) == 0)
        };
        let held = &raw const (*scratch).held;
        if !stored || bpf_skb_store_bytes(skb.cast(), 0, held.cast(), HEAD as u32, 0) != 0 {
            return TC_ACT_SHOT;
        }
        bpf_redirect((*scratch).device, 0) as i32
    }
}

/// At the far end of a hold device: what tcx sent there goes to the socket, anything else goes nowhere.
#[xdp(frags)]
pub fn dropgate_hold(ctx: XdpContext) -> u32 {
    let at = ctx.data();
    if at + size_of::<Held>() > ctx.data_end() {
        return xdp_action::XDP_DROP;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return xdp_action::XDP_DROP };
    // SAFETY: this CPU's own, for the time of this packet; inside the packet, checked just now, see [`crate::cursor::Xdp`] about loads.
    let held = unsafe {
        copy(&*(at as *const Held), &mut (*scratch).held);
        &(*scratch).held
    };
    // SAFETY: entries are only written by the daemon, whole.
    let port = unsafe { HOLD_PORTS.get(ctx.ingress_ifindex() as u32) };
    let (Some(control), Some(port)) = (CONTROL.get(0), port) else { return xdp_action::XDP_DROP };
    if held.token != token(&control.secret) {
        return xdp_action::XDP_DROP;
    }
    // SAFETY: a live XDP context.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, HEAD) } != 0 {
        return xdp_action::XDP_DROP;
    }
    to_socket(&ctx, held, port.socket)
}

/// Writes what goes with a frame before it and gives it to a socket.
#[inline(always)]
fn to_socket(ctx: &XdpContext, held: &Held, socket: u32) -> u32 {
    // SAFETY: a live XDP context.
    if unsafe { bpf_xdp_adjust_meta(ctx.ctx, -HEAD) } != 0 {
        return xdp_action::XDP_DROP;
    }
    let at = ctx.metadata();
    if at + size_of::<Held>() > ctx.metadata_end() {
        return xdp_action::XDP_DROP;
    }
    // SAFETY: inside the metadata, checked just now.
    copy(held, unsafe { &mut *(at as *mut Held) });
    SOCKETS.redirect(socket, 0).unwrap_or(xdp_action::XDP_DROP)
}

/// At the near end of a hold device: what the inspector released comes in where it came in first, or leaves by the interface.
/// Anything else that is sent through the pair goes nowhere.
#[classifier]
pub fn dropgate_release(ctx: TcContext) -> i32 {
    // SAFETY: a live socket buffer.
    let (ifindex, mark) = unsafe { ((*ctx.skb.skb).ifindex, (*ctx.skb.skb).mark) };
    // SAFETY: entries are only written by the daemon, whole.
    let port = unsafe { HOLD_PORTS.get(ifindex) };
    let (Some(control), Some(port)) = (CONTROL.get(0), port) else { return TC_ACT_SHOT };
    if mark != token(&control.secret) as u32 || port.release_into == 0 {
        return TC_ACT_SHOT;
    }
    // SAFETY: a live socket buffer; the mark was ours, and nobody behind our programs is to see it.
    unsafe {
        if port.release & release::MARKED == 0 {
            (*ctx.skb.skb).mark = 0;
        }
        // of a device without link-layer header the kernel takes off what stands before the packet (`__bpf_redirect_no_mac`)
        bpf_redirect(port.release_into, if port.release & release::OUTWARD == 0 { INGRESS } else { 0 }) as i32
    }
}

/// Settles a flow, if everything of it that was held has left. The daemon runs it by `BPF_PROG_TEST_RUN`, so that the
/// table is only changed by programs. The frame is a [`Settle`]; see [`settled`] for the answer.
#[classifier]
pub fn dropgate_settle(ctx: TcContext) -> i32 {
    let at = ctx.data();
    if at + size_of::<Settle>() > ctx.data_end() {
        return settled::GONE as i32;
    }
    // SAFETY: inside the packet, checked just now.
    let asked = unsafe { (at as *const Settle).read_unaligned() };
    settle_asked(&asked) as i32
}

#[inline(always)]
fn settle_asked(asked: &Settle) -> u32 {
    let Some(control) = CONTROL.get(0) else { return settled::GONE };
    let (first, _, tag) = place(asked.hash, control.flow_mask);
    let (Some(group), Some(home), Some(hidden)) = (table::group(first), FLOWS.get_ptr_mut(first), Hidden::new()) else {
        return settled::GONE;
    };
    let lock = table::lock(group);
    // no flow comes into this place or leaves it meanwhile
    if !atomic::lock(lock) {
        return settled::BUSY;
    }
    let answer = match table::by_id(asked.hash, asked.flow, control.flow_mask, hidden) {
        Some(flow) => settle(flow, (home, first, tag, control.flow_mask), asked),
        None => settled::GONE,
    };
    atomic::unlock(lock);
    answer
}

/// Judges a flow by the generation in force, as its next packet would be judged: for packets of it that an older one held. The
/// daemon runs it by `BPF_PROG_TEST_RUN`. The frame is a [`Settle`]; the answer [`PASSES`], or the number of a reason.
#[classifier]
pub fn dropgate_review(ctx: TcContext) -> i32 {
    let gone = Reason::flow_revoked.0 as u32;
    let at = ctx.data();
    if at + size_of::<Settle>() > ctx.data_end() {
        return gone as i32;
    }
    // SAFETY: inside the packet, checked just now.
    let asked = unsafe { (at as *const Settle).read_unaligned() };
    flow::review(asked.hash, asked.flow).unwrap_or(gone) as i32
}

#[inline(always)]
fn settle(flow: &mut Flow, (home, first, tag, mask): (*mut Bucket, u32, u32, u32), asked: &Settle) -> u32 {
    // SAFETY: a field of a map value; who else changes it does so word by word.
    let opening = unsafe { &mut (*home).opening };
    flow.app = asked.app;
    if asked.note != 0 {
        return settled::DONE;
    }
    if asked.drop_reason != 0 {
        flow.drop_reason = asked.drop_reason;
        close(opening, flow);
        return settled::DONE;
    }
    let word = &raw mut flow.hold;
    // SAFETY: an aligned word of a map value.
    let seen = unsafe { word.read_volatile() };
    // the other bits say nothing about how many are held
    let all = seen / ONE == asked.held;
    let open = match (asked.sieved, asked.only) {
        (0, 0) => seen | SETTLED,
        (0, only) => seen | u32::from(only),
        _ => sieved(seen),
    };
    if asked.watches != 0 && opening.flow != flow.id {
        if !table::may_open(home, first, mask) {
            return settled::LATER;
        }
        *opening = Opening { flow: flow.id, tag, ..Opening::default() };
    }
    if !all || !atomic::exchange_if(word, seen, open) {
        return settled::LATER;
    }
    if asked.watches != 0 {
        opening.settles_at = asked.settles_at;
        // SAFETY: an aligned word of a map value, the last one to be written.
        unsafe { (&raw mut opening.settles_if).write_volatile(open) };
    } else if asked.only == 0 {
        close(opening, flow);
    }
    settled::DONE
}

/// Nothing more is noted of a flow.
#[inline(always)]
fn close(opening: &mut Opening, flow: &Flow) {
    if opening.flow == flow.id {
        opening.flow = 0;
    }
}
