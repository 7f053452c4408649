//! What the kernel side and userspace share, and nothing else: the layout of map keys and values, the list of reasons.
//!
//! Every type is `repr(C)` of fixed-width integers with its padding spelled out and zeroed, so that its bytes are the same
//! in a map, in a ring buffer and in a file. Addresses and ports are in host order as numbers unless a field says `be`.
//! A byte that comes from a map never becomes a Rust enum: unknown values are numbers that nothing matches.
#![no_std]

pub mod blocklist;
pub mod control;
pub mod datagrams;
pub mod event;
pub mod flow;
pub mod fragment;
pub mod hold;
pub mod opening;
pub mod policy;
pub mod reason;
pub mod related;
pub mod tunnel;
pub mod tuple;
pub mod walk;

/// Version of everything in this crate. A daemon refuses pinned maps of another version.
pub const VERSION: u32 = 14;

/// Types whose every bit pattern is valid and that hold no padding.
///
/// # Safety
/// Implementors are `repr(C)`, made of integers and arrays of them, without implicit padding.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($type:ty = $size:expr),+ $(,)?) => {$(
        // SAFETY: `repr(C)`, integers only; the size below leaves no room for implicit padding.
        unsafe impl $crate::Plain for $type {}
        const _: () = assert!(core::mem::size_of::<$type>() == $size);
    )+};
}
pub(crate) use plain;

// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}

/// The bytes of a value, as they lie in a map.
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `Plain` types are initialised in every byte.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), core::mem::size_of::<T>()) }
}

/// A value from the bytes of a map or ring buffer record; `None` when there are too few. Bytes beyond it are ignored.
pub fn from_bytes<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < core::mem::size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked, and every bit pattern is a valid `Plain` value.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
