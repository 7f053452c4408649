//! YAML as the tests' own runner reads it, into the same values that events are made of.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Reads a file; an empty one is null. Version 1.1 is meant: `yes` and `on` are true, `010` is eight, and of a key that
/// stands there twice the last one counts.
pub fn read(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("`{}` is not understood", path.display()))
}

fn parse(text: &str) -> Result<Value> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        strict_booleans: false,
    };
    Ok(serde_saphyr::from_str_with_options::<Option<Value>>(text, options)?.unwrap_or_default())
}

/// The value at a path of keys, dots between them; null if there is none.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| &value[key])
}

/// A plain value as text: a number as it stands there, nothing for null.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a setting is switched on: true, or one of the words for it.
pub fn is_on(value: &Value) -> bool {
    matches!(text(value).to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1")
}

/// Whether it is switched off.
pub fn is_off(value: &Value) -> bool {
    matches!(text(value).to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_version_1_1() {
        let text = "%YAML 1.1\n---\na: yes\nb: [1, 8.0, 0x10, '1', 8.0.1]\nc: on\na: no\nd:\n";
        assert_eq!(parse(text).unwrap(), json!({"a": false, "b": [1, 8.0, 16, "1", "8.0.1"], "c": true, "d": null}));
        assert_eq!(parse("").unwrap(), Value::Null);
        assert_eq!(parse("# nothing\n").unwrap(), Value::Null);
    }

    #[test]
    fn settings_by_path() {
        let value = json!({"stream": {"inline": "yes"}, "stats": {"enabled": false}});
        assert!(is_on(at(&value, "stream.inline")) && !is_on(at(&value, "stats.enabled")));
        assert!(!is_on(at(&value, "stream.none.of.it")));
    }
}
