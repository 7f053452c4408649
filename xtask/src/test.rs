//! Every test and check of the workspace.

use anyhow::Result;

use crate::shell;

/// The eBPF crate is checked for its own target below.
const USERSPACE: [&str; 3] = ["--workspace", "--exclude", "dropgate-xdp"];

/// Runs the checks, then the tests.
pub fn run() -> Result<()> {
    shell::cargo(&["fmt", "--all", "--check"])?;
    shell::cargo(&[&["clippy", "--all-targets"], &USERSPACE[..], &["--", "-D", "warnings"]].concat())?;
    let bpf =
        ["clippy", "--package", "dropgate-xdp", "--target", "bpfel-unknown-none", "-Z", "build-std=core", "--release"];
    shell::cargo_nightly(&[&bpf[..], &["--", "-D", "warnings"]].concat())?;
    // The privileged tests start the program itself.
    shell::cargo(&["build", "--release", "--package", "dropgate"])?;
    let test = [&["test", "--release", "--no-fail-fast"], &USERSPACE[..]].concat();
    shell::cargo(&[&test[..], &["--lib", "--bins"]].concat())?;
    shell::cargo(&[&test[..], &["--doc"]].concat())?;
    // Integration tests share the machine's two cores, its BPF file system and the clock with the traffic they send.
    shell::cargo(&[&test[..], &["--test", "*", "--", "--test-threads=1"]].concat())
}
