//! What rules can match of datagrams, by themselves and without looking further: the table by which the programs in the kernel
//! let others pass.
//!
//! It says "may match" of whatever it cannot tell. "Cannot match" it says of a datagram only if no rule can match it as a packet,
//! and nothing that is spoken on its flow is asked about by rules in any other way.

mod always;
mod groups;
mod opening;
mod pattern;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use dropgate_abi::{
    datagrams::{Datagrams, GROUPS, PADDING, PART, Payload, ROOM, tier},
    tuple::{Address, V4, V6},
};

use self::{groups::Groups, pattern::Pattern};
use crate::{
    engine::is_of_transaction,
    protocol::App,
    rule::{Condition, Number, NumberTest, PacketTest, Protocol, Rule},
};

/// Protocols whose packets are no datagrams.
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: u8 = 1;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// What rules can match of datagrams.
#[derive(Clone)]
pub struct Sieve {
    /// For the kernel, but for the protocols of [`Sieve::spoken`] and [`Sieve::transactions`], which it knows by number.
    pub table: Box<Datagrams>,
    /// Rules may match anything that is said where one of these is spoken.
    pub spoken: BTreeSet<App>,
    /// Rules ask about transactions of these.
    pub transactions: BTreeSet<App>,
}

impl Sieve {
    /// That of these rules.
    pub fn of<'a>(rules: impl IntoIterator<Item = &'a Arc<Rule>>) -> Self {
        // SAFETY: made of integers and arrays of them.
        let table: Box<Datagrams> = unsafe { Box::new_zeroed().assume_init() };
        let mut made = Self { table, spoken: BTreeSet::new(), transactions: BTreeSet::new() };
        let mut groups = Groups::default();
        for rule in rules {
            made.enter(rule, &mut groups);
        }
        made
    }

    fn enter(&mut self, rule: &Rule, groups: &mut Groups) {
        if rule.conditions.iter().any(asks_fragments) {
            self.table.fragments = 1;
        }
        if rule.conditions.iter().any(asks_odd) {
            self.table.odd = 1;
        }
        if opening::may_match(rule) {
            always::enter(rule, &[TCP], &mut self.table.openings);
        }
        let protocols = protocols(rule);
        if protocols.is_empty() || !rule.conditions.iter().all(can_hold) {
            return;
        }
        if rule.conditions.iter().any(is_of_transaction) {
            self.transactions.extend(if rule.apps.is_empty() { App::ALL } else { rule.apps.as_slice() });
            return;
        }
        let pattern = if rule.conditions.iter().any(counts) { None } else { Pattern::of(rule) };
        if pattern.is_none() && !rule.apps.is_empty() {
            self.spoken.extend(&rule.apps);
            return;
        }
        match pattern {
            Some(pattern) => {
                let mask = groups.enter(rule, &protocols, &mut self.table);
                pattern.enter(&mut self.table, mask);
            }
            None => always::enter(rule, &protocols, &mut self.table.always),
        }
    }

    /// Whether rules may match a datagram, for what is said between `ends`, source and destination, or what it says. `ports`: of UDP
    /// and SCTP; `kind`: of ICMP, the type.
    pub fn may_match(&self, protocol: u8, ends: (IpAddr, IpAddr), ports: (u16, u16), kind: u8, payload: &[u8]) -> bool {
        let (table, always) = (&self.table, &self.table.always);
        let [from, to] = [ends.0, ends.1].map(words);
        if always.by_header(protocol, ports, kind)
            || always.by_address(from.0, &from.1, 0)
            || always.by_address(to.0, &to.1, 1)
        {
            return true;
        }
        let groups = table.groups(protocol, ports, kind);
        if groups == 0 {
            return false;
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let payload = Bytes(payload);
        let may_hold = |start: u32| {
            table.may_hold(&payload, start, groups)
                && (start..start + PART).any(|at| table.may_begin(&payload, at, groups))
        };
        length > ROOM || (0..length).step_by(PART as usize).any(may_hold)
    }
}

/// Family and words of an address, as packets have it.
fn words(address: IpAddr) -> (u8, Address) {
    match address {
        IpAddr::V4(address) => (V4, [u32::from_ne_bytes(address.octets()), 0, 0, 0]),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let word = |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
            (V6, [word(0), word(4), word(8), word(12)])
        }
    }
}

