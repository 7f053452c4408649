//! Zones in their places: the sides of the gateway, which sources belong there, and whose a destination is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use dropgate_abi::{
    policy::{PortKey, Side, ZONE_BROADCAST, ZONE_NONE, ZONE_OUTSIDE, ZONE_SELF, side},
    tuple::realm,
};

use super::{Environment, build::Build, image::Attachment};
use crate::policy::{
    codes,
    diagnostic::{Diagnostic, Diagnostics, Place, quoted},
    model::{InterfaceName, Kind, Policy},
    prefix::Prefix,
};

/// Sides times own addresses up to which every side names all of them.
const MAX_OWN: usize = 1 << 20;

/// A zone's number, side and prefixes on this machine.
pub struct Placed {
    pub dhcp: bool,
    pub number: u16,
    /// `None` while its interface is not there: what it holds is its own all the same.
    pub port: Option<PortKey>,
    pub prefixes: BTreeSet<Prefix>,
}

/// Finds every interface that is there, and warns of those that are not.
pub fn attachments(policy: &Policy, environment: &Environment, diagnostics: &mut Diagnostics) -> Vec<Attachment> {
    let mut found = Vec::new();
    let named = policy.interfaces();
    let indices: BTreeMap<u32, &str> =
        named.keys().filter_map(|name| Some((environment.interfaces.get(*name)?.index, *name))).collect();
    for (name, interface) in named {
        let on = environment.interfaces.get(name).and_then(|device| device.vlan_of);
        if let Some((parent, tag)) = on.and_then(|(parent, tag)| Some((indices.get(&parent)?, tag))) {
            diagnostics.add(&codes::VLAN_DEVICE, || {
                let message =
                    format!("{} lies on {}, where its frames are judged with their tag", quoted(name), quoted(parent));
                Diagnostic::new(&codes::VLAN_DEVICE, Place::new(&policy.source, interface.location), message)
                    .help(format!("write `interface = \"{parent}\"` and `vlan = {tag}`"))
            });
        }
        match environment.interfaces.get(name) {
            Some(device) => {
                let peer =
                    policy.peer(name).map(|peer| environment.interfaces.get(&peer.name).map_or(0, |peer| peer.index));
                let (index, outside) = (device.index, policy.is_outside(name));
                let build = Build::of(policy, environment, name);
                found.push(Attachment { name: name.to_owned(), index, outside, peer, build });
            }
            None => diagnostics.add(&codes::INTERFACE, || no_interface(policy, environment, interface)),
        }
    }
    found
}

/// Says that this machine lacks an interface.
pub fn no_interface(policy: &Policy, environment: &Environment, interface: &InterfaceName) -> Diagnostic {
    let names = environment.interfaces.keys().map(String::as_str);
    let near = crate::policy::diagnostic::nearest(&interface.name, names.clone());
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("interfaces here: {}", names.collect::<Vec<_>>().join(", ")),
    };
    let message = format!("this machine has no interface {}", quoted(&interface.name));
    let place = Place::new(&policy.source, interface.location);
    Diagnostic::new(&codes::INTERFACE, place, message).help(help)
}

/// Puts every zone in its place. `numbers` are those of the zones, in the policy's order.
pub fn place(
    policy: &Policy,
    environment: &Environment,
    numbers: &[u16],
    diagnostics: &mut Diagnostics,
) -> Vec<Placed> {
    let mut placed: Vec<Placed> = Vec::new();
    let mut held: BTreeMap<(PortWords, Prefix), &str> = BTreeMap::new();
    for (zone, number) in policy.zones.iter().zip(numbers) {
        let device = environment.interfaces.get(&zone.interface.name);
        let port = device.map(|device| PortKey { ifindex: device.index, outer: zone.vlan[0], inner: zone.vlan[1] });
        let mut prefixes: BTreeSet<Prefix> = zone.prefixes.iter().map(|(prefix, _)| *prefix).collect();
        if zone.auto_prefixes {
            let device = environment.addressed(&zone.interface.name, zone.vlan);
            // the networks of an outside interface itself are never a zone's
            let device = device.filter(|device| {
                Some(device.index) != port.map(|port| port.ifindex) || !policy.is_outside(&zone.interface.name)
            });
            prefixes.extend(device.into_iter().flat_map(|device| networks(&device.addresses)));
        }
        if prefixes.is_empty() && !environment.synthetic && port.is_some() {
            diagnostics.add(&codes::EMPTY_ZONE, || {
                let place = Place::new(&policy.source, zone.interface.location);
                let message = format!(
                    "zone {} holds no address: {} has none to follow",
                    quoted(&zone.name),
                    quoted(&zone.interface.name)
                );
                Diagnostic::new(&codes::EMPTY_ZONE, place, message)
                    .help("give the zone `prefixes`, or the interface an address")
            });
        }
        for prefix in port.iter().flat_map(|_| &prefixes) {
            let Some(other) = port.and_then(|port| held.insert((words(port), *prefix), &zone.name)) else {
                continue;
            };
            diagnostics.add(&codes::SAME_PREFIX, || {
                let place = Place::new(&policy.source, zone.location);
                let (zone, other) = (quoted(&zone.name), quoted(other));
                let message = format!("zones {zone} and {other} both hold `{prefix}` on one side");
                Diagnostic::new(&codes::SAME_PREFIX, place, message)
                    .help("give each zone a prefix, or a VLAN, of its own")
            });
        }
        placed.push(Placed { dhcp: zone.dhcp, number: *number, port, prefixes });
    }
    placed
}

