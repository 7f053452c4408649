//! CPU time of who carries the packets.

use std::fs;

use anyhow::{Context as _, Result};

/// CPU time so far of every process of a group and of the softirq threads, ns (`/proc/PID/schedstat`; what a softirq does
/// on top of a process is in that process's time).
pub fn time(group: u32) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir("/proc").context("reading `/proc`")? {
        let path = entry?.path();
        let is_process = path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        // a process may end while it is looked at
        let Some(stat) = is_process.then(|| fs::read_to_string(path.join("stat")).ok()).flatten() else { continue };
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        // state, parent, group
        let of_group = rest.split_whitespace().nth(2).and_then(|field| field.parse().ok()) == Some(group);
        if of_group || name.starts_with("ksoftirqd/") {
            let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            sum += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(sum)
}
