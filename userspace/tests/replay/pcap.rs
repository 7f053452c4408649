//! Capture files, written byte by byte.

/// Seconds since 1970 at which captures made here start.
pub const START: u32 = 1_700_000_000;

pub const ETHERNET: u32 = 1;

/// A packet on its way into a file.
pub struct Packet {
    /// After [`START`], microseconds.
    pub at: u64,
    pub bytes: Vec<u8>,
    /// Length on the wire, if the capture has cut it.
    pub wire: Option<u32>,
}

/// Packets, a millisecond from one to the next.
pub fn every_ms(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Packet> {
    (0..).zip(frames).map(|(at, bytes)| Packet { at: at * 1000, bytes, wire: None }).collect()
}

/// A pcap file, little-endian, microseconds.
pub fn pcap(link_type: u32, packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut word = |value: u32| file.extend(value.to_le_bytes());
    for value in [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 262_144, link_type] {
        word(value);
    }
    for packet in packets {
        let length = packet.bytes.len() as u32;
        let at = [START + (packet.at / 1_000_000) as u32, (packet.at % 1_000_000) as u32];
        for value in [at[0], at[1], length, packet.wire.unwrap_or(length)] {
            file.extend(value.to_le_bytes());
        }
        file.extend(&packet.bytes);
    }
    file
}

/// A pcapng file, little-endian, microseconds: one interface for each packet.
pub fn pcapng(packets: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut file = block(0x0a0d_0d0a, &[&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
    for (number, (link_type, bytes)) in (0u32..).zip(packets) {
        file.extend(block(1, &[&link_type.to_le_bytes()[..], &[0; 6]].concat()));
        let units = u64::from(START) * 1_000_000 + u64::from(number) * 1000;
        let length = bytes.len() as u32;
        let head = [number, (units >> 32) as u32, units as u32, length, length];
        let head: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        file.extend(block(6, &[&head[..], bytes].concat()));
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = (padded as u32 + 12).to_le_bytes();
    let mut block = [&kind.to_le_bytes()[..], &length, body].concat();
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}
