//! What the inspector asks of the programs in the kernel, which alone change the flow table.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use dropgate_abi::{
    bytes_of,
    hold::{PASSES, SETTLED, Settle, settled},
    opening::heard,
    reason::Reason,
};

use super::HoldError;
use crate::datapath::{FlowTable, Object, program, test_run};

/// The programs that answer, and the flow table, which is only read.
pub struct Kernel {
    flows: FlowTable,
    settle: OwnedFd,
    review: OwnedFd,
}

impl Kernel {
    /// Those of an object.
    pub fn new(object: &Object) -> Result<Self, HoldError> {
        let program = |name| object.program_fd(name)?.as_fd().try_clone_to_owned().map_err(HoldError::Thread);
        Ok(Self { flows: FlowTable::of(object)?, settle: program(program::SETTLE)?, review: program(program::REVIEW)? })
    }

    /// Asks `dropgate_settle`; see [`settled`].
    pub fn settle(&self, request: &Settle) -> u32 {
        ask(self.settle.as_fd(), request).unwrap_or(settled::BUSY)
    }

    /// What the programs saw acknowledged of a flow whose other direction is held, and the window with it.
    pub fn acknowledged(&self, hash: u64, flow: u64) -> Option<(u32, u16)> {
        let bucket = self.flows.home(hash)?;
        // SAFETY: aligned words inside the mapping.
        let (owner, said) = unsafe {
            ((&raw const (*bucket).opening.flow).read_volatile(), (&raw const (*bucket).opening.said).read_volatile())
        };
        heard(said).filter(|_| owner == flow)
    }

    /// Whether nothing of a flow is held any more, or it is gone.
    pub fn has_left(&self, hash: u64, flow: u64) -> bool {
        // SAFETY: an aligned word inside the mapping.
        let hold = self.flows.find(hash, flow).map(|entry| unsafe { (&raw const (*entry).hold).read_volatile() });
        hold.is_none_or(|hold| hold & SETTLED != 0)
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
