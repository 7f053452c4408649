//! Builds the object of the bench's own BPF programs.

#[path = "../xdp/build_object.rs"]
mod build_object;

use std::{env, path::PathBuf};

const PACKAGE: &str = "dropgate-bench-xdp";

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bpf");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let xdp = manifest.join("xdp");
    println!("cargo:rerun-if-changed={}", manifest.join("../xdp/build_object.rs").display());
    println!("cargo:rerun-if-changed={}", xdp.display());
    match build_object::command(PACKAGE, &xdp, &out, &arch).status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the BPF object did not build ({status}); `cargo xtask setup` installs what it needs"),
        Err(error) => {
            panic!("`rustup run nightly cargo` did not start: {error}; `cargo xtask setup` installs what it needs")
        }
    }
    println!("cargo:rustc-env=DROPGATE_BENCH_OBJECT={}", build_object::object(PACKAGE, &out).display());
}
