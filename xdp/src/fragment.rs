//! Stage 5: IP fragments, by the policy of their protocol. Tiny and overlapping ones are dropped whatever it says.
//!
//! Tracked: the first fragment is judged by its ports like any packet, and its verdict is kept for the others.

use dropgate_abi::{
    control::Control,
    flow::{FRAGMENT_WAYS, Fragment, FragmentBucket, expired},
    policy::{Settings, class, fragments, side, timeout},
    reason::Reason,
    tuple::{FlowKey, V4, equal},
    walk::{Walk, action, hook, parsed},
};

use crate::{
    atomic, flow,
    maps::{CONTROL, FRAGMENTS, SCRATCH},
    parse::protocol,
    step::{Decision, Step, drop, pass},
    table::hide,
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
        fragments::TRACK if !first => inherit(walk, control),
        _ => Ok(()),
    }
}

/// What became of a first fragment.
mod fate {
    pub const PASSED: u32 = 0;
    /// By policy, or for want of a flow.
    pub const DROPPED: u32 = 1;
    /// Before its ports were looked at.
    pub const MALFORMED: u32 = 2;
}

/// Keeps the verdict of a first fragment for those that follow. A passed one that cannot be kept is dropped, because its
/// followers would be.
#[inline(always)]
pub fn remember(walk: &Walk, settings: &Settings, answer: Step) -> Step {
    if !tracked(walk, settings) {
        return answer;
    }
    match answer {
        Err(decision) => {
            let passed = decision.action() == action::PASS;
            let kept = dropgate_keep(if passed { fate::PASSED } else { fate::DROPPED }, lifetime(settings));
            if passed && kept == 0 { drop(Reason::fragment_table_full) } else { answer }
        }
        Ok(()) => answer,
    }
}

/// Keeps the verdict of a first fragment that ended before it could be judged by its ports.
#[inline(always)]
pub fn refuse(walk: &Walk, settings: &Settings, decision: Decision) -> Step {
    if decision.action() != action::PASS && tracked(walk, settings) {
        // followers of one that finds no room have no first one, and are dropped for that
        dropgate_keep(fate::MALFORMED, lifetime(settings));
    }
    Err(decision)
}

/// A first fragment whose followers inherit.
#[inline(always)]
fn tracked(walk: &Walk, settings: &Settings) -> bool {
    let first = parsed::FRAGMENT | parsed::FIRST;
    walk.parsed & first == first && mode(walk, settings) == fragments::TRACK
}

/// Ticks for which a first fragment is remembered.
#[inline(always)]
fn lifetime(settings: &Settings) -> u32 {
    settings.timeouts[timeout::FRAGMENT]
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

/// A later fragment gets the verdict of its first.
#[inline(always)]
fn inherit(walk: &mut Walk, control: &Control) -> Step {
    let Some(bucket) = bucket(walk, control) else { return drop(Reason::internal) };
    let now = flow::tick(walk);
    let mut way = 0;
    while way < FRAGMENT_WAYS {
        // SAFETY: `way` is below the number of ways.
        let kept = unsafe { &(*bucket).ways[way] };
        if same(walk, kept) && !expired(now, kept.last_seen, kept.timeout) && kept.generation == walk.generation {
            walk.service = kept.service;
            walk.zone = kept.zone;
            return if kept.dropped != 0 { drop(Reason::fragment_of_dropped) } else { pass(Reason::fragment_tracked) };
        }
        way += 1;
    }
    drop(Reason::fragment_first_missing)
}

/// Writes a first fragment's verdict over: its own entry, a free or expired way, or (for one that passed) one that was
/// dropped. A flood of dropped ones cannot push out those that passed, and a malformed one says nothing about one of the
/// same datagram that passed. `fate`: see [`fate`]. Whether it is kept.
///
/// A global function, which takes numbers only: the verifier walks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_keep(fate: u32, timeout: u32) -> u32 {
    let (Some(control), Some(scratch)) = (CONTROL.get(0), SCRATCH.get_ptr_mut(0)) else { return 0 };
    // SAFETY: this CPU's own, for the time of this packet.
    let (walk, hidden) = unsafe { (&(*scratch).walk, &raw mut (*scratch).hidden) };
    let Some(bucket) = bucket(walk, control) else { return 0 };
    let dropped = fate != fate::PASSED;
    let now = flow::tick(walk);
    // SAFETY: a field of a map value.
    let lock = unsafe { &raw mut (*bucket).lock };
    if !atomic::lock(lock) {
        return 0;
    }
    let mut chosen = FRAGMENT_WAYS;
    let mut contradicted = 0;
    let mut rank = 4;
    let mut way = 0;
    while way < FRAGMENT_WAYS {
        // SAFETY: `way` is below the number of ways.
        let kept = unsafe { &(*bucket).ways[way] };
        let here = if same(walk, kept) {
            let lives = kept.generation == walk.generation && !expired(now, kept.last_seen, kept.timeout);
            contradicted = hide(hidden, (lives && kept.dropped == 0) as u32);
            0
        } else if kept.used == 0 || expired(now, kept.last_seen, kept.timeout) {
            1
        } else if kept.dropped != 0 && !dropped {
            2
        } else {
            4
        };
        let here = hide(hidden, here);
        if here < rank {
            rank = here;
            chosen = way;
        }
        way += 1;
    }
    let chosen = hide(hidden, chosen as u32) as usize;
    if fate == fate::MALFORMED && contradicted != 0 {
        atomic::unlock(lock);
        return 0;
    }
    if chosen < FRAGMENT_WAYS {
        // SAFETY: `chosen` is below the number of ways, and the lock is ours.
        unsafe {
            (*bucket).ways[chosen] = Fragment {
                src: walk.src,
                dst: walk.dst,
                id: walk.fragment_id,
                protocol: protocol_key(walk),
                family: walk.family,
                used: 1,
                dropped: dropped as u8,
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
    (chosen < FRAGMENT_WAYS) as u32
}
