//! Lines of packets in the order of the capture, while the fate of some is still open.

use super::line::Line;
use crate::events::Clock;
use dropgate_abi::{reason::Reason, walk::Walk};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{DefaultHasher, Hasher as _},
};

/// Lines that may stand behind one whose packet is still held. More go before it.
const BEHIND: usize = 4096;
/// Packets that may be held at once. Of those beyond it the oldest is given up.
const OPEN: usize = 1 << 16;

/// A line with what its packet's walk was, and the clock of that.
pub struct Entry {
    pub line: Line,
    pub judged: Option<(Walk, Clock)>,
    /// Of a packet that is still held: its bytes' hash, and its flow.
    open: Option<(u64, u64)>,
}

/// The lines of one capture that were not shown yet.
#[derive(Default)]
pub struct Lines {
    /// By number of the packet.
    entries: BTreeMap<u64, Entry>,
    /// Packets that are held, by the hash of their bytes: those that are alike are as good as one another.
    held: HashMap<u64, VecDeque<u64>>,
    open: usize,
}

impl Lines {
    /// A packet whose fate is known.
    pub fn push(&mut self, line: Line, judged: Option<(Walk, Clock)>) {
        self.entries.insert(line.frame, Entry { line, judged, open: None });
    }

    /// A packet that is held.
    pub fn hold(&mut self, line: Line, judged: (Walk, Clock), flow: u64, frame: &[u8]) {
        let (number, hash) = (line.frame, hash(frame));
        self.held.entry(hash).or_default().push_back(number);
        self.open += 1;
        self.entries.insert(number, Entry { line, judged: Some(judged), open: Some((hash, flow)) });
    }

    /// A packet that was held has left.
    pub fn released(&mut self, frame: &[u8]) {
        if let Some(entry) = self.take(frame) {
            entry.line.released();
        }
    }

    /// A packet that was held ended. The last one of those alike: it came just now.
    pub fn dropped(&mut self, frame: &[u8], reason: Reason) {
        let hash = hash(frame);
        let Some(number) = self.held.get_mut(&hash).and_then(VecDeque::pop_back) else { return };
        if let Some(entry) = self.settle(number, hash) {
            entry.line.dropped(reason);
        }
    }

    /// Whatever is held of a flow ended.
    pub fn condemned(&mut self, flow: u64, reason: Reason) {
        let of_flow = |(number, entry): (&u64, &Entry)| match entry.open {
            Some((hash, of)) if of == flow => Some((*number, hash)),
            _ => None,
        };
        let held: Vec<(u64, u64)> = self.entries.iter().filter_map(of_flow).collect();
        for (number, hash) in held {
            self.forget(number, hash);
            if let Some(entry) = self.settle(number, hash) {
                entry.line.dropped(reason);
            }
        }
    }

    /// Lines that can be shown. `end`: nothing more comes, and what is held stays so.
    pub fn ready(&mut self, end: bool) -> Vec<Entry> {
        let mut ready = Vec::new();
        while let Some(first) = self.entries.first_entry() {
            let number = *first.key();
            match first.get().open {
                Some((hash, _)) if end || self.open > OPEN => {
                    self.forget(number, hash);
                    if let Some(entry) = self.settle(number, hash) {
                        entry.line.kept();
                    }
                }
                Some(_) => break,
                None => ready.push(first.remove()),
            }
        }
        if self.entries.len() - self.open > BEHIND {
            let closed = |(number, entry): (&u64, &Entry)| entry.open.is_none().then_some(*number);
            let numbers: Vec<u64> = self.entries.iter().filter_map(closed).collect();
            ready.extend(numbers.into_iter().filter_map(|number| self.entries.remove(&number)));
        }
        ready
    }

    /// The first packet of those that are alike is held no more.
    fn take(&mut self, frame: &[u8]) -> Option<&mut Entry> {
        let hash = hash(frame);
        let number = self.held.get_mut(&hash)?.pop_front()?;
        self.settle(number, hash)
    }

    fn forget(&mut self, number: u64, hash: u64) {
        if let Some(alike) = self.held.get_mut(&hash) {
            alike.retain(|held| *held != number);
        }
    }

    fn settle(&mut self, number: u64, hash: u64) -> Option<&mut Entry> {
        if self.held.get(&hash).is_some_and(VecDeque::is_empty) {
            self.held.remove(&hash);
        }
        let entry = self.entries.get_mut(&number)?;
        if entry.open.take().is_some() {
            self.open -= 1;
        }
        Some(entry)
    }
}

fn hash(frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(frame);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropgate_abi::walk::action;

    fn line(frame: u64) -> Line {
        Line::unjudged(frame, 0, "pass", "held", None)
    }

    fn hold(lines: &mut Lines, number: u64, frame: &[u8]) {
        let walk = Walk { action: action::HOLD, ..Walk::default() };
        lines.hold(line(number), (walk, Clock::fixed(0, 0)), 7, frame);
    }

    fn shown(lines: &mut Lines, end: bool) -> Vec<(u64, &'static str, Option<&'static str>)> {
        lines.ready(end).into_iter().map(|entry| (entry.line.frame, entry.line.action, entry.line.inspector)).collect()
    }

    #[test]
    fn lines_stand_in_the_order_of_packets() {
        let mut lines = Lines::default();
        hold(&mut lines, 1, b"one");
        hold(&mut lines, 2, b"two");
        lines.push(line(3), None);
        lines.released(b"two");
        assert!(shown(&mut lines, false).is_empty());
        lines.released(b"one");
        assert_eq!(
            shown(&mut lines, false),
            [(1, "pass", Some("released")), (2, "pass", Some("released")), (3, "pass", None)]
        );
    }

    #[test]
    fn of_packets_alike_the_first_leaves_first_and_the_last_is_dropped() {
        let mut lines = Lines::default();
        hold(&mut lines, 1, b"same");
        hold(&mut lines, 2, b"same");
        lines.dropped(b"same", Reason::tcp_checksum);
        lines.released(b"same");
        assert_eq!(shown(&mut lines, false), [(1, "pass", Some("released")), (2, "drop", Some("dropped"))]);
    }

    #[test]
    fn what_is_held_at_the_end_never_left() {
        let mut lines = Lines::default();
        hold(&mut lines, 1, b"early");
        lines.push(line(2), None);
        assert!(shown(&mut lines, false).is_empty());
        assert_eq!(shown(&mut lines, true), [(1, "drop", Some("kept")), (2, "pass", None)]);
        assert!(lines.held.is_empty() && lines.open == 0);
    }

    #[test]
    fn a_flow_ends_with_all_that_is_held_of_it() {
        let mut lines = Lines::default();
        hold(&mut lines, 1, b"one");
        hold(&mut lines, 2, b"two");
        lines.condemned(8, Reason::app_mismatch);
        assert!(shown(&mut lines, false).is_empty());
        lines.condemned(7, Reason::app_mismatch);
        assert_eq!(shown(&mut lines, false), [(1, "drop", Some("dropped")), (2, "drop", Some("dropped"))]);
    }

    #[test]
    fn one_that_is_held_for_long_keeps_few_back() {
        let mut lines = Lines::default();
        hold(&mut lines, 1, b"one");
        let mut shown = 0;
        for number in 2..20_000 {
            lines.push(line(number), None);
            shown += lines.ready(false).len();
            assert!(lines.entries.len() <= BEHIND + 2);
        }
        assert!(shown > 19_998 - BEHIND - 2);
    }
}
