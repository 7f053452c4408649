//! The machine a policy is compiled for.

use std::{collections::BTreeMap, net::IpAddr};

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
            .map(|(name, index)| {
                (
                    (*name).to_owned(),
                    Interface {
                        index,
                        ..Interface::default()
                    },
                )
            })
            .collect();
        Self {
            interfaces,
            synthetic: true,
        }
    }

    /// The VLAN device on interface `index` for tag `vlan`.
    pub fn vlan_device(&self, index: u32, vlan: u16) -> Option<&Interface> {
        self.interfaces
            .values()
            .find(|interface| interface.vlan_of == Some((index, vlan)))
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
    pub fn vlan_devices_on(&self, index: u32) -> Vec<u32> {
        let mut found = vec![index];
        let mut at = 0;
        while at < found.len() {
            let children = self.interfaces.values().filter(|child| {
                child.vlan_of.is_some_and(|(parent, _)| parent == found[at])
                    && !found.contains(&child.index)
            });
            let children: Vec<u32> = children.map(|child| child.index).collect();
            found.extend(children);
            at += 1;
        }
        found.split_off(1)
    }
}
