//! Bodies that are packed: gzip (RFC 1952), deflate with and without zlib's frame (RFC 1950, 1951), brotli (RFC 7932), in layers.
//!
//! Browsers unpack whatever can be unpacked, whatever it is called, and so does this: checksums are not looked at, what is
//! declared `gzip` may be `deflate` and the other way round, and what cannot be unpacked from its first byte on is taken for
//! content as it is.

use std::io::Write as _;

use brotli_decompressor::DecompressorWriter;
use flate2::{Decompress, FlushDecompress, Status};
use memchr::memchr;

/// Bytes of a body that may be unpacked in any case.
const FREE: u64 = 1 << 20;
/// Beyond that, how many bytes may come of one that was said.
const RATIO: u64 = 100;
/// Bytes unpacked at a time.
const STEP: usize = 16 << 10;
/// Bytes at the beginning from which it is found out how something is packed.
const HEAD: usize = 2 << 10;
/// Largest window of brotli, as a power of two: what it remembers of what it has unpacked.
const WINDOW: u8 = 22;

/// How something is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// gzip or deflate: the bytes tell which.
    Deflate,
    /// Deflate by itself (RFC 1951).
    Raw,
    Brotli,
}

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It cannot be unpacked (any further).
    Broken,
    /// Much more came out of it than was said.
    Bomb,
}

/// A body that was packed, once or several times.
#[derive(Debug, Default)]
pub struct Packed {
    /// In the order in which they are unpacked.
    layers: Vec<Layer>,
    said: u64,
    unpacked: u64,
    spare: Vec<u8>,
    /// What went wrong, first.
    pub trouble: Option<Trouble>,
}

impl Packed {
    /// Packed by these, one after the other.
    pub fn new(packings: &[Packing]) -> Self {
        Self { layers: packings.iter().rev().map(|packing| Layer::new(*packing)).collect(), ..Self::default() }
    }

    /// It is not packed at all.
    pub const fn is_plain(&self) -> bool {
        self.layers.is_empty()
    }

    /// The next bytes. What comes of them is appended to `content`.
    pub fn push(&mut self, bytes: &[u8], content: &mut Vec<u8>) {
        self.said += bytes.len() as u64;
        self.unpack(bytes, false, content);
    }

    /// That was all.
    pub fn finish(&mut self, content: &mut Vec<u8>) {
        self.unpack(&[], true, content);
    }

    /// Bytes of it are missing: nothing that follows can be unpacked.
    pub fn lose(&mut self) {
        if !self.is_plain() {
            self.trouble.get_or_insert(Trouble::Broken);
            self.layers.truncate(1);
            if let Some(layer) = self.layers.first_mut() {
                (layer.over, layer.codec, layer.head) = (true, None, None);
            }
        }
    }

    fn unpack(&mut self, bytes: &[u8], last: bool, content: &mut Vec<u8>) {
        if self.trouble == Some(Trouble::Bomb) {
            return;
        }
        let before = content.len();
        let room = FREE.max(self.said.saturating_mul(RATIO)).saturating_sub(self.unpacked);
        let mut room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut input = std::mem::take(&mut self.spare);
        input.clear();
        input.extend_from_slice(bytes);
        let layers = self.layers.len();
        for (at, layer) in self.layers.iter_mut().enumerate() {
            let mut output = if at + 1 == layers { std::mem::take(content) } else { Vec::new() };
            let start = output.len();
            if let Err(trouble) = layer.push(&input, last, &mut output, start.saturating_add(room)) {
                self.trouble.get_or_insert(trouble);
                if trouble == Trouble::Bomb {
                    self.trouble = Some(trouble);
                }
            }
            if at + 1 == layers {
                *content = output;
            } else {
                room = room.saturating_sub(output.len() - start);
                input = output;
            }
        }
        if layers == 0 {
            content.extend_from_slice(bytes);
        }
        self.unpacked += (content.len() - before) as u64;
        input.clear();
        if input.capacity() <= STEP {
            self.spare = input;
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        self.layers.iter().map(Layer::footprint).sum::<usize>() + self.spare.capacity()
    }
}

/// One layer.
#[derive(Debug)]
struct Layer {
    packing: Packing,
    codec: Option<Codec>,
    /// What was said, until something has come of it, and how much of that the codec was fed.
    head: Option<(Vec<u8>, usize)>,
    /// What follows is not looked at.
    over: bool,
}

enum Codec {
    /// `true`: behind the frame of gzip or zlib.
    Inflate(Box<Decompress>, bool),
    Brotli(Box<DecompressorWriter<Vec<u8>>>),
    /// It is not packed.
    Plain,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inflate(..) => "Inflate",
            Self::Brotli(_) => "Brotli",
            Self::Plain => "Plain",
        })
    }
}

