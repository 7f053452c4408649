//! What must hold for a rule to match.

use std::sync::Arc;

use super::{
    Target,
    content::{Check, Transform},
    state::{Bits, Flowbits, Flowint, Xbits},
};
use crate::{buffer::Buffer, protocol::App, subject::Direction};

/// One condition.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    /// What is looked for in a buffer.
    Inspect(Inspect),
    Packet(PacketTest),
    /// A number of a transaction, by its keyword (`dns.opcode`, `http2.errorcode`).
    Number {
        keyword: &'static str,
        test: NumberTest,
    },
    /// What only the parser can say: keyword and argument (`ssl_state`, `tls.cert_notafter`, `krb5.ticket_encryption`).
    Test {
        keyword: &'static str,
        argument: Arc<str>,
        negated: bool,
    },
    /// `app-layer-protocol`; with `true`: it is not.
    App(App, bool),
    /// The same of what one end speaks; `None`: the one whose packet it is.
    AppBy(Option<Direction>, App, bool),
    /// `app-layer-protocol` with `original`: what was spoken before it changed; of what has not changed nothing is said.
    OriginalApp(App, bool),
    /// `app-layer-event`: the event without its protocol.
    AppEvent(Arc<str>),
    /// `decode-event`, `stream-event`: `tcp.hlen_too_small`, `stream.pkt_invalid_ack`.
    Event(Arc<str>),
    Flowbits(Flowbits),
    Xbits(Xbits),
    Hostbits(Bits),
    Flowint(Flowint),
    /// `filesize`.
    FileSize(NumberTest),
    /// `fileext`, without the dot; with `true`: it is not.
    FileExtension(Arc<str>, bool),
    /// `filemd5`, `filesha1`, `filesha256`: sorted digests; with `true`: it is none of them.
    FileHash(Arc<[Vec<u8>]>, bool),
    /// `filestore`: there is a file; it is not stored.
    FileStore,
}

/// Where contents are looked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Selected {
    /// No sticky buffer: the payload of a packet, or the stream.
    Payload,
    /// `base64_data`
    Base64,
    /// `ipv4.hdr`, `ipv6.hdr`, `tcp.hdr`, `udp.hdr`, `icmpv4.hdr`, `icmpv6.hdr`, `igmp.hdr`.
    PacketHeader(&'static str),
    /// `ip.src`, `ip.dst`: the packet's address, 4 or 16 bytes.
    Address(Target),
    /// A buffer. One that has several instances is a condition by itself each time that it is named:
    /// `http.request_header` named twice may hold of two headers.
    Buffer(Buffer),
}

/// What is looked for in a buffer, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct Inspect {
    pub selected: Selected,
    /// Of a rule about both directions of a transaction: whose buffer it is, where either end may have it.
    pub toward: Option<Direction>,
    pub transforms: Vec<Transform>,
    pub checks: Vec<Check>,
}

/// A comparison.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum NumberTest {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    /// Between, neither included.
    Between(u64, u64),
    NotBetween(u64, u64),
    /// Any of these bits.
    Bits(u64),
    NoBits(u64),
    /// `&mask=bits`: of the bits of the mask these and no others; `&mask!=bits`: not so.
    Masked(u64, u64),
    NotMasked(u64, u64),
    OneOf(Vec<u64>),
}

impl NumberTest {
    /// Whether it holds of a number.
    pub fn holds(&self, number: u64) -> bool {
        match self {
            Self::Equal(than) => number == *than,
            Self::NotEqual(than) => number != *than,
            Self::Less(than) => number < *than,
            Self::LessOrEqual(than) => number <= *than,
            Self::Greater(than) => number > *than,
            Self::GreaterOrEqual(than) => number >= *than,
            Self::Between(low, high) => number > *low && number < *high,
            Self::NotBetween(low, high) => number <= *low || number >= *high,
            Self::Bits(bits) => number & bits != 0,
            Self::NoBits(bits) => number & bits == 0,
            Self::Masked(mask, bits) => number & mask == *bits,
            Self::NotMasked(mask, bits) => number & mask != *bits,
            Self::OneOf(all) => all.contains(&number),
        }
    }
}

/// A number in a header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Number {
    Ttl,
    Tos,
    /// `id`
    IpId,
    IpProtocol,
    /// `dsize`: bytes of payload.
    PayloadSize,
    /// `itype`, `icode`
    IcmpType,
    IcmpCode,
    IcmpId,
    IcmpSequence,
    IgmpType,
    /// `icmpv6.mtu`
    Icmpv6Mtu,
    Sequence,
    Acknowledgement,
    /// `tcp.wscale`, `tcp.mss`, `window`
    Window,
    Mss,
    WindowScale,
    /// `fragoffset`
    FragmentOffset,
    /// `vlan.layers`
    VlanLayers,
    /// `flow.age`, `flow.pkts`, `flow.bytes`: of the flow, by direction.
    FlowAge,
    FlowPacketsToServer,
    FlowPacketsToClient,
    FlowBytesToServer,
    FlowBytesToClient,
    FlowPacketsEither,
    FlowBytesEither,
}

/// `flags` and `fragbits`: how bits are compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FlagsTest {
    /// These and no others.
    Exactly,
    /// `+`: all of these, and any others.
    All,
    /// `*`: any of these.
    Any,
    /// `!`: none of these.
    None,
}

/// Bits of a header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flags {
    pub test: FlagsTest,
    pub bits: u8,
    /// Bits that are not looked at: behind the comma.
    pub ignored: u8,
}

impl Flags {
    /// Whether it holds of the bits of a header.
    pub const fn hold(&self, bits: u8) -> bool {
        let bits = bits & !self.ignored;
        let wanted = self.bits & !self.ignored;
        match self.test {
            FlagsTest::Exactly => bits == wanted,
            FlagsTest::All => bits & wanted == wanted,
            FlagsTest::Any => bits & wanted != 0,
            FlagsTest::None => bits & wanted == 0,
        }
    }
}

/// What is asked of a packet's headers and of its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PacketTest {
    Number(Number, NumberTest),
    /// TCP's, with CWR 0x80 and ECE 0x40.
    TcpFlags(Flags),
    /// Reserved 4, do not fragment 2, more fragments 1.
    FragmentBits(Flags),
    /// `sameip`
    SameAddress,
    /// `ipopts`: the name of the option.
    IpOption(&'static str),
    /// `ttl` and so on on either protocol are numbers; `ip_proto:!6` as well.
    StreamSize {
        who: StreamSide,
        test: NumberTest,
    },
    /// `ipv4-csum:invalid` and so on: packets with such are dropped before any rule is asked.
    Checksum {
        protocol: &'static str,
        valid: bool,
    },
    /// `vlan.id`
    VlanId(Layers, NumberTest),
}

/// Which of several VLAN tags is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layers {
    Any,
    All,
    /// 0 is the outermost; -1 is the innermost.
    At(i8),
}

/// Whose bytes `stream_size` counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamSide {
    Server,
    Client,
    Both,
    Either,
}
