//! The frame as the stages see it: the same for XDP, for tcx and, in unit tests, for plain bytes.

#[cfg(target_arch = "bpf")]
use crate::forward::Route;

/// A frame that starts at its Ethernet header. A packet without one is seen as if it had one.
#[allow(clippy::len_without_is_empty, reason = "no frame is empty")]
pub trait Frame {
    /// Bytes of a link-layer header that it lacks. Its ethertype is told then, and what is read of it copied first: what is done with it
    /// takes more of the stack.
    const LACKS: usize = 0;

    /// A value at `offset`, in network order as it lies there; `None` beyond the end. `T` is an integer or an array of them.
    fn read<T: Copy>(&self, offset: usize) -> Option<T>;

    /// Copies `len` bytes from `offset` on; whether there are so many.
    ///
    /// # Safety
    /// There is room for them at `to`.
    #[cfg(target_arch = "bpf")]
    unsafe fn copy(&self, offset: usize, to: *mut u8, len: usize) -> bool;

    /// Whether the frame has at least `len` bytes.
    fn holds(&self, len: usize) -> bool;

    /// Bytes of the frame.
    fn len(&self) -> u32;

    /// A VLAN tag that travels beside the bytes: its identifier.
    fn tag(&self) -> Option<u16>;

    /// Whether the kernel merged several packets into this one.
    fn merged(&self) -> bool;

    /// Packets that it was merged from, or is cut into on its way; 1 if it is one.
    fn segments(&self) -> u32;

    /// Bytes of payload in each of them, but the last; 0 if it is one.
    fn segment_size(&self) -> u32;

    /// The receive queue that it came in by, where a socket there can be given it.
    fn queue(&self) -> Option<u32>;

    /// Whether it can be sent from here: see [`crate::forward`].
    #[cfg(target_arch = "bpf")]
    const FORWARDS: bool;

    /// Whether all of it lies in its first buffer.
    #[cfg(target_arch = "bpf")]
    fn is_linear(&self) -> bool;

    /// Asks the kernel's routes; whether it can be sent as they say.
    #[cfg(target_arch = "bpf")]
    fn route(&self, route: &mut Route) -> bool;
}

/// Headers start within this many bytes; it bounds every offset for the verifier.
pub const WINDOW: usize = 0x3fff;

/// Big-endian 16 bits at `offset`.
#[inline(always)]
pub fn be16(frame: &impl Frame, offset: usize) -> Option<u16> {
    Some(u16::from_be(frame.read(offset)?))
}

#[cfg(target_arch = "bpf")]
pub use kernel::{Skb, Xdp};

#[cfg(target_arch = "bpf")]
mod kernel {
    use aya_ebpf::{
        bindings::__sk_buff,
        helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
        programs::XdpContext,
    };
    use core::mem::{MaybeUninit, size_of, transmute_copy};

    use super::{Frame, WINDOW};
    use crate::forward::{self, Route};

