//! The packet that `explain` asks about: from its description on the command line to a frame.

use std::borrow::Cow;

use super::text::{protocol, protocol_number};
use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder,
};
use std::net::{IpAddr, SocketAddr};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// Source port of a packet for which none was given: the first of those that hosts choose from.
const EPHEMERAL: u16 = 49152;
/// Hardware addresses of a frame made here: locally administered.
const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);

/// Why a description is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error(
        "`{0}` is no address; expected an IPv4 or IPv6 address, with a port as `10.0.0.1:80` or `[2001:db8::1]:80`"
    )]
    Address(String),
    #[error("`{0}` names no protocol; expected e.g. `203.0.113.9:443/tcp`, `203.0.113.9/icmp` or `203.0.113.9/gre`")]
    NoProtocol(String),
    #[error("`{0}` is no protocol; expected a name such as `tcp`, `udp`, `icmp`, `gre`, or a number below 256")]
    Protocol(String),
    #[error("`{0}` needs a port, e.g. `203.0.113.9:443/{1}`")]
    NoPort(String, String),
    #[error("`{0}` has a port, but {1} has no ports; leave it out")]
    Port(String, Cow<'static, str>),
    #[error("`{0}` is no ICMP type; expected a name such as `echo-request` or a number below 256")]
    IcmpType(String),
    #[error("`{0}` has a type, which only icmp and icmpv6 have")]
    Type(String),
    #[error("`{from}` and `{to}` are not of one family; expected both IPv4 or both IPv6")]
    Families { from: IpAddr, to: IpAddr },
    #[error("`{0}` cannot go over {1}; expected {2}")]
    IcmpFamily(String, &'static str, &'static str),
}

/// The first packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero where the protocol has none.
    pub sport: u16,
    pub dport: u16,
    /// Of ICMP and ICMPv6; zero else.
    pub icmp_type: u8,
}

