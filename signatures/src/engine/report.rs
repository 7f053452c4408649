//! What became of rules when they were compiled.

use super::{Ruleset, kind::Kind};

/// What became of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Its index in [`Ruleset::rules`].
    pub rule: u32,
    pub kind: Kind,
    /// What it is found by; `None`: it is asked about every time, which is slow.
    pub fast_pattern: Option<Vec<u8>>,
}

impl Ruleset {
    /// What became of each rule.
    pub fn report(&self) -> impl Iterator<Item = Report> {
        self.index.compiled.iter().enumerate().map(|(rule, compiled)| Report {
            rule: rule as u32,
            kind: compiled.kind,
            fast_pattern: compiled.pattern.as_ref().map(|pattern| pattern.bytes.to_vec()),
        })
    }

    /// Bytes of memory that its matchers take, about.
    pub fn footprint(&self) -> usize {
        let groups = self.index.groups.iter().filter_map(|group| group.matcher.as_ref());
        let lists = self.index.fields.lists.iter().map(|list| &list.matcher);
        groups.chain(lists).map(super::matcher::Matcher::footprint).sum()
    }
}
