//! Sets of addresses as runs, which are leapt over rather than listed: a million of them cost no more than their look-up.

use std::sync::Arc;

use crate::policy::prefix::Prefix;

/// The first and the last of some addresses of one family in a row, as [`Prefix::span`] has them.
pub type Run = (u128, u128);

/// Runs of both families, in order, that do not touch one another.
#[derive(Debug, Default)]
pub struct Runs {
    v4: Vec<(u32, u32)>,
    v6: Vec<Run>,
}

impl Runs {
    /// Those of prefixes in any order.
    pub fn of(mut prefixes: Vec<Prefix>) -> Self {
        prefixes.sort_unstable();
        Self::sorted(&prefixes)
    }

    /// Those of prefixes in order.
    pub fn sorted(prefixes: &[Prefix]) -> Self {
        let mut runs = Self::default();
        prefixes.iter().for_each(|prefix| runs.push(prefix.is_v6(), prefix.span()));
        runs
    }

    /// Every address of both families.
    pub fn all() -> Self {
        Self::sorted(&[Prefix::ALL_V4, Prefix::ALL_V6])
    }

    /// Adds a run that begins no earlier than the last one of its family.
    pub fn push(&mut self, v6: bool, (first, last): Run) {
        if v6 {
            match self.v6.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                _ => self.v6.push((first, last)),
            }
        } else {
            let (first, last) = (first as u32, last as u32);
            match self.v4.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                _ => self.v4.push((first, last)),
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The first run that reaches `at` or begins behind it, without what lies before `at`.
    fn next(&self, v6: bool, at: u128) -> Option<Run> {
        let (first, last) = if v6 {
            *self.v6.get(self.v6.partition_point(|run| run.1 < at))?
        } else {
            let (first, last) = *self.v4.get(self.v4.partition_point(|run| u128::from(run.1) < at))?;
            (first.into(), last.into())
        };
        Some((first.max(at), last))
    }
}

/// Addresses: those of some runs without those of others.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub include: Vec<Arc<Runs>>,
    pub except: Vec<Arc<Runs>>,
}

impl Set {
    /// Addresses in a row from `at` on, if there are any.
    pub fn next(&self, v6: bool, mut at: u128) -> Option<Run> {
        let earliest = |all: &[Arc<Runs>], at| all.iter().filter_map(|runs| runs.next(v6, at)).min();
        loop {
            let (first, last) = earliest(&self.include, at)?;
            match earliest(&self.except, first) {
                Some((hole, end)) if hole == first => at = end.checked_add(1)?,
                Some((hole, _)) => return Some((first, last.min(hole - 1))),
                None => return Some((first, last)),
            }
        }
    }

    /// A bound on the runs it is made of.
    pub fn parts(&self) -> usize {
        self.include.iter().chain(&self.except).map(|runs| runs.len()).sum()
    }
}

/// Whether some sets have an address of a run in common.
pub fn meet(sets: &[Set], v6: bool, (mut at, last): Run) -> bool {
    loop {
        let from = at;
        for set in sets {
            match set.next(v6, at) {
                Some((first, _)) if first <= last => at = first,
                _ => return false,
            }
        }
        if at == from {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(prefixes: &[&str]) -> Arc<Runs> {
        Arc::new(Runs::of(prefixes.iter().map(|text| Prefix::parse(text).unwrap()).collect()))
    }

    #[test]
    fn runs_that_touch_are_one() {
        assert_eq!(runs(&["10.0.0.128/25", "10.0.0.0/25", "10.0.0.7", "::/1", "8000::/1"]).len(), 2);
        assert_eq!(Runs::all().next(true, 5), Some((5, u128::MAX)));
        assert_eq!(Runs::all().next(false, 1 << 32), None);
    }

    #[test]
    fn holes_are_leapt_over() {
        let set =
            Set { include: vec![runs(&["0.0.0.0/30", "0.0.0.8/30"])], except: vec![runs(&["0.0.0.0/31", "0.0.0.9"])] };
        let mut found = Vec::new();
        let mut at = 0;
        while let Some((first, last)) = set.next(false, at) {
            found.push((first, last));
            at = last + 1;
        }
        assert_eq!(found, [(2, 3), (8, 8), (10, 11)]);
        let nothing = Set { include: vec![runs(&["::/0"])], except: vec![runs(&["::/0"])] };
        assert_eq!(nothing.next(true, 0), None);
        let other = Set { include: vec![runs(&["0.0.0.3", "0.0.0.10"])], except: Vec::new() };
        let both = [set, other];
        let at = [(0, 2), (0, 3), (3, 9), (4, 20), (11, 20)].map(|run| meet(&both, false, run));
        assert_eq!(at, [false, true, true, true, false]);
    }
}
