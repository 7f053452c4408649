//! Descriptors that follow each other, as the packets that they make.

use libc::xdp_desc;

/// Most chunks of one received packet: 64 KiB in small ones, and some.
pub const MOST_CHUNKS: u32 = 64;

/// What lies next in a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing, or the beginning of a packet whose end is not there yet.
    Nothing,
    /// A packet in so many descriptors.
    Packet { descriptors: u32, bytes: usize },
    /// Descriptors that make no packet; `begins`: the first one of them is the first of a packet.
    Broken { descriptors: u32, begins: bool },
}

/// Finds packets among the descriptors of a ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chains {
    /// What comes until the next end belongs to a packet that was given up.
    skips: bool,
}

impl Chains {
    /// Looks at what lies next, the first of `count` descriptors. Whoever asks takes out what is answered.
    pub fn next(&mut self, count: u32, descriptor: impl Fn(u32) -> xdp_desc) -> Next {
        let begins = !self.skips;
        let mut bytes = 0;
        for at in 0..count {
            let found = descriptor(at);
            let descriptors = at + 1;
            let ends = found.options & libc::XDP_PKT_CONTD == 0;
            bytes += found.len as usize;
            if ends && begins {
                return Next::Packet { descriptors, bytes };
            }
            if ends || descriptors == MOST_CHUNKS {
                self.skips = !ends;
                return Next::Broken { descriptors, begins };
            }
        }
        Next::Nothing
    }
}