impl Codec {
    /// Unpacks; `output` is not to become longer than `most`. `true`: that was the end of it.
    fn feed(&mut self, bytes: &[u8], output: &mut Vec<u8>, most: usize) -> Result<bool, Trouble> {
        match self {
            Self::Inflate(inflate, _) => inflated(inflate, bytes, output, most),
            Self::Brotli(writer) => unbrotlied(writer, bytes, output, most).map(|()| false),
            Self::Plain => {
                output.extend_from_slice(bytes);
                Ok(false)
            }
        }
    }
}

impl Layer {
    const fn new(packing: Packing) -> Self {
        Self { packing, codec: None, head: Some((Vec::new(), 0)), over: false }
    }

    /// The next bytes; `output` is not to become longer than `most`.
    fn push(&mut self, bytes: &[u8], last: bool, output: &mut Vec<u8>, most: usize) -> Result<(), Trouble> {
        if self.over {
            return Ok(());
        }
        if let Some((head, _)) = &mut self.head {
            head.extend_from_slice(bytes);
            return self.begin(last, output, most);
        }
        let Some(codec) = &mut self.codec else { return Ok(()) };
        let done = codec.feed(bytes, output, most);
        self.over = !matches!(done, Ok(false));
        done.map(|_| ())
    }

    /// Finds out what it is: whatever something comes of.
    fn begin(&mut self, last: bool, output: &mut Vec<u8>, most: usize) -> Result<(), Trouble> {
        let Some((head, mut fed)) = self.head.take() else { return Ok(()) };
        let start = output.len();
        let mut done = Ok(());
        loop {
            if self.codec.is_none() {
                let Some((codec, at)) = self.choose(&head, last) else {
                    self.head = Some((head, 0));
                    return Ok(());
                };
                if matches!(codec, Codec::Plain) {
                    done = Err(Trouble::Broken);
                }
                (self.codec, fed) = (Some(codec), at);
            }
            let Some(codec) = &mut self.codec else { return Ok(()) };
            let fate = codec.feed(&head[fed..], output, most);
            fed = head.len();
            let came = output.len() > start;
            let barren = fate == Err(Trouble::Broken) || (last && fate == Ok(false));
            match codec {
                Codec::Inflate(inflate, framed) if barren && !came && *framed => {
                    (**inflate, *framed, fed) = (Decompress::new(false), false, 0);
                }
                Codec::Inflate(..) | Codec::Brotli(_) if barren && !came => {
                    done = Err(Trouble::Broken);
                    (*codec, fed) = (Codec::Plain, 0);
                }
                _ => {
                    self.over = !matches!(fate, Ok(false));
                    if !came && !self.over && head.len() <= HEAD {
                        self.head = Some((head, fed));
                    }
                    return done.and(fate.map(|_| ()));
                }
            }
            if head.is_empty() {
                return Ok(());
            }
        }
    }

    /// What it looks like, and where that begins; `None`: too little is there to tell.
    fn choose(&self, head: &[u8], last: bool) -> Option<(Codec, usize)> {
        if head.is_empty() {
            return None;
        }
        if self.packing == Packing::Brotli {
            let sound = window(head[0]).is_some_and(|window| window <= WINDOW);
            let codec = || Codec::Brotli(Box::new(DecompressorWriter::new(Vec::new(), STEP)));
            return Some((if sound { codec() } else { Codec::Plain }, 0));
        }
        let frame = if self.packing == Packing::Raw { Frame::None } else { framed(head) };
        match frame {
            Frame::Unknown if !last && head.len() <= HEAD => None,
            Frame::Unknown => Some((Codec::Plain, 0)),
            Frame::Behind(start) => Some((Codec::Inflate(Box::new(Decompress::new(false)), true), start)),
            Frame::None => Some((Codec::Inflate(Box::new(Decompress::new(false)), false), 0)),
        }
    }

