//! What the engine is shown: packets, what was said on a stream, and what parsers have made of that.

use std::{borrow::Cow, net::IpAddr};

use crate::{buffer::Buffer, protocol::App};

/// Who said something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    /// Both, each at its own number.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    /// The one of a number: 0 is to the server.
    pub const fn numbered(number: u8) -> Self {
        if number == 0 { Self::ToServer } else { Self::ToClient }
    }

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// A packet, whose headers were found sound.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Of the flow; of a packet that belongs to none, to the server.
    pub direction: Direction,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// IANA's protocol number, behind extension headers.
    pub protocol: u8,
    /// 0: it has none.
    pub source_port: u16,
    pub destination_port: u16,
    /// From the first byte of the IP header to the last one before the transport header.
    pub network: &'a [u8],
    /// The transport header with its options; of other protocols nothing.
    pub transport: &'a [u8],
    /// Behind the transport header; of other protocols, behind the network header.
    pub payload: &'a [u8],
    /// VLANs of its tags, the outer one first; 0: none.
    pub vlan: [u16; 2],
    /// What was noticed about it: names of `decode-event` and `stream-event`, without their prefix.
    pub events: &'a [&'static str],
    /// It was dropped, and its bytes are not known: only rules are asked that need none.
    pub cut: bool,
}

impl Packet<'_> {
    /// The other direction of its flow, of which there is no packet now.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            direction: self.direction.opposite(),
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            network: &[],
            transport: &[],
            payload: &[],
            ..*self
        }
    }
}

/// What is known of the flow, with the packet that is shown now.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Both ends have spoken: of TCP, the handshake was complete before this packet, or with it where it says something.
    pub established: bool,
    /// What is spoken. [`App::Unknown`]: not known yet; [`App::Failed`]: nothing that is known.
    pub app: App,
    /// What was spoken before it changed (STARTTLS, upgrades, tunnels).
    pub original_app: Option<App>,
    /// One end speaks something else: which one, and what.
    pub mismatch: Option<(Direction, App)>,
    /// Packets, and bytes of their frames, by direction so far, this one included.
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    /// Bytes of a TCP stream by direction so far.
    pub said: [u64; 2],
    /// Since its first packet, s.
    pub age_s: u32,
}

impl Flow {
    /// What one end speaks.
    pub fn spoken_by(&self, end: Direction) -> App {
        self.mismatch.filter(|(direction, _)| *direction == end).map_or(self.app, |(_, app)| app)
    }
}

/// What was said on one direction of a TCP connection, in order.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// What is remembered of it, up to and including what the packet adds.
    pub bytes: &'a [u8],
    /// Place of its first byte in the stream.
    pub offset: u64,
    /// How many of its last bytes the packet added.
    pub new: usize,
    /// Nothing more will be said.
    pub ended: bool,
}

/// What a transaction offers of a buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field<'a> {
    /// Not yet; it may come.
    Pending,
    /// There is none, and none will come.
    Absent,
    /// So far.
    Part(Data<'a>),
    /// As it stays.
    Whole(Data<'a>),
}

/// Bytes of a buffer. What is a stream of its own (bodies, files) is remembered from its first byte up to a limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Data<'a> {
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Field<'a> {
    /// All of a buffer, borrowed.
    pub const fn whole(bytes: &'a [u8]) -> Self {
        Self::Whole(Data { bytes: Cow::Borrowed(bytes) })
    }

    /// All of a buffer if there is one.
    pub fn optional(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Absent, Self::whole)
    }
}

/// A number or a set of flags that a keyword compares: `dns.opcode`, `tls.version`, `mqtt.type` and so on, by its keyword.
pub type Number = &'static str;

/// One exchange of an application protocol: a request and its response, a query and its answer, a handshake, a message.
pub trait Transaction {
    /// Unique within the flow, ascending.
    fn id(&self) -> u64;

    /// What protocol it belongs to: [`App::Http1`] and [`App::Http2`] rather than [`App::Http`].
    fn app(&self) -> App;

    /// A counter that goes up whenever anything changes that this direction says. 0: it has said nothing, and is not asked about.
    fn revision(&self, direction: Direction) -> u32;

    /// Nothing more is added to what this direction says.
    fn is_complete(&self, direction: Direction) -> bool;

    /// The contents of a buffer, by direction and instance: of names and certificates there are several; [`Field::Absent`] at
    /// the first instance that there is not and will not be.
    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_>;

    /// The numbers of a keyword, each in turn; `None`: no more.
    fn number(&self, _keyword: &str, _direction: Direction, _instance: usize) -> Option<u64> {
        None
    }

    /// Anything else that a keyword asks of it: `None` is not known yet.
    fn test(&self, _keyword: &str, _argument: &str, _direction: Direction) -> Option<bool> {
        Some(false)
    }

    /// What was noticed about it: names of `app-layer-event`, without the protocol's.
    fn events(&self) -> &[&'static str];

    /// Files of a direction, by instance.
    fn file(&self, _direction: Direction, _instance: usize) -> Option<File<'_>> {
        None
    }
}

/// A file that is transferred.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    pub name: &'a [u8],
    /// So far.
    pub size: u64,
    pub complete: bool,
    /// That was not all of it.
    pub truncated: bool,
    /// Once it is complete, in bytes of the digest.
    pub md5: Option<&'a [u8]>,
    pub sha1: Option<&'a [u8]>,
    pub sha256: Option<&'a [u8]>,
}

/// All that one packet brings to be inspected.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Time that goes on, for thresholds and bits that expire: of the capture, or of the clock; ns.
    pub now_ns: u64,
    pub packet: Packet<'a>,
    /// `None`: it belongs to no flow.
    pub flow: Option<Flow>,
    /// What it added to the stream; `None`: nothing, or it is no TCP.
    pub stream: Option<Stream<'a>>,
    /// Transactions that are not over, or ended with this packet, in order.
    pub transactions: &'a [&'a dyn Transaction],
}
