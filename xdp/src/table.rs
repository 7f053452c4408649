//! The flow table: look-up without a lock, change under the lock of a group of buckets.
//!
//! The layout and why it is not a kernel hash map: `docs/decisions/0002-flow-table.md`.

use dropgate_abi::{
    flow::{Bucket, Flow, GROUP, WAYS, expired, flag, place},
    tuple::FlowKey,
};

use crate::{
    atomic,
    maps::{FLOWS, ZONE_FLOWS},
    verdict,
};

/// The flow with this key, live or not.
#[inline(always)]
pub fn find(key: &FlowKey, hash: u64, mask: u32) -> Option<&'static mut Flow> {
    let (first, second, tag) = place(hash, mask);
    match find_in(key, first, tag) {
        None => find_in(key, second, tag),
        found => found,
    }
}

#[inline(always)]
fn find_in(key: &FlowKey, index: u32, tag: u32) -> Option<&'static mut Flow> {
    let bucket = FLOWS.get_ptr_mut(index)?;
    let mut way = 0;
    while way < WAYS {
        // SAFETY: `way` is below the number of ways; the map's memory lives as long as the program.
        let (seen, flow) = unsafe { ((*bucket).tags[way], &mut (*bucket).ways[way]) };
        if seen == tag && flow.key.words() == key.words() {
            return Some(flow);
        }
        way += 1;
    }
    None
}

/// What came of an insertion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    Done,
    /// Every way of both buckets holds an established flow.
    Full,
    /// The lock was held for too long.
    Busy,
}

/// Puts a flow in, over: an entry of the same key, a free way, an expired flow, or the embryonic flow that was silent for
/// longest. Established flows are never pushed out.
#[inline(never)]
pub fn insert(flow: &Flow, hash: u64, mask: u32, now: u32) -> Inserted {
    let (first, second, tag) = place(hash, mask);
    let (Some(guard), Some(one), Some(two)) =
        (FLOWS.get_ptr_mut(first & !(GROUP - 1)), FLOWS.get_ptr_mut(first), FLOWS.get_ptr_mut(second))
    else {
        return Inserted::Full;
    };
    if !lock(guard) {
        return Inserted::Busy;
    }
    let a = best(one, flow, tag, now);
    let b = best(two, flow, tag, now);
    // the lower rank wins; of two equally good ways, the bucket with more room
    let (bucket, chosen) = if b.rank < a.rank { (two, b) } else { (one, a) };
    let done = chosen.rank != TAKEN;
    if done {
        replace(bucket, chosen.way, flow, tag);
    }
    unlock(guard);
    if done { Inserted::Done } else { Inserted::Full }
}

/// Ranks of ways, best first. Free ways rank by how many others of the bucket are free, embryonic ones by age.
const SAME: u32 = 0;
const FREE: u32 = 1;
const EXPIRED: u32 = 16;
const EMBRYONIC: u32 = 32;
const TAKEN: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Choice {
    rank: u32,
    way: u32,
}

#[inline(always)]
fn best(bucket: *mut Bucket, new: &Flow, tag: u32, now: u32) -> Choice {
    let mut choice = Choice { rank: TAKEN, way: 0 };
    let mut taken = 0;
    let mut way = 0;
    while way < WAYS {
        // SAFETY: `way` is below the number of ways; the caller holds the group's lock.
        let (seen, old) = unsafe { ((*bucket).tags[way], &(*bucket).ways[way]) };
        let rank = if seen == 0 {
            FREE
        } else {
            taken += 1;
            if seen == tag && old.key.words() == new.key.words() {
                SAME
            } else if expired(now, old.last_seen, old.timeout) {
                EXPIRED
            } else if old.flags & flag::ESTABLISHED == 0 {
                let idle = now.wrapping_sub(old.last_seen);
                EMBRYONIC + (u32::MAX / 2 - EMBRYONIC).saturating_sub(idle)
            } else {
                TAKEN
            }
        };
        if rank < choice.rank {
            choice = Choice { rank, way: way as u32 };
        }
        way += 1;
    }
    if choice.rank == FREE {
        choice.rank += taken;
    }
    choice
}

/// Ends what a way holds and puts `flow` there.
#[inline(always)]
fn replace(bucket: *mut Bucket, way: u32, flow: &Flow, tag: u32) {
    let way = way as usize & (WAYS - 1);
    // SAFETY: `way` is below the number of ways; the caller holds the group's lock.
    let (slot, place) = unsafe { (&mut (*bucket).tags[way], &mut (*bucket).ways[way]) };
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
    let (Some(guard), Some(bucket)) = (FLOWS.get_ptr_mut(index & !(GROUP - 1)), FLOWS.get_ptr_mut(index)) else { return };
    let mut way = 0;
    while way < WAYS {
        // SAFETY: `way` is below the number of ways.
        let (tag, flow) = unsafe { (&mut (*bucket).tags[way], &mut (*bucket).ways[way]) };
        if *tag != 0 && expired(now, flow.last_seen, flow.timeout) && lock(guard) {
            // it may have been used again before we had the lock
            if *tag != 0 && expired(now, flow.last_seen, flow.timeout) {
                *tag = 0;
                verdict::flow_end(flow);
                count(flow.zone, u64::MAX);
            }
            unlock(guard);
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

#[inline(always)]
fn lock(bucket: *mut Bucket) -> bool {
    // SAFETY: a field of a map value.
    atomic::lock(unsafe { &raw mut (*bucket).lock })
}

#[inline(always)]
fn unlock(bucket: *mut Bucket) {
    // SAFETY: a field of a map value.
    atomic::unlock(unsafe { &raw mut (*bucket).lock });
}
