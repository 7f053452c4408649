//! The table of datagrams whose fragments are tracked. Each is changed under the lock of its bucket, so that two processors
//! that see two fragments at once agree on what they are to each other.

use dropgate_abi::{
    control::Control,
    flow::{TICK_SHIFT, expired},
    fragment::{FRAGMENT_WAYS, Fit, Fragment, FragmentBucket, SOURCES, fate},
    reason::Reason,
    tuple::{Address, FlowKey, V4, equal, realm},
    walk::{Walk, parsed},
};

use crate::{
    atomic, flow,
    hidden::Hidden,
    maps::{CONTROL, FRAGMENT_SOURCES, FRAGMENTS, SCRATCH},
};

/// What [`dropgate_track`] is told of a fragment, and answers: [`fate`]'s values, and these.
pub mod told {
    use super::fate;

    pub const PASSED: u32 = fate::PASSED as u32;
    pub const DROPPED: u32 = fate::DROPPED as u32;
    pub const HELD: u32 = fate::HELD as u32;
    pub const EARLY: u32 = fate::EARLY as u32;
    /// Answered: the fragment is dropped, and why stands above the low byte.
    pub const REFUSED: u32 = fate::CONDEMNED as u32;
    /// Told: the first fragment was dropped before its ports were looked at.
    pub const MALFORMED: u32 = 5;
    /// Told: a first fragment that has not been judged. Asks whether it is worth it.
    pub const FIRST: u32 = 6;
    /// Told: a later fragment.
    pub const LATER: u32 = 7;
    /// Answered: nothing is known of its datagram.
    pub const UNKNOWN: u32 = 8;
}

/// How long a receiver waits for what it has not got of a datagram (RFC 8200, 4.5; RFC 1122, 3.3.2), in ticks.
const RECEIVED: u32 = (60_000_000_000u64 >> TICK_SHIFT) as u32;
/// Where nothing is counted.
const NOWHERE: u32 = u32::MAX;

#[inline(always)]
const fn refused(reason: Reason) -> u32 {
    told::REFUSED | (reason.0 as u32) << 8
}

/// Why a fragment is refused by an answer of [`dropgate_track`].
#[inline(always)]
pub const fn refusal(answer: u32) -> Option<Reason> {
    if answer & 0xff == told::REFUSED { Some(Reason((answer >> 8) as u16)) } else { None }
}

/// Tells the table of the fragment at hand, and answers what becomes of it. A datagram takes its own entry, a free or expired
/// way, or (if its first one passed or is held) the way of one that was dropped, else of one whose first has not come: floods
/// of those cannot push out what passed. When all of a datagram has come that passed, its entry is freed. If it is held, what
/// has its identification within its time is held too, so that who holds it sees all that a receiver may join with it; its
/// source is not charged with it any more, and others take its place.
///
/// - What others are held of is held, also when the first one would pass. Who holds it looks for overlaps.
/// - Of what passed, a second copy is dropped alone, and what contradicts it ends the datagram.
/// - One that came early changes nothing about a first one that was judged.
/// - A malformed one says nothing about one of the same datagram that passed or is held.
///
/// `told` and answer: see [`told`]. A global function, which takes numbers only: the verifier walks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_track(told: u32, lifetime: u32) -> u32 {
    let (Some(control), Some(scratch), Some(hidden)) = (CONTROL.get(0), SCRATCH.get_ptr_mut(0), Hidden::new()) else {
        return refused(Reason::internal);
    };
    // SAFETY: this CPU's own, for the time of this packet.
    let walk = unsafe { &mut (*scratch).walk };
    let Some(bucket) = bucket(walk, control) else { return refused(Reason::internal) };
    // SAFETY: a field of a map value.
    let lock = unsafe { &raw mut (*bucket).lock };
    if !atomic::lock(lock) {
        return refused(Reason::fragment_table_full);
    }
    let answer = locked(walk, control, bucket, hidden, (told, lifetime));
    atomic::unlock(lock);
    answer
}

