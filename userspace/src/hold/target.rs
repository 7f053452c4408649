//! The allowlist in force, asked about targets of proxies.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, OwnedFd},
};

use dropgate_abi::{
    bytes_of,
    hold::{Target as Asked, target},
    tuple::{V4, V6},
};

use super::HoldError;
use crate::{
    datapath::{Object, program, test_run},
    inspect::{Access, Host, Target, Targets},
    policy::{model::protocol::TCP, prefix::address_words},
};

/// Asks `dropgate_target`, which looks up what the policy stage looks up, in the generation in force.
#[derive(Debug)]
pub struct Allowlist(OwnedFd);

impl Allowlist {
    /// Of a loaded object.
    ///
    /// # Errors
    /// The program is missing, or its descriptor cannot be shared.
    pub fn new(object: &Object) -> Result<Self, HoldError> {
        let program = object.program_fd(program::TARGET)?;
        program.as_fd().try_clone_to_owned().map(Self).map_err(HoldError::Thread)
    }

    /// What the program answers; what cannot be asked is denied.
    fn ask(&self, asked: &Asked) -> Access {
        let answer = test_run(self.0.as_fd(), bytes_of(asked), 1, None).map_or(target::DENIED, |ran| ran.action);
        match answer {
            target::BLOCKED => Access::Blocked,
            answer if answer & target::ALLOWED != 0 => {
                Access::Allowed { service: answer & target::COUNTER, inspected: answer & target::INSPECTED != 0 }
            }
            _ => Access::Denied,
        }
    }
}

impl Targets for Allowlist {
    fn access(&self, zone: u16, target: &Target) -> Access {
        let asked = Asked { zone, port: target.port, protocol: TCP, family: V4, ..Asked::default() };
        match &target.host {
            Host::Address(address) => {
                let family = if matches!(address, IpAddr::V4(_)) { V4 } else { V6 };
                self.ask(&Asked { address: address_words(*address), family, ..asked })
            }
            // whichever family it leads to
            Host::Name(_) => match self.ask(&Asked { named: 1, ..asked }) {
                Access::Allowed { service, inspected } => Access::Allowed { service, inspected },
                _ => self.ask(&Asked { named: 1, family: V6, ..asked }),
            },
        }
    }
}
