//! What becomes of a flow that a line allows: whether two lines mean the same by it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
};

use super::lines::{Lines, Text};
use crate::{
    policy::model::{Expect, Policy, PortRange, Proxied, protocol},
    protocol::{Protocol, registered},
};

/// What is done with a flow, as far as a line says so.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Treatment<'p> {
    /// Nothing that a line of another kind could contradict.
    Same,
    Uninspected,
    Inspected(&'p Expect, Option<Proxied>),
    /// Before translation: the host and port behind it.
    Translated(std::net::IpAddr, Option<u16>),
}

/// The treatments of all lines.
pub struct Treatments<'p> {
    /// By line; equal numbers are equal treatments.
    keys: Vec<u32>,
    distinct: Vec<Treatment<'p>>,
    /// Of published lines before translation.
    translated: Vec<u32>,
}

impl<'p> Treatments<'p> {
    pub fn new(policy: &'p Policy, lines: &Lines<'p>) -> Self {
        let mut treatments = Self { keys: Vec::new(), distinct: vec![Treatment::Same], translated: Vec::new() };
        let mut known: HashMap<String, u32> = HashMap::new();
        for line in &lines.all {
            let inspected = policy.inspection.is_some();
            let treatment = match line.text {
                _ if !inspected => Treatment::Same,
                Text::Service(service) if !service.inspect => Treatment::Uninspected,
                Text::Service(service) => Treatment::Inspected(&service.expect, service.proxied),
                Text::Publish(line) => Treatment::Inspected(&line.expect, None),
            };
            let key = treatments.key(treatment, &mut known);
            treatments.keys.push(key);
            if let Text::Publish(line) = line.text {
                let key = treatments.key(Treatment::Translated(line.to, line.to_port), &mut known);
                treatments.translated.push(key);
            }
        }
        treatments
    }

    fn key(&mut self, treatment: Treatment<'p>, known: &mut HashMap<String, u32>) -> u32 {
        if treatment == Treatment::Same {
            return 0;
        }
        *known.entry(format!("{treatment:?}")).or_insert_with(|| {
            self.distinct.push(treatment);
            self.distinct.len() as u32 - 1
        })
    }

    /// A number that tells whether lines may differ: those with one number do not. `before`: published lines are seen before
    /// translation.
    pub fn of(&self, line: u32, protocol: u8, before: bool) -> u32 {
        match self.translated.get(line as usize) {
            Some(key) if before => *key,
            _ if ![protocol::TCP, protocol::UDP].contains(&protocol) => 0,
            _ => self.keys[line as usize],
        }
    }

    /// The first port of some at which two treatments differ.
    pub fn differ(&self, a: u32, b: u32, protocol: u8, ports: PortRange) -> Option<u16> {
        use Treatment::{Inspected, Same, Translated, Uninspected};
        match (&self.distinct[a as usize], &self.distinct[b as usize]) {
            (a, b) if a == b => None,
            (Same, _) | (_, Same) => None,
            // that a published line comes before what the gateway itself offers is what it is for
            (Translated(..), Uninspected | Inspected(..)) | (Uninspected | Inspected(..), Translated(..)) => None,
            (Inspected(a, proxy), Inspected(b, other)) if protocol == protocol::UDP || proxy == other => {
                let udp = protocol == protocol::UDP;
                // the registry has far fewer ports than this
                (ports.first..=ports.last).take(1024).find(|port| listed(a, udp, *port) != listed(b, udp, *port))
            }
            _ => Some(ports.first),
        }
    }

    /// A treatment in words.
    pub fn words(&self, key: u32) -> String {
        match &self.distinct[key as usize] {
            Treatment::Same => "as any other".to_owned(),
            Treatment::Uninspected => "`inspect = false`".to_owned(),
            Treatment::Translated(to, port) => {
                let mut text = format!("`to = \"{to}\"`");
                if let Some(port) = port {
                    // writing to a `String` cannot fail
                    let _ = write!(text, " and `to_port = {port}`");
                }
                text
            }
            Treatment::Inspected(expect, proxied) => {
                let mut text = match expect {
                    Expect::Registered => "what is registered for the port".to_owned(),
                    Expect::Any => "`expect = \"any\"`".to_owned(),
                    Expect::Only(_) => format!("`{}`", expect.to_string().trim_start_matches(", ")),
                };
                if let Some(proxied) = proxied {
                    let _ = write!(text, " and `proxied = \"{proxied}\"`");
                }
                text
            }
        }
    }
}

/// What may be spoken; `None`: anything.
fn listed(expect: &Expect, udp: bool, port: u16) -> Option<BTreeSet<&'static str>> {
    let names = |protocols: &[Protocol]| protocols.iter().map(|protocol| protocol.name()).collect();
    match expect {
        Expect::Any => None,
        Expect::Only(protocols) => Some(names(protocols)),
        Expect::Registered => Some(names(registered(udp, port))),
    }
}
