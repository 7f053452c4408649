//! The flow table: look-up without a lock, change under the lock of a group of buckets.
//!
//! The layout and why it is not a kernel hash map: `docs/decisions/0002-flow-table.md`.

use dropgate_abi::{
    flow::{Bucket, Flow, GROUP, Group, Tags, WAYS, expired, flag, place, second},
    tuple::FlowKey,
};

use crate::{
    atomic,
    hidden::Hidden,
    maps::{FLOW_GROUPS, FLOW_TAGS, FLOWS, SCRATCH, ZONE_FLOWS, copy},
    verdict,
};

/// The flow with this key, live or not.
#[inline(always)]
pub fn find(key: &FlowKey, hash: u64, mask: u32, hidden: Hidden) -> Option<&'static mut Flow> {
    located(hash, mask, hidden, |flow| flow.key.equals(key))
}

/// The flow of this hash and identity.
#[inline(always)]
pub fn by_id(hash: u64, id: u64, mask: u32, hidden: Hidden) -> Option<&'static mut Flow> {
    located(hash, mask, hidden, |flow| flow.id == id)
}

/// The flow of this hash that is the one.
#[inline(always)]
fn located(hash: u64, mask: u32, hidden: Hidden, is: impl Fn(&Flow) -> bool) -> Option<&'static mut Flow> {
    let (first, second, tag) = place(hash, mask);
    let taken = taken(first);
    let (index, way) = match way_in((first, taken), tag, &is) {
        Some(way) => (first, way),
        None => (second, way_in((second, taken), tag, &is)?),
    };
    let way = hidden.hide(way) as usize & (WAYS - 1);
    // SAFETY: `way` is below the number of ways; the map's memory lives as long as the program.
    Some(unsafe { &mut (*FLOWS.get_ptr_mut(index)?).ways[way] })
}

/// The way of a bucket that has this tag and is the one. `taken`: see [`Group::taken`].
#[inline(always)]
fn way_in((index, taken): (u32, u64), tag: u32, is: &impl Fn(&Flow) -> bool) -> Option<u32> {
    if taken & Group::bit(index) == 0 {
        return None;
    }
    let (tags, bucket) = both(index)?;
    let mut way = 0;
    while way < WAYS {
        // SAFETY: `way` is below the number of ways; the map's memory lives as long as the program.
        let (seen, flow) = unsafe { ((*tags).0[way], &(*bucket).ways[way]) };
        if seen == tag && is(flow) {
            return Some(way as u32);
        }
        way += 1;
    }
    None
}

/// Which buckets of a bucket's group have flows: see [`Group::taken`].
#[inline(always)]
fn taken(index: u32) -> u64 {
    // SAFETY: an aligned word of a map value.
    group(index).map_or(0, |group| unsafe { (&raw const (*group).taken).read_volatile() })
}

/// A bucket and its tags.
#[inline(always)]
fn both(index: u32) -> Option<(*mut Tags, *mut Bucket)> {
    Some((FLOW_TAGS.get_ptr_mut(index)?, FLOWS.get_ptr_mut(index)?))
}

/// Whether the opening of a bucket is nobody's: that of none of the flows in the table.
#[inline(never)]
pub fn may_open(bucket: *mut Bucket, index: u32, mask: u32) -> bool {
    // SAFETY: fields of a map value.
    let (flow, tag) = unsafe { ((*bucket).opening.flow, (*bucket).opening.tag) };
    if flow == 0 {
        return true;
    }
    let taken = taken(index);
    let gone = |index| way_in((index, taken), tag, &|one: &Flow| one.id == flow).is_none();
    gone(index) && gone(second(index, tag, mask))
}

/// What came of an insertion.
pub mod inserted {
    pub const DONE: u32 = 0;
    /// Every way of both buckets holds an established flow.
    pub const FULL: u32 = 1;
    /// The lock was held for too long, or another flow has taken the opening just now.
    pub const BUSY: u32 = 2;
}

/// Puts the flow in [`SCRATCH`] in, over: an entry of the same key, a free way, an expired flow, or the embryonic flow that was silent for
/// longest. Established flows are never pushed out. See [`inserted`].
///
/// A global function, which takes numbers only: the verifier walks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_insert(mask: u32, now: u32) -> u32 {
    let (Some(scratch), Some(hidden)) = (SCRATCH.get_ptr_mut(0), Hidden::new()) else { return inserted::FULL };
    // SAFETY: this CPU's own, for the time of this packet.
    let (flow, hash) = unsafe { (&(*scratch).flow, (*scratch).hash) };
    let (first, second, tag) = place(hash, mask);
    let (Some(group), Some(home)) = (group(first), FLOWS.get_ptr_mut(first)) else {
        return inserted::FULL;
    };
    let lock = lock(group);
    if !atomic::lock(lock) {
        return inserted::BUSY;
    }
    let mut answer = inserted::FULL;
    let a = best(first, flow, tag, now, hidden);
    let b = best(second, flow, tag, now, hidden);
    // the lower rank wins; of two equally good ways, the bucket with more room
    let (index, chosen) = if b >> 8 < a >> 8 { (second, b) } else { (first, a) };
    let mut done = chosen >> 8 != TAKEN as u64;
    if done && !open(home, first, mask) {
        done = false;
        answer = inserted::BUSY;
    }
    if done {
        // SAFETY: a field of a map value, whose lock is held.
        unsafe { (*group).taken |= Group::bit(index) };
        replace(index, hidden.hide(chosen as u32 & 0xff), flow, tag);
    }
    atomic::unlock(lock);
    if done { inserted::DONE } else { answer }
}

