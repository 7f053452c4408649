//! What building and testing need: Debian packages, the nightly's sources, `bpf-linker`, and a kernel that can do it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::shell;

/// Programs that are used, and the Debian package that has each.
const PROGRAMS: &[(&str, &str)] = &[
    ("cc", "build-essential"),
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("dnsmasq", "dnsmasq-base"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("microsocks", "microsocks"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("ping", "iputils-ping"),
    ("redis-cli", "redis-tools"),
    ("redis-server", "redis-server"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("tcpdump", "tcpdump"),
    ("tinyproxy", "tinyproxy-bin"),
    ("traceroute", "traceroute"),
    ("trafgen", "netsniff-ng"),
    ("udhcpc", "udhcpc"),
    ("vsftpd", "vsftpd"),
    ("wrk", "wrk"),
    ("xdp-filter", "xdp-tools"),
];

/// Newer ones want the LLVM of a newer nightly.
const BPF_LINKER: &str = "0.10.1";
/// LLVM that [`BPF_LINKER`] is built with.
const LLVM: &str = "22";
/// A nightly with that LLVM, for machines whose nightly has another.
const NIGHTLY: &str = "nightly-2026-05-20";
/// tcx came with this release.
const KERNEL: (u32, u32) = (6, 6);

const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const BPFFS_MAGIC: i64 = 0xcafe_4a11;

/// Checks the machine and installs what is missing.
pub fn run() -> Result<()> {
    check_root()?;
    check_kernel()?;
    mount_bpffs()?;
    install_packages()?;
    install_rust_src()?;
    install_bpf_linker()
}

/// Everything here makes network namespaces and loads BPF programs.
pub fn check_root() -> Result<()> {
    // SAFETY: plain system call without arguments.
    let uid = unsafe { libc::geteuid() };
    ensure!(
        uid == 0,
        "this needs root, for network namespaces and BPF; it runs with uid {uid}: use `sudo -E cargo xtask ..`"
    );
    Ok(())
}

fn check_kernel() -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
    let release = release.trim();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    ensure!(
        version >= KERNEL,
        "the kernel is {release}, but tcx needs at least {}.{}: boot a newer one",
        KERNEL.0,
        KERNEL.1
    );
    let btf = "/sys/kernel/btf/vmlinux";
    ensure!(
        Path::new(btf).exists(),
        "`{btf}` is missing: this kernel was built without CONFIG_DEBUG_INFO_BTF; boot one that has it (Debian's have)"
    );
    Ok(())
}

fn mount_bpffs() -> Result<()> {
    if is_bpffs() {
        return Ok(());
    }
    let advice = format!("no BPF file system at `{BPFFS}`: mount it with `mount -t bpf bpf {BPFFS}`");
    shell::call(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS])).context(advice.clone())?;
    ensure!(is_bpffs(), advice);
    Ok(())
}

fn is_bpffs() -> bool {
    let Ok(path) = std::ffi::CString::new(BPFFS) else { return false };
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut info: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends with zero, and a structure for the answer, both alive during the call.
    let outcome = unsafe { libc::statfs(path.as_ptr(), &mut info) };
    // The field's width and sign differ between architectures.
    #[allow(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    let magic = info.f_type as i64 & 0xffff_ffff;
    outcome == 0 && magic == BPFFS_MAGIC
}

fn install_packages() -> Result<()> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| shell::find(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    if shell::find("apt-get").is_none() {
        bail!(
            "these programs are missing: {}; only Debian's `apt-get` is known here, so install them by other means \
             (Debian calls the packages {})",
            programs.join(", "),
            packages.join(", ")
        );
    }
    let _services_stay_off = NoServices::new()?;
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-y", "-q", "-o", "DPkg::Lock::Timeout=120"]);
        command
    };
    shell::call(apt().arg("update")).context("the package lists cannot be fetched: is this machine online?")?;
    shell::call(apt().args(["install", "--no-install-recommends"]).args(&packages))?;
    for program in programs {
        ensure!(shell::find(program).is_some(), "`{program}` is still missing after its package was installed");
    }
    Ok(())
}

/// While it lives, packages that are installed start no service (invoke-rc.d(8), `policy-rc.d`).
struct NoServices {
    made: Option<PathBuf>,
}

impl NoServices {
    const MARK: &str = "# made by `cargo xtask setup`, which also removes it";

    fn new() -> Result<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        // Another one is the administrator's, and stays; ours is there only after a run that was killed.
        if let Ok(text) = fs::read_to_string(&path)
            && !text.contains(Self::MARK)
        {
            return Ok(Self { made: None });
        }
        let text = format!("#!/bin/sh\n{}\nexit 101\n", Self::MARK);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self { made: Some(path) })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.made
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("`{}` is left behind and keeps services from starting: {error}", path.display());
        }
    }
}

fn install_rust_src() -> Result<()> {
    ensure!(
        shell::find("rustup").is_some(),
        "`rustup` is missing: the eBPF programs need a nightly toolchain; install it from https://rustup.rs"
    );
    if nightly(&["-vV"]).is_none() {
        let arguments = ["toolchain", "install", "nightly", "--profile", "minimal"];
        shell::call(Command::new("rustup").args(arguments))?;
    }
    let version = nightly(&["-vV"]).context("the nightly toolchain does not start")?;
    let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: ")).unwrap_or("unknown");
    ensure!(
        llvm.split('.').next() == Some(LLVM),
        "the nightly toolchain has LLVM {llvm}, but `bpf-linker` {BPF_LINKER} needs LLVM {LLVM}: `rustup toolchain install \
         {NIGHTLY}`, then `rustup toolchain link nightly $(rustup run {NIGHTLY} rustc --print sysroot)`"
    );
    let sysroot = nightly(&["--print", "sysroot"]).context("the nightly toolchain does not name its sysroot")?;
    let sysroot = Path::new(sysroot.trim());
    let core = sysroot.join("lib/rustlib/src/rust/library/core");
    if !core.is_dir() {
        component("rust-src").context(
            "`-Z build-std=core` needs the sources of `core`; where rustup cannot fetch them, unpack Debian's \
             `rust-web-src` into the nightly's sysroot",
        )?;
        ensure!(
            core.is_dir(),
            "rustup believes that `rust-src` is installed, but `{}` is missing: `rustup component remove rust-src \
             --toolchain nightly`, then run this again",
            core.display()
        );
    }
    for (program, name) in [("cargo-clippy", "clippy"), ("rustfmt", "rustfmt")] {
        if !sysroot.join("bin").join(program).exists() {
            component(name)?;
        }
    }
    Ok(())
}

fn nightly(arguments: &[&str]) -> Option<String> {
    shell::output("rustup", &[&["run", "nightly", "rustc"], arguments].concat())
}

fn component(name: &str) -> Result<()> {
    shell::call(Command::new("rustup").args(["component", "add", name, "--toolchain", "nightly"]))
}

fn install_bpf_linker() -> Result<()> {
    let wanted = format!("bpf-linker {BPF_LINKER}");
    if shell::output("bpf-linker", &["--version"]).is_some_and(|version| version.trim() == wanted) {
        return Ok(());
    }
    shell::step("building bpf-linker takes a minute or two");
    // Beside the workspace's own target folder, so that nothing of it is built anew.
    shell::cargo_nightly(&["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force"], &[])?;
    let found = shell::output("bpf-linker", &["--version"]).unwrap_or_default();
    ensure!(
        found.trim() == wanted,
        "`bpf-linker` {BPF_LINKER} was installed, but `{}` is found in PATH: put cargo's bin folder first",
        found.trim()
    );
    Ok(())
}
