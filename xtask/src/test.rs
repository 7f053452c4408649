//! Every test and check of the workspace.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{halves, shell};

/// The eBPF crate is checked for its own target below.
const USERSPACE: [&str; 3] = ["--workspace", "--exclude", "dropgate-xdp"];

/// Runs every check and every test, whatever fails on the way, and names what failed.
pub fn run() -> Result<()> {
    let test = [&["test", "--release", "--no-fail-fast"], &USERSPACE[..]].concat();
    let steps: [(&str, &dyn Fn() -> Result<()>); 8] = [
        ("format", &|| shell::cargo(&["fmt", "--all", "--check"])),
        ("lints", &|| {
            shell::cargo(
                &[&["clippy", "--release", "--all-targets"], &USERSPACE[..], &["--", "-D", "warnings"]].concat(),
            )
        }),
        ("lints of the eBPF programs", &lint_bpf),
        ("stages of the eBPF programs that need no kernel", &|| {
            run_tests(&["test", "--release", "--package", "dropgate-xdp"])
        }),
        // The privileged tests start the program itself.
        ("build", &|| shell::cargo(&["build", "--release", "--package", "dropgate"])),
        ("unit tests", &|| run_tests(&[&test[..], &["--lib", "--bins"]].concat())),
        ("examples in the documentation", &|| run_tests(&[&test[..], &["--doc"]].concat())),
        // Each has namespaces and a folder of its own, and waits for timers and servers most of the time. More than two at once
        // would be late themselves: they share the machine's cores with the traffic that they send.
        ("integration tests", &|| run_halves(&[&test[..], &["--test", "*"]].concat())),
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

/// Runs tests, none of which may be left out: a privileged test that is skipped proves nothing.
fn run_tests(arguments: &[&str]) -> Result<()> {
    all_ran(&shell::cargo_printing(arguments)?)
}

/// The same, two tests at once, whatever fails on the way.
fn run_halves(arguments: &[&str]) -> Result<()> {
    let mut printed = String::new();
    let mut failed = 0;
    for program in halves::build(arguments)? {
        match halves::run(&program) {
            Ok(text) => printed.push_str(&text),
            Err(error) => {
                eprintln!("{error:#}");
                failed += 1;
            }
        }
    }
    ensure!(failed == 0, "{failed} test programs failed");
    all_ran(&printed)
}

fn all_ran(printed: &str) -> Result<()> {
    let (passed, ignored) = totals(printed);
    ensure!(ignored == 0, "{ignored} tests were ignored; every test has to run");
    ensure!(passed > 0, "no test ran");
    eprintln!("    {passed} tests passed, none ignored");
    Ok(())
}

/// How many tests passed and how many were ignored, by the line with which each test program ends.
fn totals(printed: &str) -> (u64, u64) {
    let results: Vec<&str> = printed.lines().filter(|line| line.starts_with("test result: ")).collect();
    let sum = |name: &str| {
        let counts =
            results.iter().flat_map(|line| line.split([';', '.'])).filter_map(|part| part.trim().strip_suffix(name));
        counts.filter_map(|count| count.trim().parse::<u64>().ok()).sum()
    };
    (sum("passed"), sum("ignored"))
}

/// The eBPF programs, with the flags that `userspace/build.rs` builds them with.
fn lint_bpf() -> Result<()> {
    let target = ["--target", "bpfel-unknown-none", "-Z", "build-std=core", "--target-dir", "target/bpf"];
    let arguments =
        [&["clippy", "--locked", "--release", "--package", "dropgate-xdp"], &target[..], &["--", "-D", "warnings"]];
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    shell::cargo_nightly(&arguments.concat(), &["-Ctarget-cpu=v3", &arch])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_tests_are_counted() {
        let printed = "running 3 tests\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
            test result: FAILED. 40 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.02s\n";
        assert_eq!(totals(printed), (42, 1));
        assert_eq!(totals(""), (0, 0));
    }
}
