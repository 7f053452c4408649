//! What a stage answers: go on, or a final decision with its reason.

use dropgate_abi::{reason::Reason, walk::action};

/// A final decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    pub action: u8,
    pub reason: Reason,
}

/// `Ok`: the next stage. `Err`: the walk ends here, passed or dropped.
pub type Step<T = ()> = Result<T, Decision>;

/// The packet goes on.
#[inline(always)]
pub const fn pass<T>(reason: Reason) -> Step<T> {
    Err(Decision { action: action::PASS, reason })
}

/// The packet ends here.
#[inline(always)]
pub const fn drop<T>(reason: Reason) -> Step<T> {
    Err(Decision { action: action::DROP, reason })
}
