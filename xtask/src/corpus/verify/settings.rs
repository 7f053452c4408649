//! How a test wants Suricata to be set: its `suricata.yaml`, and over it the arguments of its command line.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use super::yaml::{self, text};

/// Settings and arguments of a test.
#[derive(Default, Debug)]
pub struct Settings {
    /// `suricata.yaml` with what it includes; null: the test has none, and the default is in force.
    pub file: Value,
    /// `--set`, in order: path and value.
    pub set: Vec<(String, Value)>,
    /// Other arguments, one a word.
    pub arguments: Vec<String>,
    /// The name of the folder asks for an inline run.
    pub named_inline: bool,
}

impl Settings {
    /// Those of a test.
    pub fn read(folder: &Path, test: &Value) -> Result<Self> {
        let path = folder.join("suricata.yaml");
        let mut settings = Self::default();
        if path.is_file() {
            settings.file = yaml::read(&path)?;
            settings.include(folder);
        }
        let name = folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        settings.named_inline = name.contains("ips");
        let lines = test["args"].as_array().into_iter().flatten().map(text);
        let words: Vec<String> =
            lines.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
        settings.arguments(&words);
        Ok(settings)
    }

    /// `include`, one file or several, where they are there: what stands in the file itself counts.
    fn include(&mut self, folder: &Path) {
        let names = match &self.file["include"] {
            Value::Array(names) => names.iter().map(text).collect(),
            Value::Null => Vec::new(),
            name => vec![text(name)],
        };
        for included in names.iter().filter_map(|name| yaml::read(&folder.join(name)).ok()) {
            let Value::Object(included) = included else { continue };
            let own = self.file.as_object_mut();
            own.into_iter().for_each(|own| included.iter().for_each(|(key, value)| fill(own, key, value)));
        }
    }

    fn arguments(&mut self, words: &[String]) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let assignment = match word.strip_prefix("--set") {
                Some("") => words.next().map(String::as_str),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            match assignment.and_then(|assignment| assignment.split_once('=')) {
                Some((path, value)) => self.set.push((path.to_owned(), Value::from(value.trim_matches('"')))),
                None => self.arguments.push(word.clone()),
            }
        }
    }

    /// The value of a setting.
    pub fn get(&self, path: &str) -> &Value {
        let set = self.set.iter().rev().find(|(name, _)| name == path);
        set.map_or_else(|| yaml::at(&self.file, path), |(_, value)| value)
    }

    /// Every setting of the file that is no map and no list: its path and value.
    pub fn leaves(&self) -> Vec<(String, &Value)> {
        let mut leaves = Vec::new();
        walk(&self.file, "", &mut leaves);
        leaves
    }

    /// Outputs that are switched on, by name, with their settings; `None`: those of Suricata's default.
    pub fn outputs(&self) -> Option<Vec<(&str, &Value)>> {
        let outputs = self.file["outputs"].as_array()?;
        let named = outputs.iter().filter_map(Value::as_object).flatten();
        Some(
            named
                .filter(|(_, output)| yaml::is_on(&output["enabled"]))
                .map(|(name, output)| (name.as_str(), output))
                .collect(),
        )
    }

    /// Checksums are not looked at.
    pub fn any_checksum(&self) -> bool {
        let none =
            self.arguments.windows(2).any(|pair| matches!(pair, [option, value] if option == "-k" && value == "none"));
        none || *self.get("pcap-file.checksum-checks") == "no"
    }

    /// Packets are judged in line, rather than watched.
    pub fn inline(&self) -> bool {
        self.named_inline
            || self.arguments.iter().any(|argument| argument == "--simulate-ips")
            || yaml::is_on(self.get("stream.inline"))
    }
}

fn fill(own: &mut Map<String, Value>, key: &str, included: &Value) {
    match (own.get_mut(key), included) {
        (None, _) => {
            own.insert(key.to_owned(), included.clone());
        }
        (Some(Value::Object(own)), Value::Object(included)) => {
            included.iter().for_each(|(key, value)| fill(own, key, value));
        }
        _ => {}
    }
}

fn walk<'a>(value: &'a Value, path: &str, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(value, &path, leaves);
            }
        }
        // lists are outputs, rule files and the like: nothing that is asked for by path
        Value::Array(_) | Value::Null => {}
        _ => leaves.push((path.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_stand_over_the_file() {
        let mut settings = Settings {
            file: json!({"stream": {"inline": "no", "midstream": true}, "outputs": [{"eve-log": {"enabled": true}}]}),
            ..Settings::default()
        };
        assert!(!settings.inline());
        let words = ["-k", "none", "--set", "stream.inline=true", "--set=a.b=\"c\"", "--runmode=single"];
        settings.arguments(&words.map(str::to_owned));
        assert!(settings.inline());
        assert_eq!(settings.get("a.b"), "c");
        assert_eq!(settings.arguments, ["-k", "none", "--runmode=single"]);
        let leaves = settings.leaves();
        assert_eq!(leaves, [("stream.inline".to_owned(), &json!("no")), ("stream.midstream".to_owned(), &json!(true))]);
        assert_eq!(settings.outputs().unwrap()[0].0, "eve-log");
    }

    #[test]
    fn what_is_included_fills_up() {
        let mut own = json!({"a": {"b": 1}}).as_object().unwrap().clone();
        fill(&mut own, "a", &json!({"b": 2, "c": 3}));
        fill(&mut own, "d", &json!(4));
        assert_eq!(Value::from(own), json!({"a": {"b": 1, "c": 3}, "d": 4}));
    }
}
