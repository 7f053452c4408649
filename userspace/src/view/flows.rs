//! The flow table, for people and as JSON lines.

use std::{borrow::Cow, sync::Arc};

use super::text::{self, Table, endpoint, protocol};
use crate::{events::Names, protocol::Protocol};
use dropgate_abi::{
    flow::{Flow, TICK_SHIFT, flag},
    hold::SETTLED,
    reason::Reason,
    tuple::{Address, FlowKey},
};
use serde::Serialize;

/// One flow, with its numbers named.
#[derive(Clone, Debug, Serialize)]
pub struct FlowView {
    pub flow: u64,
    pub proto: Cow<'static, str>,
    pub src: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    pub dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
    /// Line of the policy file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What it speaks; `failed`: nothing that is known; `null` while nobody has said.
    pub app_proto: Option<&'static str>,
    /// Its packets are held.
    pub inspected: bool,
    pub verdict: &'static str,
    /// Why it is dropped; left out while it passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// TCP state, else `new` or `established`.
    pub state: &'static str,
    pub packets_to_server: u64,
    pub packets_to_client: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    pub age_s: u64,
    pub idle_s: u64,
    pub generation: u32,
    /// A translated tuple, as the outside sees it.
    pub translated: bool,
    pub adopted: bool,
    #[serde(skip)]
    family_src: (u8, Address),
    #[serde(skip)]
    family_dst: (u8, Address),
}

/// Client and server of a flow: address and port each.
pub fn endpoints(key: &FlowKey, initiator_high: bool) -> ((Address, u16), (Address, u16)) {
    let (low, high) = ((key.low, key.low_port), (key.high, key.high_port));
    if initiator_high { (high, low) } else { (low, high) }
}

/// Names the numbers of a flow. `now_ns` is the monotonic time now.
pub fn view(flow: &Flow, now_ns: u64, names: &Names) -> FlowView {
    let (client, server) = endpoints(&flow.key, flow.flags & flag::INITIATOR_HIGH != 0);
    // for ICMP both ports hold the identifier
    let ports = matches!(flow.key.protocol, 6 | 17 | 132);
    let service = names.service(flow.service);
    let idle_ticks = ((now_ns >> TICK_SHIFT) as u32).wrapping_sub(flow.last_seen);
    // a flow touched by a CPU slightly ahead of this one
    let idle_ticks = if idle_ticks > u32::MAX / 2 { 0 } else { idle_ticks };
    let established = flow.flags & (flag::ESTABLISHED | flag::ADOPTED) != 0;
    FlowView {
        flow: flow.id,
        proto: protocol(flow.key.protocol),
        src: text::address(flow.key.family, client.0),
        sport: ports.then_some(client.1),
        dst: text::address(flow.key.family, server.0),
        dport: ports.then_some(server.1),
        zone: names.zone(flow.zone),
        peer: names.zone(flow.peer),
        service: service.map(|service| service.name.clone()),
        line: service.map(|service| service.line),
        app_proto: Protocol::app_proto(flow.spoken()),
        inspected: flow.flags & flag::INSPECT != 0 && flow.hold & SETTLED == 0,
        verdict: if flow.drop_reason == 0 { "pass" } else { "drop" },
        reason: (flow.drop_reason != 0).then(|| Reason(flow.drop_reason.into()).name()),
        state: crate::events::tcp_state(flow.tcp_state).unwrap_or(if established { "established" } else { "new" }),
        packets_to_server: flow.packets()[0],
        packets_to_client: flow.packets()[1],
        bytes_to_server: flow.bytes[0],
        bytes_to_client: flow.bytes[1],
        age_s: now_ns.saturating_sub(flow.start_ns(now_ns)) / 1_000_000_000,
        idle_s: (u64::from(idle_ticks) << TICK_SHIFT) / 1_000_000_000,
        generation: flow.generation,
        translated: flow.flags & flag::LEDGER != 0,
        adopted: flow.flags & flag::ADOPTED != 0,
        family_src: (flow.key.family, client.0),
        family_dst: (flow.key.family, server.0),
    }
}

/// Flows as an aligned table with a line of heads.
pub fn table(flows: &[FlowView]) -> String {
    let mut table = Table::new(&[
        "proto",
        "client",
        "server",
        "zone",
        "service",
        "speaks",
        "verdict",
        "state",
        ">to server",
        ">to client",
        ">age",
        ">idle",
    ]);
    for flow in flows {
        let service = match (&flow.service, flow.translated) {
            (Some(name), _) => name.to_string(),
            (None, true) => "(translated)".into(),
            (None, false) => "-".into(),
        };
        table.row([
            flow.proto.to_string(),
            endpoint(flow.family_src.0, flow.family_src.1, flow.sport),
            endpoint(flow.family_dst.0, flow.family_dst.1, flow.dport),
            flow.zone.as_deref().unwrap_or("-").to_owned(),
            service,
            match (flow.app_proto, flow.inspected) {
                (Some(name), _) => name.to_owned(),
                (None, true) => "(held)".to_owned(),
                (None, false) => "-".to_owned(),
            },
            flow.reason.map_or_else(|| flow.verdict.to_owned(), |reason| format!("drop {reason}")),
            flow.state.to_owned(),
            text::bytes(flow.bytes_to_server),
            text::bytes(flow.bytes_to_client),
            text::span(flow.age_s),
            text::span(flow.idle_s),
        ]);
    }
    format!("{table}{} flows\n", flows.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropgate_abi::{
        flow::{TICK_SHIFT, tcp},
        tuple::V4,
    };

    fn flow() -> Flow {
        Flow {
            key: FlowKey {
                low: text::abi_address("10.10.0.5".parse().unwrap()).1,
                high: text::abi_address("203.0.113.9".parse().unwrap()).1,
                low_port: 40000,
                high_port: 443,
                protocol: 6,
                family: V4,
                realm: 0,
            },
            tcp_state: tcp::ESTABLISHED,
            flags: flag::ESTABLISHED,
            service: 3,
            zone: 16,
            peer: 2,
            started: (1_000_000_000u64 >> TICK_SHIFT) as u32,
            last_seen: (60_000_000_000u64 >> TICK_SHIFT) as u32,
            bytes: [1500, 2_000_000],
            id: 5,
            ..Flow::default()
        }
    }

    #[test]
    fn a_row_reads_from_client_to_server() {
        let mut names = Names::default();
        names.zones.insert(16, "office".into());
        let views = [view(&flow(), 125_000_000_000, &names)];
        let text = table(&views);
        let row = text.lines().nth(1).unwrap();
        for part in
            ["TCP", "10.10.0.5:40000", "203.0.113.9:443", "office", "pass", "established", "1.5 kB", "2.0 MB", "2m04s"]
        {
            assert!(row.contains(part), "{part} in {row}");
        }
        let json = serde_json::to_value(&views[0]).unwrap();
        assert_eq!(json["dport"], 443);
        assert_eq!(json["idle_s"], 65);
    }

    #[test]
    fn a_flow_from_the_future_is_not_idle() {
        assert_eq!(view(&flow(), 59_000_000_000, &Names::default()).idle_s, 0);
    }
}
