//! What becomes of fragments, case by case, and of any fragments.

mod cases;
mod limits;
mod property;

use super::*;
use dropgate_abi::hold::part;

const S: u64 = 1_000_000_000;
const LIFETIME: Duration = Duration::from_secs(15);

/// The two ends, in either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}
use Family::{V4, V6};

/// A UDP datagram of this payload, from its header on.
pub fn datagram(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("a length of 16 bits");
    let mut bytes = [40_000u16, 53, length, 0].map(u16::to_be_bytes).concat();
    bytes.extend(payload);
    bytes
}

/// An Ethernet header for the family.
fn link(family: Family) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(if family == V4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame
}

/// A frame with a packet from host number `host`: `fragment` is offset in bytes, more, identification.
pub fn frame(family: Family, host: u8, protocol: u8, fragment: Option<(usize, bool, u16)>, bytes: &[u8]) -> Vec<u8> {
    let mut frame = link(family);
    let short = |number: usize| u16::try_from(number).expect("a number of 16 bits").to_be_bytes();
    match family {
        V4 => {
            let (offset, more, id) = fragment.unwrap_or_default();
            let field = (offset / 8) | usize::from(more) << 13;
            let mut header = vec![0x45, 0];
            header.extend(short(20 + bytes.len()));
            header.extend(id.to_be_bytes());
            header.extend(short(field));
            header.extend([64, protocol, 0, 0, 10, 0, 0, host, 198, 51, 100, 7]);
            let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&header).ones_complement().to_be();
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(header);
        }
        V6 => {
            let header = if fragment.is_some() { 8 } else { 0 };
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(short(header + bytes.len()));
            frame.extend([if fragment.is_some() { 44 } else { protocol }, 64]);
            frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
            if let Some((offset, more, id)) = fragment {
                frame.extend([protocol, 0]);
                frame.extend(short(offset | usize::from(more)));
                frame.extend(u32::from(id).to_be_bytes());
            }
        }
    }
    frame.extend(bytes);
    frame
}

/// The frame that fragments with identification `id` are put together to.
pub fn whole(family: Family, id: u16, bytes: &[u8]) -> Vec<u8> {
    frame(family, 5, 17, (family == V4).then_some((0, false, id)), bytes)
}

/// Part of `bytes` as a fragment; there is more if it is not the end of it.
pub fn cut(family: Family, id: u16, bytes: &[u8], from: usize, to: usize) -> Vec<u8> {
    frame(family, 5, 17, Some((from, to < bytes.len(), id)), &bytes[from..to])
}

/// Takes fragments and remembers what ended.
pub struct Taker {
    pub all: Defragment,
    pub now_ns: u64,
    pub ended: Vec<Ended>,
    number: u32,
}

impl Taker {
    pub fn new(limits: Limits) -> Self {
        Self { all: Defragment::new(limits), now_ns: 0, ended: Vec::new(), number: 0 }
    }

    pub fn take(&mut self, frame: &[u8]) -> Option<Whole> {
        self.take_of(1, 0, frame)
    }

    pub fn take_of(&mut self, generation: u32, origin: u64, frame: &[u8]) -> Option<Whole> {
        let (walk, _) = dropgate_xdp::read(frame);
        let part = if walk.fragment_offset == 0 { part::FIRST } else { part::LATER };
        let held = Held { part, generation, sequence: self.number, ..Held::default() };
        self.number += 1;
        self.all.take((&held, frame, frame.into()), origin, (self.now_ns, LIFETIME), &mut self.ended)
    }

    /// Why fragments ended since this was asked last.
    pub fn reasons(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.ended).iter().map(|ended| ended.reason.name()).collect()
    }

    /// It holds nothing, and knows of no bytes.
    pub fn is_clean(&self) -> bool {
        let Defragment { waiting, order, early, bytes, sources, .. } = &self.all;
        waiting.is_empty() && order.is_empty() && early.is_empty() && *bytes == 0 && sources.is_empty()
    }
}
