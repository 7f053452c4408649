//! Capture files: pcap and pcapng in, Ethernet frames out.
//!
//! Both byte orders, microseconds and nanoseconds, several sections and interfaces. Link types without an Ethernet header
//! are given one (see [`link`]), so that everything behind this module sees one kind of frame. What cannot become a frame
//! is [`Record::Skipped`] with a [`SkipReason`]; it still takes its number, so that numbers agree with other tools.

mod format;
pub mod link;
mod ng;
mod reader;
#[cfg(test)]
pub(crate) mod sample;

pub use reader::{Capture, CaptureError};

/// Longest frame made of a packet that the capture's snap length has cut: the longest IPv4 packet behind an Ethernet
/// header with two tags. Frames that were captured whole may be longer (BIG TCP).
pub const PADDED_MAX: usize = 65535 + 14 + 8;

/// A packet of a capture, as an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Place in the file, from 1. Skipped packets count.
    pub number: u64,
    /// Time of capture: nanoseconds since 1970-01-01 00:00 UTC.
    pub timestamp_ns: u64,
    /// Length on the wire, bytes, as the capture says it, link header included.
    pub original_len: u32,
    /// Bytes that the capture holds of it.
    pub captured_len: u32,
    /// Interface of the capture (pcapng), from 0 in each section.
    pub interface: u32,
    /// The frame. A packet cut by the snap length is filled with zeros up to its length on the wire (at most
    /// [`PADDED_MAX`]), because a frame shorter than its IP header says is another packet, one whose lengths contradict.
    pub frame: Vec<u8>,
    /// The snap length has cut it: bytes behind the captured ones are zeros that were not on the wire.
    pub cut: bool,
    /// The Ethernet header was made here: its addresses say nothing.
    pub synthetic: bool,
    /// The number of its link type, and what stood there instead of an Ethernet header, if that is another one.
    pub link_type: u16,
    pub link: Vec<u8>,
}

/// One packet record of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Packet(Packet),
    Skipped(Skipped),
}

/// A packet that cannot be shown to the datapath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Place in the file, from 1.
    pub number: u64,
    /// As in [`Packet::timestamp_ns`].
    pub timestamp_ns: u64,
    pub reason: SkipReason,
}

/// Why a packet was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum SkipReason {
    /// The link type has no Ethernet form here.
    #[error("link type {0} is not supported")]
    LinkType(u16),
    /// Fewer bytes than the link header has.
    #[error("the link header is incomplete")]
    LinkTruncated,
    /// BSD loopback with an address family other than IPv4 and IPv6.
    #[error("loopback address family {0} is neither IPv4 nor IPv6")]
    Family(u32),
    /// Linux cooked capture of something without an ethertype, e.g. netlink or CAN.
    #[error("a cooked packet of hardware type {hardware} without an ethertype (protocol {protocol:#06x})")]
    CookedProtocol { hardware: u16, protocol: u16 },
    /// pcapng: a packet of an interface that the section has not described.
    #[error("interface {0} is not described in its section")]
    Interface(u32),
}

impl SkipReason {
    /// Stable name for JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LinkType(_) => "link_type",
            Self::LinkTruncated => "link_truncated",
            Self::Family(_) => "loopback_family",
            Self::CookedProtocol { .. } => "cooked_protocol",
            Self::Interface(_) => "interface_unknown",
        }
    }
}
