//! Which of several lines has a destination: the first one that holds it.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use super::addresses::{Run, Set};

/// How far an analysis goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Steps that it may take: leaps from run to run, and runs copied.
    pub steps: u64,
    /// A destination set of more parts than this is asked each time, not copied.
    pub copied: usize,
}

impl Default for Bounds {
    /// A few seconds, of which the largest policies of an ordinary kind need a twentieth.
    fn default() -> Self {
        Self { steps: 10_000_000, copied: 64 }
    }
}

/// What is left of [`Bounds::steps`]. At zero the analysis ends.
#[derive(Debug)]
pub struct Budget {
    left: Cell<u64>,
    copied: usize,
}

impl Budget {
    pub const fn new(bounds: Bounds) -> Self {
        Self { left: Cell::new(bounds.steps), copied: bounds.copied }
    }

    /// Takes some steps, if there are as many.
    pub fn take(&self, steps: usize) {
        self.left.set(self.left.get().saturating_sub(steps as u64));
    }

    /// Whether it is used up.
    pub fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}

/// The destinations that lines have taken, of both families.
#[derive(Default)]
pub struct Decided {
    /// By family and first address: the last one, and whose they are.
    taken: [BTreeMap<u128, (u128, u32)>; 2],
    /// Lines with more destinations than are copied, in order.
    large: Vec<(u32, Arc<Set>)>,
}

impl Decided {
    /// Gives a line what the lines before it have left of a set. Lines come in their order.
    pub fn give(&mut self, line: u32, set: &Arc<Set>, budget: &Budget) {
        if set.parts() > budget.copied {
            self.large.push((line, Arc::clone(set)));
            return;
        }
        for v6 in [false, true] {
            let mut next = set.next(v6, 0);
            while let Some((first, last)) = next {
                self.fill(v6, (first, last), line, budget);
                next = last.checked_add(1).and_then(|at| set.next(v6, at));
            }
        }
    }

    fn fill(&mut self, v6: bool, (first, last): Run, line: u32, budget: &Budget) {
        let taken = &mut self.taken[usize::from(v6)];
        let mut at = Some(first);
        while let Some(from) = at.filter(|at| *at <= last) {
            budget.take(1);
            if budget.is_spent() {
                return;
            }
            let end = match taken.range(..=from).next_back() {
                Some((_, (end, _))) if *end >= from => *end,
                _ => {
                    let end = taken.range(from..).next().map_or(last, |(next, _)| last.min(next - 1));
                    taken.insert(from, (end, line));
                    end
                }
            };
            at = end.checked_add(1);
        }
    }

    /// The line that has an address, and the last address up to which nothing changes about that.
    fn at(&self, v6: bool, address: u128) -> (Option<u32>, u128) {
        let taken = &self.taken[usize::from(v6)];
        let (mut line, mut last) = match taken.range(..=address).next_back() {
            Some((_, (end, line))) if *end >= address => (Some(*line), *end),
            _ => {
                let next = taken.range((Bound::Excluded(address), Bound::Unbounded)).next();
                (None, next.map_or(u128::MAX, |(next, _)| next - 1))
            }
        };
        for (other, set) in &self.large {
            if line.is_some_and(|line| line < *other) {
                break;
            }
            match set.next(v6, address) {
                Some((first, end)) if first == address => {
                    line = Some(*other);
                    last = last.min(end);
                    break;
                }
                Some((first, _)) => last = last.min(first - 1),
                None => {}
            }
        }
        (line, last)
    }

    /// Shows the addresses of a set within another one, in order, with the line that has them, until the budget is spent.
    pub fn walk(
        &self,
        v6: bool,
        (set, within): (&Set, &Set),
        budget: &Budget,
        mut visit: impl FnMut(Option<u32>, Run) -> ControlFlow<()>,
    ) {
        let mut at = Some(0);
        while let Some((first, last)) = at.and_then(|at| set.next(v6, at)) {
            budget.take(1 + self.large.len());
            if budget.is_spent() {
                return;
            }
            let Some((open, end)) = within.next(v6, first) else { break };
            if open > first {
                at = Some(open);
                continue;
            }
            let (line, until) = self.at(v6, first);
            let last = last.min(end).min(until);
            if visit(line, (first, last)).is_break() {
                break;
            }
            at = last.checked_add(1);
        }
    }
}
