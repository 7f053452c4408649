//! Stage 8: blocklist, then what every network needs, then the allowlist.
//!
//! Precedence, first match decides:
//! 1. the blocklist, by source and by destination;
//! 2. IPv6 neighbour discovery and multicast listener discovery;
//! 3. DHCP where a zone may use it;
//! 4. ICMP redirects are dropped;
//! 5. later fragments, where fragments pass;
//! 6. TCP that starts nothing: the state stage names it, or adopts it;
//! 7. the allowlist: the first service, in file order, of the source's zone that holds the packet;
//! 8. what a flow that the allowlist allows has announced.

use aya_ebpf::btf_maps::lpm_trie::Key;
use dropgate_abi::{
    control::Control,
    flow::flag as flow_flag,
    policy::{
        BLOCK_FROM, BLOCK_TO, NO_SERVICE, PrefixKey, SLOTS, Service, ServiceKey, ServiceList, Settings, ZONE_BROADCAST,
        ZONE_NONE, ZONE_OUTSIDE, ZONE_SELF, setting, side, table,
    },
    reason::Reason,
    tuple::{Address, V4, V6, realm},
    walk::{Walk, hook, parsed},
};

use crate::{
    blocklist,
    cursor::Frame,
    flow,
    maps::{CANDIDATES, LISTS, SERVICES, SIEVES},
    neighbour,
    parse::protocol,
    related,
    state::{self, Opening, Start},
    step::{Step, drop, pass},
    zone,
};

/// The start of a flow, as the allowlist sees it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Query {
    pub slot: u32,
    /// [`Settings::flags`].
    pub flags: u32,
    pub zone: u16,
    /// What `dst` is.
    pub peer: u16,
    /// The server's port; for ICMP the type.
    pub port: u16,
    pub family: u8,
    pub protocol: u8,
    /// [`realm::of_tunnel`]
    pub realm: u16,
    pub src: Address,
    pub dst: Address,
    /// Filled in by [`allowed`].
    pub service: Service,
    /// Filled in by [`related`]: another flow announced this one, and what is to be spoken then, or 0.
    pub related: bool,
    pub app: u8,
    /// How the flow begins, once it may.
    pub opening: Opening,
}

impl Query {
    /// Asks about the packet itself as the start of a flow.
    #[inline(always)]
    pub fn set(&mut self, walk: &Walk, settings: &Settings) {
        self.slot = walk.slot;
        self.flags = settings.flags;
        self.zone = walk.zone;
        self.peer = walk.peer;
        self.port = walk.dport;
        self.family = walk.family;
        self.protocol = walk.protocol;
        self.realm = realm::of_tunnel(walk.realm);
        self.src = walk.src;
        self.dst = walk.dst;
        (self.related, self.app) = (false, 0);
        self.service = Service { counter: NO_SERVICE, line: 0, flags: 0, _pad: 0 };
    }
}

/// Ends the walk of everything but a flow that may begin, about which `query` then is answered.
#[inline(always)]
pub fn policy<F: Frame>(
    frame: &F,
    walk: &mut Walk,
    query: &mut Query,
    (control, settings): &(&Control, &Settings),
) -> Step {
    before(frame, walk, query, settings)?;
    if walk.protocol == protocol::TCP && !state::starts(walk) {
        return state::midstream(walk, query, control, settings);
    }
    if walk.zone != ZONE_NONE && allowed(query) {
        query.opening = Opening::new(Start::First, 0, Reason::allowed);
        return Ok(());
    }
    if settings.flags & setting::INSPECTION != 0 {
        if walk.zone != ZONE_NONE && related::begins(query, flow::tick(walk)) {
            query.related = true;
            query.opening = Opening::new(Start::First, 0, Reason::related);
            return Ok(());
        }
        if state::is_behind(walk, settings) && related::translated(query, flow::tick(walk)) {
            query.zone = ZONE_NONE;
            query.opening = Opening::new(Start::First, flow_flag::LEDGER, Reason::related);
            return Ok(());
        }
    }
    denied(walk)
}

/// What comes before the allowlist. A function of its own for its stack, which the allowlist need not stand on.
#[inline(never)]
fn before<F: Frame>(frame: &F, walk: &mut Walk, query: &mut Query, settings: &Settings) -> Step {
    query.set(walk, settings);
    if let Some(reason) = blocked(query) {
        return drop(reason);
    }
    if walk.family == V6 && walk.protocol == protocol::ICMPV6 && walk.l4 != 0 {
        neighbour::icmp6(frame, walk, settings)?;
    }
    if walk.protocol == protocol::UDP {
        dhcp(walk)?;
    }
    if walk.family == V4 && walk.protocol == protocol::ICMP && walk.icmp_type == 5 && walk.l4 != 0 {
        return drop(Reason::icmp_redirect);
    }
    if walk.parsed & (parsed::FRAGMENT | parsed::FIRST) == parsed::FRAGMENT {
        return if walk.zone == ZONE_NONE { drop(Reason::source_not_in_zone) } else { pass(Reason::fragment_passed) };
    }
    Ok(())
}

