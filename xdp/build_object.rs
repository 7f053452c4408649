//! How a package of the kernel side is built: with the nightly toolchain, for the target CPU whose atomic instructions it
//! uses (v3). Build scripts and the mutation tests include this file by its path.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "bpfel-unknown-none";

/// The command that builds `package`, whose sources are in `folder`, into the target folder `out`. `arch`: processor that the
/// object is for, as cargo names it.
pub fn command(package: &str, folder: &Path, out: &Path, arch: &str) -> Command {
    let flags = ["-Ctarget-cpu=v3", "-Cdebuginfo=2", "-Clink-arg=--btf", &format!("--cfg=bpf_target_arch=\"{arch}\"")]
        .join("\x1f");
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "build", "--release", "--locked", "--package", package, "--bins"])
        .args(["--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(out)
        .current_dir(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        // the outer cargo's choice of compiler is not for the kernel side
        .env_remove("RUSTC")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// The object that [`command`] makes.
pub fn object(package: &str, out: &Path) -> PathBuf {
    out.join(TARGET).join("release").join(package)
}