    fn footprint(&self) -> usize {
        // windows, and about what the libraries keep beside them
        let codec = match &self.codec {
            Some(Codec::Inflate(..)) => 44 << 10,
            Some(Codec::Brotli(_)) => 64 << 10,
            Some(Codec::Plain) | None => 0,
        };
        size_of::<Self>() + self.head.as_ref().map_or(0, |(head, _)| head.capacity()) + codec
    }
}

/// How something begins.
enum Frame {
    /// Cannot be told yet.
    Unknown,
    /// Deflate follows behind so many bytes.
    Behind(usize),
    /// By itself.
    None,
}

fn framed(head: &[u8]) -> Frame {
    if head.starts_with(&[0x1f]) {
        return match head {
            [_, 0x8b, 8, ..] => gzip(head).map_or(Frame::Unknown, Frame::Behind),
            [_] | [_, 0x8b] => Frame::Unknown,
            _ => Frame::None,
        };
    }
    match *head {
        [] | [_] => Frame::Unknown,
        [first, second, ..] => {
            let zlib = first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31);
            if zlib { Frame::Behind(2) } else { Frame::None }
        }
    }
}

/// Length of gzip's header, if all of it is there (RFC 1952 section 2.3).
fn gzip(head: &[u8]) -> Option<usize> {
    let flags = *head.get(3)?;
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += memchr(0, head.get(at..)?)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (head.len() > at).then_some(at)
}

/// Inflates; `true`: that was the end of it.
fn inflated(inflate: &mut Decompress, bytes: &[u8], output: &mut Vec<u8>, most: usize) -> Result<bool, Trouble> {
    let mut rest = bytes;
    loop {
        if output.len() >= most {
            return Err(Trouble::Bomb);
        }
        output.reserve(STEP.min(most - output.len()).max(1));
        let (before_in, before_out) = (inflate.total_in(), output.len());
        let status = inflate.decompress_vec(rest, output, FlushDecompress::None);
        let used = usize::try_from(inflate.total_in() - before_in).unwrap_or(usize::MAX);
        rest = rest.get(used..).unwrap_or_default();
        match status {
            Ok(Status::StreamEnd) => return Ok(true),
            Ok(_) if used == 0 && output.len() == before_out => return Ok(false),
            Ok(_) if rest.is_empty() && output.len() < output.capacity() => return Ok(false),
            Ok(_) => {}
            Err(_) => return Err(Trouble::Broken),
        }
    }
}

/// Unpacks brotli.
fn unbrotlied(
    writer: &mut DecompressorWriter<Vec<u8>>,
    bytes: &[u8],
    output: &mut Vec<u8>,
    most: usize,
) -> Result<(), Trouble> {
    // a little at a time, as there is no telling how much comes of it
    for piece in bytes.chunks(64) {
        let done = writer.write_all(piece).and_then(|()| writer.flush());
        let came = writer.get_mut();
        let room = most.saturating_sub(output.len());
        let bomb = came.len() > room;
        came.truncate(room);
        output.append(came);
        if bomb {
            return Err(Trouble::Bomb);
        }
        if done.is_err() {
            return Err(Trouble::Broken);
        }
    }
    Ok(())
}

