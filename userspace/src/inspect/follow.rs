//! What is read on in a conversation after it is known what is spoken: where it may change into another one.

use super::{
    expect::{Expected, Rules},
    layer::Layer,
    related::Control,
    upgrade::Upgrade,
};
use crate::protocol::{Protocol, Spoken};

/// Reads a conversation on. Each is given what was said and not read yet, by direction, and takes from it what it has read.
#[derive(Debug)]
pub(super) enum Follow {
    Upgrade(Upgrade),
    /// A control channel, for as long as it lives.
    Control(Control),
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
        Self::upgrade(protocol, layer.expected, rules).or_else(|| Self::control(layer, rules))
    }

    /// What is to be read on when it goes on as it is: what is as expected may announce other flows.
    pub fn control(layer: &Layer, rules: &Rules) -> Option<Self> {
        let Spoken::Known(protocol, ..) = layer.spoken else { return None };
        let own = layer.within.is_none() && matches!(layer.expected, Expected::Service { .. });
        if own && rules.fits(layer.expected, Some(protocol)) { Control::of(protocol).map(Self::Control) } else { None }
    }

    fn upgrade(protocol: Protocol, expected: Expected, rules: &Rules) -> Option<Self> {
        // where anything may be spoken, so it may after an upgrade
        if rules.fits(expected, None) { None } else { Upgrade::of(protocol).map(Self::Upgrade) }
    }

    pub fn step(&mut self, unread: &mut [Vec<u8>; 2]) -> Step {
        match self {
            Self::Upgrade(upgrade) => upgrade.step(unread),
            Self::Control(control) => {
                control.read(unread);
                Step::More
            }
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
            Self::Control(_) => false,
        }
    }
}
