//! The shape of EVE lines. Field names are Suricata's; a field without a value is left out.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrayvec::ArrayString;
use serde::{Serialize, Serializer};

use crate::app::Told;

/// A time or an address. Text of its own would cost more than all else that is done with an event.
pub type Short = ArrayString<40>;

/// One line of EVE. What few of them have lies apart: an event is moved from hand to hand.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Event {
    /// See [`super::format_time`].
    pub timestamp: Short,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_iface: Option<Arc<str>>,
    /// Number of the packet in the capture, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcap_cnt: Option<u64>,
    /// `alert`, `drop`, `anomaly`, `flow` or `stats`.
    pub event_type: &'static str,
    /// Identifiers, outer tag first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_ip: Option<Short>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_ip: Option<Short>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// 4 or 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_v: Option<u8>,
    /// What the flow speaks; `failed`: nothing that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_proto: Option<&'static str>,
    /// What the flow spoke before it changed to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_proto_orig: Option<&'static str>,
    /// What one end speaks, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_proto_ts: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_proto_tc: Option<&'static str>,
    /// `stream` or `wire/pcap`: what it was found in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkt_src: Option<&'static str>,
    /// Number of the transaction in its flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_id: Option<u64>,
    /// `to_server` or `to_client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    /// What rules have set of the flow, and of the packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<Metadata>>,
    /// Bits named `traffic/id/NAME` and `traffic/label/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Box<Traffic>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Box<Alert>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<Payload>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub packet: Option<Box<Packet>>,
    /// What was said: `http`, `dns`, `tls` and so on.
    #[serde(flatten)]
    pub records: Objects,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Box<Inspection>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<Box<Drop>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<Anomaly>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<Box<Flow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Box<Tcp>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Box<Stats>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ether: Option<Box<Ether>>,
    /// What carried the packet that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Box<Tunnel>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropgate: Option<Own>,
}

/// A tunnel in which a packet was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tunnel {
    /// Its ends; not there where nothing but the inner packet is at hand, and of PPPoE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_ip: Option<Short>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_ip: Option<Short>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Cow<'static, str>>,
    /// How many tunnels it is in.
    pub depth: u8,
    /// `ip`, `gre`, `vxlan` or `pppoe`.
    pub kind: &'static str,
    /// VNI of VXLAN, key of GRE, session of PPPoE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<u32>,
}

/// Objects by their names, in the order of those.
#[derive(Clone, Debug, Default)]
pub struct Objects(Vec<(&'static str, Told)>);

impl Objects {
    /// Of several with the same name the last one counts.
    pub fn of(mut all: Vec<(&'static str, Told)>) -> Self {
        all.reverse();
        all.sort_by_key(|(name, _)| *name);
        all.dedup_by_key(|(name, _)| *name);
        Self(all)
    }
}

impl Serialize for Objects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, told)| (name, told)))
    }
}

/// The link layer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ether {
    /// Of frames that are not IP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ether_type: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_mac: Option<String>,
    /// Of a flow: those of the client's side and of the server's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub src_macs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dest_macs: Vec<String>,
}

/// What rules have set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metadata {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flowbits: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub flowints: BTreeMap<String, u32>,
    /// One name each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flowvars: Vec<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pktvars: Vec<BTreeMap<String, String>>,
    /// Of buffers, in bits for each byte.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub entropy: BTreeMap<String, f64>,
}

/// What rules say that a flow is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub label: Vec<String>,
}

/// What was done with a packet.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// `alert`, `pass` or `drop`.
    pub action: &'static str,
    /// `to_client`, `to_server` or `both`: who is told that it was dropped.
    #[serde(rename = "reject-target", skip_serializing_if = "Option::is_none")]
    pub reject_target: Option<&'static str>,
    /// How: `tcp-reset` or `icmp-prohib`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reject: Vec<&'static str>,
}

/// What was said.
#[derive(Clone, Debug, Serialize)]
pub struct Payload {
    /// In base64, and with what is not printable as points.
    pub payload: String,
    pub payload_printable: String,
    /// 1: of the stream.
    pub stream: u8,
}

/// The packet.
#[derive(Clone, Debug, Serialize)]
pub struct Packet {
    /// In base64, from the first byte of the frame.
    pub packet: String,
    pub packet_info: PacketInfo,
}

/// How [`Packet`] begins.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PacketInfo {
    /// libpcap's number of the link layer: 1 is Ethernet.
    pub linktype: u32,
    pub linktype_name: &'static str,
}