/// The reason, when source or destination is on the blocklist.
#[inline(always)]
pub fn blocked(query: &Query) -> Option<Reason> {
    if query.flags & setting::BLOCK_FROM != 0 && blocklist::holds(query.slot, BLOCK_FROM, query.family, &query.src) {
        return Some(Reason::blocked_source);
    }
    if query.flags & setting::BLOCK_TO != 0 && blocklist::holds(query.slot, BLOCK_TO, query.family, &query.dst) {
        return Some(Reason::blocked_destination);
    }
    None
}

/// Whether a service of the zone allows this start of a flow towards the peer; finds the service.
#[inline(never)]
pub fn allowed(query: &mut Query) -> bool {
    find(query, PrefixKey::full(query.family))
}

/// As [`allowed`], of a destination that no prefix names.
#[inline(never)]
pub fn allowed_anywhere(query: &mut Query) -> bool {
    find(query, PrefixKey::NOTHING)
}

/// Finds the service that allows the start of a flow. `bits` of the destination are looked at.
#[inline(always)]
fn find(query: &mut Query, bits: u32) -> bool {
    let Some(sieve) = SIEVES.get(query.slot & (SLOTS - 1)) else { return false };
    // what is scanned for is mostly what nobody's services name
    if !sieve.may_serve(query.protocol, query.port) {
        return false;
    }
    let key = ServiceKey::packed(query.zone, query.peer, query.port, query.protocol);
    let list = match SERVICES.get_value_ptr_mut(query.slot, &key) {
        // SAFETY: an entry of the inner map, which is not written while its slot is in force.
        Some(list) => unsafe { *list },
        None if query.flags & setting::RANGES != 0 => match range(query) {
            Some(list) => list,
            None => return false,
        },
        None => return false,
    };
    let mut index = list.first;
    if list.group != 0 {
        let key = Key::new(bits, PrefixKey::new(list.group, query.family, query.dst));
        match zone::trie(query.slot, table::GROUPS, &key) {
            Some(ordinal) if ordinal != NO_SERVICE => index += ordinal,
            _ => return false,
        }
    }
    let Some(service) = CANDIDATES.get(index) else { return false };
    query.service = *service;
    true
}

/// The list of the port range that holds the query's port.
#[inline(always)]
fn range(query: &Query) -> Option<ServiceList> {
    let key = Key::new(PrefixKey::full(V4), PrefixKey::range(query.zone, query.peer, query.protocol, query.port));
    LISTS.get(zone::trie(query.slot, table::RANGES, &key)?).copied()
}

/// DHCP (RFC 2131) and DHCPv6 (RFC 8415) between the hosts of a zone and the gateway, and between the gateway and the
/// server that gives it its own address.
#[inline(always)]
fn dhcp(walk: &Walk) -> Step {
    let (client, server) = if walk.family == V4 { (68, 67) } else { (546, 547) };
    let out = walk.hook == hook::EGRESS;
    let role = if walk.sport == client && walk.dport == server {
        if out { side::DHCP_CLIENT } else { side::DHCP }
    } else if walk.sport == server && (walk.dport == client || walk.dport == server) {
        if out { side::DHCP } else { side::DHCP_CLIENT }
    } else {
        return Ok(());
    };
    // a server may send its offer to the address offered, which is not the gateway's yet (RFC 2131, 4.1)
    let offer = role == side::DHCP_CLIENT && !out && walk.dport == client && walk.peer == ZONE_OUTSIDE;
    // unicast to elsewhere is for the allowlist
    let across = walk.side_flags & side::DHCP_ACROSS != 0;
    let here = across
        || walk.peer == ZONE_SELF
        || walk.zone == ZONE_SELF
        || many(walk)
        || walk.peer == ZONE_BROADCAST
        || offer;
    if here && walk.side_flags & role != 0 {
        return pass(Reason::dhcp);
    }
    if walk.zone == ZONE_NONE { drop(Reason::dhcp_denied) } else { Ok(()) }
}

/// The destination is a multicast address or the limited broadcast address.
#[inline(always)]
fn many(walk: &Walk) -> bool {
    let top = u32::from_be(walk.dst[0]);
    if walk.family == V4 { top >> 28 == 0xe || top == u32::MAX } else { top >> 24 == 0xff }
}

/// Nothing allows it: the reason that says most.
#[inline(never)]
fn denied(walk: &Walk) -> Step {
    if many(walk) || walk.peer == ZONE_BROADCAST {
        if walk.protocol == protocol::UDP && matches!(walk.dport, 67 | 547) {
            return drop(Reason::dhcp_denied);
        }
        return drop(Reason::chatter);
    }
    if walk.zone == ZONE_NONE {
        return drop(Reason::source_not_in_zone);
    }
    if walk.protocol == protocol::UDP && walk.sport == 53 {
        return drop(Reason::dns_unsolicited);
    }
    let reply = if walk.family == V4 {
        walk.protocol == protocol::ICMP && matches!(walk.icmp_type, 0 | 14)
    } else {
        walk.protocol == protocol::ICMPV6 && walk.icmp_type == 129
    };
    if reply && walk.l4 != 0 {
        return drop(Reason::reply_unsolicited);
    }
    if walk.zone == ZONE_OUTSIDE && walk.peer == ZONE_SELF {
        return drop(Reason::not_published);
    }
    drop(Reason::not_allowed)
}
