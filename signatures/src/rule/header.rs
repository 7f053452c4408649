//! The part of a rule in front of its options.

use std::net::IpAddr;

use crate::protocol::App;

/// What a rule says of protocols.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// `ip`: any.
    Ip,
    Ipv4,
    Ipv6,
    /// `tcp`: packets and streams; `tcp-pkt`, `tcp-stream`: one of them.
    Tcp,
    TcpPacket,
    TcpStream,
    Udp,
    Icmp,
    Icmpv4,
    Icmpv6,
    Sctp,
    Igmp,
    /// `pkthdr`: any packet, also one whose headers are not sound.
    PacketHeader,
    /// Any other, by IANA's number.
    Number(u8),
    App(App),
}

/// Between what stands left and right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrow {
    /// `->`
    To,
    /// `<>`
    Both,
    /// `=>`: a transaction, both directions of it.
    Transaction,
}

/// A prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    pub address: IpAddr,
    pub bits: u8,
}

/// A set of addresses, variables resolved and lists flattened: those of `any_of` (all, if it is empty) without those of `none_of`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Addresses {
    pub any_of: Vec<Network>,
    pub none_of: Vec<Network>,
}

/// From, to; both included.
pub type PortRange = (u16, u16);

/// A set of ports, resolved: sorted ranges that neither touch nor overlap. All of them: `(0, 65535)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ports(pub Vec<PortRange>);

impl Default for Ports {
    fn default() -> Self {
        Self(vec![(0, u16::MAX)])
    }
}

/// Who speaks to whom.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Header {
    pub protocol: Protocol,
    pub source: Addresses,
    pub source_ports: Ports,
    pub arrow: Arrow,
    pub destination: Addresses,
    pub destination_ports: Ports,
}

impl Header {
    /// Anyone to anyone, in any protocol.
    pub fn any() -> Self {
        Self {
            protocol: Protocol::Ip,
            source: Addresses::default(),
            source_ports: Ports::default(),
            arrow: Arrow::To,
            destination: Addresses::default(),
            destination_ports: Ports::default(),
        }
    }
}

impl std::hash::Hash for Arrow {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (*self as u8).hash(state);
    }
}
