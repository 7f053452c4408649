//! What a pcapng section has said about its interfaces, and the obsolete packet block.

use pcap_parser::pcapng::InterfaceDescriptionBlock;

/// `Packet Block`, obsolete since 2004 and still found in the wild.
pub const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// An interface of a section.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    pub link_type: u16,
    /// 0: no limit.
    pub snaplen: u32,
    /// Units of a timestamp in a second, and what one adds to it, seconds.
    per_second: u128,
    offset_s: i64,
}

impl Interface {
    pub fn new(block: &InterfaceDescriptionBlock<'_>) -> Self {
        Self {
            // the field has 16 bits
            link_type: block.linktype.0 as u16,
            snaplen: block.snaplen,
            per_second: per_second(block.if_tsresol),
            offset_s: block.if_tsoffset,
        }
    }

    /// Nanoseconds since 1970 of a timestamp in this interface's units; 0 when that is before 1970.
    pub fn nanoseconds(&self, high: u32, low: u32) -> u64 {
        let units = u128::from(high) << 32 | u128::from(low);
        let scaled = i128::try_from(units * 1_000_000_000 / self.per_second).unwrap_or(i128::MAX);
        let moved = scaled.saturating_add(i128::from(self.offset_s) * 1_000_000_000);
        u64::try_from(moved.max(0)).unwrap_or(u64::MAX)
    }
}

/// `if_tsresol`: a power of ten, or of two if the top bit is set. Resolutions finer than any clock mean nothing and are
/// read as the finest that does.
fn per_second(resolution: u8) -> u128 {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10u128.pow(exponent.min(19)) } else { 1u128 << exponent.min(63) }
}

/// The fields of an obsolete packet block.
pub struct ObsoletePacket<'a> {
    pub interface: u32,
    pub high: u32,
    pub low: u32,
    pub original_len: u32,
    pub data: &'a [u8],
}

/// Reads the body of an obsolete packet block; `None` when its lengths contradict.
pub fn obsolete_packet(body: &[u8], big_endian: bool) -> Option<ObsoletePacket<'_>> {
    let word = |at: usize| {
        let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let first: [u8; 2] = body.get(..2)?.try_into().ok()?;
    let interface = if big_endian { u16::from_be_bytes(first) } else { u16::from_le_bytes(first) };
    let captured = word(12)? as usize;
    Some(ObsoletePacket {
        interface: interface.into(),
        high: word(4)?,
        low: word(8)?,
        original_len: word(16)?,
        data: body.get(20..)?.get(..captured)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions() {
        let at = |resolution, units: u64| {
            Interface { link_type: 1, snaplen: 0, per_second: per_second(resolution), offset_s: 0 }
                .nanoseconds((units >> 32) as u32, units as u32)
        };
        assert_eq!(at(6, 1_500_000), 1_500_000_000);
        assert_eq!(at(9, 1_500_000_001), 1_500_000_001);
        assert_eq!(at(0x80 | 10, 1536), 1_500_000_000);
        assert_eq!(at(0, u64::MAX), u64::MAX);
        assert_eq!(at(0x7f, u64::MAX), 1_844_674_407);
        assert_eq!(at(0xff, u64::MAX), 1_999_999_999);
    }

    #[test]
    fn an_offset_before_1970_is_zero() {
        let interface = Interface { link_type: 1, snaplen: 0, per_second: 1_000_000, offset_s: -5 };
        assert_eq!(interface.nanoseconds(0, 1_000_000), 0);
        assert_eq!(interface.nanoseconds(0, 6_000_000), 1_000_000_000);
    }

    #[test]
    fn obsolete_blocks_cut_anywhere() {
        let mut body = vec![0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 7, 0xaa, 0xbb, 0, 0];
        let packet = obsolete_packet(&body, true).unwrap();
        assert_eq!((packet.interface, packet.low, packet.original_len), (3, 9, 7));
        assert_eq!(packet.data, [0xaa, 0xbb]);
        body.truncate(22);
        while body.pop().is_some() {
            assert!(obsolete_packet(&body, true).is_none());
        }
    }
}
