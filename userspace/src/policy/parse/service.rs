//! Allowlist lines and published lines.

use std::{collections::HashMap, ops::Range};

use super::{Parser, section::Section, value::Value};
use crate::policy::{
    codes,
    diagnostic::{nearest, quoted},
    model::{Addresses, MAX_SERVICES, Matches, Peer, PortRange, Publish, Service, Target, Tunnel, protocol},
    prefix::Prefix,
    source::Location,
};

/// Longest name of a service.
const LONGEST_NAME: usize = 48;

/// ICMP types by name (IANA, ICMP Type Numbers).
const ICMP: [(&str, u8); 9] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
];
/// ICMPv6 types by name (IANA, ICMPv6 Type Numbers).
const ICMPV6: [(&str, u8); 8] = [
    ("destination-unreachable", 1),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("redirect", 137),
];
/// IP protocols by name (IANA, Protocol Numbers).
const PROTOCOLS: [(&str, u8); 11] = [
    ("igmp", 2),
    ("ipip", 4),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", protocol::SCTP),
];

/// Every port; every ICMP type.
const ALL_PORTS: PortRange = PortRange { first: 1, last: u16::MAX };
const ALL_TYPES: PortRange = PortRange { first: 0, last: 255 };

impl Parser {
    /// `[self]` or `[outside]`.
    pub(super) fn egress_of(&mut self, mut section: Section<'_>, owner: &str) -> Vec<Service> {
        let egress = section.tables(self, "egress", &format!("{owner}.egress"));
        section.finish(self);
        self.services(egress, owner)
    }

    /// The allowlist of `owner`: a zone, `self` or `outside`.
    pub(super) fn services(&mut self, sections: Vec<Section<'_>>, owner: &str) -> Vec<Service> {
        let mut names: HashMap<String, Location> = HashMap::new();
        let mut found = Vec::new();
        for section in sections {
            if !self.count_service(section.at()) {
                break;
            }
            found.extend(self.service(section, owner, &mut names));
        }
        found
    }

    fn count_service(&mut self, at: Range<usize>) -> bool {
        self.services += 1;
        if self.services == MAX_SERVICES + 1 {
            let message = format!("more than {MAX_SERVICES} services");
            self.add(&codes::TOO_MANY, at, message);
        }
        self.services <= MAX_SERVICES
    }

    fn service(
        &mut self,
        mut section: Section<'_>,
        owner: &str,
        names: &mut HashMap<String, Location>,
    ) -> Option<Service> {
        let before = self.diagnostics.errors();
        let at = section.at();
        let name = self.line_name(&mut section, "services", names);
        let matches = self.matches(&mut section);
        let to = section.get("to");
        let to_location = self.location(to.map_or_else(|| at.clone(), |value| value.span()));
        let to = match to {
            Some(value) => self.targets(value, owner),
            None if owner == "outside" => {
                self.missing(&section, "to", "to = [\"self\"]");
                Vec::new()
            }
            None => vec![Target { peer: Peer::Outside, addresses: Addresses::All }],
        };
        let except = section.get("except").map(|value| self.address_set(value)).unwrap_or_default();
        let sound = self.diagnostics.errors() == before;
        if sound && matches.is_empty() {
            let message = "a service that names no protocol matches nothing";
            let help = "add one of `tcp`, `udp`, `sctp`, `icmp`, `icmpv6` or `protocol`";
            self.add_full(&codes::NOTHING_MATCHED, at.clone(), message, None, Some(help.to_owned()));
        }
        let inspect = section.get("inspect").and_then(|value| self.boolean(value)).unwrap_or(true);
        let expect = section.get("expect").map(|value| self.expect(value)).unwrap_or_default();
        // what hosts on the outside ask for is held to no allowlist
        let proxied = if owner == "outside" { None } else { section.get("proxied") };
        let proxied = proxied.and_then(|value| self.proxied(value));
        let tunnel = self.tunnel(&mut section);
        section.finish(self);
        let location = self.location(at);
        Some(Service { name: name?, location, matches, to, to_location, except, inspect, expect, proxied, tunnel })
    }

    /// What becomes of the packets in its tunnels.
    fn tunnel(&mut self, section: &mut Section<'_>) -> Option<Tunnel> {
        let known = [("judge", Tunnel::Judge), ("opaque", Tunnel::Opaque), ("drop", Tunnel::Drop)];
        section.get("tunnel").and_then(|value| self.choice(value, "answer", &known))
    }