/// Notes how the flow in [`SCRATCH`] begins, if there is anything to note and the bucket's opening is nobody's; whether all is
/// noted that there is.
#[inline(always)]
fn open(bucket: *mut Bucket, index: u32, mask: u32) -> bool {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's own; a field of a map value, whose group the caller has locked.
    let (new, flow, opening) = unsafe { (&(*scratch).opening, &(*scratch).flow, &mut (*bucket).opening) };
    if new.flow != flow.id {
        return true;
    }
    if !may_open(bucket, index, mask) {
        return false;
    }
    copy(new, opening);
    true
}

/// Ranks of ways, best first. Free ways rank by how many others of the bucket are free, embryonic ones by age.
const SAME: u32 = 0;
const FREE: u32 = 1;
const EXPIRED: u32 = 16;
const EMBRYONIC: u32 = 32;
const TAKEN: u32 = u32::MAX;

/// The best way of a bucket: its rank, shifted left by eight, and its number.
#[inline(never)]
fn best(index: u32, new: &Flow, tag: u32, now: u32, hidden: Hidden) -> u64 {
    let Some((tags, bucket)) = both(index) else { return (TAKEN as u64) << 8 };
    let mut lowest = TAKEN;
    let mut chosen = 0;
    let mut taken = 0;
    let mut way = 0;
    while way < WAYS {
        // SAFETY: `way` is below the number of ways; the caller holds the group's lock.
        let (seen, old) = unsafe { ((*tags).0[way], &(*bucket).ways[way]) };
        let rank = hidden.hide(rank(seen, tag, old, new, now));
        taken = hidden.hide(taken + (seen != 0) as u32);
        if rank < lowest {
            lowest = rank;
            chosen = way as u32;
        }
        chosen = hidden.hide(chosen);
        way += 1;
    }
    if lowest == FREE {
        lowest += taken;
    }
    (lowest as u64) << 8 | chosen as u64
}

/// How good a way is for the new flow: lower is better.
#[inline(never)]
fn rank(seen: u32, tag: u32, old: &Flow, new: &Flow, now: u32) -> u32 {
    if seen == 0 {
        return FREE;
    }
    if seen == tag && old.key.equals(&new.key) {
        return SAME;
    }
    if expired(now, old.last_seen, old.timeout) {
        return EXPIRED;
    }
    if old.flags & flag::ESTABLISHED != 0 {
        return TAKEN;
    }
    let idle = now.wrapping_sub(old.last_seen);
    EMBRYONIC + (u32::MAX / 2 - EMBRYONIC).saturating_sub(idle)
}

/// Ends what a way holds and puts `flow` there.
#[inline(always)]
fn replace(index: u32, way: u32, flow: &Flow, tag: u32) {
    let Some((tags, bucket)) = both(index) else { return };
    let way = way as usize & (WAYS - 1);
    // SAFETY: `way` is below the number of ways; the caller holds the group's lock.
    let (slot, place) = unsafe { (&mut (*tags).0[way], &mut (*bucket).ways[way]) };
    if *slot != 0 {
        verdict::flow_end(place);
        count(place.zone, u64::MAX);
    }
    // readers look at the tag first: it is off while the flow is half written
    atomic::set(slot, 0);
    *place = *flow;
    atomic::set(slot, tag);
    count(flow.zone, 1);
}

/// Frees the expired flows of one bucket.
#[inline(always)]
pub fn sweep(index: u32, now: u32) {
    let (Some(group), Some((tags, bucket))) = (group(index), both(index)) else { return };
    let lock = lock(group);
    let mut way = 0;
    while way < WAYS {
        // SAFETY: `way` is below the number of ways.
        let (tag, flow) = unsafe { (&mut (*tags).0[way], &mut (*bucket).ways[way]) };
        // a group that is busy is swept another time
        if *tag != 0 && expired(now, flow.last_seen, flow.timeout) && atomic::try_lock(lock) {
            // it may have been used again before we had the lock
            if *tag != 0 && expired(now, flow.last_seen, flow.timeout) {
                *tag = 0;
                verdict::flow_end(flow);
                count(flow.zone, u64::MAX);
                // SAFETY: fields of map values, whose lock is held.
                unsafe {
                    if (*tags).is_empty() {
                        (*group).taken &= !Group::bit(index);
                    }
                }
            }
            atomic::unlock(lock);
        }
        way += 1;
    }
}

/// Live flows of a zone.
#[inline(always)]
pub fn live(zone: u16) -> u64 {
    ZONE_FLOWS.get(zone as u32).map_or(0, |count| *count)
}

/// Adds to the live flows of a zone; `u64::MAX` takes one away.
#[inline(always)]
pub fn count(zone: u16, change: u64) {
    if let Some(count) = ZONE_FLOWS.get_ptr_mut(zone as u32) {
        atomic::add(count, change);
    }
}

/// The group of a bucket.
#[inline(always)]
pub fn group(index: u32) -> Option<*mut Group> {
    FLOW_GROUPS.get_ptr_mut(index / GROUP)
}

/// Its lock. Who has it may change which flows are in the group's buckets.
#[inline(always)]
pub fn lock(group: *mut Group) -> *mut u32 {
    // SAFETY: a field of a map value.
    unsafe { &raw mut (*group).lock }
}
