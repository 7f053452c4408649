//! Who is who, and which line allows what.

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use super::{
    Model,
    flows::{Party, Place},
    policy::{Service, To, Zone},
};

/// The start of a flow, as the allowlist sees it.
#[derive(Clone, Debug)]
pub struct Start {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub dport: u16,
    pub icmp_type: Option<u8>,
}

/// The tags of a zone's frames, outer first, zero for none.
pub fn tags(zone: &Zone) -> [u16; 2] {
    match zone.vlan[..] {
        [outer, inner] => [outer, inner],
        [one] => [one, 0],
        _ => [0, 0],
    }
}

impl Model {
    pub fn zone_named(&self, name: &str) -> Option<&Zone> {
        self.policy.zones.iter().find(|zone| zone.name == name)
    }

    /// The zones at a port.
    pub fn zones_at(&self, ifindex: u32, vlans: [u16; 2]) -> Vec<&Zone> {
        let there = |zone: &&Zone| self.ifindex(&zone.interface) == ifindex && tags(zone) == vlans;
        self.policy.zones.iter().filter(there).collect()
    }

    /// The party that an address is, coming from a place.
    pub fn source(&self, place: Place, src: IpAddr) -> Result<Party, Reason> {
        let (ifindex, vlans) = match place {
            Place::Gateway => return Ok(Party::Gateway),
            // It was judged where it came in; what enters a zone without a flow can only be for a published host.
            Place::Forwarded(_) => return Ok(Party::Published),
            Place::Port(ifindex, vlans) => (ifindex, vlans),
        };
        if self.policy.addresses.contains(&src) {
            return Err(Reason::source_is_self);
        }
        let zones = self.zones_at(ifindex, vlans);
        let mut prefixes = zones.iter().flat_map(|zone| &zone.prefixes);
        if prefixes.any(|prefix| prefix.broadcast() == Some(src)) {
            return Err(Reason::source_broadcast);
        }
        let outside = self.faces_outside(ifindex, vlans);
        if outside
            && self.bridges()
            && let Some(found) = self.source_beyond(ifindex, vlans, src)
        {
            return found;
        }
        if let Some((bits, name)) = longest_of(&zones, src) {
            // Decided: at an outside interface a narrower prefix of a zone elsewhere has its addresses, as it does where they
            // are destinations. From there they are forged.
            let all: Vec<&Zone> = self.policy.zones.iter().collect();
            let elsewhere = outside && longest_of(&all, src).is_some_and(|(narrowest, _)| narrowest > bits);
            return if elsewhere { Err(Reason::source_of_zone) } else { Ok(Party::Zone(name)) };
        }
        // Neighbour discovery and DHCP need them. Decided: where one zone alone is at a port, link-local hosts are its own.
        let link_local = matches!(src, IpAddr::V6(src) if src.is_unicast_link_local());
        if let (true, [zone], false) = (link_local, &zones[..], outside) {
            return Ok(Party::Zone(zone.name.clone()));
        }
        if link_local && !outside || src.is_unspecified() {
            return Ok(Party::Nameless);
        }
        if outside {
            let all: Vec<&Zone> = self.policy.zones.iter().collect();
            return match longest(&all, src) {
                Some(_) => Err(Reason::source_of_zone),
                None => Ok(Party::Outside),
            };
        }
        Err(Reason::source_not_in_zone)
    }

    /// The party that an address is, as a destination.
    pub fn peer(&self, dst: IpAddr) -> Party {
        if self.policy.addresses.contains(&dst) {
            return Party::Gateway;
        }
        // Decided: a zone's broadcast address is no host of it; no line can mean it (RFC 2644).
        if self.directed(dst) {
            return Party::Nameless;
        }
        let all: Vec<&Zone> = self.policy.zones.iter().collect();
        longest(&all, dst).map_or(Party::Outside, Party::Zone)
    }

    pub fn blocked(&self, start: &Start) -> Option<Reason> {
        if self.policy.block_from.iter().any(|prefix| prefix.holds(start.src)) {
            return Some(Reason::blocked_source);
        }
        if self.policy.block_to.iter().any(|prefix| prefix.holds(start.dst)) {
            return Some(Reason::blocked_destination);
        }
        None
    }

