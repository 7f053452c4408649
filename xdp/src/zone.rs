//! Stage 7: the zone of the source, by side and prefix, and the peer, by destination.

use aya_ebpf::btf_maps::lpm_trie::Key;
use dropgate_abi::{
    policy::{
        DESTINATIONS_SCOPE, PrefixKey, SLOTS, ZONE_BROADCAST, ZONE_NONE, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF, table,
    },
    reason::Reason,
    tuple::{Address, V4, equal},
    walk::{Walk, hook},
};

use crate::{
    maps::{HOSTS, Host, PREFIXES, SCRATCH, SIEVES},
    step::{Step, drop},
};

/// Finds zone and peer; drops a source that cannot be where the packet came in.
#[inline(never)]
pub fn zone(walk: &mut Walk) -> Step {
    walk.zone = if walk.hook == hook::INGRESS {
        of_source(walk)?
    } else if walk.from_ifindex == 0 {
        ZONE_SELF
    } else {
        // forwarded into a zone, and no flow of the zone's side knows it: only a published service can be meant
        ZONE_PUBLISHED
    };
    walk.peer = peer(walk.slot, walk.family, &walk.dst);
    Ok(())
}

/// The zone of the source of a packet that came in.
#[inline(always)]
pub fn of_source(walk: &Walk) -> Step<u16> {
    match source(walk) {
        Some(ZONE_SELF) => drop(Reason::source_is_self),
        Some(ZONE_BROADCAST) => drop(Reason::source_broadcast),
        Some(ZONE_NONE) => drop(Reason::source_of_zone),
        Some(zone) => Ok(zone),
        None if walk.fallback == ZONE_OUTSIDE && !equal(&walk.src, &[0; 4]) => Ok(ZONE_OUTSIDE),
        // what may come without a zone's address gets as far as the policy stage: DHCP, neighbour discovery, chatter
        None if nameless(walk) => Ok(ZONE_NONE),
        None => drop(Reason::source_not_in_zone),
    }
}

/// The unspecified address, or an IPv6 link-local one.
#[inline(always)]
fn nameless(walk: &Walk) -> bool {
    equal(&walk.src, &[0; 4]) || walk.family != V4 && u32::from_be(walk.src[0]) >> 22 == 0xfe80 >> 6
}

/// What [`lookup`] says of a source. A host that starts one flow starts more, so each CPU keeps what it found of late, with
/// the generation that said so; a commit, whose generation is always another, leaves none of it valid.
#[inline(always)]
fn source(walk: &Walk) -> Option<u16> {
    if !may_hold(walk.slot, walk.family, &walk.src) {
        return None;
    }
    let scratch = SCRATCH.get_ptr_mut(0)?;
    let stamp = !walk.generation;
    let scope = walk.scope << 1 | (walk.family != V4) as u32;
    let folded = walk.src[0] ^ walk.src[1] ^ walk.src[2] ^ walk.src[3];
    let at = (folded.wrapping_mul(0x9e37_79b1) >> 16) as usize & (HOSTS - 1);
    // SAFETY: this CPU's own, for the time of this packet.
    let host = unsafe { &mut (*scratch).hosts[at] };
    if host.stamp == stamp && host.scope == scope && equal(&host.address, &walk.src) {
        return Some(host.zone as u16);
    }
    let zone = lookup(walk.slot, walk.scope, walk.family, &walk.src)?;
    *host = Host { address: walk.src, scope, stamp, zone: zone as u32, _pad: 0 };
    Some(zone)
}

/// Longest match of an address among the sources of a side.
#[inline(always)]
pub fn lookup(slot: u32, scope: u32, family: u8, address: &Address) -> Option<u16> {
    prefix(slot, table::SOURCES, scope, family, address).map(|zone| zone as u16)
}

/// What a destination is: the gateway, a zone, a broadcast address of one, or the outside.
#[inline(always)]
pub fn peer(slot: u32, family: u8, address: &Address) -> u16 {
    // most destinations are outside: no prefix begins like them
    if !may_hold(slot, family, address) {
        return ZONE_OUTSIDE;
    }
    prefix(slot, table::PEERS, DESTINATIONS_SCOPE, family, address).map_or(ZONE_OUTSIDE, |zone| zone as u16)
}

#[inline(always)]
fn may_hold(slot: u32, family: u8, address: &Address) -> bool {
    SIEVES.get(slot & (SLOTS - 1)).is_some_and(|sieve| sieve.may_hold(family, address))
}

/// Longest match in one of the slot's tries.
#[inline(always)]
pub fn prefix(slot: u32, table: u32, scope: u32, family: u8, address: &Address) -> Option<u32> {
    let key = Key::new(PrefixKey::full(family), PrefixKey::new(scope, family, *address));
    trie(slot, table, &key)
}

/// Longest match of a key in one of the slot's tries.
#[inline(always)]
pub fn trie(slot: u32, table: u32, key: &Key<PrefixKey>) -> Option<u32> {
    let found = PREFIXES.get_value_ptr_mut((slot & (SLOTS - 1)) * table::TABLES + table, key)?;
    // SAFETY: an entry of the inner map, which is not written while its slot is in force.
    Some(unsafe { *found })
}
