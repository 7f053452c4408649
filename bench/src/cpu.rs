//! CPU time of who carries the packets.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use dropgate_lab::Namespace;

/// CPU time so far of every process of some groups and of the softirq threads, ns (`/proc/PID/schedstat`; what a softirq does
/// on top of a process is in that process's time).
pub fn time(groups: &[u32]) -> Result<u64> {
    // state, parent, group
    let of_group = |rest: &str| {
        let group = rest.split_whitespace().nth(2).and_then(|field| field.parse().ok());
        group.is_some_and(|group| groups.contains(&group))
    };
    sum(|_, name, rest| of_group(rest) || is_softirq(name))
}

/// The same of every process in these namespaces, of the softirq threads, and of children of this process that have ended.
pub fn within(namespaces: &[&Namespace]) -> Result<u64> {
    let inodes: Vec<u64> = namespaces.iter().filter_map(|one| Some(fs::metadata(one.path()).ok()?.ino())).collect();
    let inside = |path: &Path| fs::metadata(path.join("ns/net")).is_ok_and(|net| inodes.contains(&net.ino()));
    Ok(sum(|path, name, _| is_softirq(name) || inside(path))? + children())
}

/// CPU time of this thread so far.
pub fn thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills in the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Memory of a process now, bytes (`/proc/PID/status`): its own, and with what it has mapped of files and kernel tables.
pub fn memory(process: u32) -> Result<[u64; 2]> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    };
    let both = field("RssAnon:").zip(field("VmRSS:"));
    both.map(|(own, all)| [own, all]).with_context(|| format!("`{path}` does not tell of memory"))
}

/// Memory of the kernel maps that a process has open, bytes (`memlock` in `/proc/PID/fdinfo`); each counts once.
pub fn maps(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/fdinfo");
    let mut seen = std::collections::BTreeMap::new();
    for descriptor in numbered(Path::new(&path)).with_context(|| format!("reading `{path}`"))? {
        // it may be closed while it is looked at
        let text = fs::read_to_string(&descriptor).unwrap_or_default();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse::<u64>().ok();
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            seen.insert(id, bytes);
        }
    }
    Ok(seen.values().sum())
}

/// Memory that the machine has to give, bytes.
pub fn available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading `/proc/meminfo`")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("`/proc/meminfo` does not tell of memory")? << 10)
}

fn is_softirq(name: &str) -> bool {
    name.starts_with("ksoftirqd/")
}

/// CPU time of children that were waited for, ns.
fn children() -> u64 {
    // SAFETY: all zeroes is a valid value of this plain structure, which the call fills in.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut used);
        used
    };
    let ns = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_usec.unsigned_abs() * 1000;
    ns(used.ru_utime) + ns(used.ru_stime)
}

/// CPU time of all threads of the processes that are `wanted`, by folder, name, and what follows the name in `stat`.
fn sum(wanted: impl Fn(&Path, &str, &str) -> bool) -> Result<u64> {
    let mut sum = 0;
    for path in numbered(Path::new("/proc")).context("reading `/proc`")? {
        // a process may end while it is looked at
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        if wanted(&path, name, rest) {
            for thread in numbered(&path.join("task")).unwrap_or_default() {
                let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
                sum += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            }
        }
    }
    Ok(sum)
}

/// What is called by a number in a folder.
fn numbered(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_number =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    Ok(fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_number).collect())
}
