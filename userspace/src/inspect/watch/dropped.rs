//! Packets that were dropped, or found odd, are shown to rules: for what was noticed about them, in the words of `decode-event`
//! and `stream-event`.

use dropgate_abi::{
    reason::{Kind, Reason},
    tuple::V4,
    walk::Walk,
};
use dropgate_signatures::{
    engine::FlowState,
    subject::{self, Direction, Subject},
};

use super::{Alerted, Signatures, Watched, headers};

/// Shows rules a packet of which there are only the headers that its walk has read, if anything is noticed about it that rules have
/// a name for. What became of it is settled: rules can but tell of it.
pub fn dropped(walk: &Walk, reason: Reason, signatures: &Signatures, now_ns: u64, out: &mut Watched) {
    out.clear();
    if event_names(reason, walk.family).is_empty() {
        return;
    }
    let direction = Direction::numbered(walk.direction);
    let subject = Subject {
        now_ns,
        packet: subject::Packet { events: event_names(reason, walk.family), cut: true, ..headers(walk, direction) },
        flow: None,
        stream: None,
        transactions: &[],
    };
    let Watched { alerts, scratch, outcome, .. } = out;
    signatures.ruleset.inspect(&subject, &mut FlowState::default(), &signatures.shared, scratch, outcome);
    let told = outcome.alerts.drain(..).filter(|alert| !alert.silent);
    let blocked = reason.info().is_some_and(|info| matches!(info.kind, Kind::Drop | Kind::AnomalyDrop));
    alerts.extend(told.map(|alert| Alerted { blocked, ..Alerted::of_packet(alert.rule, direction) }));
}

/// What Suricata calls that for which a packet is dropped, or told of. IP's are of the packet's own version.
pub const fn event_names(reason: Reason, family: u8) -> &'static [&'static str] {
    let v4 = family == V4;
    match reason {
        Reason::frame_truncated => &["ethernet.pkt_too_small"],
        Reason::ethertype_denied => &["ethernet.unknown_ethertype"],
        Reason::vlan_truncated => &["vlan.header_too_small"],
        Reason::vlan_too_deep => &["vlan.too_many_layers"],
        Reason::ip4_truncated => &["ipv4.pkt_too_small"],
        Reason::ip4_bad_version => &["ipv4.wrong_ip_version"],
        Reason::ip4_bad_header_length => &["ipv4.hlen_too_small"],
        Reason::ip4_bad_total_length => &["ipv4.trunc_pkt", "ipv4.iplen_smaller_than_hlen"],
        Reason::ip6_truncated => &["ipv6.pkt_too_small"],
        Reason::ip6_bad_version => &["ipv6.wrong_ip_version"],
        Reason::ip6_bad_payload_length => &["ipv6.trunc_pkt"],
        Reason::ip6_ext_truncated => &["ipv6.trunc_exthdr"],
        Reason::ip6_ext_order => &["ipv6.exthdr_dupl_hh"],
        Reason::ip6_ext_too_many => &["too_many_layers"],
        Reason::ip6_routing_type0 => &["ipv6.rh_type_0"],
        Reason::tcp_truncated => &["tcp.pkt_too_small"],
        Reason::tcp_bad_header_length => &["tcp.hlen_too_small"],
        Reason::udp_truncated => &["udp.pkt_too_small"],
        Reason::udp_bad_length => &["udp.len_invalid"],
        Reason::icmp_truncated if v4 => &["icmpv4.pkt_too_small"],
        Reason::icmp_truncated => &["icmpv6.pkt_too_small"],
        Reason::icmp_error_malformed if v4 => &["icmpv4.ipv4_trunc_pkt"],
        Reason::icmp_error_malformed => &["icmpv6.ipv6_trunc_pkt"],
        Reason::sctp_truncated => &["sctp.pkt_too_small"],
        Reason::fragment_overlap | Reason::datagram_overlap | Reason::datagram_length if v4 => &["ipv4.frag_overlap"],
        Reason::fragment_overlap | Reason::datagram_overlap | Reason::datagram_length => &["ipv6.frag_overlap"],
        Reason::fragment_too_long if v4 => &["ipv4.frag_pkt_too_large"],
        Reason::fragment_too_long => &["ipv6.frag_pkt_too_large"],
        Reason::fragment_bad_length if !v4 => &["ipv6.frag_invalid_length"],
        Reason::tcp_syn_fin => &["stream.fin_syn"],
        Reason::rst_unsolicited => &["stream.rst_but_no_session"],
        Reason::tcp_syn_conflict => &["stream.est_syn_resend_diff_seq", "stream.3whs_syn_resend_diff_seq_on_syn_recv"],
        Reason::tcp_ack_invalid => &["stream.pkt_invalid_ack", "stream.est_invalid_ack"],
        Reason::tcp_out_of_window => &["stream.est_packet_out_of_window"],
        Reason::tcp_timestamp_old => &["stream.pkt_invalid_timestamp"],
        Reason::tcp_bytes_differ => &["stream.reassembly_overlap_different_data"],
        Reason::tcp_bytes_forgotten => &["stream.reassembly_segment_before_base_seq"],
        Reason::tcp_fin_moved => &["stream.fin_out_of_window"],
        Reason::tcp_reset_invalid => &["stream.rst_invalid_ack"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dropgate_abi::{reason::REASONS, tuple::V6};
    use dropgate_signatures::engine::Ruleset;

    use super::*;
    use crate::samples::rules;

    /// Rules may ask for every one of them.
    #[test]
    fn names_are_those_of_rules() {
        let (mut text, mut sid) = (String::new(), 0);
        for info in REASONS {
            for name in [V4, V6].into_iter().flat_map(|family| event_names(info.reason, family)) {
                let (keyword, name) = match name.strip_prefix("stream.") {
                    Some(name) => ("stream-event", name),
                    None => ("decode-event", *name),
                };
                sid += 1;
                text += &format!("alert pkthdr any any -> any any ({keyword}:{name}; sid:{sid};)\n");
            }
        }
        assert!(!rules(&text).is_empty());
    }

    /// The rules that match a dropped packet, by number.
    fn told(text: &str, walk: &Walk, reason: Reason) -> Vec<(u32, bool)> {
        let signatures = Signatures { ruleset: Arc::new(Ruleset::compile(rules(text))), ..Signatures::default() };
        let mut out = Watched::default();
        dropped(walk, reason, &signatures, 1, &mut out);
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
        assert_eq!(told(text, &walk, reason), [(1, true), (3, true)], "its ports were not read");
        (walk.sport, walk.dport) = (40_000, 443);
        assert_eq!(told(text, &walk, reason), [(1, true), (3, true), (5, true)]);
        // what the policy drops is not odd
        assert_eq!(told(text, &walk, Reason::not_allowed), []);
    }
}
