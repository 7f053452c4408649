//! Names for the numbers that the programs report.

use dropgate_abi::policy::{ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF};
use std::collections::HashMap;

use crate::policy::model::{Expect, Tells};

/// Names of one generation (and of older ones whose numbers are still about), filled from the compiled policy.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Zone number to name. The reserved zones need no entry.
    pub zones: HashMap<u16, String>,
    /// Service counter to the line that owns it.
    pub services: HashMap<u32, ServiceName>,
    /// Interface index to name.
    pub interfaces: HashMap<u32, String>,
    /// What events tell beside what they are about.
    pub tells: Tells,
}

/// One line of an allowlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceName {
    pub zone: String,
    pub name: String,
    /// Line of the policy file.
    pub line: u32,
    /// What is to be spoken there.
    pub expect: Expect,
}

impl Names {
    /// Name of a zone; `None` for no zone. A number nobody named is shown as `zone-N`.
    pub fn zone(&self, number: u16) -> Option<String> {
        match number {
            ZONE_SELF => Some("self".into()),
            ZONE_OUTSIDE => Some("outside".into()),
            ZONE_PUBLISHED => Some("published".into()),
            number if number < dropgate_abi::policy::FIRST_ZONE => None,
            number => Some(self.zones.get(&number).cloned().unwrap_or_else(|| format!("zone-{number}"))),
        }
    }

    /// The service that owns a counter.
    pub fn service(&self, counter: u32) -> Option<&ServiceName> {
        self.services.get(&counter)
    }

    /// Name of an interface; one nobody named is shown as `if-N`. `None` for index zero.
    pub fn interface(&self, index: u32) -> Option<String> {
        if index == 0 {
            return None;
        }
        Some(self.interfaces.get(&index).cloned().unwrap_or_else(|| format!("if-{index}")))
    }
}
