//! A checked policy to the tables that `xdp/abi/src/policy.rs` describes.

mod build;
pub(super) mod cuts;
mod datagrams;
mod environment;
mod first;
pub(super) mod groups;
mod ids;
mod image;
mod services;
mod settings;
pub(super) mod sides;
mod sieve;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dropgate_abi::policy::{
    BLOCK_FROM, BLOCK_TO, DESTINATIONS_SCOPE, Service as Candidate, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF, service,
    setting, table,
};

pub use self::{
    build::{Build, Link, Why},
    environment::{Environment, Interface},
    ids::{Ids, Numbers, SERVICE_COUNTERS},
    image::{Attachment, Image, Names, PrefixEntry, ServiceName},
};
use self::{
    groups::{DestinationSet, entries_of, entry},
    services::{Line, Services},
};
use super::{
    bridge, codes,
    diagnostic::{Diagnostic, Diagnostics, Place},
    model::{Addresses, Expect, Peer, Policy, PortRange, Proxied, Publish, Service, Tunnel},
    prefix::Prefix,
    source::Location,
};
pub(super) use sides::no_interface;

/// Most entries of all prefix tables of one kind.
const MAX_PREFIXES: usize = 8_000_000;

/// A bound that the policy runs into.
#[derive(Clone, Copy, Debug)]
pub(super) enum Full {
    Services,
    Prefixes,
}

/// Compiles a policy for a machine. `ids` takes the new numbers when it succeeds and stays as it was when it does not.
///
/// # Errors
/// Everything that only this machine could tell is wrong, such as published hosts that no zone holds; and bounds of the
/// tables. Interfaces that it does not have are warnings: they may come.
pub fn compile(policy: &Policy, environment: &Environment, ids: &mut Ids) -> Result<Image, Vec<Diagnostic>> {
    let mut diagnostics = Diagnostics::default();
    let mut new_ids = ids.clone();
    let image = compile_with(policy, environment, &mut new_ids, &mut diagnostics);
    let errors = diagnostics.errors();
    let found = diagnostics.into_sorted(&policy.source.name);
    match image {
        Some(image) if errors == 0 => {
            *ids = new_ids;
            Ok(Image { warnings: found, ..image })
        }
        _ => Err(found),
    }
}

