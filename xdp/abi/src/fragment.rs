//! Datagrams whose fragments are tracked: what became of the first one, and which parts have come.

use crate::{plain, reason::Reason, tuple::Address};

/// Values of [`Fragment::fate`]: what became of a datagram's first fragment, and becomes of its others.
pub mod fate {
    /// It passed.
    pub const PASSED: u8 = 0;
    /// It was dropped.
    pub const DROPPED: u8 = 1;
    /// It is held, and the others are until all are there.
    pub const HELD: u8 = 2;
    /// It has not been seen, and others that came before it are held.
    pub const EARLY: u8 = 3;
    /// It passed, and another fragment contradicted those that had come: see [`Fragment::reason`](super::Fragment::reason).
    pub const CONDEMNED: u8 = 4;
}

/// Parts of one datagram that are remembered. One of 65,535 bytes comes in 119 fragments where the path takes 576 bytes, the
/// least that it may (RFC 791).
pub const PIECES: usize = 128;

/// A datagram of which fragments were seen and others are missing. 600 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Fragment {
    pub src: Address,
    pub dst: Address,
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Zero in IPv6, where later fragments may name another.
    pub protocol: u8,
    pub family: u8,
    /// 0: free way, 1: in use.
    pub used: u8,
    /// See [`fate`].
    pub fate: u8,
    /// The port it came in by, as in [`Flow::to_server_port`](crate::flow::Flow::to_server_port).
    pub port: u64,
    /// Tick of the first fragment; its entry has expired after `timeout` ticks.
    pub last_seen: u32,
    pub timeout: u32,
    pub generation: u32,
    pub service: u32,
    pub zone: u16,
    /// Why fragments of one that is condemned are dropped.
    pub reason: Reason,
    /// Bytes of payload that have come.
    pub filled: u16,
    /// Bytes of payload in all; 0 until the last fragment has come.
    pub length: u16,
    /// Where its source is counted (nowhere: `u32::MAX`), and in which lifetime: see [`Source`].
    pub source: u32,
    pub window: u32,
    /// Entries of `pieces` in use.
    pub count: u32,
    /// Of one in a tunnel: [`crate::tuple::realm::of_tunnel`].
    pub realm: u16,
    pub _pad: u16,
    /// What has come, in units of 8 bytes (RFC 791; RFC 8200, 4.5), in the order in which it came: the first unit in the low
    /// half, the one behind the last in the high half. None lies over another.
    pub pieces: [u32; PIECES],
}

/// What a fragment is to those of its datagram that have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Nothing was in its place.
    Fits,
    /// One of the same place and length has come.
    Repeats,
    /// It ends the datagram, for this reason.
    Contradicts(Reason),
}

impl Fragment {
    /// Holds the bytes from `from` to before `end` against what has come; `more`: others lie behind them. A copy is told by its
    /// place alone. What overlaps ends the datagram (RFC 5722, 4; RFC 8200, 4.5), also in IPv4: receivers disagree on which
    /// bytes win. So does a second end, and what lies behind the end.
    ///
    /// The loop has no branch but its end, which keeps the verifier from walking each way through it: differences are added up
    /// in their sign bits.
    #[inline(always)]
    pub fn fit(&self, from: u32, end: u32, more: bool) -> Fit {
        let (first, behind) = (from / 8, end.div_ceil(8));
        let (mut overlaps, mut repeats, mut beyond) = (0u32, 0u32, 0u32);
        let mut at = 0;
        while at < PIECES && (at as u32) < self.count {
            let (low, high) = (self.pieces[at] & 0xffff, self.pieces[at] >> 16);
            overlaps |= low.wrapping_sub(behind) & first.wrapping_sub(high);
            repeats |= ((low ^ first) | (high ^ behind)).wrapping_sub(1);
            beyond |= end.wrapping_sub(high * 8);
            at += 1;
        }
        let length = self.length as u32;
        // what says that more comes behind it has something behind it
        let contradicts =
            if length != 0 { end > length || more == (end == length) } else { !more && beyond >> 31 != 0 };
        if contradicts {
            Fit::Contradicts(Reason::datagram_length)
        } else if repeats >> 31 != 0 && (more || length != 0) {
            Fit::Repeats
        } else if overlaps >> 31 != 0 {
            Fit::Contradicts(Reason::datagram_overlap)
        } else if self.count >= PIECES as u32 {
            Fit::Contradicts(Reason::datagram_pieces)
        } else {
            Fit::Fits
        }
    }

    /// Takes in what [`Fit::Fits`]. Whether all of the datagram has come.
    #[inline(always)]
    pub fn add(&mut self, from: u32, end: u32, more: bool) -> bool {
        if (self.count as usize) < PIECES {
            self.pieces[self.count as usize & (PIECES - 1)] = (from / 8) | (end.div_ceil(8) << 16);
            self.count += 1;
        }
        self.filled = self.filled.wrapping_add((end - from) as u16);
        if !more {
            self.length = end as u16;
        }
        self.whole()
    }

    /// Whether all of the datagram has come.
    #[inline(always)]
    pub fn whole(&self) -> bool {
        self.length != 0 && self.filled == self.length
    }
}

/// Ways in a bucket of the fragment table.
pub const FRAGMENT_WAYS: usize = 8;

/// Datagrams whose keys fall together.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct FragmentBucket {
    pub lock: u32,
    pub _pad: u32,
    pub ways: [Fragment; FRAGMENT_WAYS],
}

/// Entries of `FRAGMENT_SOURCES`; a power of two.
pub const SOURCES: u32 = 1 << 14;

/// Incomplete datagrams of the sources of one hash, by the lifetime of a datagram (all time is cut into) in which they began.
/// Those of the lifetime before the last one have expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Source {
    pub lock: u32,
    pub window: u32,
    pub now: u32,
    pub before: u32,
}

plain!(Fragment = 600, FragmentBucket = 4808, Source = 16);
