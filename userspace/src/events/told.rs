//! What events tell of a packet and of its flow beside what they are about.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use dropgate_abi::{
    flow::start_ns,
    reason::Reason,
    tuple::{Address, V4, V6},
};
use dropgate_signatures::{engine, rule::Ends};

use super::{Clock, Names, convert, eve, inspection::judged};
use crate::{
    inspect::{About, Metadata, Note},
    view::text,
};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Begin of the names of bits that say what a flow is.
const TRAFFIC_ID: &str = "traffic/id/";
const TRAFFIC_LABEL: &str = "traffic/label/";

/// What every event of a packet that was held tells.
pub(super) fn base(about: &About, reason: Reason, now_ns: u64, names: &Names, clock: &Clock) -> eve::Event {
    let walk = judged(about, reason, now_ns);
    let event = convert::base(&walk, reason.info(), names, clock);
    let ethernet = names.tells.ethernet && about.frame.len() >= 12;
    eve::Event {
        pcap_cnt: event.pcap_cnt.filter(|_| !about.ended),
        pkt_src: Some(if about.ended { "stream (flow timeout)" } else { "wire/pcap" }),
        metadata: metadata(&about.note.metadata, &about.captured),
        traffic: traffic(&about.note.metadata),
        ether: ethernet.then(|| {
            Box::new(eve::Ether {
                src_mac: Some(mac(&about.frame[6..12])),
                dest_mac: Some(mac(&about.frame[..6])),
                ..eve::Ether::default()
            })
        }),
        ..event
    }
}

/// The account of its flow so far, this packet included. `base`: the event, with the ends of the packet.
pub(super) fn flow(about: &About, base: &eve::Event, now_ns: u64, clock: &Clock) -> eve::Flow {
    let About { held, walk, .. } = about;
    let ends = [(base.src_ip, base.src_port), (base.dest_ip, base.dest_port)];
    let [client, server] = if held.direction == 0 { ends } else { [ends[1], ends[0]] };
    // as Suricata counts them: frames
    let bytes = |way: usize| held.bytes[way] + u64::from(walk.l3) * held.packets[way];
    eve::Flow {
        pkts_toserver: held.packets[0],
        pkts_toclient: held.packets[1],
        bytes_toserver: bytes(0),
        bytes_toclient: bytes(1),
        start: clock.format(start_ns(held.started, now_ns)),
        end: None,
        ends: Some(eve::FlowEnds {
            src_ip: client.0.unwrap_or_default(),
            dest_ip: server.0.unwrap_or_default(),
            src_port: client.1,
            dest_port: server.1,
        }),
    }
}

/// An address as Suricata writes it: of IPv6, every digit.
pub(super) fn address(family: u8, address: Address) -> eve::Short {
    let mut text = eve::Short::new();
    // none is longer than there is room for
    let _ = match text::ip(family, address) {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            write!(text, "{a:04x}:{b:04x}:{c:04x}:{d:04x}:{e:04x}:{f:04x}:{g:04x}:{h:04x}")
        }
        Some(IpAddr::V4(address)) => write!(text, "{address}"),
        None => text.write_char('?'),
    };
    text
}

/// A verdict of which nobody is told.
pub(super) const fn plain(action: &'static str) -> eve::Verdict {
    eve::Verdict { action, reject_target: None, reject: Vec::new() }
}

/// What was done with the packet, if events are to say so.
pub(super) fn verdict(about: &About, names: &Names) -> Option<eve::Verdict> {
    Some(match about.verdict {
        _ if !names.tells.verdict => return None,
        engine::Verdict::Reject(ends, _) => eve::Verdict {
            reject_target: Some(match ends {
                Ends::Source => "to_client",
                Ends::Destination => "to_server",
                Ends::Both => "both",
            }),
            reject: match about.walk.protocol {
                TCP => vec!["tcp-reset"],
                UDP | ICMP | ICMPV6 => vec!["icmp-prohib"],
                _ => Vec::new(),
            },
            ..plain("drop")
        },
        _ if about.dropped.is_some() => plain("drop"),
        engine::Verdict::Pass(_) => plain("pass"),
        _ => plain("alert"),
    })
}

