//! Builds the BPF object with the nightly toolchain, for the target CPU whose atomic instructions it uses (v3).

use std::{env, path::PathBuf, process::Command};

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let xdp = env::var_os("DROPGATE_XDP_SOURCE").map_or_else(|| manifest.join("../xdp"), PathBuf::from);
    println!("cargo:rerun-if-env-changed=DROPGATE_XDP_SOURCE");
    println!("cargo:rerun-if-changed={}", xdp.display());
    let flags = ["-Ctarget-cpu=v3", "-Cdebuginfo=2", "-Clink-arg=--btf", &format!("--cfg=bpf_target_arch=\"{arch}\"")]
        .join("\x1f");
    let status = Command::new("rustup")
        .args(["run", "nightly", "cargo", "build", "--release", "--locked", "--package", "dropgate-xdp", "--bins"])
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
        Ok(status) => panic!("the BPF object did not build ({status}); `cargo xtask setup` installs what it needs"),
        Err(error) => {
            panic!("`rustup run nightly cargo` did not start: {error}; `cargo xtask setup` installs what it needs")
        }
    }
    let object = out.join("bpf/bpfel-unknown-none/release/dropgate-xdp");
    println!("cargo:rustc-env=DROPGATE_OBJECT={}", object.display());
}
