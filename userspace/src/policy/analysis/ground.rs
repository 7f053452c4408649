//! Where the packets of a cell come from and go to.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    sync::Arc,
};

use super::{
    addresses::{Run, Runs, Set},
    decided::{Budget, Decided},
    lines::{Cell, Lines},
    places::{Places, sample},
};
use crate::policy::{
    model::{PortRange, protocol},
    prefix::address_at,
};

/// IPv6 extension headers: they are looked through, so that nothing is of these protocols (RFC 8200; RFC 4302).
const LOOKED_THROUGH: [u8; 5] = [0, 43, 44, 51, 60];

/// A packet that starts a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Witness {
    /// `None`: an address of the gateway.
    pub source: Option<IpAddr>,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Or ICMP type.
    pub port: u16,
}

/// The ground of one cell.
pub struct Ground {
    pub cell: Cell,
    /// Senders of packets that are shown: [`Places::shown`].
    sources: Vec<Set>,
    /// What may be sent to.
    pub to: Set,
    /// Families that packets are of: whether it is IPv6.
    pub families: Vec<bool>,
    /// Tells grounds with other destinations apart.
    key: (u16, u16, Vec<bool>),
}

/// Grounds, and what was found about destination sets on them.
pub struct Grounds<'p> {
    pub places: Places<'p>,
    within: RefCell<HashMap<WithinKey, bool>>,
}

/// Two destination sets and a ground.
type WithinKey = (u32, u32, (u16, u16, Vec<bool>));

impl<'p> Grounds<'p> {
    pub fn new(places: Places<'p>) -> Self {
        Self { places, within: RefCell::default() }
    }

    pub fn of(&self, cell: Cell) -> Ground {
        let (party, peer, protocol) = cell;
        let sources = self.places.sources(party);
        let mut to = self.places.peer(peer);
        let mut families = Vec::new();
        let mut lonely = false;
        for v6 in [false, true] {
            let Some((first, last)) = sources.next(v6, 0).filter(|_| belongs(protocol, v6)) else { continue };
            families.push(v6);
            let more = last.checked_add(1).is_some_and(|at| sources.next(v6, at).is_some());
            if first == last && !more {
                // what a host sends to itself is dropped wherever it is seen
                let mut own = Runs::default();
                own.push(v6, (first, last));
                to.except.push(Arc::new(own));
                lonely = true;
            }
        }
        let key = (peer, if lonely { party } else { 0 }, families.clone());
        Ground { cell, sources: self.places.shown(party), to, families, key }
    }

    /// Whether all of a destination set lies in another one, as far as packets of a cell go there.
    pub fn lies_within(&self, ground: &Ground, [inner, outer]: [u32; 2], lines: &Lines<'_>, budget: &Budget) -> bool {
        let key = (inner, outer, ground.key.clone());
        if let Some(known) = self.within.borrow().get(&key) {
            return *known;
        }
        let mut decided = Decided::default();
        decided.give(0, lines.addresses(outer), budget);
        let mut within = true;
        for v6 in &ground.families {
            decided.walk(*v6, (lines.addresses(inner), &ground.to), budget, |taker, _| {
                within = taker.is_some();
                if within { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if !within {
                break;
            }
        }
        self.within.borrow_mut().insert(key, within);
        within
    }
}

impl Ground {
    /// A packet to one of some addresses in a row.
    pub fn witness(&self, v6: bool, run: Run, port: u16) -> Option<Witness> {
        let destination = sample(v6, run);
        let packet = Witness { source: None, destination, protocol: self.cell.2, port };
        if self.sources.is_empty() {
            return Some(packet);
        }
        let source = self.sources.iter().find_map(|sources| {
            let (first, last) = sources.next(v6, 0)?;
            let beyond = last.checked_add(1).and_then(|at| sources.next(v6, at));
            // a lone address before others is seldom a host's
            let runs = if first == last { [beyond, Some((first, last))] } else { [Some((first, last)), beyond] };
            let ends = |run: Run| [sample(v6, run), address_at(v6, run.0), address_at(v6, run.1)];
            runs.into_iter().flatten().flat_map(ends).find(|source| *source != destination)
        })?;
        Some(Witness { source: Some(source), ..packet })
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_ports = match self.protocol {
            protocol::TCP => Some("tcp"),
            protocol::UDP => Some("udp"),
            protocol::SCTP => Some("sctp"),
            _ => None,
        };
        // any port of a client will do
        let client = |source| SocketAddr::new(source, 49_152).to_string();
        let from = |port: bool| match self.source {
            None => "the gateway".to_owned(),
            Some(source) if port => client(source),
            Some(source) => source.to_string(),
        };
        match (of_ports, self.protocol) {
            (Some(name), _) => {
                write!(f, "{name} {} -> {}", from(true), SocketAddr::new(self.destination, self.port))
            }
            (_, protocol::ICMP) => write!(f, "icmp type {} {} -> {}", self.port, from(false), self.destination),
            (_, protocol::ICMPV6) => write!(f, "icmpv6 type {} {} -> {}", self.port, from(false), self.destination),
            (_, number) => write!(f, "protocol {number} {} -> {}", from(false), self.destination),
        }
    }
}

/// Whether packets of a family can be of a protocol.
pub fn belongs(protocol: u8, v6: bool) -> bool {
    if v6 { protocol != protocol::ICMP && !LOOKED_THROUGH.contains(&protocol) } else { protocol != protocol::ICMPV6 }
}

/// The first of some ports that an allowlist is asked about. ICMP errors, redirects, neighbour and listener discovery are
/// decided before it.
pub fn first_asked(protocol: u8, ports: PortRange) -> Option<u16> {
    (ports.first..=ports.last).find(|kind| match protocol {
        protocol::ICMP => ![3, 4, 5, 11, 12].contains(kind),
        protocol::ICMPV6 => *kind >= 128 && !matches!(kind, 130..=137 | 143),
        _ => true,
    })
}
