//! Stage 5: IP fragments, by the policy of their protocol. Tiny and overlapping ones are dropped whatever it says.
//!
//! Tracked: the first fragment is judged by its ports like any packet, and its verdict is kept for the others. If it is held
//! they are held too, until the inspector has put the datagram together; and so is one that comes before the first.

use dropgate_abi::{
    control::Control,
    flow::{FRAGMENT_WAYS, Fragment, FragmentBucket, expired, fate},
    hold::part,
    policy::{Settings, class, fragments, setting, side, timeout},
    reason::Reason,
    tuple::{FlowKey, V4, equal},
    walk::{Walk, action, hook, parsed},
};

use crate::{
    atomic, content,
    cursor::Frame,
    flow,
    maps::{CONTROL, FRAGMENTS, SCRATCH},
    parse::protocol,
    step::{Step, drop, pass},
    table::hide,
    verdict,
};

/// Ends the walk of fragments that cannot go on; whole packets and first fragments do.
#[inline(always)]
pub fn fragment(walk: &mut Walk, control: &Control, settings: &Settings) -> Step {
    if walk.parsed & parsed::FRAGMENT == 0 {
        return Ok(());
    }
    check(walk, control, settings)
}

#[inline(always)]
fn mode(walk: &Walk, settings: &Settings) -> u8 {
    match walk.protocol {
        protocol::UDP => settings.fragments[class::UDP],
        protocol::TCP => settings.fragments[class::TCP],
        protocol::ICMP if walk.family == V4 => settings.fragments[class::ICMP],
        protocol::ICMPV6 if walk.family != V4 => settings.fragments[class::ICMP],
        _ => settings.fragments[class::OTHER],
    }
}

#[inline(never)]
fn check(walk: &mut Walk, control: &Control, settings: &Settings) -> Step {
    let first = walk.parsed & parsed::FIRST != 0;
    walk.part = if first { part::FIRST } else { part::LATER };
    if walk.fragment_offset as u32 + walk.fragment_len as u32 > 0xffff {
        return drop(Reason::fragment_too_long);
    }
    if walk.parsed & parsed::MORE != 0 && (!walk.fragment_len.is_multiple_of(8) || walk.fragment_len == 0) {
        return drop(Reason::fragment_bad_length);
    }
    // RFC 1858, RFC 7112: the whole header chain is in the first fragment
    if first && walk.l4 == 0 {
        return drop(Reason::fragment_tiny);
    }
    // RFC 3128: the transport header lies in the first fragment alone
    let header = match walk.protocol {
        protocol::TCP => 20,
        protocol::SCTP => 12,
        _ => 0,
    };
    if !first && walk.fragment_offset < header {
        return drop(Reason::fragment_overlap);
    }
    // on its way out the kernel has taken datagrams apart again that were judged where they came in
    if walk.hook == hook::EGRESS && walk.from_ifindex != 0 && walk.side_kind == side::OUTSIDE {
        return if first { Ok(()) } else { pass(Reason::translated) };
    }
    match mode(walk, settings) {
        fragments::DROP => drop(Reason::fragment_denied),
        fragments::TRACK if !first => inherit(walk, control, settings),
        _ => Ok(()),
    }
}

/// What [`dropgate_keep`] is told and answers: [`fate`]'s values, and these.
mod keep {
    use dropgate_abi::flow::fate;

    pub const PASSED: u32 = fate::PASSED as u32;
    pub const DROPPED: u32 = fate::DROPPED as u32;
    pub const HELD: u32 = fate::HELD as u32;
    pub const EARLY: u32 = fate::EARLY as u32;
    /// Told: the first fragment was dropped before its ports were looked at.
    pub const MALFORMED: u32 = 4;
    /// Answered: there is no room.
    pub const NO_ROOM: u32 = 5;
}

