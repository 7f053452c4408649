//! Counters, and the `stats` event.

use super::{Clock, Names, eve};
use dropgate_abi::reason::Reason;

/// Counters as they were read from the maps, by number.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub uptime_s: u64,
    pub generation: u32,
    pub flows: u64,
    pub reasons: Vec<(Reason, eve::Count)>,
    pub zones: Vec<(u16, eve::Count)>,
    pub services: Vec<(u32, eve::Count)>,
    pub events_suppressed: u64,
    pub events_lost: u64,
    pub events_unwritten: u64,
}

/// The counters by name. Those of zero are left out, apart from those of services the policy names.
pub fn stats_own(totals: &Totals, names: &Names) -> eve::StatsOwn {
    let seen = |count: &eve::Count| count.packets != 0;
    eve::StatsOwn {
        generation: totals.generation,
        flows: totals.flows,
        reasons: totals
            .reasons
            .iter()
            .filter(|(_, count)| seen(count))
            .map(|(reason, count)| (reason_key(*reason), *count))
            .collect(),
        zones: totals
            .zones
            .iter()
            .filter(|(_, count)| seen(count))
            .filter_map(|(zone, count)| Some((names.zone(*zone)?.to_string(), *count)))
            .collect(),
        services: totals
            .services
            .iter()
            .filter_map(|(counter, count)| match names.service(*counter) {
                Some(service) => Some((format!("{}/{}", service.zone, service.name), *count)),
                None => seen(count).then(|| (format!("service-{counter}"), *count)),
            })
            .collect(),
        events_suppressed: totals.events_suppressed,
        events_lost: totals.events_lost,
        events_unwritten: totals.events_unwritten,
    }
}

/// The `stats` event.
pub fn stats(totals: &Totals, now_ns: u64, names: &Names, clock: &Clock) -> eve::Event {
    let own = stats_own(totals, names);
    eve::Event {
        timestamp: clock.format(now_ns),
        event_type: "stats",
        stats: Some(eve::Stats { uptime: totals.uptime_s, dropgate: own }.into()),
        ..eve::Event::default()
    }
}

/// A number that the list does not have keeps its own line: nothing is added up under one name.
fn reason_key(reason: Reason) -> String {
    match reason.info() {
        Some(info) => info.name.to_owned(),
        None => format!("reason-{}", reason.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::names::ServiceName, *};
    use serde_json::json;

    fn names() -> Names {
        let mut names = Names::default();
        names.zones.insert(16, "office".into());
        names.services.insert(3, ServiceName { zone: "office".into(), name: "web".into(), ..ServiceName::default() });
        names
    }

    #[test]
    fn stats_name_what_they_count() {
        let one = eve::Count { packets: 1, bytes: 60 };
        let totals = Totals {
            reasons: vec![(Reason::arp, one), (Reason::land, eve::Count::default()), (Reason(249), one)],
            zones: vec![(16, one)],
            services: vec![(3, eve::Count::default()), (8, one), (9, eve::Count::default())],
            ..Totals::default()
        };
        let event = serde_json::to_value(stats(&totals, 0, &names(), &Clock::fixed(0, 0))).unwrap();
        let own = &event["stats"]["dropgate"];
        assert_eq!(own["reasons"], json!({"arp": one, "reason-249": one}));
        assert_eq!(own["zones"], json!({"office": one}));
        assert_eq!(own["services"], json!({"office/web": {"packets": 0, "bytes": 0}, "service-8": one}));
    }
}
