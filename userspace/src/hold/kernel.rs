//! What the inspector asks of the programs in the kernel, which alone change the flow table.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use dropgate_abi::{
    bytes_of,
    hold::{PASSES, Settle, settled},
    reason::Reason,
};

use super::HoldError;
use crate::datapath::{Object, program, test_run};

/// The programs that answer.
pub struct Kernel {
    settle: OwnedFd,
    review: OwnedFd,
}

impl Kernel {
    /// Those of an object.
    pub fn new(object: &Object) -> Result<Self, HoldError> {
        let program = |name| object.program_fd(name)?.as_fd().try_clone_to_owned().map_err(HoldError::Thread);
        Ok(Self { settle: program(program::SETTLE)?, review: program(program::REVIEW)? })
    }

    /// Asks `dropgate_settle`; see [`settled`].
    pub fn settle(&self, request: &Settle) -> u32 {
        ask(self.settle.as_fd(), request).unwrap_or(settled::BUSY)
    }

    /// Asks `dropgate_review`: why the generation in force lets no packet of a flow pass.
    pub fn review(&self, hash: u64, flow: u64) -> Option<Reason> {
        let request = Settle { hash, flow, ..Settle::default() };
        // a packet that nobody judges does not leave
        let answer = ask(self.review.as_fd(), &request).unwrap_or(Reason::flow_revoked.0.into());
        (answer != PASSES).then_some(Reason(answer as u16))
    }
}

fn ask(program: BorrowedFd<'_>, request: &Settle) -> Option<u32> {
    test_run(program, bytes_of(request), 1, None).map(|ran| ran.action).ok()
}
