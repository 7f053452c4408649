//! The BPF object: its bytes, its sizes, its maps by name.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray, PerCpuValues, ProgramArray},
    programs::{ProgramFd, SchedClassifier, Xdp},
};
use dropgate_abi::{Plain, control::Counter, flow::GROUP, fragment::FRAGMENT_WAYS, policy::MAX_ZONES};

use super::{Mapped, counters::Raw, sys};

/// The object, as the build script made it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("DROPGATE_OBJECT"));

/// Maps that hold what generations decide. They outlive the daemon, and an explanation reads them.
pub const POLICY_MAPS: &[&str] = &[
    "SETTINGS",
    "ZONES",
    "SIDES",
    "PREFIXES",
    "BLOCK_INDEX",
    "BLOCKED",
    "SERVICES",
    "FIRST_BYTES",
    "SIEVES",
    "DATAGRAMS",
    "LISTS",
    "CANDIDATES",
    "FORWARD",
];

/// Maps that the programs change, or that steer them. They outlive the daemon too.
pub const STATE_MAPS: &[&str] = &[
    "CONTROL",
    "FLOW_GROUPS",
    "FLOW_TAGS",
    "FLOWS",
    "ZONE_FLOWS",
    "FRAGMENTS",
    "FRAGMENT_SOURCES",
    "ASKED",
    "RELATED",
    "HOLD_PORTS",
    "SOCKETS",
    "CREDITS",
    "REASON_COUNTERS",
    "ZONE_COUNTERS",
    "SERVICE_COUNTERS",
    "LIMITERS",
    "EVENTS",
    "TRACE",
    "SWEEP",
    "SCRATCH",
    "INSIDE_XDP",
    "INSIDE_TC",
];

/// Names of the programs.
pub mod program {
    pub const INGRESS: &str = "dropgate_ingress";
    pub const EGRESS: &str = "dropgate_egress";
    pub const TCX_INGRESS: &str = "dropgate_tcx_ingress";
    pub const TCX_EGRESS: &str = "dropgate_tcx_egress";
    pub const BARE_INGRESS: &str = "dropgate_bare_ingress";
    pub const BARE_EGRESS: &str = "dropgate_bare_egress";
    pub const BARE_INSIDE: &str = "dropgate_bare_inside";
    pub const SWEEP: &str = "dropgate_sweep";
    pub const HOLD: &str = "dropgate_hold";
    pub const RELEASE: &str = "dropgate_release";
    pub const SETTLE: &str = "dropgate_settle";
    pub const REVIEW: &str = "dropgate_review";
    pub const TARGET: &str = "dropgate_target";
    pub const INSIDE: &str = "dropgate_inside";
    pub const INSIDE_LEAVING: &str = "dropgate_inside_leaving";
}

/// Sizes that are fixed when the maps are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sizes {
    /// Buckets of eight flows; a power of two, at least 64.
    pub flow_buckets: u32,
    /// Buckets of eight datagrams in fragments; a power of two.
    pub fragment_buckets: u32,
    /// Entries of `LISTS` and of `CANDIDATES` for each slot.
    pub lists: u32,
    pub candidates: u32,
    /// Counters of services.
    pub services: u32,
}

impl Sizes {
    /// Room for `flows` live flows with a fifth to spare, so that a full bucket is rare before the table is full.
    pub fn for_flows(flows: u32) -> Self {
        let buckets = (u64::from(flows) * 6 / 5).div_ceil(8).next_power_of_two().clamp(64, 1 << 22) as u32;
        Self { flow_buckets: buckets, fragment_buckets: 4096, lists: 1 << 16, candidates: 1 << 18, services: 1 << 17 }
    }

    /// Incomplete datagrams that one source may have: a sixteenth of the table, and in small ones as many as hosts have.
    pub fn fragments_per_source(&self) -> u32 {
        (self.fragment_buckets * FRAGMENT_WAYS as u32 / 16).max(32)
    }

    /// Small tables, for runs over a few packets.
    pub const fn small() -> Self {
        Self { flow_buckets: 64, fragment_buckets: 16, lists: 1 << 12, candidates: 1 << 14, services: 1 << 14 }
    }
}