    /// The `name` of a line, which no line before it may have.
    fn line_name(
        &mut self,
        section: &mut Section<'_>,
        what: &str,
        names: &mut HashMap<String, Location>,
    ) -> Option<String> {
        let Some(value) = section.get("name") else {
            self.missing(section, "name", "name = \"web\"");
            return None;
        };
        let (name, at) = self.string(value, "a name")?;
        self.name_within(name, at.clone(), "service", LONGEST_NAME);
        if let Some(first) = names.get(name) {
            self.duplicate(name, what, at, *first);
            return None;
        }
        names.insert(name.to_owned(), self.location(at));
        Some(name.to_owned())
    }

    fn matches(&mut self, section: &mut Section<'_>) -> Matches {
        let mut ports = |key| section.get(key).map(|value| self.ports(value)).unwrap_or_default();
        let (mut tcp, mut udp, mut sctp) = (ports("tcp"), ports("udp"), ports("sctp"));
        let icmp = section.get("icmp");
        let mut icmp = icmp.map(|v| self.numbers(v, "ICMP type", &ICMP)).unwrap_or_default();
        let icmpv6 = section.get("icmpv6");
        let mut icmpv6 = icmpv6.map(|v| self.numbers(v, "ICMPv6 type", &ICMPV6)).unwrap_or_default();
        let others = section.get("protocol");
        let others = others.map(|v| self.numbers(v, "protocol", &PROTOCOLS)).unwrap_or_default();
        let mut protocols = Vec::new();
        for number in others.into_iter().map(|range| range.first as u8) {
            // a protocol that has ports, named by its number, is all of its ports
            match number {
                protocol::TCP => tcp.push(ALL_PORTS),
                protocol::UDP => udp.push(ALL_PORTS),
                protocol::SCTP => sctp.push(ALL_PORTS),
                protocol::ICMP => icmp.push(ALL_TYPES),
                protocol::ICMPV6 => icmpv6.push(ALL_TYPES),
                other => protocols.push(other),
            }
        }
        protocols.sort_unstable();
        protocols.dedup();
        Matches {
            tcp: merged(tcp),
            udp: merged(udp),
            sctp: merged(sctp),
            icmp: merged(icmp),
            icmpv6: merged(icmpv6),
            protocols,
        }
    }

    fn numbers(&mut self, value: Value<'_>, what: &str, words: &[(&str, u8)]) -> Vec<PortRange> {
        let elements = self.one_or_many(value).iter();
        elements
            .filter_map(|element| self.word_or_number(element, what, words))
            .map(|number| PortRange { first: number.into(), last: number.into() })
            .collect()
    }

    fn targets(&mut self, value: Value<'_>, owner: &str) -> Vec<Target> {
        let mut found = Vec::new();
        let expected = "`\"any\"`, a prefix, `\"@list\"`, `\"zone:NAME\"` or `\"self\"`";
        let elements = self.one_or_many(value);
        if elements.is_empty() {
            self.add_expected(&codes::TARGET, value.span(), "no destination", expected);
        }
        for element in elements {
            let Some((text, at)) = self.string(element, expected) else {
                continue;
            };
            let Some(target) = self.target(text, at.clone()) else {
                continue;
            };
            match (owner, &target.peer) {
                ("self", Peer::Gateway) => {
                    let message = "the gateway's packets to itself are not judged";
                    self.add_expected(
                        &codes::TARGET,
                        at,
                        message,
                        "`\"any\"`, a prefix, `\"@list\"` or `\"zone:NAME\"`",
                    );
                }
                ("outside", Peer::Outside) => {
                    let message = format!("{} is the outside, where packets from the outside come from", quoted(text));
                    self.add_expected(&codes::TARGET, at, message, "`\"self\"` or `\"zone:NAME\"`");
                }
                _ => found.push(target),
            }
        }
        found
    }