fn compile_with(
    policy: &Policy,
    environment: &Environment,
    ids: &mut Ids,
    diagnostics: &mut Diagnostics,
) -> Option<Image> {
    let interfaces = sides::attachments(policy, environment, diagnostics);
    let (reused_zones, reused_services) = number(policy, ids, diagnostics)?;
    let numbers: Vec<u16> = policy.zones.iter().map(|zone| zone_number(ids, &zone.name)).collect();
    let zones = sides::place(policy, environment, &numbers, diagnostics);
    let own = sides::own_addresses(policy, environment);
    let mut sides = sides::sides(policy, environment, &zones, &own);
    bridge::lengths(policy, environment, diagnostics);
    let links: Vec<String> = sides.iter().filter_map(|side| side.link.clone()).collect();
    if ids.links.assign(&links).is_none() {
        report(policy, diagnostics, Full::Services);
        return None;
    }
    for side in &mut sides {
        if let Some(number) = side.link.as_ref().and_then(|link| ids.links.get(link)) {
            side.side.realm = number as u16;
        }
    }
    let peers = sides::peers(&zones, &own);
    let published = published_zones(policy, environment, &peers, ids, diagnostics);
    if diagnostics.errors() > 0 {
        return None;
    }
    let mut tables = Services::new(policy);
    let names = match place_services(policy, ids, &published, &mut tables) {
        Ok(names) => names,
        Err(full) => {
            report(policy, diagnostics, full);
            return None;
        }
    };

    let mut settings = settings::settings(policy);
    settings.flags |= match &policy.inspection {
        Some(inspection) if inspection.everything => setting::INSPECTION,
        Some(_) => setting::INSPECTION | setting::OPENINGS,
        None => 0,
    };
    let mut prefixes: [Vec<PrefixEntry>; table::TABLES as usize] = Default::default();
    for side in &sides {
        prefixes[table::SOURCES as usize].extend(entries_of(side.side.scope, &side.sources));
    }
    prefixes[table::PEERS as usize].extend(entries_of(DESTINATIONS_SCOPE, &peers));
    let mut blocklist = Vec::new();
    for (scope, flag, addresses) in
        [(BLOCK_FROM, setting::BLOCK_FROM, &policy.blocklist.from), (BLOCK_TO, setting::BLOCK_TO, &policy.blocklist.to)]
    {
        let blocked = widest(addresses.iter().flat_map(|set| policy.prefixes(set)).copied());
        settings.flags |= if blocked.is_empty() { 0 } else { flag };
        blocklist.extend(blocked.into_iter().map(|prefix| entry(scope, prefix, 1)));
    }
    prefixes[table::GROUPS as usize] = tables.groups.entries;
    settings.flags |= if tables.ranges.is_empty() { 0 } else { setting::RANGES };
    prefixes[table::RANGES as usize] = tables.ranges;
    if blocklist.len() + prefixes.iter().map(Vec::len).sum::<usize>() > MAX_PREFIXES {
        report(policy, diagnostics, Full::Prefixes);
        return None;
    }
    let first_bytes = first::entries(policy, &names);
    settings.flags |= if first_bytes.is_empty() { 0 } else { setting::FIRST_BYTES };
    let datagrams = datagrams::sieve(policy).map(Arc::new);
    settings.flags |= if datagrams.is_some() { setting::DATAGRAMS } else { 0 };
    Some(Image {
        first_bytes,
        datagrams,
        sides: sides.iter().map(|side| (side.port, side.side)).collect(),
        prefixes,
        blocklist,
        services: tables.exact,
        lists: tables.lists,
        candidates: tables.candidates,
        zones: policy.zones.iter().zip(numbers).map(|(zone, n)| (n, settings::zone(policy, zone))).collect(),
        settings,
        interfaces,
        names,
        tells: policy.events.tells,
        flows: policy.limits.flows,
        adopt: policy.gateway.adopt,
        reused_services,
        reused_zones,
        warnings: Vec::new(),
    })
}

/// Gives every zone and service its number; the answer lists the zone and service numbers that had another name.
fn number(policy: &Policy, ids: &mut Ids, diagnostics: &mut Diagnostics) -> Option<(Vec<u32>, Vec<u32>)> {
    let zones: Vec<String> = policy.zones.iter().map(|zone| zone.name.clone()).collect();
    let services: Vec<String> = policy
        .allowlists()
        .flat_map(|(owner, list)| list.iter().map(move |service| key(owner, &service.name)))
        .chain(policy.publish.iter().map(|line| key("publish", &line.name)))
        .collect();
    let numbers = ids.zones.assign(&zones).zip(ids.services.assign(&services));
    if numbers.is_none() {
        report(policy, diagnostics, Full::Services);
    }
    numbers
}

/// The name that a service's counter is kept by.
fn key(owner: &str, service: &str) -> String {
    format!("{owner}/{service}")
}

fn zone_number(ids: &Ids, name: &str) -> u16 {
    ids.zones.get(name).map_or(0, |number| number as u16)
}

fn counter(ids: &Ids, owner: &str, name: &str) -> u32 {
    ids.services.get(&key(owner, name)).unwrap_or(u32::MAX)
}

fn report(policy: &Policy, diagnostics: &mut Diagnostics, full: Full) {
    let message = match full {
        Full::Services => "the policy compiles to more service entries than there is room for",
        Full::Prefixes => "the policy compiles to more prefixes than there is room for",
    };
    diagnostics.add(&codes::TOO_MANY, || {
        Diagnostic::new(&codes::TOO_MANY, Place::file(&policy.source.name), message)
            .help("name fewer ports and ranges that overlap, or share destination lists between services")
    });
}

