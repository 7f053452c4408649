//! The frames of a capture, as far as it takes to see what is wrapped in what.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::lists::{ETHERTYPES, IP_PROTOCOLS, LINK_TYPES, TUNNELS, Tunnel};

/// What of a capture is out of Dropgate's sight, if that is a tenth of its frames or more: a link type that it does not
/// read, or packets within packets, which it takes for what they are on the outside.
pub fn unseen(path: &Path) -> Result<Option<&'static str>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let (mut all, mut wrapped) = (0, Vec::new());
    let mut each = |link, frame: &[u8]| {
        all += 1;
        wrapped.extend(within(link, frame));
    };
    frames(&bytes, &mut each).with_context(|| format!("`{}` is not understood", path.display()))?;
    Ok(wrapped.first().copied().filter(|_| wrapped.len() * 10 >= all))
}

/// Every frame with its link type. What is cut off at the end is left out.
fn frames(bytes: &[u8], each: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
    match bytes.get(..4) {
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => classic(bytes, u32::from_le_bytes, each),
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => classic(bytes, u32::from_be_bytes, each),
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => blocks(bytes, each),
        _ => bail!("neither pcap nor pcapng"),
    }
    Ok(())
}

type Word = fn([u8; 4]) -> u32;

fn word(bytes: &[u8], at: usize, order: Word) -> Option<u32> {
    Some(order(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A header of 24 bytes with the link type at its end; each record has 16, with the length in the third word.
fn classic(bytes: &[u8], order: Word, each: &mut dyn FnMut(u32, &[u8])) {
    let link = word(bytes, 20, order).unwrap_or_default() & 0xffff;
    let mut at = 24;
    while let Some(length) = word(bytes, at + 8, order)
        && let Some(frame) = bytes.get(at + 16..(at + 16).saturating_add(length as usize))
    {
        each(link, frame);
        at += 16 + length as usize;
    }
}

/// Blocks of type, length and content: section headers say the byte order, interface descriptions the link type.
fn blocks(bytes: &[u8], each: &mut dyn FnMut(u32, &[u8])) {
    let (mut at, mut order, mut links) = (0, u32::from_le_bytes as Word, Vec::new());
    loop {
        let kind = word(bytes, at, order);
        if kind == Some(0x0a0d_0d0a) {
            let little = bytes.get(at + 8..at + 12) == Some(&[0x4d, 0x3c, 0x2b, 0x1a]);
            order = if little { u32::from_le_bytes } else { u32::from_be_bytes };
            links.clear();
        }
        let (Some(kind), Some(length)) = (kind, word(bytes, at + 4, order)) else { return };
        let Some(block) = bytes.get(at..at.saturating_add(length as usize)).filter(|block| block.len() >= 12) else {
            return;
        };
        let link =
            |interface: Option<u32>| interface.and_then(|at| links.get(at as usize).copied()).unwrap_or_default();
        match kind {
            1 => {
                let pair = block.get(8..10).map_or([0; 2], |pair| [pair[0], pair[1]]);
                let little = order([1, 0, 0, 0]) == 1;
                links.push(u32::from(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }));
            }
            3 => each(link(Some(0)), block.get(12..block.len() - 4).unwrap_or_default()),
            6 => {
                let captured = word(block, 20, order).unwrap_or_default() as usize;
                let frame = block.get(28..28_usize.saturating_add(captured)).unwrap_or_default();
                each(link(word(block, 8, order)), frame);
            }
            _ => {}
        }
        at += length as usize;
    }
}

fn within(link: u32, frame: &[u8]) -> Option<&'static str> {
    let (skip, ethertype_at) = match link {
        1 => (14, 12),
        113 => (16, 14),
        276 => (20, 0),
        0 | 108 => return ip(frame.get(4..)?),
        12 | 14 | 101 | 228 | 229 => return ip(frame),
        _ => return (!LINK_TYPES.contains(&link)).then_some("a link type that is not read"),
    };
    let pair = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let (mut kind, mut at) = (pair(ethertype_at)?, skip);
    while matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
        kind = pair(at + 2)?;
        at += 4;
    }
    match ETHERTYPES.iter().find(|(number, _)| *number == kind) {
        Some((_, what)) => Some(what),
        None if matches!(kind, 0x0800 | 0x86dd) => ip(frame.get(at..)?),
        None => None,
    }
}