/// The window that brotli declares in its first byte, as a power of two (RFC 7932 section 9.1); `None`: it does not exist, or is
/// larger than the RFC has it.
const fn window(first: u8) -> Option<u8> {
    if first & 1 == 0 {
        return Some(16);
    }
    match (first >> 1) & 7 {
        0 => match (first >> 4) & 7 {
            0 => Some(17),
            1 => None,
            more => Some(8 + more),
        },
        more => Some(17 + more),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    const TEXT: &[u8] = b"What is said, said twice: what is said, said twice. And once more.";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Of every length of step the same.
    fn unpacked(packings: &[Packing], body: &[u8]) -> (Vec<u8>, Option<Trouble>) {
        let mut results: Vec<_> = [1, 2, 3, 7, 64, body.len().max(1)]
            .into_iter()
            .map(|step| {
                let mut packed = Packed::new(packings);
                let mut content = Vec::new();
                body.chunks(step).for_each(|piece| packed.push(piece, &mut content));
                packed.finish(&mut content);
                (content, packed.trouble)
            })
            .collect();
        results.dedup();
        assert_eq!(results.len(), 1, "{results:?}");
        results.remove(0)
    }

    #[test]
    fn whatever_it_is_called_it_is_unpacked() {
        for body in [gzip(TEXT), zlib(TEXT), deflate(TEXT)] {
            assert_eq!(unpacked(&[Packing::Deflate], &body), (TEXT.to_vec(), None));
        }
        assert_eq!(unpacked(&[], TEXT), (TEXT.to_vec(), None));
    }

    #[test]
    fn brotli_is_unpacked() {
        // an uncompressed block (RFC 7932 section 9.2) behind a window of 16, and the empty last one
        let mut body = vec![0x30, 0, 0x10];
        body.extend_from_slice(b"abcd");
        body.push(0x03);
        let (content, _) = unpacked(&[Packing::Brotli], &body);
        assert_eq!(content, b"abcd");
    }

    #[test]
    fn layers_are_unpacked_the_last_one_first() {
        let body = gzip(&deflate(TEXT));
        assert_eq!(unpacked(&[Packing::Deflate, Packing::Deflate], &body), (TEXT.to_vec(), None));
        let brotli = [&[0x30, 0, 0x10], &b"abcd"[..], &[3]].concat();
        assert_eq!(unpacked(&[Packing::Brotli, Packing::Deflate], &gzip(&brotli)).0, b"abcd");
    }

    #[test]
    fn what_is_not_packed_is_content() {
        assert_eq!(unpacked(&[Packing::Deflate], TEXT), (TEXT.to_vec(), Some(Trouble::Broken)));
        assert_eq!(unpacked(&[Packing::Deflate], b"a"), (b"a".to_vec(), Some(Trouble::Broken)));
        assert_eq!(unpacked(&[Packing::Brotli], b"\xff\xff\xff"), (b"\xff\xff\xff".to_vec(), Some(Trouble::Broken)));
        assert_eq!(unpacked(&[Packing::Deflate], b""), (vec![], None));
        // a layer less than was announced
        let (content, trouble) = unpacked(&[Packing::Deflate, Packing::Deflate], &gzip(TEXT));
        assert_eq!((&content[..], trouble), (TEXT, Some(Trouble::Broken)));
    }

    #[test]
    fn headers_and_trailers_of_gzip_are_skipped() {
        let plain = gzip(TEXT);
        let mut body = plain[..3].to_vec();
        body.push(2 | 4 | 8 | 16 | 0x80);
        body.extend_from_slice(&plain[4..10]);
        body.extend_from_slice(b"\x03\0xyzname\0comment\0cc");
        body.extend_from_slice(&plain[10..plain.len() - 8]);
        assert_eq!(unpacked(&[Packing::Deflate], &body), (TEXT.to_vec(), None));
        body.extend_from_slice(b"wrong checksum, and then some");
        assert_eq!(unpacked(&[Packing::Deflate], &body), (TEXT.to_vec(), None));
    }

    #[test]
    fn what_breaks_off_is_unpacked_so_far() {
        let noise: Vec<u8> = (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut body = gzip(&noise);
        body.truncate(3000);
        let (content, trouble) = unpacked(&[Packing::Deflate], &body);
        assert!(noise.starts_with(&content) && content.len() > 1000, "{}", content.len());
        assert_eq!(trouble, None);
        body.truncate(1500);
        body.extend_from_slice(&[0xff; 500]);
        let mut packed = Packed::new(&[Packing::Deflate]);
        let mut content = Vec::new();
        packed.push(&body, &mut content);
        packed.lose();
        packed.push(b"more", &mut content);
        packed.finish(&mut content);
        assert!(content.starts_with(&noise[..1000]));
        assert_eq!(packed.trouble, Some(Trouble::Broken));
    }

    #[test]
    fn bombs_are_stopped() {
        let bomb = gzip(&gzip(&vec![0; 64 << 20]));
        let mut packed = Packed::new(&[Packing::Deflate, Packing::Deflate]);
        let mut content = Vec::new();
        packed.push(&bomb, &mut content);
        packed.finish(&mut content);
        assert_eq!(packed.trouble, Some(Trouble::Bomb));
        let most = FREE.max(bomb.len() as u64 * RATIO) as usize;
        assert!(content.len() <= most + STEP, "{}", content.len());
    }
}
