//! xdp-filter (Debian `xdp-tools`), the object that its `load` command would attach: all features, policy `allow`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{PerCpuArray, PerCpuValues},
    programs::{ProgramFd, Xdp},
    util::nr_cpus,
};

/// Where Debian puts it.
const OBJECT: &str = "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_all.o";
const PROGRAM: &str = "xdpfilt_alw_all";
/// Flags of an entry (`common_kern_user.h` of xdp-filter): destination, TCP.
const DESTINATION_TCP: u64 = 1 << 1 | 1 << 2;

/// One load of it.
pub struct Filter {
    ebpf: Ebpf,
}

impl Filter {
    /// Loads it; a destination port given is dropped.
    pub fn load(port: Option<u16>) -> Result<Self> {
        let bytes = fs::read(OBJECT).with_context(|| format!("reading `{OBJECT}`; Debian's `xdp-tools` has it"))?;
        // its maps ask to be pinned by name: into a folder of our own, from which they go again at once
        let pins = PathBuf::from(format!("/sys/fs/bpf/dropgate-bench-{}", std::process::id()));
        fs::create_dir_all(&pins)
            .with_context(|| format!("making `{}`; is the BPF file system mounted?", pins.display()))?;
        let loaded = EbpfLoader::new().default_map_pin_directory(&pins).load(&bytes);
        fs::read_dir(&pins)?.try_for_each(|pin| fs::remove_file(pin?.path()))?;
        fs::remove_dir(&pins)?;
        let mut ebpf = loaded.context("the kernel does not take xdp-filter")?;
        let xdp: &mut Xdp = ebpf.program_mut(PROGRAM).with_context(|| format!("no `{PROGRAM}`"))?.try_into()?;
        xdp.load().context("the kernel does not take xdp-filter's program")?;
        if let Some(port) = port {
            let mut ports: PerCpuArray<_, u64> =
                ebpf.map_mut("filter_ports").context("no `filter_ports`")?.try_into()?;
            let cpus = nr_cpus().map_err(|(_, error)| error)?;
            ports.set(u32::from(port.to_be()), PerCpuValues::try_from(vec![DESTINATION_TCP; cpus])?, 0)?;
        }
        Ok(Self { ebpf })
    }

    /// Its program.
    pub fn program(&self) -> Result<ProgramFd> {
        Ok(self.ebpf.program(PROGRAM).with_context(|| format!("no `{PROGRAM}`"))?.fd()?.try_clone()?)
    }
}