/// The zone of each published host; `None` where nothing here can tell.
fn published_zones(
    policy: &Policy,
    environment: &Environment,
    peers: &BTreeMap<Prefix, u16>,
    ids: &Ids,
    diagnostics: &mut Diagnostics,
) -> Vec<Option<u16>> {
    let zones: BTreeSet<u16> = policy.zones.iter().map(|zone| zone_number(ids, &zone.name)).collect();
    // a zone that follows an interface which is not there may hold anything
    let some_unknown = policy
        .zones
        .iter()
        .any(|zone| zone.auto_prefixes && !environment.interfaces.contains_key(&zone.interface.name));
    let mut found = Vec::new();
    for line in &policy.publish {
        if policy.gateway.auto_addresses
            && !policy.gateway.addresses.contains(&line.address)
            && !environment.synthetic
            && !environment.has_address(line.address)
        {
            diagnostics.add(&codes::PUBLISH_ADDRESS, || {
                let place = Place::new(&policy.source, line.location);
                let message = format!("no interface here has the address `{}`", line.address);
                Diagnostic::new(&codes::PUBLISH_ADDRESS, place, message)
            });
        }
        let zone = sides::zone_of(peers, line.to).filter(|zone| zones.contains(zone));
        found.push(zone);
        if zone.is_none() && !environment.synthetic && !some_unknown {
            diagnostics.add(&codes::PUBLISHED_HOST, || {
                let place = Place::new(&policy.source, line.to_location);
                let message = format!("no zone holds the published host `{}`", line.to);
                Diagnostic::new(&codes::PUBLISHED_HOST, place, message).help("add its prefix to the zone it stands in")
            });
        }
    }
    found
}

/// Fills the tables of services; the answer names everything that has a number.
fn place_services(
    policy: &Policy,
    ids: &Ids,
    published: &[Option<u16>],
    tables: &mut Services<'_>,
) -> Result<Names, Full> {
    let mut names = Names::default();
    for (number, name) in [(ZONE_SELF, "self"), (ZONE_OUTSIDE, "outside"), (ZONE_PUBLISHED, "publish")] {
        names.zones.insert(number, name.to_owned());
    }
    let mut translated = Vec::new();
    let mut untranslated = Vec::new();
    for (line, zone) in policy.publish.iter().zip(published) {
        let service = candidate(ids, ("publish", &line.name), line.location, (&line.expect, None), &mut names);
        // it is looked into once, on the zone's side
        let before = if line.tunnel == Some(Tunnel::Judge) { Some(Tunnel::Opaque) } else { line.tunnel };
        let outside = Candidate { flags: carried(before), ..service };
        untranslated.push(published_line(tables, outside, line, None));
        if let Some(zone) = zone {
            let service = Candidate { flags: inspected(policy, true) | carried(line.tunnel), ..service };
            translated.push(published_line(tables, service, line, Some(*zone)));
        }
    }
    tables.place(ZONE_PUBLISHED, &translated.iter().collect::<Vec<_>>())?;
    for (owner, list) in policy.allowlists() {
        let zone = match owner {
            "self" => ZONE_SELF,
            "outside" => ZONE_OUTSIDE,
            name => {
                let number = zone_number(ids, name);
                names.zones.insert(number, name.to_owned());
                number
            }
        };
        let own: Vec<Line> = list
            .iter()
            .map(|service| {
                let spoken = (&service.expect, service.proxied);
                let candidate = candidate(ids, (owner, &service.name), service.location, spoken, &mut names);
                let candidate =
                    Candidate { flags: inspected(policy, service.inspect) | carried(service.tunnel), ..candidate };
                line(tables, ids, candidate, service)
            })
            .collect();
        // what is translated never reaches the gateway's own services, so published lines come first
        let published = untranslated.iter().filter(|_| zone != ZONE_SELF);
        tables.place(zone, &published.chain(&own).collect::<Vec<_>>())?;
    }
    Ok(names)
}

