//! `[signatures]`: the rules of a policy.

use std::{collections::BTreeMap, sync::Arc};

use dropgate_signatures::engine::Ruleset;

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
    /// Variables for addresses and for ports, as rules write them behind `$`.
    pub addresses: BTreeMap<String, String>,
    pub ports: BTreeMap<String, String>,
    /// The rules, compiled.
    pub ruleset: Arc<Ruleset>,
}
