//! What is shown of one packet.

use std::{borrow::Cow, sync::Arc};

use crate::{
    events::{Names, eve::Short},
    view::{
        ports::Place,
        text::{self, endpoint, protocol},
    },
};
use dropgate_abi::{
    reason::Reason,
    tunnel,
    walk::{Walk, action, hook},
};
use serde::Serialize;

/// A verdict, or why there is none. One JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// `packet`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name of the capture, when a run has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Number of the packet in its capture, from 1.
    pub frame: u64,
    /// Time of capture.
    pub time: Short,
    /// `pass`, `drop`; `skip` for what cannot become a frame, `error` when the program could not be asked.
    pub action: &'static str,
    pub reason: String,
    /// What the inspector did with a packet that was held: `released`, `dropped`, or `kept` to the capture's end, because
    /// what came before it in its stream never came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspector: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    pub zone: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Arc<str>>,
    pub service: Option<Arc<str>>,
    /// Line of the policy file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    pub flow: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Cow<'static, str>>,
    /// Of a frame whose IP header was not read: it is no IP packet, or the reason says what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ethertype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<&'static str>,
    /// The tunnel in which the packet was found: `ip`, `gre`, `vxlan` or `pppoe`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub tunnel: &'static str,
    /// The snap length cut this packet; what was cut is zeros.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// More about a skip or an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Line {
    /// The line of a packet that was not shown to the programs.
    pub fn unjudged(frame: u64, timestamp_ns: u64, action: &'static str, reason: &str, detail: Option<String>) -> Self {
        Self {
            kind: "packet",
            file: None,
            frame,
            time: crate::events::format_time(timestamp_ns.into()),
            action,
            reason: reason.to_owned(),
            inspector: None,
            stage: None,
            zone: None,
            peer: None,
            service: None,
            line: None,
            flow: None,
            direction: None,
            src: None,
            sport: None,
            dst: None,
            dport: None,
            proto: None,
            ethertype: None,
            interface: None,
            hook: None,
            tunnel: "",
            cut: false,
            detail,
        }
    }

    /// The line of a packet that the programs have judged.
    pub fn judged(frame: u64, timestamp_ns: u64, walk: &Walk, place: &Place, names: &Names) -> Self {
        let known = walk.family != 0;
        let ports = known && walk.l4 != 0 && matches!(walk.protocol, 6 | 17 | 132);
        let service = names.service(walk.service);
        Self {
            stage: walk.reason.info().map(|info| info.stage.name()),
            zone: names.zone(walk.zone),
            peer: names.zone(walk.peer),
            service: service.map(|service| service.name.clone()),
            line: (walk.line != 0).then_some(walk.line).or_else(|| service.map(|service| service.line)),
            flow: (walk.flow_id != 0).then_some(walk.flow_id),
            direction: (walk.flow_id != 0).then_some(if walk.direction == 0 { "to_server" } else { "to_client" }),
            src: known.then(|| text::address(walk.family, walk.src)),
            sport: ports.then_some(walk.sport),
            dst: known.then(|| text::address(walk.family, walk.dst)),
            dport: ports.then_some(walk.dport),
            proto: known.then(|| protocol(walk.protocol)),
            ethertype: (!known && walk.ethertype != 0).then(|| text::ethertype(walk.ethertype)),
            interface: names.interface(place.ifindex),
            hook: Some(if place.hook == hook::EGRESS { "egress" } else { "ingress" }),
            tunnel: tunnel::kind::name(walk.tunnel),
            ..Self::unjudged(frame, timestamp_ns, verdict(walk), walk.reason.name(), None)
        }
    }

    /// It was held, and has left.
    pub const fn released(&mut self) {
        self.inspector = Some("released");
    }

    /// It was held, and ended.
    pub fn dropped(&mut self, reason: Reason) {
        self.action = "drop";
        self.inspector = Some("dropped");
        reason.name().clone_into(&mut self.reason);
        self.stage = reason.info().map(|info| info.stage.name());
    }

    /// It was held, and never left.
    pub const fn kept(&mut self) {
        self.action = "drop";
        self.inspector = Some("kept");
    }

    /// For people: one aligned line.
    pub fn human(&self) -> String {
        let family = if self.src.as_deref().is_some_and(|src| src.contains(':')) { 6 } else { 4 };
        let end = |address: &Option<String>, port: Option<u16>| match (address, port) {
            (Some(address), Some(port)) if family == 6 => format!("[{address}]:{port}"),
            (Some(address), Some(port)) => format!("{address}:{port}"),
            (Some(address), None) => address.clone(),
            (None, _) => "-".to_owned(),
        };
        let tuple = match (&self.proto, self.detail.as_ref().or(self.ethertype.as_ref())) {
            (Some(proto), _) => format!("{proto} {} -> {}", end(&self.src, self.sport), end(&self.dst, self.dport)),
            (None, Some(known)) => known.clone(),
            (None, None) => "-".to_owned(),
        };
        let place = match (&self.zone, &self.peer) {
            (Some(zone), Some(peer)) => format!("  {zone} -> {peer}"),
            (Some(zone), None) => format!("  {zone}"),
            _ => String::new(),
        };
        let service = match (&self.service, self.line) {
            (Some(name), Some(line)) => format!("  `{name}` line {line}"),
            (Some(name), None) => format!("  `{name}`"),
            (None, Some(line)) => format!("  line {line}"),
            (None, None) => String::new(),
        };
        let inspector = self.inspector.map(|what| format!("  ({what})")).unwrap_or_default();
        let cut = if self.cut { "  (cut)" } else { "" };
        format!("{:>7}  {:<5} {:<24} {tuple}{place}{service}{inspector}{cut}", self.frame, self.action, self.reason)
    }
}

/// `pass`, `drop`, or `error` for an action that is neither.
pub fn verdict(walk: &Walk) -> &'static str {
    match walk.action {
        action::PASS => "pass",
        action::DROP => "drop",
        // the inspector has the last word
        action::HOLD => "pass",
        _ => "error",
    }
}

/// Source and destination of a walk, for people.
pub fn ends(walk: &Walk) -> (String, String) {
    let ports = walk.l4 != 0 && matches!(walk.protocol, 6 | 17 | 132);
    (
        endpoint(walk.family, walk.src, ports.then_some(walk.sport)),
        endpoint(walk.family, walk.dst, ports.then_some(walk.dport)),
    )
}
