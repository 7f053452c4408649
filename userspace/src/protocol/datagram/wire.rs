//! A cursor over the bytes of a datagram: every read checks that they are there.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    pub rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u24(&mut self) -> Option<u32> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Bytes up to the first `end`, which is read too.
    pub fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|&byte| byte == end)?;
        let taken = self.take(length)?;
        self.take(1)?;
        Some(taken)
    }

    /// A vector behind its length in one byte.
    pub fn short_vector(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// A vector behind its length in two bytes.
    pub fn vector(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// A vector behind its length in 32-bit words, in two bytes.
    pub fn words(&mut self) -> Option<&'a [u8]> {
        let words = self.u16()?;
        self.take(usize::from(words) * 4)
    }
}

/// Something if it holds.
pub fn must(holds: bool) -> Option<()> {
    holds.then_some(())
}