type PortWords = (u32, u16, u16);

fn words(port: PortKey) -> PortWords {
    (port.ifindex, port.outer, port.inner)
}

/// The networks that an interface's addresses lie in. Link-local ones are every interface's.
fn networks(addresses: &[(IpAddr, u8)]) -> impl Iterator<Item = Prefix> {
    let own = addresses.iter().map(|(address, length)| Prefix::holding(*address, *length));
    own.filter(|prefix| !prefix.network().is_loopback() && !Prefix::LINK_LOCAL.overlaps(*prefix))
}

/// The gateway's own addresses.
pub fn own_addresses(policy: &Policy, environment: &Environment) -> BTreeSet<Prefix> {
    let mut own: BTreeSet<IpAddr> = policy.gateway.addresses.iter().copied().collect();
    own.extend(policy.publish.iter().map(|line| line.address));
    if policy.gateway.auto_addresses {
        let all = environment.interfaces.values().flat_map(|interface| &interface.addresses);
        own.extend(all.map(|(address, _)| *address).filter(|address| !address.is_loopback()));
    }
    own.into_iter().map(Prefix::host).collect()
}

/// One side and the sources that belong there.
pub struct PlacedSide {
    pub port: PortKey,
    pub side: Side,
    pub sources: BTreeMap<Prefix, u16>,
    /// On a bridge: what it has in common with the side beyond.
    pub link: Option<String>,
}

/// The pairs of a bridge.
struct Links<'a> {
    /// By interface index: the one where frames go on, if it is there, and a name for both.
    pairs: BTreeMap<u32, (Option<u32>, &'a [InterfaceName; 2])>,
}

impl<'a> Links<'a> {
    fn new(policy: &'a Policy, environment: &Environment) -> Self {
        let index = |side: &InterfaceName| environment.interfaces.get(&side.name).map(|device| device.index);
        let ends = |pair: &'a [InterfaceName; 2]| {
            let [one, other] = [index(&pair[0]), index(&pair[1])];
            [(one, other), (other, one)].into_iter().filter_map(move |(here, there)| Some((here?, (there, pair))))
        };
        Self { pairs: policy.gateway.pairs.iter().flat_map(ends).collect() }
    }

    /// Index of the interface where frames go on; 0: none.
    fn peer(&self, index: u32) -> u32 {
        self.pairs.get(&index).and_then(|(peer, _)| *peer).unwrap_or(0)
    }

    /// The port where frames go on that come in by this one.
    fn beyond(&self, (index, outer, inner): PortWords) -> Option<PortWords> {
        Some((self.pairs.get(&index)?.0?, outer, inner))
    }

    /// The same for a port and the one beyond.
    fn name(&self, (index, outer, inner): PortWords) -> Option<String> {
        let (_, [one, other]) = self.pairs.get(&index)?;
        Some(format!("{}-{}/{outer}.{inner}", one.name, other.name))
    }
}

