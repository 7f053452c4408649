//! The iterator over a capture file's packets.

use super::{
    PADDED_MAX, Packet, Record, SkipReason, Skipped, link,
    ng::{self, Interface},
};
use pcap_parser::{
    Block, PcapBlockOwned, PcapError, create_reader,
    traits::{PcapNGPacketBlock, PcapReaderIterator},
};
use std::{fs::File, io::Read, path::Path};

/// The first look at a file; most packets fit many times over.
const BUFFER: usize = 256 << 10;
/// Largest block that is read. Beyond it a length field is taken to be wrong: libpcap's own limit on a packet is 256 KiB,
/// and pcapng files may carry secrets and custom blocks of some megabytes.
const BUFFER_MAX: usize = 32 << 20;

/// Why a capture cannot be read, or not further. Packets before the fault have been given out.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cannot read the capture")]
    Io(#[from] std::io::Error),
    #[error("neither pcap nor pcapng: the file starts with {0}; expected a capture written by tcpdump, dumpcap or alike")]
    NotACapture(String),
    #[error("the capture is compressed with gzip; decompress it first, e.g. with `gunzip`")]
    Gzip,
    #[error("the file is empty; expected a pcap or pcapng capture")]
    Empty,
    #[error("the capture ends in the middle of a record at byte {offset}, after packet {packets}")]
    Truncated { offset: u64, packets: u64 },
    #[error("a record at byte {offset}, after packet {packets}, contradicts itself: {what}")]
    Malformed { offset: u64, packets: u64, what: &'static str },
}

/// What the file's headers have said so far.
enum Format {
    /// No header yet.
    Unknown,
    Pcap { link_type: u16, nanoseconds: bool },
    Ng { big_endian: bool, interfaces: Vec<Interface> },
}

/// A capture file: an iterator over its packets. It ends at the first error.
pub struct Capture {
    blocks: Box<dyn PcapReaderIterator + Send>,
    format: Format,
    packets: u64,
    capacity: usize,
    done: bool,
}

impl Capture {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened, or does not start as a capture does.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::new(File::open(path)?)
    }

    /// Reads a capture from anything.
    ///
    /// # Errors
    /// When it does not start as a capture does.
    pub fn new(mut source: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        // the first read must hold the whole file header, however the source chops its bytes
        let mut head = Vec::new();
        source.by_ref().take(BUFFER as u64 / 2).read_to_end(&mut head)?;
        if head.is_empty() {
            return Err(CaptureError::Empty);
        }
        if head.starts_with(&[0x1f, 0x8b]) {
            return Err(CaptureError::Gzip);
        }
        let recognised = Self::recognised(&head);
        let length = head.len() as u64;
        let start = head.get(..8.min(head.len())).unwrap_or_default().to_vec();
        let blocks = create_reader(BUFFER, std::io::Cursor::new(head).chain(source)).map_err(|_| {
            if recognised && length < BUFFER as u64 / 2 {
                CaptureError::Truncated { offset: 0, packets: 0 }
            } else if recognised {
                CaptureError::Malformed { offset: 0, packets: 0, what: "the file header" }
            } else {
                let bytes: Vec<String> = start.iter().map(|byte| format!("{byte:02x}")).collect();
                CaptureError::NotACapture(format!("`{}`", bytes.join(" ")))
            }
        })?;
        Ok(Self { blocks, format: Format::Unknown, packets: 0, capacity: BUFFER, done: false })
    }

    fn recognised(head: &[u8]) -> bool {
        const MAGICS: [[u8; 4]; 6] = [
            [0xd4, 0xc3, 0xb2, 0xa1],
            [0xa1, 0xb2, 0xc3, 0xd4],
            [0x4d, 0x3c, 0xb2, 0xa1],
            [0xa1, 0xb2, 0x3c, 0x4d],
            [0x34, 0xcd, 0xb2, 0xa1],
            [0x0a, 0x0d, 0x0d, 0x0a],
        ];
        MAGICS.iter().any(|magic| head.starts_with(magic))
    }

    /// Packets given out so far, the skipped ones included.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    fn offset(&self) -> u64 {
        self.blocks.consumed() as u64
    }

    fn malformed(&self, what: &'static str) -> CaptureError {
        CaptureError::Malformed { offset: self.offset(), packets: self.packets, what }
    }

    fn truncated(&self) -> CaptureError {
        CaptureError::Truncated { offset: self.offset(), packets: self.packets }
    }

    /// Reads on after the parser wanted more bytes than the buffer holds.
    fn more(&mut self, full: bool) -> Result<(), CaptureError> {
        if full {
            if self.capacity >= BUFFER_MAX {
                return Err(self.malformed("its length is above 32 MiB"));
            }
            self.capacity *= 2;
            self.blocks.grow(self.capacity);
        }
        self.blocks.refill().map_err(|_| CaptureError::Io(std::io::Error::other("read error")))
    }

    /// The next packet, `None` at the end of the file.
    fn step(&mut self) -> Result<Option<Record>, CaptureError> {
        enum Next {
            Record(usize, Record),
            Other(usize),
            More { full: bool },
            End,
            Cut,
            Bad(&'static str),
        }
        loop {
            let held = self.blocks.data().len();
            let next = match self.blocks.next() {
                Ok((size, block)) => match self.format.read(block, self.packets + 1) {
                    Ok(Some(record)) => Next::Record(size, record),
                    Ok(None) => Next::Other(size),
                    Err(what) => Next::Bad(what),
                },
                Err(PcapError::Eof) => Next::End,
                Err(PcapError::Incomplete(_)) => Next::More { full: held >= self.capacity },
                Err(PcapError::BufferTooSmall) => Next::More { full: true },
                Err(PcapError::UnexpectedEof) if held == 0 => Next::End,
                Err(PcapError::UnexpectedEof) => Next::Cut,
                Err(_) => Next::Bad("its lengths or its kind"),
            };
            match next {
                Next::Record(size, record) => {
                    self.blocks.consume(size);
                    self.packets += 1;
                    return Ok(Some(record));
                }
                Next::Other(size) => self.blocks.consume(size),
                Next::More { full } => self.more(full)?,
                Next::End => return Ok(None),
                Next::Cut => return Err(self.truncated()),
                Next::Bad(what) => return Err(self.malformed(what)),
            }
        }
    }
}

