//! Parts of lines that do nothing: exceptions that take nothing away, prefixes of zones that narrower ones leave nothing of.

use super::{
    Analysis,
    addresses::{Set, meet},
    tell::{Finding, Findings},
};
use crate::policy::{
    codes,
    compile::{groups::DestinationSet, targets},
    diagnostic::quoted,
    model::{Addresses, Service},
    source::Location,
};

impl Analysis<'_> {
    pub(super) fn parts(&self, found: &mut Findings) {
        for (owner, services) in self.policy.allowlists() {
            for service in services.iter().filter(|service| !service.except.is_empty()) {
                self.exceptions(owner, service, found);
            }
        }
        for (zone, prefix, location) in &self.grounds.places.without_hosts {
            let zone = &self.policy.zones[*zone];
            let message =
                format!("narrower prefixes of that side leave nothing of `{prefix}` to zone {}", quoted(&zone.name));
            found.found.push(part(&codes::EMPTY_PREFIX, (&zone.name, prefix.to_string()), *location, message));
        }
    }

    fn exceptions(&self, owner: &str, service: &Service, found: &mut Findings) {
        let places = &self.grounds.places;
        let destinations: Vec<[Set; 2]> = targets(service, |zone| self.lines.party(zone))
            .into_iter()
            .map(|(peer, set)| {
                let include = DestinationSet { except: Vec::new(), ..set };
                [places.set(&include), places.held(peer)]
            })
            .collect();
        for prefix in &service.except {
            // a list may have other entries tomorrow
            let Addresses::Prefix(prefix) = prefix else { continue };
            self.budget.take(destinations.len());
            let taken = |sets: &[Set; 2]| meet(sets, prefix.is_v6(), prefix.span());
            if self.budget.is_spent() || destinations.iter().any(taken) {
                continue;
            }
            let name = quoted(&service.name);
            let message = format!("{name} has no destination at `{prefix}`, which it excepts");
            found.found.push(part(&codes::EMPTY_EXCEPTION, (owner, service.name.clone()), service.location, message));
        }
    }
}

fn part(code: &'static codes::Code, (owner, name): (&str, String), location: Location, message: String) -> Finding {
    let owner = owner.to_owned();
    Finding { code, owner, name, location, message, help: None, related: Vec::new(), others: Vec::new(), witness: None }
}
