//! The flow table: its buckets, the tags that say which of their ways are taken, and what their groups share. The programs alone
//! change it while packets are judged.

use std::{io, os::fd::BorrowedFd};

use dropgate_abi::flow::{Bucket, Flow, GROUP, Group, Tags, WAYS, place};

use super::{Mapped, Object, ObjectError};

/// Names of its maps: groups, tags, buckets.
pub const MAPS: [&str; 3] = ["FLOW_GROUPS", "FLOW_TAGS", "FLOWS"];

/// The flow table, mapped into memory.
pub struct FlowTable {
    groups: Mapped<Group>,
    tags: Mapped<Tags>,
    buckets: Mapped<Bucket>,
}

impl FlowTable {
    /// That of a loaded object.
    ///
    /// # Errors
    /// When its maps cannot be mapped.
    pub fn of(object: &Object) -> Result<Self, ObjectError> {
        let buckets = object.sizes().flow_buckets;
        let [groups, tags, ways] = MAPS;
        Ok(Self {
            groups: object.mapped(groups, buckets / GROUP)?,
            tags: object.mapped(tags, buckets)?,
            buckets: object.mapped(ways, buckets)?,
        })
    }

    /// That of the maps in [`MAPS`], which have so many buckets.
    ///
    /// # Errors
    /// When they cannot be mapped.
    pub fn new([groups, tags, buckets]: [BorrowedFd<'_>; 3], len: usize) -> io::Result<Self> {
        Ok(Self {
            groups: Mapped::new(groups, len / GROUP as usize)?,
            tags: Mapped::new(tags, len)?,
            buckets: Mapped::new(buckets, len)?,
        })
    }

    /// Copies of all flows in it; expired ones are among them.
    pub fn flows(&self) -> impl Iterator<Item = Flow> {
        let taken = |index: usize| Some((self.tags.get(index)?, index));
        (0..self.tags.len()).filter_map(taken).filter(|(tags, _)| !tags.is_empty()).flat_map(|(tags, index)| {
            let ways = self.buckets.get(index).map(|bucket| bucket.ways).into_iter().flatten();
            tags.0.into_iter().zip(ways).filter_map(|(tag, flow)| (tag != 0).then_some(flow))
        })
    }

    /// What the groups of its buckets share.
    pub const fn groups(&self) -> &Mapped<Group> {
        &self.groups
    }

    /// Its buckets.
    pub const fn buckets(&self) -> &Mapped<Bucket> {
        &self.buckets
    }

    /// The first candidate bucket of a hash, in which is noted how its connection began.
    pub fn home(&self, hash: u64) -> Option<*mut Bucket> {
        let (first, ..) = place(hash, self.mask());
        self.buckets.at(first as usize)
    }

    /// The flow of a hash and an identity. What it points to may become another flow at any time.
    pub fn find(&self, hash: u64, id: u64) -> Option<*mut Flow> {
        let (first, second, tag) = place(hash, self.mask());
        [first, second].into_iter().find_map(|index| {
            let (tags, bucket) = (self.tags.at(index as usize)?, self.buckets.at(index as usize)?);
            (0..WAYS).find_map(|way| {
                // SAFETY: aligned words inside the mappings.
                unsafe {
                    let flow = &raw mut (*bucket).ways[way];
                    let seen = (&raw const (*tags).0[way]).read_volatile();
                    (seen == tag && (&raw const (*flow).id).read_volatile() == id).then_some(flow)
                }
            })
        })
    }

    /// Puts a flow in where no program is at work; `false` when its buckets are full.
    pub fn put(&self, hash: u64, flow: &Flow) -> bool {
        let (first, second, tag) = place(hash, self.mask());
        [first, second].into_iter().any(|number| {
            let (index, group) = (number as usize, (number / GROUP) as usize);
            let (Some(mut tags), Some(mut bucket)) = (self.tags.get(index), self.buckets.get(index)) else {
                return false;
            };
            let Some(way) = tags.0.iter().position(|tag| *tag == 0) else { return false };
            tags.0[way] = tag;
            bucket.ways[way] = *flow;
            self.buckets.set(index, bucket);
            self.tags.set(index, tags);
            if let Some(shared) = self.groups.get(group) {
                self.groups.set(group, Group { taken: shared.taken | Group::bit(number), ..shared });
            }
            true
        })
    }

    /// Buckets of which their group says otherwise than their tags. None but while packets are judged.
    pub fn misnoted(&self) -> Vec<u32> {
        let noted = |bucket: u32| {
            self.groups.get((bucket / GROUP) as usize).is_some_and(|of| of.taken & Group::bit(bucket) != 0)
        };
        let taken = |bucket: u32| self.tags.get(bucket as usize).is_some_and(|tags| !tags.is_empty());
        (0..self.tags.len() as u32).filter(|bucket| noted(*bucket) != taken(*bucket)).collect()
    }

    /// Forgets all of it, where no program is at work.
    pub fn clear(&self) {
        self.groups.clear();
        self.tags.clear();
        self.buckets.clear();
    }

    fn mask(&self) -> u32 {
        self.buckets.len() as u32 - 1
    }
}
