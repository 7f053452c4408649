//! The policy and state stages: a packet that belongs to no flow.

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use super::{
    At, Hook, Model, Verdict,
    allow::Start,
    decode::Packet,
    flows::{Flow, Party, Place},
    policy::Prefix,
    stages::{is_limited_broadcast, starts},
};

impl Model {
    pub(super) fn policy_and_state(
        &mut self,
        at: At,
        place: Place,
        translated: bool,
        party: &Party,
        packet: &Packet,
    ) -> Verdict {
        let start = Start {
            src: packet.src,
            dst: packet.dst,
            protocol: packet.protocol,
            dport: packet.dport,
            icmp_type: packet.icmp_type,
        };
        if let Some(reason) = self.blocked(&start) {
            // both may hold; neither goes first by the documents
            return Verdict::drop(reason).or(&[Reason::blocked_destination]);
        }
        if let Some(verdict) = self.special(at, party, packet) {
            return verdict;
        }
        if packet.later_fragment() {
            return match party {
                Party::Nameless => Verdict::drop(Reason::source_not_in_zone),
                _ => Verdict::pass(Reason::fragment_passed),
            };
        }
        if packet.tcp_flags.is_some_and(|flags| !starts(flags)) {
            return self.mid_stream(at, place, translated, party, packet, &start);
        }
        match self.allowed(party, &start) {
            Some(service) => {
                let inside = match self.tunnelled((party, Some(&service)), packet.dport, packet) {
                    Ok(inside) => inside,
                    Err(reason) => return Verdict::drop(reason),
                };
                let flow = self.new_flow(translated, place, party.clone(), Some(service), packet);
                let verdict = self.admit(at, flow, packet, Reason::allowed);
                Verdict { inside: inside && verdict.pass, ..verdict }
            }
            None => self.denied(party, packet),
        }
    }

    /// Starts a flow if its zone may have another one.
    fn admit(&mut self, at: At, flow: Flow, packet: &Packet, reason: Reason) -> Verdict {
        if let Party::Zone(name) = &flow.party {
            let cap = self.zone_named(name).map_or(0, |zone| zone.max_flows);
            let live = |other: &&Flow| {
                other.party == flow.party && !other.expired(at.now) && other.direction(packet, false).is_none()
            };
            // Decided: a connection that takes a closed one's place adds none, even where a push has left the zone more
            // than it may have now.
            let again = |other: &Flow| {
                other.party == flow.party
                    && !other.expired(at.now)
                    && other.over()
                    && other.direction(packet, flow.translated).is_some()
            };
            let adds = !self.flows.iter().any(again);
            if cap > 0 && adds && self.flows.iter().filter(live).count() >= cap as usize {
                return Verdict::drop(Reason::zone_flow_cap);
            }
        }
        let verdict = Verdict { service: flow.service.clone(), ..Verdict::pass(reason) };
        self.add(flow, packet, at.now);
        verdict
    }

