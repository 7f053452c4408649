//! Transactions that were not forgotten.

use std::collections::VecDeque;

use dropgate_signatures::subject::Transaction;

/// Transactions in the order of their ids, at most so many: the oldest one makes room.
#[derive(Debug)]
pub struct Held<T> {
    all: VecDeque<T>,
    next: u64,
    most: usize,
}

impl<T: Transaction> Held<T> {
    pub fn new(most: usize) -> Self {
        Self { all: VecDeque::new(), next: 0, most: most.max(1) }
    }

    /// Takes in the one that is made for this id. Whether another one had to make room.
    pub fn add(&mut self, make: impl FnOnce(u64) -> T) -> bool {
        let full = self.all.len() >= self.most;
        if full {
            self.all.pop_front();
        }
        self.all.push_back(make(self.next));
        self.next += 1;
        full
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.all.iter_mut()
    }

    pub fn forget(&mut self, id: u64) {
        self.all.retain(|one| one.id() != id);
    }
}