    /// The name of the line that allows a flow to start.
    pub fn allowed(&self, party: &Party, start: &Start) -> Option<String> {
        let services: &[Service] = match party {
            Party::Zone(name) => &self.zone_named(name)?.egress,
            Party::Gateway => &self.policy.gateway_egress,
            Party::Outside => &self.policy.outside_egress,
            Party::Published | Party::Nameless => &[],
        };
        let peer = self.peer(start.dst);
        // Decided: of a published line and a service that both hold a packet, the published line is named.
        self.published(party, start).or_else(|| {
            let service = services.iter().find(|service| speaks(service, start) && reaches(service, &peer, start.dst));
            service.map(|service| service.name.clone())
        })
    }

    /// Whether a service holds the start of a flow, whatever else does.
    pub fn holds(&self, service: &Service, start: &Start) -> bool {
        speaks(service, start) && reaches(service, &self.peer(start.dst), start.dst)
    }

    /// Whether a service has an address among its destinations.
    pub fn reaches(&self, service: &Service, dst: IpAddr) -> bool {
        reaches(service, &self.peer(dst), dst)
    }

    /// Before translation: the outside and every zone may reach the published address. After it: anyone the host.
    fn published(&self, party: &Party, start: &Start) -> Option<String> {
        let line = self.policy.publish.iter().find(|line| {
            let in_ports = line.ports.iter().any(|(low, high)| (*low..=*high).contains(&start.dport));
            line.transport == start.protocol
                && match party {
                    Party::Gateway | Party::Nameless => false,
                    Party::Published => {
                        line.to == start.dst && line.to_port.map_or(in_ports, |port| port == start.dport)
                    }
                    _ => line.address == start.dst && in_ports,
                }
        })?;
        Some(line.name.clone())
    }
}

/// Of some zones, the one with the longest prefix that holds an address.
fn longest(zones: &[&Zone], address: IpAddr) -> Option<String> {
    longest_of(zones, address).map(|(_, name)| name)
}

/// The same with the length of that prefix.
pub(super) fn longest_of(zones: &[&Zone], address: IpAddr) -> Option<(u32, String)> {
    let mut best: Option<(u32, &str)> = None;
    for zone in zones {
        for prefix in zone.prefixes.iter().filter(|prefix| prefix.holds(address)) {
            if best.is_none_or(|(bits, _)| prefix.bits > bits) {
                best = Some((prefix.bits, &zone.name));
            }
        }
    }
    best.map(|(bits, name)| (bits, name.to_string()))
}

/// Whether a service speaks of this protocol and port.
fn speaks(service: &Service, start: &Start) -> bool {
    let ports = match start.protocol {
        6 => &service.tcp,
        17 => &service.udp,
        132 => &service.sctp,
        1 if start.src.is_ipv4() => return start.icmp_type.is_some_and(|kind| service.icmp.contains(&kind)),
        58 if start.src.is_ipv6() => return start.icmp_type.is_some_and(|kind| service.icmpv6.contains(&kind)),
        // ICMPv6 in IPv4 or ICMP in IPv6 is just another protocol
        other => return service.protocol.contains(&other),
    };
    ports.iter().any(|(low, high)| (*low..=*high).contains(&start.dport))
}

fn reaches(service: &Service, peer: &Party, dst: IpAddr) -> bool {
    // Decided: `except` takes away from whatever `to` names.
    if service.except.iter().any(|prefix| prefix.holds(dst)) {
        return false;
    }
    let any = [To::Any];
    let to = if service.to.is_empty() { &any[..] } else { &service.to };
    to.iter().any(|entry| match (entry, peer) {
        (To::Any, Party::Outside) | (To::Gateway, Party::Gateway) => true,
        (To::Prefix(prefix), Party::Outside) => prefix.holds(dst),
        (To::Zone(name), Party::Zone(zone)) => name == zone,
        (To::ZonePrefix(name, prefix), Party::Zone(zone)) => name == zone && prefix.holds(dst),
        _ => false,
    })
}
