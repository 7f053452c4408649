//! What is to be spoken on a flow, by the generation that judged it.

use dropgate_abi::{flow::TICK_SHIFT, policy::timeout};
use dropgate_signatures::engine::Shared;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{proxy::Targets, watch::Signatures};
use crate::{
    app::Limits,
    policy::{
        Image, Policy,
        model::{Expect, Failure, Inspection, Proxied, Reaction, Tells},
    },
    protocol::{self, Candidates, Protocol},
};

/// Where proxies wait that no service names as such: Squid's port.
const PROXY_PORT: u16 = 3128;

/// What one generation says about inspection.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub inspection: Inspection,
    pub failure: Failure,
    /// How long fragments wait for the others of their datagram.
    pub fragments: Duration,
    /// By service counter.
    pub expect: BTreeMap<u32, Expect>,
    /// By service counter: services whose servers are proxies.
    pub proxied: BTreeMap<u32, Proxied>,
    /// Packets come from a capture, which lacks some now and then: see [`crate::reassembly::Limits::gaps`].
    pub capture: bool,
    /// Who knows what a proxy may be asked for. `None`: nobody, and so nothing.
    pub targets: Option<Arc<dyn Targets>>,
    /// What events tell beside what they are about.
    pub tells: Tells,
    /// `None`: there are no rules, and nothing is told of what is said.
    pub signatures: Option<Signatures>,
}

/// What is expected of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expected {
    /// What a service expects on a server's port, by its counter.
    Service { counter: u32, udp: bool, port: u16 },
    /// What another flow has announced this one for.
    Announced(Protocol),
    /// TLS: that was agreed.
    #[default]
    Tls,
}

impl Rules {
    /// Those of a policy that was compiled; `None` if it has nothing inspected. `shared`: what its signatures remember.
    pub fn of(policy: &Policy, image: &Image, shared: &Arc<Shared>) -> Option<Self> {
        let fragments = u64::from(image.settings.timeouts[timeout::FRAGMENT]) << TICK_SHIFT;
        let signatures = policy.signatures.as_ref().map(|signatures| Signatures {
            ruleset: Arc::clone(&signatures.ruleset),
            shared: Arc::clone(shared),
            transfers: Arc::default(),
            log: signatures.log,
            payload: image.tells.payload,
            limits: Limits::default(),
        });
        Some(Self {
            inspection: policy.inspection?,
            failure: policy.failure,
            fragments: Duration::from_nanos(fragments),
            expect: image.names.expected(),
            proxied: image.names.proxied(),
            capture: false,
            targets: None,
            tells: image.tells,
            signatures,
        })
    }

    /// What may be spoken; `None`: anything.
    fn listed(&self, expected: Expected) -> Option<&[Protocol]> {
        match expected {
            Expected::Tls => Some(&[Protocol::Tls]),
            Expected::Announced(protocol) => Some(announced(protocol)),
            Expected::Service { counter, udp, port } => {
                listed(self.expect.get(&counter).unwrap_or(&Expect::Registered), udp, port)
            }
        }
    }

    /// Whether this may be spoken; `None`: nothing that is known.
    pub fn fits(&self, expected: Expected, spoken: Option<Protocol>) -> bool {
        match (self.listed(expected), spoken) {
            (None, _) => true,
            (Some(listed), Some(spoken)) => listed.contains(&spoken),
            (Some(_), None) => false,
        }
    }

    /// Whether it is named among what is expected.
    pub fn expects(&self, expected: Expected, protocol: Protocol) -> bool {
        self.listed(expected).is_some_and(|listed| listed.contains(&protocol))
    }

    /// Whether nothing that may be spoken is among what may yet be found.
    pub fn rules_out(&self, expected: Expected, candidates: &Candidates) -> bool {
        let listed = self.listed(expected);
        listed.is_some_and(|listed| !listed.iter().any(|protocol| candidates.may_be(*protocol)))
    }

    /// What is done about a target that a proxy is asked for and that is not allowed; `None`: targets are not looked at.
    pub fn proxied(&self, expected: Expected) -> Option<Reaction> {
        let named = match expected {
            Expected::Service { counter, .. } => self.proxied.get(&counter),
            Expected::Announced(_) | Expected::Tls => None,
        };
        named.map_or(self.inspection.proxied, |proxied| proxied.reaction)
    }

    /// Whether the server is a proxy, whatever it is asked for first.
    pub fn is_proxy(&self, expected: Expected) -> bool {
        match expected {
            Expected::Service { counter, udp: false, port } => {
                port == PROXY_PORT || self.proxied.contains_key(&counter)
            }
            Expected::Service { .. } | Expected::Announced(_) | Expected::Tls => false,
        }
    }

    /// What is expected, for people.
    pub fn expected(&self, expected: Expected) -> Vec<&'static str> {
        names(self.listed(expected))
    }
}

/// What a service expects on a server's port; `None`: anything.
fn listed(expect: &Expect, udp: bool, port: u16) -> Option<&[Protocol]> {
    match expect {
        Expect::Any => None,
        Expect::Only(protocols) => Some(protocols),
        Expect::Registered => Some(protocol::registered(udp, port)),
    }
}

/// The names of what a service expects on a server's port.
pub fn expected(expect: &Expect, udp: bool, port: u16) -> Vec<&'static str> {
    names(listed(expect, udp, port))
}

fn names(listed: Option<&[Protocol]>) -> Vec<&'static str> {
    listed.map_or_else(|| vec!["any"], |protocols| protocols.iter().map(|protocol| protocol.name()).collect())
}

/// What may be spoken on a flow that another one has announced as this, or that was found to speak one of them.
fn announced(protocol: Protocol) -> &'static [Protocol] {
    match protocol {
        // media is agreed on, and its keys too, where it goes (RFC 8445, RFC 5764)
        Protocol::Rtp | Protocol::Stun | Protocol::Dtls => &[Protocol::Rtp, Protocol::Stun, Protocol::Dtls],
        Protocol::Tftp => &[Protocol::Tftp],
        _ => &[],
    }
}

/// Generations whose packets may still be held.
const KEPT: usize = 4;

/// The rules of the last few generations.
#[derive(Clone, Debug, Default)]
pub struct Generations(VecDeque<(u32, Arc<Rules>)>);

impl Generations {
    /// The same, and one more, which is the newest.
    pub fn with(&self, generation: u32, rules: Rules) -> Self {
        let mut all = self.0.clone();
        all.push_front((generation, Arc::new(rules)));
        all.truncate(KEPT);
        Self(all)
    }

    /// The rules of a generation; those of the newest for one that is not remembered.
    pub fn of(&self, generation: u32) -> Option<&Arc<Rules>> {
        let found = self.0.iter().find(|(number, _)| *number == generation);
        found.or(self.0.front()).map(|(_, rules)| rules)
    }
}
