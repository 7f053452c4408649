//! What can match datagrams, for whoever wants to know of one beforehand that nothing can.

use super::{Ruleset, compile::asked_of, groups::Carrier, kind::Kind, matcher::PACKET};
use crate::{protocol::App, rule::Ports};

/// A rule that can match packets of other protocols than TCP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// Its index in [`Ruleset::rules`].
    pub rule: u32,
    /// IANA's numbers of protocols; empty: any but TCP.
    pub protocols: Vec<u8>,
    /// To the server, to the client.
    pub directions: [bool; 2],
    pub source_ports: &'a Ports,
    pub destination_ports: &'a Ports,
    /// `<>`: ports and addresses may as well be exchanged.
    pub both_ways: bool,
    /// Bytes without which it cannot match; `None`: it can match without any.
    pub pattern: Option<Fast<'a>>,
    /// It is asked about what a parser makes of datagrams of these protocols, on any port.
    pub apps: &'a [App],
    /// What it asks is not of the payload: events, addresses, transactions.
    pub kind: Kind,
}

/// Bytes that stand somewhere in a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fast<'a> {
    pub bytes: &'a [u8],
    pub nocase: bool,
    /// The least and the greatest place behind its last byte, from the beginning of the payload.
    pub ends: (u64, u64),
}

impl Ruleset {
    /// Rules that can match anything but TCP, with what must be in the payload for that. Of those about transactions nothing is
    /// said of the payload: what parsers make of it is not what it holds.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.index.compiled.iter().enumerate().filter_map(|(number, compiled)| {
            let carriers = [
                (Carrier::Udp, &[17][..]),
                (Carrier::Sctp, &[132][..]),
                (Carrier::Icmp, &[1][..]),
                (Carrier::Icmpv6, &[58][..]),
                (Carrier::Other, &[][..]),
            ];
            let header = &compiled.rule.header;
            let of: Vec<_> = carriers.into_iter().filter(|(carrier, _)| carrier.may_carry(header.protocol)).collect();
            if of.is_empty() || compiled.directions == [false, false] {
                return None;
            }
            let payload = asked_of(compiled.kind) & PACKET != 0 || compiled.kind == Kind::Stream;
            let pattern = compiled.pattern.as_ref().filter(|_| payload && compiled.kind != Kind::Event);
            let other = of.iter().any(|(carrier, _)| *carrier == Carrier::Other);
            Some(Datagram {
                rule: number as u32,
                protocols: if other {
                    Vec::new()
                } else {
                    of.iter().flat_map(|(_, numbers)| *numbers).copied().collect()
                },
                directions: compiled.directions,
                source_ports: &header.source_ports,
                destination_ports: &header.destination_ports,
                both_ways: header.arrow == crate::rule::Arrow::Both,
                pattern: pattern.map(|of| Fast { bytes: &of.bytes, nocase: of.nocase, ends: of.ends }),
                apps: &compiled.rule.apps,
                kind: compiled.kind,
            })
        })
    }
}