/// Adds what only the headers say to the account of a dropped packet.
pub(super) fn headers(about: &About, drop: &mut eve::Drop) {
    let (walk, frame) = (&about.walk, &*about.frame);
    let word = |at: usize| frame.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let long = |at: usize| Some(u32::from(word(at)?) << 16 | u32::from(word(at + 2)?));
    let (l3, l4) = (usize::from(walk.l3), usize::from(walk.l4));
    match walk.family {
        V4 => (drop.tos, drop.ipid) = (frame.get(l3 + 1).copied(), word(l3 + 4).map(u32::from)),
        V6 => {
            let first = long(l3);
            (drop.tc, drop.flowlbl) = (first.map(|first| (first >> 20) as u8), first.map(|first| first & 0xf_ffff));
        }
        _ => return,
    }
    match walk.protocol {
        _ if l4 == 0 => {}
        TCP => drop.tcp = tcp_header(frame.get(l4..).unwrap_or_default()),
        UDP => drop.udplen = word(l4 + 4),
        ICMP | ICMPV6 => (drop.icmp_id, drop.icmp_seq) = (word(l4 + 4), word(l4 + 6)),
        _ => {}
    }
}

/// What a TCP header says beside ports and flags; `None`: it is cut off.
fn tcp_header(header: &[u8]) -> Option<eve::TcpHeader> {
    let word = |at: usize| Some(u16::from_be_bytes([*header.get(at)?, *header.get(at + 1)?]));
    let long = |at: usize| Some(u32::from(word(at)?) << 16 | u32::from(word(at + 2)?));
    Some(eve::TcpHeader {
        tcpseq: long(4)?,
        tcpack: long(8)?,
        tcpres: header.get(12)? & 0xf,
        tcpwin: word(14)?,
        tcpurgp: word(18)?,
    })
}

/// What was said, and the packet, if alerts are to have them. `said`: what it was found in, where that is the stream.
pub(super) fn bytes(about: &About, said: Option<&[u8]>, names: &Names) -> (Option<eve::Payload>, Option<eve::Packet>) {
    let whole = !about.ended && about.frame.len() >= about.walk.frame_len as usize;
    let carried = || crate::inspect::Packet::read(&about.frame).map_or(&[][..], |packet| packet.payload());
    let stream = said.filter(|said| !said.is_empty() && about.walk.protocol == TCP);
    let payload = names.tells.payload.then(|| stream.unwrap_or_else(carried)).map(|bytes| eve::Payload {
        payload: BASE64_STANDARD.encode(bytes),
        payload_printable: printable(bytes),
        stream: said.is_some_and(|_| about.walk.protocol == TCP).into(),
    });
    let packet = (names.tells.packet && whole).then(|| eve::Packet {
        packet: BASE64_STANDARD.encode(&about.frame),
        packet_info: eve::PacketInfo { linktype: 1, linktype_name: "EN10MB" },
    });
    (payload, packet)
}

/// Bytes as Suricata prints them: what is not printable is a point, but for ends of lines.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if matches!(byte, b' '..=b'~' | b'\r' | b'\n') { char::from(*byte) } else { '.' }).collect()
}

