//! What is read on in a conversation after it is known what is spoken: where it may change into another one, and what is
//! asked of a proxy.

use super::{
    expect::{Expected, Rules},
    layer::Layer,
    proxy::{Asked, http::Http, socks::Socks},
    related::Control,
    upgrade::Upgrade,
};
use crate::protocol::{Direction, Protocol, Spoken};

/// Reads a conversation on. Each is given what was said and not read yet, by direction, and takes from it what it has read.
#[derive(Debug)]
pub(super) enum Follow {
    Upgrade(Upgrade),
    Http(Http),
    Socks(Socks),
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
    /// A proxy is asked for something. What is said in answer comes later.
    Asked(Asked),
    /// What is not read yet, in both directions, belongs to another conversation.
    Changed(Change),
    /// What is not read yet cannot be, or in two ways, and may be for a proxy.
    Unreadable,
}

/// What a conversation changes into.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// TLS, as both sides have agreed.
    Tls,
    /// Another protocol of the same service, as both sides have agreed: `Upgrade` in HTTP.
    Upgrade,
    /// What was asked for last of a proxy, which passes it on.
    Tunnel,
}

impl Follow {
    /// What is to be read on of a conversation whose protocol was compared with what is expected. `proxies`: what is asked
    /// of proxies is judged.
    pub fn of(layer: &Layer, rules: &Rules, proxies: bool) -> Option<Self> {
        let Spoken::Known(protocol, ..) = layer.spoken else { return None };
        let follow = match protocol {
            // what proxies pass on is read for rules, judged or not
            Protocol::Http if proxies || rules.signatures.is_some() => {
                Some(Self::Http(Http::new(rules.is_proxy(layer.expected))))
            }
            Protocol::Socks if proxies || rules.signatures.is_some() => Some(Self::Socks(Socks::default())),
            // where anything may be spoken, so it may after an upgrade; rules may be about it all the same
            _ if rules.fits(layer.expected, None) && rules.signatures.is_none() => None,
            _ => Upgrade::of(protocol).map(Self::Upgrade),
        };
        follow.or_else(|| Self::control(layer, rules))
    }

    /// What is to be read on when it goes on as it is: what is as expected may announce other flows.
    pub fn control(layer: &Layer, rules: &Rules) -> Option<Self> {
        let Spoken::Known(protocol, ..) = layer.spoken else { return None };
        let own = layer.within.is_none() && matches!(layer.expected, Expected::Service { .. });
        if own && rules.fits(layer.expected, Some(protocol)) { Control::of(protocol).map(Self::Control) } else { None }
    }

    pub fn step(&mut self, unread: &mut [Vec<u8>; 2]) -> Step {
        match self {
            Self::Upgrade(upgrade) => upgrade.step(unread),
            Self::Http(http) => http.step(unread),
            Self::Socks(socks) => socks.step(unread),
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

    /// Whether it is of a proxy.
    pub const fn is_proxy(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Socks(_))
    }

    /// Whether the client has said something behind what changes the conversation, if the server agrees.
    pub fn awaits_answer(&self, unread: &[Vec<u8>; 2]) -> bool {
        let changes = match self {
            Self::Http(http) => http.changes(),
            Self::Socks(socks) => socks.has_asked(),
            Self::Upgrade(_) | Self::Control(_) => false,
        };
        changes && !unread[Direction::ToServer as usize].is_empty()
    }

    /// Whether something was said of which more is needed before it can be judged.
    pub fn is_midway(&self, unread: &[Vec<u8>; 2]) -> bool {
        match self {
            Self::Upgrade(upgrade) => upgrade.is_midway(unread),
            Self::Http(http) => http.is_midway(unread),
            Self::Socks(socks) => socks.is_midway(unread),
            Self::Control(_) => false,
        }
    }
}
