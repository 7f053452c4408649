//! A TCP segment as read from a packet (RFC 9293, 3.1).

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use crate::protocol::Direction;

/// Bits of [`Segment::flags`].
pub mod flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

/// Options that bear on what a receiver accepts. The maximum segment size does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Window scale (RFC 7323, 2.2), a shift.
    pub scale: Option<u8>,
    /// The sender's timestamp, and the one that it echoes (RFC 7323, 3.2).
    pub timestamp: Option<u32>,
    pub echo: Option<u32>,
}

/// Whether checksums are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    Verify,
    /// For captures taken at the sender, before its network card has written the checksum.
    Ignore,
}

/// A segment whose checksum was right.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub direction: Direction,
    pub seq: u32,
    pub ack: u32,
    /// Bits of [`flag`].
    pub flags: u8,
    /// As in the header, not scaled.
    pub window: u16,
    pub urgent: u16,
    pub options: Options,
    pub payload: &'a [u8],
}

/// Fixed part of the header.
const HEADER: usize = 20;

impl<'a> Segment<'a> {
    /// Reads `tcp`, the whole payload of an IP packet (no more, no less).
    pub fn read(
        direction: Direction,
        source: IpAddr,
        destination: IpAddr,
        tcp: &'a [u8],
        verify: Checksum,
    ) -> Result<Self, Reason> {
        let Some((header, _)) = tcp.split_first_chunk::<HEADER>() else { return Err(Reason::tcp_truncated) };
        let length = usize::from(header[12] >> 4) * 4;
        let (Some(options), Some(payload)) = (tcp.get(HEADER..length), tcp.get(length..)) else {
            return Err(Reason::tcp_bad_header_length);
        };
        if verify == Checksum::Verify && checksum(source, destination, tcp) != 0 {
            return Err(Reason::tcp_checksum);
        }
        Ok(Self {
            direction,
            seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            flags: header[13],
            window: u16::from_be_bytes([header[14], header[15]]),
            urgent: u16::from_be_bytes([header[18], header[19]]),
            options: Options::read(options),
            payload,
        })
    }

    /// Whether any of these flags is set.
    pub(super) const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

impl Options {
    /// Reads options up to the first one that makes no sense.
    pub(super) fn read(mut rest: &[u8]) -> Self {
        let mut options = Self::default();
        loop {
            rest = match *rest {
                [1, ref after @ ..] => after,
                [kind @ 2..=255, length @ 2..=255, ..] => {
                    let Some((option, after)) = rest.split_at_checked(usize::from(length)) else { break };
                    match (kind, option) {
                        (3, [_, _, shift]) => options.scale = Some(*shift),
                        (8, [_, _, a, b, c, d, echo @ ..]) if length == 10 => {
                            options.timestamp = Some(u32::from_be_bytes([*a, *b, *c, *d]));
                            options.echo = echo.first_chunk().map(|echo| u32::from_be_bytes(*echo));
                        }
                        _ => {}
                    }
                    after
                }
                _ => break,
            };
        }
        options
    }
}

/// The Internet checksum (RFC 1071) over the pseudo-header and the segment; zero if the segment's own is right.
pub(crate) fn checksum(source: IpAddr, destination: IpAddr, tcp: &[u8]) -> u16 {
    !folded(pseudo_header(TCP, source, destination, tcp.len()) + words(tcp))
}

/// What a sender writes who leaves the checksum of a segment or datagram of that length to its network card: the sum of
/// the pseudo-header (Linux, `CHECKSUM_PARTIAL` in `include/linux/skbuff.h`; Windows).
pub(crate) fn partial(protocol: u8, source: IpAddr, destination: IpAddr, length: usize) -> u16 {
    folded(pseudo_header(protocol, source, destination, length))
}

/// The checksum that completes such a one; `transport` holds it where the checksum belongs.
pub(crate) fn completed(transport: &[u8]) -> u16 {
    !folded(words(transport))
}

const TCP: u8 = 6;

fn pseudo_header(protocol: u8, source: IpAddr, destination: IpAddr, length: usize) -> u64 {
    let addresses = [source, destination].map(|address| match address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    });
    u64::from(protocol) + length as u64 + addresses.iter().sum::<u64>()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum of 16-bit words in network order, four bytes at a time.
fn words(bytes: &[u8]) -> u64 {
    let (fours, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = fours.iter().map(|four| u64::from(u32::from_be_bytes(*four))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    sum
}