/// All sides, and the devices of the gateway that carry none themselves, in key order.
pub fn sides(policy: &Policy, environment: &Environment, zones: &[Placed], own: &BTreeSet<Prefix>) -> Vec<PlacedSide> {
    let outside: BTreeSet<u32> = policy
        .gateway
        .outside
        .iter()
        .filter_map(|interface| Some(environment.interfaces.get(&interface.name)?.index))
        .collect();
    let mut ports: BTreeMap<PortWords, Vec<&Placed>> = BTreeMap::new();
    for index in &outside {
        ports.entry((*index, 0, 0)).or_default();
    }
    for zone in zones {
        if let Some(port) = zone.port {
            ports.entry(words(port)).or_default().push(zone);
        }
    }
    // frames that a bridge lets go on keep their tags: on its other side the outside has the same ones
    let links = Links::new(policy, environment);
    let beyond: Vec<PortWords> = ports.keys().filter_map(|port| links.beyond(*port)).collect();
    for port in beyond.into_iter().filter(|(index, ..)| outside.contains(index)) {
        ports.entry(port).or_default();
    }
    let macs: BTreeMap<u32, [u8; 6]> =
        environment.interfaces.values().map(|interface| (interface.index, interface.mac)).collect();
    let mac = |ifindex: u32| match macs.get(&ifindex) {
        Some([a, b, c, d, e, f]) if policy.gateway.fast_forward => {
            [[*a, *b], [*c, *d], [*e, *f]].map(u16::from_ne_bytes)
        }
        _ => [0; 3],
    };
    let all_own_fit = ports.len() * own.len() <= MAX_OWN;
    let mut found = Vec::new();
    for (((ifindex, outer, inner), here), scope) in ports.iter().zip(1..) {
        let port = (*ifindex, *outer, *inner);
        let across = links.beyond(port);
        let is_outside = outside.contains(ifindex) && (*outer == 0 || across.is_some() && here.is_empty());
        let mut sources = BTreeMap::new();
        if is_outside {
            // a router beyond a bridge may send by one pair what came to it by another. What lies before it is forged there, whoever
            // else has the same prefix.
            let (routed, forged): (Vec<&Placed>, Vec<_>) =
                zones.iter().partition(|zone| across.is_some() && zone.port.map(words) != across);
            claim(&mut sources, routed);
            let forged = forged.into_iter().flat_map(|zone| &zone.prefixes);
            sources.extend(forged.map(|prefix| (*prefix, ZONE_NONE)));
        }
        claim(&mut sources, here.iter().copied());
        if let ([zone], false) = (here.as_slice(), is_outside) {
            sources.entry(Prefix::LINK_LOCAL).or_insert(zone.number);
        }
        // with many sides and many addresses only those are named that a side would take for a zone's: no zone there holds
        // the others, and they are dropped all the same
        let named: Vec<Prefix> = if is_outside || all_own_fit {
            own.iter().copied().collect()
        } else {
            let within = |prefix: &Prefix| Prefix::host(prefix.network())..=Prefix::host(prefix.last());
            sources.keys().flat_map(|prefix| own.range(within(prefix))).copied().collect()
        };
        sources.extend(named.into_iter().map(|host| (host, ZONE_SELF)));
        let mut flags = 0;
        let asks = |zones: &[&Placed]| zones.iter().any(|zone| zone.dhcp);
        flags |= if asks(here) { side::DHCP } else { 0 };
        flags |= if is_outside && policy.gateway.dhcp { side::DHCP_CLIENT } else { 0 };
        if across.is_some() {
            flags |= if across.and_then(|port| ports.get(&port)).is_some_and(|there| asks(there)) {
                side::DHCP_CLIENT
            } else {
                0
            };
            flags |= if flags != 0 { side::DHCP_ACROSS } else { 0 };
        }
        let (fallback, kind) = if is_outside { (ZONE_OUTSIDE, side::OUTSIDE) } else { (ZONE_NONE, side::ZONE) };
        let realm = if is_outside && policy.gateway.kind == Kind::Masquerade { realm::OUTSIDE } else { realm::INSIDE };
        found.push(PlacedSide {
            port: PortKey { ifindex: *ifindex, outer: *outer, inner: *inner },
            side: Side { scope, fallback, kind, flags, peer: links.peer(*ifindex), realm, mac: mac(*ifindex), _pad: 0 },
            sources,
            link: links.name(port),
        });
    }
    // an interface whose zones are all tagged is known, and so are the VLAN devices that packets leave by
    let named = policy.interfaces();
    let named = named.keys().filter_map(|name| environment.interfaces.get(*name));
    let devices: BTreeSet<u32> =
        named.flat_map(|device| environment.vlan_devices_on(device.index).into_iter().chain([device.index])).collect();
    for ifindex in devices.into_iter().filter(|index| !ports.contains_key(&(*index, 0, 0))) {
        let side = Side { kind: side::DEVICE, peer: links.peer(ifindex), ..Side::default() };
        let port = PortKey { ifindex, outer: 0, inner: 0 };
        found.push(PlacedSide { port, side, sources: BTreeMap::new(), link: None });
    }
    found.sort_by_key(|side| words(side.port));
    found
}

/// Whose every destination is: a zone's, the gateway's, or a broadcast address; the rest is the outside.
pub fn peers(zones: &[Placed], own: &BTreeSet<Prefix>) -> BTreeMap<Prefix, u16> {
    let mut peers = BTreeMap::new();
    claim(&mut peers, zones);
    peers.extend(own.iter().map(|host| (*host, ZONE_SELF)));
    peers
}

/// The zone that an address belongs to as a destination.
pub fn zone_of(peers: &BTreeMap<Prefix, u16>, address: IpAddr) -> Option<u16> {
    (0..=Prefix::host(address).length()).rev().find_map(|length| peers.get(&Prefix::holding(address, length)).copied())
}

/// Enters the zones' prefixes, the first zone's where two hold the same, and the broadcast addresses of their networks.
fn claim<'a>(table: &mut BTreeMap<Prefix, u16>, zones: impl IntoIterator<Item = &'a Placed>) {
    let mut claimed = BTreeMap::new();
    for zone in zones {
        for prefix in &zone.prefixes {
            claimed.entry(*prefix).or_insert(zone.number);
        }
    }
    let networks = claimed.keys().filter(|prefix| !prefix.is_v6() && prefix.length() <= 30);
    let broadcast: Vec<Prefix> = networks
        .map(|prefix| prefix.last())
        // a network of two addresses has no broadcast address (RFC 3021)
        .filter(|last| !claimed.contains_key(&Prefix::holding(*last, 31)))
        .map(Prefix::host)
        .collect();
    for address in broadcast {
        claimed.entry(address).or_insert(ZONE_BROADCAST);
    }
    table.extend(claimed);
}
