//! Destination groups: which of several services a destination belongs to, flattened to one longest-prefix look-up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dropgate_abi::policy::{NO_SERVICE, PrefixKey};

use super::{Full, MAX_PREFIXES, image::PrefixEntry};
use crate::policy::{
    model::{Addresses, Policy},
    prefix::Prefix,
};

/// The destinations of a service at one peer: those included that are not excepted. Sorted, without duplicates.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct DestinationSet {
    pub include: Vec<Addresses>,
    pub except: Vec<Addresses>,
}

impl DestinationSet {
    /// A set in the form that makes equal ones compare equal.
    pub fn new(mut include: Vec<Addresses>, mut except: Vec<Addresses>) -> Self {
        if include.contains(&Addresses::All) {
            include = vec![Addresses::All];
        }
        for addresses in [&mut include, &mut except] {
            addresses.sort_unstable();
            addresses.dedup();
        }
        Self { include, except }
    }

    /// Whether it takes every destination.
    pub fn is_all(&self) -> bool {
        self.except.is_empty() && self.include.contains(&Addresses::All)
    }
}

/// The destination sets and groups of one image.
pub struct Groups<'a> {
    policy: &'a Policy,
    sets: Vec<DestinationSet>,
    by_set: HashMap<DestinationSet, u32>,
    by_sequence: HashMap<Vec<u32>, u32>,
    /// Scopes given so far.
    scopes: u32,
    pub entries: Vec<PrefixEntry>,
}

impl<'a> Groups<'a> {
    pub fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            sets: Vec::new(),
            by_set: HashMap::new(),
            by_sequence: HashMap::new(),
            scopes: 0,
            entries: Vec::new(),
        }
    }

    /// The number of a set.
    pub fn set(&mut self, set: DestinationSet) -> u32 {
        if let Some(number) = self.by_set.get(&set) {
            return *number;
        }
        let number = self.sets.len() as u32;
        self.sets.push(set.clone());
        self.by_set.insert(set, number);
        number
    }

    /// Whether a set takes every destination.
    pub fn is_all(&self, set: u32) -> bool {
        self.sets[set as usize].is_all()
    }

    /// The scope that chooses among the sets of a sequence, the first one that holds the destination; 0 when that is
    /// the first one always. Sequences that are equal share a scope, whatever services stand behind them.
    pub fn scope(&mut self, sequence: &[u32]) -> Result<u32, Full> {
        if sequence.first().is_none_or(|first| self.is_all(*first)) {
            return Ok(0);
        }
        if let Some(scope) = self.by_sequence.get(sequence) {
            return Ok(*scope);
        }
        let scope = self.scopes + 1;
        self.flatten(scope, sequence)?;
        self.scopes = scope;
        self.by_sequence.insert(sequence.to_vec(), scope);
        Ok(scope)
    }

    /// Walks all prefixes of a sequence in order, keeping the state of those around the current one on a stack.
    fn flatten(&mut self, scope: u32, sequence: &[u32]) -> Result<(), Full> {
        let marks = self.marks(sequence)?;
        let mut state = State { counts: vec![(0, 0); sequence.len()], active: BTreeSet::new() };
        let mut around: Vec<(Prefix, std::ops::Range<usize>, u32)> = Vec::new();
        let mut at = 0;
        while at < marks.len() {
            let prefix = marks[at].0;
            let end = at + marks[at..].iter().take_while(|mark| mark.0 == prefix).count();
            while let Some((outer, range, _)) = around.last() {
                if outer.holds(prefix) {
                    break;
                }
                marks[range.clone()].iter().for_each(|mark| state.apply(mark, -1));
                around.pop();
            }
            marks[at..end].iter().for_each(|mark| state.apply(mark, 1));
            let winner = state.active.first().copied();
            let value = winner.unwrap_or(NO_SERVICE);
            let outer = around.last().map_or(NO_SERVICE, |(.., value)| *value);
            if value != outer {
                if self.entries.len() >= MAX_PREFIXES {
                    return Err(Full::Prefixes);
                }
                self.entries.push(entry(scope, prefix, value));
            }
            around.push((prefix, at..end, value));
            at = end;
        }
        Ok(())
    }

    /// Every prefix of a sequence's sets, with the ordinal and whether it excepts, in prefix order.
    fn marks(&self, sequence: &[u32]) -> Result<Vec<Mark>, Full> {
        let mut marks = Vec::new();
        for (set, ordinal) in sequence.iter().zip(0..) {
            let set = &self.sets[*set as usize];
            for (all, excepts) in [(&set.include, false), (&set.except, true)] {
                for prefix in all.iter().flat_map(|addresses| self.policy.prefixes(addresses)) {
                    if marks.len() >= MAX_PREFIXES {
                        return Err(Full::Prefixes);
                    }
                    marks.push((*prefix, ordinal, excepts));
                }
            }
        }
        marks.sort_unstable();
        Ok(marks)
    }
}

type Mark = (Prefix, u32, bool);

/// Which services of a sequence hold the prefix that the walk stands on.
struct State {
    /// By ordinal: including and excepting prefixes around it. An exception wins, whatever the lengths.
    counts: Vec<(u32, u32)>,
    active: BTreeSet<u32>,
}

impl State {
    fn apply(&mut self, mark: &Mark, step: i32) {
        let (_, ordinal, excepts) = *mark;
        let (include, except) = &mut self.counts[ordinal as usize];
        let count = if excepts { &mut *except } else { &mut *include };
        *count = count.wrapping_add_signed(step);
        if *include > 0 && *except == 0 {
            self.active.insert(ordinal);
        } else {
            self.active.remove(&ordinal);
        }
    }
}

/// An entry of a trie of addresses.
pub fn entry(scope: u32, prefix: Prefix, value: u32) -> PrefixEntry {
    PrefixEntry {
        length: 32 + u32::from(prefix.length()),
        key: PrefixKey::new(scope, prefix.family(), prefix.address()),
        value,
    }
}

/// Entries of one scope, in prefix order.
pub fn entries_of(scope: u32, prefixes: &BTreeMap<Prefix, u16>) -> impl Iterator<Item = PrefixEntry> {
    prefixes.iter().map(move |(prefix, zone)| entry(scope, *prefix, (*zone).into()))
}
