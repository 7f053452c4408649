//! The commit: fills the idle slot, flips one word, waits until no packet reads the old slot.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use dropgate_abi::{
    blocklist::PARTS,
    control::Control,
    datagrams::Datagrams,
    policy::{MAX_ZONES, SLOTS, Service, ServiceList, Settings, Sieve, TrieKey, Zone, table},
};

use super::{
    BlockTable, Mapped, Object, ObjectError,
    sys::{self, Kind},
};
use crate::policy::Image;

/// Why a generation was not put in force. The old one still is.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error("{what}: {needed} entries, room for {room}")]
    Full { what: &'static str, needed: usize, room: usize },
    #[error("filling `{what}`")]
    Fill {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("installing `{what}`")]
    Install {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// How a commit went.
#[derive(Clone, Copy, Debug)]
pub struct Committed {
    pub generation: u32,
    /// Filling the idle slot, which no packet reads.
    pub fill: Duration,
    /// From there until the last packet that could have read the old slot has left.
    pub switch: Duration,
}

/// Inner maps of a slot; the kernel keeps them alive while they are installed.
struct Inner {
    sides: OwnedFd,
    services: OwnedFd,
    first_bytes: OwnedFd,
    prefixes: Vec<OwnedFd>,
    /// Of the blocklist, by part.
    block_index: Vec<OwnedFd>,
    blocked: Vec<OwnedFd>,
}

/// Both slots and the word that says which is in force.
pub struct Slots {
    control: Mapped<Control>,
    zones: Mapped<Zone>,
    sieves: Mapped<Sieve>,
    datagrams: Mapped<Datagrams>,
    lists: Mapped<ServiceList>,
    candidates: Mapped<Service>,
    /// Held so that the idle slot's maps are freed when they are replaced, off the packets' way.
    installed: [Option<Inner>; SLOTS as usize],
}

impl Slots {
    /// Takes hold of an object's slots as they are.
    pub fn new(object: &Object) -> Result<Self, SlotError> {
        let sizes = object.sizes();
        Ok(Self {
            control: object.mapped("CONTROL", 1)?,
            zones: object.mapped("ZONES", SLOTS * MAX_ZONES)?,
            sieves: object.mapped("SIEVES", SLOTS)?,
            datagrams: object.mapped("DATAGRAMS", SLOTS)?,
            lists: object.mapped("LISTS", SLOTS * sizes.lists)?,
            candidates: object.mapped("CANDIDATES", SLOTS * sizes.candidates)?,
            installed: [None, None],
        })
    }

    /// The word that a commit flips.
    fn active(&self) -> &AtomicU64 {
        let control = self.control.at(0).map_or(std::ptr::null_mut(), |control| {
            // SAFETY: inside the mapping.
            unsafe { &raw mut (*control).active }
        });
        // SAFETY: entry 0 exists; the word is aligned and only changed atomically.
        unsafe { AtomicU64::from_ptr(control) }
    }

    /// The generation in force; 0: none yet.
    pub fn generation(&self) -> u32 {
        (self.active().load(Ordering::Acquire) >> 32) as u32
    }

    /// What steers the programs.
    pub const fn control(&self) -> &Mapped<Control> {
        &self.control
    }

    /// Puts `image` in force as `generation`. When this returns, every packet that arrives is judged by it. On an error
    /// the old generation is in force, untouched.
    pub fn commit(&mut self, object: &Object, image: &Image, generation: u32) -> Result<Committed, SlotError> {
        let started = Instant::now();
        let idle = self.active().load(Ordering::Acquire) as u32 & (SLOTS - 1) ^ 1;
        let inner = self.fill(object, image, idle, generation)?;
        let fill = started.elapsed();

        let started = Instant::now();
        install(object, idle, &inner)?;
        self.active().store(u64::from(generation) << 32 | u64::from(idle), Ordering::SeqCst);
        // an update of a map of maps waits for a grace period: after it, no packet reads the old slot
        grace(object, idle, &inner)?;
        let switch = started.elapsed();

        // freeing a large trie takes the kernel a while
        let old = self.installed[idle as usize].replace(inner);
        drop(old);
        Ok(Committed { generation, fill, switch })
    }

    /// Makes and fills what the idle slot will hold.
    fn fill(&mut self, object: &Object, image: &Image, slot: u32, generation: u32) -> Result<Inner, SlotError> {
        let sizes = object.sizes();
        let lists = room("lists of services", image.lists.len(), sizes.lists)? * slot;
        let candidates = room("services", image.candidates.len(), sizes.candidates)? * slot;
        let shift = |list: ServiceList| ServiceList { first: list.first + candidates, ..list };

        for (at, service) in (candidates as usize..).zip(&image.candidates) {
            self.candidates.set(at, *service);
        }
        for (at, list) in (lists as usize..).zip(&image.lists) {
            self.lists.set(at, shift(*list));
        }
        let base = (slot * MAX_ZONES) as usize;
        for at in 0..MAX_ZONES as usize {
            self.zones.set(base + at, Zone::default());
        }
        for (number, zone) in &image.zones {
            self.zones.set(base + usize::from(*number), *zone);
        }
        if let Some(sieve) = self.sieves.at(slot as usize) {
            // SAFETY: an entry of the mapping, aligned as the kernel aligns array values; no packet reads the idle slot.
            unsafe { std::ptr::copy_nonoverlapping(&raw const *image.sieve(), sieve, 1) };
        }
        if let (Some(sieve), Some(to)) = (&image.datagrams, self.datagrams.at(slot as usize)) {
            // SAFETY: as above.
            unsafe { std::ptr::copy_nonoverlapping(&raw const *sieve.table, to, 1) };
        }
        let settings = Settings { generation, ..image.settings };
        let fault = |what| move |source| SlotError::Fill { what, source };
        sys::update_batch(object.map_fd("SETTINGS")?, &[slot], &[settings]).map_err(fault("SETTINGS"))?;

        let (keys, values): (Vec<_>, Vec<_>) = image.sides.iter().copied().unzip();
        let sides = sys::create_filled(Kind::Hash, &keys, &values).map_err(fault("SIDES"))?;
        let (keys, values): (Vec<_>, Vec<_>) = image.services.iter().map(|(key, list)| (*key, shift(*list))).unzip();
        let services = sys::create_filled(Kind::Hash, &keys, &values).map_err(fault("SERVICES"))?;
        let (keys, values): (Vec<_>, Vec<_>) = image.first_bytes.iter().copied().unzip();
        let first_bytes = sys::create_filled(Kind::Hash, &keys, &values).map_err(fault("FIRST_BYTES"))?;
        let mut prefixes = Vec::with_capacity(image.prefixes.len());
        for (number, entries) in (0u32..).zip(&image.prefixes) {
            let base = if number == table::RANGES { lists } else { 0 };
            let keys: Vec<_> = entries.iter().map(|entry| TrieKey { length: entry.length, key: entry.key }).collect();
            let values: Vec<_> = entries.iter().map(|entry| entry.value.wrapping_add(base)).collect();
            prefixes.push(sys::create_filled(Kind::LpmTrie, &keys, &values).map_err(fault("PREFIXES"))?);
        }
        let (mut block_index, mut blocked): (Vec<OwnedFd>, Vec<OwnedFd>) = (Vec::new(), Vec::new());
        let tables = BlockTable::all(&image.blocklist);
        for (at, table) in tables.iter().enumerate() {
            // most name the same lists in both directions: one table is enough
            if let Some(same) = tables[..at].iter().position(|other| other == table) {
                block_index.push(block_index[same].try_clone().map_err(fault("BLOCK_INDEX"))?);
                blocked.push(blocked[same].try_clone().map_err(fault("BLOCKED"))?);
                continue;
            }
            block_index.push(sys::create_array(table.index()).map_err(fault("BLOCK_INDEX"))?);
            blocked.push(sys::create_array(table.blocked()).map_err(fault("BLOCKED"))?);
        }
        Ok(Inner { sides, services, first_bytes, prefixes, block_index, blocked })
    }
}

fn room(what: &'static str, needed: usize, room: u32) -> Result<u32, SlotError> {
    if needed > room as usize {
        return Err(SlotError::Full { what, needed, room: room as usize });
    }
    Ok(room)
}

/// Hangs the inner maps into the slot. The calls each wait for a grace period; they wait together.
fn install(object: &Object, slot: u32, inner: &Inner) -> Result<(), SlotError> {
    let first = slot * table::TABLES;
    let tries: Vec<u32> = inner.prefixes.iter().map(raw).collect();
    let indices: Vec<u32> = (first..).take(tries.len()).collect();
    let sides = [raw(&inner.sides)];
    let services = [raw(&inner.services)];
    let first_bytes = [raw(&inner.first_bytes)];
    let parts: Vec<u32> = (slot * PARTS..).take(PARTS as usize).collect();
    let block_index: Vec<u32> = inner.block_index.iter().map(raw).collect();
    let blocked: Vec<u32> = inner.blocked.iter().map(raw).collect();
    let work: [(&'static str, &[u32], &[u32]); 6] = [
        ("PREFIXES", &indices, &tries),
        ("BLOCK_INDEX", &parts, &block_index),
        ("BLOCKED", &parts, &blocked),
        ("SIDES", &[slot], &sides),
        ("SERVICES", &[slot], &services),
        ("FIRST_BYTES", &[slot], &first_bytes),
    ];
    std::thread::scope(|scope| {
        let running = work.map(|(what, keys, values)| scope.spawn(move || put(object, what, keys, values)));
        running
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Waits for an RCU grace period.
fn grace(object: &Object, slot: u32, inner: &Inner) -> Result<(), SlotError> {
    put(object, "SIDES", &[slot], &[raw(&inner.sides)])
}

fn put(object: &Object, what: &'static str, keys: &[u32], fds: &[u32]) -> Result<(), SlotError> {
    let map = object.map_fd(what)?;
    sys::update_batch(map, keys, fds).map_err(|source| SlotError::Install { what, source })
}

/// A descriptor, as the value of a map of maps.
fn raw(fd: &OwnedFd) -> u32 {
    fd.as_fd().as_raw_fd() as u32
}
