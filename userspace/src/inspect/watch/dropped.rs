//! Packets that the programs dropped, or found odd, are shown to rules: with what was noticed about them, in the words of
//! `decode-event` and `stream-event`, and with their bytes where those are known.

use dropgate_abi::{
    reason::{Kind, Reason},
    walk::Walk,
};
use dropgate_signatures::{
    engine::FlowState,
    subject::{self, Direction, Subject},
};

use super::{Alerted, Signatures, Watched, headers, noticed_names, shown};
use crate::inspect::packet::Packet;

/// Shows rules a packet that was dropped, or found odd, before it came here. `frame`: all of it, or nothing, where only the headers
/// are known that its walk has read. What became of it is settled: rules can but tell of it.
pub fn dropped(walk: &Walk, reason: Reason, frame: &[u8], signatures: &Signatures, now_ns: u64, out: &mut Watched) {
    out.clear();
    let events = noticed_names(Some(reason), walk, frame);
    let frame = if is_of_policy(reason) { &[] } else { frame };
    if events.is_empty() && frame.is_empty() {
        return;
    }
    let direction = Direction::numbered(walk.direction);
    let read = Packet::read(frame).filter(|packet| packet.walk.protocol == walk.protocol);
    let bytes = read.as_ref().map(|packet| shown(packet, direction));
    let known = headers(walk, direction);
    let packet = match bytes {
        // the addresses are those of the walk: a replay may have shown the programs others
        Some(bytes) => subject::Packet { source: known.source, destination: known.destination, ..bytes },
        None => subject::Packet { cut: true, ..known },
    };
    let packet = subject::Packet { events: &events, ..packet };
    let subject = Subject { now_ns, packet, flow: None, stream: None, transactions: &[] };
    let Watched { alerts, scratch, outcome, .. } = out;
    signatures.ruleset.inspect(&subject, &mut FlowState::default(), &signatures.shared, scratch, outcome);
    let told = outcome.alerts.drain(..).filter(|alert| !alert.silent);
    let blocked = reason.info().is_some_and(|info| matches!(info.kind, Kind::Drop | Kind::AnomalyDrop));
    alerts.extend(told.map(|alert| Alerted { blocked, ..Alerted::of_packet(alert.rule, direction) }));
}

/// Whether a packet was dropped for what the policy says of it, or of its flow, or because there was no room, rather than for what it
/// is: rules are asked about the others.
fn is_of_policy(reason: Reason) -> bool {
    let unasked = matches!(
        reason,
        Reason::icmp_error_unrelated
            | Reason::icmp_redirect
            | Reason::reply_unsolicited
            | Reason::dns_unsolicited
            | Reason::tcp_no_flow
            | Reason::syn_ack_unsolicited
            | Reason::rst_unsolicited
    );
    !unasked && reason.info().is_none_or(|info| !matches!(info.kind, Kind::AnomalyDrop | Kind::Anomaly))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dropgate_abi::tuple::V4;
    use dropgate_signatures::engine::Ruleset;

    use super::*;
    use crate::samples::rules;

    /// The rules that match a dropped packet, by number.
    fn told(text: &str, walk: &Walk, reason: Reason, frame: &[u8]) -> Vec<(u32, bool)> {
        let signatures = Signatures { ruleset: Arc::new(Ruleset::compile(rules(text))), ..Signatures::default() };
        let mut out = Watched::default();
        dropped(walk, reason, frame, &signatures, 1, &mut out);
        out.alerts.iter().map(|alerted| (alerted.rule.sid, alerted.blocked)).collect()
    }

    #[test]
    fn what_was_noticed_matches_and_what_is_not_known_does_not() {
        let text = "alert pkthdr any any -> any any (decode-event:tcp.hlen_too_small; sid:1;)\n\
            alert pkthdr any any -> any any (decode-event:udp.len_invalid; sid:2;)\n\
            alert ip 10.10.0.0/16 any -> any any (sid:3;)\n\
            alert ip 10.20.0.0/16 any -> any any (sid:4;)\n\
            alert tcp any any -> any 443 (sid:5;)\n\
            alert tcp any any -> any any (dsize:0; sid:6;)\n\
            alert tcp any any -> any any (content:!\"a\"; sid:7;)\n\
            alert ip any any -> any any (ttl:!64; sid:8;)\n";
        let words = |octets: [u8; 4]| [u32::from_ne_bytes(octets), 0, 0, 0];
        let mut walk = Walk { family: V4, protocol: 6, ..Walk::default() };
        (walk.src, walk.dst) = (words([10, 10, 0, 5]), words([203, 0, 113, 9]));
        let reason = Reason::tcp_bad_header_length;
        assert_eq!(told(text, &walk, reason, &[]), [(1, true), (3, true)], "its ports were not read");
        (walk.sport, walk.dport) = (40_000, 443);
        assert_eq!(told(text, &walk, reason, &[]), [(1, true), (3, true), (5, true)]);
        // what the policy drops is not odd
        assert_eq!(told(text, &walk, Reason::not_allowed, &[]), []);
    }

    #[test]
    fn what_is_dropped_for_what_it_is_is_shown_with_its_bytes() {
        let text = "alert icmp any any -> any any (itype:5; icode:1; sid:1;)\n\
            alert icmp any any -> any any (content:\"quoted\"; sid:2;)\n\
            alert icmp any any -> any any (itype:8; sid:3;)\n";
        let mut frame = Vec::new();
        let redirect = etherparse::Icmpv4Type::Unknown { type_u8: 5, code_u8: 1, bytes5to8: [192, 0, 2, 1] };
        etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([192, 0, 2, 1], [10, 10, 0, 5], 64)
            .icmpv4(redirect)
            .write(&mut frame, b"what is quoted")
            .unwrap();
        let (walk, _) = dropgate_xdp::read(&frame);
        assert_eq!(told(text, &walk, Reason::icmp_redirect, &frame), [(1, true), (2, true)]);
        assert_eq!(told(text, &walk, Reason::icmp_redirect, &[]), [], "its bytes are not known");
        assert_eq!(told(text, &walk, Reason::not_allowed, &frame), [], "that is for the policy to say");
    }
}
