//! Every test and check of the workspace.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::shell;

/// The eBPF crate is checked for its own target below.
const USERSPACE: [&str; 3] = ["--workspace", "--exclude", "dropgate-xdp"];

/// Runs every check and every test, whatever fails on the way, and names what failed.
pub fn run() -> Result<()> {
    let test = [&["test", "--release", "--no-fail-fast"], &USERSPACE[..]].concat();
    let steps: [(&str, &dyn Fn() -> Result<()>); 8] = [
        ("format", &|| shell::cargo(&["fmt", "--all", "--check"])),
        ("lints", &|| {
            shell::cargo(&[&["clippy", "--all-targets"], &USERSPACE[..], &["--", "-D", "warnings"]].concat())
        }),
        ("lints of the eBPF programs", &lint_bpf),
        ("stages of the eBPF programs that need no kernel", &|| {
            shell::cargo(&["test", "--release", "--package", "dropgate-xdp"])
        }),
        // The privileged tests start the program itself.
        ("build", &|| shell::cargo(&["build", "--release", "--package", "dropgate"])),
        ("unit tests", &|| shell::cargo(&[&test[..], &["--lib", "--bins"]].concat())),
        ("examples in the documentation", &|| shell::cargo(&[&test[..], &["--doc"]].concat())),
        // They share the machine's cores, its BPF file system and the clock with the traffic that they send.
        ("integration tests", &|| shell::cargo(&[&test[..], &["--test", "*", "--", "--test-threads=1"]].concat())),
    ];
    let mut report = String::new();
    let mut failed = 0;
    for (name, work) in steps {
        let start = Instant::now();
        let outcome = work();
        let mark = if outcome.is_ok() { "ok    " } else { "FAILED" };
        failed += usize::from(outcome.is_err());
        report.push_str(&format!("    {mark} {name} ({:.0} s)\n", start.elapsed().as_secs_f32()));
        if let Err(error) = outcome {
            eprintln!("{error:#}");
        }
    }
    eprint!("{report}");
    ensure!(failed == 0, "{failed} of {} steps failed; their output is above", steps.len());
    Ok(())
}

/// The eBPF programs, with the flags that `userspace/build.rs` builds them with.
fn lint_bpf() -> Result<()> {
    let target = ["--target", "bpfel-unknown-none", "-Z", "build-std=core", "--target-dir", "target/bpf"];
    let arguments =
        [&["clippy", "--locked", "--release", "--package", "dropgate-xdp"], &target[..], &["--", "-D", "warnings"]];
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    shell::cargo_nightly(&arguments.concat(), &["-Ctarget-cpu=v3", &arch])
}
