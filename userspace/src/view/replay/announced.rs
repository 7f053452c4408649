//! Flows of a capture that others have announced, made known to the programs as they will see them.

use super::stand_in::StandIns;
use crate::{hold::Announcer, inspect::Announced};

/// What was announced in one capture.
pub struct Announcements {
    announcer: Option<Announcer>,
    /// [`super::Options::initiator_inside`].
    initiator_inside: bool,
}

impl Announcements {
    /// None so far.
    pub const fn new(announcer: Option<Announcer>, initiator_inside: bool) -> Self {
        Self { announcer, initiator_inside }
    }

    /// Makes a flow known, as a gateway does. What is refused is judged as if nobody had announced it.
    pub fn make_known(&self, announced: &Announced, now_ns: u64) {
        let Some(announcer) = &self.announcer else { return };
        let shown = if self.initiator_inside { inside(announced) } else { *announced };
        announcer.announce(&shown, now_ns);
    }
}

/// Where whoever starts a flow is inside, so is a server that calls back.
fn inside(announced: &Announced) -> Announced {
    let (initiator, responder) = StandIns::ends(announced.initiator, announced.responder);
    Announced { initiator, responder, from_server: false, ..*announced }
}
