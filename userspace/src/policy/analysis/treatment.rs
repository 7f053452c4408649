//! What becomes of a flow that a line allows: whether two lines mean the same by it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
};

use dropgate_abi::tunnel::is_carrier;

use super::lines::{Lines, Text};
use crate::{
    policy::model::{Expect, Policy, PortRange, Proxied, Tunnel, protocol},
    protocol::{Protocol, registered},
};

/// What is done with a flow, as far as a line says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Treatment<'p> {
    tunnel: Carried,
    rest: Rest<'p>,
}

/// What becomes of the packets inside of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Carried {
    /// There are none that could be read.
    Nothing,
    /// The line does not say: dropped.
    Unasked,
    Said(Tunnel),
}

/// What else is done with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest<'p> {
    /// Nothing that a line of another kind could contradict.
    Same,
    Uninspected,
    Inspected(&'p Expect, Option<Proxied>),
    /// Before translation: the host and port behind it.
    Translated(std::net::IpAddr, Option<u16>),
}

const SAME: Treatment<'_> = Treatment { tunnel: Carried::Nothing, rest: Rest::Same };

/// The treatments of all lines. Equal numbers are equal treatments.
pub struct Treatments<'p> {
    /// By line.
    keys: Vec<Keys>,
    distinct: Vec<Treatment<'p>>,
    /// Of published lines before translation: elsewhere, and at a port of VXLAN.
    translated: Vec<[u32; 2]>,
    vxlan: &'p [u16],
}

/// The treatments of a line by what it lets through.
#[derive(Clone, Copy)]
struct Keys {
    /// TCP, and UDP elsewhere than at a port of VXLAN.
    plain: u32,
    vxlan: u32,
    /// Tunnels that are protocols of their own.
    protocol: u32,
}

impl<'p> Treatments<'p> {
    pub fn new(policy: &'p Policy, lines: &Lines<'p>) -> Self {
        let vxlan = &policy.gateway.vxlan;
        let mut treatments = Self { keys: Vec::new(), distinct: vec![SAME], translated: Vec::new(), vxlan };
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut key = |treatment| treatments.key(treatment, &mut known);
        let (mut keys, mut translated) = (Vec::new(), Vec::new());
        for line in &lines.all {
            let inspected = policy.inspection.is_some();
            let rest = match line.text {
                _ if !inspected => Rest::Same,
                Text::Service(service) if !service.inspect => Rest::Uninspected,
                Text::Service(service) => Rest::Inspected(&service.expect, service.proxied),
                Text::Publish(line) => Rest::Inspected(&line.expect, None),
            };
            let tunnel = Carried::new(match line.text {
                Text::Service(service) => service.tunnel,
                Text::Publish(line) => line.tunnel,
            });
            let plain = key(Treatment { rest, ..SAME });
            // what carries packets that are judged is not inspected itself
            let opaque = tunnel == Carried::Said(Tunnel::Opaque);
            let vxlan = key(Treatment { tunnel, rest: if opaque { rest } else { Rest::Same } });
            keys.push(Keys { plain, vxlan, protocol: key(Treatment { tunnel, ..SAME }) });
            if let Text::Publish(line) = line.text {
                let rest = Rest::Translated(line.to, line.to_port);
                // it is looked into once, on the zone's side
                let judged = tunnel == Carried::Said(Tunnel::Judge);
                let tunnel = if judged { Carried::Said(Tunnel::Opaque) } else { tunnel };
                translated.push([key(Treatment { rest, ..SAME }), key(Treatment { tunnel, rest })]);
            }
        }
        (treatments.keys, treatments.translated) = (keys, translated);
        treatments
    }

    fn key(&mut self, treatment: Treatment<'p>, known: &mut HashMap<String, u32>) -> u32 {
        if treatment == SAME {
            return 0;
        }
        *known.entry(format!("{treatment:?}")).or_insert_with(|| {
            self.distinct.push(treatment);
            self.distinct.len() as u32 - 1
        })
    }

    /// Ports of a protocol at which lines may differ that do not elsewhere.
    pub fn ports(&self, protocol: u8) -> impl Iterator<Item = PortRange> {
        let ports = if protocol == protocol::UDP { self.vxlan } else { &[] };
        ports.iter().map(|port| PortRange { first: *port, last: *port })
    }

    /// A number that tells whether lines may differ: those with one number do not. `ports`: some between two of [`Self::ports`].
    /// `before`: published lines are seen before translation.
    pub fn of(&self, line: u32, protocol: u8, ports: PortRange, before: bool) -> u32 {
        let vxlan = protocol == protocol::UDP && self.vxlan.contains(&ports.first);
        let keys = self.keys[line as usize];
        match self.translated.get(line as usize) {
            Some(keys) if before => keys[usize::from(vxlan)],
            _ if vxlan => keys.vxlan,
            _ if is_carrier(protocol) => keys.protocol,
            _ if [protocol::TCP, protocol::UDP].contains(&protocol) => keys.plain,
            _ => 0,
        }
    }

    /// The first port of some at which two treatments differ.
    pub fn differ(&self, a: u32, b: u32, protocol: u8, ports: PortRange) -> Option<u16> {
        use Rest::{Inspected, Same, Translated};
        let [a, b] = [a, b].map(|key| &self.distinct[key as usize]);
        let translated = [a, b].map(|treatment| matches!(treatment.rest, Translated(..)));
        // that a published line comes before what the gateway itself offers is what it is for
        if translated[0] != translated[1] {
            return None;
        }
        if a.tunnel.fate() != b.tunnel.fate() {
            return Some(ports.first);
        }
        match (a.rest, b.rest) {
            (a, b) if a == b => None,
            (Same, _) | (_, Same) => None,
            (Inspected(a, proxy), Inspected(b, other)) if protocol == protocol::UDP || proxy == other => {
                let udp = protocol == protocol::UDP;
                // the registry has far fewer ports than this
                (ports.first..=ports.last).take(1024).find(|port| listed(a, udp, *port) != listed(b, udp, *port))
            }
            _ => Some(ports.first),
        }
    }

    /// Two treatments that differ, in words.
    pub fn words(&self, keys: [u32; 2]) -> [String; 2] {
        let both = keys.map(|key| &self.distinct[key as usize]);
        let tunnels = both[0].tunnel.fate() != both[1].tunnel.fate();
        both.map(|treatment| if tunnels { treatment.tunnel.words() } else { treatment.rest.words() })
    }
}

impl Carried {
    fn new(said: Option<Tunnel>) -> Self {
        said.map_or(Self::Unasked, Self::Said)
    }

    /// What is not asked for is dropped.
    fn fate(self) -> Option<Tunnel> {
        match self {
            Self::Nothing => None,
            Self::Unasked => Some(Tunnel::Drop),
            Self::Said(tunnel) => Some(tunnel),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Said(tunnel) => format!("`tunnel = \"{}\"`", tunnel.word()),
            Self::Nothing | Self::Unasked => "no `tunnel`, which drops them".to_owned(),
        }
    }
}

impl Rest<'_> {
    fn words(self) -> String {
        match self {
            Self::Same => "as any other".to_owned(),
            Self::Uninspected => "`inspect = false`".to_owned(),
            Self::Translated(to, port) => {
                let mut text = format!("`to = \"{to}\"`");
                if let Some(port) = port {
                    // writing to a `String` cannot fail
                    let _ = write!(text, " and `to_port = {port}`");
                }
                text
            }
            Self::Inspected(expect, proxied) => {
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