impl Iterator for Capture {
    type Item = Result<Record, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl Format {
    /// Takes in one block: a packet, or something about packets.
    fn read(&mut self, block: PcapBlockOwned<'_>, number: u64) -> Result<Option<Record>, &'static str> {
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
                let Self::Pcap { link_type, nanoseconds } = *self else { return Err("a packet before the header") };
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
        let Self::Ng { big_endian, interfaces } = self else { return Err("a block before the section header") };
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};
    use std::io::Cursor;

    fn all(bytes: Vec<u8>) -> (Vec<Record>, Option<CaptureError>) {
        let mut records = Vec::new();
        let capture = match Capture::new(Cursor::new(bytes)) {
            Ok(capture) => capture,
            Err(error) => return (records, Some(error)),
        };
        for item in capture {
            match item {
                Ok(record) => records.push(record),
                Err(error) => return (records, Some(error)),
            }
        }
        (records, None)
    }

    fn packet(record: &Record) -> &Packet {
        match record {
            Record::Packet(packet) => packet,
            Record::Skipped(skipped) => panic!("skipped: {skipped:?}"),
        }
    }

    #[test]
    fn pcap_in_both_orders_and_both_resolutions() {
        for big in [false, true] {
            for nano in [false, true] {
                let file = sample::pcap(big, nano, 1, &[(7, 5, &[1; 20], 20), (8, 6, &[2; 60], 60)]);
                let (records, error) = all(file);
                assert!(error.is_none(), "{error:?}");
                let scale = if nano { 1 } else { 1000 };
                assert_eq!(records.len(), 2);
                let first = packet(&records[0]);
                assert_eq!((first.number, first.timestamp_ns), (1, 7_000_000_000 + 5 * scale));
                assert_eq!(first.frame, [1; 20]);
                assert_eq!(packet(&records[1]).number, 2);
            }
        }
    }

    #[test]
    fn a_cut_packet_is_padded_to_its_length() {
        let (records, _) = all(sample::pcap(false, false, 1, &[(0, 0, &[1; 20], 100), (0, 0, &[1; 20], u32::MAX)]));
        let first = packet(&records[0]);
        assert!(first.cut);
        assert_eq!((first.frame.len(), first.captured_len, first.original_len), (100, 20, 100));
        assert_eq!(first.frame[20..], [0; 80]);
        assert_eq!(packet(&records[1]).frame.len(), PADDED_MAX);
        // raw IP: the made header comes on top
        let (records, _) = all(sample::pcap(false, false, 101, &[(0, 0, &[0x45; 20], 100)]));
        assert_eq!(packet(&records[0]).frame.len(), 114);
    }

    #[test]
    fn pcapng_in_both_orders_with_two_sections() {
        let mut file = Vec::new();
        for big in [false, true] {
            let mut section = sample::Section::new(big);
            section.interface(1, 0, Some(9));
            section.interface(101, 96, None);
            section.enhanced(0, 1_000_000_001, &[9; 61], 61);
            section.enhanced(1, 2_000_000, &[0x60; 40], 40);
            section.simple(&[5; 14], 14);
            section.enhanced(2, 0, &[0; 14], 14);
            section.obsolete(0, 3, &[7; 15], 15);
            section.other();
            file.extend_from_slice(&section.bytes);
        }
        let (records, error) = all(file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(records.len(), 10);
        for half in records.chunks(5) {
            assert_eq!(packet(&half[0]).timestamp_ns, 1_000_000_001);
            assert_eq!(packet(&half[0]).frame, [9; 61]);
            assert_eq!(packet(&half[1]).timestamp_ns, 2_000_000_000);
            assert_eq!(packet(&half[1]).frame[12..15], [0x86, 0xdd, 0x60]);
            assert_eq!(packet(&half[2]).frame, [5; 14]);
            assert!(matches!(&half[3], Record::Skipped(s) if s.reason == SkipReason::Interface(2)));
            assert_eq!((packet(&half[4]).timestamp_ns, packet(&half[4]).frame.len()), (3, 15));
        }
        assert_eq!(packet(&records[9]).number, 10);
    }

    #[test]
    fn files_cut_at_every_byte_end_with_an_error_or_fewer_packets() {
        let mut section = sample::Section::new(false);
        section.interface(1, 0, Some(9));
        section.enhanced(0, 1, &[9; 61], 61);
        let pcap = sample::pcap(false, false, 1, &[(7, 5, &[1; 20], 20), (8, 6, &[2; 60], 60)]);
        for whole in [pcap, section.bytes] {
            let (full, _) = all(whole.clone());
            for length in 0..whole.len() {
                let (records, error) = all(whole[..length].to_vec());
                assert!(records.len() < full.len());
                assert_eq!(records[..], full[..records.len()]);
                if error.is_none() {
                    // a file may end between two records
                    let (again, _) = all(whole[..length].to_vec());
                    assert_eq!(again.len(), records.len());
                }
            }
        }
    }

    #[test]
    fn faults_are_named_with_their_place() {
        assert!(matches!(all(Vec::new()).1, Some(CaptureError::Empty)));
        assert!(matches!(all(vec![0x1f, 0x8b, 8]).1, Some(CaptureError::Gzip)));
        assert!(matches!(all(b"GIF89a..".to_vec()).1, Some(CaptureError::NotACapture(_))));
        let mut long = sample::pcap(false, false, 1, &[(7, 5, &[1; 20], 20), (8, 6, &[2; 60], 60)]);
        long[24 + 16 + 20 + 8..24 + 16 + 20 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        let (records, error) = all(long);
        assert_eq!(records.len(), 1);
        let text = error.unwrap().to_string();
        assert!(text.contains("byte 60") && text.contains("after packet 1"), "{text}");
    }

    #[test]
    fn a_block_larger_than_the_buffer_is_read() {
        let big = vec![3; BUFFER * 3];
        let (records, error) = all(sample::pcap(false, false, 1, &[(0, 0, &big, big.len() as u32)]));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(packet(&records[0]).frame.len(), big.len());
    }
}
