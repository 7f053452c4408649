//! What the lines of a policy mean together: contradictions, and lines that do not do what was probably meant.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use super::{
    bridge, codes,
    diagnostic::{Diagnostic, Diagnostics, Place, quoted},
    lockout,
    model::{Addresses, Kind, Peer, Policy, Service, Zone},
    prefix::Prefix,
    source::Location,
    tunnels, uninspected,
};

/// Checks a policy. `complete` is false when parts of the file were not understood: nothing is said then about what is
/// not there.
pub(super) fn check(policy: &Policy, complete: bool, diagnostics: &mut Diagnostics) {
    let mut checker = Checker { policy, diagnostics, zones: ZoneTable::new(policy) };
    checker.shared_prefixes();
    for zone in &policy.zones {
        checker.outside_zone(zone);
        if zone.egress.is_empty() && complete {
            checker.no_egress(zone);
        }
    }
    for (owner, services) in policy.allowlists() {
        for service in services {
            tunnels::warn(policy, service, checker.diagnostics);
            checker.destinations(owner, service);
        }
    }
    checker.publish(complete);
    bridge::check(policy, complete, checker.diagnostics);
    if complete {
        checker.tcx();
    }
    uninspected::warn(policy, checker.diagnostics);
    if complete {
        lockout::warn(policy, checker.diagnostics);
    }
}

struct Checker<'a> {
    policy: &'a Policy,
    diagnostics: &'a mut Diagnostics,
    zones: ZoneTable<'a>,
}

/// The prefixes that the file gives to zones.
struct ZoneTable<'a> {
    by_prefix: BTreeMap<Prefix, &'a Zone>,
    lengths: BTreeSet<u8>,
    /// Some zone's prefixes are known to the machine only.
    some_auto: bool,
}

impl<'a> ZoneTable<'a> {
    fn new(policy: &'a Policy) -> Self {
        let mut by_prefix = BTreeMap::new();
        for zone in &policy.zones {
            for (prefix, _) in &zone.prefixes {
                by_prefix.entry(*prefix).or_insert(zone);
            }
        }
        let lengths = by_prefix.keys().map(|prefix| prefix.length()).collect();
        let some_auto = policy.zones.iter().any(|zone| zone.auto_prefixes);
        Self { by_prefix, lengths, some_auto }
    }

    /// The zone that holds all of a prefix.
    fn holding(&self, prefix: Prefix) -> Option<&'a Zone> {
        let lengths = self.lengths.range(..=prefix.length()).rev();
        lengths.filter_map(|length| self.by_prefix.get(&Prefix::holding(prefix.network(), *length))).copied().next()
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.holding(Prefix::host(address)).is_some()
    }
}

