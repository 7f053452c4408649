//! The iterator over a capture file's packets.

use super::{Record, format::Format};
use flate2::read::MultiGzDecoder;
use pcap_parser::{PcapError, create_reader, traits::PcapReaderIterator};
use std::{
    fs::File,
    io::{Cursor, Read},
    path::Path,
};

/// The first look at a file; most packets fit many times over.
const BUFFER: usize = 256 << 10;
/// Largest block that is read. Beyond it a length field is taken to be wrong: libpcap's own limit on a packet is 256 KiB,
/// and pcapng files may carry secrets and custom blocks of some megabytes.
const BUFFER_MAX: usize = 32 << 20;

/// Why a capture cannot be read, or not further. Packets before the fault have been given out.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cannot read the capture: {0}")]
    Io(#[from] std::io::Error),
    #[error(
        "neither pcap nor pcapng: the file starts with {0}; expected a capture written by tcpdump, dumpcap or alike"
    )]
    NotACapture(String),
    #[error("the file is empty; expected a pcap or pcapng capture")]
    Empty,
    #[error("the capture ends in the middle of a record at byte {offset}, after packet {packets}")]
    Truncated { offset: u64, packets: u64 },
    #[error("a record at byte {offset}, after packet {packets}, contradicts itself: {what}")]
    Malformed { offset: u64, packets: u64, what: &'static str },
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

    /// Reads a capture from anything; one compressed with gzip is decompressed on the way.
    ///
    /// # Errors
    /// When it does not start as a capture does.
    pub fn new(mut source: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let head = Self::head(&mut source)?;
        if head.starts_with(&[0x1f, 0x8b]) {
            let mut unpacked = MultiGzDecoder::new(Cursor::new(head).chain(source));
            let head = Self::head(&mut unpacked)?;
            return Self::plain(head, unpacked);
        }
        Self::plain(head, source)
    }

    /// The first bytes: the parser's first look must hold the whole file header, however the source chops its bytes.
    fn head(source: &mut impl Read) -> Result<Vec<u8>, CaptureError> {
        let mut head = Vec::new();
        source.take(BUFFER as u64 / 2).read_to_end(&mut head)?;
        if head.is_empty() { Err(CaptureError::Empty) } else { Ok(head) }
    }

    fn plain(head: Vec<u8>, source: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let recognised = Self::recognised(&head);
        let length = head.len() as u64;
        let start = head.get(..8.min(head.len())).unwrap_or_default().to_vec();
        let blocks = create_reader(BUFFER, Cursor::new(head).chain(source)).map_err(|_| {
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
        let offset = self.offset();
        self.blocks
            .refill()
            .map_err(|_| CaptureError::Io(std::io::Error::other(format!("read error at byte {offset}"))))
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

#[cfg(test)]
mod tests {
    use super::{
        super::{PADDED_MAX, Packet, SkipReason, sample},
        *,
    };

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
        assert!(matches!(all(vec![0x1f, 0x8b, 8]).1, Some(CaptureError::Io(_))));
        assert!(matches!(all(b"GIF89a..".to_vec()).1, Some(CaptureError::NotACapture(_))));
        let mut long = sample::pcap(false, false, 1, &[(7, 5, &[1; 20], 20), (8, 6, &[2; 60], 60)]);
        long[24 + 16 + 20 + 8..24 + 16 + 20 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        let (records, error) = all(long);
        assert_eq!(records.len(), 1);
        let text = error.unwrap().to_string();
        assert!(text.contains("byte 60") && text.contains("after packet 1"), "{text}");
    }

    #[test]
    fn gzip_is_unpacked() {
        use std::io::Write;
        let plain = sample::pcap(false, false, 1, &[(7, 5, &[1; 20], 20), (8, 6, &[2; 60], 60)]);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&plain).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(all(packed.clone()).0, all(plain).0);
        let (_, error) = all(packed[..packed.len() - 10].to_vec());
        assert!(error.is_some());
    }

    #[test]
    fn a_block_larger_than_the_buffer_is_read() {
        let big = vec![3; BUFFER * 3];
        let (records, error) = all(sample::pcap(false, false, 1, &[(0, 0, &big, big.len() as u32)]));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(packet(&records[0]).frame.len(), big.len());
    }
}
