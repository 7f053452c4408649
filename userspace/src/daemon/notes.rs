//! What the inspector knows of flows, until the programs say that they have ended.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::inspect::Note;

/// Flows that are remembered. Of those beyond it the one that was noticed first is told without.
const MOST: usize = 1 << 16;

/// Notes by flow.
#[derive(Default)]
pub struct Notes {
    held: HashMap<u64, Arc<Note>>,
    /// In the order in which they came; some of them are gone.
    order: VecDeque<u64>,
}

impl Notes {
    /// What is to be told of a flow is this now.
    pub fn keep(&mut self, flow: u64, note: &Arc<Note>) {
        if self.held.insert(flow, Arc::clone(note)).is_some() {
            return;
        }
        self.order.push_back(flow);
        while self.held.len() > MOST || self.order.len() > 2 * MOST {
            let Some(oldest) = self.order.pop_front() else { return };
            self.held.remove(&oldest);
        }
    }

    /// A flow has ended.
    pub fn take(&mut self, flow: u64) -> Option<Arc<Note>> {
        self.held.remove(&flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let (mut notes, note) = (Notes::default(), Arc::default());
        for flow in 0..3 * MOST as u64 {
            notes.keep(flow, &note);
            assert!(notes.held.len() <= MOST && notes.order.len() <= 2 * MOST);
        }
        assert!(notes.take(0).is_none());
        assert!(notes.take(3 * MOST as u64 - 1).is_some() && notes.take(3 * MOST as u64 - 1).is_none());
        for flow in 0..3 * MOST as u64 {
            notes.keep(flow, &note);
            notes.take(flow);
        }
        assert!(notes.order.len() <= 2 * MOST);
    }
}