#[inline(always)]
fn locked(
    walk: &mut Walk,
    control: &Control,
    bucket: *mut FragmentBucket,
    hidden: Hidden,
    (told, lifetime): (u32, u32),
) -> u32 {
    let now = flow::tick(walk);
    let strong = told == told::PASSED || told == told::HELD;
    let mut chosen = FRAGMENT_WAYS as u32;
    let mut before = told::UNKNOWN;
    let mut rank = 4;
    let mut way = 0;
    while way < FRAGMENT_WAYS {
        // SAFETY: `way` is below the number of ways.
        let kept = unsafe { &(*bucket).ways[way] };
        let here = if same(walk, kept) {
            before = hidden.hide(if lives(walk, kept, now) { kept.fate as u32 } else { told::UNKNOWN });
            0
        } else if kept.used == 0 || expired(now, kept.last_seen, kept.timeout) {
            1
        } else if strong && kept.fate == fate::DROPPED || kept.whole() {
            2
        } else if strong && kept.fate == fate::EARLY {
            3
        } else {
            4
        };
        let here = hidden.hide(here);
        if here < rank {
            rank = here;
            chosen = way as u32;
        }
        way += 1;
    }
    let looks = told == told::FIRST || told == told::LATER;
    if looks && before == told::UNKNOWN {
        return told::UNKNOWN;
    }
    let chosen = hidden.hide(chosen) as usize;
    if chosen >= FRAGMENT_WAYS {
        return refused(Reason::fragment_table_full);
    }
    // SAFETY: `chosen` is below the number of ways, and the lock is ours.
    let kept = unsafe { &mut (*bucket).ways[chosen] };
    let fate = match (told, before) {
        (_, told::REFUSED) => return refused(kept.reason),
        (told::MALFORMED, told::PASSED | told::HELD) | (told::EARLY | told::LATER, told::DROPPED) => return before,
        (told::FIRST, told::DROPPED) => return told::UNKNOWN,
        (told::MALFORMED, _) => told::DROPPED,
        (told::EARLY | told::LATER | told::FIRST, told::PASSED | told::HELD | told::EARLY) => before,
        (told::HELD, told::PASSED) => told::PASSED,
        (told::PASSED, told::HELD | told::EARLY) => told::HELD,
        _ => told,
    };
    let fate = hidden.hide(fate);
    let joins = before != told::UNKNOWN && before != told::DROPPED && fate != told::DROPPED;
    if !joins {
        if let Err(answer) = begin(walk, control, kept, (now, lifetime)) {
            return answer;
        }
    } else if told == told::PASSED || told == told::HELD {
        // its time is that of its first fragment
        kept.last_seen = now;
        kept.service = walk.service;
        kept.zone = walk.zone;
    } else if told == told::LATER {
        walk.service = kept.service;
        walk.zone = kept.zone;
    }
    kept.fate = fate as u8;
    if fate == told::DROPPED || told == told::FIRST && fate != told::PASSED {
        return fate;
    }
    take(walk, kept, fate)
}

/// Adds the fragment at hand to its datagram.
#[inline(always)]
fn take(walk: &Walk, kept: &mut Fragment, fate: u32) -> u32 {
    let from = walk.fragment_offset as u32;
    let end = from + walk.fragment_len as u32;
    let more = walk.parsed & parsed::MORE != 0;
    if kept.whole() {
        return fate;
    }
    match dropgate_fit(kept, from, end, more as u32) {
        0 if !kept.add(from, end, more) => {}
        0 => {
            leave(kept);
            kept.source = NOWHERE;
            kept.used = (fate != told::PASSED) as u8;
            kept.last_seen = flow::tick(walk);
            kept.timeout = kept.timeout.max(RECEIVED);
        }
        // who holds the others looks at the bytes
        _ if fate != told::PASSED => {}
        reason => {
            let reason = Reason(reason as u16);
            // a copy ends nothing
            if reason != Reason::fragment_repeated {
                kept.fate = fate::CONDEMNED;
                kept.reason = reason;
            }
            return refused(reason);
        }
    }
    fate
}

/// [`Fragment::fit`] as a global function, which the verifier walks once: 0 if it fits, else the reason for which it does not.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_fit(kept: *const Fragment, from: u32, end: u32, more: u32) -> u32 {
    // SAFETY: the verifier holds every caller to a whole entry, or null.
    let Some(kept) = (unsafe { kept.as_ref() }) else { return Reason::internal.0 as u32 };
    match kept.fit(from, end, more != 0) {
        Fit::Fits => 0,
        Fit::Repeats => Reason::fragment_repeated.0 as u32,
        Fit::Contradicts(reason) => reason.0 as u32,
    }
}

