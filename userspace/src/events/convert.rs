//! From the programs' records to EVE events.

use super::{Clock, Names, community::community_id, eve, inspection, told};
use crate::{
    inspect::{Note, event_names},
    protocol::Protocol,
    view::text::{self, protocol},
};
use dropgate_abi::{
    event::PacketEvent,
    flow::{Flow, TICK_SHIFT, expired, flag, tcp},
    reason::{Info, Kind, Reason, Stage},
    tunnel::kind,
    tuple::{V4, V6},
    walk::{Walk, action, hook, parsed},
};
use dropgate_signatures::subject::Direction;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// The events of one packet: a drop, an anomaly, or both. Empty for a packet that passed without anything odd.
pub fn packet(walk: &Walk, names: &Names, clock: &Clock) -> Vec<eve::Event> {
    let info = walk.reason.info();
    let mut events = Vec::new();
    let odd = walk.parsed & parsed::ODD != 0 && walk.odd() != walk.reason;
    if walk.action == action::DROP {
        let mut event = base(walk, info, names, clock);
        event.event_type = "drop";
        event.drop = Some(dropped(walk).into());
        event.verdict = names.tells.verdict.then(|| told::plain("drop"));
        events.push(event);
        // and what is odd about it besides
        events.extend(odd.then(|| anomaly(&Walk { reason: walk.odd(), ..*walk }, names, clock)).flatten());
    }
    events.extend(anomaly(walk, names, clock));
    events
}

/// The `anomaly` of a packet, if its reason is one.
fn anomaly(walk: &Walk, names: &Names, clock: &Clock) -> Option<eve::Event> {
    let info = walk.reason.info()?;
    // what Suricata calls it, where it has a name for it
    let named = event_names(walk.reason, walk.family).first();
    let odd = match info.kind {
        Kind::Anomaly | Kind::AnomalyDrop => true,
        Kind::Drop => named.is_some(),
        Kind::Error => walk.action != action::DROP,
        Kind::Pass => false,
    };
    odd.then(|| eve::Event {
        event_type: "anomaly",
        anomaly: Some(eve::Anomaly {
            kind: match named {
                Some(name) if name.starts_with("stream.") => "stream",
                None if info.stage > Stage::Fragment => "stream",
                _ => "decode",
            },
            event: match named {
                Some(name) if name.starts_with("stream.") => (*name).into(),
                Some(name) => format!("decoder.{name}").into(),
                None => info.name.into(),
            },
            layer: info.stage.name(),
        }),
        ..base(walk, Some(info), names, clock)
    })
}

pub(super) fn base(walk: &Walk, info: Option<&Info>, names: &Names, clock: &Clock) -> eve::Event {
    let known = walk.family != 0;
    let ports = known && walk.l4 != 0 && matches!(walk.protocol, TCP | UDP | SCTP);
    let icmp = known && walk.l4 != 0 && matches!(walk.protocol, ICMP | ICMPV6);
    let inbound = if walk.hook == hook::EGRESS { walk.from_ifindex } else { walk.port as u32 };
    eve::Event {
        timestamp: clock.format(walk.now_ns),
        flow_id: (walk.flow_id != 0).then_some(walk.flow_id),
        in_iface: names.interface(inbound),
        pcap_cnt: clock.packet(),
        vlan: walk.vlan.into_iter().filter(|&id| id != 0).collect(),
        src_ip: known.then(|| told::address(walk.family, walk.src)),
        src_port: ports.then_some(walk.sport),
        dest_ip: known.then(|| told::address(walk.family, walk.dst)),
        dest_port: ports.then_some(walk.dport),
        proto: known.then(|| protocol(walk.protocol)),
        icmp_type: icmp.then_some(walk.icmp_type),
        icmp_code: icmp.then_some(walk.icmp_code),
        ip_v: known.then_some(walk.family),
        pkt_src: Some("wire/pcap"),
        community_id: (walk.flow_id != 0 && known).then(|| community(walk, names)).flatten(),
        ether: (!known).then(|| eve::Ether { ether_type: Some(walk.ethertype), ..eve::Ether::default() }.into()),
        tunnel: (walk.tunnel != 0).then(|| {
            let network = (walk.network != 0).then_some(walk.network);
            eve::Tunnel { depth: 1, kind: kind::name(walk.tunnel), network, ..eve::Tunnel::default() }.into()
        }),
        dropgate: Some(own(walk, info, names)),
        ..eve::Event::default()
    }
}

