//! What is to be spoken on a flow, by the generation that judged it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    policy::model::{Expect, Inspection},
    protocol::{self, Protocol},
};

/// What one generation says about inspection.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub inspection: Inspection,
    /// By service counter.
    pub expect: BTreeMap<u32, Expect>,
}

impl Rules {
    /// Whether this may be spoken on a flow of a service to a server's port. `None` where nobody has said what is: the
    /// service names nothing, and nothing is registered for the port.
    pub fn fits(&self, service: u32, udp: bool, port: u16, spoken: Option<Protocol>) -> Option<bool> {
        let listed = match self.expect.get(&service) {
            Some(Expect::Any) => return Some(true),
            Some(Expect::Only(protocols)) => protocols.as_slice(),
            Some(Expect::Registered) | None => protocol::registered(udp, port),
        };
        match spoken {
            Some(spoken) => Some(listed.contains(&spoken)),
            // where nothing is expected, nothing known is as expected
            None if listed.is_empty() => None,
            None => Some(false),
        }
    }

    /// What is expected, for people.
    pub fn expected(&self, service: u32, udp: bool, port: u16) -> Vec<&'static str> {
        expected(self.expect.get(&service).unwrap_or(&Expect::Registered), udp, port)
    }
}

/// The names of what a service expects on a server's port.
pub fn expected(expect: &Expect, udp: bool, port: u16) -> Vec<&'static str> {
    let names = |protocols: &[Protocol]| protocols.iter().map(|protocol| protocol.name()).collect();
    match expect {
        Expect::Any => vec!["any"],
        Expect::Only(protocols) => names(protocols),
        Expect::Registered => names(protocol::registered(udp, port)),
    }
}

/// Generations whose packets may still be held.
const KEPT: usize = 4;

/// The rules of the last few generations.
#[derive(Debug, Default)]
pub struct Generations(VecDeque<(u32, Arc<Rules>)>);

impl Generations {
    /// Takes a generation in before its first packet.
    pub fn add(&mut self, generation: u32, rules: Arc<Rules>) {
        self.0.push_front((generation, rules));
        self.0.truncate(KEPT);
    }

    /// The rules of a generation; those of the newest for one that is not remembered.
    pub fn of(&self, generation: u32) -> Option<&Arc<Rules>> {
        let found = self.0.iter().find(|(number, _)| *number == generation);
        found.or(self.0.front()).map(|(_, rules)| rules)
    }
}
