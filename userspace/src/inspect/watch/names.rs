//! What Suricata calls that which was noticed about a packet: the words of `decode-event` and `stream-event`.

use dropgate_abi::{
    reason::Reason,
    tuple::{V4, V6},
    walk::{Walk, icmp_oddity, parsed},
};

/// Everything that was noticed about a packet: why it was `dropped`, and what is odd about it. `frame`: nothing, where only its
/// headers are known.
pub fn noticed_names(dropped: Option<Reason>, walk: &Walk, frame: &[u8]) -> Vec<&'static str> {
    let mut names = Vec::new();
    match dropped {
        None => {}
        Some(Reason::ip6_ext_order) => {
            let header = repeated(walk, frame);
            names.extend(header.or(event_names(Reason::ip6_ext_order, walk.family).first().copied()));
        }
        Some(reason) if is_odd(reason) => {}
        Some(reason) => names.extend(event_names(reason, walk.family)),
    }
    if ends_with_headers(walk, frame) && !names.contains(&TRUNCATED) {
        names.push(TRUNCATED);
    }
    if walk.parsed & parsed::ODD == 0 {
        return names;
    }
    let icmp = walk.l4 != 0 && matches!((walk.family, walk.protocol), (V4, ICMP) | (V6, ICMPV6));
    if icmp && let Some(reason) = icmp_oddity(walk.family, walk.icmp_type, walk.icmp_code) {
        names.push(match (reason, walk.family, walk.icmp_type) {
            (Reason::icmp_type_unknown, V6, 100 | 101 | 200 | 201) => "icmpv6.experimentation_type",
            (Reason::icmp_type_unknown, V6, 5..=126 | 161..=254) => "icmpv6.unassigned_type",
            (reason, family, _) => event_names(reason, family)[0],
        });
    }
    let whole = walk.parsed & parsed::FRAGMENT == 0;
    if walk.odd() == Reason::ip6_fragment_useless || whole && extensions(walk, frame).any(|(kind, _)| kind == FRAGMENT)
    {
        names.extend(event_names(Reason::ip6_fragment_useless, walk.family));
    }
    names
}

/// Whether it is what [`Walk::odd`] says.
const fn is_odd(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::icmp_type_unknown | Reason::icmp_code_unknown | Reason::ip6_fragment_useless | Reason::ttl_zero
    )
}

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT: u8 = 59;
const DESTINATION: u8 = 60;
const TRUNCATED: &str = "ipv6.trunc_exthdr";
/// Extension headers that are looked at: more than any packet has that passes.
const MOST: usize = 16;

/// The extension headers of an IPv6 packet in their order, each with what comes next and where (RFC 8200, 4).
fn extensions<'a>(walk: &Walk, frame: &'a [u8]) -> impl Iterator<Item = (u8, (u8, usize))> + 'a {
    let start = usize::from(walk.l3);
    let first = frame.get(start + 6).filter(|_| walk.family == V6);
    let mut next = first.map(|kind| (*kind, start + 40));
    std::iter::from_fn(move || {
        let (kind, at) = next?;
        if !matches!(kind, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION) {
            return None;
        }
        let head = frame.get(at..at + 2)?;
        let length = match kind {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(head[1]) + 2) * 4,
            _ => (usize::from(head[1]) + 1) * 8,
        };
        next = Some((head[0], at + length));
        Some((kind, next?))
    })
    .take(MOST)
}

/// Whether an IPv6 packet ends where its extension headers do, though something is to come.
fn ends_with_headers(walk: &Walk, frame: &[u8]) -> bool {
    let end = usize::from(walk.l3) + usize::from(walk.ip_len);
    let last = extensions(walk, frame).last();
    walk.parsed & parsed::FRAGMENT == 0 && last.is_some_and(|(_, (next, at))| next != NO_NEXT && at + 2 > end)
}