/// The end of a fragment's walk: a first one's fate is kept for those that follow, and what belongs to a datagram of which
/// fragments are held is held too. `judged`: it came past the stages before its ports.
#[inline(never)]
pub fn conclude<F: Frame>(
    frame: &F,
    walk: &mut Walk,
    (control, settings): &(&Control, &Settings),
    answer: Step,
    judged: bool,
) -> Step {
    let Err(decision) = answer else { return answer };
    if !tracks(walk, settings) {
        return answer;
    }
    let lifetime = settings.timeouts[timeout::FRAGMENT];
    let first = walk.parsed & parsed::FIRST != 0;
    match (first, decision.action()) {
        // followers of one that finds no room have no first one, and are dropped for that
        (true, action::DROP) => {
            dropgate_keep(if judged { keep::DROPPED } else { keep::MALFORMED }, lifetime);
            return answer;
        }
        (true, action::HOLD) => {
            if dropgate_keep(keep::HELD, lifetime) == keep::NO_ROOM {
                verdict::note(walk, settings, Reason::fragment_table_full);
            }
            return answer;
        }
        (true, _) if judged => match dropgate_keep(keep::PASSED, lifetime) {
            keep::PASSED => return answer,
            // its followers would be dropped
            keep::NO_ROOM => return drop(Reason::fragment_table_full),
            _ => walk.part = part::BESIDE,
        },
        (false, action::HOLD) => {}
        (false, action::PASS) if judged => match dropgate_keep(keep::EARLY, lifetime) {
            // its first one was judged in this moment
            keep::PASSED => return pass(Reason::fragment_tracked),
            keep::DROPPED => return drop(Reason::fragment_of_dropped),
            keep::NO_ROOM => return drop(Reason::fragment_table_full),
            _ => {}
        },
        _ => return answer,
    }
    match content::beside(frame, walk, control, settings) {
        // the others wait for it, so that it is of no use to its receiver, whatever is configured
        Err(failure) if failure.action() != action::HOLD => {
            if first {
                dropgate_keep(keep::DROPPED, lifetime);
            }
            drop(failure.reason())
        }
        held => held,
    }
}

/// Whether fragments like this one are judged by the first one of their datagram.
#[inline(always)]
pub fn tracks(walk: &Walk, settings: &Settings) -> bool {
    mode(walk, settings) == fragments::TRACK
}

/// What fragments of one datagram have in common (RFC 791, RFC 8200, 4.5), as a key for the hash.
#[inline(always)]
fn bucket(walk: &Walk, control: &Control) -> Option<*mut FragmentBucket> {
    let key = FlowKey {
        low: walk.src,
        high: walk.dst,
        low_port: walk.fragment_id as u16,
        high_port: (walk.fragment_id >> 16) as u16,
        protocol: protocol_key(walk),
        family: walk.family,
        realm: 0,
    };
    FRAGMENTS.get_ptr_mut((key.hash(&control.secret) >> 32) as u32 & control.fragment_mask)
}

/// IPv6 tells datagrams apart without the protocol.
#[inline(always)]
fn protocol_key(walk: &Walk) -> u8 {
    if walk.family == V4 { walk.protocol } else { 0 }
}

/// Where a fragment was seen. What the gateway sends is no part of a datagram that comes in there.
#[inline(always)]
fn place(walk: &Walk) -> u64 {
    walk.port | (walk.hook as u64) << 31
}

#[inline(always)]
fn same(walk: &Walk, kept: &Fragment) -> bool {
    kept.used != 0
        && kept.id == walk.fragment_id
        && kept.protocol == protocol_key(walk)
        && kept.family == walk.family
        && kept.port == place(walk)
        && equal(&kept.src, &walk.src)
        && equal(&kept.dst, &walk.dst)
}

/// A later fragment gets the verdict of its first. One that came before it goes on, to be held, if there is an inspector.
#[inline(always)]
fn inherit(walk: &mut Walk, control: &Control, settings: &Settings) -> Step {
    let Some(bucket) = bucket(walk, control) else { return drop(Reason::internal) };
    let now = flow::tick(walk);
    let mut way = 0;
    while way < FRAGMENT_WAYS {
        // SAFETY: `way` is below the number of ways.
        let kept = unsafe { &(*bucket).ways[way] };
        if same(walk, kept) && lives(walk, kept, now) {
            walk.service = kept.service;
            walk.zone = kept.zone;
            return match kept.fate {
                fate::PASSED => pass(Reason::fragment_tracked),
                fate::DROPPED => drop(Reason::fragment_of_dropped),
                _ => content::HELD,
            };
        }
        way += 1;
    }
    if settings.flags & setting::INSPECTION != 0 { Ok(()) } else { drop(Reason::fragment_first_missing) }
}

