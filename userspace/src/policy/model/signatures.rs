//! `[signatures]`: the rules of a policy.

use std::{collections::BTreeMap, fmt, sync::Arc};

use dropgate_signatures::engine::{ActionOrder, Ruleset};

use crate::policy::source::Location;

/// A file that a policy names, relative to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileName {
    pub path: String,
    pub location: Location,
}

/// `[signatures]`.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    /// Rule files, or directories of `*.rules`, in the order of the policy.
    pub files: Vec<FileName>,
    /// `classification.config`, in Suricata's format.
    pub classification: Option<FileName>,
    /// `reference.config`
    pub references: Option<FileName>,
    /// `threshold.config`
    pub thresholds: Option<FileName>,
    /// What is said is told of (EVE `http`, `tls`, `dns` and so on), also where no rule asks for it.
    pub log: bool,
    /// In which order actions come, as Suricata's `action-order`.
    pub order: ActionOrder,
    /// Variables for addresses and for ports, as rules write them behind `$`.
    pub addresses: BTreeMap<String, String>,
    pub ports: BTreeMap<String, String>,
    /// Rules that are commented out, and those that were left out by the keyword that stopped them.
    pub disabled: usize,
    pub left_out: BTreeMap<String, usize>,
    /// The rules, compiled.
    pub ruleset: Arc<Ruleset>,
}

impl fmt::Display for Signatures {
    /// How many rules there are, and how many were left out by which keyword.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (loaded, left_out) = (self.ruleset.rules().len(), self.left_out.values().sum::<usize>());
        write!(f, "signatures: {loaded} loaded, {left_out} left out, {} disabled", self.disabled)?;
        let mut by_keyword: Vec<(&String, &usize)> = self.left_out.iter().collect();
        by_keyword.sort_by_key(|(keyword, count)| (std::cmp::Reverse(**count), *keyword));
        by_keyword.iter().try_for_each(|(keyword, count)| write!(f, "\n  left out by `{keyword}`: {count}"))
    }
}