impl Target {
    /// Reads `--from ADDRESS[:PORT]` and `--to ADDRESS[:PORT]/PROTOCOL[:TYPE]`.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub fn parse(from: &str, to: &str) -> Result<Self, TargetError> {
        let (src, sport) = end(from)?;
        let (address, proto) = to.rsplit_once('/').ok_or_else(|| TargetError::NoProtocol(to.into()))?;
        let (dst, dport) = end(address)?;
        if src.is_ipv4() != dst.is_ipv4() {
            return Err(TargetError::Families { from: src, to: dst });
        }
        let (name, kind) = proto.split_once(':').map_or((proto, None), |(name, kind)| (name, Some(kind)));
        let number = protocol_number(name).ok_or_else(|| TargetError::Protocol(name.into()))?;
        let number = match (number, dst.is_ipv6()) {
            // `icmp` means the family's own
            (ICMP, true) if name.eq_ignore_ascii_case("icmp") => ICMPV6,
            (ICMPV6, false) => return Err(TargetError::IcmpFamily(to.into(), "IPv4", "`icmp`")),
            (number, _) => number,
        };
        let ported = matches!(number, TCP | UDP | SCTP);
        if ported && dport.is_none() {
            return Err(TargetError::NoPort(to.into(), name.to_ascii_lowercase()));
        }
        if !ported && dport.is_some() {
            return Err(TargetError::Port(to.into(), protocol(number)));
        }
        if !ported && sport.is_some() {
            return Err(TargetError::Port(from.into(), protocol(number)));
        }
        let icmp_type = match (number, kind) {
            (ICMP, kind) => icmp_type(kind.unwrap_or("echo-request"), false)?,
            (ICMPV6, kind) => icmp_type(kind.unwrap_or("echo-request"), true)?,
            (_, Some(_)) => return Err(TargetError::Type(to.into())),
            (_, None) => 0,
        };
        Ok(Self {
            src,
            dst,
            protocol: number,
            sport: if ported { sport.unwrap_or(EPHEMERAL) } else { 0 },
            dport: dport.unwrap_or(0),
            icmp_type,
        })
    }

    /// The packet as an untagged Ethernet frame: a SYN, a datagram, a message, or a header of the protocol asked for with
    /// sixteen zero bytes behind it. Checksums are right, apart from SCTP's, at which the datapath does not look.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let ethernet = PacketBuilder::ethernet2(MACS.0, MACS.1);
        let step = ethernet.ip(self.ip());
        let written = match self.protocol {
            TCP => step.tcp(self.sport, self.dport, 0x1000_0000, 64240).syn().write(&mut frame, &[]),
            UDP => step.udp(self.sport, self.dport).write(&mut frame, &[0; 16]),
            ICMP if self.src.is_ipv4() => step.icmpv4_raw(self.icmp_type, 0, [0, 1, 0, 1]).write(&mut frame, &[0; 16]),
            ICMPV6 if self.src.is_ipv6() => {
                step.icmpv6_raw(self.icmp_type, 0, [0, 1, 0, 1]).write(&mut frame, &[0; 16])
            }
            SCTP => step.write(&mut frame, IpNumber(SCTP), &self.sctp_init()),
            other => step.write(&mut frame, IpNumber(other), &[0; 16]),
        };
        // writing to memory fails only for packets longer than IP can say
        debug_assert!(written.is_ok(), "{written:?}");
        frame
    }

    fn ip(&self) -> IpHeaders {
        // neighbour discovery is only valid as it leaves its sender (RFC 4861)
        let hops = if self.protocol == ICMPV6 && (133..=137).contains(&self.icmp_type) { 255 } else { 64 };
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => IpHeaders::Ipv4(
                Ipv4Header {
                    source: src.octets(),
                    destination: dst.octets(),
                    time_to_live: hops,
                    protocol: IpNumber(self.protocol),
                    dont_fragment: true,
                    fragment_offset: IpFragOffset::ZERO,
                    ..Ipv4Header::default()
                },
                Ipv4Extensions::default(),
            ),
            (src, dst) => IpHeaders::Ipv6(
                Ipv6Header {
                    source: v6(src).octets(),
                    destination: v6(dst).octets(),
                    hop_limit: hops,
                    next_header: IpNumber(self.protocol),
                    ..Ipv6Header::default()
                },
                Ipv6Extensions::default(),
            ),
        }
    }

    /// Common header and an INIT chunk (RFC 9260, 3.3.2).
    fn sctp_init(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        out.extend_from_slice(&self.sport.to_be_bytes());
        out.extend_from_slice(&self.dport.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&[1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
        out
    }
}

fn v6(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn end(text: &str) -> Result<(IpAddr, Option<u16>), TargetError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, None));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && let Ok(address) = inner.parse::<std::net::Ipv6Addr>()
    {
        return Ok((address.into(), None));
    }
    match text.parse::<SocketAddr>() {
        Ok(socket) => Ok((socket.ip(), Some(socket.port()))),
        Err(_) => Err(TargetError::Address(text.into())),
    }
}

/// Types by the names that a policy uses: name, in ICMP, in ICMPv6.
const ICMP_TYPES: &[(&str, Option<u8>, Option<u8>)] = &[
    ("echo-request", Some(8), Some(128)),
    ("echo-reply", Some(0), Some(129)),
    ("timestamp-request", Some(13), None),
    ("destination-unreachable", Some(3), Some(1)),
    ("time-exceeded", Some(11), Some(3)),
    ("parameter-problem", Some(12), Some(4)),
    ("redirect", Some(5), Some(137)),
    ("router-solicitation", Some(10), Some(133)),
    ("router-advertisement", Some(9), Some(134)),
];

fn icmp_type(text: &str, six: bool) -> Result<u8, TargetError> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    ICMP_TYPES
        .iter()
        .find(|(name, ..)| *name == text)
        .and_then(|(_, four_type, six_type)| if six { *six_type } else { *four_type })
        .ok_or_else(|| TargetError::IcmpType(text.into()))
}

