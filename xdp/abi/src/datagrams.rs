//! Which datagrams no rule can match. `DATAGRAMS`, one entry a slot.
//!
//! Of each rule that can match a datagram by itself a few bytes are known that its payload must hold: a *gram*. Rules are put into
//! groups by protocol and ports. A datagram whose payload holds no gram of its groups cannot match; one that holds any may.
//!
//! The table is a filter of two levels. A bit of [`Datagrams::seen`] says that any group has a gram; two words of
//! [`Datagrams::masks`] say which ones may. All bytes of grams and payloads are folded: bit 5 is set, so that letters of either
//! case are alike.
//!
//! The look-up is written once, for the kernel and for userspace.

use crate::{
    plain,
    tuple::{Address, V4},
    walk::Walk,
};

/// Bytes of the longest payload that is looked through.
pub const ROOM: u32 = 2048;
/// Bytes of a payload that are looked through at a time: few, because a short payload is looked through as if it had all of them.
pub const PART: u32 = 8;
/// What stands behind the end of a payload: a byte that hardly any rule looks for several times in a row, as they do zeros.
pub const PADDING: u8 = 0xb5;
/// Most groups of rules.
pub const GROUPS: u32 = 16;
/// Places at the beginning of a payload where [`tier::HEAD`] grams are looked for.
pub const HEAD: u32 = 64;
const _: () = assert!(HEAD.is_multiple_of(PART) && HEAD / PART == u8::BITS);

/// How a gram is looked for: index into [`Datagrams::tiers`].
pub mod tier {
    /// Eight bytes, at every fourth place: of patterns of eleven bytes or more.
    pub const LONG: usize = 0;
    /// Four bytes, at every fourth place: of patterns of seven bytes or more.
    pub const MEDIUM: usize = 1;
    /// Four bytes, at every place.
    pub const SHORT: usize = 2;
    /// Two bytes, at every place.
    pub const TINY: usize = 3;
    /// Four bytes, at one place among the first [`super::HEAD`].
    pub const HEAD: usize = 4;
    /// Two bytes, at one such place. Behind the last byte of a payload stands [`super::PADDING`].
    pub const HEAD_TINY: usize = 5;
    pub const TIERS: usize = 6;
}

/// See the module. Every bit that is on may be on for another reason; none is off that should be on.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Datagrams {
    /// What is spoken by flows that are held whatever they say, a bit for each [`crate::flow::Flow::app`].
    pub apps: [u64; 4],
    /// By IP protocol: the groups that have it.
    pub protocols: [u16; 256],
    /// By type: those that have it of ICMP and of ICMPv6.
    pub types: [[u16; 256]; 2],
    /// Groups with grams, by [`tier`].
    pub tiers: [u16; tier::TIERS],
    /// Not zero: rules ask what is wrong with fragments, so that they are all put together.
    pub fragments: u8,
    /// Not zero: rules ask what is odd about packets that pass, so that [`crate::walk::parsed::ODD`] ones are held.
    pub odd: u8,
    /// The parts of a payload where [`tier::HEAD`] grams begin, and [`tier::HEAD_TINY`] ones.
    pub heads: [u8; 2],
    /// What rules match of which no gram is known.
    pub always: Always,
    /// What they may match of the segments that open a TCP connection, and say nothing.
    pub openings: Always,
    /// By port of UDP and SCTP: groups that have it as source, as destination.
    pub sources: [u16; 1 << 16],
    pub destinations: [u16; 1 << 16],
    /// A bit for each gram, by [`place`].
    pub seen: [u64; SEEN_WORDS],
    /// The groups that have it, by [`masks`].
    pub masks: [u16; 1 << 16],
}

/// Packets that rules may match whatever they say. A bit for each of what rules name, and one side of what they name is enough.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Always {
    /// By IP protocol.
    pub protocols: [u64; 4],
    /// By type, of ICMP and of ICMPv6.
    pub types: [[u64; 4]; 2],
    /// By port of TCP, UDP and SCTP, as source and as destination.
    pub ports: [[u64; 1 << 10]; 2],
    /// By address, as source and as destination: by [`Always::network`].
    pub addresses: [[u64; 1 << 14]; 2],
    /// By the first 16 bits of an IPv4 address.
    pub wide: [[u64; 1 << 10]; 2],
    /// Not zero: every IPv6 address as source, as destination.
    pub all_v6: [u32; 2],
    /// Not zero: there are addresses.
    pub any: u32,
    pub _pad: u32,
}

