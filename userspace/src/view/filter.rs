//! Which lines of the event stream someone wants to see, and one line for people in place of each.

use super::text::clean;
use serde_json::Value;

/// What an event must have to be shown. Fields left out match everything; several values of one field are alternatives.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub event_types: Vec<String>,
    pub reasons: Vec<String>,
    pub zones: Vec<String>,
    /// Either end.
    pub addresses: Vec<std::net::IpAddr>,
    pub flow: Option<u64>,
}

impl Filter {
    /// Whether an EVE event is wanted.
    pub fn matches(&self, event: &Value) -> bool {
        let one_of = |wanted: &[String], found: &[&Value]| {
            wanted.is_empty()
                || found.iter().any(|value| value.as_str().is_some_and(|text| wanted.iter().any(|w| w == text)))
        };
        let own = &event["dropgate"];
        let address = |field: &str| event[field].as_str().and_then(|text| text.parse().ok());
        one_of(&self.event_types, &[&event["event_type"]])
            && one_of(&self.reasons, &[&own["reason"]])
            && one_of(&self.zones, &[&own["zone"], &own["peer"]])
            && (self.addresses.is_empty()
                || [address("src_ip"), address("dest_ip")].into_iter().flatten().any(|ip| self.addresses.contains(&ip)))
            && self.flow.is_none_or(|id| event["flow_id"].as_u64() == Some(id))
    }
}

/// One line for people: `12:00:00.000001 drop not_allowed TCP 10.0.0.1:5 -> 10.0.0.2:80 office -> outside`.
pub fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().map(clean).unwrap_or_default();
    let own = &event["dropgate"];
    let timestamp = text(&event["timestamp"]);
    let time = timestamp.get(11..26).unwrap_or(&timestamp);
    let kind = text(&event["event_type"]);
    if kind == "stats" {
        let stats = &event["stats"]["dropgate"];
        let number = |field: &str| stats[field].as_u64().unwrap_or(0);
        return format!(
            "{time} {kind:<7} generation {} flows {} events lost {} suppressed {}",
            number("generation"),
            number("flows"),
            number("events_lost"),
            number("events_suppressed")
        );
    }
    let end = |address: &str, port: &str| {
        let address = text(&event[address]);
        match event[port].as_u64() {
            Some(port) if address.contains(':') => format!("[{address}]:{port}"),
            Some(port) => format!("{address}:{port}"),
            None => address,
        }
    };
    let what = match kind.as_str() {
        "flow" => format!(
            "{} {}",
            text(&event["flow"]["state"]),
            super::text::bytes(
                event["flow"]["bytes_toserver"]
                    .as_u64()
                    .unwrap_or(0)
                    .saturating_add(event["flow"]["bytes_toclient"].as_u64().unwrap_or(0))
            )
        ),
        _ => text(&own["reason"]),
    };
    let packet = match event["ether"]["ether_type"].as_u64() {
        Some(ethertype) => super::text::ethertype(u16::try_from(ethertype).unwrap_or(0)),
        None => {
            let (from, to) = (end("src_ip", "src_port"), end("dest_ip", "dest_port"));
            format!("{} {from} -> {to}", text(&event["proto"]))
        }
    };
    let place = match (own["zone"].as_str(), own["peer"].as_str()) {
        (Some(zone), Some(peer)) => format!(" {} -> {}", clean(zone), clean(peer)),
        (Some(zone), None) => format!(" {}", clean(zone)),
        _ => event["in_iface"].as_str().map(|name| format!(" on {}", clean(name))).unwrap_or_default(),
    };
    let service = own["service"].as_str().map(|name| format!(" `{}`", clean(name))).unwrap_or_default();
    format!("{time} {kind:<7} {what:<22} {packet}{place}{service}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event() -> Value {
        json!({"timestamp": "2026-01-01T12:00:00.000001+0000", "event_type": "drop", "flow_id": 4,
            "src_ip": "10.0.0.1", "src_port": 5, "dest_ip": "2001:db8::2", "dest_port": 80, "proto": "TCP",
            "dropgate": {"reason": "not_allowed", "zone": "office", "peer": "outside"}})
    }

    #[test]
    fn fields_are_anded_and_values_ored() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert!(Filter::default().matches(&event()));
        let both = Filter { event_types: words(&["flow", "drop"]), zones: words(&["outside"]), ..Filter::default() };
        assert!(both.matches(&event()));
        assert!(!Filter { reasons: words(&["land"]), ..both.clone() }.matches(&event()));
        assert!(Filter { addresses: vec!["2001:db8:0::2".parse().unwrap()], ..both.clone() }.matches(&event()));
        assert!(!Filter { addresses: vec!["10.0.0.9".parse().unwrap()], ..both.clone() }.matches(&event()));
        assert!(Filter { flow: Some(4), ..both.clone() }.matches(&event()));
        assert!(!Filter { flow: Some(5), ..both }.matches(&event()));
    }

    #[test]
    fn a_line_says_what_where_and_why() {
        assert_eq!(
            line(&event()),
            "12:00:00.000001 drop    not_allowed            TCP 10.0.0.1:5 -> [2001:db8::2]:80 office -> outside"
        );
        line(&json!({}));
        line(&json!({"timestamp": "é".repeat(30), "event_type": 5, "ether": {"ether_type": 1_000_000}}));
    }
}
