//! Stage 3: which side is this? The frames that are no IP packets end here.

use dropgate_abi::{
    policy::{PortKey, Settings, Side, kind, setting, side},
    reason::Reason,
    tunnel::{PPPOE_SESSION, inside},
    walk::{Walk, action, hook},
};

use crate::{
    cursor::Frame,
    maps::{SCRATCH, SEEN, SIDES, Seen},
    neighbour,
    step::{Decision, Step, drop, pass},
};

/// Ethertypes begin here.
const LEAST_ETHERTYPE: u16 = 0x0600;

/// Looks up the port a packet came in by (at egress: leaves by) and, at egress, ends the walk of what was judged already.
#[inline(never)]
pub fn ingress<F: Frame>(frame: &F, walk: &mut Walk, settings: &Settings, ifindex: u32) -> Step {
    if walk.family == 0 {
        return other(frame, walk, settings, ifindex);
    }
    placed(walk, settings, ifindex)
}

/// The port and its side.
#[inline(always)]
fn placed(walk: &mut Walk, settings: &Settings, ifindex: u32) -> Step {
    let key = PortKey { ifindex, outer: walk.vlan[0], inner: walk.vlan[1] };
    if walk.hook == hook::EGRESS && walk.from_ifindex != 0 {
        let from = PortKey { ifindex: walk.from_ifindex, outer: 0, inner: 0 };
        if side_of(walk, &from).is_none() {
            return drop(Reason::interface_unknown);
        }
        match settings.kind {
            kind::ROUTE => return pass(Reason::routed),
            // the kernel forwards nothing between the sides of a bridge
            kind::BRIDGE => return drop(Reason::interface_unknown),
            _ => {}
        }
    }
    let Some(found) = side_of(walk, &key) else {
        return drop(if walk.vlan[0] | walk.vlan[1] != 0 { Reason::vlan_unknown } else { Reason::interface_unknown });
    };
    if found.kind == side::DEVICE {
        // an untagged frame where all zones are tagged
        return drop(Reason::vlan_unknown);
    }
    goes_on(walk, settings, Some(found))?;
    walk.scope = found.scope;
    walk.fallback = found.fallback;
    walk.side_kind = found.kind;
    walk.side_flags = found.flags;
    walk.realm = found.realm;
    Ok(())
}

/// Where a packet goes on that came in by a bridge.
#[inline(always)]
fn goes_on(walk: &mut Walk, settings: &Settings, found: Option<Side>) -> Step {
    if settings.kind != kind::BRIDGE || walk.hook == hook::EGRESS {
        return Ok(());
    }
    walk.onward = found.map_or(0, |side| side.peer);
    if walk.onward == 0 { drop(Reason::bridge_peer_absent) } else { Ok(()) }
}

/// The same of a frame that is no IP packet: the interface alone says where. A function of its own for its stack.
#[inline(never)]
fn goes_on_untagged(walk: &mut Walk, settings: &Settings, ifindex: u32) -> Step {
    let found = side_of(walk, &PortKey { ifindex, outer: 0, inner: 0 });
    goes_on(walk, settings, found)
}

/// The hardware address of the interface where a packet came in; `None`: it has none that is known.
#[inline(always)]
pub fn mac(walk: &Walk) -> Option<[u16; 3]> {
    let side = side_of(walk, &PortKey { ifindex: walk.port as u32, outer: walk.vlan[0], inner: walk.vlan[1] })?;
    (side.mac != [0; 3]).then_some(side.mac)
}

/// What lies at a port. Most packets of a CPU come by few ports, so it keeps the last answers with the generation that
/// gave them; a commit, whose generation is always another, leaves none of them valid.
#[inline(always)]
fn side_of(walk: &Walk, key: &PortKey) -> Option<Side> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    let stamp = !walk.generation;
    let at = (key.ifindex ^ key.outer as u32 ^ key.inner as u32) as usize & (SEEN - 1);
    // SAFETY: this CPU's own, for the time of this packet.
    let seen = unsafe { &mut (*scratch).sides[at] };
    if seen.stamp == stamp && seen.port == key.word() {
        return Some(seen.side);
    }
    // SAFETY: an entry of the inner map, which is not written while its slot is in force.
    let side = unsafe { *SIDES.get_value_ptr_mut(walk.slot, key)? };
    *seen = Seen { port: key.word(), side, stamp, _pad: 0 };
    Some(side)
}

/// Frames that are no IP packets: ARP with its own reasons, the rest by ethertype.
#[inline(never)]
fn other<F: Frame>(frame: &F, walk: &mut Walk, settings: &Settings, ifindex: u32) -> Step {
    walk.frame_len = frame.len();
    if walk.ethertype == PPPOE_SESSION {
        return session(walk, settings, ifindex);
    }
    if walk.hook == hook::EGRESS && walk.ethertype != neighbour::ARP {
        return pass(Reason::ethertype_allowed);
    }
    if settings.kind == kind::BRIDGE {
        goes_on_untagged(walk, settings, ifindex)?;
    }
    let answer = listed(settings, walk.ethertype);
    if walk.ethertype == neighbour::ARP && (answer == pass(Reason::ethertype_allowed) || walk.hook == hook::EGRESS) {
        return neighbour::arp(frame, walk, settings, ifindex);
    }
    answer
}

/// Whether the policy lists an ethertype.
#[inline(always)]
pub fn listed(settings: &Settings, ethertype: u16) -> Step {
    // below it is a length (IEEE 802.3, 3.2.6), and what it is stands behind
    let ethertype = if ethertype < LEAST_ETHERTYPE { 0 } else { ethertype };
    let mut listed = false;
    let mut at = 0;
    while at < settings.ethertypes.len() {
        if (at as u32) < settings.ethertype_count && settings.ethertypes[at] == ethertype {
            listed = true;
        }
        at += 1;
    }
    if listed { pass(Reason::ethertype_allowed) } else { drop(Reason::ethertype_denied) }
}

/// PPPoE sessions: dropped, passed unread, or judged as what comes in there, by what the policy says.
#[inline(never)]
fn session(walk: &mut Walk, settings: &Settings, ifindex: u32) -> Step {
    let action = if settings.flags & setting::PPPOE_JUDGE != 0 {
        walk.inside = inside::JUDGE;
        action::INSIDE
    } else if settings.flags & setting::PPPOE_OPAQUE != 0 {
        walk.inside = inside::OPAQUE;
        action::PASS
    } else {
        return drop(Reason::pppoe_unasked);
    };
    placed(walk, settings, ifindex)?;
    Err(Decision::new(action, Reason::pppoe_opaque))
}
