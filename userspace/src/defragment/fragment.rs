//! A held fragment, its headers read by the very stages that XDP runs.

use std::ops::Range;

use dropgate_abi::{
    hold::Held,
    reason::Reason,
    tuple::{Address, V4},
    walk::{Walk, parsed},
};

/// What fragments of one datagram have in common (RFC 791; RFC 8200, 4.5), and where they are seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key {
    pub src: Address,
    pub dst: Address,
    pub id: u32,
    /// Zero in IPv6, where later fragments may name another.
    pub protocol: u8,
    pub family: u8,
    pub vlan: [u16; 2],
    /// What an older generation said of one fragment is said of no other.
    pub generation: u32,
    /// Where it came in, or leaves, by the caller's numbers.
    pub origin: u64,
}

impl Key {
    /// As its receiver tells it, who knows of no commit.
    pub const fn anywhere(&self) -> Self {
        Self { generation: 0, ..*self }
    }
}

/// A frame with a fragment in it.
#[derive(Clone, Debug)]
pub struct Fragment {
    pub held: Held,
    pub key: Key,
    pub frame: Box<[u8]>,
    /// Of its payload in that of the datagram, bytes.
    pub offset: usize,
    /// More of the datagram comes behind it.
    pub more: bool,
    /// Of the IP header in the frame.
    pub l3: usize,
    /// Of what it carries, behind the IP header or the IPv6 fragment header.
    pub payload: Range<usize>,
}

impl Fragment {
    /// Reads a held frame that came by `origin`.
    ///
    /// # Errors
    /// The reason to drop it for: what the stages say of it, and [`Reason::internal`] of what is no fragment, which no
    /// program holds as one.
    pub fn read(held: &Held, origin: u64, frame: &[u8]) -> Result<Self, Reason> {
        let (walk, answer) = dropgate_xdp::read(frame);
        answer.map_err(|decision| decision.reason())?;
        let Walk { src, dst, family, protocol, vlan, fragment_id: id, .. } = walk;
        if walk.parsed & parsed::FRAGMENT == 0 {
            return Err(Reason::internal);
        }
        let first = walk.parsed & parsed::FIRST != 0;
        if first && walk.l4 == 0 {
            return Err(Reason::fragment_tiny);
        }
        let l3 = usize::from(walk.l3);
        let end = l3 + usize::from(walk.ip_len);
        let start = end.checked_sub(walk.fragment_len.into()).ok_or(Reason::internal)?;
        let (offset, more) = (usize::from(walk.fragment_offset), walk.parsed & parsed::MORE != 0);
        if end > frame.len() || start < l3 {
            return Err(Reason::internal);
        }
        if start == end || more && (end - start) % 8 != 0 {
            return Err(Reason::fragment_bad_length);
        }
        if offset + (end - start) > usize::from(u16::MAX) {
            return Err(Reason::fragment_too_long);
        }
        let protocol = if family == V4 { protocol } else { 0 };
        let key = Key { src, dst, id, protocol, family, vlan, generation: held.generation, origin };
        Ok(Self { held: *held, key, frame: frame.into(), offset, more, l3, payload: start..end })
    }

    /// What it carries.
    pub fn carries(&self) -> &[u8] {
        self.frame.get(self.payload.clone()).unwrap_or_default()
    }

    /// Where in the datagram's payload it ends.
    pub const fn end(&self) -> usize {
        self.offset + (self.payload.end - self.payload.start)
    }

    /// Whether it has the same bytes in the same place.
    pub fn repeats(&self, other: &Self) -> bool {
        (self.offset, self.more) == (other.offset, other.more) && self.carries() == other.carries()
    }
}