    /// TCP that starts nothing: of no flow, unless the zone is loose or flows are being adopted.
    fn mid_stream(
        &mut self,
        at: At,
        place: Place,
        translated: bool,
        party: &Party,
        packet: &Packet,
        start: &Start,
    ) -> Verdict {
        let flags = packet.tcp_flags.unwrap_or_default();
        let (syn, rst, ack) = (flags & 2 != 0, flags & 4 != 0, flags & 16 != 0);
        let reason = if rst {
            Reason::rst_unsolicited
        } else if syn && ack {
            Reason::syn_ack_unsolicited
        } else {
            Reason::tcp_no_flow
        };
        let peer = self.peer(packet.dst);
        let is_loose =
            |party: &Party| matches!(party, Party::Zone(name) if self.zone_named(name).is_some_and(|zone| zone.loose));
        let loose = is_loose(party) || is_loose(&peer);
        // Decided: a RST ends what nobody knows; there is nothing to take in.
        let adopt = at.now < self.adopt_until;
        if !(loose || adopt) || rst || *party == Party::Nameless {
            return Verdict::drop(reason);
        }
        let good = if adopt { Reason::adopted } else { Reason::loose };
        if let Some(service) = self.allowed(party, start) {
            let mut flow = self.new_flow(translated, place, party.clone(), Some(service), packet);
            flow.loose = loose;
            return self.admit(at, flow, packet, good).or(&[Reason::adopted, Reason::loose]);
        }
        // the other orientation: the sender is the server, and the one that the line speaks of. What the gateway puts into a
        // tunnel of its own is the gateway's, whoever's address it has.
        let back = Start { src: packet.dst, dst: packet.src, dport: packet.sport, ..start.clone() };
        let named = self.peer(packet.src) == *party;
        if let (None, Some(service), true) = (self.blocked(&back), self.allowed(&peer, &back), named) {
            let mut flow = self.new_flow(translated, self.home(&peer), peer, Some(service), packet);
            (flow.client, flow.server) = (flow.server, flow.client);
            flow.peer = party.clone();
            flow.loose = loose;
            return self.admit(at, flow, packet, good).or(&[Reason::adopted, Reason::loose]);
        }
        Verdict::drop(reason).or(&[Reason::not_allowed, Reason::not_published])
    }

    /// Where a party's packets come in.
    fn home(&self, party: &Party) -> Place {
        match party {
            Party::Zone(name) => self
                .zone_named(name)
                .map_or(Place::Gateway, |zone| Place::Port(self.ifindex(&zone.interface), super::allow::tags(zone))),
            Party::Outside => Place::Port(self.ifindex(&self.policy.outside[0]), [0, 0]),
            _ => Place::Gateway,
        }
    }

    /// Neighbour discovery, listeners, DHCP, answers to nothing.
    fn special(&mut self, at: At, party: &Party, packet: &Packet) -> Option<Verdict> {
        if packet.protocol == 58
            && packet.src.is_ipv6()
            && let Some(kind) = packet.icmp_type
        {
            if (133..=137).contains(&kind) {
                return Some(self.neighbour(at, party, kind, packet));
            }
            if [130, 131, 132, 143].contains(&kind) {
                return Some(Verdict::pass(Reason::multicast_listener));
            }
        }
        if let Some(verdict) = self.dhcp(at, party, packet) {
            return Some(verdict);
        }
        let redirect = packet.protocol == 1 && packet.icmp_type == Some(5);
        redirect.then(|| Verdict::drop(Reason::icmp_redirect))
    }

    fn neighbour(&mut self, at: At, party: &Party, kind: u8, packet: &Packet) -> Verdict {
        if packet.ttl != 255 {
            return Verdict::drop(Reason::nd_hop_limit).or(&[Reason::nd_code]);
        }
        // RFC 4861, 6.1, 7.1 and 8.1
        if packet.transport.get(1).is_some_and(|code| *code != 0) {
            return Verdict::drop(Reason::nd_code);
        }
        let target = packet.transport.get(8..24).map(|octets| {
            let octets: [u8; 16] = octets.try_into().expect("sixteen bytes");
            IpAddr::from(octets)
        });
        let pass = Verdict::pass(Reason::neighbour_discovery);
        // a link-local router tells its side by the port alone
        let outside = self.faces_outside(at.ifindex, at.tags);
        if kind == 135 && at.hook == Hook::Ingress && self.bridges() {
            self.asked.extend(target.map(|target| (target, at.ifindex, at.now)));
        }
        match (kind, party) {
            (135, Party::Gateway) => {
                self.asked.extend(target.map(|target| (target, at.ifindex, at.now)));
                pass
            }
            (_, Party::Gateway) | (133 | 135, _) => pass,
            (134, _) if outside => pass,
            (137, _) if outside => Verdict::drop(Reason::icmp_redirect),
            (134 | 137, _) => Verdict::drop(Reason::nd_rogue_router),
            _ => {
                let asked = target.is_some_and(|target| self.was_asked(target, at));
                if asked || !self.policy.drop_unsolicited {
                    pass
                } else {
                    Verdict::drop(Reason::na_unsolicited_dropped)
                }
            }
        }
    }

