//! Builds the bench's own BPF programs, as `userspace/build.rs` builds the object.

use std::{env, path::PathBuf, process::Command};

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let xdp = manifest.join("xdp");
    println!("cargo:rerun-if-changed={}", xdp.display());
    let flags = ["-Ctarget-cpu=v3", "-Cdebuginfo=2", "-Clink-arg=--btf", &format!("--cfg=bpf_target_arch=\"{arch}\"")]
        .join("\x1f");
    let status = Command::new("rustup")
        .args(["run", "nightly", "cargo", "build", "--release", "--locked", "--package", "dropgate-bench-xdp"])
        .args(["--target", "bpfel-unknown-none", "-Zbuild-std=core", "--target-dir"])
        .arg(out.join("bpf"))
        .current_dir(&xdp)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        // the outer cargo's choice of compiler is not for the kernel side
        .env_remove("RUSTC")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the BPF programs did not build ({status}); `cargo xtask setup` installs what they need"),
        Err(error) => {
            panic!("`rustup run nightly cargo` did not start: {error}; `cargo xtask setup` installs what it needs")
        }
    }
    let object = out.join("bpf/bpfel-unknown-none/release/dropgate-bench-xdp");
    println!("cargo:rustc-env=DROPGATE_BENCH_OBJECT={}", object.display());
}