/// What rules have set of a flow, and captured of a packet; `None`: nothing.
pub(super) fn metadata(of: &Metadata, captured: &[(std::sync::Arc<str>, Box<[u8]>)]) -> Option<Box<eve::Metadata>> {
    if captured.is_empty() && *of == Metadata::default() {
        return None;
    }
    let one = |name: &str, bytes: &[u8]| BTreeMap::from([(name.to_owned(), printable(bytes))]);
    let is_traffic = |bit: &&std::sync::Arc<str>| bit.starts_with(TRAFFIC_ID) || bit.starts_with(TRAFFIC_LABEL);
    let told = eve::Metadata {
        flowbits: of.flowbits.iter().filter(|bit| !is_traffic(bit)).map(ToString::to_string).collect(),
        flowints: of.flowints.iter().map(|(name, number)| (name.to_string(), *number)).collect(),
        flowvars: of.flowvars.iter().map(|(name, bytes)| one(name, bytes)).collect(),
        pktvars: captured.iter().map(|(name, bytes)| one(name, bytes)).collect(),
        entropy: of.entropies.iter().map(|(buffer, entropy)| (buffer.replace('.', "_"), *entropy)).collect(),
    };
    (told != eve::Metadata::default()).then(|| told.into())
}

/// What rules say that a flow is; `None`: nothing.
pub(super) fn traffic(of: &Metadata) -> Option<Box<eve::Traffic>> {
    if of.flowbits.is_empty() {
        return None;
    }
    let named =
        |prefix| of.flowbits.iter().filter_map(move |bit| bit.strip_prefix(prefix)).map(str::to_owned).collect();
    let told = eve::Traffic { id: named(TRAFFIC_ID), label: named(TRAFFIC_LABEL) };
    (told != eve::Traffic::default()).then(|| told.into())
}

/// The hardware addresses of a flow, if any were seen.
pub(super) fn macs(note: &Note) -> Option<eve::Ether> {
    let [src_macs, dest_macs] = [0, 1].map(|side: usize| note.macs[side].iter().map(|of| mac(of)).collect::<Vec<_>>());
    (!src_macs.is_empty()).then(|| eve::Ether { src_macs, dest_macs, ..eve::Ether::default() })
}

