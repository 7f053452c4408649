//! What inspection has to do with a packet that is explained.

use crate::{
    inspect::{Expected, Rules},
    policy::model::Reaction,
    protocol::Protocol,
};
use dropgate_abi::{
    flow::{Flow, flag},
    hold::{RELATED, SETTLED},
    reason::Reason,
    walk::{Walk, action},
};
use serde::Serialize;

/// What the inspector would do, and what is known of the flow.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The packet is handed to the inspector.
    pub inspected: bool,
    /// What may be spoken on its flow; `null` where that is not known: the policy in force is not at hand.
    pub expected: Option<Vec<&'static str>>,
    /// What the flow speaks; `failed`: nothing that is known; `null` while nobody has said.
    pub app_proto: Option<&'static str>,
    /// Nothing more is wanted of the flow.
    pub settled: bool,
    /// Why the inspector has ended the flow.
    pub ended: Option<&'static str>,
    /// What follows if something else is spoken, nothing that is known, or nothing that shows in time.
    pub reactions: Option<Reactions>,
}

/// See [`Inspection::reactions`].
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reactions {
    pub mismatch: &'static str,
    pub unknown: &'static str,
    pub pending: &'static str,
}

const UDP: u8 = 17;

/// What inspection has to do with a packet of a flow; `None` for one whose flow is not inspected.
pub fn inspection(walk: &Walk, flow: Option<&Flow>, rules: Option<&Rules>) -> Option<Inspection> {
    let inspected = walk.action == action::HOLD;
    let flow = flow.filter(|flow| flow.flags & flag::INSPECT != 0);
    if !inspected && flow.is_none() {
        return None;
    }
    let port = if walk.direction == 0 { walk.dport } else { walk.sport };
    let service = Expected::Service { counter: walk.service, udp: walk.protocol == UDP, port };
    let announced = flow.filter(|flow| flow.hold & RELATED != 0).and_then(|flow| Protocol::numbered(flow.app));
    let own = announced.map_or(service, Expected::Announced);
    let ended = flow.filter(|flow| flow.drop_reason != 0).map(|flow| Reason(flow.drop_reason.into()).name());
    Some(Inspection {
        inspected,
        expected: rules.map(|rules| rules.expected(own)),
        app_proto: flow.and_then(|flow| Protocol::app_proto(flow.spoken())),
        settled: flow.is_some_and(|flow| flow.hold & SETTLED != 0),
        ended,
        reactions: rules.map(|rules| Reactions {
            mismatch: name(rules.inspection.mismatch),
            unknown: name(rules.inspection.unknown),
            pending: name(rules.inspection.pending),
        }),
    })
}

const fn name(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Alert => "alert",
        Reaction::Drop => "drop",
        Reaction::Reset => "reset",
    }
}

impl std::fmt::Display for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = match (self.app_proto, self.inspected) {
            (Some("failed"), _) => "speaks nothing that is known",
            (Some(name), _) => name,
            (None, true) => "not known yet what is spoken",
            (None, false) => "never known what was spoken",
        };
        match (self.ended, self.settled, self.inspected) {
            (Some(reason), ..) => write!(f, "ended by the inspector ({reason}): {known}")?,
            (None, true, _) => write!(f, "nothing more is wanted of the flow: {known}")?,
            (None, false, true) => write!(f, "would be held and inspected: {known}")?,
            (None, false, false) => write!(f, "of an inspected flow: {known}")?,
        }
        match self.expected.as_deref() {
            Some([]) => write!(f, "; nothing that is known is expected")?,
            Some(names) => write!(f, "; expected {}", names.join(" or "))?,
            None => {}
        }
        match &self.reactions {
            Some(Reactions { mismatch, unknown, pending }) => {
                write!(f, "; mismatch: {mismatch}, unknown: {unknown}, pending: {pending}")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_flow_of_a_web_port() {
        let walk = Walk { action: action::HOLD, protocol: 6, dport: 443, flow_id: 7, ..Walk::default() };
        let text = inspection(&walk, None, Some(&Rules::default())).unwrap().to_string();
        assert_eq!(
            text,
            "would be held and inspected: not known yet what is spoken; expected tls; mismatch: drop, unknown: alert, \
             pending: alert"
        );
    }

    #[test]
    fn flows_that_have_left_inspection() {
        let walk = Walk { action: action::PASS, protocol: 6, sport: 22, direction: 1, ..Walk::default() };
        let flow = Flow { flags: flag::INSPECT, hold: SETTLED, app: Protocol::Ssh.number(), ..Flow::default() };
        assert_eq!(
            inspection(&walk, Some(&flow), None).unwrap().to_string(),
            "nothing more is wanted of the flow: ssh"
        );
        let ended = Flow { drop_reason: Reason::app_mismatch.0 as u8, ..flow };
        let text = inspection(&walk, Some(&ended), None).unwrap().to_string();
        assert_eq!(text, "ended by the inspector (app_mismatch): ssh");
        assert!(inspection(&walk, Some(&Flow::default()), None).is_none());
    }

    #[test]
    fn what_was_announced_is_expected() {
        let walk = Walk { action: action::HOLD, protocol: 17, dport: 40_000, ..Walk::default() };
        let flow = Flow { flags: flag::INSPECT, hold: RELATED, app: Protocol::Rtp.number(), ..Flow::default() };
        let found = inspection(&walk, Some(&flow), Some(&Rules::default())).unwrap();
        assert_eq!(found.expected.as_deref(), Some(&["rtp", "stun", "dtls"][..]));
        assert_eq!(found.app_proto, None);
        let found = inspection(&walk, Some(&Flow { hold: RELATED | SETTLED, ..flow }), None).unwrap();
        assert_eq!(found.app_proto, Some("rtp"));
    }
}