/// The Community ID of a packet's flow, if events are to have it.
fn community(walk: &Walk, names: &Names) -> Option<String> {
    let seed = names.tells.community_id?;
    let [source, destination] = [walk.src, walk.dst].map(|words| text::ip(walk.family, words));
    let icmp = matches!(walk.protocol, ICMP | ICMPV6);
    let (sport, dport) = if icmp { (walk.icmp_type.into(), walk.icmp_code.into()) } else { (walk.sport, walk.dport) };
    Some(community_id(seed, walk.protocol, (source?, sport), (destination?, dport)))
}

fn own(walk: &Walk, info: Option<&Info>, names: &Names) -> eve::Own {
    eve::Own {
        generation: Some(walk.generation),
        zone: names.zone(walk.zone),
        peer: names.zone(walk.peer),
        service: names.service(walk.service).map(|service| service.name.clone()),
        line: (walk.line != 0).then_some(walk.line).or_else(|| names.service(walk.service).map(|service| service.line)),
        reason: Some(walk.reason.name()),
        stage: info.map(|info| info.stage.name()),
        direction: (walk.flow_id != 0).then_some(if walk.direction == 0 { "to_server" } else { "to_client" }),
        hook: Some(if walk.hook == hook::EGRESS { "egress" } else { "ingress" }),
        attack: info.map(|info| info.attack).into_iter().filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        limited: None,
    }
}

fn dropped(walk: &Walk) -> eve::Drop {
    let bit = |at: u8| walk.tcp_flags & (1 << at) != 0;
    let len = if walk.family == V6 { walk.ip_len.saturating_sub(IPV6_HEADER) } else { walk.ip_len };
    eve::Drop {
        len: if walk.ip_len == 0 { walk.frame_len } else { len.into() },
        ttl: (walk.family == V4).then_some(walk.ttl),
        hoplimit: (walk.family == V6).then_some(walk.ttl),
        ipid: (walk.parsed & parsed::FRAGMENT != 0).then_some(walk.fragment_id),
        flags: (walk.family != 0 && walk.protocol == TCP && walk.l4 != 0).then(|| eve::TcpFlags {
            fin: bit(0),
            syn: bit(1),
            rst: bit(2),
            psh: bit(3),
            ack: bit(4),
            urg: bit(5),
        }),
        // a packet that the programs drop for a signature belongs to a flow that was condemned for it
        reason: if walk.reason == Reason::signature { "flow drop" } else { walk.reason.name() },
        ..eve::Drop::default()
    }
}

/// Bytes of an IPv6 header.
const IPV6_HEADER: u16 = 40;

