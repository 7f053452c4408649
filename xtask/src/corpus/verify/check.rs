//! Filters over events, as the tests' own runner has them.

use serde_json::{Map, Value};

use super::yaml::text;

/// Counts the events that a filter matches; the error is what was expected and what came instead.
pub fn count(filter: &Value, events: &[Value]) -> Result<(), String> {
    let empty = Map::new();
    let matched = filter["match"].as_object().unwrap_or(&empty);
    let got = events.iter().filter(|event| matches(matched, event)).count() as u64;
    let expected = filter["count"].as_u64().unwrap_or_default();
    if got == expected {
        return Ok(());
    }
    Err(format!("expected {expected}, got {got} of {}", Value::Object(matched.clone())))
}

/// Whether filters hold once they ask neither for the number of a packet nor for counters of a flow: then those of them that
/// have become the same find at least as many events as all together expect.
pub fn hold_without_numbers<'a>(filters: impl Iterator<Item = &'a Value>, events: &[Value]) -> bool {
    let mut without = Vec::<(Map<String, Value>, u64)>::new();
    for filter in filters {
        let expected = filter["count"].as_u64().unwrap_or_default();
        let mut matched = filter["match"].as_object().cloned().unwrap_or_default();
        let asked = matched.len();
        matched.retain(|key, _| !is_number(key));
        if asked == matched.len() || expected == 0 {
            if count(filter, events).is_err() {
                return false;
            }
            continue;
        }
        match without.iter_mut().find(|(other, _)| *other == matched) {
            Some((_, all)) => *all += expected,
            None => without.push((matched, expected)),
        }
    }
    without
        .iter()
        .all(|(filter, expected)| events.iter().filter(|event| matches(filter, event)).count() as u64 >= *expected)
}

/// What tells when something was noticed, rather than what.
fn is_number(key: &str) -> bool {
    key == "pcap_cnt" || key.starts_with("flow.pkts_") || key.starts_with("flow.bytes_")
}

fn matches(filter: &Map<String, Value>, event: &Value) -> bool {
    filter.iter().all(|(key, expected)| match key.as_str() {
        "has-key" => keys(expected).iter().all(|key| !find(key, event).is_null()),
        "not-has-key" => keys(expected).iter().all(|key| find(key, event).is_null()),
        _ => one(key, expected, event),
    })
}

/// One key, or several.
fn keys(value: &Value) -> Vec<String> {
    value.as_array().map_or_else(|| vec![text(value)], |keys| keys.iter().map(text).collect())
}

fn one(key: &str, expected: &Value, event: &Value) -> bool {
    let Some((path, how)) = key.rsplit_once(".__").or_else(|| key.rsplit_once("__")) else {
        return equal(&find(key, event), expected);
    };
    let found = find(path, event);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let strings = |test: fn(&str, &str) -> bool| match (text(&found), text(expected)) {
        (Some(found), Some(expected)) => test(&found, &expected),
        _ => false,
    };
    match how {
        "find" => strings(|found, expected| found.contains(expected)),
        "startswith" => strings(|found, expected| found.starts_with(expected)),
        "endswith" => strings(|found, expected| found.ends_with(expected)),
        // one of a list, a key of an object, or part of a text
        "contains" => match &found {
            Value::Array(all) => all.iter().any(|one| equal(one, expected)),
            Value::Object(map) => text(expected).is_some_and(|key| map.contains_key(&key)),
            _ => strings(|found, expected| found.contains(expected)),
        },
        "len" => equal(&length(&found), expected),
        _ => equal(&find(key, event), expected),
    }
}

/// Of what has none it is -1.
fn length(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.len().into(),
        Value::Object(map) => map.len().into(),
        Value::String(text) => text.chars().count().into(),
        _ => (-1).into(),
    }
}

/// Numbers are equal by value, and switches are numbers.
fn equal(found: &Value, expected: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(on) => Some(f64::from(u8::from(*on))),
        value => value.as_f64(),
    };
    match (number(found), number(expected)) {
        (Some(_), Some(_)) if found.is_u64() && expected.is_u64() => found == expected,
        (Some(found), Some(expected)) => found == expected,
        _ => found == expected,
    }
}

