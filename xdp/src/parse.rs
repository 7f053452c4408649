//! Stage 2: IPv4 with options, IPv6 with extension headers, and the transport header.
//!
//! Every outcome is named. A later fragment has no ports, ever. A first fragment too short for its transport header comes
//! out with `l4` zero; the fragment stage names it.

use dropgate_abi::{
    reason::Reason,
    tuple::{Address, V4, V6},
    walk::{Walk, icmp_oddity, parsed},
};

use crate::{
    cursor::{Frame, be16},
    hidden::Hidden,
    step::{Step, drop},
};

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;

/// IP protocol numbers (IANA).
pub mod protocol {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION: u8 = 60;
    pub const SCTP: u8 = 132;
}

/// Extension headers a packet may have before its transport header: each once, destination options twice.
const MAX_EXTENSIONS: usize = 6;

/// Parses the network and transport headers of an IP packet. Other ethertypes are left alone (`family` stays zero).
#[inline(never)]
pub fn parse<F: Frame>(frame: &F, walk: &mut Walk) -> Step {
    match walk.ethertype {
        IPV4 => ipv4(frame, walk),
        IPV6 => ipv6(frame, walk),
        _ => Ok(()),
    }
}

/// RFC 791.
#[inline(always)]
fn ipv4(frame: &impl Frame, walk: &mut Walk) -> Step {
    let l3 = walk.l3 as usize;
    let Some(head) = frame.read::<[u32; 5]>(l3) else { return drop(Reason::ip4_truncated) };
    let first = u32::from_be(head[0]);
    if first >> 28 != 4 {
        return drop(Reason::ip4_bad_version);
    }
    let header = (first >> 24 & 0xf) as usize * 4;
    let total = first as usize & 0xffff;
    if frame.merged() {
        walk.parsed |= parsed::MERGED;
    }
    let merged = walk.parsed & parsed::MERGED != 0;
    if header < 20 {
        return drop(Reason::ip4_bad_header_length);
    }
    if !merged && (total < header || !frame.holds(l3 + total)) {
        return drop(Reason::ip4_bad_total_length);
    }
    if !frame.holds(l3 + header) {
        return drop(Reason::ip4_bad_header_length);
    }
    let second = u32::from_be(head[1]);
    let third = u32::from_be(head[2]);
    walk.family = V4;
    walk.ip_len = total as u16;
    walk.ttl = (third >> 24) as u8;
    walk.protocol = (third >> 16) as u8;
    addresses(walk, [head[3], 0, 0, 0], [head[4], 0, 0, 0]);
    let available = if merged { usize::MAX >> 1 } else { total - header };
    if second & 0x3fff != 0 {
        walk.parsed |= parsed::FRAGMENT;
        walk.fragment_id = second >> 16;
        walk.fragment_offset = ((second & 0x1fff) * 8) as u16;
        walk.fragment_len = available as u16;
        if second & 0x2000 != 0 {
            walk.parsed |= parsed::MORE;
        }
        if walk.fragment_offset != 0 {
            return Ok(());
        }
        walk.parsed |= parsed::FIRST;
    }
    transport(frame, walk, l3 + header, available)
}

/// Stores both addresses in 64-bit words, as the flow stage reads them: a processor that is asked for a word it wrote in
/// two parts just now waits until both have left its store buffer.
#[inline(always)]
fn addresses(walk: &mut Walk, src: Address, dst: Address) {
    const { assert!(core::mem::offset_of!(Walk, src) % 8 == 0 && core::mem::offset_of!(Walk, dst) % 8 == 0) };
    let word = |low: u32, high: u32| low as u64 | (high as u64) << 32;
    let put = |to: &mut Address, address: Address| {
        let to: *mut u64 = core::ptr::from_mut(to).cast();
        // SAFETY: 16 bytes, aligned to 8 as asserted above. The first of two 32-bit words is the low half of a 64-bit one on
        // the little-endian machines that the object is for.
        unsafe {
            to.write_volatile(word(address[0], address[1]).to_le());
            to.add(1).write_volatile(word(address[2], address[3]).to_le());
        }
    };
    put(&mut walk.src, src);
    put(&mut walk.dst, dst);
}

