//! What another flow has announced about the flow of a packet that is explained.

use std::borrow::Cow;

use crate::protocol::Protocol;
use dropgate_abi::{
    flow::{Flow, TICK_SHIFT},
    hold::RELATED,
    reason::Stage,
    related::{self, flag},
    walk::{Walk, action},
};
use serde::Serialize;

/// An announcement, and what it does for a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// It is why the packet's flow is allowed.
    pub admits: bool,
    /// Why it is not: `used` (the one flow that was announced has begun), `late` (it has not begun in time), or `denied` (the
    /// policy does not allow the flow that announced it).
    pub refused: Option<&'static str>,
    /// Port and protocol of the flow that announced it, at its server; `null` where that is forgotten.
    pub control_port: Option<u16>,
    pub control_proto: Option<Cow<'static, str>>,
    /// What it is to speak; `null`: anything, and nobody looks.
    pub announced: Option<&'static str>,
}

/// What was announced about the flow of a packet, where that decides: the flow is allowed for it, or nothing allows it.
/// `entry`: the announcement, while it is remembered.
pub fn related(walk: &Walk, flow: Option<&Flow>, entry: Option<&related::Related>) -> Option<Related> {
    let admits = flow.is_some_and(|flow| flow.hold & RELATED != 0);
    let denied = walk.action == action::DROP && walk.reason.info().is_some_and(|info| info.stage == Stage::Policy);
    if !admits && (!denied || entry.is_none()) {
        return None;
    }
    let now = (walk.now_ns >> TICK_SHIFT) as u32;
    let refused = entry.filter(|_| !admits).map(|entry| {
        if entry.flags & flag::ONCE != 0 && entry.begun != 0 {
            "used"
        } else if entry.is_late(now) {
            "late"
        } else {
            "denied"
        }
    });
    Some(Related {
        admits,
        refused,
        control_port: entry.map(|entry| entry.port),
        control_proto: entry.map(|entry| super::text::protocol(entry.protocol)),
        announced: entry.and_then(|entry| Protocol::app_proto(entry.app)),
    })
}

impl std::fmt::Display for Related {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "announced by another flow")?;
        if let (Some(port), Some(proto)) = (self.control_port, &self.control_proto) {
            write!(f, " ({proto} port {port})")?;
        }
        if let Some(name) = self.announced {
            write!(f, " as {name}")?;
        }
        match self.refused {
            Some("used") => write!(f, ", and the one flow that it announced has begun"),
            Some("late") => write!(f, ", too long ago"),
            Some(_) => write!(f, ", which the policy does not allow"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropgate_abi::reason::Reason;

    #[test]
    fn why_an_announcement_admits_or_not() {
        let dropped =
            Walk { now_ns: 100 << TICK_SHIFT, reason: Reason::not_allowed, action: action::DROP, ..Walk::default() };
        let entry = related::Related { expires: 101, port: 21, protocol: 6, flags: flag::ONCE, ..Default::default() };
        let says = |walk: &Walk, flow: Option<&Flow>, entry: Option<related::Related>| {
            related(walk, flow, entry.as_ref()).map(|found| found.to_string())
        };
        let of = |entry: related::Related| says(&dropped, None, Some(entry)).unwrap();
        assert_eq!(of(entry), "announced by another flow (TCP port 21), which the policy does not allow");
        assert_eq!(
            of(related::Related { expires: 100, ..entry }),
            "announced by another flow (TCP port 21), too long ago"
        );
        let used = related::Related { begun: 1, ..entry };
        assert_eq!(of(used), "announced by another flow (TCP port 21), and the one flow that it announced has begun");
        // what allows the flow is no matter of announcements
        let passed = Walk { reason: Reason::allowed, action: action::PASS, ..dropped };
        assert_eq!(says(&passed, Some(&Flow::default()), Some(entry)), None);
        assert_eq!(says(&dropped, None, None), None);
        let flow = Flow { hold: RELATED, ..Flow::default() };
        let media = related::Related { app: Protocol::Rtp.number(), ..used };
        let admitted = says(&passed, Some(&flow), Some(media)).unwrap();
        assert_eq!(admitted, "announced by another flow (TCP port 21) as rtp");
        assert_eq!(says(&passed, Some(&flow), None).unwrap(), "announced by another flow");
    }
}
