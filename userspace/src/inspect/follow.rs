//! What is read on in a conversation after it is known what is spoken: where it may change into another one.

use super::{
    expect::{Expected, Rules},
    layer::Layer,
    upgrade::Upgrade,
};
use crate::protocol::{Protocol, Spoken};

/// Reads a conversation on. Each is given what was said and not read yet, by direction, and takes from it what it has read.
#[derive(Debug)]
pub(super) enum Follow {
    Upgrade(Upgrade),
}

/// How far reading came.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Everything that can be read was.
    More,
    /// Nothing more is wanted of the conversation.
    Over,
    /// What is not read yet, in both directions, belongs to another conversation.
    Changed(Change),
}

/// What a conversation changes into.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// TLS, as both sides have agreed.
    Tls,
}

impl Follow {
    /// What is to be read on of a conversation whose protocol was compared with what is expected.
    pub fn of(layer: &Layer, rules: &Rules) -> Option<Self> {
        let Spoken::Known(protocol, ..) = layer.spoken else { return None };
        Self::upgrade(protocol, layer.expected, rules)
    }

    fn upgrade(protocol: Protocol, expected: Expected, rules: &Rules) -> Option<Self> {
        // where anything may be spoken, so it may after an upgrade
        if rules.fits(expected, None) { None } else { Upgrade::of(protocol).map(Self::Upgrade) }
    }

    pub fn step(&mut self, unread: &mut [Vec<u8>; 2]) -> Step {
        match self {
            Self::Upgrade(upgrade) => upgrade.step(unread),
        }
    }

    /// Whether it is read on within [`crate::policy::model::Inspection::depth`] only.
    pub const fn is_bounded(&self) -> bool {
        matches!(self, Self::Upgrade(_))
    }

    /// Whether something was said of which more is needed before it can be judged.
    pub fn is_midway(&self, unread: &[Vec<u8>; 2]) -> bool {
        match self {
            Self::Upgrade(upgrade) => upgrade.is_midway(unread),
        }
    }
}
