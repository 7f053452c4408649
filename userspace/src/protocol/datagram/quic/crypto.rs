//! The frames of Initial packets, and the handshake bytes that their CRYPTO frames carry.

use super::{
    super::wire::{Bytes, must},
    header::variable,
};

/// Handshake bytes that are kept: more than any ClientHello has.
pub const MOST: usize = 1 << 14;

/// What the handshake bytes so far begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hello {
    Not,
    May,
    Is,
}

/// Handshake bytes in their places.
#[derive(Debug, Default)]
pub struct Crypto {
    bytes: Vec<u8>,
    filled: Vec<bool>,
    /// Bytes from the start without a gap.
    whole: usize,
}

impl Crypto {
    /// Takes in the frames of a packet.
    pub fn frames(&mut self, payload: &[u8]) -> Hello {
        let Some(answers) = self.take(payload) else { return Hello::Not };
        // the handshake goes on without more of its bytes
        if answers && self.bytes.is_empty() {
            return Hello::Is;
        }
        match self.bytes.get(..self.whole) {
            Some([1, 0, _, _, 3, 3, ..]) => Hello::Is,
            Some([1, 0, _, _, 3] | [1, 0, _, _] | [1, 0, _] | [1, 0] | [1] | []) => Hello::May,
            _ => Hello::Not,
        }
    }

    /// The first message, once it is whole, if it is of this type.
    pub fn message(&self, kind: u8) -> Option<Vec<u8>> {
        let whole = self.bytes.get(..self.whole)?;
        let mut bytes = Bytes::new(whole);
        must(bytes.u8()? == kind)?;
        let length = usize::try_from(bytes.u24()?).ok()?;
        Some(whole.get(..4 + length)?.to_vec())
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        self.bytes.capacity() + self.filled.capacity()
    }

    /// Frames that an Initial packet may have (RFC 9000 table 3). Whether it answers: it acknowledges or closes.
    pub fn take(&mut self, payload: &[u8]) -> Option<bool> {
        let mut bytes = Bytes::new(payload);
        let mut answers = false;
        while let Some(kind) = bytes.u8() {
            match kind {
                // padding, ping
                0 | 1 => {}
                2 | 3 => {
                    answers = true;
                    let _largest = variable(&mut bytes)?;
                    let _delay = variable(&mut bytes)?;
                    let ranges = variable(&mut bytes)?;
                    // a range is at least two bytes, so this ends with the payload
                    for _ in 0..1 + 2 * ranges.min(u64::from(u16::MAX)) {
                        variable(&mut bytes)?;
                    }
                    if kind == 3 {
                        for _ in 0..3 {
                            variable(&mut bytes)?;
                        }
                    }
                }
                6 => {
                    let offset = variable(&mut bytes)?;
                    let length = variable(&mut bytes)?;
                    let data = bytes.take(usize::try_from(length).ok()?)?;
                    self.put(usize::try_from(offset).ok()?, data)?;
                }
                0x1c => {
                    answers = true;
                    let _code = variable(&mut bytes)?;
                    let _frame = variable(&mut bytes)?;
                    let length = variable(&mut bytes)?;
                    bytes.take(usize::try_from(length).ok()?)?;
                }
                _ => return None,
            }
        }
        Some(answers)
    }

    /// Beyond the bound, and other bytes in a place that was filled, are refused.
    fn put(&mut self, offset: usize, data: &[u8]) -> Option<()> {
        let end = offset.checked_add(data.len())?;
        must(end <= MOST)?;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
            self.filled.resize(end, false);
        }
        let places = self.bytes.get_mut(offset..end)?.iter_mut().zip(self.filled.get_mut(offset..end)?);
        for ((place, filled), &byte) in places.zip(data) {
            must(!*filled || *place == byte)?;
            *place = byte;
            *filled = true;
        }
        while self.filled.get(self.whole) == Some(&true) {
            self.whole += 1;
        }
        Some(())
    }
}

/// The server's name in a ClientHello (RFC 6066 section 3), a TLS handshake message with its header. `None` if it has
/// none, or is not well formed.
pub fn server_name(client_hello: &[u8]) -> Option<&str> {
    let mut bytes = Bytes::new(client_hello);
    must(bytes.u8()? == 1)?;
    let length = bytes.u24()?;
    let mut bytes = Bytes::new(bytes.take(usize::try_from(length).ok()?)?);
    // version and random, session, cipher suites, compression methods
    bytes.take(34)?;
    bytes.short_vector()?;
    bytes.vector()?;
    bytes.short_vector()?;
    let mut extensions = Bytes::new(bytes.vector()?);
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let extension = extensions.vector()?;
        if kind != 0 {
            continue;
        }
        let mut names = Bytes::new(Bytes::new(extension).vector()?);
        while !names.is_empty() {
            let kind = names.u8()?;
            let name = names.vector()?;
            if kind == 0 {
                must(!name.is_empty() && name.iter().all(u8::is_ascii_graphic))?;
                return str::from_utf8(name).ok();
            }
        }
    }
    None
}