#[cfg(test)]
mod tests {
    use super::{super::peek::peek, *};

    #[test]
    fn what_people_write() {
        let target = |from, to| Target::parse(from, to).unwrap();
        let tcp = target("10.10.0.5", "203.0.113.9:8088/tcp");
        assert_eq!((tcp.protocol, tcp.sport, tcp.dport), (TCP, EPHEMERAL, 8088));
        assert_eq!(target("10.10.0.5:999", "203.0.113.9:53/UDP").sport, 999);
        let six = target("[2001:db8::5]:7", "[2001:db8::9]:443/tcp");
        assert_eq!((six.sport, six.dport), (7, 443));
        assert_eq!(target("2001:db8::5", "2001:db8::9/icmp").icmp_type, 128);
        assert_eq!(target("10.0.0.1", "10.0.0.2/icmp").icmp_type, 8);
        assert_eq!(target("10.0.0.1", "10.0.0.2/icmp:timestamp-request").icmp_type, 13);
        assert_eq!(target("10.0.0.1", "10.0.0.2/icmp:255").icmp_type, 255);
        assert_eq!(target("10.0.0.1", "10.0.0.2/gre").protocol, 47);
        assert_eq!(target("10.0.0.1", "10.0.0.2/253").protocol, 253);
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        let error = |from, to| Target::parse(from, to).unwrap_err();
        assert!(matches!(error("10.0.0", "10.0.0.2:1/tcp"), TargetError::Address(_)));
        assert!(matches!(error("10.0.0.1", "10.0.0.2:80"), TargetError::NoProtocol(_)));
        assert!(matches!(error("10.0.0.1", "10.0.0.2:80/http"), TargetError::Protocol(_)));
        assert!(matches!(error("10.0.0.1", "10.0.0.2/tcp"), TargetError::NoPort(..)));
        assert!(matches!(error("10.0.0.1", "10.0.0.2:80/gre"), TargetError::Port(..)));
        assert!(matches!(error("10.0.0.1:4", "10.0.0.2/icmp"), TargetError::Port(..)));
        assert!(matches!(error("10.0.0.1", "10.0.0.2/icmp:ping"), TargetError::IcmpType(_)));
        assert!(matches!(error("10.0.0.1", "10.0.0.2:80/tcp:syn"), TargetError::Type(_)));
        assert!(matches!(error("10.0.0.1", "2001:db8::1/gre"), TargetError::Families { .. }));
        assert!(matches!(error("10.0.0.1", "10.0.0.2/icmpv6"), TargetError::IcmpFamily(..)));
        assert!(matches!(error("10.0.0.1", "10.0.0.2:99999/tcp"), TargetError::Address(_)));
    }

    #[test]
    fn frames_hold_what_was_asked() {
        let tos =
            ["10.0.0.2:80/tcp", "10.0.0.2:53/udp", "10.0.0.2:9/sctp", "10.0.0.2/icmp", "10.0.0.2/gre", "10.0.0.2/6"];
        for to in &tos[..5] {
            let target = Target::parse("10.0.0.1", to).unwrap();
            let seen = peek(&target.frame());
            assert_eq!(
                (seen.src, seen.dst, seen.protocol),
                (Some(target.src), Some(target.dst), target.protocol),
                "{to}"
            );
            if target.dport != 0 {
                assert_eq!(seen.ports, Some((target.sport, target.dport)), "{to}");
            }
        }
        assert!(Target::parse("10.0.0.1", tos[5]).is_err());
        for to in
            ["[2001:db8::2]:80/tcp", "[2001:db8::2]:53/udp", "2001:db8::2/icmpv6", "2001:db8::2/esp", "2001:db8::2/1"]
        {
            let target = Target::parse("2001:db8::1", to).unwrap();
            let seen = peek(&target.frame());
            assert_eq!((seen.src, seen.dst), (Some(target.src), Some(target.dst)), "{to}");
        }
    }
}
