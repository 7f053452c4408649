//! What becomes of the packets that the programs hold: the inspector of a gateway, with the capture's clock.

use super::{EventSink, Judge, lines::Lines};
use crate::{
    events::{self, Clock, Names},
    inspect::{Desk, Finding, Outlet, Rules},
    policy::model::Reaction,
};
use dropgate_abi::{
    hold::{Held, Settle, settled},
    reason::Reason,
    walk::Walk,
};
use std::{collections::HashMap, sync::Arc};

/// After this long without a packet a flow is forgotten, at the latest after twice that.
const IDLE_NS: u64 = 60_000_000_000;

/// An inspector of one capture.
pub struct Inspector {
    desk: Desk,
    /// Of flows that have not ended.
    found: HashMap<u64, (Reason, Reaction)>,
    aged_ns: u64,
}

/// Where its decisions go.
pub struct Outside<'a, 'e, J> {
    pub judge: &'a mut J,
    pub lines: &'a mut Lines,
    pub events: Option<&'a mut EventSink<'e>>,
    pub names: &'a Names,
    pub clock: &'a Clock,
    pub now_ns: u64,
}

impl Inspector {
    /// One that has seen nothing yet.
    pub fn new(rules: Arc<Rules>) -> Self {
        let mut desk = Desk::default();
        desk.rules(0, rules);
        Self { desk, found: HashMap::new(), aged_ns: super::START_NS }
    }

    /// Judges a packet.
    pub fn packet<J: Judge>(&mut self, held: &Held, frame: &[u8], outside: Outside<'_, '_, J>) {
        let now_ns = outside.now_ns;
        let mut answers = Answers { outside, found: &mut self.found };
        self.desk.packet(held, frame, (0, now_ns, false), &mut answers);
        self.desk.done(now_ns, false, &mut answers);
    }

    /// Time has passed: what has waited long enough leaves; `all`: everything that waits.
    pub fn pass_time<J: Judge>(&mut self, all: bool, outside: Outside<'_, '_, J>) {
        let now_ns = outside.now_ns;
        self.desk.done(now_ns, all, &mut Answers { outside, found: &mut self.found });
        if now_ns.saturating_sub(self.aged_ns) > IDLE_NS {
            self.aged_ns = now_ns;
            self.desk.age();
        }
    }

    /// A flow has ended: what was found out about it, and what it speaks where its entry in the table does not say.
    pub fn ended(&mut self, flow: u64) -> (Option<(Reason, Reaction)>, Option<u8>) {
        let app = self.desk.talk(flow).map(|talk| talk.app).filter(|app| *app != 0);
        self.desk.forget(flow);
        (self.found.remove(&flow), app)
    }
}

struct Answers<'a, 'e, 'f, J> {
    outside: Outside<'a, 'e, J>,
    found: &'f mut HashMap<u64, (Reason, Reaction)>,
}

impl<J: Judge> Outlet for Answers<'_, '_, '_, J> {
    fn release(&mut self, _place: u32, frame: &[u8]) {
        self.outside.lines.released(frame);
    }

    fn kept(&mut self) {}

    fn dropped(&mut self, held: &Held, walk: &Walk, reason: Reason, frame: &[u8]) {
        let Outside { lines, events, names, clock, now_ns, .. } = &mut self.outside;
        lines.dropped(frame, reason);
        if let Some(events) = events {
            events::inspection::dropped(held, walk, reason, *now_ns, names, clock).iter().for_each(events);
        }
    }

    fn found(&mut self, held: &Held, walk: &Walk, finding: &Finding) {
        self.found.insert(held.flow, (finding.reason, finding.reaction));
        let Outside { events, names, clock, now_ns, .. } = &mut self.outside;
        if let Some(events) = events {
            events(&events::inspection::found(held, walk, finding, *now_ns, names, clock));
        }
    }

    /// A capture holds no answer to it.
    fn reset(&mut self, _place: u32, _onward: &[u8], _back: &[u8]) {}

    fn settle(&mut self, request: &Settle) -> u32 {
        if request.drop_reason != 0 {
            self.outside.lines.condemned(request.flow, Reason(request.drop_reason.into()));
        }
        self.outside.judge.settle(request).unwrap_or(settled::BUSY)
    }
}
