//! In stage 10, of a flow of which nothing is wanted but what rules say: can any of them match this packet?
//!
//! What cannot be told by its payload may match: a fragment, one that is too long to be looked through.

use dropgate_abi::{
    datagrams::{Payload, ROOM},
    policy::{SLOTS, Settings, setting},
    walk::{Walk, parsed},
};

use crate::{
    cursor::Frame,
    maps::{DATAGRAMS, SCRATCH},
    parse::protocol,
};

/// Bytes behind the last one that is looked at.
pub const BEHIND: u32 = 8;

/// Whether rules may match a packet.
#[inline(always)]
pub fn may_match(frame: &impl Frame, walk: &Walk, settings: &Settings) -> bool {
    if settings.flags & setting::DATAGRAMS == 0 {
        return false;
    }
    let Some(table) = DATAGRAMS.get(walk.slot & (SLOTS - 1)) else { return true };
    let groups = table.groups(walk.protocol, (walk.sport, walk.dport), walk.icmp_type);
    if groups == 0 {
        return false;
    }
    if groups & table.always != 0 || walk.parsed & (parsed::FRAGMENT | parsed::MERGED) != 0 {
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
        to.add(length).cast::<u64>().write_unaligned(0);
    }
    true
}

/// Whether a rule of these groups may match the payload in [`SCRATCH`], of so many bytes.
///
/// A global function, which takes numbers only: the verifier walks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_sift(slot: u32, groups: u32, length: u32) -> u32 {
    let Some(table) = DATAGRAMS.get(slot & (SLOTS - 1)) else { return 1 };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 1 };
    // SAFETY: this CPU's own, for the time of this packet.
    let kept = Kept(unsafe { (&raw const (*scratch).payload).cast() });
    u32::from(table.may_match(&kept, length, groups as u16))
}

/// A payload in [`SCRATCH`].
struct Kept(*const u8);

impl Payload for Kept {
    #[inline(always)]
    fn word(&self, at: u32) -> u64 {
        let mut bounded = at as u64;
        // SAFETY: a mask that changes nothing for a place below `ROOM`, in the register that the verifier looks at.
        unsafe { core::arch::asm!("{0} &= {1}", inout(reg) bounded, const ROOM - 1, options(pure, nomem, nostack)) };
        // SAFETY: below `ROOM`, and `BEHIND` bytes more are there.
        unsafe { self.0.add(bounded as usize).cast::<u64>().read_unaligned() }
    }
}
