//! Builds the BPF object.

#[path = "../xdp/build_object.rs"]
mod build_object;

use std::{env, path::PathBuf};

const PACKAGE: &str = "dropgate-xdp";

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bpf");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let xdp = env::var_os("DROPGATE_XDP_SOURCE").map_or_else(|| manifest.join("../xdp"), PathBuf::from);
    println!("cargo:rerun-if-env-changed=DROPGATE_XDP_SOURCE");
    println!("cargo:rerun-if-changed={}", xdp.display());
    match build_object::command(PACKAGE, &xdp, &out, &arch).status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the BPF object did not build ({status}); `cargo xtask setup` installs what it needs"),
        Err(error) => {
            panic!("`rustup run nightly cargo` did not start: {error}; `cargo xtask setup` installs what it needs")
        }
    }
    println!("cargo:rustc-env=DROPGATE_OBJECT={}", build_object::object(PACKAGE, &out).display());
}
