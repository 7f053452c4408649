//! A table of bounded size that many threads share, whose entries expire.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Parts of a table, each with a lock of its own.
const PARTS: usize = 16;

/// What is remembered under a key.
#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    value: V,
    /// Time from which on it is as if it were not there; ns.
    until_ns: u64,
}

/// A table. When a part of it is full, what has expired goes, and if that is nothing, any one entry does: what is new is
/// remembered in any case.
#[derive(Debug)]
pub struct Table<K, V> {
    parts: [Mutex<HashMap<K, Entry<V>>>; PARTS],
    hasher: RandomState,
    most: usize,
}

impl<K: Hash + Eq + Clone, V> Table<K, V> {
    /// Of so many entries.
    pub fn new(most: usize) -> Self {
        Self { parts: Default::default(), hasher: RandomState::new(), most: most.div_ceil(PARTS) }
    }

    fn part(&self, key: &K) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
        let part = self.hasher.hash_one(key) as usize % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered.
    pub fn get<R>(&self, key: &K, now_ns: u64, with: impl FnOnce(&V) -> R) -> Option<R> {
        self.part(key).get(key).filter(|entry| entry.until_ns > now_ns).map(|entry| with(&entry.value))
    }

    /// Changes what is remembered, or what it begins with. `with` returns until when it is to be kept.
    pub fn change<R>(
        &self,
        key: K,
        now_ns: u64,
        fresh: impl FnOnce() -> V,
        with: impl FnOnce(&mut V) -> (u64, R),
    ) -> R {
        let mut part = self.part(&key);
        if let Some(entry) = part.get_mut(&key) {
            if entry.until_ns <= now_ns {
                entry.value = fresh();
            }
            let (until_ns, result) = with(&mut entry.value);
            entry.until_ns = until_ns;
            return result;
        }
        if part.len() >= self.most {
            part.retain(|_, entry| entry.until_ns > now_ns);
        }
        if part.len() >= self.most
            && let Some(any) = part.keys().next().cloned()
        {
            part.remove(&any);
        }
        let mut value = fresh();
        let (until_ns, result) = with(&mut value);
        part.insert(key, Entry { value, until_ns });
        result
    }

    /// Forgets it.
    pub fn remove(&self, key: &K) {
        self.part(key).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire() {
        let table = Table::new(100);
        table.change(1, 0, || 7, |_| (10, ()));
        assert_eq!(table.get(&1, 9, |value| *value), Some(7));
        assert_eq!(table.get(&1, 10, |value| *value), None);
        assert_eq!(table.change(1, 10, || 8, |value| (20, *value)), 8);
        table.remove(&1);
        assert_eq!(table.get(&1, 0, |value| *value), None);
    }

    #[test]
    fn it_does_not_grow() {
        let table = Table::new(PARTS * 4);
        for key in 0..10_000_u32 {
            table.change(key, 0, || key, |_| (u64::MAX, ()));
            assert_eq!(table.get(&key, 0, |value| *value), Some(key));
        }
        let held: usize = table.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert!(held <= PARTS * 4);
    }
}
