//! Stage 5: IP fragments, by the policy of their protocol. Tiny and overlapping ones are dropped whatever it says.
//!
//! Tracked: the first fragment is judged by its ports like any packet, and its verdict is kept for the others. If it is held
//! they are held too, until the inspector has put the datagram together; and so is one that comes before the first.

use dropgate_abi::{
    control::Control,
    hold::part,
    policy::{Settings, class, fragments, setting, side, timeout},
    reason::Reason,
    tuple::V4,
    walk::{Walk, action, hook, parsed},
};

use crate::{
    content,
    cursor::Frame,
    parse::protocol,
    step::{Step, drop, pass},
    track::{dropgate_track, refusal, told},
    verdict,
};

/// Ends the walk of fragments that cannot go on; whole packets and first fragments do.
#[inline(always)]
pub fn fragment(walk: &mut Walk, settings: &Settings) -> Step {
    if walk.parsed & parsed::FRAGMENT == 0 {
        return Ok(());
    }
    check(walk, settings)
}

/// What is done with a fragment.
#[inline(always)]
fn mode(walk: &Walk, settings: &Settings) -> u8 {
    let [of4, of6] = &settings.fragments;
    let of = if walk.family == V4 { of4 } else { of6 };
    match walk.protocol {
        protocol::UDP => of[class::UDP],
        protocol::TCP => of[class::TCP],
        protocol::ICMP if walk.family == V4 => of[class::ICMP],
        protocol::ICMPV6 if walk.family != V4 => of[class::ICMP],
        _ => of[class::OTHER],
    }
}

#[inline(never)]
fn check(walk: &mut Walk, settings: &Settings) -> Step {
    let first = walk.parsed & parsed::FIRST != 0;
    walk.part = if first { part::FIRST } else { part::LATER };
    if walk.fragment_offset as u32 + walk.fragment_len as u32 > 0xffff {
        return drop(Reason::fragment_too_long);
    }
    if walk.fragment_len == 0 || walk.parsed & parsed::MORE != 0 && !walk.fragment_len.is_multiple_of(8) {
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
        fragments::TRACK if first => begins(settings),
        fragments::TRACK => inherit(settings),
        _ => Ok(()),
    }
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
            dropgate_track(if judged { told::DROPPED } else { told::MALFORMED }, lifetime);
            return answer;
        }
        (true, action::HOLD) => {
            // without its followers it is never put together
            if let Some(reason) = refusal(dropgate_track(told::HELD, lifetime)) {
                verdict::note(walk, settings, reason);
            }
            return answer;
        }
        (true, _) if judged => match dropgate_track(told::PASSED, lifetime) {
            told::PASSED => return answer,
            other => match refusal(other) {
                // its followers would be dropped
                Some(reason) => return drop(reason),
                None => walk.part = part::BESIDE,
            },
        },
        (false, action::HOLD) => {}
        (false, action::PASS) if judged => match dropgate_track(told::EARLY, lifetime) {
            // its first one was judged in this moment
            told::PASSED => return pass(Reason::fragment_tracked),
            told::DROPPED => return drop(Reason::fragment_of_dropped),
            other => {
                if let Some(reason) = refusal(other) {
                    return drop(reason);
                }
            }
        },
        _ => return answer,
    }
    match content::beside(frame, walk, control, settings) {
        // the others wait for it, so that it is of no use to its receiver, whatever is configured
        Err(failure) if failure.action() != action::HOLD => {
            if first {
                dropgate_track(told::DROPPED, lifetime);
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

/// A later fragment gets the verdict of its first. One that came before it goes on, to be held, if there is an inspector.
#[inline(always)]
fn inherit(settings: &Settings) -> Step {
    match dropgate_track(told::LATER, settings.timeouts[timeout::FRAGMENT]) {
        told::PASSED => pass(Reason::fragment_tracked),
        told::DROPPED => drop(Reason::fragment_of_dropped),
        told::UNKNOWN if settings.flags & setting::INSPECTION != 0 => Ok(()),
        told::UNKNOWN => drop(Reason::fragment_first_missing),
        other => match refusal(other) {
            Some(reason) => drop(reason),
            None => content::HELD,
        },
    }
}

/// A first fragment that is none to its datagram is not judged: it changes no flow.
#[inline(always)]
fn begins(settings: &Settings) -> Step {
    match refusal(dropgate_track(told::FIRST, settings.timeouts[timeout::FRAGMENT])) {
        Some(reason) => drop(reason),
        None => Ok(()),
    }
}