/// RFC 8200.
#[inline(always)]
fn ipv6(frame: &impl Frame, walk: &mut Walk) -> Step {
    let l3 = walk.l3 as usize;
    let Some(head) = frame.read::<[u32; 10]>(l3) else { return drop(Reason::ip6_truncated) };
    if u32::from_be(head[0]) >> 28 != 6 {
        return drop(Reason::ip6_bad_version);
    }
    let second = u32::from_be(head[1]);
    let payload = (second >> 16) as usize;
    let next = (second >> 8) as u8;
    if frame.merged() {
        walk.parsed |= parsed::MERGED;
    }
    walk.family = V6;
    walk.ip_len = if payload > 0xffff - 40 { 0xffff } else { (payload + 40) as u16 };
    walk.ttl = second as u8;
    addresses(walk, [head[2], head[3], head[4], head[5]], [head[6], head[7], head[8], head[9]]);
    walk.protocol = next;
    let merged = walk.parsed & parsed::MERGED != 0;
    if !merged {
        if payload == 0 && next == protocol::HOP_BY_HOP {
            return drop(Reason::ip6_jumbogram);
        }
        if !frame.holds(l3 + 40 + payload) {
            return drop(Reason::ip6_bad_payload_length);
        }
    }
    let end = if merged { usize::MAX >> 1 } else { l3 + 40 + payload };
    let l4 = match next {
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::AH | protocol::DESTINATION => {
            extensions(frame, walk, end)?;
            walk.l4 as usize
        }
        _ => l3 + 40,
    };
    walk.l4 = 0;
    if l4 == 0 {
        return Ok(());
    }
    transport(frame, walk, l4, end.saturating_sub(l4))
}

/// Walks the extension headers in any legal order (RFC 8200, 4.1): hop-by-hop only first, destination options at most
/// twice, the others once. Sets `l4` to where the transport header starts, or to 0 when it is not in this packet.
#[inline(never)]
pub fn extensions<F: Frame>(frame: &F, walk: &mut Walk, end: usize) -> Step {
    let mut at = walk.l3 as usize + 40;
    let mut next = walk.protocol;
    // bit 0 routing, 1 fragment, 2 authentication, 3 and 4 destination options
    let mut seen = 0;
    let Some(hidden) = Hidden::new() else { return drop(Reason::internal) };
    let mut count = 0;
    while count <= MAX_EXTENSIONS {
        let known = match next {
            protocol::HOP_BY_HOP if count == 0 => 0,
            protocol::HOP_BY_HOP => return drop(Reason::ip6_ext_order),
            protocol::ROUTING => 1,
            protocol::FRAGMENT => 2,
            protocol::AH => 4,
            protocol::DESTINATION if seen & 8 != 0 => 16,
            protocol::DESTINATION => 8,
            _ => {
                walk.protocol = next;
                walk.l4 = at as u16;
                return Ok(());
            }
        };
        if count == MAX_EXTENSIONS {
            break;
        }
        if seen & known != 0 {
            return drop(Reason::ip6_ext_order);
        }
        seen |= known;
        let head = match frame.read::<[u8; 8]>(at) {
            Some(head) if at + 8 <= end => head,
            _ => return cut(walk),
        };
        let size = match next {
            protocol::FRAGMENT => 8,
            protocol::AH => (head[1] as usize + 2) * 4,
            _ => (head[1] as usize + 1) * 8,
        };
        if next == protocol::ROUTING && head[2] == 0 {
            return drop(Reason::ip6_routing_type0);
        }
        if next == protocol::FRAGMENT {
            let field = u16::from_be_bytes([head[2], head[3]]);
            // RFC 6946: offset zero and no more to come is a whole packet
            if field & 0xfff9 != 0 {
                walk.parsed |= parsed::FRAGMENT;
                walk.fragment_id = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
                walk.fragment_offset = field & 0xfff8;
                walk.fragment_len = (end - (at + 8)) as u16;
                if field & 1 != 0 {
                    walk.parsed |= parsed::MORE;
                }
                if walk.fragment_offset != 0 {
                    walk.protocol = head[0];
                    return Ok(());
                }
                walk.parsed |= parsed::FIRST;
            } else {
                walk.parsed |= parsed::ODD;
            }
        }
        if at + size > end {
            return cut(walk);
        }
        at = hidden.hide((at + size) as u32) as usize;
        seen = hidden.hide(seen);
        next = head[0];
        count += 1;
    }
    drop(Reason::ip6_ext_too_many)
}