/// Something that should not be.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// `allowed` or `blocked`.
    pub action: &'static str,
    pub gid: u32,
    pub signature_id: u32,
    pub rev: u32,
    pub signature: String,
    pub category: String,
    /// From 1, the highest.
    pub severity: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<End>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<End>,
    /// By name, in the rule's order.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Vec<String>>,
}

/// An end of a flow.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    pub ip: Short,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What the inspector expected, and what it found.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    pub expected: Vec<&'static str>,
    pub found: &'static str,
    /// `alert`, `drop` or `reset`.
    pub reaction: &'static str,
    pub server_port: u16,
    /// What of the flow it was said in, where that is not the whole: `STARTTLS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// How a proxy was asked: `http-connect`, `http-absolute`, `socks4` or `socks5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<&'static str>,
    /// What a proxy was asked for, with the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `client` or `server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said_by: Option<&'static str>,
    /// The first bytes of what told, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// The dropped packet.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Drop {
    /// Bytes of the IPv4 packet, or behind the IPv6 header; of the frame if it is not IP.
    pub len: u32,
    /// Of IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipid: Option<u32>,
    /// Of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tc: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hoplimit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flowlbl: Option<u32>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub flags: Option<TcpFlags>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udplen: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_seq: Option<u16>,
    pub reason: &'static str,
}

/// The rest of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TcpHeader {
    pub tcpseq: u32,
    pub tcpack: u32,
    pub tcpwin: u16,
    pub tcpres: u8,
    pub tcpurgp: u16,
}

/// Flags of a TCP segment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TcpFlags {
    pub syn: bool,
    pub ack: bool,
    pub psh: bool,
    pub rst: bool,
    pub urg: bool,
    pub fin: bool,
}

/// What was odd.
#[derive(Clone, Debug, Serialize)]
pub struct Anomaly {
    /// `decode` for what a packet alone shows, `stream` for what shows against a flow or the policy, `detect` for what rules could
    /// not look at.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What Suricata calls it (`decoder.ipv4.trunc_pkt`), where it has a name for it; else the name of the reason.
    pub event: Cow<'static, str>,
    /// Stage that found it.
    pub layer: &'static str,
}

/// A flow's account.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Flow {
    pub pkts_toserver: u64,
    pub pkts_toclient: u64,
    pub bytes_toserver: u64,
    pub bytes_toclient: u64,
    pub start: Short,
    /// At its end.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub end: Option<FlowEnd>,
    /// Before it: its client and its server, whoever sent the packet.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub ends: Option<FlowEnds>,
}

/// What a flow has come to.
#[derive(Clone, Debug, Serialize)]
pub struct FlowEnd {
    pub end: Short,
    /// Seconds.
    pub age: u64,
    /// `new`, `established`, `closed` or `bypassed`.
    pub state: &'static str,
    /// Who lets it through: `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass: Option<&'static str>,
    /// `timeout`, `forced` or `shutdown`.
    pub reason: &'static str,
    pub alerted: bool,
    /// `drop`: no more of it passes; `pass`: a rule lets it through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
}

/// Between whom a flow is.
#[derive(Clone, Debug, Serialize)]
pub struct FlowEnds {
    pub src_ip: Short,
    pub dest_ip: Short,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
}

/// Flags and state of a TCP flow.
#[derive(Clone, Debug, Serialize)]
pub struct Tcp {
    /// All that were seen, in hexadecimal; the same by direction.
    pub tcp_flags: String,
    pub tcp_flags_ts: String,
    pub tcp_flags_tc: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub syn: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rst: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub psh: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ack: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub urg: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ecn: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cwr: bool,
    pub state: &'static str,
}

/// Dropgate's own fields.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Own {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
    /// Line of the policy file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// `to_server` or `to_client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    /// `ingress` or `egress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<&'static str>,
    /// ATT&CK techniques.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limited>,
}

/// A rule that has hit its limits of work.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limited {
    pub gid: u32,
    pub signature_id: u32,
    pub rev: u32,
    /// Since it was told of last.
    pub times: u64,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

/// Counters since the programs were attached. They survive a push.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Seconds since the daemon started.
    pub uptime: u64,
    pub dropgate: StatsOwn,
}

/// The counters themselves.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StatsOwn {
    pub generation: u32,
    pub flows: u64,
    /// By reason name.
    pub reasons: BTreeMap<String, Count>,
    /// By zone name.
    pub zones: BTreeMap<String, Count>,
    /// By `zone/service`.
    pub services: BTreeMap<String, Count>,
    /// Events not made because of the rate, and because the ring was full.
    pub events_suppressed: u64,
    pub events_lost: u64,
    /// Lines that could not be written.
    pub events_unwritten: u64,
}
