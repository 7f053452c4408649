//! The links of a bridge: its interfaces take frames for anybody, and where one side is down the other one is, if that is wanted.
//!
//! What is changed is written down first, so that a daemon that comes after this one goes on with it, and `stop --detach` undoes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    netlink::{self, Link, LinkFlags},
    policy::{Environment, Policy},
};

/// How long a link may take until it carries frames: its ends agree on how (IEEE 802.3, 28), and drivers begin anew with a program.
const RISES: Duration = Duration::from_secs(10);

/// What is changed, by interface index.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Changed {
    /// Those that were made to take frames for any hardware address.
    promiscuous: BTreeSet<u32>,
    /// Those that were taken down because the other side is.
    down: BTreeSet<u32>,
}

/// The links of a bridge.
#[derive(Debug, Default)]
pub struct Links {
    changed: Changed,
    /// Sides that were seen.
    known: BTreeSet<u32>,
    /// Those that have just come, or were just brought up: that they carry nothing yet says nothing.
    rising: BTreeMap<u32, Instant>,
}

impl Links {
    /// Goes on with what an earlier daemon has changed.
    pub fn resume(changed: Changed) -> Self {
        Self { changed, ..Self::default() }
    }

    /// Whether a link has yet to rise, or to be found out about.
    pub fn is_rising(&self) -> bool {
        !self.rising.is_empty()
    }

    /// Brings the links to where the policy wants them.
    pub fn follow(&mut self, policy: &Policy, environment: &Environment, path: &Path) -> io::Result<()> {
        if policy.gateway.pairs.is_empty() && self.changed == Changed::default() {
            return Ok(());
        }
        let links = netlink::links()?;
        let index = |name: &str| environment.interfaces.get(name).map(|device| device.index);
        let pairs = policy.gateway.pairs.iter().map(|pair| [index(&pair[0].name), index(&pair[1].name)]);
        let pairs: Vec<_> = pairs.collect();
        let sides: BTreeSet<u32> = pairs.iter().flatten().flatten().copied().collect();
        self.rising.extend(sides.difference(&self.known).map(|index| (*index, Instant::now())));
        self.known = sides;
        self.rising.retain(|index, since| {
            since.elapsed() < RISES && links.get(index).is_some_and(|link| !(link.up && link.carrier))
        });
        let wanted = self.wanted(&pairs, policy.gateway.link_follows, &links);
        let before = self.changed.clone();
        if wanted != before {
            // what is changed and what is yet to be undone
            fs::write(path, serde_json::to_vec(&wanted.with(&before))?)?;
        }
        for (index, link) in &links {
            let (is, was) = (wanted.promiscuous.contains(index), before.promiscuous.contains(index));
            if is != link.promiscuous && (is || was) {
                netlink::set_flag(*index, LinkFlags::Promisc, is)?;
            }
            let (is, was) = (wanted.down.contains(index), before.down.contains(index));
            if is == link.up && (is || was) {
                netlink::set_flag(*index, LinkFlags::Up, !is)?;
                if !is {
                    self.rising.insert(*index, Instant::now());
                }
            }
        }
        if wanted != before {
            fs::write(path, serde_json::to_vec(&wanted)?)?;
            self.changed = wanted;
        }
        Ok(())
    }

    /// What is to be changed for these pairs, as far as their interfaces are there.
    fn wanted(&self, pairs: &[[Option<u32>; 2]], follows: bool, links: &BTreeMap<u32, Link>) -> Changed {
        let (mut wanted, before) = (Changed::default(), &self.changed);
        for (one, other) in pairs.iter().flat_map(|[one, other]| [(one, other), (other, one)]) {
            let Some((one, link)) = one.and_then(|one| Some((one, links.get(&one)?))) else { continue };
            if !link.promiscuous || before.promiscuous.contains(&one) {
                wanted.promiscuous.insert(one);
            }
            let Some((other, there)) = other.and_then(|other| Some((other, links.get(&other)?))) else { continue };
            let carries = link.up && link.carrier;
            // what was taken down itself says nothing
            let down = !carries && !before.down.contains(&one);
            // nor does what is on its way up, but that the other one stays as it is
            let down = down && (!self.rising.contains_key(&one) || before.down.contains(&other));
            if follows && down && (there.up || before.down.contains(&other)) {
                wanted.down.insert(other);
            }
        }
        wanted
    }
}

impl Changed {
    /// As it was written down.
    pub fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// All that either has changed.
    fn with(&self, other: &Self) -> Self {
        Self { promiscuous: &self.promiscuous | &other.promiscuous, down: &self.down | &other.down }
    }

    /// Everything as it was, as far as it is still there.
    pub fn undo(self) {
        for index in self.promiscuous {
            let _ = netlink::set_flag(index, LinkFlags::Promisc, false);
        }
        for index in self.down {
            let _ = netlink::set_flag(index, LinkFlags::Up, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Link = Link { up: true, carrier: true, promiscuous: true };
    const LOST: Link = Link { carrier: false, ..UP };
    const DOWN: Link = Link { up: false, carrier: false, ..UP };

    /// What is taken down, where this was and these are on their way up.
    fn down(before: &[u32], rising: &[u32], links: [Link; 2]) -> Vec<u32> {
        let mut of = Links::resume(Changed { down: before.iter().copied().collect(), ..Changed::default() });
        of.rising = rising.iter().map(|index| (*index, Instant::now())).collect();
        let links = [(1, links[0]), (2, links[1])].into();
        of.wanted(&[[Some(1), Some(2)]], true, &links).down.into_iter().collect::<Vec<_>>()
    }

    #[test]
    fn one_side_follows_the_other() {
        assert!(down(&[], &[], [UP, UP]).is_empty());
        assert_eq!(down(&[], &[], [LOST, UP]), [2]);
        assert_eq!(down(&[], &[], [UP, DOWN]), [1]);
        // an administrator has taken both down
        assert!(down(&[], &[], [DOWN, DOWN]).is_empty());
        // it stays down until the other one is back, also where somebody has set it up
        assert_eq!(down(&[2], &[], [LOST, DOWN]), [2]);
        assert_eq!(down(&[2], &[], [LOST, UP]), [2]);
        assert!(down(&[2], &[], [UP, DOWN]).is_empty());
        let links = [(1, LOST), (2, UP)].into();
        assert!(Links::default().wanted(&[[Some(1), Some(2)]], false, &links).down.is_empty());
        assert!(Links::default().wanted(&[[Some(1), None]], true, &links).down.is_empty());
    }

    /// Else each would take the other one down in turn, for as long as cards take to agree.
    #[test]
    fn what_rises_takes_nothing_down() {
        assert!(down(&[], &[2], [UP, LOST]).is_empty());
        assert!(down(&[], &[1, 2], [LOST, LOST]).is_empty());
        assert_eq!(down(&[2], &[1], [LOST, DOWN]), [2]);
    }

    #[test]
    fn interfaces_that_others_have_made_promiscuous_stay_so() {
        let link = |promiscuous| Link { promiscuous, ..UP };
        let links = [(1, link(true)), (2, link(false))].into();
        let first = Links::default().wanted(&[[Some(1), Some(2)]], false, &links);
        assert_eq!(first.promiscuous, [2].into());
        // it is ours from then on, until it is no side any more
        let (links, first) = ([(1, link(true)), (2, link(true))].into(), Links::resume(first));
        assert_eq!(first.wanted(&[[Some(1), Some(2)]], false, &links).promiscuous, [2].into());
        assert!(first.wanted(&[], false, &links).promiscuous.is_empty());
    }
}
