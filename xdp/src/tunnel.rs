//! The headers of tunnels, down to the packet inside: IP in IP, GRE, VXLAN, and PPPoE sessions.
//!
//! What a receiver might read otherwise than here is not read: it is dropped with its name. Checksums of GRE are not compared.

use dropgate_abi::{
    reason::Reason,
    tunnel::{PPPOE_SESSION, kind},
    walk::{Walk, parsed},
};

use crate::{
    cursor::{Frame, be16},
    frame::is_tag,
    parse::{IPV4, IPV6, protocol},
    step::{Step, drop, pass},
};

/// Bytes of an Ethernet header, of a VLAN tag.
const ETHERNET: usize = 14;
const TAG: usize = 4;
/// Bytes of the headers of UDP, VXLAN and PPPoE.
const UDP: usize = 8;
const VXLAN: usize = 8;
const PPPOE: usize = 6;
/// Bits of the first word of GRE: a checksum, a key and a sequence number follow; those that have to be zero here; the version.
const GRE_CHECKSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;
const GRE_RESERVED: u16 = 0x4ff8;
const GRE_VERSION: u16 = 7;
/// Ethernet in GRE (RFC 1701: transparent Ethernet bridging).
const BRIDGED: u16 = 0x6558;
/// The one flag of VXLAN: there is a VNI.
const VXLAN_VNI: u32 = 0x0800_0000;

/// What a tunnel's header says of the packet inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inside {
    /// See [`kind`].
    pub kind: u8,
    pub ethertype: u16,
    /// Where its network header starts, and where what carries it ends.
    pub l3: usize,
    pub end: usize,
    /// See [`Walk::network`].
    pub network: u32,
    /// VLAN identifiers of a frame inside, outer first.
    pub vlan: [u16; 2],
}

/// Reads the tunnel's header in the packet that `walk` is about. Decides about what carries no packet.
#[inline(always)]
pub fn open(frame: &impl Frame, walk: &Walk) -> Step<Inside> {
    if walk.ethertype == PPPOE_SESSION {
        return pppoe(frame, walk.l3 as usize);
    }
    let at = walk.l4 as usize;
    let merged = walk.parsed & parsed::MERGED != 0;
    let end = if merged { frame.len() as usize } else { walk.l3 as usize + walk.ip_len as usize };
    match walk.protocol {
        4 => Ok(Inside { kind: kind::IP, ethertype: IPV4, l3: at, end, network: 0, vlan: [0; 2] }),
        41 => Ok(Inside { kind: kind::IP, ethertype: IPV6, l3: at, end, network: 0, vlan: [0; 2] }),
        47 => gre(frame, at, end),
        protocol::UDP => vxlan(frame, at + UDP, end),
        _ => drop(Reason::tunnel_unreadable),
    }
}

/// RFC 2784 with the key and sequence number of RFC 2890.
#[inline(always)]
fn gre(frame: &impl Frame, at: usize, end: usize) -> Step<Inside> {
    let head = match frame.read::<[u16; 2]>(at) {
        Some(head) if at + 4 <= end => head,
        _ => return drop(Reason::tunnel_truncated),
    };
    let (flags, ethertype) = (u16::from_be(head[0]), u16::from_be(head[1]));
    match flags & GRE_VERSION {
        0 => {}
        // PPTP (RFC 2637): PPP, compressed as its ends have agreed
        1 => return drop(Reason::tunnel_unreadable),
        _ => return drop(Reason::tunnel_malformed),
    }
    if flags & GRE_RESERVED != 0 {
        return drop(Reason::tunnel_malformed);
    }
    let mut next = at + 4;
    if flags & GRE_CHECKSUM != 0 {
        next += 4;
    }
    let mut network = 0;
    if flags & GRE_KEY != 0 {
        let Some(key) = frame.read::<u32>(next) else { return drop(Reason::tunnel_truncated) };
        network = u32::from_be(key);
        next += 4;
    }
    if flags & GRE_SEQUENCE != 0 {
        next += 4;
    }
    if next > end {
        return drop(Reason::tunnel_truncated);
    }
    match ethertype {
        IPV4 | IPV6 => Ok(Inside { kind: kind::GRE, ethertype, l3: next, end, network, vlan: [0; 2] }),
        BRIDGED => ethernet(frame, next, end, (kind::GRE, network)),
        _ => drop(Reason::tunnel_payload),
    }
}

/// RFC 7348, 5. `at`: behind the UDP header.
#[inline(always)]
fn vxlan(frame: &impl Frame, at: usize, end: usize) -> Step<Inside> {
    let head = match frame.read::<[u32; 2]>(at) {
        Some(head) if at + VXLAN <= end => head,
        _ => return drop(Reason::tunnel_truncated),
    };
    let (flags, network) = (u32::from_be(head[0]), u32::from_be(head[1]));
    if flags & VXLAN_VNI == 0 {
        return drop(Reason::tunnel_malformed);
    }
    if flags != VXLAN_VNI || network & 0xff != 0 {
        return drop(Reason::tunnel_unreadable);
    }
    ethernet(frame, at + VXLAN, end, (kind::VXLAN, network >> 8))
}

/// A frame in a tunnel, with up to two VLAN tags.
#[inline(always)]
fn ethernet(frame: &impl Frame, at: usize, end: usize, (kind, network): (u8, u32)) -> Step<Inside> {
    let Some(mut ethertype) = be16(frame, at + 12) else { return drop(Reason::tunnel_truncated) };
    let mut l3 = at + ETHERNET;
    let mut vlan = [0; 2];
    if is_tag(ethertype) {
        let Some(tag) = frame.read::<[u16; 2]>(l3) else { return drop(Reason::tunnel_truncated) };
        vlan[0] = u16::from_be(tag[0]) & 0xfff;
        ethertype = u16::from_be(tag[1]);
        l3 += TAG;
        if is_tag(ethertype) {
            let Some(tag) = frame.read::<[u16; 2]>(l3) else { return drop(Reason::tunnel_truncated) };
            vlan[1] = u16::from_be(tag[0]) & 0xfff;
            ethertype = u16::from_be(tag[1]);
            l3 += TAG;
            if is_tag(ethertype) {
                return drop(Reason::vlan_too_deep);
            }
        }
    }
    if l3 > end {
        return drop(Reason::tunnel_truncated);
    }
    Ok(Inside { kind, ethertype, l3, end, network, vlan })
}

/// RFC 2516, 4, and the protocol field of PPP (RFC 1661, 2), which is not compressed here.
#[inline(always)]
fn pppoe(frame: &impl Frame, at: usize) -> Step<Inside> {
    let Some(head) = frame.read::<[u16; 4]>(at) else { return drop(Reason::tunnel_truncated) };
    let (session, length) = (u16::from_be(head[1]), u16::from_be(head[2]) as usize);
    // version 1, type 1, code 0: session data
    if u16::from_be(head[0]) != 0x1100 || session == 0 || session == u16::MAX || length < 2 {
        return drop(Reason::tunnel_malformed);
    }
    let end = at + PPPOE + length;
    if !frame.holds(end) {
        return drop(Reason::tunnel_truncated);
    }
    let ethertype = match u16::from_be(head[3]) {
        0x0021 => IPV4,
        0x0057 => IPV6,
        // LCP, IPCP, IPV6CP, PAP, CHAP
        0xc021 | 0x8021 | 0x8057 | 0xc023 | 0xc223 => return pass(Reason::ppp_control),
        _ => return drop(Reason::tunnel_payload),
    };
    Ok(Inside { kind: kind::PPPOE, ethertype, l3: at + PPPOE + 2, end, network: session as u32, vlan: [0; 2] })
}
