//! Versions and features that tests and single checks ask for.

use serde_json::Value;

use super::{
    lists::{FEATURES, VERSION},
    yaml::text,
};

/// What of a `requires` does not hold; `None`: all of it does.
pub fn unmet(requires: &Value) -> Option<String> {
    let requires = requires.as_object()?;
    requires.iter().find_map(|(key, value)| {
        let met = match key.as_str() {
            "min-version" => VERSION >= parse(value),
            "lt-version" => VERSION < parse(value),
            "gt-version" => VERSION > parse(value),
            "version" => is(value),
            "features" => value.as_array().into_iter().flatten().all(has),
            "os" => "linux".starts_with(&text(value).to_ascii_lowercase()),
            "arch" => std::env::consts::ARCH.starts_with(&text(value).to_ascii_lowercase()),
            // a capture may be missing, which shows elsewhere
            "pcap" => true,
            _ => false,
        };
        (!met).then(|| format!("{key} {}", text(value)))
    })
}

/// Whether Dropgate has a feature.
pub fn has(feature: &Value) -> bool {
    FEATURES.contains(&text(feature).as_str())
}

/// What a check asks for beside its `requires`.
pub fn inline(check: &Value) -> Value {
    let keys = ["version", "min-version", "lt-version"].into_iter().filter(|key| !check[*key].is_null());
    let mut requires: serde_json::Map<_, _> = keys.map(|key| (key.to_owned(), check[key].clone())).collect();
    if !check["feature"].is_null() {
        requires.insert("features".to_owned(), Value::Array(vec![check["feature"].clone()]));
    }
    Value::Object(requires)
}

/// `8` is 8.0.0.
fn parse(value: &Value) -> [u32; 3] {
    let value = text(value);
    let mut parts = value.split(['.', '-']).map(|part| part.parse().unwrap_or_default());
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// `8` is any release that begins so.
fn is(value: &Value) -> bool {
    let value = text(value);
    value.split('.').zip(VERSION).all(|(part, ours)| ours == u32::MAX || part.parse() == Ok(ours))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_release_of_8_0() {
        let met = [
            json!(null),
            json!({"min-version": 8}),
            json!({"min-version": "8.0.7"}),
            json!({"min-version": 7, "lt-version": 9, "pcap": false}),
            json!({"version": 8}),
            json!({"gt-version": "6.0.11", "features": ["HAVE_JA4"], "os": "linux"}),
        ];
        for requires in met {
            assert_eq!(unmet(&requires), None, "{requires}");
        }
        let unmet_ones = [
            json!({"min-version": 9}),
            json!({"lt-version": "8.0.7"}),
            json!({"lt-version": 8}),
            json!({"version": 7}),
            json!({"features": ["HAVE_JA3", "HAVE_LUA"]}),
            json!({"script": ["true"]}),
            json!({"os": "windows"}),
        ];
        for requires in unmet_ones {
            assert!(unmet(&requires).is_some(), "{requires}");
        }
    }
}
