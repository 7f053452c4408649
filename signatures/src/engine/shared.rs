//! What rules remember of hosts and of themselves.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{table::Table, threshold::Counter, verify::address};
use crate::rule::{BitAction, BitScope, Bits, Dataset, SetAction, SetKind};

/// Bits of hosts and pairs of hosts that are remembered.
const BITS: usize = 1 << 18;
/// Counts of thresholds.
const COUNTS: usize = 1 << 18;
/// Values of one dataset that rules have added or taken away. Beyond them nothing is added.
const ADDED: usize = 1 << 18;

/// What rules remember of hosts and of themselves: `xbits`, `hostbits`, thresholds, datasets. It outlives rulesets. All of it is
/// bounded: bits and counts that do not fit take the place of others, values of datasets are not added.
#[derive(Debug)]
pub struct Shared {
    bits: Table<BitKey, ()>,
    pub(super) counts: Table<CountKey, Counter>,
    sets: RwLock<HashMap<Arc<str>, Arc<Changed>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { bits: Table::new(BITS), counts: Table::new(COUNTS), sets: RwLock::default() }
    }
}

/// A bit's name, and whose it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct BitKey {
    name: Arc<str>,
    hosts: (IpAddr, Option<IpAddr>),
}

/// Whose count it is: gid and sid, whether it is of a `detection_filter`, and the hosts it is kept by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct CountKey {
    pub rule: (u32, u32),
    pub detection: bool,
    pub hosts: (Option<IpAddr>, Option<IpAddr>),
}

/// What was changed of a dataset.
#[derive(Debug, Default)]
struct Changed {
    /// Values that were added, and those of the first ones that were taken away.
    values: Mutex<(Values, Values)>,
}

type Values = HashSet<Box<[u8]>>;

impl Shared {
    /// Does or asks what a rule says of bits of hosts: whether it holds. Bits of transactions are not kept here.
    pub(super) fn bits(&self, bits: &Bits, source: IpAddr, destination: IpAddr, now_ns: u64) -> bool {
        let all: &[(IpAddr, Option<IpAddr>)] = match bits.scope {
            BitScope::Source => &[(source, None)],
            BitScope::Destination => &[(destination, None)],
            BitScope::Both => &[(source, None), (destination, None)],
            BitScope::Pair => &[(source.min(destination), Some(source.max(destination)))],
            BitScope::Transaction => return false,
        };
        let key = |hosts: &(IpAddr, Option<IpAddr>)| BitKey { name: bits.name.clone(), hosts: *hosts };
        let is_set = |hosts: &(IpAddr, Option<IpAddr>)| self.bits.get(&key(hosts), now_ns, |()| ()).is_some();
        let set = |hosts: &(IpAddr, Option<IpAddr>)| {
            let until_ns = now_ns.saturating_add(u64::from(bits.expire_s) * 1_000_000_000);
            self.bits.change(key(hosts), now_ns, || (), |()| (until_ns, ()));
        };
        match bits.action {
            BitAction::IsSet => all.iter().any(is_set),
            BitAction::IsNotSet => !all.iter().any(is_set),
            BitAction::Set => {
                all.iter().for_each(set);
                true
            }
            BitAction::Unset => {
                all.iter().for_each(|hosts| self.bits.remove(&key(hosts)));
                true
            }
            BitAction::Toggle => {
                for hosts in all {
                    if is_set(hosts) { self.bits.remove(&key(hosts)) } else { set(hosts) }
                }
                true
            }
        }
    }

    /// Does or asks what a rule says of a dataset: whether it holds. `set` and `unset` hold if they have changed something.
    pub(super) fn dataset(&self, dataset: &Dataset, bytes: &[u8]) -> bool {
        let address_of;
        let value: &[u8] = match dataset.kind {
            SetKind::String => bytes,
            // `to_md5` and `to_sha256` make what is looked up: nothing else is in such a set
            SetKind::Md5 if bytes.len() != 16 => return dataset.action == SetAction::IsNotSet,
            SetKind::Sha256 if bytes.len() != 32 => return dataset.action == SetAction::IsNotSet,
            SetKind::Md5 | SetKind::Sha256 => bytes,
            SetKind::Ip | SetKind::Ipv4 => {
                let Some(address) = address(bytes) else { return false };
                address_of = address;
                &address_of
            }
        };
        let initial = dataset.initial.binary_search_by(|held| (**held).cmp(value)).is_ok();
        let changed = {
            let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
            sets.get(&dataset.name).cloned()
        };
        let Some(changed) = changed.or_else(|| self.first_change(dataset)) else {
            return initial == (dataset.action == SetAction::IsSet);
        };
        let mut values = changed.values.lock().unwrap_or_else(PoisonError::into_inner);
        let (added, removed) = &mut *values;
        let is_set = if initial { !removed.contains(value) } else { added.contains(value) };
        match dataset.action {
            SetAction::IsSet => is_set,
            SetAction::IsNotSet => !is_set,
            SetAction::Set if is_set => false,
            SetAction::Set if initial => removed.remove(value),
            SetAction::Set => added.len() < ADDED && added.insert(value.into()),
            SetAction::Unset if !is_set => false,
            SetAction::Unset if initial => removed.len() < ADDED && removed.insert(value.into()),
            SetAction::Unset => added.remove(value),
        }
    }