    /// A frame in XDP. Headers are read from the linear part; only lengths look at what lies in further buffers.
    pub struct Xdp<'a>(pub &'a XdpContext);

    impl Frame for Xdp<'_> {
        const FORWARDS: bool = true;

        #[inline(always)]
        fn read<T: Copy>(&self, offset: usize) -> Option<T> {
            if offset > WINDOW {
                return None;
            }
            let mut bounded = offset;
            // SAFETY: a mask that changes nothing after the check above. The compiler makes that check where it likes; this
            // one the verifier sees on the register that is added to the packet's address.
            unsafe { core::arch::asm!("{0} &= {1}", inout(reg) bounded, const WINDOW, options(pure, nomem, nostack)) };
            let at = self.0.data() + bounded;
            if at + size_of::<T>() > self.0.data_end() {
                return None;
            }
            // SAFETY: inside the packet, checked just now, as the verifier insists. Loads of any alignment are allowed on
            // architectures with efficient unaligned access; elsewhere the verifier refuses the program.
            Some(unsafe { *(at as *const T) })
        }

        #[inline(always)]
        unsafe fn copy(&self, offset: usize, to: *mut u8, len: usize) -> bool {
            // SAFETY: a live XDP context; the caller has room.
            unsafe { bpf_xdp_load_bytes(self.0.ctx, offset as u32, to.cast(), len as u32) == 0 }
        }

        #[inline(always)]
        fn holds(&self, len: usize) -> bool {
            self.0.data() + len <= self.0.data_end() || self.len() as usize >= len
        }

        #[inline(always)]
        fn len(&self) -> u32 {
            // SAFETY: a live XDP context.
            unsafe { bpf_xdp_get_buff_len(self.0.ctx) as u32 }
        }

        #[inline(always)]
        fn tag(&self) -> Option<u16> {
            None
        }

        #[inline(always)]
        fn merged(&self) -> bool {
            false
        }

        #[inline(always)]
        fn segments(&self) -> u32 {
            1
        }

        #[inline(always)]
        fn segment_size(&self) -> u32 {
            0
        }

        #[inline(always)]
        fn queue(&self) -> Option<u32> {
            // SAFETY: a live XDP context.
            Some(unsafe { (*self.0.ctx).rx_queue_index })
        }

        #[inline(always)]
        fn is_linear(&self) -> bool {
            self.0.data() + self.len() as usize <= self.0.data_end()
        }

        #[inline(always)]
        fn route(&self, route: &mut Route) -> bool {
            forward::look_up(self.0, route)
        }
    }

    /// Where the ethertype lies in an Ethernet header, and what follows it.
    const TYPE: usize = 12;
    const ETHERNET: usize = 14;

    /// A packet in tcx. `BARE`: of a device without link-layer header, seen as if it had one: the kernel says what the packet is,
    /// and of the addresses nothing is known. By itself rather than by reference: the stack of the entry points is short.
    pub struct Skb<const BARE: bool>(pub *mut __sk_buff);

    impl<const BARE: bool> Frame for Skb<BARE> {
        const LACKS: usize = if BARE { ETHERNET } else { 0 };
        const FORWARDS: bool = false;

        #[inline(always)]
        fn read<T: Copy>(&self, offset: usize) -> Option<T> {
            if offset > WINDOW {
                return None;
            }
            if BARE && offset == TYPE && size_of::<T>() == size_of::<u16>() {
                // SAFETY: a live socket buffer, whose field holds 16 bits in network order; `T` is of that size, of integers.
                return Some(unsafe { transmute_copy(&((*self.0).protocol as u16)) });
            }
            let mut value = MaybeUninit::<T>::uninit();
            let at = offset.wrapping_sub(Self::LACKS) as u32;
            // SAFETY: `value` has room for `size_of::<T>()` bytes.
            let failed =
                unsafe { bpf_skb_load_bytes(self.0.cast(), at, value.as_mut_ptr().cast(), size_of::<T>() as u32) };
            // SAFETY: filled by the helper when it did not fail; `T` is made of integers.
            (failed == 0).then(|| unsafe { value.assume_init() })
        }

        #[inline(always)]
        unsafe fn copy(&self, offset: usize, to: *mut u8, len: usize) -> bool {
            let at = offset.wrapping_sub(Self::LACKS) as u32;
            // SAFETY: a live socket buffer; the caller has room.
            unsafe { bpf_skb_load_bytes(self.0.cast(), at, to.cast(), len as u32) == 0 }
        }

        #[inline(always)]
        fn holds(&self, len: usize) -> bool {
            self.len() as usize >= len
        }

        #[inline(always)]
        fn len(&self) -> u32 {
            // SAFETY: a live socket buffer.
            unsafe { (*self.0).len + Self::LACKS as u32 }
        }

        #[inline(always)]
        fn tag(&self) -> Option<u16> {
            // SAFETY: a live socket buffer.
            let (present, tci) = unsafe { ((*self.0).vlan_present, (*self.0).vlan_tci) };
            (present != 0).then_some(tci as u16 & 0xfff)
        }

        #[inline(always)]
        fn merged(&self) -> bool {
            // SAFETY: a live socket buffer.
            unsafe { (*self.0).gso_size > 0 }
        }

        #[inline(always)]
        fn segments(&self) -> u32 {
            // SAFETY: a live socket buffer.
            let segments = unsafe { (*self.0).gso_segs };
            if segments == 0 { 1 } else { segments }
        }

        #[inline(always)]
        fn segment_size(&self) -> u32 {
            // SAFETY: a live socket buffer.
            unsafe { (*self.0).gso_size }
        }

        #[inline(always)]
        fn queue(&self) -> Option<u32> {
            None
        }

        #[inline(always)]
        fn is_linear(&self) -> bool {
            false
        }

        #[inline(always)]
        fn route(&self, _: &mut Route) -> bool {
            false
        }
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Frame for &[u8] {
    fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        let bytes = self.get(offset..)?;
        if offset > WINDOW || bytes.len() < size_of::<T>() {
            return None;
        }
        // SAFETY: enough bytes, checked; `T` is made of integers.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn holds(&self, len: usize) -> bool {
        <[u8]>::len(self) >= len
    }

    fn len(&self) -> u32 {
        <[u8]>::len(self) as u32
    }

    fn tag(&self) -> Option<u16> {
        None
    }

    fn merged(&self) -> bool {
        false
    }

    fn segments(&self) -> u32 {
        1
    }

    fn segment_size(&self) -> u32 {
        0
    }

    fn queue(&self) -> Option<u32> {
        Some(0)
    }
}
