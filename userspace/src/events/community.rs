//! The Community ID of a flow: the same one in all tools that see it (<https://github.com/corelight/community-id-spec>).

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// What an ICMP message is answered by: pairs of types of queries and their answers.
const ICMP_PAIRS: &[(u8, u8)] = &[(8, 0), (13, 14), (15, 16), (17, 18), (10, 9), (37, 38)];
const ICMPV6_PAIRS: &[(u8, u8)] = &[(128, 129), (133, 134), (135, 136), (130, 131), (144, 145), (139, 140)];

/// An end of a flow. Of ICMP the first one has the type of the message, and the other one its code.
pub type End = (IpAddr, u16);

/// Version 1 of it. Both directions of a flow have the same.
pub fn community_id(seed: u16, protocol: u8, from: End, to: End) -> String {
    let (mut from, mut to) = (from, to);
    let mut one_way = false;
    if matches!(protocol, ICMP | ICMPV6) {
        let pairs = if protocol == ICMP { ICMP_PAIRS } else { ICMPV6_PAIRS };
        let answer = |of: u16| {
            let asked = pairs.iter().find(|(query, _)| u16::from(*query) == of).map(|(_, answer)| *answer);
            asked.or_else(|| pairs.iter().find(|(_, answer)| u16::from(*answer) == of).map(|(query, _)| *query))
        };
        match answer(from.1) {
            Some(answer) => to.1 = answer.into(),
            None => one_way = true,
        }
    }
    if !one_way && (octets(to.0), to.1) < (octets(from.0), from.1) {
        std::mem::swap(&mut from, &mut to);
    }
    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    hash.update(octets(from.0));
    hash.update(octets(to.0));
    hash.update([protocol, 0]);
    if matches!(protocol, ICMP | TCP | UDP | ICMPV6 | SCTP) {
        hash.update(from.1.to_be_bytes());
        hash.update(to.1.to_be_bytes());
    }
    format!("1:{}", BASE64_STANDARD.encode(hash.finalize()))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(protocol: u8, from: (&str, u16), to: (&str, u16)) -> String {
        community_id(0, protocol, (from.0.parse().unwrap(), from.1), (to.0.parse().unwrap(), to.1))
    }

    /// Those that the specification gives.
    #[test]
    fn as_specified() {
        for (protocol, from, to, expected) in [
            (TCP, ("128.232.110.120", 34855), ("66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (UDP, ("192.168.1.52", 54585), ("8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (ICMP, ("192.168.0.89", 8), ("192.168.0.1", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        ] {
            assert_eq!(id(protocol, from, to), expected);
        }
    }

    #[test]
    fn both_directions_have_the_same() {
        let (a, b) = (("2001:db8::1", 5000), ("2001:db8::2", 443));
        assert_eq!(id(TCP, a, b), id(TCP, b, a));
        assert_eq!(
            id(ICMPV6, ("2001:db8::1", 128), ("2001:db8::2", 0)),
            id(ICMPV6, ("2001:db8::2", 129), ("2001:db8::1", 0))
        );
        // what is not answered has one direction
        assert_ne!(id(ICMP, ("192.0.2.1", 3), ("192.0.2.2", 1)), id(ICMP, ("192.0.2.2", 3), ("192.0.2.1", 1)));
        let same = (("192.0.2.1", 1), ("192.0.2.1", 2));
        assert_eq!(id(UDP, same.0, same.1), id(UDP, same.1, same.0));
        let seeded = community_id(1, TCP, ("192.0.2.1".parse().unwrap(), 1), ("192.0.2.2".parse().unwrap(), 2));
        assert_ne!(seeded, id(TCP, ("192.0.2.1", 1), ("192.0.2.2", 2)));
    }
}