    fn target(&mut self, text: &str, at: Range<usize>) -> Option<Target> {
        let outside = |addresses| Target { peer: Peer::Outside, addresses };
        if let Some(zone) = text.strip_prefix("zone:") {
            let (name, prefix) = match zone.split_once('/') {
                Some((name, prefix)) => (name, Some(prefix)),
                None => (zone, None),
            };
            let known = self.zones.binary_search_by(|known| known.as_str().cmp(name)).is_ok();
            if !known {
                let near = nearest(name, self.zones.iter().map(String::as_str));
                let help = near.map(|near| format!("did you mean {}?", quoted(&format!("zone:{near}"))));
                let message = format!("there is no zone {}", quoted(name));
                self.add_full(&codes::UNKNOWN_ZONE, at.clone(), message, None, help);
            }
            let addresses = match prefix {
                Some(prefix) => Addresses::Prefix(self.prefix(prefix, at)?),
                None => Addresses::All,
            };
            return known.then(|| Target { peer: Peer::Zone(name.to_owned()), addresses });
        }
        match text {
            "any" => Some(outside(Addresses::All)),
            "self" => Some(Target { peer: Peer::Gateway, addresses: Addresses::All }),
            _ if text.starts_with('@') || Prefix::parse(text).is_ok() => self.addresses(text, at).map(outside),
            _ => {
                let zones = &self.zones;
                let help = match nearest(text, ["any", "self"]) {
                    Some(near) => Some(format!("did you mean `{near}`?")),
                    None if zones.iter().any(|zone| zone == text) => {
                        Some(format!("did you mean {}?", quoted(&format!("zone:{text}"))))
                    }
                    None if self.lists.contains_key(text) => {
                        Some(format!("did you mean {}?", quoted(&format!("@{text}"))))
                    }
                    None => nearest(text, zones.iter().map(String::as_str))
                        .map(|near| format!("did you mean {}?", quoted(&format!("zone:{near}")))),
                };
                let expected = match Prefix::parse(text) {
                    Err(error) if text.contains('/') => error.expected(),
                    _ => "`any`, a prefix, `@list`, `zone:NAME` or `self`".to_owned(),
                };
                let message = format!("{} is not a destination", quoted(text));
                self.add_full(&codes::ADDRESS, at, message, Some(expected), help);
                None
            }
        }
    }

    pub(super) fn publish(&mut self, sections: Vec<Section<'_>>) -> Vec<Publish> {
        let mut names = HashMap::new();
        let mut found = Vec::new();
        for section in sections {
            if !self.count_service(section.at()) {
                break;
            }
            found.extend(self.publish_line(section, &mut names));
        }
        found
    }

    fn publish_line(&mut self, mut section: Section<'_>, names: &mut HashMap<String, Location>) -> Option<Publish> {
        let at = section.at();
        let name = self.line_name(&mut section, "published lines", names);
        let mut transports = Vec::new();
        let known = [("tcp", protocol::TCP), ("udp", protocol::UDP), ("sctp", protocol::SCTP)];
        for (key, number) in known {
            if let Some(value) = section.get(key) {
                transports.push((number, merged(self.ports(value))));
            }
        }
        match transports.as_slice() {
            [] => self.missing(&section, "tcp", "tcp = [80]"),
            [_] => {}
            _ => self.add_expected(
                &codes::PUBLISH_TRANSPORT,
                at.clone(),
                "a published line with more than one transport",
                "one of `tcp`, `udp` and `sctp`; write a line for each",
            ),
        }
        let address = section.get("address");
        if address.is_none() {
            self.missing(&section, "address", "address = \"203.0.113.1\"");
        }
        let address = address.and_then(|value| self.address(value));
        let to = section.get("to");
        if to.is_none() {
            self.missing(&section, "to", "to = \"10.20.0.8\"");
        }
        let to = to.and_then(|value| Some((self.address(value)?, value.span())));
        let to_port = section.get("to_port").and_then(|v| self.integer(v, 1..=65535, "port"));
        let expect = section.get("expect").map(|value| self.expect(value)).unwrap_or_default();
        let tunnel = self.tunnel(&mut section);
        section.finish(self);
        let (to, to_at) = to?;
        if address.is_some_and(|address| address.is_ipv4() != to.is_ipv4()) {
            let message = "`address` and `to` are of different families";
            self.add(&codes::ADDRESS, to_at.clone(), message);
        }
        let (protocol, ports) = transports.pop()?;
        Some(Publish {
            name: name?,
            location: self.location(at),
            protocol,
            ports,
            address: address?,
            to,
            to_location: self.location(to_at),
            to_port: to_port.map(|port| port as u16),
            expect,
            tunnel,
        })
    }
}

/// Ranges in order, those that touch made one.
fn merged(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut found: Vec<PortRange> = Vec::new();
    for range in ranges {
        match found.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(range.last);
            }
            _ => found.push(range),
        }
    }
    found
}