/// The end of a flow. `end_ns` is the monotonic time of its last packet, `reason` why it left the table: `timeout`,
/// `forced` (pushed out, used again, revoked) or `shutdown`.
pub fn flow(
    flow: &Flow,
    end_ns: u64,
    (reason, note): (&'static str, &Note),
    names: &Names,
    clock: &Clock,
) -> eve::Event {
    let (client, server) = crate::view::flows::endpoints(&flow.key, flow.flags & flag::INITIATOR_HIGH != 0);
    let ports = matches!(flow.key.protocol, TCP | UDP | SCTP);
    let start_ns = flow.start_ns(end_ns);
    let why = (flow.drop_reason != 0).then_some(Reason(flow.drop_reason.into()));
    let service = names.service(flow.service);
    let by = |end| note.mismatch.filter(|(direction, _)| *direction == end).map(|(_, app)| app.told());
    eve::Event {
        timestamp: clock.format(end_ns),
        flow_id: Some(flow.id),
        in_iface: names.interface(flow.to_server_port as u32),
        event_type: "flow",
        vlan: [(flow.to_server_port >> 32) as u16, (flow.to_server_port >> 48) as u16]
            .into_iter()
            .filter(|&id| id != 0)
            .collect(),
        src_ip: Some(told::address(flow.key.family, client.0)),
        src_port: ports.then_some(client.1),
        dest_ip: Some(told::address(flow.key.family, server.0)),
        dest_port: ports.then_some(server.1),
        proto: Some(protocol(flow.key.protocol)),
        ip_v: Some(flow.key.family),
        app_proto: Protocol::app_proto(flow.spoken()),
        app_proto_ts: by(Direction::ToServer),
        app_proto_tc: by(Direction::ToClient),
        flow: Some(Box::new(eve::Flow {
            pkts_toserver: flow.packets()[0],
            pkts_toclient: flow.packets()[1],
            bytes_toserver: flow.bytes[0] + flow.packets()[0] * link_bytes(flow.to_server_port),
            bytes_toclient: flow.bytes[1] + flow.packets()[1] * link_bytes(flow.to_client_port),
            start: clock.format(start_ns),
            end: Some(eve::FlowEnd {
                end: clock.format(end_ns),
                age: (end_ns - start_ns) / 1_000_000_000,
                state: if note.bypassed { "bypassed" } else { state(flow) },
                bypass: note.bypassed.then_some("local"),
                reason,
                alerted: note.alerted,
                action: why.map(|_| "drop").or(note.passed.then_some("pass")),
            }),
            ends: None,
        })),
        community_id: names.tells.community_id.filter(|_| ports).and_then(|seed| {
            let [client, server] =
                [client, server].map(|(words, port)| Some((text::ip(flow.key.family, words)?, port)));
            Some(community_id(seed, flow.key.protocol, client?, server?))
        }),
        metadata: told::metadata(&note.metadata, &[]),
        traffic: told::traffic(&note.metadata),
        ether: told::macs(note).map(Box::new),
        tcp: ended_state(flow).map(|state| ended_tcp(flow, state).into()),
        dropgate: Some(eve::Own {
            generation: Some(flow.generation),
            zone: names.zone(flow.zone),
            peer: names.zone(flow.peer),
            service: service.map(|service| service.name.clone()),
            line: service.map(|service| service.line),
            reason: why.map(Reason::name),
            ..eve::Own::default()
        }),
        ..eve::Event::default()
    }
}

/// The events of what the programs tell of a packet.
pub fn of_packet(event: &PacketEvent, names: &Names, clock: &Clock) -> Vec<eve::Event> {
    let mut events = packet(&event.walk, names, clock);
    if event.walk.reason == Reason::first_byte_impossible {
        let said = event.said.get(..event.said_len as usize).unwrap_or_default();
        events.push(inspection::first_byte(&event.walk, said, names, clock));
    }
    if event.outer_family != 0 {
        for tunnel in events.iter_mut().filter_map(|event| event.tunnel.as_mut()) {
            tunnel.src_ip = Some(told::address(event.outer_family, event.outer_src));
            tunnel.dest_ip = Some(told::address(event.outer_family, event.outer_dst));
            tunnel.proto = Some(protocol(event.outer_protocol));
        }
    }
    events
}

/// A flow that leaves the table at monotonic time `now_ns`: by its time-out, or `otherwise`. See [`flow`].
pub fn ended(
    ended: &Flow,
    now_ns: u64,
    (otherwise, note): (&'static str, &Note),
    names: &Names,
    clock: &Clock,
) -> eve::Event {
    let now = (now_ns >> TICK_SHIFT) as u32;
    let reason = if expired(now, ended.last_seen, ended.timeout) { "timeout" } else { otherwise };
    let idle = u64::from(now.wrapping_sub(ended.last_seen)) << TICK_SHIFT;
    flow(ended, now_ns.saturating_sub(idle), (reason, note), names, clock)
}

fn state(flow: &Flow) -> &'static str {
    match flow.tcp_state {
        tcp::TIME_WAIT | tcp::CLOSED => "closed",
        _ if flow.flags & (flag::ESTABLISHED | flag::ADOPTED) != 0 => "established",
        _ => "new",
    }
}

/// Bytes before the network header on the way in by a port: Suricata counts those of frames.
const fn link_bytes(port: u64) -> u64 {
    const ETHERNET: u64 = 14;
    const TAG: u64 = 4;
    if port == u64::MAX {
        return ETHERNET;
    }
    ETHERNET + TAG * ((port >> 32 & 0xffff != 0) as u64 + (port >> 48 != 0) as u64)
}

/// How a connection ended, and the flags of its segments.
fn ended_tcp(flow: &Flow, state: &'static str) -> eve::Tcp {
    let [to_server, to_client] = flow.tcp_flags();
    let all = to_server | to_client;
    let bit = |at: u8| all & (1 << at) != 0;
    eve::Tcp {
        tcp_flags: format!("{all:02x}"),
        tcp_flags_ts: format!("{to_server:02x}"),
        tcp_flags_tc: format!("{to_client:02x}"),
        syn: bit(1),
        fin: bit(0),
        rst: bit(2),
        psh: bit(3),
        ack: bit(4),
        urg: bit(5),
        ecn: bit(6),
        cwr: bit(7),
        state,
    }
}

/// Suricata's name of the state that a connection ended in: it goes on from one FIN by who sent it, and is closed when the
/// second one is acknowledged, which our table does not wait for.
fn ended_state(flow: &Flow) -> Option<&'static str> {
    match flow.tcp_state {
        tcp::TIME_WAIT => Some("closed"),
        tcp::CLOSING if flow.flags & flag::FIN_TO_SERVER != 0 => Some("close_wait"),
        tcp::CLOSING => Some("fin_wait2"),
        state => tcp_state(state),
    }
}

