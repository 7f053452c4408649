//! The links of a bridge: its interfaces take frames for anybody, and where one side is down the other one is, if that is wanted.
//!
//! What was changed is written down, so that a daemon that comes after this one goes on with it, and `stop --detach` undoes it.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    netlink::{self, LinkFlags},
    policy::{Environment, Policy},
};

/// What was changed, by interface index.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Links {
    /// Those that were made to take frames for any hardware address.
    promiscuous: BTreeSet<u32>,
    /// Those that were taken down because the other side is.
    down: BTreeSet<u32>,
}

impl Links {
    /// What an earlier daemon has changed.
    pub fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Brings the links to where the policy wants them.
    pub fn follow(&mut self, policy: &Policy, environment: &Environment, path: &Path) -> io::Result<()> {
        if policy.gateway.pairs.is_empty() && *self == Self::default() {
            return Ok(());
        }
        let before = self.clone();
        let done = self.bring(policy, environment);
        if *self != before {
            fs::write(path, serde_json::to_vec(self)?)?;
        }
        done
    }

    fn bring(&mut self, policy: &Policy, environment: &Environment) -> io::Result<()> {
        let links = netlink::links()?;
        self.promiscuous.retain(|index| links.contains_key(index));
        self.down.retain(|index| links.contains_key(index));
        let mut paired = BTreeSet::new();
        for [one, other] in &policy.gateway.pairs {
            let there = [one, other].map(|side| environment.interfaces.get(&side.name).map(|device| device.index));
            paired.extend(there.into_iter().flatten());
            if let ([Some(one), Some(other)], true) = (there, policy.gateway.link_follows) {
                self.follows(one, other, &links)?;
                self.follows(other, one, &links)?;
            }
        }
        for index in &paired {
            if links.get(index).is_some_and(|link| !link.promiscuous) {
                netlink::set_flag(*index, LinkFlags::Promisc, true)?;
                self.promiscuous.insert(*index);
            }
        }
        let (promiscuous, down) = (&mut self.promiscuous, &mut self.down);
        promiscuous.extract_if(.., |index| !paired.contains(index)).try_for_each(not_promiscuous)?;
        let follows = policy.gateway.link_follows;
        down.extract_if(.., |index| !follows || !paired.contains(index)).try_for_each(up)
    }

    /// Where the link of `one` is down, that of `other` is taken down; and up again with it.
    fn follows(
        &mut self,
        one: u32,
        other: u32,
        links: &std::collections::BTreeMap<u32, netlink::Link>,
    ) -> io::Result<()> {
        // what was taken down itself says nothing
        let (Some(link), Some(there), false) = (links.get(&one), links.get(&other), self.down.contains(&one)) else {
            return Ok(());
        };
        if link.up && link.carrier {
            return if self.down.remove(&other) { up(other) } else { Ok(()) };
        }
        if there.up {
            netlink::set_flag(other, LinkFlags::Up, false)?;
            self.down.insert(other);
        }
        Ok(())
    }

    /// Everything as it was, as far as it is still there.
    pub fn undo(self) {
        for index in self.promiscuous {
            let _ = not_promiscuous(index);
        }
        for index in self.down {
            let _ = up(index);
        }
    }
}

fn up(index: u32) -> io::Result<()> {
    netlink::set_flag(index, LinkFlags::Up, true)
}

fn not_promiscuous(index: u32) -> io::Result<()> {
    netlink::set_flag(index, LinkFlags::Promisc, false)
}
