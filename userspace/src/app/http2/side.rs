//! What one side of a connection says: bytes into frames, and blocks of fields out of them (RFC 7541).

use std::fmt;

use loona_hpack::Decoder;

use super::frame::{HEADER, Header};

/// Bytes of a table of fields, whatever the other side allows.
const TABLE: usize = 64 << 10;

/// Something in a block of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Field(Vec<u8>, Vec<u8>),
    TableSize(u64),
}

/// A piece of what is said.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Not enough to say anything.
    None,
    /// A frame that is no DATA, all of it.
    Frame(Header, Vec<u8>),
    /// A frame that is too long to be looked at.
    Long(Header),
    /// Content of DATA; `last`: no more of this frame follows.
    Data { header: Header, bytes: &'a [u8], last: bool, invalid: bool },
}

/// A DATA frame that is being said.
#[derive(Clone, Copy, Debug)]
struct Data {
    header: Header,
    /// Bytes before its end, with padding.
    left: usize,
    /// `None`: the length of the padding comes first.
    padding: Option<usize>,
}

/// A block of fields that goes on in the next frame.
#[derive(Debug)]
pub struct Block {
    pub stream: u32,
    pub bytes: Vec<u8>,
    pub ends_stream: bool,
}

/// One side.
pub struct Side {
    held: Vec<u8>,
    data: Option<Data>,
    skip: usize,
    pub block: Option<Block>,
    decoder: Decoder<'static>,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("held", &self.held.len()).field("data", &self.data).finish_non_exhaustive()
    }
}

impl Default for Side {
    fn default() -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(4096);
        Self { held: Vec::new(), data: None, skip: 0, block: None, decoder }
    }
}

impl Side {
    /// What the first of these bytes say, and how many they are. `most`: bytes of a frame that are held together.
    pub fn next<'a>(&mut self, said: &'a [u8], most: usize) -> (usize, Piece<'a>) {
        if self.skip > 0 {
            let length = said.len().min(self.skip);
            self.skip -= length;
            return (length, Piece::None);
        }
        if self.data.is_some() {
            return self.data(said);
        }
        let known = self.held.len();
        let header = self.held.first_chunk::<HEADER>().map(|bytes| Header::read(*bytes));
        let wanted = header.map_or(HEADER, |header| HEADER + header.length);
        let length = said.len().min(wanted - known);
        self.held.extend_from_slice(&said[..length]);
        if self.held.len() < wanted {
            return (length, Piece::None);
        }
        let Some(header) = header else {
            let Some(bytes) = self.held.first_chunk::<HEADER>() else { return (length, Piece::None) };
            let header = Header::read(*bytes);
            if header.kind == super::frame::DATA {
                self.held.clear();
                let padding = if header.is_padded() { None } else { Some(0) };
                self.data = Some(Data { header, left: header.length, padding });
                if header.length == 0 {
                    return (length, self.data(b"").1);
                }
            } else if header.length > most {
                self.held.clear();
                self.skip = header.length;
                return (length, Piece::Long(header));
            } else if header.length == 0 {
                self.held.clear();
                return (length, Piece::Frame(header, Vec::new()));
            }
            return (length, Piece::None);
        };
        let payload = self.held.split_off(HEADER);
        self.held.clear();
        (length, Piece::Frame(header, payload))
    }

    fn data<'a>(&mut self, said: &'a [u8]) -> (usize, Piece<'a>) {
        let Some(mut data) = self.data.take() else { return (0, Piece::None) };
        let header = data.header;
        let Some(padding) = data.padding else {
            let Some(padding) = said.first().copied().map(usize::from) else {
                return (0, Piece::Data { header, bytes: b"", last: true, invalid: true });
            };
            data.left -= 1;
            if padding > data.left {
                self.skip = data.left;
                return (1, Piece::Data { header, bytes: b"", last: true, invalid: true });
            }
            data.padding = Some(padding);
            let last = data.left == padding;
            if last {
                self.skip = padding;
            } else {
                self.data = Some(data);
            }
            return (1, Piece::Data { header, bytes: b"", last, invalid: false });
        };
        let length = said.len().min(data.left - padding);
        data.left -= length;
        let last = data.left == padding;
        if last {
            self.skip = padding;
        } else {
            self.data = Some(data);
        }
        (length, Piece::Data { header, bytes: &said[..length], last, invalid: false })
    }

    /// So many bytes are missing. The stream whose content they were, if they all were content of one.
    pub fn lose(&mut self, bytes: usize) -> Option<u32> {
        let data = self.data.as_mut()?;
        let left = data.left - data.padding?;
        (bytes < left).then(|| {
            data.left -= bytes;
            data.header.stream
        })
    }

    /// The other side allows a table of so many bytes.
    pub fn allow(&mut self, size: u32) {
        let size = usize::try_from(size).unwrap_or(TABLE).min(TABLE);
        self.decoder.set_max_allowed_table_size(size.max(4096));
    }

    /// Reads a block of fields, `most` bytes of them. Gives what it holds, and what was wrong.
    pub fn decode(&mut self, block: &[u8], most: usize) -> (Vec<Entry>, Option<&'static str>) {
        let mut entries = Vec::new();
        let mut rest = block;
        // changes of the size of the table come first
        while let Some((size, length)) = table_size(rest) {
            entries.push(Entry::TableSize(size));
            rest = &rest[length..];
        }
        let mut bytes = 0;
        let mut bomb = false;
        let done = self.decoder.decode_with_cb(block, |name, value| {
            bytes += name.len() + value.len() + 32;
            if bytes <= most {
                entries.push(Entry::Field(name.into_owned(), value.into_owned()));
            } else {
                bomb = true;
            }
        });
        let event = match done {
            Err(loona_hpack::decoder::DecoderError::IntegerDecodingError(_)) => Some("header_integer_overflow"),
            // a change of size by itself is sound
            Err(loona_hpack::decoder::DecoderError::SizeUpdateAtEnd) => None,
            Err(_) => Some("invalid_header"),
            Ok(()) => bomb.then_some("reassembly_limit_reached"),
        };
        (entries, event)
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.bytes.capacity());
        size_of::<Self>() + self.held.capacity() + block + 4096
    }
}

/// A change of the size of the table (RFC 7541 section 6.3), and its length.
fn table_size(block: &[u8]) -> Option<(u64, usize)> {
    let first = block.first().filter(|first| **first & 0xe0 == 0x20)?;
    let mut size = u64::from(first & 0x1f);
    if size < 0x1f {
        return Some((size, 1));
    }
    for (at, byte) in block.iter().enumerate().skip(1).take(5) {
        size += u64::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Some((size, at + 1));
        }
    }
    None
}
