//! The stages that read a frame's bytes: frames cut at every byte, with every byte changed, with anything behind them.

mod invariants;
#[path = "../../userspace/tests/packets/mod.rs"]
mod packets;

use dropgate_abi::{reason::Reason, walk::parsed};
use dropgate_xdp::read;
use invariants::{check, check_with_rest};
use packets::{Ext, ICMP, ICMPV6, Ip, SCTP, TCP, UDP, ip};
use proptest::prelude::*;

/// One frame of every shape that the stages tell apart.
fn shapes() -> Vec<(String, Vec<u8>)> {
    let ends = [("10.0.0.5", "198.51.100.7"), ("2001:db8::5", "2001:db8:1::7")];
    let mut shapes = Vec::new();
    for tags in [&[][..], &[20], &[100, 30]] {
        for (src, dst) in ends {
            let plain = Ip::new(ip(src), ip(dst));
            let mut forms = vec![("plain", plain.clone())];
            if plain.src.is_ipv4() {
                forms.push(("options", Ip { options: vec![1; 12], ..plain.clone() }));
                forms.push(("first fragment", Ip { fragment: (0, true), ..plain.clone() }));
                forms.push(("later fragment", Ip { fragment: (64, false), ..plain.clone() }));
            } else {
                let chain = vec![Ext::HopByHop(1), Ext::Destination(0), Ext::Routing(4, 0), Ext::Destination(2)];
                forms.push(("extensions", Ip { ext: chain, ..plain.clone() }));
                forms.push(("first fragment", Ip { ext: vec![Ext::Fragment(0, true, 7)], ..plain.clone() }));
                forms.push(("later fragment", Ip { ext: vec![Ext::Fragment(64, false, 7)], ..plain.clone() }));
                forms.push(("atomic fragment", Ip { ext: vec![Ext::Fragment(0, false, 7)], ..plain.clone() }));
                let authentication = Ext::Raw(51, vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                forms.push(("authentication", Ip { ext: vec![authentication], ..plain.clone() }));
            }
            let icmp = if plain.src.is_ipv4() { ICMP } else { ICMPV6 };
            let quoted = plain.packet(UDP, &packets::udp(4000, 53, b"query"));
            let payloads = [
                (TCP, packets::tcp(4000, 80, packets::SYN, b"")),
                (TCP, packets::tcp_words(4000, 80, packets::ACK, 7, &[1, 1, 1, 1, 1, 1, 1, 1, b'G', b'E', b'T', b' '])),
                (UDP, packets::udp(4000, 53, b"a query.")),
                (SCTP, packets::sctp(4000, 3868, &[0; 8])),
                (icmp, packets::icmp(if icmp == ICMP { 8 } else { 128 }, 0, 7)),
                (icmp, packets::icmp_error(if icmp == ICMP { 3 } else { 1 }, 0, &quoted)),
                (packets::GRE, vec![0; 8]),
            ];
            for (form, packet) in &forms {
                for (protocol, payload) in &payloads {
                    let name = format!("{form} of {protocol} from {src} in {tags:?}");
                    shapes.push((name, packet.frame(tags, *protocol, payload)));
                }
            }
        }
    }
    let arp = packets::arp(1, "10.0.0.5".parse().unwrap(), "10.0.0.1".parse().unwrap());
    shapes.push(("ARP".to_owned(), packets::ethernet(&[], packets::ARP, &arp)));
    shapes
}

#[test]
fn whole_frames_are_read_to_their_transport_header() {
    for (name, bytes) in shapes() {
        let (walk, answer) = read(&bytes);
        assert_eq!(answer, Ok(()), "{name}");
        check(&bytes);
        let later = walk.parsed & (parsed::FRAGMENT | parsed::FIRST) == parsed::FRAGMENT;
        assert_eq!(walk.family == 0 || later, walk.l4 == 0, "{name}");
    }
}

#[test]
fn frames_cut_at_every_byte_are_named() {
    for (name, bytes) in shapes() {
        for length in 0..bytes.len() {
            let walk = check(&bytes[..length]);
            let (_, answer) = read(&bytes[..length]);
            let Err(decision) = answer else {
                // ARP is read by a later stage, and a frame may end where an ethertype it does not know begins
                assert_eq!(walk.family, 0, "{name} cut to {length} bytes is taken for whole");
                continue;
            };
            let reason = decision.reason();
            let expected = match length {
                0..14 => vec![Reason::frame_truncated],
                _ => vec![
                    Reason::vlan_truncated,
                    Reason::ip4_truncated,
                    Reason::ip4_bad_total_length,
                    Reason::ip6_truncated,
                    Reason::ip6_bad_payload_length,
                ],
            };
            assert!(expected.contains(&reason), "{name} cut to {length} bytes: {}", reason.name());
        }
    }
}

#[test]
fn packets_cut_at_every_byte_under_a_true_length_are_named() {
    // the IP header agrees with what is left, so that the cut falls into what it carries
    for (name, mut bytes) in shapes() {
        let (walk, _) = read(&bytes);
        let l3 = usize::from(walk.l3);
        let least = match walk.family {
            4 => l3 + usize::from(bytes[l3] & 15) * 4,
            6 => l3 + 40,
            _ => continue,
        };
        for length in (least..bytes.len()).rev() {
            bytes.truncate(length);
            let (at, value) = if walk.family == 4 { (2, length - l3) } else { (4, length - l3 - 40) };
            bytes[l3 + at..l3 + at + 2].copy_from_slice(&(value as u16).to_be_bytes());
            let cut = check(&bytes);
            let (_, answer) = read(&bytes);
            let header_gone = walk.l4 != 0 && length < usize::from(walk.l4);
            if answer.is_ok() && header_gone {
                assert!(cut.parsed & parsed::FIRST != 0 && cut.l4 == 0, "{name} cut to {length} bytes: {cut:?}");
            }
            check_with_rest(&bytes, &[0xff; 64]);
        }
    }
}

#[test]
fn every_byte_of_the_headers_changed_in_every_way() {
    for (_, bytes) in shapes() {
        for at in 12..bytes.len() {
            let mut changed = bytes.clone();
            for value in 0..=u8::MAX {
                changed[at] = value;
                check(&changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_bytes(
        ethertype in prop_oneof![
            Just([0x08u8, 0x00]), Just([0x86, 0xdd]), Just([0x81, 0x00]), Just([0x88, 0xa8]), any::<[u8; 2]>()
        ],
        version in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..160),
        trailer in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let bytes = [&[2u8; 12][..], &ethertype, &[version], &rest].concat();
        check(&bytes);
        check_with_rest(&bytes, &trailer);
    }

    #[test]
    fn shapes_with_bytes_changed(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        trailer in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let shapes = SHAPES.get_or_init(shapes);
        let mut bytes = which.get(shapes).1.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check(&bytes);
        check_with_rest(&bytes, &trailer);
    }
}

static SHAPES: std::sync::OnceLock<Vec<(String, Vec<u8>)>> = std::sync::OnceLock::new();
