//! What that end of a conversation speaks which had said nothing when it was found out what is spoken. Rules and events are
//! told if it is something else; what the policy has decided stays.

use dropgate_signatures::protocol::App;

use crate::{
    app,
    protocol::{self, Candidates, Direction, Spoken, Stream},
};

/// Bytes of it that are looked at.
const ENOUGH: usize = 1024;

/// The end that speaks second.
#[derive(Debug, Default)]
pub(super) enum Second {
    /// There is none, or what it speaks is what the first one does.
    #[default]
    Settled,
    /// It has said this, which does not tell yet.
    Awaited(Direction, Vec<u8>),
    /// It speaks this, whatever the other one does, and has said so much that nobody has read.
    Found(Direction, App, Vec<u8>),
}

impl Second {
    /// It is known what is `spoken`, and both ends have said this.
    pub fn of(spoken: &Spoken, said: [&[u8]; 2]) -> Self {
        let silent = Direction::BOTH.into_iter().find(|direction| said[*direction as usize].is_empty());
        match (spoken, silent) {
            (Spoken::Pending, _) | (Spoken::Known(..), None) => Self::Settled,
            (_, Some(direction)) => Self::Awaited(direction, Vec::new()),
            // together they speak nothing; one of them alone may, the server more likely than not
            (Spoken::Unknown, None) => [Direction::ToClient, Direction::ToServer]
                .into_iter()
                .map(|direction| {
                    let mut second = Self::Awaited(direction, Vec::new());
                    second.hear(said, None);
                    second
                })
                .find(|second| second.found().is_some())
                .unwrap_or_default(),
        }
    }

    /// Takes the next bytes of both directions. `spoken`: what the first one speaks, if that is known.
    pub fn hear(&mut self, said: [&[u8]; 2], spoken: Option<App>) {
        let Self::Awaited(direction, bytes) = self else { return };
        let new = said[*direction as usize];
        if new.is_empty() {
            return;
        }
        bytes.extend_from_slice(new);
        let alone = match direction {
            Direction::ToServer => Stream { to_server: bytes, to_client: b"" },
            Direction::ToClient => Stream { to_server: b"", to_client: bytes },
        };
        let found = match protocol::stream(alone, &mut Candidates::default()) {
            Spoken::Pending if bytes.len() < ENOUGH => return,
            Spoken::Known(protocol, ..) => Some(app::app(protocol, false, 0)),
            Spoken::Pending | Spoken::Unknown => None,
        };
        let differs = found.filter(|found| found.is_read() && Some(*found) != spoken);
        *self = match differs {
            // where something is read already, it reads this too
            Some(app) if spoken.is_some() => Self::Found(*direction, app, Vec::new()),
            Some(app) => Self::Found(*direction, app, std::mem::take(bytes)),
            None => Self::Settled,
        };
    }

    pub const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(..))
    }

    /// What it speaks, if that is something else.
    pub const fn found(&self) -> Option<(Direction, App)> {
        match self {
            Self::Found(direction, app, _) => Some((*direction, *app)),
            Self::Settled | Self::Awaited(..) => None,
        }
    }

    /// Bytes of memory that it takes, about.
    pub const fn footprint(&self) -> usize {
        match self {
            Self::Awaited(_, bytes) | Self::Found(_, _, bytes) => bytes.capacity(),
            Self::Settled => 0,
        }
    }
}
