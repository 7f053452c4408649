//! Link types, each turned into an Ethernet frame.
//!
//! Numbers are those of <https://www.tcpdump.org/linktypes.html>.

use super::SkipReason;

/// Ethernet.
pub const ETHERNET: u16 = 1;
/// BSD loopback: address family in the byte order of the machine that captured.
pub const NULL: u16 = 0;
/// OpenBSD loopback: address family in network order.
pub const LOOP: u16 = 108;
/// Raw IP, with the number `DLT_RAW` has on most systems.
pub const RAW_DLT: u16 = 12;
/// Raw IP, with the number `DLT_RAW` has on OpenBSD.
pub const RAW_OPENBSD: u16 = 14;
/// Raw IP: the version nibble tells.
pub const RAW: u16 = 101;
/// Raw IPv4.
pub const IPV4: u16 = 228;
/// Raw IPv6.
pub const IPV6: u16 = 229;
/// Linux cooked capture, version 1.
pub const COOKED: u16 = 113;
/// Linux cooked capture, version 2.
pub const COOKED2: u16 = 276;

/// Addresses of a header made here: locally administered, destination then source.
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Smallest value that is an ethertype; below it the field is a length or one of Linux's own protocol numbers.
const ETHERTYPE_MIN: u16 = 0x0600;
/// `ETH_P_802_2`: an 802.3 frame whose LLC header follows.
const PROTOCOL_LLC: u16 = 4;

/// What stands before the network header: how many bytes to take off, and the Ethernet header to put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Bytes of the link header in the capture.
    pub strip: usize,
    /// `None`: it is Ethernet already.
    pub header: Option<[u8; 14]>,
}

/// Finds the Ethernet header for a packet of `link_type` that starts with `bytes` and was `original_len` bytes long.
///
/// A VLAN tag in a cooked capture follows the cooked header as it would follow the addresses of an Ethernet frame
/// (protocol 0x8100, tag, ethertype), so it is kept by keeping the protocol.
///
/// # Errors
/// The reason why this packet has no Ethernet form.
pub fn ethernet(link_type: u16, bytes: &[u8], original_len: usize) -> Result<Link, SkipReason> {
    match link_type {
        ETHERNET => Ok(Link { strip: 0, header: None }),
        RAW | RAW_DLT | RAW_OPENBSD => Ok(made(0, by_version(bytes))),
        IPV4 => Ok(made(0, ETHERTYPE_IPV4)),
        IPV6 => Ok(made(0, ETHERTYPE_IPV6)),
        NULL | LOOP => loopback(bytes),
        COOKED => {
            let hardware = word(bytes, 2)?;
            cooked(bytes, 16, hardware, word(bytes, 14)?, original_len)
        }
        COOKED2 => {
            let hardware = word(bytes, 8)?;
            cooked(bytes, 20, hardware, word(bytes, 0)?, original_len)
        }
        other => Err(SkipReason::LinkType(other)),
    }
}

/// The number and the name that events give a link type, as Suricata has them: raw IP has that of its `DLT_RAW`.
pub const fn told(link_type: u16) -> (u16, &'static str) {
    match link_type {
        NULL => (NULL, "NULL"),
        LOOP => (LOOP, "LOOP"),
        RAW | RAW_DLT | RAW_OPENBSD => (RAW_DLT, "RAW"),
        IPV4 => (IPV4, "IPv4"),
        IPV6 => (IPV6, "IPv6"),
        COOKED => (COOKED, "LINUX_SLL"),
        COOKED2 => (COOKED2, "LINUX_SLL2"),
        _ => (ETHERNET, "EN10MB"),
    }
}

/// A raw packet of neither version is given out as IPv4, for the datapath to name what is wrong with it.
fn by_version(bytes: &[u8]) -> u16 {
    if bytes.first().is_some_and(|first| first >> 4 == 6) { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 }
}

