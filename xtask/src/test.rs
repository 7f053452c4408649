//! Every test and check of the workspace.

use anyhow::Result;

use crate::shell;

/// The eBPF crate is checked for its own target below.
const USERSPACE: [&str; 3] = ["--workspace", "--exclude", "dropgate-xdp"];

/// Runs the checks, then the tests.
pub fn run() -> Result<()> {
    shell::cargo(&["fmt", "--all", "--check"])?;
    shell::cargo(&[&["clippy", "--all-targets"], &USERSPACE[..], &["--", "-D", "warnings"]].concat())?;
    lint_bpf()?;
    // The privileged tests start the program itself.
    shell::cargo(&["build", "--release", "--package", "dropgate"])?;
    let test = [&["test", "--release", "--no-fail-fast"], &USERSPACE[..]].concat();
    shell::cargo(&[&test[..], &["--lib", "--bins"]].concat())?;
    shell::cargo(&[&test[..], &["--doc"]].concat())?;
    // Integration tests share the machine's two cores, its BPF file system and the clock with the traffic they send.
    shell::cargo(&[&test[..], &["--test", "*", "--", "--test-threads=1"]].concat())
}

/// The eBPF programs, with the flags that `userspace/build.rs` builds them with.
fn lint_bpf() -> Result<()> {
    let target = ["--target", "bpfel-unknown-none", "-Z", "build-std=core", "--target-dir", "target/bpf"];
    let arguments =
        [&["clippy", "--locked", "--release", "--package", "dropgate-xdp"], &target[..], &["--", "-D", "warnings"]];
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    shell::cargo_nightly(&arguments.concat(), &["-Ctarget-cpu=v3", &arch])
}
