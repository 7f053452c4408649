//! From the blocks of a file to packets: what a block means in the light of those before it.

use super::{
    PADDED_MAX, Packet, Record, SkipReason, Skipped, link,
    ng::{self, Interface},
};
use pcap_parser::{Block, PcapBlockOwned, traits::PcapNGPacketBlock};

/// What the file's headers have said so far.
pub enum Format {
    /// No header yet.
    Unknown,
    Pcap {
        link_type: u16,
        nanoseconds: bool,
    },
    Ng {
        big_endian: bool,
        interfaces: Vec<Interface>,
    },
}

impl Format {
    /// Takes in one block: a packet, or something about packets.
    pub fn read(&mut self, block: PcapBlockOwned<'_>, number: u64) -> Result<Option<Record>, &'static str> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                *self = Self::Pcap {
                    // the upper half tells of a frame check sequence
                    link_type: header.network.0 as u16,
                    nanoseconds: header.is_nanosecond_precision(),
                };
                Ok(None)
            }
            PcapBlockOwned::Legacy(block) => {
                let Self::Pcap { link_type, nanoseconds } = *self else {
                    return Err("a packet before the header");
                };
                let fraction = u64::from(block.ts_usec) * if nanoseconds { 1 } else { 1000 };
                let raw = Raw {
                    number,
                    timestamp_ns: u64::from(block.ts_sec) * 1_000_000_000 + fraction,
                    interface: 0,
                    original_len: block.origlen,
                    data: block.data,
                };
                Ok(Some(raw.record(link_type)))
            }
            PcapBlockOwned::NG(block) => self.read_ng(block, number),
        }
    }

    fn read_ng(&mut self, block: Block<'_>, number: u64) -> Result<Option<Record>, &'static str> {
        if let Block::SectionHeader(header) = &block {
            *self = Self::Ng { big_endian: header.big_endian(), interfaces: Vec::new() };
            return Ok(None);
        }
        let Self::Ng { big_endian, interfaces } = self else {
            return Err("a block before the section header");
        };
        let raw = match &block {
            Block::InterfaceDescription(description) => {
                interfaces.push(Interface::new(description));
                return Ok(None);
            }
            Block::EnhancedPacket(packet) => {
                let interface = interfaces.get(packet.if_id as usize);
                Raw {
                    number,
                    timestamp_ns: interface.map_or(0, |known| known.nanoseconds(packet.ts_high, packet.ts_low)),
                    interface: packet.if_id,
                    original_len: packet.origlen,
                    data: packet.packet_data(),
                }
            }
            Block::SimplePacket(packet) => {
                // it has neither a time nor a captured length: that is the interface's snap length
                let limit = interfaces.first().map_or(0, |known| known.snaplen);
                let data = packet.packet_data();
                let captured = if limit == 0 { data.len() } else { data.len().min(limit as usize) };
                Raw {
                    number,
                    timestamp_ns: 0,
                    interface: 0,
                    original_len: packet.origlen,
                    data: data.get(..captured).unwrap_or(data),
                }
            }
            Block::Unknown(unknown) => {
                let kind = if *big_endian { unknown.block_type.swap_bytes() } else { unknown.block_type };
                if kind != ng::OBSOLETE_PACKET_BLOCK {
                    return Ok(None);
                }
                let packet = ng::obsolete_packet(unknown.data, *big_endian).ok_or("a packet block cut short")?;
                let interface = interfaces.get(packet.interface as usize);
                Raw {
                    number,
                    timestamp_ns: interface.map_or(0, |known| known.nanoseconds(packet.high, packet.low)),
                    interface: packet.interface,
                    original_len: packet.original_len,
                    data: packet.data,
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(match interfaces.get(raw.interface as usize) {
            Some(interface) => raw.record(interface.link_type),
            None => raw.skipped(SkipReason::Interface(raw.interface)),
        }))
    }
}

/// A packet as it lies in the file.
struct Raw<'a> {
    number: u64,
    timestamp_ns: u64,
    interface: u32,
    original_len: u32,
    data: &'a [u8],
}

impl Raw<'_> {
    fn skipped(&self, reason: SkipReason) -> Record {
        Record::Skipped(Skipped { number: self.number, timestamp_ns: self.timestamp_ns, reason })
    }

    fn record(&self, link_type: u16) -> Record {
        let original = (self.original_len as usize).max(self.data.len());
        let link = match link::ethernet(link_type, self.data, original) {
            Ok(link) => link,
            Err(reason) => return self.skipped(reason),
        };
        let header: &[u8] = link.header.as_ref().map_or(&[], |header| header.as_slice());
        let body = self.data.get(link.strip..).unwrap_or_default();
        let captured = header.len() + body.len();
        let wire = header.len() + original.saturating_sub(link.strip);
        let mut frame = Vec::with_capacity(captured);
        frame.extend_from_slice(header);
        frame.extend_from_slice(body);
        let cut = wire > captured;
        if cut {
            frame.resize(wire.min(PADDED_MAX).max(captured), 0);
        }
        Record::Packet(Packet {
            number: self.number,
            timestamp_ns: self.timestamp_ns,
            original_len: original as u32,
            captured_len: self.data.len() as u32,
            interface: self.interface,
            frame,
            cut,
            synthetic: link.header.is_some(),
            link_type,
            link: self.data.get(..link.strip).unwrap_or_default().to_vec(),
        })
    }
}