fn loopback(bytes: &[u8]) -> Result<Link, SkipReason> {
    let Some(&[a, b, c, d]) = bytes.get(..4) else {
        return Err(SkipReason::LinkTruncated);
    };
    // the machine that captured need not have the byte order of the file: families are small, so the order shows
    let little = u32::from_le_bytes([a, b, c, d]);
    let family = if little > 0xffff { little.swap_bytes() } else { little };
    match family {
        2 => Ok(made(4, ETHERTYPE_IPV4)),
        // Linux, NetBSD and OpenBSD, FreeBSD, macOS
        10 | 24 | 28 | 30 => Ok(made(4, ETHERTYPE_IPV6)),
        other => Err(SkipReason::Family(other)),
    }
}

fn cooked(bytes: &[u8], strip: usize, hardware: u16, protocol: u16, original_len: usize) -> Result<Link, SkipReason> {
    if bytes.len() < strip {
        return Err(SkipReason::LinkTruncated);
    }
    if protocol >= ETHERTYPE_MIN {
        return Ok(made(strip, protocol));
    }
    let length = u16::try_from(original_len.saturating_sub(strip)).unwrap_or(u16::MAX);
    if protocol == PROTOCOL_LLC && length < ETHERTYPE_MIN {
        return Ok(made(strip, length));
    }
    Err(SkipReason::CookedProtocol { hardware, protocol })
}

fn made(strip: usize, ethertype: u16) -> Link {
    let mut header = [0; 14];
    header[..12].copy_from_slice(&ADDRESSES);
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    Link { strip, header: Some(header) }
}

fn word(bytes: &[u8], at: usize) -> Result<u16, SkipReason> {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(SkipReason::LinkTruncated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethertype(link_type: u16, bytes: &[u8]) -> Result<(usize, u16), SkipReason> {
        ethernet(link_type, bytes, bytes.len()).map(|link| {
            let header = link.header.unwrap();
            (link.strip, u16::from_be_bytes([header[12], header[13]]))
        })
    }

    #[test]
    fn raw_ip_follows_its_version() {
        for link_type in [RAW, RAW_DLT, RAW_OPENBSD] {
            assert_eq!(ethertype(link_type, &[0x45, 0]), Ok((0, 0x0800)));
            assert_eq!(ethertype(link_type, &[0x60, 0]), Ok((0, 0x86dd)));
            assert_eq!(ethertype(link_type, &[]), Ok((0, 0x0800)));
        }
        assert_eq!(ethertype(IPV4, &[0x60]), Ok((0, 0x0800)));
        assert_eq!(ethertype(IPV6, &[0x45]), Ok((0, 0x86dd)));
    }

    #[test]
    fn loopback_in_either_order() {
        assert_eq!(ethertype(NULL, &[2, 0, 0, 0, 0x45]), Ok((4, 0x0800)));
        assert_eq!(ethertype(NULL, &[0, 0, 0, 2, 0x45]), Ok((4, 0x0800)));
        assert_eq!(ethertype(LOOP, &[0, 0, 0, 24, 0x60]), Ok((4, 0x86dd)));
        assert_eq!(ethertype(NULL, &[30, 0, 0, 0, 0x60]), Ok((4, 0x86dd)));
        assert_eq!(ethertype(NULL, &[7, 0, 0, 0]), Err(SkipReason::Family(7)));
        assert_eq!(ethertype(NULL, &[2, 0, 0]), Err(SkipReason::LinkTruncated));
    }

    #[test]
    fn cooked_keeps_the_ethertype_and_the_tag() {
        let mut one = [0u8; 20];
        one[14..16].copy_from_slice(&[0x81, 0x00]);
        assert_eq!(ethertype(COOKED, &one), Ok((16, 0x8100)));
        let mut two = [0u8; 24];
        two[..2].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(ethertype(COOKED2, &two), Ok((20, 0x86dd)));
        one[2..4].copy_from_slice(&824u16.to_be_bytes());
        one[14..16].copy_from_slice(&[0, 0]);
        assert_eq!(ethertype(COOKED, &one), Err(SkipReason::CookedProtocol { hardware: 824, protocol: 0 }));
        one[14..16].copy_from_slice(&[0, 4]);
        assert_eq!(ethertype(COOKED, &one), Ok((16, 4)));
        assert_eq!(ethertype(COOKED, &one[..15]), Err(SkipReason::LinkTruncated));
    }

    #[test]
    fn other_link_types_are_named() {
        assert_eq!(ethertype(127, &[0; 60]), Err(SkipReason::LinkType(127)));
    }
}
