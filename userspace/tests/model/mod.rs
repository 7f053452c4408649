//! The reference model: what the documents say about a packet, written as plainly as it can be.
//!
//! It shares nothing with the programs or the policy compiler but the names of the reasons. Where the documents leave
//! something open, a comment that starts with "Decided:" says what the model holds to be right for an operator.
//! Where they do not say which of several true reasons comes first, [`Verdict::also`] lists the others.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod allow;
mod bridge;
mod carried;
pub mod datagrams;
pub mod decode;
pub mod flows;
mod odd;
pub mod policy;
pub mod sequence;
mod stages;
mod start;
pub mod tunnels;
pub mod world;

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use datagrams::Datagram;
use decode::{Content, Packet};
use flows::{Flow, Place};
use policy::{Kind, Policy};
use world::VLAN_DEVICES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Ingress,
    Egress,
}

/// One packet on its way: which hook, which interface, and at egress where it came in (0: from the gateway).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub hook: Hook,
    pub ifindex: u32,
    pub from: u32,
    pub now: u64,
    /// The frame's VLANs, outer first; filled in by [`Model::judge`].
    pub tags: [u16; 2],
}

impl At {
    pub fn ingress(ifindex: u32, now: u64) -> Self {
        Self { hook: Hook::Ingress, ifindex, from: 0, now, tags: [0; 2] }
    }

    pub fn egress(ifindex: u32, from: u32, now: u64) -> Self {
        Self { hook: Hook::Egress, ifindex, from, now, tags: [0; 2] }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub pass: bool,
    pub reason: Reason,
    /// Other reasons that are as true, where the documents name no order.
    pub also: Vec<Reason>,
    /// Zone of the initiator: a name, `self` or `outside`; none where the walk ended before it was known.
    pub zone: Option<String>,
    pub service: Option<String>,
    /// It passes, and what it carries is to be judged too.
    pub inside: bool,
    /// It is about a packet in a tunnel.
    pub carried: bool,
}

impl Verdict {
    fn pass(reason: Reason) -> Self {
        Self { pass: true, reason, also: Vec::new(), zone: None, service: None, inside: false, carried: false }
    }

    fn drop(reason: Reason) -> Self {
        Self { pass: false, ..Self::pass(reason) }
    }

    fn or(mut self, also: &[Reason]) -> Self {
        self.also.extend(also);
        self
    }
}

pub struct Model {
    pub policy: Policy,
    pub generation: u32,
    /// Names of interfaces and their numbers.
    pub interfaces: Vec<(String, u32)>,
    pub flows: Vec<Flow>,
    pub datagrams: Vec<Datagram>,
    /// Addresses the gateway asked for, where, and when.
    pub asked: Vec<(IpAddr, u32, u64)>,
    /// Until when TCP is taken in mid-stream.
    pub adopt_until: u64,
}

impl Model {
    pub fn new(policy: Policy, generation: u32, interfaces: &[(&str, u32)]) -> Self {
        Self {
            policy,
            generation,
            interfaces: interfaces.iter().map(|(name, number)| (name.to_string(), *number)).collect(),
            flows: Vec::new(),
            datagrams: Vec::new(),
            asked: Vec::new(),
            adopt_until: 0,
        }
    }

    /// The commit: tables stay.
    pub fn commit(&mut self, policy: Policy, generation: u32) {
        self.policy = policy;
        self.generation = generation;
    }

    /// Empties the tables, as if nothing had ever come by.
    pub fn forget(&mut self) {
        self.flows.clear();
        self.datagrams.clear();
        self.asked.clear();
    }

