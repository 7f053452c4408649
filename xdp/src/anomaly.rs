//! Stage 4: what no honest host sends. The list of reasons is the specification.

use dropgate_abi::{
    reason::Reason,
    tuple::{V4, equal},
    walk::{Walk, parsed},
};

use crate::{
    parse::protocol,
    step::{Step, drop},
};

/// Bits of the TCP flags byte (RFC 9293, 3.1).
pub mod tcp {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const ACK: u8 = 16;
    /// FIN, SYN, RST, PSH, ACK, URG.
    pub const ALL: u8 = 0x3f;
}

/// Checks addresses, TTL, ports and TCP flags.
#[inline(always)]
pub fn anomaly(walk: &mut Walk) -> Step {
    if walk.ttl == 0 {
        // the kernel answers it where it routes, and where it bridges the receiver takes it
        walk.parsed |= parsed::ODD;
    }
    if walk.family == V4 {
        addresses4(walk)?
    } else {
        addresses6(walk)?
    }
    if equal(&walk.src, &walk.dst) {
        return drop(Reason::land);
    }
    if walk.l4 == 0 || walk.parsed & parsed::FRAGMENT != 0 && walk.parsed & parsed::FIRST == 0 {
        return Ok(());
    }
    match walk.protocol {
        protocol::TCP => flags(walk.tcp_flags)?,
        protocol::UDP | protocol::SCTP => {}
        _ => return Ok(()),
    }
    if walk.sport == 0 || walk.dport == 0 {
        return drop(Reason::port_zero);
    }
    Ok(())
}

#[inline(always)]
fn flags(flags: u8) -> Step {
    let flags = flags & tcp::ALL;
    // the usual segment is settled by one comparison
    if flags & (tcp::SYN | tcp::FIN | tcp::RST) == 0 && flags != 0 {
        return Ok(());
    }
    if flags == 0 {
        return drop(Reason::tcp_flags_none);
    }
    if flags == tcp::ALL {
        return drop(Reason::tcp_flags_all);
    }
    if flags & (tcp::SYN | tcp::FIN) == tcp::SYN | tcp::FIN {
        return drop(Reason::tcp_syn_fin);
    }
    if flags & (tcp::SYN | tcp::RST) == tcp::SYN | tcp::RST {
        return drop(Reason::tcp_syn_rst);
    }
    if flags & (tcp::FIN | tcp::ACK) == tcp::FIN {
        return drop(Reason::tcp_fin_without_ack);
    }
    Ok(())
}

#[inline(always)]
fn addresses4(walk: &Walk) -> Step {
    let src = u32::from_be(walk.src[0]);
    let dst = u32::from_be(walk.dst[0]);
    if src >> 24 == 127 {
        return drop(Reason::source_loopback);
    }
    if src == u32::MAX {
        return drop(Reason::source_broadcast);
    }
    if src >> 28 == 0xe {
        return drop(Reason::source_multicast);
    }
    if src == 0 && !nameless4(walk) {
        return drop(Reason::source_unspecified);
    }
    if dst >> 24 == 127 {
        return drop(Reason::destination_loopback);
    }
    if dst == 0 {
        return drop(Reason::destination_unspecified);
    }
    Ok(())
}

/// A host without an address may speak DHCP (RFC 2131) and IGMP (RFC 3376, 4.2.13).
#[inline(always)]
fn nameless4(walk: &Walk) -> bool {
    match walk.protocol {
        protocol::UDP => walk.sport == 68 && walk.dport == 67,
        protocol::IGMP => true,
        _ => false,
    }
}

#[inline(always)]
fn addresses6(walk: &Walk) -> Step {
    let src = walk.src;
    let dst = walk.dst;
    let low = |address: [u32; 4]| address[0] | address[1] | address[2];
    if low(src) == 0 && src[3] == 1u32.to_be() {
        return drop(Reason::source_loopback);
    }
    if u32::from_be(src[0]) >> 24 == 0xff {
        return drop(Reason::source_multicast);
    }
    if low(src) | src[3] == 0 && !nameless6(walk) {
        return drop(Reason::source_unspecified);
    }
    if low(dst) == 0 && dst[3] == 1u32.to_be() {
        return drop(Reason::destination_loopback);
    }
    if low(dst) | dst[3] == 0 {
        return drop(Reason::destination_unspecified);
    }
    Ok(())
}

/// A host without an address may look whether one is taken, ask for routers (RFC 4861) and join groups (RFC 3590).
#[inline(always)]
fn nameless6(walk: &Walk) -> bool {
    walk.protocol == protocol::ICMPV6 && walk.l4 != 0 && matches!(walk.icmp_type, 131 | 132 | 133 | 135 | 143)
}
