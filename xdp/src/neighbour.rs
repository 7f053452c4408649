//! ARP, IPv6 neighbour discovery and multicast listener discovery, and the answers that nobody asked for.
//!
//! The egress program notes whom the gateway asks for, the ingress program of a bridge whom hosts ask for on the other side; an
//! answer from anybody else is unsolicited.

use dropgate_abi::{
    control::Asked,
    policy::{Settings, setting, side},
    reason::Reason,
    tuple::{Address, V4, V6},
    walk::{Walk, hook},
};

use crate::{
    cursor::Frame,
    maps::ASKED,
    step::{Step, drop, pass},
    verdict,
};

/// Ethertype of ARP.
pub const ARP: u16 = 0x0806;
/// How long an answer is awaited, ns. Kernels ask three times, a second apart.
const PATIENCE_NS: u64 = 5_000_000_000;

/// ARP for IPv4 over Ethernet (RFC 826): requests pass, replies are looked at.
#[inline(always)]
pub fn arp(frame: &impl Frame, walk: &Walk, settings: &Settings, ifindex: u32) -> Step {
    let l3 = walk.l3 as usize;
    let Some(head) = frame.read::<[u16; 14]>(l3) else { return drop(Reason::arp_malformed) };
    // hardware type Ethernet, protocol type IPv4, lengths 6 and 4
    if head[0] != 1u16.to_be() || head[1] != 0x0800u16.to_be() || head[2] != 0x0604u16.to_be() {
        return drop(Reason::arp_malformed);
    }
    let reply = head[3] == 2u16.to_be();
    let address = |at: usize| [head[at] as u32 | (head[at + 1] as u32) << 16, 0, 0, 0];
    if walk.hook == hook::EGRESS {
        if !reply {
            ask(walk, ifindex, V4, address(12));
        }
        return pass(Reason::arp);
    }
    if !reply && walk.onward != 0 {
        ask(walk, ifindex, V4, address(12));
    }
    if reply && !asked(walk, asked_at(walk, ifindex), V4, address(7)) {
        if settings.flags & setting::DROP_UNSOLICITED != 0 {
            return drop(Reason::arp_unsolicited_dropped);
        }
        verdict::note(walk, settings, Reason::arp_unsolicited);
    }
    pass(Reason::arp)
}

/// ICMPv6 that IPv6 cannot do without (RFC 4861, RFC 3810); other ICMPv6 goes on to the allowlist.
#[inline(always)]
pub fn icmp6(frame: &impl Frame, walk: &Walk, settings: &Settings) -> Step {
    let out = walk.hook == hook::EGRESS;
    match walk.icmp_type {
        130..=132 | 143 => return pass(Reason::multicast_listener),
        133..=137 => {}
        _ => return Ok(()),
    }
    // anything that was routed has a lower one
    if walk.ttl != 255 {
        return drop(Reason::nd_hop_limit);
    }
    if walk.icmp_code != 0 {
        return drop(Reason::nd_code);
    }
    let Some(target) = frame.read::<Address>(walk.l4 as usize + 8) else {
        return if walk.icmp_type == 133 || walk.icmp_type == 134 {
            router(walk, out)
        } else {
            drop(Reason::icmp_truncated)
        };
    };
    let ifindex = walk.port as u32;
    match walk.icmp_type {
        133 | 134 => return router(walk, out),
        135 if out || walk.onward != 0 => ask(walk, ifindex, V6, target),
        136 if !out && !asked(walk, asked_at(walk, ifindex), V6, target) => {
            if settings.flags & setting::DROP_UNSOLICITED != 0 {
                return drop(Reason::na_unsolicited_dropped);
            }
            verdict::note(walk, settings, Reason::na_unsolicited);
        }
        137 if !out => {
            let zone = walk.side_kind != side::OUTSIDE;
            return drop(if zone { Reason::nd_rogue_router } else { Reason::icmp_redirect });
        }
        _ => {}
    }
    pass(Reason::neighbour_discovery)
}

/// Solicitations come from anybody, advertisements only from the outside's routers or from the gateway.
#[inline(always)]
fn router(walk: &Walk, out: bool) -> Step {
    if walk.icmp_type == 134 && !out && walk.side_kind != side::OUTSIDE {
        return drop(Reason::nd_rogue_router);
    }
    pass(Reason::neighbour_discovery)
}

/// Where an answer was asked for that came in by this interface: on a bridge on the other side.
#[inline(always)]
const fn asked_at(walk: &Walk, ifindex: u32) -> u32 {
    if walk.onward != 0 { walk.onward } else { ifindex }
}

#[inline(always)]
fn ask(walk: &Walk, ifindex: u32, family: u8, address: Address) {
    let key = Asked { address, ifindex, family: family as u32 };
    // full: the oldest makes room, and its answer is noted as unsolicited
    let _ = ASKED.insert(key, walk.now_ns, 0);
}

#[inline(always)]
fn asked(walk: &Walk, ifindex: u32, family: u8, address: Address) -> bool {
    let key = Asked { address, ifindex, family: family as u32 };
    match ASKED.get_ptr(key) {
        // SAFETY: an aligned 64-bit value; one that is written just now is a time either way.
        Some(at) => walk.now_ns.saturating_sub(unsafe { *at }) < PATIENCE_NS,
        None => false,
    }
}
