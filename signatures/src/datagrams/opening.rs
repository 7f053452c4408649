//! Rules that can match the segments that open a TCP connection: its SYN, the SYN and ACK for that, and the ACK for it, none of
//! which says anything.

use super::{TCP, can_hold, fits_number, is_of_transaction};
use crate::rule::{BitAction, Condition, Number, PacketTest, Protocol, Rule, Selected};

/// The flags that such segments have.
const FLAGS: [u8; 3] = [0x02, 0x12, 0x10];

/// Whether a rule can match one of them.
pub fn may_match(rule: &Rule) -> bool {
    let tcp = match rule.header.protocol {
        Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 | Protocol::PacketHeader => true,
        Protocol::Tcp | Protocol::TcpPacket => true,
        Protocol::Number(number) => number == TCP,
        _ => false,
    };
    let begun = rule.flow.established || rule.flow.only_stream;
    tcp && !begun && rule.apps.is_empty() && rule.conditions.iter().all(may_hold)
}

fn may_hold(condition: &Condition) -> bool {
    match condition {
        Condition::Inspect(inspect) => {
            matches!(inspect.selected, Selected::PacketHeader(_) | Selected::Address(_))
        }
        Condition::Packet(PacketTest::TcpFlags(flags)) => FLAGS.into_iter().any(|bits| flags.hold(bits)),
        Condition::Packet(PacketTest::Number(Number::PayloadSize, test)) => test.holds(0),
        // of this flow, and nothing of it was held before
        Condition::Flowbits(bits) => bits.action != BitAction::IsSet,
        Condition::App(..) | Condition::AppBy(..) | Condition::OriginalApp(..) => false,
        condition => can_hold(condition) && !is_of_transaction(condition) && fits_number(condition, TCP),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{datagrams::Sieve, load::tests::loaded};

    /// Ports of the connections whose first segments rules may match.
    fn ports(text: &str) -> Vec<u16> {
        let loaded = loaded(text.as_bytes());
        let rules: Vec<_> = loaded.rules.into_iter().map(Arc::new).collect();
        assert_eq!(rules.len(), 1, "{text}: {:?}", loaded.diagnostics);
        let sieve = Sieve::of(&rules);
        let openings = &sieve.table.openings;
        [22, 23, 80, 4444].into_iter().filter(|port| openings.by_header(6, (40_000, *port), 0)).collect()
    }

    #[test]
    fn what_says_nothing_may_match() {
        for (rule, held) in [
            ("alert tcp any any -> any 22 (flags:S,12; sid:1;)", vec![22]),
            ("alert tcp any any -> any 4444 (msg:\"a port\"; sid:1;)", vec![4444]),
            ("alert tcp any any -> any 23 (flow:to_server; sid:1;)", vec![23]),
            ("alert tcp any any -> any 23 (flags:SA; dsize:0; sid:1;)", vec![23]),
            ("alert tcp any any -> any any (flags:S; window:1024; sid:1;)", vec![22, 23, 80, 4444]),
            // what they do not have
            ("alert tcp any any -> any 23 (flags:FA; sid:1;)", vec![]),
            ("alert tcp any any -> any 23 (dsize:>0; sid:1;)", vec![]),
            ("alert tcp any any -> any 23 (content:\"abc\"; sid:1;)", vec![]),
            ("alert tcp any any -> any 23 (flow:established; sid:1;)", vec![]),
            ("alert tcp any any -> any 23 (content:!\"abc\"; sid:1;)", vec![]),
            ("alert http any any -> any 80 (sid:1;)", vec![]),
            ("alert tcp any any -> any 80 (http.uri; content:\"a\"; sid:1;)", vec![]),
            ("alert tcp any any -> any 23 (flowbits:isset,a; sid:1;)", vec![]),
            ("alert udp any any -> any 23 (sid:1;)", vec![]),
        ] {
            assert_eq!(ports(rule), held, "{rule}");
        }
    }
}
