//! The machine a policy is compiled for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::build::Link;
use crate::policy::model::Policy;

/// Interfaces of the machine (or of the network namespace) and their addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment {
    /// By name.
    pub interfaces: BTreeMap<String, Interface>,
    /// Made up from the policy: `"auto"` has no addresses to follow, and what it leaves open is no mistake.
    pub synthetic: bool,
}

/// One interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    pub index: u32,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// For a VLAN device: index of the interface it lies on, and its VLAN identifier.
    pub vlan_of: Option<(u32, u16)>,
    /// Longest packet, bytes.
    pub mtu: u32,
    /// Hardware address; zero: none of Ethernet.
    pub mac: [u8; 6],
    /// What its packets begin with.
    pub link: Link,
    /// Its driver runs no XDP program.
    pub no_xdp: bool,
}

impl Environment {
    /// An environment in which every interface of the policy exists, numbered from 1 in name order, without addresses.
    ///
    /// For what runs away from the gateway: `replay`, `explain --policy`, tests.
    pub fn synthetic(policy: &Policy) -> Self {
        let interfaces = policy
            .interfaces()
            .keys()
            .zip(1..)
            .map(|(name, index)| ((*name).to_owned(), Interface { index, ..Interface::default() }))
            .collect();
        Self { interfaces, synthetic: true }
    }

    /// Whether some interface has an address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        let mut all = self.interfaces.values().flat_map(|interface| &interface.addresses);
        all.any(|(own, _)| *own == address)
    }

    /// The VLAN device on interface `index` for tag `vlan`.
    pub fn vlan_device(&self, index: u32, vlan: u16) -> Option<&Interface> {
        self.interfaces.values().find(|interface| interface.vlan_of == Some((index, vlan)))
    }

    /// The device whose addresses a zone behind `interface` and some tags follows: the VLAN device where there is one.
    pub fn addressed(&self, interface: &str, vlan: [u16; 2]) -> Option<&Interface> {
        let mut device = self.interfaces.get(interface)?;
        for tag in vlan.into_iter().take_while(|tag| *tag != 0) {
            match self.vlan_device(device.index, tag) {
                Some(child) => device = child,
                None => break,
            }
        }
        Some(device)
    }

    /// Indices of the VLAN devices that lie on interface `index`, directly or on one another.
    pub fn vlan_devices_on(&self, index: u32) -> BTreeSet<u32> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for interface in self.interfaces.values() {
            if let Some((parent, _)) = interface.vlan_of {
                children.entry(parent).or_default().push(interface.index);
            }
        }
        let mut found = BTreeSet::new();
        let mut open = vec![index];
        while let Some(index) = open.pop() {
            let new = children.remove(&index).unwrap_or_default();
            found.extend(&new);
            open.extend(new);
        }
        found
    }
}
