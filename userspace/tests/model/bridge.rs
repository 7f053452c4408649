//! A gateway that bridges: where frames go on, and what that changes (`docs/policy.md`, Bridging).

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use super::{
    At, Hook, Model, Verdict,
    allow::{longest_of, tags},
    decode::Packet,
    flows::{Direction, Flow, Party, Place},
    policy::{Kind, Zone},
};

/// A pair, by the lower of its interfaces, and the tags of its frames: flows belong to it.
pub type Link = Option<(u32, [u16; 2])>;

impl Model {
    pub(super) fn bridges(&self) -> bool {
        self.policy.kind == Kind::Bridge
    }

    /// The interface where frames go on that come in by another one.
    pub(super) fn across(&self, ifindex: u32) -> Option<u32> {
        self.policy.pairs.iter().map(|pair| pair.clone().map(|name| self.ifindex(&name))).find_map(|[one, other]| {
            match ifindex {
                _ if ifindex == one => Some(other),
                _ if ifindex == other => Some(one),
                _ => None,
            }
        })
    }

    pub(super) fn link(&self, at: At) -> Link {
        let across = self.across(at.ifindex)?;
        Some((across.min(at.ifindex), at.tags))
    }

    /// Whether the outside is at a port: it is untagged, and behind a bridge it has the tags of the zones before it.
    pub(super) fn faces_outside(&self, ifindex: u32, tags: [u16; 2]) -> bool {
        let zoned = |ifindex| !self.zones_at(ifindex, tags).is_empty();
        let beyond = || !zoned(ifindex) && self.across(ifindex).is_some_and(zoned);
        self.is_outside(ifindex) && (tags == [0, 0] || beyond())
    }

    /// Whose a zone's address is on an outside interface of a bridge: the zone's, unless it lies right across. Then it is forged.
    pub(super) fn source_beyond(&self, ifindex: u32, vlans: [u16; 2], src: IpAddr) -> Option<Result<Party, Reason>> {
        let all: Vec<&Zone> = self.policy.zones.iter().collect();
        let (_, name) = longest_of(&all, src)?;
        let zone = self.zone_named(&name)?;
        let port = (self.ifindex(&zone.interface), tags(zone));
        if port == (ifindex, vlans) {
            return Some(Ok(Party::Zone(name)));
        }
        if Some(port.0) == self.across(ifindex) && port.1 == vlans {
            return Some(Err(Reason::source_of_zone));
        }
        if self.directed(src) {
            return Some(Err(Reason::source_broadcast));
        }
        Some(Ok(Party::Zone(name)))
    }

    /// To the server by where the client is. To the client by the other side of its pair, whoever it is that answers there, or
    /// where the source belongs.
    pub(super) fn fits_bridge(&self, flow: &Flow, direction: Direction, place: Place, packet: &Packet) -> bool {
        let Place::Port(ifindex, _) = place else { return true };
        if direction == Direction::ToServer {
            return flow.came_in == place;
        }
        let beyond = matches!(flow.came_in, Place::Port(client, _) if self.across(client) == Some(ifindex));
        beyond || self.source(place, packet.src) == Ok(flow.peer.clone())
    }

    /// Hosts of a zone ask servers on the other side, where the zone may.
    pub(super) fn dhcp_across(&self, at: At, packet: &Packet) -> Option<Verdict> {
        let (client, server) = if packet.src.is_ipv4() { (68, 67) } else { (546, 547) };
        let asks = (packet.sport, packet.dport) == (client, server);
        let answers = packet.sport == server && [client, server].contains(&packet.dport);
        // Decided: what the gateway itself sends there is no other DHCP than that of hosts behind it.
        let from = match at.hook {
            Hook::Ingress => at.ifindex,
            Hook::Egress => self.across(at.ifindex)?,
        };
        let zone = if asks { from } else { self.across(from)? };
        let may = (asks || answers) && self.zones_at(zone, at.tags).iter().any(|zone| zone.dhcp);
        may.then(|| Verdict::pass(Reason::dhcp))
    }
}
