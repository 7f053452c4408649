//! Flows leave inspection: at once when all that was held of them has left, or by what their receivers acknowledge.

use std::sync::atomic::Ordering;

use dropgate_abi::hold::{Settle, passes, settled};

use super::{
    work::Batch,
    worker::{Finished, Worker},
};
use crate::{clock::now_ns, inspect::Awaited};

/// Time after which a flow is looked for that the programs settle when it is acknowledged, ns: several round trips.
const LEAVES: u64 = 500_000_000;

impl Worker {
    /// Answers to what is about to leave need not be held where nothing more is wanted of their flow. Only this direction has
    /// packets that are still here, so none is overtaken.
    pub(super) fn open_other_way(&mut self, batch: &Batch) {
        let awaited = std::mem::take(&mut self.awaited);
        if !self.unsent.is_empty() {
            return;
        }
        for (id, awaited) in awaited {
            self.watch(id, &awaited, batch);
        }
        for Finished { id, app, .. } in self.finished.iter().filter(|finished| !finished.sieved) {
            let Some(flow) = self.flows.get(*id).filter(|flow| !flow.talk.keeps()) else { continue };
            if let (Some(way), Some(held)) = (flow.left(batch.number), flow.complete()) {
                let only = passes(way) as u8;
                let request = Settle { hash: flow.hash, flow: *id, held, app: *app, only, ..Settle::default() };
                self.shared.kernel.settle(&request);
            }
        }
    }

    /// So need answers not be held that have only to acknowledge what is about to leave: the programs settle the flow by that.
    fn watch(&mut self, id: u64, awaited: &Awaited, batch: &Batch) {
        let Some(flow) = self.flows.get_mut(id).filter(|flow| !flow.talk.keeps()) else { return };
        let way = awaited.direction.opposite();
        if flow.left(batch.number) != Some(way as u8) {
            return;
        }
        let Some(held) = flow.complete() else { return };
        let (only, settles_at) = (passes(way as u8) as u8, awaited.number);
        let watch = Settle {
            hash: flow.hash,
            flow: id,
            held,
            app: awaited.app,
            only,
            watches: 1,
            settles_at,
            ..Settle::default()
        };
        if self.shared.kernel.settle(&watch) == settled::DONE && flow.watched.replace(way).is_none() {
            self.watched.push_back((batch.now_ns + LEAVES, id));
        }
    }

    /// Forgets the flows that the programs have settled.
    pub(super) fn forget_settled(&mut self) {
        if self.watched.is_empty() {
            return;
        }
        let now = now_ns();
        while let Some((_, id)) = self.watched.pop_front_if(|(time, _)| *time <= now) {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            if self.shared.kernel.has_left(flow.hash, id) {
                self.shared.totals.settled.fetch_add(1, Ordering::Relaxed);
                self.flows.forget(id);
            } else {
                self.watched.push_back((now + LEAVES, id));
            }
        }
    }

    /// Lets the flows of the last round leave inspection, once their packets have all left.
    pub(super) fn settle_finished(&mut self) {
        if !self.unsent.is_empty() {
            return;
        }
        self.finished.dedup();
        for Finished { id, app, sieved } in std::mem::take(&mut self.finished) {
            let Some(flow) = self.flows.get(id) else { continue };
            let Some(held) = flow.complete().filter(|_| !flow.talk.keeps()) else { continue };
            let request = Settle { hash: flow.hash, flow: id, held, app, sieved: sieved.into(), ..Settle::default() };
            match self.shared.kernel.settle(&request) {
                // what rules know of it is needed for the next packet that they may match
                settled::DONE if sieved => {}
                settled::DONE => {
                    self.shared.totals.settled.fetch_add(1, Ordering::Relaxed);
                    self.flows.forget(id);
                }
                settled::GONE => self.flows.forget(id),
                // more of it was held meanwhile, and will be seen
                _ => {}
            }
        }
    }
}
