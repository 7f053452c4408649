//! Numbers that stay: a zone or a service keeps its own over pushes, and so do its counters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dropgate_abi::{
    policy::{FIRST_ZONE, MAX_ZONES},
    tuple::realm,
};
use serde::{Deserialize, Serialize};

/// Counters of services that there is room for.
pub const SERVICE_COUNTERS: u32 = 1 << 17;

/// The numbers given so far. Kept by the daemon, also over restarts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ids {
    pub zones: Numbers,
    /// By `zone/service`, `self/service`, `outside/service` or `publish/line`.
    pub services: Numbers,
    /// Pairs of a bridge with the tags that pass there. Files of earlier versions have none.
    #[serde(default = "Numbers::of_links")]
    pub links: Numbers,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            zones: Numbers::between(FIRST_ZONE.into(), MAX_ZONES),
            services: Numbers::between(0, SERVICE_COUNTERS),
            links: Numbers::of_links(),
        }
    }
}

/// Numbers by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Numbers {
    live: BTreeMap<String, u32>,
    /// Names that are gone, the oldest first. One that comes back takes its own number.
    retired: VecDeque<(String, u32)>,
    next: u32,
    end: u32,
}

impl Numbers {
    fn of_links() -> Self {
        Self::between(realm::LINKS.into(), realm::TUNNEL.into())
    }

    /// Room for the numbers `first..end`.
    fn between(first: u32, end: u32) -> Self {
        Self { live: BTreeMap::new(), retired: VecDeque::new(), next: first, end }
    }

    /// The number of a name that is in use.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.live.get(name).copied()
    }

    /// Makes `names` the ones in use. The answer lists the numbers that had another name before, or is `None` when
    /// there are more names than numbers.
    pub(super) fn assign(&mut self, names: &[String]) -> Option<Vec<u32>> {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let gone: Vec<String> = self.live.keys().filter(|name| !wanted.contains(name.as_str())).cloned().collect();
        for name in gone {
            if let Some(number) = self.live.remove(&name) {
                self.retired.push_back((name, number));
            }
        }
        let (back, gone) =
            std::mem::take(&mut self.retired).into_iter().partition(|(name, _)| wanted.contains(name.as_str()));
        self.retired = gone;
        let back: VecDeque<(String, u32)> = back;
        self.live.extend(back);
        let mut reused = Vec::new();
        for name in names {
            if self.live.contains_key(name) {
                continue;
            }
            let number = if self.next < self.end {
                self.next += 1;
                self.next - 1
            } else {
                let (_, number) = self.retired.pop_front()?;
                reused.push(number);
                number
            };
            self.live.insert(name.clone(), number);
        }
        Some(reused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(numbers: &mut Numbers, names: &[&str]) -> Option<Vec<u32>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        numbers.assign(&names)
    }

    #[test]
    fn a_number_stays_and_comes_back() {
        let mut numbers = Numbers::between(0, 4);
        assert_eq!(assign(&mut numbers, &["a", "b"]), Some(vec![]));
        assert_eq!(assign(&mut numbers, &["b", "c"]), Some(vec![]));
        assert_eq!((numbers.get("a"), numbers.get("b"), numbers.get("c")), (None, Some(1), Some(2)));
        assert_eq!(assign(&mut numbers, &["a"]), Some(vec![]));
        assert_eq!(numbers.get("a"), Some(0));
    }

    #[test]
    fn the_oldest_retired_number_is_used_again_last() {
        let mut numbers = Numbers::between(0, 3);
        assign(&mut numbers, &["a", "b"]).unwrap();
        assign(&mut numbers, &["b"]).unwrap();
        assign(&mut numbers, &[]).unwrap();
        assert_eq!(assign(&mut numbers, &["x"]), Some(vec![]));
        assert_eq!(numbers.get("x"), Some(2));
        assert_eq!(assign(&mut numbers, &["x", "y"]), Some(vec![0]));
        assert_eq!(assign(&mut numbers, &["x", "y", "z", "more"]), None);
    }
}
