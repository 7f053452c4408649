//! Stage 1: Ethernet and up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use dropgate_abi::{reason::Reason, walk::Walk};

use crate::{
    cursor::{Frame, be16},
    step::{Step, drop},
};

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Bytes of a VLAN tag.
const TAG: usize = 4;

/// Whether it is that of a VLAN tag.
pub const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100)
}

/// Finds the ethertype, the VLAN identifiers and where the network header starts.
#[inline(always)]
pub fn frame(frame: &impl Frame, walk: &mut Walk) -> Step {
    let Some(mut ethertype) = be16(frame, 12) else { return drop(Reason::frame_truncated) };
    let mut l3 = ETHERNET;
    let mut tags = 0;
    if let Some(id) = frame.tag() {
        walk.vlan[0] = id;
        tags = 1;
    }
    if is_tag(ethertype) {
        let Some(tag) = frame.read::<[u16; 2]>(l3) else { return drop(Reason::vlan_truncated) };
        walk.vlan[tags] = u16::from_be(tag[0]) & 0xfff;
        ethertype = u16::from_be(tag[1]);
        l3 += TAG;
        tags += 1;
        if is_tag(ethertype) {
            if tags == 2 {
                return drop(Reason::vlan_too_deep);
            }
            let Some(tag) = frame.read::<[u16; 2]>(l3) else { return drop(Reason::vlan_truncated) };
            walk.vlan[1] = u16::from_be(tag[0]) & 0xfff;
            ethertype = u16::from_be(tag[1]);
            l3 += TAG;
            if is_tag(ethertype) {
                return drop(Reason::vlan_too_deep);
            }
        }
    }
    walk.ethertype = ethertype;
    walk.l3 = l3 as u16;
    Ok(())
}

#[cfg(all(test, not(target_arch = "bpf")))]
mod tests {
    use super::*;

    /// The reason that `bytes` are dropped for by this stage, or `None`.
    fn dropped(bytes: &[u8]) -> Option<Reason> {
        frame(&bytes, &mut Walk::default()).err().map(|decision| decision.reason())
    }

    #[test]
    fn cut_at_every_byte() {
        let mut whole = vec![0; 12];
        whole.extend([0x88, 0xa8, 0, 100, 0x81, 0, 0, 10, 0x08, 0]);
        for len in 0..whole.len() {
            let reason = match len {
                ..14 => Reason::frame_truncated,
                _ => Reason::vlan_truncated,
            };
            assert_eq!(dropped(&whole[..len]), Some(reason), "{len} bytes");
        }
        assert_eq!(dropped(&whole), None);
    }
}