/// The value at a path such as `smtp.rcpt_to[0]`; null if there is none.
fn find(path: &str, event: &Value) -> Value {
    let mut at = event;
    for part in path.split('.') {
        let (name, index) = match part.strip_suffix(']').and_then(|part| part.rsplit_once('[')) {
            Some((name, index)) if !index.is_empty() => (name, index.parse::<usize>().ok()),
            _ => (part, None),
        };
        let whole = at.get(name);
        let indexed = index.map_or(whole, |index| whole.and_then(|whole| whole.get(index)));
        match indexed {
            Some(value) => at = value,
            None => return Value::Null,
        }
    }
    at.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters() {
        let event = json!({
            "event_type": "alert", "proto": "TCP", "alert": {"signature_id": 7, "metadata": {"tag": ["a", "b"]}},
            "smtp": {"rcpt_to": ["<x@y>"]}, "tcp": {"syn": true}, "vlan": [10]
        });
        let tables = [
            (json!({"event_type": "alert", "alert.signature_id": 7}), true),
            (json!({"alert.signature_id": "7"}), false),
            (json!({"alert.signature_id": 7.0, "tcp.syn": true}), true),
            (json!({"smtp.rcpt_to[0]": "<x@y>", "vlan[0]": 10}), true),
            (json!({"smtp.rcpt_to[1]": "<x@y>"}), false),
            (json!({"has-key": "alert.metadata.tag", "not-has-key": "flow"}), true),
            (json!({"not-has-key": "alert"}), false),
            (json!({"has-key": ["alert", "flow"]}), false),
            (json!({"not-has-key": ["flow", "tls"]}), true),
            (json!({"alert.metadata.tag.__len": 2, "proto.__len": 3, "nothing.__len": -1}), true),
            (
                json!({"alert.metadata.tag.__contains": "b", "alert.__contains": "metadata", "proto.__contains": "C"}),
                true,
            ),
            (json!({"alert.metadata.tag.__contains": "c"}), false),
            (json!({"proto.__find": "CP", "proto.__startswith": "T", "proto.__endswith": "P"}), true),
            (json!({"proto.__startswith": "C"}), false),
            (json!({"nothing": null}), true),
        ];
        for (filter, expected) in tables {
            assert_eq!(matches(filter.as_object().unwrap(), &event), expected, "{filter}");
        }
    }

    #[test]
    fn what_came_instead() {
        let filter = json!({"count": 2, "match": {"event_type": "alert"}});
        let events = [json!({"event_type": "alert"}), json!({"event_type": "flow"})];
        assert_eq!(count(&filter, &events), Err("expected 2, got 1 of {\"event_type\":\"alert\"}".to_owned()));
        assert_eq!(count(&json!({"count": 0, "match": {"event_type": "drop"}}), &events), Ok(()));
    }

    #[test]
    fn numbers_of_packets_left_out() {
        let events = [json!({"pcap_cnt": 1, "a": 1}), json!({"pcap_cnt": 2, "a": 1}), json!({"pcap_cnt": 3, "b": 1})];
        let filter = |count: u32, filter: Value| json!({"count": count, "match": filter});
        let hold = |filters: &[Value]| hold_without_numbers(filters.iter(), &events);
        let [four, five] = [4, 5].map(|number| filter(1, json!({"pcap_cnt": number, "a": 1})));
        assert!(hold(&[four.clone(), five.clone(), filter(1, json!({"flow.pkts_toserver": 9, "b": 1}))]));
        assert!(!hold(&[four.clone(), five, filter(1, json!({"pcap_cnt": 6, "a": 1}))]), "there are two of them");
        assert!(!hold(&[four.clone(), filter(1, json!({"a": 1}))]), "others have to hold as they are");
        assert!(hold(&[four, filter(0, json!({"pcap_cnt": 9, "a": 1}))]), "nor is what must not be there made more");
    }
}
