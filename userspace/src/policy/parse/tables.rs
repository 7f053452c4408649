//! The small tables: `[blocklist]`, `[fragments]`, `[timeouts]`, `[limits]`, `[events]`.

use std::time::Duration;

use toml::de::DeValue;

use super::{Parser, section::Section, value::Value};
use crate::policy::{
    model::{Addresses, Blocklist, Events, Fragment, Fragments, Limits, Timeouts},
    source::Location,
};

/// Fewest and most flows of the table.
const FLOWS: std::ops::RangeInclusive<u64> = 1_024..=33_554_432;

impl Parser {
    pub(super) fn blocklist(&mut self, mut section: Section<'_>) -> Blocklist {
        let from = section.get("from").map(|value| self.address_set(value)).unwrap_or_default();
        let to = section.get("to").map(|value| self.address_set(value)).unwrap_or_default();
        section.finish(self);
        Blocklist { from, to }
    }

    /// Prefixes and lists.
    pub(super) fn address_set(&mut self, value: Value<'_>) -> Vec<Addresses> {
        let mut found = Vec::new();
        for element in self.one_or_many(value) {
            let expected = "an address, a prefix or a list such as `\"@bad\"`";
            if let Some((text, at)) = self.string(element, expected) {
                found.extend(self.addresses(text, at));
            }
        }
        found
    }

    /// With the places of those that pass.
    pub(super) fn fragments(&mut self, mut section: Section<'_>) -> (Fragments, Vec<(String, Location)>) {
        let words = [("drop", Fragment::Drop), ("track", Fragment::Track), ("pass", Fragment::Pass)];
        let passes = |value: Value<'_>| matches!(value.get_ref(), DeValue::String(word) if word == "pass");
        let passed = section.entries().into_iter().filter(|(.., value)| passes(value));
        let passed = passed.map(|(key, _, value)| (key.to_owned(), self.location(value.span()))).collect();
        let mut fragments = Fragments::default();
        let Fragments { udp, tcp, icmp, other } = &mut fragments;
        let places = &mut [("udp", udp), ("tcp", tcp), ("icmp", icmp), ("other", other)];
        self.choices(&mut section, "answer", &words, places);
        section.finish(self);
        (fragments, passed)
    }

    pub(super) fn timeouts(&mut self, mut section: Section<'_>) -> Timeouts {
        let mut timeouts = Timeouts::default();
        for (key, place) in [
            ("tcp_new", &mut timeouts.tcp_new),
            ("tcp_established", &mut timeouts.tcp_established),
            ("tcp_closing", &mut timeouts.tcp_closing),
            ("udp_new", &mut timeouts.udp_new),
            ("udp", &mut timeouts.udp),
            ("icmp", &mut timeouts.icmp),
            ("other", &mut timeouts.other),
            ("fragment", &mut timeouts.fragment),
        ] {
            let value = section.get(key);
            let least = Duration::from_millis(1);
            if let Some(duration) = value.and_then(|value| self.duration(value, least)) {
                *place = duration;
            }
        }
        section.finish(self);
        timeouts
    }

    pub(super) fn limits(&mut self, mut section: Section<'_>) -> Limits {
        let mut limits = Limits::default();
        let flows = section.get("flows").and_then(|v| self.integer(v, FLOWS, "flow table size"));
        let cap = section.get("zone_flows").and_then(|v| self.flow_cap(v));
        section.finish(self);
        limits.flows = flows.map_or(limits.flows, |flows| flows as u32);
        limits.zone_flows = cap.unwrap_or(limits.zone_flows);
        limits
    }

    /// A cap on the live flows of a zone.
    pub(super) fn flow_cap(&mut self, value: Value<'_>) -> Option<u32> {
        self.integer(value, 0..=*FLOWS.end(), "cap on flows").map(|cap| cap as u32)
    }

    pub(super) fn events(&mut self, mut section: Section<'_>) -> Events {
        let mut events = Events::default();
        let rate = section.get("rate").and_then(|v| self.integer(v, 0..=1_000_000, "event rate"));
        let tells = &mut events.tells;
        for (key, place) in [
            ("verdict", &mut tells.verdict),
            ("ethernet", &mut tells.ethernet),
            ("payload", &mut tells.payload),
            ("packet", &mut tells.packet),
            ("certificates", &mut tells.certificates),
        ] {
            *place = section.get(key).and_then(|value| self.boolean(value)).unwrap_or(*place);
        }
        let community = section.get("community_id").and_then(|value| self.boolean(value)).unwrap_or_default();
        let seed = section.get("community_id_seed").and_then(|v| self.integer(v, 0..=u16::MAX.into(), "seed"));
        tells.community_id = community.then_some(seed.unwrap_or_default() as u16);
        section.finish(self);
        events.rate = rate.map_or(events.rate, |rate| rate as u32);
        events
    }
}
