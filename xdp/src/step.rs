//! What a stage answers: go on, or a final decision with its reason.

use core::num::NonZeroU32;

use dropgate_abi::{reason::Reason, walk::action};

/// A final decision: the action above, the reason's number below. One register, so that stages can be functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision(NonZeroU32);

impl Decision {
    /// `action` is one of [`action`]'s, which are not zero.
    #[inline(always)]
    pub const fn new(action: u8, reason: Reason) -> Self {
        match NonZeroU32::new((action as u32) << 16 | reason.0 as u32) {
            Some(packed) => Self(packed),
            None => Self(NonZeroU32::MAX),
        }
    }

    #[inline(always)]
    pub const fn action(self) -> u8 {
        (self.0.get() >> 16) as u8
    }

    #[inline(always)]
    pub const fn reason(self) -> Reason {
        Reason(self.0.get() as u16)
    }
}

/// `Ok`: the next stage. `Err`: the walk ends here, passed or dropped.
pub type Step<T = ()> = Result<T, Decision>;

/// The packet goes on.
#[inline(always)]
pub const fn pass<T>(reason: Reason) -> Step<T> {
    Err(Decision::new(action::PASS, reason))
}

/// The packet ends here.
#[inline(always)]
pub const fn drop<T>(reason: Reason) -> Step<T> {
    Err(Decision::new(action::DROP, reason))
}
