//! The life of a packet, in the kernel.
//!
//! Two programs run the same stages: `dropgate_ingress` (XDP) where a frame comes in, `dropgate_egress` (tcx) where a packet
//! leaves; where there is no native XDP, their like of `tcx.rs`. Each stage is a file; [`decide`] is their table of contents. `docs/ARCHITECTURE.md` tells the story in full.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch, core_intrinsics), allow(internal_features))]
#![cfg_attr(not(target_arch = "bpf"), allow(dead_code))]

mod anomaly;
mod cursor;
mod frame;
mod hidden;
mod parse;
mod step;
mod tunnel;

#[cfg(target_arch = "bpf")]
mod atomic;
#[cfg(target_arch = "bpf")]
mod blocklist;
#[cfg(target_arch = "bpf")]
mod content;
#[cfg(target_arch = "bpf")]
mod datagram;
#[cfg(target_arch = "bpf")]
mod first;
#[cfg(target_arch = "bpf")]
mod flow;
#[cfg(target_arch = "bpf")]
mod forward;
#[cfg(target_arch = "bpf")]
mod fragment;
#[cfg(target_arch = "bpf")]
mod hold;
#[cfg(target_arch = "bpf")]
mod ingress;
#[cfg(target_arch = "bpf")]
mod inside;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod neighbour;
#[cfg(target_arch = "bpf")]
mod opening;
#[cfg(target_arch = "bpf")]
mod policy;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod related;
#[cfg(target_arch = "bpf")]
mod state;
#[cfg(target_arch = "bpf")]
mod table;
#[cfg(target_arch = "bpf")]
mod target;
#[cfg(target_arch = "bpf")]
mod tcx;
#[cfg(target_arch = "bpf")]
mod track;
#[cfg(target_arch = "bpf")]
mod verdict;
#[cfg(target_arch = "bpf")]
mod zone;

/// The object is for the kernel; on the host this crate is compiled for its unit tests alone.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