    /// The place for changes of a dataset, if this is one.
    fn first_change(&self, dataset: &Dataset) -> Option<Arc<Changed>> {
        matches!(dataset.action, SetAction::Set | SetAction::Unset).then(|| {
            let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
            sets.entry(dataset.name.clone()).or_default().clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(action: SetAction, initial: &[&[u8]]) -> Dataset {
        let mut initial: Vec<Box<[u8]>> = initial.iter().map(|value| (*value).into()).collect();
        initial.sort();
        Dataset { action, name: "names".into(), kind: SetKind::String, initial: initial.into() }
    }

    #[test]
    fn datasets_change() {
        let shared = Shared::default();
        let initial: &[&[u8]] = &[b"evil.example", b"bad.example"];
        assert!(shared.dataset(&set(SetAction::IsSet, initial), b"bad.example"));
        assert!(shared.dataset(&set(SetAction::IsNotSet, initial), b"good.example"));
        assert!(shared.dataset(&set(SetAction::Set, initial), b"good.example"));
        assert!(!shared.dataset(&set(SetAction::Set, initial), b"good.example"));
        assert!(shared.dataset(&set(SetAction::IsSet, initial), b"good.example"));
        assert!(shared.dataset(&set(SetAction::Unset, initial), b"bad.example"));
        assert!(!shared.dataset(&set(SetAction::IsSet, initial), b"bad.example"));
        assert!(shared.dataset(&set(SetAction::Set, initial), b"bad.example"));
        assert!(shared.dataset(&set(SetAction::IsSet, initial), b"bad.example"));
    }

    #[test]
    fn digests_are_those_of_transforms() {
        let shared = Shared::default();
        let digests = |action| Dataset { kind: SetKind::Md5, ..set(action, &[&[7; 16]]) };
        assert!(shared.dataset(&digests(SetAction::IsSet), &[7; 16]));
        assert!(!shared.dataset(&digests(SetAction::IsSet), &[8; 16]));
        assert!(!shared.dataset(&digests(SetAction::IsSet), &[7; 15]));
        assert!(shared.dataset(&digests(SetAction::IsNotSet), &[7; 15]));
        assert!(!shared.dataset(&digests(SetAction::Set), b"no digest"));
    }

    #[test]
    fn addresses_in_any_form() {
        let shared = Shared::default();
        let mapped = address(&[192, 0, 2, 1]).unwrap();
        let addresses = Dataset { kind: SetKind::Ip, ..set(SetAction::IsSet, &[&mapped]) };
        assert!(shared.dataset(&addresses, &[192, 0, 2, 1]));
        assert!(shared.dataset(&addresses, b"192.0.2.1"));
        assert!(!shared.dataset(&addresses, b"192.0.2.2"));
    }

    #[test]
    fn bits_of_hosts() {
        let shared = Shared::default();
        let (here, there): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [198, 51, 100, 1].into());
        let bits = |action, scope| Bits { action, name: "seen".into(), scope, expire_s: 10 };
        assert!(shared.bits(&bits(BitAction::IsNotSet, BitScope::Source), here, there, 0));
        shared.bits(&bits(BitAction::Set, BitScope::Source), here, there, 0);
        assert!(shared.bits(&bits(BitAction::IsSet, BitScope::Source), here, there, 9_999_999_999));
        assert!(!shared.bits(&bits(BitAction::IsSet, BitScope::Source), here, there, 10_000_000_000));
        assert!(shared.bits(&bits(BitAction::IsSet, BitScope::Destination), there, here, 0));
        shared.bits(&bits(BitAction::Set, BitScope::Pair), here, there, 0);
        assert!(shared.bits(&bits(BitAction::IsSet, BitScope::Pair), there, here, 0));
        shared.bits(&bits(BitAction::Toggle, BitScope::Pair), here, there, 0);
        assert!(!shared.bits(&bits(BitAction::IsSet, BitScope::Pair), there, here, 0));
    }
}
