//! Where a result comes from.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// The machine, its kernel, and the source that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// JIT of BPF programs: contents of `net.core.bpf_jit_enable`.
    pub bpf_jit: String,
    pub commit: String,
    /// Files changed since that commit.
    pub changed: usize,
    pub date: String,
}

impl Machine {
    /// Asks the system.
    pub fn read() -> Result<Self> {
        let processor = field("/proc/cpuinfo", "model name")?;
        let memory = field("/proc/meminfo", "MemTotal")?;
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().context("`MemTotal` in `/proc/meminfo`")?;
        Ok(Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mib: memory_kib / 1024,
            kernel: text("/proc/sys/kernel/osrelease")?,
            bpf_jit: text("/proc/sys/net/core/bpf_jit_enable")?,
            commit: git(&["rev-parse", "--short", "HEAD"])?,
            changed: git(&["status", "--porcelain", "--untracked-files=no"])?.lines().count(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        })
    }
}

fn text(path: &str) -> Result<String> {
    Ok(fs::read_to_string(path).with_context(|| format!("reading `{path}`"))?.trim().to_owned())
}

fn field(path: &str, name: &str) -> Result<String> {
    let all = text(path)?;
    let line = all.lines().find(|line| line.starts_with(name)).with_context(|| format!("`{path}` has no `{name}`"))?;
    Ok(line.split_once(':').map_or("", |(_, value)| value).trim().to_owned())
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).output().context("starting `git`")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
