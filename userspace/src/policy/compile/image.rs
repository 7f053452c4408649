//! A compiled policy: what the loader writes into the maps of a slot, and what it needs besides.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dropgate_abi::policy::{
    FirstBytes, FirstKey, PortKey, PrefixKey, Service, ServiceKey, ServiceList, Settings, Side, Zone, service, setting,
    table,
};
use dropgate_signatures::datagrams::Sieve;

use super::build::Build;
use crate::policy::{
    diagnostic::Diagnostic,
    model::{Expect, Proxied, Tells},
};

/// One generation, not yet numbered.
#[derive(Clone, Debug)]
pub struct Image {
    /// Entries of `SIDES`, in key order.
    pub sides: Vec<(PortKey, Side)>,
    /// Entries of the prefix tries, by [`table`].
    pub prefixes: [Vec<PrefixEntry>; table::TABLES as usize],
    /// Blocked prefixes; scope: [`BLOCK_FROM`](dropgate_abi::policy::BLOCK_FROM) or [`BLOCK_TO`](dropgate_abi::policy::BLOCK_TO).
    pub blocklist: Vec<PrefixEntry>,
    /// Entries of `SERVICES`.
    pub services: Vec<(ServiceKey, ServiceList)>,
    /// `LISTS`, by index.
    pub lists: Vec<ServiceList>,
    /// Entries of `FIRST_BYTES`, in key order.
    pub first_bytes: Vec<(FirstKey, FirstBytes)>,
    /// What rules can match of datagrams, and `DATAGRAMS`; `None`: there are no rules.
    pub datagrams: Option<Arc<Sieve>>,
    /// `CANDIDATES`, by index.
    pub candidates: Vec<Service>,
    /// Entries of `ZONES`: number and value.
    pub zones: Vec<(u16, Zone)>,
    /// `SETTINGS`; the commit fills in the generation.
    pub settings: Settings,
    /// Where programs are attached, in name order.
    pub interfaces: Vec<Attachment>,
    pub names: Names,
    pub tells: Tells,
    /// Flows that the table has room for. Takes effect at the first attach only.
    pub flows: u32,
    /// How long mid-stream TCP is taken in after the first attach.
    pub adopt: Duration,
    /// Counters of services that had another name in an earlier generation: to be zeroed before the commit.
    pub reused_services: Vec<u32>,
    /// Zone numbers that had another name in an earlier generation: likewise.
    pub reused_zones: Vec<u32>,
    /// What only the compiler or this machine could tell.
    pub warnings: Vec<Diagnostic>,
}

impl Image {
    /// Whether packets in tunnels are judged.
    pub fn looks_inside(&self) -> bool {
        let judges = |candidate: &Service| candidate.flags & service::TUNNEL_JUDGE != 0;
        self.settings.flags & setting::PPPOE_JUDGE != 0 || self.candidates.iter().any(judges)
    }
}

/// An entry of a prefix trie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixEntry {
    /// In bits, the 32 of the scope included.
    pub length: u32,
    pub key: PrefixKey,
    pub value: u32,
}

/// An interface that programs are attached to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachment {
    pub name: String,
    pub index: u32,
    /// It faces the outside; else zones alone.
    pub outside: bool,
    /// On a bridge: index of the interface where its frames go on; 0: it is not there.
    pub peer: Option<u32>,
    pub build: Build,
}

/// Names behind numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// By zone number, the reserved ones included.
    pub zones: BTreeMap<u16, String>,
    /// By counter.
    pub services: BTreeMap<u32, ServiceName>,
}

/// Whose line it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceName {
    /// A zone, `self`, `outside` or `publish`.
    pub owner: String,
    pub name: String,
    /// Line of the policy file.
    pub line: u32,
    pub expect: Expect,
    pub proxied: Option<Proxied>,
}

impl Names {
    /// What services expect, by counter.
    pub fn expected(&self) -> BTreeMap<u32, Expect> {
        self.services.iter().map(|(counter, service)| (*counter, service.expect.clone())).collect()
    }

    /// The services whose servers are proxies, by counter.
    pub fn proxied(&self) -> BTreeMap<u32, Proxied> {
        self.services.iter().filter_map(|(counter, service)| Some((*counter, service.proxied?))).collect()
    }
}