/// Suricata's name of a TCP state; `None` for other protocols.
pub(crate) fn tcp_state(state: u8) -> Option<&'static str> {
    Some(match state {
        tcp::SYN_SENT => "syn_sent",
        tcp::SYN_RECEIVED => "syn_recv",
        tcp::ESTABLISHED => "established",
        tcp::CLOSING => "closing",
        tcp::TIME_WAIT => "time_wait",
        tcp::CLOSED => "closed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::names::ServiceName, *};
    use dropgate_abi::{flow::TICK_SHIFT, tuple::FlowKey};
    use serde_json::{Value, json};

    fn names() -> Names {
        let mut names = Names::default();
        names.zones.insert(16, "office".into());
        names
            .services
            .insert(3, ServiceName { zone: "office".into(), name: "web".into(), line: 14, ..ServiceName::default() });
        names.interfaces.insert(2, "lan0".into());
        names
    }

    fn walk() -> Walk {
        Walk {
            now_ns: 1_000,
            frame_len: 74,
            l3: 18,
            l4: 38,
            ethertype: 0x0800,
            vlan: [10, 0],
            ip_len: 56,
            src: [u32::from_ne_bytes([10, 10, 0, 5]), 0, 0, 0],
            dst: [u32::from_ne_bytes([203, 0, 113, 9]), 0, 0, 0],
            sport: 40000,
            dport: 8088,
            family: V4,
            protocol: 6,
            ttl: 64,
            tcp_flags: 2,
            port: 2 | 10 << 32,
            generation: 7,
            zone: 16,
            peer: 2,
            service: u32::MAX,
            reason: Reason::not_allowed,
            action: action::DROP,
            ..Walk::default()
        }
    }

    fn json_of(events: &[eve::Event]) -> Vec<Value> {
        events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
    }

    #[test]
    fn a_drop() {
        let mut events = json_of(&packet(&walk(), &names(), &Clock::fixed(0, 0)));
        assert_eq!(events.len(), 1);
        events[0]["timestamp"].take();
        assert_eq!(
            events[0],
            json!({
                "timestamp": null, "in_iface": "lan0", "event_type": "drop", "vlan": [10],
                "src_ip": "10.10.0.5", "src_port": 40000, "dest_ip": "203.0.113.9", "dest_port": 8088,
                "proto": "TCP", "ip_v": 4, "pkt_src": "wire/pcap", "verdict": {"action": "drop"},
                "drop": {"len": 56, "ttl": 64, "syn": true, "ack": false, "psh": false, "rst": false, "urg": false,
                    "fin": false, "reason": "not_allowed"},
                "dropgate": {"generation": 7, "zone": "office", "peer": "outside", "reason": "not_allowed",
                    "stage": "policy", "hook": "ingress"},
            })
        );
    }

    #[test]
    fn an_anomaly_that_drops_makes_two() {
        let walk = Walk { reason: Reason::nd_rogue_router, protocol: 58, icmp_type: 134, ..walk() };
        let events = json_of(&packet(&walk, &names(), &Clock::fixed(0, 0)));
        assert_eq!(events[0]["event_type"], "drop");
        assert_eq!(events[1]["event_type"], "anomaly");
        assert_eq!(events[1]["anomaly"], json!({"type": "stream", "event": "nd_rogue_router", "layer": "policy"}));
        assert_eq!(events[1]["dropgate"]["attack"], json!(["T1557"]));
        assert_eq!(events[1]["icmp_type"], 134);
        assert!(events[1].get("src_port").is_none());
    }

    #[test]
    fn anomalies_have_the_names_of_suricata() {
        let named = |reason, family| {
            let walk = Walk { reason, family, ..walk() };
            let events = json_of(&packet(&walk, &names(), &Clock::fixed(0, 0)));
            assert_eq!(events[0]["event_type"], "drop");
            events[1]["anomaly"].clone()
        };
        let bad = named(Reason::ip4_bad_total_length, V4);
        assert_eq!(bad, json!({"type": "decode", "event": "decoder.ipv4.trunc_pkt", "layer": "parse"}));
        assert_eq!(named(Reason::icmp_truncated, V6)["event"], "decoder.icmpv6.pkt_too_small");
        let old = named(Reason::tcp_timestamp_old, V4);
        assert_eq!((&old["type"], &old["event"]), (&json!("stream"), &json!("stream.pkt_invalid_timestamp")));
    }

    #[test]
    fn a_pass_makes_none_and_unknown_numbers_do_not_panic() {
        let pass = Walk { action: action::PASS, reason: Reason::allowed, ..walk() };
        assert!(packet(&pass, &names(), &Clock::fixed(0, 0)).is_empty());
        let odd = Walk { reason: Reason(60_000), family: 9, zone: 9999, port: 77, ..walk() };
        let events = json_of(&packet(&odd, &names(), &Clock::fixed(u64::MAX, 0)));
        assert_eq!(events[0]["drop"]["reason"], "unknown");
        assert_eq!(events[0]["dropgate"]["zone"], "zone-9999");
        assert_eq!(events[0]["in_iface"], "if-77");
    }

    #[test]
    fn a_flow_is_told_from_its_initiator() {
        let flow_record = Flow {
            key: FlowKey {
                low: walk().src,
                high: walk().dst,
                low_port: 40000,
                high_port: 80,
                protocol: 6,
                family: V4,
                realm: 0,
            },
            tcp_state: tcp::TIME_WAIT,
            flags: flag::INITIATOR_HIGH | flag::ESTABLISHED,
            service: 3,
            zone: 16,
            peer: 2,
            started: (1_000_000_000u64 >> TICK_SHIFT) as u32,
            id: 99,
            tally: [5 | 0x1b << 56, 4 | 0x12 << 56],
            bytes: [500, 4000],
            ..Flow::default()
        };
        let event = serde_json::to_value(flow(
            &flow_record,
            3_500_000_000,
            ("timeout", &Note::default()),
            &names(),
            &Clock::fixed(0, 0),
        ));
        let event = event.unwrap();
        assert_eq!(event["src_ip"], "203.0.113.9");
        assert_eq!(event["src_port"], 80);
        assert_eq!(event["dest_port"], 40000);
        assert_eq!(event["flow"]["state"], "closed");
        assert_eq!(event["flow"]["age"], 2);
        assert_eq!(event["flow"]["bytes_toclient"], 4000 + 4 * 14, "of frames");
        assert_eq!(
            event["tcp"],
            json!({"tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "12", "syn": true, "fin": true, "psh": true,
                "ack": true, "state": "closed"})
        );
        assert_eq!(event["dropgate"]["service"], "web");
        assert_eq!(event["dropgate"]["line"], 14);
    }
}