/// What can go wrong with the object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("the kernel does not take the object")]
    Load(#[source] aya::EbpfError),
    #[error("the kernel does not take program `{name}`")]
    Program {
        name: &'static str,
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    #[error("the object has no `{name}`; it was built from another version")]
    Missing { name: String },
    #[error("`{name}` cannot be mapped into memory")]
    Mmap {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("program `{name}` does not run")]
    Run {
        name: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("map `{name}`")]
    Map {
        name: String,
        #[source]
        source: Box<aya::maps::MapError>,
    },
}

/// The loaded object. Programs are loaded, attached to nothing.
pub struct Object {
    pub(crate) ebpf: Ebpf,
    pub(crate) sizes: Sizes,
}

impl Object {
    /// Loads maps and programs. Of the maps in `shared`, those that are pinned in `pins` are taken over and the others
    /// pinned there.
    pub fn load(sizes: Sizes, pins: &Path, shared: &[&[&'static str]]) -> Result<Self, ObjectError> {
        Self::load_bytes(OBJECT, sizes, pins, shared)
    }

    /// As [`Object::load`], with an object from elsewhere: a mutated one, which tests must tell from ours.
    pub fn load_bytes(
        object: &[u8],
        sizes: Sizes,
        pins: &Path,
        shared: &[&[&'static str]],
    ) -> Result<Self, ObjectError> {
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries("FLOW_GROUPS", sizes.flow_buckets / GROUP)
            .map_max_entries("FLOW_TAGS", sizes.flow_buckets)
            .map_max_entries("FLOWS", sizes.flow_buckets)
            .map_max_entries("FRAGMENTS", sizes.fragment_buckets)
            .map_max_entries("LISTS", 2 * sizes.lists)
            .map_max_entries("CANDIDATES", 2 * sizes.candidates)
            .map_max_entries("SERVICE_COUNTERS", sizes.services);
        for name in shared.iter().copied().flatten() {
            loader.map_pin_path(name, pins.join(name));
        }
        let mut ebpf = loader.load(object).map_err(ObjectError::Load)?;
        for name in [program::INGRESS, program::HOLD] {
            let loaded: &mut Xdp = find(&mut ebpf, name)?;
            loaded.load().map_err(|source| ObjectError::Program { name, source: Box::new(source) })?;
        }
        // Those that the daemon runs by `BPF_PROG_TEST_RUN` are of the type for tc: for one of XDP the kernel rewrites the calls of
        // all drivers and interrupts every CPU, before and after (`bpf_dispatcher_change_prog`, `kernel/bpf/dispatcher.c`).
        let asked = [program::SWEEP, program::SETTLE, program::REVIEW, program::TARGET];
        let mut object = Self { ebpf, sizes };
        for name in [program::EGRESS, program::RELEASE].into_iter().chain(asked) {
            object.classifier(name)?;
        }
        Ok(object)
    }

    /// A program of the type for tc, loaded now if it was not yet: those for devices without native XDP are where they are needed.
    pub(crate) fn classifier(&mut self, name: &'static str) -> Result<&mut SchedClassifier, ObjectError> {
        let program: &mut SchedClassifier = find(&mut self.ebpf, name)?;
        if program.fd().is_err() {
            program.load().map_err(|source| ObjectError::Program { name, source: Box::new(source) })?;
        }
        Ok(program)
    }

    /// Loads the programs that judge the packets in tunnels, if they are not there yet, and makes the others call them: they are as large
    /// as those, and most policies need none. `bare`: those for devices without link-layer header too.
    pub fn look_inside(&mut self, bare: bool) -> Result<(), ObjectError> {
        if self.program_fd(program::INSIDE).is_err() {
            let inside: &mut Xdp = find(&mut self.ebpf, program::INSIDE)?;
            inside.load().map_err(|source| ObjectError::Program { name: program::INSIDE, source: Box::new(source) })?;
            self.call("INSIDE_XDP", 0, program::INSIDE)?;
        }
        for (at, name) in [(0, program::INSIDE_LEAVING), (1, program::BARE_INSIDE)] {
            if (at == 0 || bare) && self.program_fd(name).is_err() {
                self.classifier(name)?;
                self.call("INSIDE_TC", at, name)?;
            }
        }
        Ok(())
    }

    /// Makes a program the one that others call by an entry of `map`.
    fn call(&mut self, map: &str, at: u32, name: &'static str) -> Result<(), ObjectError> {
        let fault = |source| ObjectError::Map { name: map.to_owned(), source: Box::new(source) };
        let io = |source| ObjectError::Mmap { name: map.to_owned(), source };
        let program = self.program_fd(name)?.try_clone().map_err(io)?;
        let found = self.ebpf.map_mut(map).ok_or_else(|| ObjectError::Missing { name: map.to_owned() })?;
        let mut calls = ProgramArray::try_from(found).map_err(fault)?;
        calls.set(at, &program, 0).map_err(fault)
    }

    /// The data of a map.
    pub fn map(&self, name: &str) -> Result<&MapData, ObjectError> {
        let missing = || ObjectError::Missing { name: name.to_owned() };
        match self.ebpf.map(name).ok_or_else(missing)? {
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::HashMap(data)
            | Map::LruHashMap(data)
            | Map::ArrayOfMaps(data)
            | Map::RingBuf(data)
            | Map::DevMapHash(data)
            | Map::XskMap(data) => Ok(data),
            _ => Err(missing()),
        }
    }

    /// The descriptor of a map.
    pub fn map_fd(&self, name: &str) -> Result<BorrowedFd<'_>, ObjectError> {
        Ok(self.map(name)?.fd().as_fd())
    }

    /// An array map, mapped into memory.
    pub fn mapped<T: Plain>(&self, name: &str, len: u32) -> Result<Mapped<T>, ObjectError> {
        Mapped::new(self.map_fd(name)?, len as usize)
            .map_err(|source| ObjectError::Mmap { name: name.to_owned(), source })
    }

    /// The descriptor of a program.
    pub fn program_fd(&self, name: &'static str) -> Result<&ProgramFd, ObjectError> {
        let program = self.ebpf.program(name).ok_or_else(|| ObjectError::Missing { name: name.to_owned() })?;
        program.fd().map_err(|source| ObjectError::Program { name, source: Box::new(source) })
    }

    /// The kernel's number for a program.
    pub fn program_id(&self, name: &'static str) -> Result<u32, ObjectError> {
        let program = self.ebpf.program(name).ok_or_else(|| ObjectError::Missing { name: name.to_owned() })?;
        let info = program.info().map_err(|source| ObjectError::Program { name, source: Box::new(source) })?;
        Ok(info.id())
    }

    /// The tag of a program: a hash of its instructions, the same for every load of one object.
    pub fn program_tag(&self, name: &'static str) -> Result<u64, ObjectError> {
        let program = self.ebpf.program(name).ok_or_else(|| ObjectError::Missing { name: name.to_owned() })?;
        let info = program.info().map_err(|source| ObjectError::Program { name, source: Box::new(source) })?;
        Ok(info.tag())
    }

    /// Runs the sweep, which frees the expired flows of a stretch of buckets, `runs` times.
    pub fn sweep(&self, runs: u32) -> Result<(), ObjectError> {
        let program = self.program_fd(program::SWEEP)?;
        match sys::test_run(program.as_fd(), &[0; 64], runs, None) {
            // a signal cuts the runs short; the next call goes on where they ended
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(source) => Err(ObjectError::Run { name: program::SWEEP, source }),
            Ok(_) => Ok(()),
        }
    }

    /// Sets a counter to zero on every CPU.
    pub fn zero(&mut self, name: &str, index: u32) -> Result<(), ObjectError> {
        let fault = |source| ObjectError::Map { name: name.to_owned(), source: Box::new(source) };
        let map = self.ebpf.map_mut(name).ok_or_else(|| ObjectError::Missing { name: name.to_owned() })?;
        let mut array: PerCpuArray<_, Raw<Counter>> = map.try_into().map_err(fault)?;
        let old = array.get(&index, 0).map_err(fault)?;
        let zero = vec![Raw(Counter::default()); old.len()];
        let zero =
            PerCpuValues::try_from(zero).map_err(|source| ObjectError::Mmap { name: name.to_owned(), source })?;
        array.set(index, zero, 0).map_err(fault)
    }

    /// Takes the data of a map out, for who alone reads it.
    pub fn take(&mut self, name: &str) -> Result<MapData, ObjectError> {
        match self.ebpf.take_map(name) {
            Some(Map::RingBuf(data)) => Ok(data),
            _ => Err(ObjectError::Missing { name: name.to_owned() }),
        }
    }

    /// A map for somebody else to use, beside those who use it here.
    pub fn share(&self, name: &str) -> Result<Map, ObjectError> {
        let fault = |source| ObjectError::Map { name: name.to_owned(), source: Box::new(source) };
        let io = |source| ObjectError::Mmap { name: name.to_owned(), source };
        let data = MapData::from_fd(self.map_fd(name)?.try_clone_to_owned().map_err(io)?).map_err(fault)?;
        match self.ebpf.map(name) {
            Some(Map::HashMap(_)) => Ok(Map::HashMap(data)),
            Some(Map::LruHashMap(_)) => Ok(Map::LruHashMap(data)),
            Some(Map::XskMap(_)) => Ok(Map::XskMap(data)),
            _ => Err(ObjectError::Missing { name: name.to_owned() }),
        }
    }

    /// Sizes the maps were made with.
    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Entries of the maps that hold something for each zone.
    pub const fn zones(&self) -> u32 {
        MAX_ZONES
    }
}

pub(crate) fn find<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, ObjectError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| ObjectError::Missing { name: name.to_owned() })?;
    program.try_into().map_err(|source| ObjectError::Program { name, source: Box::new(source) })
}
