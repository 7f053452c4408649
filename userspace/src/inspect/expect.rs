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
        model::{self, Expect, Failure, Inspection, Proxied, Reaction, Tells},
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
            limits: Limits {
                digests: digests(signatures),
                certificates: image.tells.certificates,
                ..Limits::default()
            },
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

/// Bytes of a body beyond which it has no digests: of any, if rules ask for them.
fn digests(signatures: &model::Signatures) -> u64 {
    const TOLD: u64 = 1 << 20;
    match signatures.ruleset.asks_digests() {
        true => u64::MAX,
        false if signatures.log => TOLD,
        false => 0,
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

/// Generations whose packets may still be held, and for how long after another has taken their place, ns: they hold as much memory
/// as their signatures take.
const KEPT: usize = 4;
const LINGER_NS: u64 = 2_000_000_000;

/// The rules of the last few generations, each with its number and since when it is in force (ns), the newest first.
#[derive(Clone, Debug, Default)]
pub struct Generations(VecDeque<(u32, Arc<Rules>, u64)>);

impl Generations {
    /// The same, and one more, which is the newest.
    pub fn with(&self, generation: u32, rules: Rules, now_ns: u64) -> Self {
        let mut all = self.0.clone();
        all.push_front((generation, Arc::new(rules), now_ns));
        all.truncate(KEPT);
        Self(all)
    }

    /// Without those whose packets have all left by now; `None`: there are none.
    pub fn without_old(&self, now_ns: u64) -> Option<Self> {
        let newer_ns = |at: usize| at.checked_sub(1).map(|newer| self.0[newer].2);
        let is_old = |at: &usize| newer_ns(*at).is_some_and(|since_ns| now_ns.saturating_sub(since_ns) > LINGER_NS);
        let old = (0..self.0.len()).find(is_old)?;
        Some(Self(self.0.iter().take(old).cloned().collect()))
    }

    /// The rules of a generation; those of the newest for one that is not remembered.
    pub fn of(&self, generation: u32) -> Option<&Arc<Rules>> {
        let found = self.0.iter().find(|(number, ..)| *number == generation);
        found.or(self.0.front()).map(|(_, rules, _)| rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_replaced_is_forgotten_when_its_packets_have_left() {
        const S: u64 = 1_000_000_000;
        let known = |all: &Generations| all.0.iter().map(|(number, ..)| *number).collect::<Vec<_>>();
        let all = (1..=6).fold(Generations::default(), |all, at| all.with(at, Rules::default(), u64::from(at) * S));
        assert_eq!(known(&all), [6, 5, 4, 3]);
        assert!(all.without_old(6 * S).is_none());
        // the fourth was replaced at the fifth second
        let fewer = all.without_old(7 * S + 1).unwrap();
        assert_eq!(known(&fewer), [6, 5]);
        assert_eq!(known(&all.without_old(60 * S).unwrap()), [6]);
        assert!(fewer.of(3).is_some_and(|rules| Arc::ptr_eq(rules, fewer.of(6).unwrap())), "the newest for it");
    }
}