#[inline(always)]
fn lives(walk: &Walk, kept: &Fragment, now: u32) -> bool {
    kept.generation == walk.generation && !expired(now, kept.last_seen, kept.timeout)
}

/// Writes a fragment's fate over: its datagram's entry, a free or expired way, or (for a first one that passed or is held)
/// that of one that was dropped, else of one whose first has not come. Floods of those cannot push out what passed. Whether
/// others of the datagram decide otherwise stands in the answer, which is the fate that its entry has now:
/// - what others are held of is held, also when the first one would pass;
/// - one that came early changes nothing about a first one that was judged;
/// - a malformed one says nothing about one of the same datagram that passed or is held.
///
/// `told` and answer: see [`keep`]. A global function, which takes numbers only: the verifier walks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_keep(told: u32, timeout: u32) -> u32 {
    let (Some(control), Some(scratch)) = (CONTROL.get(0), SCRATCH.get_ptr_mut(0)) else { return keep::NO_ROOM };
    // SAFETY: this CPU's own, for the time of this packet.
    let (walk, hidden) = unsafe { (&(*scratch).walk, &raw mut (*scratch).hidden) };
    let Some(bucket) = bucket(walk, control) else { return keep::NO_ROOM };
    let strong = told == keep::PASSED || told == keep::HELD;
    let now = flow::tick(walk);
    // SAFETY: a field of a map value.
    let lock = unsafe { &raw mut (*bucket).lock };
    if !atomic::lock(lock) {
        return keep::NO_ROOM;
    }
    let mut chosen = FRAGMENT_WAYS as u32;
    let mut before = keep::NO_ROOM;
    let mut rank = 4;
    let mut way = 0;
    while way < FRAGMENT_WAYS {
        // SAFETY: `way` is below the number of ways.
        let kept = unsafe { &(*bucket).ways[way] };
        let here = if same(walk, kept) {
            before = hide(hidden, if lives(walk, kept, now) { kept.fate as u32 } else { keep::NO_ROOM });
            0
        } else if kept.used == 0 || expired(now, kept.last_seen, kept.timeout) {
            1
        } else if strong && kept.fate == fate::DROPPED {
            2
        } else if strong && kept.fate == fate::EARLY {
            3
        } else {
            4
        };
        let here = hide(hidden, here);
        if here < rank {
            rank = here;
            chosen = way as u32;
        }
        way += 1;
    }
    let chosen = hide(hidden, chosen) as usize;
    let fate = match (told, before) {
        (keep::PASSED, keep::HELD | keep::EARLY) => keep::HELD,
        (keep::EARLY, keep::PASSED | keep::DROPPED | keep::HELD | keep::EARLY)
        | (keep::MALFORMED, keep::PASSED | keep::HELD) => {
            atomic::unlock(lock);
            return before;
        }
        (keep::MALFORMED, _) => keep::DROPPED,
        _ => told,
    };
    if chosen < FRAGMENT_WAYS {
        let way = hide(hidden, chosen as u32) as usize & (FRAGMENT_WAYS - 1);
        // SAFETY: `way` is below the number of ways, and the lock is ours.
        unsafe {
            (*bucket).ways[way] = Fragment {
                src: walk.src,
                dst: walk.dst,
                id: walk.fragment_id,
                protocol: protocol_key(walk),
                family: walk.family,
                used: 1,
                fate: fate as u8,
                port: place(walk),
                last_seen: now,
                timeout,
                generation: walk.generation,
                service: walk.service,
                zone: walk.zone,
                _pad: [0; 3],
            };
        }
    }
    atomic::unlock(lock);
    if chosen < FRAGMENT_WAYS { fate } else { keep::NO_ROOM }
}