fn ip(packet: &[u8]) -> Option<&'static str> {
    let (protocol, payload) = match packet.first()? >> 4 {
        4 => (*packet.get(9)?, packet.get(usize::from(packet[0] & 15) * 4..)?),
        6 => behind_extensions(*packet.get(6)?, packet.get(40..)?),
        _ => return None,
    };
    if let Some((_, what)) = IP_PROTOCOLS.iter().find(|(number, _)| *number == protocol) {
        return Some(what);
    }
    if protocol != 17 {
        return None;
    }
    let ports = [payload.get(..2)?, payload.get(2..4)?].map(|port| u16::from_be_bytes([port[0], port[1]]));
    let said = payload.get(8..)?;
    let wraps = |tunnel: &&Tunnel| {
        let (at, values) = tunnel.byte;
        ports.contains(&tunnel.port) && said.get(at).is_some_and(|byte| values.contains(byte))
    };
    TUNNELS.iter().find(wraps).map(|tunnel| tunnel.name)
}

/// Past hop-by-hop options, routing and destination options.
fn behind_extensions(mut protocol: u8, mut rest: &[u8]) -> (u8, &[u8]) {
    while let (0 | 43 | 60, [next, length, ..]) = (protocol, rest) {
        let behind = rest.get((usize::from(*length) + 1) * 8..).unwrap_or_default();
        (protocol, rest) = (*next, behind);
    }
    (protocol, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(link: u32, frame: &[u8]) -> Vec<u8> {
        let mut bytes = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65535, link].map(u32::to_le_bytes).concat();
        bytes.extend([1_u32, 2, frame.len() as u32, frame.len() as u32].map(u32::to_le_bytes).concat());
        bytes.extend(frame);
        bytes
    }

    fn ethernet(kinds: &[u16], rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for (at, kind) in kinds.iter().enumerate() {
            frame.extend(kind.to_be_bytes());
            if at + 1 < kinds.len() {
                frame.extend([0, 5]);
            }
        }
        frame.extend(rest);
        frame
    }

    fn v4(protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol];
        packet.extend([0; 10]);
        packet.extend(rest);
        packet
    }

    fn of(link: u32, frame: &[u8]) -> Option<&'static str> {
        let mut found = None;
        frames(&capture(link, frame), &mut |link, frame| found = within(link, frame)).unwrap();
        found
    }

    #[test]
    fn packets_within_packets() {
        assert_eq!(of(1, &ethernet(&[0x0800], &v4(6, &[0; 20]))), None);
        assert_eq!(of(1, &ethernet(&[0x8100, 0x0800], &v4(47, &[0; 4]))), Some("GRE"));
        assert_eq!(of(1, &ethernet(&[0x8864], &[0; 8])), Some("PPPoE"));
        assert_eq!(of(101, &v4(17, &[0, 1, 0x12, 0xb5, 0, 8, 0, 0, 8])), Some("VXLAN"));
        assert_eq!(of(101, &v4(17, &[0, 1, 0x12, 0xb5, 0, 8, 0, 0, 1])), None, "any port may be a client's");
        assert_eq!(of(101, &v4(17, &[0, 53, 0, 99, 0, 8, 0, 0])), None);
        assert_eq!(of(105, &[0; 40]), Some("a link type that is not read"));
        let mut v6 = vec![0x60, 0, 0, 0, 0, 0, 60, 64];
        v6.extend([0; 32]);
        v6.extend([41, 0, 0, 0, 0, 0, 0, 0, 0x60]);
        assert_eq!(of(1, &ethernet(&[0x86dd], &v6)), Some("IP in IP"));
        for cut in 0..v6.len() {
            of(101, &v6[..cut]);
        }
    }

    #[test]
    fn blocks_of_pcapng() {
        let frame = ethernet(&[0x8847], &[0; 6]);
        let mut bytes = [0x0a0d_0d0a_u32, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28].map(u32::to_le_bytes).concat();
        bytes.extend([1_u32, 20, 1, 0, 20].map(u32::to_le_bytes).concat());
        bytes.extend([6_u32, 52, 0, 0, 0, frame.len() as u32, frame.len() as u32].map(u32::to_le_bytes).concat());
        bytes.extend(&frame);
        bytes.extend(52_u32.to_le_bytes());
        assert_eq!(frame.len(), 20);
        let mut found = Vec::new();
        frames(&bytes, &mut |link, frame| found.push((link, within(link, frame)))).unwrap();
        assert_eq!(found, [(1, Some("MPLS"))]);
    }
}
