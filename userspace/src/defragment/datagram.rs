//! The fragments of one datagram, until all are there.

use dropgate_abi::{reason::Reason, tuple::V4};

use super::fragment::Fragment;

/// What a fragment is to those that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Others are missing.
    Missing,
    /// All are there.
    Complete,
}

/// A datagram that is not complete.
#[derive(Debug, Default)]
pub struct Datagram {
    /// By offset, none over another.
    fragments: Vec<Fragment>,
    /// Bytes of payload that they carry.
    filled: usize,
    /// Bytes of payload in all, once the last one is there.
    length: Option<usize>,
    /// It ends: every fragment of it is dropped.
    pub condemned: Option<Reason>,
}

impl Datagram {
    /// Whether the first fragment is there, by whose ports the datagram was judged.
    pub fn has_first(&self) -> bool {
        self.fragments.first().is_some_and(|fragment| fragment.offset == 0)
    }

    /// Fragments that are there.
    pub fn len(&self) -> usize {
        self.fragments.len()
    }

    /// Bytes of memory that its fragments take.
    pub fn bytes(&self) -> usize {
        self.fragments.iter().map(Fragment::cost).sum()
    }

    /// Its fragments, in their order, which it has no longer.
    pub fn take(&mut self) -> Vec<Fragment> {
        (self.filled, self.length) = (0, None);
        std::mem::take(&mut self.fragments)
    }

    /// Whether a fragment is there already, byte for byte.
    pub fn holds(&self, new: &Fragment) -> bool {
        self.fragments.get(self.place(new)).is_some_and(|fragment| fragment.repeats(new))
    }

    /// Why a fragment that is not there yet ends the whole datagram: it overlaps another one (RFC 5722), they contradict each
    /// other on where the datagram ends, or there would be more than `most`.
    pub fn refuses(&self, new: &Fragment, most: usize) -> Option<Reason> {
        let end = new.end();
        let longest = self.fragments.last().map_or(0, Fragment::end);
        let contradicts = match self.length {
            // what says that more comes behind it has something behind it
            Some(length) => end > length || new.more && end == length || !new.more && end != length,
            None => !new.more && longest > end,
        };
        if contradicts {
            return Some(Reason::datagram_length);
        }
        let at = self.place(new);
        let over_one_before = at > 0 && self.fragments[at - 1].end() > new.offset;
        if over_one_before || self.fragments.get(at).is_some_and(|behind| behind.offset < end) {
            return Some(Reason::datagram_overlap);
        }
        (self.fragments.len() >= most).then_some(Reason::datagram_pieces)
    }

    /// Takes a fragment that [`Datagram::refuses`] has nothing to say against.
    pub fn add(&mut self, new: Fragment) -> Fit {
        if !new.more {
            self.length = Some(new.end());
        }
        self.filled += new.payload.len();
        self.fragments.insert(self.place(&new), new);
        if self.length == Some(self.filled) { Fit::Complete } else { Fit::Missing }
    }

    /// Where a fragment stands among the others.
    fn place(&self, new: &Fragment) -> usize {
        self.fragments.partition_point(|fragment| fragment.offset < new.offset)
    }
}

/// Bytes of an IPv6 header, and of a fragment header.
const IPV6: usize = 40;
const FRAGMENT_HEADER: usize = 8;
/// Protocol number of the fragment header.
const FRAGMENT: u8 = 44;

/// The frame that all fragments of a datagram came from, with the headers of the first one. `fragments`: all, in order.
///
/// # Errors
/// The reason to drop it for: no packet is that long, or what it is put together to contradicts itself.
pub fn put_together(fragments: &[Fragment]) -> Result<Vec<u8>, Reason> {
    let first = fragments.first().ok_or(Reason::internal)?;
    let headers = first.shown().get(..first.payload.start).ok_or(Reason::internal)?;
    let length: usize = fragments.iter().map(|fragment| fragment.payload.len()).sum();
    let mut frame = Vec::with_capacity(headers.len() + length);
    frame.extend_from_slice(headers);
    let l3 = first.l3;
    if first.key.family == V4 {
        let total = u16::try_from(headers.len() - l3 + length).map_err(|_| Reason::fragment_too_long)?;
        let header = frame.get_mut(l3..).ok_or(Reason::internal)?;
        let (lengths, checksum) = (2..4, 10..12);
        if header.len() < 20 {
            return Err(Reason::internal);
        }
        header[lengths].copy_from_slice(&total.to_be_bytes());
        // no more to come, at offset zero
        header[6..8].fill(0);
        header[checksum.clone()].fill(0);
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(header).ones_complement().to_be();
        header[checksum].copy_from_slice(&sum.to_be_bytes());
    } else {
        let fragment_header = headers.len().checked_sub(FRAGMENT_HEADER).ok_or(Reason::internal)?;
        let next = *frame.get(fragment_header).ok_or(Reason::internal)?;
        let names = names_fragment_header(&frame, l3, fragment_header).ok_or(Reason::internal)?;
        frame[names] = next;
        frame.truncate(fragment_header);
        let behind = fragment_header.checked_sub(l3 + IPV6).ok_or(Reason::internal)?;
        let total = u16::try_from(behind + length).map_err(|_| Reason::fragment_too_long)?;
        frame[l3 + 4..l3 + 6].copy_from_slice(&total.to_be_bytes());
    }
    for fragment in fragments {
        frame.extend_from_slice(fragment.carries());
    }
    let (walk, answer) = dropgate_xdp::read(&frame);
    answer.map_err(|decision| decision.reason())?;
    if walk.parsed & dropgate_abi::walk::parsed::FRAGMENT != 0 {
        // a fragment of fragments: a header that may stand there once
        return Err(Reason::ip6_ext_order);
    }
    Ok(frame)
}

/// Where the header before an IPv6 fragment header says what comes next (RFC 8200, 4).
fn names_fragment_header(frame: &[u8], l3: usize, fragment_header: usize) -> Option<usize> {
    /// Protocol number of the authentication header, whose length is in words of four bytes.
    const AUTHENTICATION: u8 = 51;
    let (mut names, mut at) = (l3 + 6, l3 + IPV6);
    while at < fragment_header {
        let length = usize::from(*frame.get(at + 1)?);
        let size = if *frame.get(names)? == AUTHENTICATION { (length + 2) * 4 } else { (length + 1) * 8 };
        (names, at) = (at, at + size);
    }
    (at == fragment_header && *frame.get(names)? == FRAGMENT).then_some(names)
}