/// The name of the first extension header that is there once too often: destination options may be there twice.
fn repeated(walk: &Walk, frame: &[u8]) -> Option<&'static str> {
    let mut seen = Vec::with_capacity(MOST);
    for (kind, _) in extensions(walk, frame) {
        let times = seen.iter().filter(|other| **other == kind).count();
        if times > usize::from(kind == DESTINATION) {
            return Some(match kind {
                ROUTING => "ipv6.exthdr_dupl_rh",
                FRAGMENT => "ipv6.exthdr_dupl_fh",
                AUTHENTICATION => "ipv6.exthdr_dupl_ah",
                DESTINATION => "ipv6.exthdr_dupl_dh",
                _ => "ipv6.exthdr_dupl_hh",
            });
        }
        seen.push(kind);
    }
    None
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
        Reason::icmp_type_unknown if v4 => &["icmpv4.unknown_type"],
        Reason::icmp_type_unknown => &["icmpv6.unknown_type"],
        Reason::icmp_code_unknown if v4 => &["icmpv4.unknown_code"],
        Reason::icmp_code_unknown => &["icmpv6.unknown_code"],
        Reason::ip6_fragment_useless => &["ipv6.exthdr_useless_fh"],
        Reason::icmp_other_version if v4 => &["ipv4.icmpv6"],
        Reason::icmp_other_version => &["ipv6.icmpv4"],
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
        Reason::tcp_syn_flood => &["stream.3whs_syn_flood"],
        Reason::tcp_reset_invalid => &["stream.rst_invalid_ack"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use dropgate_abi::reason::REASONS;

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

    /// An IPv6 packet with these extension headers, of eight bytes each, behind which stands `last`.
    fn six(headers: &[u8], last: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = [&[2; 6][..], &[4; 6], &[0x86, 0xdd]].concat();
        let length = (headers.len() * 8 + payload.len()) as u8;
        frame.extend([0x60, 0, 0, 0, 0, length, *headers.first().unwrap_or(&last), 64]);
        frame.extend([[0xfd; 16], [0xfe; 16]].concat());
        for at in 0..headers.len() {
            frame.extend([*headers.get(at + 1).unwrap_or(&last), 0, 0, 0, 1, 2, 3, 4]);
        }
        frame.extend(payload);
        frame
    }

    fn noticed(dropped: Option<Reason>, frame: &[u8]) -> Vec<&'static str> {
        noticed_names(dropped, &dropgate_xdp::read(frame).0, frame)
    }

    #[test]
    fn what_is_odd_has_its_name_beside_why_it_is_dropped() {
        let echo = [128, 0, 0, 0, 0, 1, 0, 1];
        let useless = "ipv6.exthdr_useless_fh";
        assert_eq!(noticed(None, &six(&[], ICMPV6, &echo)), [""; 0]);
        assert_eq!(noticed(None, &six(&[FRAGMENT], ICMPV6, &echo)), [useless]);
        let twice = six(&[FRAGMENT, FRAGMENT], ICMPV6, &echo);
        assert_eq!(noticed(Some(Reason::ip6_ext_order), &twice), ["ipv6.exthdr_dupl_fh", useless]);
        let twice = six(&[ROUTING, DESTINATION, ROUTING], ICMPV6, &echo);
        assert_eq!(noticed(Some(Reason::ip6_ext_order), &twice), ["ipv6.exthdr_dupl_rh"]);
        // nothing is behind the headers
        let cut = noticed(Some(Reason::tcp_truncated), &six(&[FRAGMENT], 6, &[]));
        assert_eq!(cut, ["tcp.pkt_too_small", "ipv6.trunc_exthdr", useless]);
        for (kind, code, name) in [
            (128, 1, "icmpv6.unknown_code"),
            (1, 9, "icmpv6.unknown_code"),
            (100, 0, "icmpv6.experimentation_type"),
            (5, 0, "icmpv6.unassigned_type"),
            (127, 0, "icmpv6.unknown_type"),
        ] {
            assert_eq!(noticed(None, &six(&[], ICMPV6, &[kind, code, 0, 0, 0, 0, 0, 0])), [name], "{kind} {code}");
        }
        let both = six(&[FRAGMENT], ICMPV6, &[127, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(noticed(None, &both), ["icmpv6.unknown_type", useless]);
    }

    #[test]
    fn cut_at_every_byte() {
        let whole = six(&[HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION], 6, &[0; 20]);
        for length in 0..whole.len() {
            noticed(Some(Reason::ip6_ext_order), &whole[..length]);
        }
    }
}
