//! Bare look-ups of a source address in a blocklist: in the structure that Dropgate has for it, and in the kernel's trie of
//! prefixes. Both drop whatever they find, and only read the address.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, LpmTrie, PerCpuArray, lpm_trie::Key},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use dropgate_abi::{
    blocklist::{Blocked, number, search},
    tuple::Address,
};

/// As `BLOCK_INDEX` and `BLOCKED` of one direction and family. The bench sizes and fills them.
#[btf_map]
static INDEX: Array<u64, 64, 1024> = Array::new();
#[btf_map]
static LIST: Array<Blocked, 64, 1024> = Array::new();

/// The same prefixes in tries. The bench fills one of them.
#[btf_map]
static TRIE4: LpmTrie<u32, u32, 4194304> = LpmTrie::new();
#[btf_map]
static TRIE6: LpmTrie<Address, u32, 4194304> = LpmTrie::new();

/// Sources that were found.
#[btf_map]
static FOUND: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Looks the source of an IPv4 or IPv6 frame up in the list.
#[xdp]
pub fn listed(ctx: XdpContext) -> u32 {
    let Some(address) = source(&ctx) else { return xdp_action::XDP_ABORTED };
    if holds(&address) {
        found();
    }
    xdp_action::XDP_DROP
}

#[inline(never)]
fn holds(address: &Address) -> bool {
    search(number(address), |at| INDEX.get(at).copied(), |at| LIST.get(at).copied(), |number| number)
}

/// Looks it up in the trie of its family.
#[xdp]
pub fn in_trie(ctx: XdpContext) -> u32 {
    let Some(address) = source(&ctx) else { return xdp_action::XDP_ABORTED };
    let held = if is_v6(&ctx) {
        TRIE6.get(&Key::new(128, address)).is_some()
    } else {
        TRIE4.get(&Key::new(32, address[0])).is_some()
    };
    if held {
        found();
    }
    xdp_action::XDP_DROP
}

#[inline(always)]
fn found() {
    if let Some(found) = FOUND.get_ptr_mut(0) {
        // SAFETY: this CPU's own.
        unsafe { *found += 1 };
    }
}

#[inline(always)]
fn is_v6(ctx: &XdpContext) -> bool {
    let start = ctx.data();
    // SAFETY: inside the frame, checked first.
    start + 15 <= ctx.data_end() && unsafe { *((start + 14) as *const u8) } >> 4 == 6
}

#[inline(always)]
fn source(ctx: &XdpContext) -> Option<Address> {
    let start = ctx.data();
    if is_v6(ctx) {
        if start + 22 + 16 > ctx.data_end() {
            return None;
        }
        // SAFETY: inside the frame, checked just now.
        return Some(unsafe { ((start + 22) as *const Address).read_unaligned() });
    }
    if start + 26 + 4 > ctx.data_end() {
        return None;
    }
    // SAFETY: inside the frame, checked just now.
    Some([unsafe { ((start + 26) as *const u32).read_unaligned() }, 0, 0, 0])
}