impl std::fmt::Debug for Sieve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, spoken, transactions } = self;
        let grams: u32 = table.seen.iter().map(|word| word.count_ones()).sum();
        let mut shown = f.debug_struct("Sieve");
        shown.field("grams", &grams).field("spoken", spoken).field("transactions", transactions);
        let bits = |mask: u16| (0..GROUPS).filter(|group| mask >> group & 1 != 0).collect::<Vec<_>>();
        shown.field("always", &table.always.protocols).field("addresses", &table.always.any);
        for (name, of) in [
            ("long", tier::LONG),
            ("medium", tier::MEDIUM),
            ("short", tier::SHORT),
            ("tiny", tier::TINY),
            ("head", tier::HEAD),
            ("head_tiny", tier::HEAD_TINY),
        ] {
            shown.field(name, &bits(table.tiers[of]));
        }
        shown.finish()
    }
}

/// A payload, as it is.
struct Bytes<'a>(&'a [u8]);

impl Payload for Bytes<'_> {
    fn word(&self, at: u32) -> u64 {
        let mut word = [PADDING; 8];
        let rest = self.0.get(at as usize..).unwrap_or_default();
        let length = rest.len().min(8);
        word[..length].copy_from_slice(&rest[..length]);
        u64::from_le_bytes(word)
    }
}

/// The protocols other than TCP whose packets a rule can match.
fn protocols(rule: &Rule) -> Vec<u8> {
    let all: Vec<u8> = match rule.header.protocol {
        Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 | Protocol::PacketHeader => {
            (0..=u8::MAX).filter(|number| *number != TCP).collect()
        }
        Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream => Vec::new(),
        Protocol::Udp | Protocol::App(_) => vec![UDP],
        Protocol::Icmp => vec![ICMP, ICMPV6],
        Protocol::Icmpv4 => vec![ICMP],
        Protocol::Icmpv6 => vec![ICMPV6],
        Protocol::Sctp => vec![SCTP],
        Protocol::Igmp => vec![IGMP],
        Protocol::Number(number) => vec![number].into_iter().filter(|number| *number != TCP).collect(),
    };
    all.into_iter().filter(|number| rule.conditions.iter().all(|condition| fits_number(condition, *number))).collect()
}

/// Whether a condition can hold of a packet of this protocol.
fn fits_number(condition: &Condition, protocol: u8) -> bool {
    let Condition::Packet(test) = condition else { return true };
    match test {
        PacketTest::Number(Number::IpProtocol, test) => test.holds(protocol.into()),
        PacketTest::Number(
            Number::IcmpType | Number::IcmpCode | Number::IcmpId | Number::IcmpSequence | Number::Icmpv6Mtu,
            _,
        ) => matches!(protocol, ICMP | ICMPV6),
        PacketTest::Number(
            Number::Sequence | Number::Acknowledgement | Number::Window | Number::Mss | Number::WindowScale,
            _,
        )
        | PacketTest::TcpFlags(_)
        | PacketTest::StreamSize { .. } => protocol == TCP,
        _ => true,
    }
}

/// Whether a condition can hold of any packet that gets as far as rules: those whose headers are at fault, or whose sums are
/// wrong, were dropped before.
fn can_hold(condition: &Condition) -> bool {
    !matches!(condition, Condition::Event(_) | Condition::Packet(PacketTest::Checksum { valid: false, .. }))
}

/// Whether a condition is one of fragments that do not fit together.
fn asks_fragments(condition: &Condition) -> bool {
    matches!(condition, Condition::Event(event) if event.starts_with("ipv4.frag_") || event.starts_with("ipv6.frag_"))
}

/// What may be odd about a packet that passes, in the words of `decode-event`.
pub const ODD: [&str; 7] = [
    "icmpv4.unknown_type",
    "icmpv4.unknown_code",
    "icmpv6.unknown_type",
    "icmpv6.unassigned_type",
    "icmpv6.experimentation_type",
    "icmpv6.unknown_code",
    "ipv6.exthdr_useless_fh",
];

/// Whether a condition is one of packets that pass, and are odd.
fn asks_odd(condition: &Condition) -> bool {
    matches!(condition, Condition::Event(event) if ODD.contains(&&**event))
}

/// Whether a condition counts packets that it was not shown.
fn counts(condition: &Condition) -> bool {
    let Condition::Packet(PacketTest::Number(number, _)) = condition else { return false };
    matches!(
        number,
        Number::FlowAge
            | Number::FlowPacketsToServer
            | Number::FlowPacketsToClient
            | Number::FlowPacketsEither
            | Number::FlowBytesToServer
            | Number::FlowBytesToClient
            | Number::FlowBytesEither
    )
}

/// The types of ICMP that a rule asks for; `None`: any.
fn types(rule: &Rule) -> Option<&NumberTest> {
    rule.conditions.iter().find_map(|condition| match condition {
        Condition::Packet(PacketTest::Number(Number::IcmpType, test)) => Some(test),
        _ => None,
    })
}
