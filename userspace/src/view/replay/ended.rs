//! What is shown of one flow at its end.

use super::inspector::Known;
use crate::{
    events::{Clock, Names, eve::Short},
    inspect::{Expected, Rules},
    policy::model::Reaction,
    protocol::Protocol,
    view::flows::{self, FlowView},
};
use dropgate_abi::flow::{Flow, flag};
use serde::Serialize;

/// A flow, and what it came to. One JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct FlowLine {
    /// `flow`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name of the capture, when a run has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Time of its first packet.
    pub start: Short,
    /// What may be spoken on it; `null` where nothing is inspected.
    pub expected: Option<Vec<&'static str>>,
    /// The verdict is `alert` or `reset` where that was the reaction to what it spoke.
    #[serde(flatten)]
    pub view: FlowView,
}

impl FlowLine {
    /// The line of a flow that ends at monotonic time `now_ns`. `known`: what the inspector knows of it.
    pub fn new(
        flow: &Flow,
        now_ns: u64,
        (names, clock): (&Names, &Clock),
        rules: Option<&Rules>,
        known: Known,
    ) -> Self {
        let mut view = flows::view(flow, now_ns, names);
        if let Some((reason, reaction)) = known.found {
            view.reason = Some(reason.name());
            view.verdict = match reaction {
                Reaction::Alert => "alert",
                Reaction::Drop => "drop",
                Reaction::Reset => "reset",
            };
        }
        let port = view.dport.unwrap_or_default();
        let inspected = rules.filter(|_| flow.flags & flag::INSPECT != 0);
        let service = Expected::Service { counter: flow.service, udp: flow.key.protocol == UDP, port };
        let own = Protocol::numbered(known.announced).map_or(service, Expected::Announced);
        Self {
            kind: "flow",
            file: None,
            start: clock.format(flow.start_ns(now_ns)),
            expected: inspected.map(|rules| rules.expected(own)),
            view,
        }
    }
}

const UDP: u8 = 17;
