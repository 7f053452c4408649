//! The first look of stage 8: is an address blocked?

use dropgate_abi::{
    blocklist::{number, part, search},
    policy::SLOTS,
    tuple::Address,
};

use crate::{
    maps::{BLOCK_INDEX, BLOCKED, SCRATCH},
    table::hide,
};

/// Whether a blocked prefix of the slot and direction holds an address.
#[inline(never)]
pub fn holds(slot: u32, scope: u32, family: u8, address: &Address) -> bool {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's own; a field of a map value.
    let hidden = unsafe { &raw mut (*scratch).hidden };
    let part = part(slot & (SLOTS - 1), scope, family);
    search(
        number(address),
        // SAFETY: entries of an inner map, which is not written while its slot is in force.
        |at| BLOCK_INDEX.get_value_ptr_mut(part, &at).map(|place| unsafe { *place }),
        // SAFETY: as above.
        |at| BLOCKED.get_value_ptr_mut(part, &at).map(|blocked| unsafe { *blocked }),
        |number| hide(hidden, number),
    )
}