    pub fn ifindex(&self, name: &str) -> u32 {
        self.interfaces.iter().find(|(other, _)| other == name).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The life of a packet.
    pub fn judge(&mut self, at: At, frame: &[u8]) -> Verdict {
        // frame
        let (tags, content) = match decode::frame(frame) {
            Ok(frame) => frame,
            Err(reason) => return Verdict::drop(reason),
        };
        let packet = match content {
            // Decided: `ethertypes` speaks of what comes in; what the gateway says on a link is its own affair.
            Content::Other(_) if at.hook == Hook::Egress => return Verdict::pass(Reason::ethertype_allowed),
            Content::Arp(..) | Content::ArpMalformed | Content::Other(_)
                if at.hook == Hook::Ingress && self.bridges() && self.across(at.ifindex).is_none() =>
            {
                return Verdict::drop(Reason::bridge_peer_absent).or(&[Reason::ethertype_denied]);
            }
            Content::Other(ethertype) => return self.ethertype(ethertype),
            Content::Arp(..) | Content::ArpMalformed
                if at.hook == Hook::Ingress && !self.policy.ethertypes.contains(&0x0806) =>
            {
                return Verdict::drop(Reason::ethertype_denied);
            }
            Content::Session(bytes) => return self.session(At { tags, ..at }, &bytes),
            Content::ArpMalformed => return Verdict::drop(Reason::arp_malformed),
            Content::Arp(operation, sender, target) => return self.arp(at, operation, sender, target),
            // parse
            Content::Unreadable(reason) => return Verdict::drop(reason),
            Content::Ip(packet) => packet,
        };
        let at = At { tags, ..at };
        let packet = Packet { link: self.link(at), ..packet };
        if let Some(reason) = packet.wrong {
            let verdict = Verdict::drop(reason);
            self.remember_malformed(at, &packet);
            return verdict;
        }
        // ingress
        if at.hook == Hook::Egress && at.from != 0 && !self.named(at.from) {
            // Decided: what came in by an interface that no program guards was judged by nobody.
            return Verdict::drop(Reason::interface_unknown);
        }
        let place = match self.ingress(at, tags) {
            Ok(place) => place,
            Err(verdict) => return verdict,
        };
        self.packet(at, place, &packet)
    }

    /// A packet whose headers are in order, with what it carries.
    fn packet(&mut self, at: At, place: Place, packet: &Packet) -> Verdict {
        // anomaly
        let anomalies = self.anomalies(packet);
        if let Some(first) = anomalies.first() {
            self.remember_malformed(at, packet);
            return Verdict::drop(*first).or(&anomalies);
        }
        // fragment
        if let Some(verdict) = self.fragment(at, place, packet) {
            self.remember_malformed(at, packet);
            return verdict;
        }
        let verdict = self.whole(at, place, packet);
        self.remember_first(at, packet, &verdict);
        if verdict.inside { self.inside(at, place, packet) } else { verdict }
    }

    /// A frame that holds no IP packet. Those with a length there have no ethertype.
    fn ethertype(&self, ethertype: u16) -> Verdict {
        let ethertype = if ethertype < 0x0600 { 0 } else { ethertype };
        match self.policy.ethertypes.contains(&ethertype) {
            true => Verdict::pass(Reason::ethertype_allowed),
            false => Verdict::drop(Reason::ethertype_denied),
        }
    }

    /// From the flow stage on: whole packets and first fragments.
    fn whole(&mut self, at: At, place: Place, packet: &Packet) -> Verdict {
        let translated = self.translated(at);
        if let Some(verdict) = self.flow(at, place, translated, packet) {
            return verdict;
        }
        // what leaves by an outside interface of a masquerading gateway was judged before it was translated
        if translated && matches!(place, Place::Forwarded(_)) {
            return self.record(at, place, packet);
        }
        // zone
        let party = match self.zone(at, place, packet) {
            Ok(party) => party,
            Err(reason) => return Verdict::drop(reason),
        };
        let mut verdict = self.policy_and_state(at, place, translated, &party, packet);
        verdict.zone = Some(match party {
            flows::Party::Zone(name) => name,
            flows::Party::Gateway => "self".into(),
            flows::Party::Outside => "outside".into(),
            flows::Party::Published => "published".into(),
            flows::Party::Nameless => return verdict,
        });
        verdict
    }

    /// Whether tuples here are those the outside sees.
    fn translated(&self, at: At) -> bool {
        self.policy.kind == Kind::Masquerade && self.is_outside(at.ifindex)
    }

    pub fn is_outside(&self, ifindex: u32) -> bool {
        self.policy.outside.iter().any(|name| self.ifindex(name) == ifindex)
    }

    /// Whether packets may come in by an interface.
    fn named(&self, ifindex: u32) -> bool {
        let zoned = |index| self.policy.zones.iter().any(|zone| self.ifindex(&zone.interface) == index);
        let named = |index| self.is_outside(index) || zoned(index);
        // a VLAN device stands for the interface it lies on
        named(ifindex) || VLAN_DEVICES.iter().any(|(device, _, below, _)| *device == ifindex && named(*below))
    }

    fn arp(&mut self, at: At, operation: u16, sender: IpAddr, target: IpAddr) -> Verdict {
        if at.hook == Hook::Egress {
            if operation == 1 {
                self.asked.push((target, at.ifindex, at.now));
            }
            return Verdict::pass(Reason::arp);
        }
        if operation != 2 && self.bridges() {
            self.asked.push((target, at.ifindex, at.now));
        }
        let asked = self.was_asked(sender, at);
        if operation == 2 && !asked && self.policy.drop_unsolicited {
            return Verdict::drop(Reason::arp_unsolicited_dropped);
        }
        Verdict::pass(Reason::arp)
    }

    /// Decided: the kernel asks three times, a second apart; after five seconds nobody waits for an answer.
    pub(self) fn was_asked(&self, address: IpAddr, at: At) -> bool {
        // on a bridge it was asked on the other side
        let there = self.across(at.ifindex).unwrap_or(at.ifindex);
        self.asked
            .iter()
            .any(|(other, ifindex, when)| (*other, *ifindex) == (address, there) && at.now - when < 5_000_000_000)
    }

    fn ingress(&self, at: At, tags: [u16; 2]) -> Result<Place, Verdict> {
        let here = |name: &String| self.ifindex(name) == at.ifindex;
        if at.hook == Hook::Egress && at.from != 0 && self.policy.kind == Kind::Route {
            return Err(Verdict::pass(Reason::routed));
        }
        if at.hook == Hook::Egress && at.from != 0 && self.bridges() {
            // the kernel forwards nothing between the sides of a bridge
            return Err(Verdict::drop(Reason::interface_unknown));
        }
        let outside = self.policy.outside.iter().any(here);
        let zones: Vec<_> = self.policy.zones.iter().filter(|zone| here(&zone.interface)).collect();
        if !outside && zones.is_empty() {
            // of a tagged frame on such an interface both are true
            let tagged = tags != [0, 0];
            let also: &[Reason] = if tagged { &[Reason::vlan_unknown] } else { &[] };
            return Err(Verdict::drop(Reason::interface_unknown).or(also));
        }
        // a zone has the tags it names
        let known = self.faces_outside(at.ifindex, tags) || zones.iter().any(|zone| allow::tags(zone) == tags);
        if !known {
            return Err(Verdict::drop(Reason::vlan_unknown));
        }
        if at.hook == Hook::Ingress {
            return Ok(Place::Port(at.ifindex, tags));
        }
        if at.from == 0 {
            return Ok(Place::Gateway);
        }
        Ok(Place::Forwarded(at.from))
    }
}