impl Always {
    /// The bit of the network that an address lies in: of IPv4 the first 24 bits name it, of IPv6 the first 48.
    #[inline(always)]
    pub const fn network(family: u8, address: &Address) -> u32 {
        let (first, second) = (u32::from_be(address[0]), u32::from_be(address[1]));
        let name =
            if family == V4 { (first >> 8) as u64 } else { (first as u64) << 16 | (second >> 16) as u64 | 1 << 63 };
        (name.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as u32
    }

    /// Whether rules may match a packet with these headers.
    #[inline(always)]
    pub const fn may_match(&self, walk: &Walk) -> bool {
        self.by_header(walk.protocol, (walk.sport, walk.dport), walk.icmp_type)
            || self.any != 0
                && (self.by_address(walk.family, &walk.src, 0) || self.by_address(walk.family, &walk.dst, 1))
    }

    /// Whether rules may match a packet of this protocol and these ports; of ICMP, of this type.
    #[inline(always)]
    pub const fn by_header(&self, protocol: u8, (source, destination): (u16, u16), kind: u8) -> bool {
        let named = match protocol {
            6 | 17 | 132 => has(&self.ports[0], source as u32) || has(&self.ports[1], destination as u32),
            1 => has(&self.types[0], kind as u32),
            58 => has(&self.types[1], kind as u32),
            _ => false,
        };
        named || has(&self.protocols, protocol as u32)
    }

    /// Whether rules may match a packet to or from this address: `way` 0 from it, 1 to it.
    #[inline(always)]
    pub const fn by_address(&self, family: u8, address: &Address, way: usize) -> bool {
        let way = way & 1;
        let wide =
            if family == V4 { has(&self.wide[way], u32::from_be(address[0]) >> 16) } else { self.all_v6[way] != 0 };
        wide || has(&self.addresses[way], Self::network(family, address))
    }
}

/// Whether a bit is on; there is none beyond the end of the words, whose number is a power of two.
#[inline(always)]
const fn has<const WORDS: usize>(words: &[u64; WORDS], bit: u32) -> bool {
    words[(bit >> 6) as usize & (WORDS - 1)] >> (bit & 63) & 1 != 0
}

const SEEN_BITS: u32 = 20;
const SEEN_WORDS: usize = 1 << (SEEN_BITS - 6);

/// A payload, [`PADDING`] behind its end.
pub trait Payload {
    /// Eight bytes from a place below [`ROOM`] on, the first one lowest.
    fn word(&self, at: u32) -> u64;
}

/// Letters of either case as one. So are other bytes, which makes it say more often that a rule may match.
#[inline(always)]
pub const fn fold(word: u64) -> u64 {
    word | 0x2020_2020_2020_2020
}

/// A gram as a key of the table. `bytes`: folded, the first one lowest; `at`: its place, where that is fixed.
#[inline(always)]
pub const fn key(of: usize, bytes: u64, at: u32) -> u64 {
    // of the folded bytes of a long gram none is below 0x20, so that it is no other one's key
    match of {
        tier::LONG => bytes,
        tier::MEDIUM | tier::SHORT => bytes & 0xffff_ffff | (of as u64) << 56,
        tier::TINY => bytes & 0xffff | (of as u64) << 56,
        tier::HEAD => bytes & 0xffff_ffff | (at as u64) << 40 | (of as u64) << 56,
        _ => bytes & 0xffff | (at as u64) << 40 | (of as u64) << 56,
    }
}

/// Word and bit of a key in [`Datagrams::seen`].
#[inline(always)]
pub const fn place(key: u64) -> (usize, u32) {
    let bit = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SEEN_BITS);
    ((bit >> 6) as usize, bit as u32 & 63)
}

/// The two words of a key in [`Datagrams::masks`].
#[inline(always)]
pub const fn masks(key: u64) -> (usize, usize) {
    let mixed = (key ^ key >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 48) as usize, (mixed >> 32 & 0xffff) as usize)
}

impl Datagrams {
    /// Whether flows that speak this are held whatever they say.
    #[inline(always)]
    pub const fn holds(&self, app: u8) -> bool {
        has(&self.apps, app as u32)
    }

