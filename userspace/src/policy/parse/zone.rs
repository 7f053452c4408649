//! `[zone.NAME]`.

use std::ops::Range;

use toml::de::DeValue;

use super::{Parser, section::Section, value::Value};
use crate::policy::{
    codes,
    diagnostic::{Diagnostic, Place, quoted},
    model::{MAX_ZONES, Zone},
    prefix::Prefix,
    source::Location,
};

/// Longest name of a zone or list.
const LONGEST_NAME: usize = 32;
/// Names that mean something else where a zone may be named.
const RESERVED: [&str; 4] = ["self", "outside", "any", "publish"];

impl Parser {
    /// Takes the zones' names before anything refers to them.
    pub(super) fn name_zones(&mut self, section: Option<&Section<'_>>) {
        let Some(section) = section else { return };
        let entries = section.entries();
        if let Some((_, at, _)) = entries.get(MAX_ZONES) {
            let message = format!("{} zones", entries.len());
            self.add_expected(&codes::TOO_MANY, at.clone(), message, format!("at most {MAX_ZONES}"));
        }
        self.zones = entries.iter().take(MAX_ZONES).map(|(name, ..)| (*name).to_owned()).collect();
        self.zones.sort_unstable();
    }

    pub(super) fn read_zones(&mut self, section: Section<'_>) -> Vec<Zone> {
        let mut zones = Vec::new();
        for (name, at, value) in section.entries().into_iter().take(MAX_ZONES) {
            self.name(name, at.clone(), "zone");
            if RESERVED.contains(&name) {
                let message = format!("`{name}` has a meaning of its own and cannot name a zone");
                self.add(&codes::NAME, at.clone(), message);
            }
            match value.get_ref() {
                DeValue::Table(table) => {
                    let section = Section::new(format!("zone {}", quoted(name)), table, at);
                    zones.extend(self.zone(name, section));
                }
                _ => {
                    let _: Option<()> = self.wrong_type(value, "a table: `[zone.NAME]`");
                }
            }
        }
        zones
    }

    fn zone(&mut self, name: &str, mut section: Section<'_>) -> Option<Zone> {
        let at = section.at();
        let interface = section.get("interface");
        if interface.is_none() {
            self.missing(&section, "interface", "interface = \"lan0\"");
        }
        let interface = interface.and_then(|value| self.interface(value));
        let vlan = section.get("vlan").and_then(|value| self.vlan(value));
        let prefixes = section.get("prefixes");
        let (auto_prefixes, prefixes) = match prefixes {
            Some(value) => self.zone_prefixes(value),
            None => (true, Vec::new()),
        };
        let states = [("strict", false), ("loose", true)];
        let loose = section.get("state").and_then(|value| self.choice(value, "state", &states));
        let max_flows = section.get("max_flows").and_then(|value| self.flow_cap(value));
        let dhcp = section.get("dhcp").and_then(|value| self.boolean(value));
        let egress = section.tables(self, "egress", &format!("zone.{name}.egress"));
        section.finish(self);
        let egress = self.services(egress, name);
        Some(Zone {
            name: name.to_owned(),
            location: self.location(at),
            interface: interface?,
            vlan: vlan.unwrap_or_default(),
            auto_prefixes,
            prefixes,
            loose: loose.unwrap_or(false),
            max_flows,
            dhcp: dhcp.unwrap_or(false),
            egress,
        })
    }

    fn vlan(&mut self, value: Value<'_>) -> Option<[u16; 2]> {
        let tags = self.one_or_many(value);
        if tags.is_empty() || tags.len() > 2 {
            let message = format!("{} VLAN tags", tags.len());
            self.add_expected(&codes::VLAN, value.span(), message, "one tag, or two, outer first");
            return None;
        }
        let mut found = [0; 2];
        let mut sound = true;
        for (tag, place) in tags.iter().zip(&mut found) {
            let expected = "a VLAN identifier from 1 to 4094";
            let DeValue::Integer(integer) = tag.get_ref() else {
                let _: Option<()> = self.wrong_type(tag, expected);
                sound = false;
                continue;
            };
            let number = u16::from_str_radix(integer.as_str(), integer.radix());
            match number.ok().filter(|number| (1..=4094).contains(number)) {
                Some(number) => *place = number,
                None => {
                    let message = format!("{} is not a VLAN identifier", quoted(integer.as_str()));
                    self.add_expected(&codes::VLAN, tag.span(), message, expected);
                    sound = false;
                }
            }
        }
        sound.then_some(found)
    }

    fn zone_prefixes(&mut self, value: Value<'_>) -> (bool, Vec<(Prefix, Location)>) {
        let mut auto = false;
        let mut found = Vec::new();
        for element in self.one_or_many(value) {
            let expected = "an address, a prefix or `\"auto\"`";
            let Some((text, at)) = self.string(element, expected) else {
                continue;
            };
            if text == "auto" {
                auto = true;
            } else if let Some(prefix) = self.prefix(text, at.clone()) {
                found.push((prefix, self.location(at)));
            }
        }
        (auto, found)
    }

    /// Checks the letters of a name.
    pub(super) fn name(&mut self, name: &str, at: Range<usize>, what: &str) {
        self.name_within(name, at, what, LONGEST_NAME);
    }

    /// Checks the letters of a name, and that it is not too long.
    pub(super) fn name_within(&mut self, name: &str, at: Range<usize>, what: &str, longest: usize) {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > longest || !name.bytes().all(letters) {
            let message = format!("{} cannot name a {what}", quoted(name));
            let expected = format!("1 to {longest} letters, digits, `-` and `_`");
            self.add_expected(&codes::NAME, at, message, expected);
        }
    }

    /// Says that a name is used a second time.
    pub(super) fn duplicate(&mut self, name: &str, what: &str, second: Range<usize>, first: Location) {
        let source = &self.source;
        self.diagnostics.add(&codes::DUPLICATE_NAME, || {
            let place = Place::new(source, source.locate(second));
            let message = format!("two {what} are named {}", quoted(name));
            Diagnostic::new(&codes::DUPLICATE_NAME, place, message).related(Place::new(source, first), "the first one")
        });
    }
}
