//! bpf(2) commands that aya does not offer: batched updates, maps without an object, test runs of either program type.
//!
//! Layouts from `include/uapi/linux/bpf.h`, `union bpf_attr`.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use dropgate_abi::Plain;

use super::Mapped;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_LINK_DETACH: libc::c_long = 34;

#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// One entry of a map. A null `key` asks for the first one.
#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    _pad: u32,
    key: u64,
    next: u64,
    flags: u64,
}

impl Element {
    fn of(map: BorrowedFd<'_>) -> Self {
        Self { map_fd: map.as_raw_fd() as u32, ..Self::default() }
    }
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is a `repr(C)` prefix of `union bpf_attr` of the size given, and what it points to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes the program of a pinned link off its interface before this returns; the kernel frees a link that is only
/// unpinned some time later. Linux 5.9.
pub fn detach_link(pin: &Path) -> io::Result<()> {
    #[repr(C)]
    struct Get {
        path: u64,
        descriptor: u32,
        flags: u32,
    }
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let link = bpf(BPF_OBJ_GET, &mut Get { path: path.as_ptr() as u64, descriptor: 0, flags: 0 })?;
    // SAFETY: the kernel made this descriptor for us.
    let link = unsafe { OwnedFd::from_raw_fd(link as i32) };
    bpf(BPF_LINK_DETACH, &mut (link.as_raw_fd() as u32)).map(drop)
}

/// Types of maps that are made without an object (`enum bpf_map_type`), with the flags they need.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Hash,
    /// Keys are a prefix length, then its data.
    LpmTrie,
}

/// Makes a map and fills it; entries with equal keys: the last one stays.
pub fn create_filled<K: Plain, V: Plain>(kind: Kind, keys: &[K], values: &[V]) -> io::Result<OwnedFd> {
    let (map_type, map_flags) = match kind {
        Kind::Hash => (1, 0),
        // BPF_F_NO_PREALLOC, which tries insist on
        Kind::LpmTrie => (11, 1),
    };
    let map = create::<K, V>(map_type, map_flags, keys.len())?;
    update_batch(std::os::fd::AsFd::as_fd(&map), keys, values)?;
    Ok(map)
}

/// Makes an array that may be an inner map of any length (Linux 5.10), and writes its entries through memory, which takes no
/// system call for each.
pub fn create_array<V: Plain>(values: &[V]) -> io::Result<OwnedFd> {
    // BPF_F_MMAPABLE, BPF_F_INNER_MAP
    let map = create::<u32, V>(2, 1 << 10 | 1 << 12, values.len())?;
    let entries = Mapped::new(std::os::fd::AsFd::as_fd(&map), values.len())?;
    for (at, value) in values.iter().enumerate() {
        entries.set(at, *value);
    }
    Ok(map)
}

fn create<K, V>(map_type: u32, map_flags: u32, len: usize) -> io::Result<OwnedFd> {
    let mut attr = Create {
        map_type,
        key_size: size_of::<K>() as u32,
        value_size: size_of::<V>() as u32,
        max_entries: len.max(1) as u32,
        map_flags,
    };
    let fd = bpf(BPF_MAP_CREATE, &mut attr)?;
    // SAFETY: a descriptor that the kernel just gave us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sets many entries of a map with one call. For maps of maps the values are file descriptors, and the call waits for
/// one RCU grace period at its end.
pub fn update_batch<K: Plain, V: Plain>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> io::Result<()> {
    assert_eq!(keys.len(), values.len());
    let mut done = 0;
    while done < keys.len() {
        let mut attr = Batch {
            keys: keys[done..].as_ptr() as u64,
            values: values[done..].as_ptr() as u64,
            count: (keys.len() - done).min(1 << 20) as u32,
            map_fd: map.as_raw_fd() as u32,
            ..Batch::default()
        };
        let asked = attr.count as usize;
        bpf(BPF_MAP_UPDATE_BATCH, &mut attr)?;
        done += asked;
    }
    Ok(())
}

/// Removes every entry of a hash map whose keys are `K`.
pub fn clear<K: Plain + Default>(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut key = K::default();
    loop {
        let mut first = Element { next: std::ptr::from_mut(&mut key) as u64, ..Element::of(map) };
        match bpf(BPF_MAP_GET_NEXT_KEY, &mut first) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            other => other?,
        };
        let mut found = Element { key: std::ptr::from_ref(&key) as u64, ..Element::of(map) };
        match bpf(BPF_MAP_DELETE_ELEM, &mut found) {
            // pushed out in the meantime
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => 0,
            other => other?,
        };
    }
}

/// The end of `struct __sk_buff`: what a test run lets a caller say about a packet's segments.
#[repr(C)]
struct SkBuff {
    /// Fields that must be zero here.
    _before: [u32; 41],
    gso_segs: u32,
    _sk: u64,
    gso_size: u32,
    _pad: u32,
}

/// What came of a test run.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// What the last run returned.
    pub action: u32,
    /// Mean time of one run, ns.
    pub mean_ns: u32,
}

/// Runs a program on a frame, `repeat` times on the same bytes. Frames shorter than an Ethernet header are refused by
/// the kernel. `merged`: for tc programs, the size of the segments that the packet was merged from.
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32, merged: Option<u32>) -> io::Result<Ran> {
    let mut attr = TestRun {
        prog_fd: program.as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat,
        ..TestRun::default()
    };
    let context = merged.map(|gso_size| SkBuff { _before: [0; 41], gso_segs: 2, _sk: 0, gso_size, _pad: 0 });
    if let Some(context) = &context {
        attr.ctx_size_in = size_of::<SkBuff>() as u32;
        attr.ctx_in = std::ptr::from_ref(context) as u64;
    }
    bpf(BPF_PROG_TEST_RUN, &mut attr)?;
    Ok(Ran { action: attr.retval, mean_ns: attr.duration })
}

/// Runs an XDP program on copies of a frame that are real frames, `count` of them, on this CPU and in this thread's network
/// namespace: what the program says becomes of each. For loads; takes Linux 5.18.
pub fn bring(program: BorrowedFd<'_>, frame: &[u8], count: u32) -> io::Result<()> {
    /// `BPF_F_TEST_XDP_LIVE_FRAMES`.
    const LIVE_FRAMES: u32 = 1 << 1;
    let mut attr = TestRun {
        prog_fd: program.as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat: count,
        flags: LIVE_FRAMES,
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attr).map(drop)
}
