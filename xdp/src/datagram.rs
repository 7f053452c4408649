//! In stage 10, of a flow of which nothing is wanted but what rules say: can any of them match this packet?
//!
//! What cannot be told by its payload may match: a fragment, one that is too long to be looked through.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use dropgate_abi::{
    datagrams::{PADDING, PART, Payload, ROOM},
    policy::{SLOTS, Settings, setting},
    walk::{Walk, parsed},
};

use crate::{
    cursor::Frame,
    maps::{DATAGRAMS, SCRATCH},
    parse::protocol,
};

/// Bytes behind the longest payload: padding to the end of its last part, and those of a gram that begins there.
pub const BEHIND: u32 = PART + 8;

/// Whether rules may match a packet.
#[inline(always)]
pub fn may_match(frame: &impl Frame, walk: &Walk, settings: &Settings) -> bool {
    if settings.flags & setting::DATAGRAMS == 0 {
        return false;
    }
    let Some(table) = DATAGRAMS.get(walk.slot & (SLOTS - 1)) else { return true };
    let ports = (walk.sport, walk.dport);
    let fragment = walk.parsed & parsed::FRAGMENT != 0;
    let odd = walk.parsed & parsed::ODD != 0;
    if fragment && table.fragments != 0 || odd && table.odd != 0 || table.always.may_match(walk) {
        return true;
    }
    let groups = table.groups(walk.protocol, ports, walk.icmp_type);
    if groups == 0 {
        return false;
    }
    if fragment || walk.parsed & parsed::MERGED != 0 {
        return true;
    }
    let at = walk.l4 as u32 + header(walk.protocol);
    let end = walk.l3 as u32 + walk.ip_len as u32;
    if at >= end {
        return false;
    }
    let length = end - at;
    length > ROOM || !keep(frame, at, length) || dropgate_sift(walk.slot, groups.into(), length) != 0
}

/// Whether rules may match a segment that opens a TCP connection, and says nothing.
#[inline(never)]
pub fn may_match_opening(walk: &Walk, settings: &Settings) -> bool {
    if settings.flags & setting::DATAGRAMS == 0 {
        return false;
    }
    let Some(table) = DATAGRAMS.get(walk.slot & (SLOTS - 1)) else { return true };
    table.openings.may_match(walk)
}

/// Whether all of a flow is held that speaks this.
#[inline(always)]
pub fn holds(slot: u32, app: u8) -> bool {
    DATAGRAMS.get(slot & (SLOTS - 1)).is_none_or(|table| table.holds(app))
}

/// Bytes between the beginning of the transport header and the payload.
#[inline(always)]
const fn header(of: u8) -> u32 {
    match of {
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 => 8,
        protocol::SCTP => 12,
        _ => 0,
    }
}

/// Copies a payload of [`ROOM`] bytes at most to [`SCRATCH`], where it lies in one piece.
#[inline(always)]
fn keep(frame: &impl Frame, at: u32, length: u32) -> bool {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    let mut last = length.wrapping_sub(1);
    // SAFETY: a mask that changes nothing for a length between 1 and `ROOM`, in the register that the verifier looks at.
    unsafe { core::arch::asm!("{0} &= {1}", inout(reg) last, const ROOM - 1, options(pure, nomem, nostack)) };
    let length = last as usize + 1;
    // SAFETY: this CPU's own, for the time of this packet; there is room for `ROOM` bytes, and [`BEHIND`] them.
    unsafe {
        let to = (&raw mut (*scratch).payload).cast::<u8>();
        if !frame.copy(at as usize, to, length) {
            return false;
        }
        let mut behind = 0;
        while behind < BEHIND as usize {
            // of any alignment, as in [`crate::cursor`]; volatile, because else it is a call of a loop over bytes
            to.add(length + behind).cast::<u64>().write_volatile(u64::from_ne_bytes([PADDING; 8]));
            behind += 8;
        }
    }
    true
}

/// Whether a rule of these groups may match the payload in [`SCRATCH`], of so many bytes.
///
/// A global function, which takes numbers only: the verifier walks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_sift(slot: u32, groups: u32, length: u32) -> u32 {
    let mut sifting = Sifting { slot, groups, start: 0, found: 0 };
    let step: extern "C" fn(u64, *mut Sifting) -> i64 = sift;
    // SAFETY: the helper calls `step` with a number and the address of `sifting`, which outlives the call.
    unsafe { bpf_loop(length.div_ceil(PART), step as *mut c_void, (&raw mut sifting).cast(), 0) };
    // SAFETY: written by `begins`.
    unsafe { (&raw const sifting.found).read_volatile() }
}

/// What [`sift`] and [`begins`] are told, and what they say.
struct Sifting {
    slot: u32,
    groups: u32,
    start: u32,
    found: u32,
}

/// Looks at one part of the payload; whether that was enough.
extern "C" fn sift(part: u64, sifting: *mut Sifting) -> i64 {
    // SAFETY: the address that `dropgate_sift` gave.
    let (slot, groups) = unsafe { ((*sifting).slot, (*sifting).groups) };
    let (Some(table), Some(kept)) = (DATAGRAMS.get(slot & (SLOTS - 1)), kept()) else { return 1 };
    let start = part as u32 * PART;
    if !table.may_hold(&kept, start, groups as u16) {
        return 0;
    }
    // SAFETY: as above; the helper calls `step` with a number and this address.
    unsafe {
        (&raw mut (*sifting).start).write_volatile(start);
        let step: extern "C" fn(u64, *mut Sifting) -> i64 = begins;
        bpf_loop(PART, step as *mut c_void, sifting.cast(), 0);
        i64::from((&raw const (*sifting).found).read_volatile() & 1)
    }
}

/// Looks at one place of a part; whether that was enough.
extern "C" fn begins(place: u64, sifting: *mut Sifting) -> i64 {
    // SAFETY: the address that `dropgate_sift` gave.
    let (slot, groups, start) = unsafe { ((*sifting).slot, (*sifting).groups, (*sifting).start) };
    let (Some(table), Some(kept)) = (DATAGRAMS.get(slot & (SLOTS - 1)), kept()) else { return 1 };
    let found = table.may_begin(&kept, start + place as u32, groups as u16);
    // SAFETY: as above.
    unsafe { (&raw mut (*sifting).found).write_volatile(found.into()) };
    found.into()
}

#[inline(always)]
fn kept() -> Option<Kept> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: this CPU's own, for the time of this packet.
    Some(Kept(unsafe { (&raw const (*scratch).payload).cast() }))
}

/// A payload in [`SCRATCH`].
struct Kept(*const u8);

impl Payload for Kept {
    #[inline(always)]
    fn word(&self, at: u32) -> u64 {
        let mut bounded = at as u64;
        // SAFETY: a mask that changes nothing for a place below `ROOM`, in the register that the verifier looks at. Not pure: words
        // that are kept for a second look would not fit on the stack.
        unsafe { core::arch::asm!("{0} &= {1}", inout(reg) bounded, const ROOM - 1, options(nomem, nostack)) };
        // SAFETY: below `ROOM`, and `BEHIND` bytes more are there. Loads of any alignment: see [`crate::cursor`].
        unsafe { *self.0.add(bounded as usize).cast::<u64>() }
    }
}