    /// Hosts of a zone and the gateway's DHCP server, where the zone may.
    fn dhcp(&self, at: At, party: &Party, packet: &Packet) -> Option<Verdict> {
        if packet.protocol != 17 {
            return None;
        }
        if self.bridges() {
            return self.dhcp_across(at, packet);
        }
        let (client, server) = if packet.src.is_ipv4() { (68, 67) } else { (546, 547) };
        let relay: IpAddr = "ff02::1:2".parse().expect("an address");
        // Decided: a link-local host at an outside port may be one of a zone there that has no address yet.
        let link_local = matches!(packet.src, IpAddr::V6(src) if src.is_unicast_link_local());
        let (zone, asks) = match party {
            Party::Outside if link_local => (*self.zones_at(at.ifindex, at.tags).first()?, true),
            Party::Zone(_) | Party::Nameless => (*self.zones_at(at.ifindex, at.tags).first()?, true),
            Party::Gateway => (*self.zones_at(at.ifindex, at.tags).first()?, false),
            _ => return None,
        };
        let fits = if asks {
            let to_gateway = self.peer(packet.dst) == Party::Gateway;
            (packet.sport, packet.dport) == (client, server)
                && (to_gateway || is_limited_broadcast(packet.dst) || packet.dst == relay)
        } else {
            (packet.sport, packet.dport) == (server, client)
        };
        if !fits {
            return None;
        }
        // a line may still allow what `dhcp` does not
        zone.dhcp.then(|| Verdict::pass(Reason::dhcp))
    }

    /// Why nothing allows it: the most telling name.
    fn denied(&self, party: &Party, packet: &Packet) -> Verdict {
        let to_gateway = self.peer(packet.dst) == Party::Gateway;
        let plain = if *party == Party::Outside && to_gateway { Reason::not_published } else { Reason::not_allowed };
        if packet.protocol == 17 && [67, 68, 546, 547].contains(&packet.dport) {
            // Decided: whatever the gateway's role, DHCP without a line is DHCP where it is not allowed.
            return Verdict::drop(Reason::dhcp_denied).or(&[plain, Reason::chatter]);
        }
        let to_all = packet.dst.is_multicast() || is_limited_broadcast(packet.dst) || self.directed(packet.dst);
        let talk = match packet.protocol {
            2 | 112 => true,
            17 => [5353, 1900, 5355, 137, 138].contains(&packet.dport),
            _ => false,
        };
        if to_all && (talk || local_group(packet.dst) || self.directed(packet.dst)) {
            return Verdict::drop(Reason::chatter).or(&[Reason::dns_unsolicited]);
        }
        if *party == Party::Nameless {
            return Verdict::drop(Reason::source_not_in_zone).or(if to_all { &[Reason::chatter] } else { &[] });
        }
        if packet.query.is_some_and(|(_, reply)| reply) {
            return Verdict::drop(Reason::reply_unsolicited);
        }
        if packet.protocol == 17 && packet.sport == 53 {
            return Verdict::drop(Reason::dns_unsolicited).or(if to_all { &[Reason::chatter] } else { &[] });
        }
        // Decided: the quiet class is for link-local talk. The same ports towards one host are worth a log line.
        Verdict::drop(plain).or(if to_all { &[Reason::chatter] } else { &[] })
    }

    pub(super) fn directed(&self, dst: IpAddr) -> bool {
        self.policy.zones.iter().flat_map(|zone| &zone.prefixes).any(|prefix| prefix.broadcast() == Some(dst))
    }
}

/// Groups that no router forwards.
fn local_group(dst: IpAddr) -> bool {
    is_limited_broadcast(dst)
        || ["224.0.0.0/24", "239.255.255.250", "ff02::/16"].iter().any(|text| Prefix::new(text).holds(dst))
}
