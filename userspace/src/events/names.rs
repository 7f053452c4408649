//! Names for the numbers that the programs report.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use dropgate_abi::policy::{FIRST_ZONE, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF};

use crate::policy::model::{Expect, Tells};

/// Names of one generation (and of older ones whose numbers are still about), filled from the compiled policy.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Zone number to name. The reserved zones need no entry.
    pub zones: HashMap<u16, Arc<str>>,
    /// Service counter to the line that owns it.
    pub services: HashMap<u32, ServiceName>,
    /// Interface index to name.
    pub interfaces: HashMap<u32, Arc<str>>,
    /// What events tell beside what they are about.
    pub tells: Tells,
}

/// One line of an allowlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceName {
    pub zone: Arc<str>,
    pub name: Arc<str>,
    /// Line of the policy file.
    pub line: u32,
    /// What is to be spoken there.
    pub expect: Expect,
}

impl Names {
    /// Name of a zone; `None` for no zone. A number nobody named is shown as `zone-N`.
    pub fn zone(&self, number: u16) -> Option<Arc<str>> {
        static RESERVED: LazyLock<[Arc<str>; 3]> = LazyLock::new(|| ["self", "outside", "published"].map(Arc::from));
        let [own, outside, published] = &*RESERVED;
        match number {
            ZONE_SELF => Some(Arc::clone(own)),
            ZONE_OUTSIDE => Some(Arc::clone(outside)),
            ZONE_PUBLISHED => Some(Arc::clone(published)),
            number if number < FIRST_ZONE => None,
            number => Some(self.zones.get(&number).cloned().unwrap_or_else(|| format!("zone-{number}").into())),
        }
    }

    /// The service that owns a counter.
    pub fn service(&self, counter: u32) -> Option<&ServiceName> {
        self.services.get(&counter)
    }

    /// Name of an interface; one nobody named is shown as `if-N`. `None` for index zero.
    pub fn interface(&self, index: u32) -> Option<Arc<str>> {
        if index == 0 {
            return None;
        }
        Some(self.interfaces.get(&index).cloned().unwrap_or_else(|| format!("if-{index}").into()))
    }
}