/// A line by its owner and name, with what is to be spoken there.
fn candidate(
    ids: &Ids,
    (owner, name): (&str, &str),
    at: Location,
    (expect, proxied): (&Expect, Option<Proxied>),
    names: &mut Names,
) -> Candidate {
    let counter = counter(ids, owner, name);
    let (owner, name) = (owner.to_owned(), name.to_owned());
    names.services.insert(counter, ServiceName { owner, name, line: at.line, expect: expect.clone(), proxied });
    Candidate { counter, line: at.line, ..Candidate::default() }
}

/// [`Candidate::flags`] of a service whose flows are inspected, if anything is.
fn inspected(policy: &Policy, wanted: bool) -> u32 {
    if wanted && policy.inspection.is_some() { service::INSPECT } else { 0 }
}

/// [`Candidate::flags`] of a service that says what becomes of the packets in its tunnels.
fn carried(tunnel: Option<Tunnel>) -> u32 {
    match tunnel {
        Some(Tunnel::Judge) => service::TUNNEL_JUDGE,
        Some(Tunnel::Opaque) => service::TUNNEL_OPAQUE,
        Some(Tunnel::Drop) => service::TUNNEL_DROP,
        None => 0,
    }
}

fn line(tables: &mut Services<'_>, ids: &Ids, candidate: Candidate, service: &Service) -> Line {
    let targets = targets(service, |zone| zone_number(ids, zone));
    let targets = targets.into_iter().map(|(peer, set)| (peer, tables.set(set))).collect();
    Line { service: candidate, ranges: service.matches.ranges().collect(), targets }
}

/// The destinations of a service at each of its peers. `number` is that of a zone.
pub(super) fn targets(service: &Service, number: impl Fn(&str) -> u16) -> Vec<(u16, DestinationSet)> {
    let mut peers: BTreeMap<u16, Vec<Addresses>> = BTreeMap::new();
    for target in &service.to {
        let peer = match &target.peer {
            Peer::Outside => ZONE_OUTSIDE,
            Peer::Gateway => ZONE_SELF,
            Peer::Zone(name) => number(name),
        };
        peers.entry(peer).or_default().push(target.addresses.clone());
    }
    peers.into_iter().map(|(peer, include)| (peer, DestinationSet::new(include, service.except.clone()))).collect()
}

fn published_line(tables: &mut Services<'_>, service: Candidate, line: &Publish, zone: Option<u16>) -> Line {
    let (ranges, (peer, set)) = published(line, zone);
    Line { service, ranges, targets: vec![(peer, tables.set(set))] }
}

/// The protocol and ports of a published line and where it is, before translation or, with the zone of its host, after it.
pub(super) fn published(line: &Publish, zone: Option<u16>) -> (Vec<(u8, PortRange)>, (u16, DestinationSet)) {
    let (peer, address) = zone.map_or((ZONE_SELF, line.address), |zone| (zone, line.to));
    let ports = match (zone, line.to_port) {
        (Some(_), Some(port)) => vec![PortRange { first: port, last: port }],
        _ => line.ports.clone(),
    };
    let set = DestinationSet::new(vec![Addresses::Prefix(Prefix::host(address))], Vec::new());
    (ports.into_iter().map(|range| (line.protocol, range)).collect(), (peer, set))
}

/// Prefixes in order, without those that another one holds.
fn widest(prefixes: impl Iterator<Item = Prefix>) -> Vec<Prefix> {
    let mut all: Vec<Prefix> = prefixes.collect();
    all.sort_unstable();
    let mut kept: Option<Prefix> = None;
    all.retain(|prefix| {
        let covered = kept.is_some_and(|kept| kept.holds(*prefix));
        if !covered {
            kept = Some(*prefix);
        }
        !covered
    });
    all
}
