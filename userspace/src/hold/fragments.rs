//! Held fragments: put together, judged as the packet that they are, released as they came.

use dropgate_abi::hold::{Held, part};

use super::{
    port::SLOTS_A_PORT,
    socket::{Hands, Socket},
    work::Work,
};
use crate::{
    defragment::{Ended, Whole},
    inspect::Judged,
};

impl Work<'_> {
    /// One fragment, and the packet that it completes.
    pub(super) fn fragment(
        &mut self,
        held: &Held,
        frame: &[u8],
        (place, from, to): (u32, &mut Socket, &mut Socket),
        hands: &mut Hands,
        judged: &mut Judged,
    ) {
        let Some(rules) = self.rules.of(held.generation) else { return };
        let (time, mut ended) = ((self.now_ns, rules.fragments), Vec::new());
        if held.part == part::FIRST {
            self.flows.expect(held, self.new);
        }
        let whole = self.defragment.take((held, frame), origin(place), time, &mut ended);
        self.ended(ended);
        let Some(Whole { held, frame, fragments }) = whole else { return };
        let parts: Vec<&[u8]> = fragments.iter().map(|fragment| &*fragment.frame).collect();
        if to.room() < parts.len() {
            let _ = to.flush();
        }
        if held.part == part::FIRST {
            self.packet(&held, (&frame, &parts), (place, from, to), hands, judged);
        } else {
            parts.iter().for_each(|part| self.totals.sent(to.send(hands, part)));
        }
    }

    /// Fragments whose others have not come in time.
    pub(super) fn late_fragments(&mut self) {
        let mut ended = Vec::new();
        self.defragment.expire(self.now_ns, &mut ended);
        self.ended(ended);
    }

    /// Counts fragments that end here. A first one had a number among its flow's packets, so that the flow has seen it.
    fn ended(&mut self, ended: Vec<Ended>) {
        for Ended { held, frame, reason } in ended {
            let (walk, _) = dropgate_xdp::read(&frame);
            self.dropped(&held, reason, frame.len(), &walk);
            if held.part != part::FIRST {
                continue;
            }
            let flow = self.flows.seen(&held, self.new);
            let everything = self.rules.of(held.generation).is_some_and(|rules| rules.inspection.everything);
            if flow.talk.settled && !everything {
                self.finished.push((held.flow, flow.talk.app));
            }
        }
    }
}

/// Tells interfaces apart, and what comes in there from what leaves: a datagram's fragments may come by several queues.
const fn origin(place: u32) -> u64 {
    let outward = place % SLOTS_A_PORT == SLOTS_A_PORT - 1;
    (place / SLOTS_A_PORT) as u64 * 2 + outward as u64
}