    /// The groups whose rules can match a packet by its protocol and ports; of ICMP, by its type.
    #[inline(always)]
    pub const fn groups(&self, protocol: u8, (source, destination): (u16, u16), kind: u8) -> u16 {
        let groups = self.protocols[protocol as usize];
        match protocol {
            17 | 132 => groups & self.sources[source as usize] & self.destinations[destination as usize],
            1 => groups & self.types[0][kind as usize],
            58 => groups & self.types[1][kind as usize],
            _ => groups,
        }
    }

    /// Whether any place of a part of a payload, the [`PART`] bytes from `start` on, may begin a gram that these groups look for
    /// there. If so, [`Datagrams::may_begin`] says more.
    ///
    /// There is no branch for each place: the verifier would walk every combination of them.
    #[inline(always)]
    pub fn may_hold(&self, payload: &impl Payload, start: u32, groups: u16) -> bool {
        let has = |of: usize| groups & self.tiers[of] != 0;
        let has_head = |of: usize| has(of) && start < HEAD && self.heads[of - tier::HEAD] >> (start / PART) & 1 != 0;
        let mut seen = 0;
        if has(tier::LONG) {
            seen |= self.seen_in(payload, tier::LONG, start, 4);
        }
        if has(tier::MEDIUM) {
            seen |= self.seen_in(payload, tier::MEDIUM, start, 4);
        }
        if has(tier::SHORT) {
            seen |= self.seen_in(payload, tier::SHORT, start, 1);
        }
        if has(tier::TINY) {
            seen |= self.seen_in(payload, tier::TINY, start, 1);
        }
        if has_head(tier::HEAD) {
            seen |= self.seen_in(payload, tier::HEAD, start, 1);
        }
        if has_head(tier::HEAD_TINY) {
            seen |= self.seen_in(payload, tier::HEAD_TINY, start, 1);
        }
        seen != 0
    }

    /// 1 if any group may have a gram that begins at one of the places of a part, every so many.
    #[inline(always)]
    fn seen_in(&self, payload: &impl Payload, of: usize, start: u32, every: u32) -> u64 {
        let (mut seen, mut place) = (0, 0);
        while place < PART {
            let at = start + place;
            seen |= self.seen(key(of, fold(payload.word(at)), at));
            place += every;
        }
        seen
    }

    /// Whether a place of a payload may begin a gram that these groups look for there.
    #[inline(always)]
    pub fn may_begin(&self, payload: &impl Payload, at: u32, groups: u16) -> bool {
        let bytes = fold(payload.word(at));
        let mut found = self.groups_of(key(tier::SHORT, bytes, 0)) & self.tiers[tier::SHORT];
        found |= self.groups_of(key(tier::TINY, bytes, 0)) & self.tiers[tier::TINY];
        if at & 3 == 0 {
            found |= self.groups_of(key(tier::LONG, bytes, 0)) & self.tiers[tier::LONG];
            found |= self.groups_of(key(tier::MEDIUM, bytes, 0)) & self.tiers[tier::MEDIUM];
        }
        if at < HEAD {
            found |= self.groups_of(key(tier::HEAD, bytes, at)) & self.tiers[tier::HEAD];
            found |= self.groups_of(key(tier::HEAD_TINY, bytes, at)) & self.tiers[tier::HEAD_TINY];
        }
        found & groups != 0
    }

    /// 1 if any group may have a gram.
    #[inline(always)]
    fn seen(&self, key: u64) -> u64 {
        let (word, bit) = place(key);
        self.seen[word] >> bit & 1
    }

    /// The groups that may have a gram.
    #[inline(always)]
    fn groups_of(&self, key: u64) -> u16 {
        let (one, other) = masks(key);
        self.masks[one] & self.masks[other] & (self.seen(key) as u16).wrapping_neg()
    }

    /// Groups get a gram.
    pub const fn enter(&mut self, of: usize, bytes: u64, at: u32, groups: u16) {
        let key = key(of, fold(bytes), at);
        let (word, bit) = place(key);
        let (one, other) = masks(key);
        self.tiers[of] |= groups;
        if of >= tier::HEAD {
            self.heads[of - tier::HEAD] |= 1 << (at / PART);
        }
        self.seen[word] |= 1 << bit;
        self.masks[one] |= groups;
        self.masks[other] |= groups;
    }
}

plain!(
    Always = 96 + 2 * (8192 + 131_072 + 8192) + 16,
    Datagrams = 32 + 3 * 512 + 16 + 2 * (96 + 2 * (8192 + 131_072 + 8192) + 16) + 4 * 131_072,
);