fn mac(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(":")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dropgate_abi::{hold::Held, walk::Walk};
    use etherparse::PacketBuilder;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::model::Tells;

    /// A segment that says something, from a client.
    fn about() -> About {
        let mut frame = Vec::new();
        let packet = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 10, 0, 5], [203, 0, 113, 9], 64);
        packet.tcp(40_000, 80, 1000, 8192).psh().write(&mut frame, b"a\x01b").unwrap();
        let (walk, _) = dropgate_xdp::read(&frame);
        let held = Held { flow: 9, packets: [3, 2], bytes: [120, 80], ..Held::default() };
        About::packet(&held, &walk, &frame, true)
    }

    fn names(tells: Tells) -> Names {
        Names { tells, ..Names::default() }
    }

    fn told(event: &eve::Event) -> Value {
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn verdicts() {
        let of = |verdict, dropped| {
            let about = About { verdict, dropped, ..about() };
            serde_json::to_value(super::verdict(&about, &names(Tells::default()))).unwrap()
        };
        assert_eq!(of(engine::Verdict::Continue, None), json!({"action": "alert"}));
        assert_eq!(of(engine::Verdict::Pass(true), None), json!({"action": "pass"}));
        assert_eq!(of(engine::Verdict::Continue, Some(Reason::tcp_ack_invalid)), json!({"action": "drop"}));
        assert_eq!(
            of(engine::Verdict::Reject(Ends::Destination, true), Some(Reason::signature)),
            json!({"action": "drop", "reject-target": "to_server", "reject": ["tcp-reset"]})
        );
        let silent = Tells { verdict: false, ..Tells::default() };
        assert!(super::verdict(&about(), &names(silent)).is_none());
    }

    #[test]
    fn switches_add_what_they_say() {
        let clock = Clock::fixed(0, 0).at_packet(5);
        let plain = told(&base(&about(), Reason::signature, 0, &names(Tells::default()), &clock));
        for key in ["ether", "community_id", "metadata", "traffic", "vlan"] {
            assert!(plain.get(key).is_none(), "{key}");
        }
        assert_eq!((&plain["pkt_src"], &plain["pcap_cnt"]), (&json!("wire/pcap"), &json!(5)));
        let tells = Tells { ethernet: true, community_id: Some(0), payload: true, packet: true, ..Tells::default() };
        let full = told(&base(&about(), Reason::signature, 0, &names(tells), &clock));
        assert_eq!(full["ether"], json!({"src_mac": "02:02:02:02:02:02", "dest_mac": "04:04:04:04:04:04"}));
        assert!(full["community_id"].as_str().unwrap().starts_with("1:"));
        let (payload, packet) = bytes(&about(), None, &names(tells));
        let payload = serde_json::to_value(payload).unwrap();
        assert_eq!(payload, json!({"payload": "YQFi", "payload_printable": "a.b", "stream": 0}));
        let packet = serde_json::to_value(packet).unwrap();
        assert_eq!(packet["packet_info"]["linktype"], 1);
        assert_eq!(BASE64_STANDARD.decode(packet["packet"].as_str().unwrap()).unwrap(), &*about().frame);
        let (payload, _) = bytes(&about(), Some(b"GET /"), &names(tells));
        assert_eq!(payload.map(|payload| (payload.payload_printable, payload.stream)), Some(("GET /".to_owned(), 1)));
        assert!(bytes(&about(), None, &names(Tells::default())).0.is_none());
        let ended = told(&base(&About { ended: true, ..about() }, Reason::signature, 0, &names(tells), &clock));
        assert_eq!(ended["pkt_src"], "stream (flow timeout)");
        assert!(ended.get("pcap_cnt").is_none());
    }

    #[test]
    fn bits_that_say_what_a_flow_is_stand_apart() {
        let bits = ["traffic/id/web", "seen", "traffic/label/known"].map(Arc::from).to_vec();
        let of = Metadata {
            flowbits: bits,
            flowints: vec![("count".into(), 3)],
            flowvars: vec![("key".to_owned(), b"v\xff".to_vec())],
            entropies: vec![("file.data", 1.5)],
        };
        let captured = [("of".into(), Box::from(&b"x"[..]))];
        assert_eq!(
            serde_json::to_value(metadata(&of, &captured)).unwrap(),
            json!({"flowbits": ["seen"], "flowints": {"count": 3}, "flowvars": [{"key": "v."}], "pktvars": [{"of": "x"}],
                "entropy": {"file_data": 1.5}})
        );
        assert_eq!(serde_json::to_value(traffic(&of)).unwrap(), json!({"id": ["web"], "label": ["known"]}));
        assert_eq!((metadata(&Metadata::default(), &[]), traffic(&Metadata::default())), (None, None));
    }

    #[test]
    fn a_flow_is_told_from_its_client() {
        let answer = About { held: Held { direction: 1, ..about().held }, ..about() };
        let event = base(&answer, Reason::signature, 0, &names(Tells::default()), &Clock::fixed(0, 0));
        let account = serde_json::to_value(flow(&answer, &event, 0, &Clock::fixed(0, 0))).unwrap();
        assert_eq!((&account["src_ip"], &account["src_port"]), (&json!("203.0.113.9"), &json!(80)));
        // of frames
        assert_eq!(
            (&account["bytes_toserver"], &account["bytes_toclient"]),
            (&json!(120 + 3 * 14), &json!(80 + 2 * 14))
        );
        assert!(account.get("state").is_none());
    }

    #[test]
    fn headers_cut_at_every_byte() {
        let whole = about();
        let mut drop = eve::Drop::default();
        headers(&whole, &mut drop);
        assert_eq!((drop.tos, drop.tcp.map(|tcp| (tcp.tcpseq, tcp.tcpwin))), (Some(0), Some((1000, 8192))));
        for length in 0..whole.frame.len() {
            let mut drop = eve::Drop::default();
            headers(&About { frame: whole.frame[..length].into(), ..about() }, &mut drop);
        }
        let six = Walk { family: V6, ..whole.walk };
        assert_eq!(&*super::address(six.family, [0; 4]), "0000:0000:0000:0000:0000:0000:0000:0000");
    }
}
