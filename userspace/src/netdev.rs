//! What drivers do with XDP: the `netdev` family of generic netlink (`Documentation/netlink/specs/netdev.yaml`), Linux 6.3.

use std::{collections::BTreeMap, io};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

/// The family that knows the others (`include/uapi/linux/genetlink.h`): its number, its request, its attributes.
const CONTROL: (u16, u8) = (0x10, 3);
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// The request of `netdev` for devices, and its attributes.
const DEV_GET: u8 = 1;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_BASIC`: the driver runs XDP programs (`include/uapi/linux/netdev.h`).
pub const RUNS: u64 = 1;
/// `NETDEV_XDP_ACT_NDO_XMIT`: it sends what XDP gives it.
pub const SENDS: u64 = 1 << 2;
/// Types of messages that end an answer (`include/uapi/linux/netlink.h`).
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Bytes of the headers of a message, and of an attribute.
const HEADERS: usize = 20;
const ATTRIBUTE: usize = 4;

/// What the drivers of all devices say that they do, by index: bits as [`RUNS`] and [`SENDS`].
///
/// # Errors
/// When the kernel does not say: one without the family, or one that gives no answer.
pub fn xdp_features() -> io::Result<BTreeMap<u32, u64>> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut name = attribute(FAMILY_NAME, b"netdev\0");
    name.resize(name.len().next_multiple_of(4), 0);
    let mut family = None;
    ask(&socket, CONTROL, NLM_F_ACK, &name, |attributes| {
        family = find(attributes, FAMILY_ID).and_then(|id| Some(u16::from_ne_bytes(*id.first_chunk()?)));
    })?;
    let family = family.ok_or(io::ErrorKind::NotFound)?;
    let mut found = BTreeMap::new();
    ask(&socket, (family, DEV_GET), NLM_F_DUMP, &[], |attributes| {
        let index = find(attributes, IFINDEX).and_then(|index| Some(u32::from_ne_bytes(*index.first_chunk()?)));
        let features = find(attributes, XDP_FEATURES).and_then(|bits| Some(u64::from_ne_bytes(*bits.first_chunk()?)));
        found.extend(index.zip(features));
    })?;
    Ok(found)
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE + value.len()) as u16;
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
}

/// The value of an attribute among others.
fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    while let Some(&[l0, l1, k0, k1]) = attributes.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = attributes.get(ATTRIBUTE..length)?;
        if u16::from_ne_bytes([k0, k1]) == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Sends a request and hands over the attributes of each answer.
fn ask(
    socket: &Socket,
    (family, command): (u16, u8),
    flags: u16,
    attributes: &[u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut request = Vec::new();
    request.extend(((HEADERS + attributes.len()) as u32).to_ne_bytes());
    request.extend(family.to_ne_bytes());
    request.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // sequence number and sender
    request.extend([0; 8]);
    // the version of the family, and room that is kept free
    request.extend([command, 1, 0, 0]);
    request.extend(attributes);
    socket.send(&request, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some(&[l0, l1, l2, l3, k0, k1]) = rest.first_chunk() {
            let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
            let message = rest.get(..length).filter(|message| message.len() >= 16).ok_or(io::ErrorKind::InvalidData)?;
            match u16::from_ne_bytes([k0, k1]) {
                DONE => return Ok(()),
                ERROR => {
                    let code = message
                        .get(16..)
                        .and_then(|code| code.first_chunk())
                        .map_or(0, |code| i32::from_ne_bytes(*code));
                    return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                }
                _ => each(message.get(HEADERS..).unwrap_or_default()),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_by_kind() {
        let all = [attribute(7, &[1; 4]), attribute(IFINDEX, &9u32.to_ne_bytes())].concat();
        assert_eq!(find(&all, IFINDEX), Some(&9u32.to_ne_bytes()[..]));
        assert_eq!(find(&all, XDP_FEATURES), None);
        for length in 0..all.len() {
            assert_eq!(find(&all[..length], IFINDEX), None, "cut to {length}");
        }
        assert_eq!(find(&[0; 16], IFINDEX), None, "a length of nothing");
    }

    /// Of the loopback device the kernel says that it takes none.
    #[test]
    fn loopback_has_no_xdp() {
        assert_eq!(xdp_features().expect("an answer").get(&1), Some(&0));
    }
}
