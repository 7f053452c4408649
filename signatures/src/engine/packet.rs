//! What rules ask of a packet's headers and of its flow.

use std::net::IpAddr;

use crate::{
    rule::{Layers, Number, NumberTest, PacketTest, StreamSide},
    subject::{Flow, Packet, Subject},
};

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const IGMP: u8 = 2;
/// Bytes of an ICMP header, up to its data.
const ICMP_HEADER: usize = 8;

/// A packet, with its headers told apart. Of ICMP the transport header is its first eight bytes, wherever they were given.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    pub packet: Packet<'a>,
    pub transport: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Of a packet.
    pub fn new(packet: Packet<'a>) -> Self {
        let (transport, payload) = match packet.protocol {
            ICMP | ICMPV6 if packet.transport.is_empty() => {
                packet.payload.split_at(packet.payload.len().min(ICMP_HEADER))
            }
            _ => (packet.transport, packet.payload),
        };
        Self { packet, transport, payload }
    }

    const fn is_v4(&self) -> bool {
        matches!(self.packet.source, IpAddr::V4(_))
    }

    /// The bytes of a header, by the keyword that selects it.
    pub fn header(&self, keyword: &str) -> Option<&'a [u8]> {
        let network = Some(self.packet.network).filter(|network| !network.is_empty());
        let transport = Some(self.transport).filter(|transport| !transport.is_empty());
        match (keyword, self.packet.protocol) {
            ("ipv4.hdr", _) if self.is_v4() => network,
            ("ipv6.hdr", _) if !self.is_v4() => network,
            ("tcp.hdr", TCP) | ("udp.hdr", 17) | ("icmpv4.hdr", ICMP) | ("icmpv6.hdr", ICMPV6) => transport,
            ("igmp.hdr", IGMP) => transport.or(Some(self.payload)),
            _ => None,
        }
    }

    /// Whether it is a piece of a datagram.
    pub fn is_fragment(&self) -> bool {
        self.fragment().is_some_and(|(offset, flags)| offset > 0 || flags & 1 != 0)
    }

    /// The fragment offset in units of eight bytes, and the flags: reserved 4, do not fragment 2, more fragments 1.
    fn fragment(&self) -> Option<(u16, u8)> {
        if self.is_v4() {
            let field = u16::from_be_bytes(self.packet.network.get(6..8)?.try_into().ok()?);
            return Some((field & 0x1fff, (field >> 13) as u8));
        }
        let header = self.extension(44)?;
        let field = u16::from_be_bytes(header.get(2..4)?.try_into().ok()?);
        Some((field >> 3, (field & 1) as u8))
    }

    /// An extension header of IPv6.
    fn extension(&self, wanted: u8) -> Option<&'a [u8]> {
        let network = self.packet.network;
        let (mut next, mut at) = (*network.get(6)?, 40);
        for _ in 0..8 {
            let header = network.get(at..)?;
            if next == wanted {
                return Some(header);
            }
            let len = match next {
                0 | 43 | 60 => 8 + usize::from(*header.get(1)?) * 8,
                44 => 8,
                51 => 8 + usize::from(*header.get(1)?) * 4,
                _ => return None,
            };
            (next, at) = (*header.first()?, at + len);
        }
        None
    }

    /// Options of IPv4, each with its kind.
    fn ip_options(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let end = usize::from(self.packet.network.first().map_or(0, |first| first & 15)) * 4;
        let options = if self.is_v4() { self.packet.network.get(20..end) } else { None };
        options_of(options.unwrap_or_default())
    }

    /// The value of an option of TCP.
    fn tcp_option(&self, kind: u8) -> Option<&'a [u8]> {
        options_of(self.transport.get(20..)?).find(|(of, _)| *of == kind).map(|(_, value)| value)
    }

    /// The VLANs of its tags, the outer one first.
    fn vlans(&self) -> &[u16] {
        let tags = &self.packet.vlan;
        &tags[..tags.iter().position(|id| *id == 0).unwrap_or(tags.len())]
    }

    /// A number of its headers, or of its flow; `None`: there is none.
    fn number(&self, number: Number, flow: Option<&Flow>) -> Option<u64> {
        let network = self.packet.network;
        let two =
            |bytes: &[u8], at: usize| Some(u64::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
        let four =
            |bytes: &[u8], at: usize| Some(u64::from(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)));
        let one = |bytes: &[u8], at: usize| bytes.get(at).map(|byte| u64::from(*byte));
        let tcp = (self.packet.protocol == TCP).then_some(self.transport);
        let icmp = matches!(self.packet.protocol, ICMP | ICMPV6).then_some(self.transport);
        let echo = || match (self.packet.protocol, icmp?.first()?) {
            (ICMP, 0 | 8 | 13..=18) | (ICMPV6, 128 | 129) => icmp,
            _ => None,
        };
        match number {
            Number::Ttl => one(network, if self.is_v4() { 8 } else { 7 }),
            // as in Suricata, IPv6 has none
            Number::Tos if self.is_v4() => one(network, 1),
            Number::Tos => None,
            Number::IpId if self.is_v4() => two(network, 4),
            Number::IpId => four(self.extension(44)?, 4),
            Number::IpProtocol => Some(u64::from(self.packet.protocol)),
            Number::PayloadSize => Some(self.payload.len() as u64),
            Number::IcmpType => one(icmp?, 0),
            Number::IcmpCode => one(icmp?, 1),
            Number::IcmpId => two(echo()?, 4),
            Number::IcmpSequence => two(echo()?, 6),
            Number::Icmpv6Mtu => icmp
                .filter(|icmp| self.packet.protocol == ICMPV6 && icmp.first() == Some(&2))
                .and_then(|icmp| four(icmp, 4)),
            Number::IgmpType => (self.packet.protocol == IGMP).then(|| one(self.header("igmp.hdr")?, 0))?,
            Number::Sequence => four(tcp?, 4),
            Number::Acknowledgement => four(tcp?, 8),
            Number::Window => two(tcp?, 14),
            Number::Mss => two(tcp.and(self.tcp_option(2))?, 0),
            Number::WindowScale => one(tcp.and(self.tcp_option(3))?, 0),
            Number::FragmentOffset => self.fragment().map(|(offset, _)| u64::from(offset)),
            Number::VlanLayers => Some(self.vlans().len() as u64),
            Number::FlowAge => flow.map(|flow| u64::from(flow.age_s)),
            Number::FlowPacketsToServer => flow.map(|flow| flow.packets[0]),
            Number::FlowPacketsToClient => flow.map(|flow| flow.packets[1]),
            Number::FlowBytesToServer => flow.map(|flow| flow.bytes[0]),
            Number::FlowBytesToClient => flow.map(|flow| flow.bytes[1]),
            Number::FlowPacketsEither | Number::FlowBytesEither => None,
        }
    }

    /// Whether a test holds.
    pub fn holds(&self, test: &PacketTest, subject: &Subject<'_>) -> bool {
        let flow = subject.flow.as_ref();
        match test {
            PacketTest::Number(number, test) => match number {
                Number::FlowPacketsEither => {
                    flow.is_some_and(|flow| flow.packets.iter().any(|count| test.holds(*count)))
                }
                Number::FlowBytesEither => flow.is_some_and(|flow| flow.bytes.iter().any(|count| test.holds(*count))),
                number => self.number(*number, flow).is_some_and(|number| test.holds(number)),
            },
            PacketTest::TcpFlags(flags) => {
                let bits = self.transport.get(13).filter(|_| self.packet.protocol == TCP);
                bits.is_some_and(|bits| flags.hold(*bits))
            }
            PacketTest::FragmentBits(flags) => self.fragment().is_some_and(|(_, bits)| flags.hold(bits)),
            PacketTest::SameAddress => self.packet.source == self.packet.destination,
            PacketTest::IpOption(name) => match *name {
                "any" => self.ip_options().next().is_some(),
                name => option(name).is_some_and(|kind| self.ip_options().any(|(of, _)| of == kind)),
            },
            PacketTest::StreamSize { who, test } => flow.is_some_and(|flow| stream_size(flow, *who, test)),
            PacketTest::Checksum { valid, .. } => *valid,
            PacketTest::VlanId(layers, test) => {
                let ids = self.vlans();
                let holds = |id: &u16| test.holds(u64::from(*id));
                match *layers {
                    Layers::Any => ids.iter().any(holds),
                    Layers::All => !ids.is_empty() && ids.iter().all(holds),
                    Layers::At(at) => {
                        let at = if at < 0 { ids.len().checked_add_signed(at.into()) } else { Some(at as usize) };
                        at.and_then(|at| ids.get(at)).is_some_and(holds)
                    }
                }
            }
        }
    }
}

fn stream_size(flow: &Flow, who: StreamSide, test: &NumberTest) -> bool {
    let [client, server] = flow.said;
    match who {
        StreamSide::Client => test.holds(client),
        StreamSide::Server => test.holds(server),
        StreamSide::Both => test.holds(client) && test.holds(server),
        StreamSide::Either => test.holds(client) || test.holds(server),
    }
}

/// The kind of an option of IPv4, by the name that `ipopts` has for it.
fn option(name: &str) -> Option<u8> {
    Some(match name {
        "eol" => 0,
        "nop" => 1,
        "sec" => 130,
        "lsrr" => 131,
        "ts" => 68,
        "esec" => 133,
        "cipso" => 134,
        "rr" => 7,
        "satid" => 136,
        "ssrr" => 137,
        _ => return None,
    })
}

/// Options of a header: kind and value, up to the end of the list or to what is no option.
fn options_of(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let kind = *rest.first()?;
        if kind < 2 {
            rest = if kind == 0 { &[] } else { &rest[1..] };
            return Some((kind, &[][..]));
        }
        let len = usize::from(*rest.get(1)?).max(2);
        let value = rest.get(2..len)?;
        rest = &rest[len..];
        Some((kind, value))
    })
}
