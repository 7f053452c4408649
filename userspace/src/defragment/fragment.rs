//! A held fragment, its headers read by the very stages that XDP runs.

use std::{borrow::Cow, ops::Range};

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
    /// [`Held::realm`]
    pub realm: u16,
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
    /// Of one in a tunnel, what is read in its place: the packet inside.
    inner: Option<Box<[u8]>>,
    /// Of its payload in that of the datagram, bytes.
    pub offset: usize,
    /// More of the datagram comes behind it.
    pub more: bool,
    /// Of the IP header in what is [`shown`](Self::shown).
    pub l3: usize,
    /// Of what it carries there, behind the IP header or the IPv6 fragment header.
    pub payload: Range<usize>,
}

impl Fragment {
    /// Reads a held frame that came by `origin`. `shown`: what is read of it, the packet inside if it is in a tunnel.
    ///
    /// # Errors
    /// The reason to drop it for: what the stages say of it, and [`Reason::internal`] of what is no fragment, which no
    /// program holds as one.
    pub fn read(held: &Held, origin: u64, frame: &[u8], shown: Cow<'_, [u8]>) -> Result<Self, Reason> {
        let (walk, answer) = dropgate_xdp::read(&shown);
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
        if end > shown.len() || start < l3 {
            return Err(Reason::internal);
        }
        if start == end || more && (end - start) % 8 != 0 {
            return Err(Reason::fragment_bad_length);
        }
        if offset + (end - start) > usize::from(u16::MAX) {
            return Err(Reason::fragment_too_long);
        }
        let protocol = if family == V4 { protocol } else { 0 };
        let (generation, realm) = (held.generation, held.realm);
        let key = Key { src, dst, id, protocol, family, vlan, generation, origin, realm };
        let inner = match shown {
            Cow::Owned(inner) => Some(inner.into()),
            Cow::Borrowed(_) => None,
        };
        Ok(Self { held: *held, key, frame: frame.into(), inner, offset, more, l3, payload: start..end })
    }

    /// What is read of it.
    pub fn shown(&self) -> &[u8] {
        self.inner.as_ref().unwrap_or(&self.frame)
    }

    /// Bytes of memory that it takes, about.
    pub fn cost(&self) -> usize {
        self.frame.len() + self.inner.as_ref().map_or(0, |inner| inner.len()) + size_of::<Self>()
    }

    /// What it carries.
    pub fn carries(&self) -> &[u8] {
        self.shown().get(self.payload.clone()).unwrap_or_default()
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