/// Makes a way the entry of a datagram of which nothing has come. The answer, if its source has as many as it may.
#[inline(always)]
fn begin(walk: &Walk, control: &Control, kept: &mut Fragment, (now, lifetime): (u32, u32)) -> Result<(), u32> {
    if kept.used != 0 {
        leave(kept);
        kept.used = 0;
    }
    let window = now / lifetime.max(1);
    let source = source(walk, control);
    if !enter(source, window, control.fragments_per_source) {
        return Err(refused(Reason::fragment_source_limit));
    }
    kept.src = walk.src;
    kept.dst = walk.dst;
    kept.id = walk.fragment_id;
    kept.protocol = protocol_key(walk);
    kept.family = walk.family;
    kept.used = 1;
    kept.port = place(walk);
    kept.realm = realm::of_tunnel(walk.realm);
    kept.last_seen = now;
    kept.timeout = lifetime;
    kept.generation = walk.generation;
    kept.service = walk.service;
    kept.zone = walk.zone;
    kept.filled = 0;
    kept.length = 0;
    kept.source = source;
    kept.window = window;
    kept.count = 0;
    Ok(())
}

/// Counts another datagram of a source, unless it has as many as it may.
#[inline(always)]
fn enter(source: u32, window: u32, most: u32) -> bool {
    let Some(counted) = FRAGMENT_SOURCES.get_ptr_mut(source) else { return false };
    // SAFETY: a map value, changed under its lock.
    unsafe {
        let lock = &raw mut (*counted).lock;
        if !atomic::lock(lock) {
            return false;
        }
        if (*counted).window != window {
            (*counted).before = if (*counted).window.wrapping_add(1) == window { (*counted).now } else { 0 };
            (*counted).now = 0;
            (*counted).window = window;
        }
        let room = (*counted).now + (*counted).before < most;
        if room {
            (*counted).now += 1;
        }
        atomic::unlock(lock);
        room
    }
}

/// One datagram of a source less.
#[inline(always)]
fn leave(kept: &Fragment) {
    let Some(counted) = FRAGMENT_SOURCES.get_ptr_mut(kept.source) else { return };
    // SAFETY: a map value, changed under its lock.
    unsafe {
        let lock = &raw mut (*counted).lock;
        if !atomic::lock(lock) {
            return;
        }
        if (*counted).window == kept.window {
            (*counted).now = (*counted).now.saturating_sub(1);
        } else if (*counted).window == kept.window.wrapping_add(1) {
            (*counted).before = (*counted).before.saturating_sub(1);
        }
        atomic::unlock(lock);
    }
}

/// Where the datagrams of a source are counted.
#[inline(always)]
fn source(walk: &Walk, control: &Control) -> u32 {
    let key = key(walk, [0; 4], 0, 0);
    (key.hash(&control.secret) >> 32) as u32 & (SOURCES - 1)
}

/// What fragments of one datagram have in common (RFC 791, RFC 8200, 4.5), as a key for the hash.
#[inline(always)]
fn bucket(walk: &Walk, control: &Control) -> Option<*mut FragmentBucket> {
    let realm = realm::of_tunnel(walk.realm);
    let key = FlowKey { realm, ..key(walk, walk.dst, walk.fragment_id, protocol_key(walk)) };
    FRAGMENTS.get_ptr_mut((key.hash(&control.secret) >> 32) as u32 & control.fragment_mask)
}

#[inline(always)]
fn key(walk: &Walk, dst: Address, id: u32, protocol: u8) -> FlowKey {
    FlowKey {
        low: walk.src,
        high: dst,
        low_port: id as u16,
        high_port: (id >> 16) as u16,
        protocol,
        family: walk.family,
        realm: 0,
    }
}

/// IPv6 tells datagrams apart without the protocol.
#[inline(always)]
fn protocol_key(walk: &Walk) -> u8 {
    if walk.family == V4 { walk.protocol } else { 0 }
}

/// Where a fragment was seen. What the gateway sends is no part of a datagram that comes in there, and neither is what is in a
/// tunnel: identifiers of VLANs have twelve bits, and leave room for its kind.
#[inline(always)]
fn place(walk: &Walk) -> u64 {
    walk.port | (walk.hook as u64) << 31 | (walk.tunnel as u64 & 0xf) << 44
}

#[inline(always)]
fn same(walk: &Walk, kept: &Fragment) -> bool {
    kept.used != 0
        && kept.id == walk.fragment_id
        && kept.protocol == protocol_key(walk)
        && kept.family == walk.family
        && kept.realm == realm::of_tunnel(walk.realm)
        && kept.port == place(walk)
        && equal(&kept.src, &walk.src)
        && equal(&kept.dst, &walk.dst)
}

#[inline(always)]
fn lives(walk: &Walk, kept: &Fragment, now: u32) -> bool {
    kept.generation == walk.generation && !expired(now, kept.last_seen, kept.timeout)
}