impl Checker<'_> {
    fn place(&self, at: Location) -> Place {
        Place::new(&self.policy.source, at)
    }

    /// Two zones that hold the same: on one side nothing tells them apart.
    fn shared_prefixes(&mut self) {
        let policy = self.policy;
        let mut held: BTreeMap<Option<Prefix>, Vec<(&Zone, Location)>> = BTreeMap::new();
        for zone in &policy.zones {
            for (prefix, at) in &zone.prefixes {
                held.entry(Some(*prefix)).or_default().push((zone, *at));
            }
            if zone.auto_prefixes {
                held.entry(None).or_default().push((zone, zone.interface.location));
            }
        }
        for (prefix, zones) in held {
            let mut sides: HashMap<_, (&Zone, Location)> = HashMap::new();
            let first = zones[0];
            for (zone, at) in zones {
                let side = (&zone.interface.name, zone.vlan);
                let before = sides.insert(side, (zone, at));
                let what = prefix.map_or("the interface's addresses".to_owned(), |p| format!("`{p}`"));
                let (code, (other, other_at), message) = match before {
                    Some(before) if before.0.name == zone.name => {
                        (&codes::SAME_PREFIX, before, format!("zone {} names {what} twice", quoted(&zone.name)))
                    }
                    Some(before) => (
                        &codes::SAME_PREFIX,
                        before,
                        format!(
                            "zones {} and {} both hold {what} on one side",
                            quoted(&before.0.name),
                            quoted(&zone.name)
                        ),
                    ),
                    None if first.0.name != zone.name && prefix.is_some() => (
                        &codes::SHARED_PREFIX,
                        first,
                        format!(
                            "zones {} and {} both hold {what}: as a destination it is {}",
                            quoted(&first.0.name),
                            quoted(&zone.name),
                            quoted(&first.0.name)
                        ),
                    ),
                    None => continue,
                };
                let (place, other_place) = (self.place(at), self.place(other_at));
                let other = format!("zone {} holds it here", quoted(&other.name));
                self.diagnostics.add(code, || Diagnostic::new(code, place, message).related(other_place, other));
            }
        }
    }

    /// On an outside interface only prefixes tell a zone from the outside.
    fn outside_zone(&mut self, zone: &Zone) {
        let name = &zone.interface.name;
        if zone.is_tagged() || !zone.auto_prefixes || !self.policy.is_outside(name) {
            return;
        }
        let place = self.place(zone.interface.location);
        self.diagnostics.add(&codes::OUTSIDE_PREFIXES, || {
            let message = format!(
                "zone {} lies on the outside interface {} and names no prefixes",
                quoted(&zone.name),
                quoted(name)
            );
            Diagnostic::new(&codes::OUTSIDE_PREFIXES, place, message)
                .help("write `prefixes` without `\"auto\"`, or another interface, or a `vlan`")
        });
    }

    /// What is to have another build of the programs has one.
    fn tcx(&mut self) {
        let sides = self.policy.interfaces();
        for interface in self.policy.gateway.tcx.iter().filter(|named| !sides.contains_key(named.name.as_str())) {
            let place = self.place(interface.location);
            self.diagnostics.add(&codes::TCX, || {
                let message = format!("the interface {} is no side of the policy", quoted(&interface.name));
                Diagnostic::new(&codes::TCX, place, message)
                    .help("name it in `gateway.outside`, or as the `interface` of a zone".to_owned())
            });
        }
    }

    fn no_egress(&mut self, zone: &Zone) {
        let place = self.place(zone.location);
        self.diagnostics.add(&codes::NO_EGRESS, || {
            let message = format!("zone {} may reach nothing", quoted(&zone.name));
            Diagnostic::new(&codes::NO_EGRESS, place, message)
                .help(format!("add a service: `[[zone.{}.egress]]`", zone.name))
        });
    }

    /// Destinations that cannot be, or that match nothing.
    fn destinations(&mut self, owner: &str, service: &Service) {
        for target in &service.to {
            let prefix = match &target.addresses {
                Addresses::Prefix(prefix) => Some(*prefix),
                _ => None,
            };
            match (&target.peer, prefix) {
                (Peer::Zone(zone), _) if owner == "outside" && self.policy.gateway.kind == Kind::Masquerade => {
                    let message = format!(
                        "the outside reaches zone {} by translation only on a masquerading gateway",
                        quoted(zone)
                    );
                    let help = "write a `[[publish]]` line for the service";
                    self.add_target(&codes::TARGET, service, message, help.to_owned());
                }
                (Peer::Outside, Some(prefix)) => self.inside_destination(service, prefix),
                (Peer::Zone(zone), Some(prefix)) => self.foreign_destination(service, zone, prefix),
                _ => {}
            }
        }
    }

    fn inside_destination(&mut self, service: &Service, prefix: Prefix) {
        let own = self.policy.gateway.addresses.iter().any(|own| Prefix::host(*own) == prefix);
        let (holder, write) = match self.zones.holding(prefix) {
            _ if own => ("is the gateway's own".to_owned(), "self".to_owned()),
            Some(zone) => (format!("lies within zone {}", quoted(&zone.name)), format!("zone:{}/{prefix}", zone.name)),
            None => return,
        };
        let message = format!("{} matches nothing at `{prefix}`, which {holder}", quoted(&service.name));
        let help = format!("write `to = [\"{write}\"]`");
        self.add_target(&codes::INSIDE_DESTINATION, service, message, help);
    }

    fn foreign_destination(&mut self, service: &Service, zone: &str, prefix: Prefix) {
        let Some(zone) = self.policy.zone(zone) else {
            return;
        };
        let held = zone.prefixes.iter().any(|(own, _)| own.overlaps(prefix));
        if zone.auto_prefixes || held {
            return;
        }
        let message = format!("zone {} does not hold `{prefix}`", quoted(&zone.name));
        let own: Vec<String> = zone.prefixes.iter().map(|(own, _)| format!("`{own}`")).collect();
        let help = format!("its prefixes: {}", own.join(", "));
        self.add_target(&codes::FOREIGN_DESTINATION, service, message, help);
    }

    fn add_target(&mut self, code: &codes::Code, service: &Service, message: String, help: String) {
        let place = self.place(service.to_location);
        self.diagnostics.add(code, || Diagnostic::new(code, place, message).help(help));
    }

    fn publish(&mut self, complete: bool) {
        let gateway = &self.policy.gateway;
        for line in &self.policy.publish {
            let name = quoted(&line.name);
            let place = self.place(line.location);
            if gateway.kind != Kind::Masquerade {
                self.diagnostics.add(&codes::PUBLISH_ROUTE, || {
                    let message = format!("published line {name} on a gateway that translates nothing");
                    Diagnostic::new(&codes::PUBLISH_ROUTE, place.clone(), message)
                        .help("write `[[outside.egress]]` with `to = [\"zone:NAME\"]`, or `kind = \"masquerade\"`")
                });
            }
            if line.ports.is_empty() && complete {
                self.diagnostics.add(&codes::NOTHING_MATCHED, || {
                    let message = format!("published line {name} names no port");
                    Diagnostic::new(&codes::NOTHING_MATCHED, place.clone(), message)
                });
            }
            if complete && !self.zones.some_auto && !self.zones.holds(line.to) {
                let place = self.place(line.to_location);
                self.diagnostics.add(&codes::PUBLISHED_HOST, || {
                    let message = format!("no zone holds the published host `{}`", line.to);
                    Diagnostic::new(&codes::PUBLISHED_HOST, place, message)
                        .help("add its prefix to the zone it stands in")
                });
            }
            if !gateway.auto_addresses && !gateway.addresses.contains(&line.address) {
                self.diagnostics.add(&codes::PUBLISH_ADDRESS, || {
                    let message = format!("`{}` is not among the gateway's addresses", line.address);
                    Diagnostic::new(&codes::PUBLISH_ADDRESS, place, message).help("add it to `gateway.addresses`")
                });
            }
        }
    }
}
