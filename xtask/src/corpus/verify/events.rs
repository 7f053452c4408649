//! Which events a test wants to be told: Suricata's outputs are set by name, Dropgate tells everything.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    settings::Settings,
    yaml::{is_off, is_on, text},
};

/// Event types of Suricata's default settings.
const DEFAULT: &[&str] = &[
    "alert",
    "anomaly",
    "http",
    "dns",
    "mdns",
    "tls",
    "files",
    "smtp",
    "websocket",
    "ftp",
    "rdp",
    "nfs",
    "smb",
    "tftp",
    "ike",
    "dcerpc",
    "krb5",
    "bittorrent-dht",
    "snmp",
    "rfb",
    "sip",
    "quic",
    "ldap",
    "pop3",
    "dhcp",
    "ssh",
    "mqtt",
    "http2",
    "doh2",
    "stats",
    "flow",
];

/// The events that a test's outputs ask for.
pub struct Wanted {
    types: HashSet<String>,
    /// `decode`, `stream`, `applayer`.
    anomalies: HashSet<&'static str>,
    /// Every dropped packet, rather than the first of each direction of a flow.
    all_drops: bool,
    /// Events of HTTP have only what is told of it where more is not asked for.
    short_http: bool,
}

/// What `extended` adds to events of HTTP/1.
const EXTENDED: &[&str] = &["http_refer", "http_method", "protocol", "status", "status_string", "redirect", "length"];

impl Wanted {
    /// Those of a test's settings.
    pub fn of(settings: &Settings) -> Self {
        let mut wanted =
            Self { types: HashSet::new(), anomalies: HashSet::from(["applayer"]), all_drops: false, short_http: false };
        let Some(outputs) = settings.outputs() else {
            wanted.types = DEFAULT.iter().map(|name| (*name).to_owned()).collect();
            return wanted;
        };
        let logs = outputs.iter().filter(|(name, _)| *name == "eve-log");
        for kind in logs.flat_map(|(_, log)| log["types"].as_array().into_iter().flatten()) {
            let named = kind.as_object().into_iter().flatten().map(|(name, options)| (name.clone(), options));
            for (name, options) in kind.as_str().map(|name| (name.to_owned(), &Value::Null)).into_iter().chain(named) {
                if !is_off(&options["enabled"]) {
                    wanted.add(name, options);
                }
            }
        }
        wanted
    }

    fn add(&mut self, name: String, options: &Value) {
        match name.as_str() {
            "anomaly" => {
                for kind in ["decode", "stream", "applayer"] {
                    if is_on(&options["types"][kind]) {
                        self.anomalies.insert(kind);
                    } else if is_off(&options["types"][kind]) {
                        self.anomalies.remove(kind);
                    }
                }
            }
            "drop" => self.all_drops = text(&options["flows"]) == "all",
            "http" => self.short_http = !is_on(&options["extended"]),
            _ => {}
        }
        self.types.insert(name);
    }

    /// Those of all events.
    pub fn select(&self, events: Vec<Value>) -> Vec<Value> {
        let mut dropped = HashSet::new();
        let wanted = events.into_iter().filter(|event| self.is_wanted(event, &mut dropped));
        wanted.map(|event| if self.short_http { shortened(event) } else { event }).collect()
    }

    fn is_wanted(&self, event: &Value, dropped: &mut HashSet<String>) -> bool {
        let kind = event["event_type"].as_str().unwrap_or_default();
        let name = match kind {
            "fileinfo" => "files",
            "ftp_data" => "ftp",
            "bittorrent_dht" => "bittorrent-dht",
            kind => kind,
        };
        // events of both versions of HTTP are of one type
        let http2 = kind == "http" && !event["http"]["http2"].is_null() && self.types.contains("http2");
        self.types.contains(name) && self.is_wanted_kind(kind, event, dropped) || http2
    }

    fn is_wanted_kind(&self, kind: &str, event: &Value, dropped: &mut HashSet<String>) -> bool {
        match kind {
            "anomaly" => event["anomaly"]["type"].as_str().is_some_and(|kind| self.anomalies.contains(kind)),
            "drop" if !self.all_drops && !event["flow_id"].is_null() => {
                dropped.insert(format!("{} {}", event["flow_id"], event["src_ip"]))
            }
            _ => true,
        }
    }
}

fn shortened(mut event: Value) -> Value {
    if event["event_type"] == "http"
        && let Some(http) = event["http"].as_object_mut().filter(|http| !http.contains_key("http2"))
    {
        http.retain(|key, _| !EXTENDED.contains(&key.as_str()));
    }
    event
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selected(file: Value) -> Vec<String> {
        let settings = Settings { file, ..Settings::default() };
        let drop = json!({"event_type": "drop", "flow_id": 1, "src_ip": "a", "n": 1});
        let events = vec![
            json!({"event_type": "alert"}),
            json!({"event_type": "fileinfo"}),
            json!({"event_type": "anomaly", "anomaly": {"type": "decode"}}),
            json!({"event_type": "anomaly", "anomaly": {"type": "applayer"}}),
            drop.clone(),
            drop,
            json!({"event_type": "drop", "flow_id": 1, "src_ip": "b"}),
        ];
        let name = |event: &Value| format!("{}{}", text(&event["event_type"]), text(&event["anomaly"]["type"]));
        Wanted::of(&settings).select(events).iter().map(name).collect()
    }

    #[test]
    fn outputs_say_which() {
        assert_eq!(selected(Value::Null), ["alert", "fileinfo", "anomalyapplayer"]);
        let types =
            json!(["files", {"anomaly": {"types": {"decode": "yes", "applayer": "no"}}}, {"alert": {"enabled": "no"}}]);
        let file = json!({"outputs": [{"eve-log": {"enabled": true, "types": types}}]});
        assert_eq!(selected(file), ["fileinfo", "anomalydecode"]);
        let drops =
            |flows: &str| json!({"outputs": [{"eve-log": {"enabled": true, "types": [{"drop": {"flows": flows}}]}}]});
        assert_eq!(selected(drops("start")), ["drop", "drop"]);
        assert_eq!(selected(drops("all")), ["drop", "drop", "drop"]);
    }

    #[test]
    fn http_in_short() {
        let events = |types: Value| {
            let file = json!({"outputs": [{"eve-log": {"enabled": true, "types": types}}]});
            let event = json!({"event_type": "http", "http": {"url": "/", "status": 200}});
            Wanted::of(&Settings { file, ..Settings::default() }).select(vec![event]).remove(0)["http"].clone()
        };
        assert_eq!(events(json!(["http"])), json!({"url": "/"}));
        assert_eq!(events(json!([{"http": {"extended": "yes"}}])), json!({"url": "/", "status": 200}));
    }
}