/// A header chain that ends before its transport header does: in a first fragment that is for the fragment stage to name
/// (RFC 7112), in a whole packet it is a lie.
#[inline(always)]
fn cut(walk: &mut Walk) -> Step {
    if walk.parsed & parsed::FIRST != 0 {
        walk.protocol = protocol::NO_NEXT;
        return Ok(());
    }
    drop(Reason::ip6_ext_truncated)
}

/// Ports, flags and types. `available`: bytes of this IP packet from `l4` on.
#[inline(always)]
fn transport(frame: &impl Frame, walk: &mut Walk, l4: usize, available: usize) -> Step {
    let fragment = walk.parsed & parsed::FRAGMENT != 0;
    let whole = !fragment && walk.parsed & parsed::MERGED == 0;
    let (size, truncated) = match walk.protocol {
        protocol::TCP => (20, Reason::tcp_truncated),
        protocol::UDP => (8, Reason::udp_truncated),
        protocol::ICMP if walk.family == V4 => (8, Reason::icmp_truncated),
        protocol::ICMPV6 if walk.family == V6 => (8, Reason::icmp_truncated),
        protocol::SCTP => (12, Reason::sctp_truncated),
        // nobody reads it, and its type would be none of those that services name
        protocol::ICMP | protocol::ICMPV6 => return drop(Reason::icmp_other_version),
        _ => {
            walk.l4 = l4 as u16;
            return Ok(());
        }
    };
    let short = available < size;
    let ports = match frame.read::<[u16; 4]>(l4) {
        Some(ports) if !short => ports,
        _ if fragment => return Ok(()),
        _ => return drop(truncated),
    };
    match walk.protocol {
        protocol::TCP => {
            let Some(field) = be16(frame, l4 + 12) else { return drop(truncated) };
            let header = (field >> 12) as usize * 4;
            if header < 20 || (header > available && !fragment) {
                return drop(Reason::tcp_bad_header_length);
            }
            if header > available {
                return Ok(());
            }
            walk.tcp_flags = field as u8;
        }
        protocol::UDP => {
            let length = u16::from_be(ports[2]) as usize;
            if length < 8 || (whole && length != available) {
                return drop(Reason::udp_bad_length);
            }
        }
        protocol::SCTP => {}
        _ => {
            let kind = u16::from_be(ports[0]);
            walk.icmp_type = (kind >> 8) as u8;
            walk.icmp_code = kind as u8;
            walk.l4 = l4 as u16;
            icmp(walk, u16::from_be(ports[2]));
            return Ok(());
        }
    }
    walk.sport = u16::from_be(ports[0]);
    walk.dport = u16::from_be(ports[1]);
    walk.l4 = l4 as u16;
    Ok(())
}

/// An ICMP message as ports, so that a query and its reply are one flow and two hosts that ask each other are two: the
/// asker's port is the identifier, the other's the type of the query (RFC 792, RFC 4443).
#[inline(always)]
pub fn icmp_ports(family: u8, kind: u8, identifier: u16) -> (u16, u16) {
    match (family, kind) {
        (V4, 8 | 13) | (V6, 128) => (identifier, kind as u16),
        (V4, 0) => (8, identifier),
        (V4, 14) => (13, identifier),
        (V6, 129) => (128, identifier),
        _ => (0, kind as u16),
    }
}

#[inline(always)]
fn icmp(walk: &mut Walk, identifier: u16) {
    (walk.sport, walk.dport) = icmp_ports(walk.family, walk.icmp_type, identifier);
    let error = if walk.family == V4 { matches!(walk.icmp_type, 3 | 4 | 11 | 12) } else { walk.icmp_type < 128 };
    if error {
        walk.parsed |= parsed::ICMP_ERROR;
    }
    if icmp_oddity(walk.family, walk.icmp_type, walk.icmp_code).is_some() {
        walk.parsed |= parsed::ODD;
    }
}
