//! The first look of stage 8: is an address blocked?

use dropgate_abi::{
    blocklist::{number, part, search},
    policy::SLOTS,
    tuple::Address,
};

use crate::{
    hidden::Hidden,
    maps::{BLOCK_INDEX, BLOCKED},
};

/// Whether a blocked prefix of the slot and direction holds an address.
#[inline(always)]
pub fn holds(slot: u32, scope: u32, family: u8, address: &Address) -> bool {
    let (high, low) = number(address);
    dropgate_blocked(part(slot & (SLOTS - 1), scope, family), high, low) != 0
}

/// The same as a global function, which takes numbers only: the verifier walks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn dropgate_blocked(part: u32, high: u64, low: u64) -> u32 {
    let Some(hidden) = Hidden::new() else { return 0 };
    let found = search(
        (high, low),
        // SAFETY: entries of an inner map, which is not written while its slot is in force.
        |at| BLOCK_INDEX.get_value_ptr_mut(part, &at).map(|place| unsafe { *place }),
        // SAFETY: as above.
        |at| BLOCKED.get_value_ptr_mut(part, &at).map(|blocked| unsafe { *blocked }),
        |number| hidden.hide(number),
    );
    found as u32
}
