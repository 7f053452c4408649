//! The daemon's event file, read as it grows.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

/// How long an event may take from the packet to the file.
const LIMIT: Duration = Duration::from_secs(3);

/// What to look for in a drop event. An event without ports matches any port.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Source address.
    pub from: String,
    /// Destination address.
    pub to: String,
    /// Destination port.
    pub port: Option<u16>,
}

impl Wanted {
    fn holds(&self, event: &Value) -> bool {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let port = event["dest_port"].as_u64();
        text("event_type") == "drop"
            && same_address(text("src_ip"), &self.from)
            && same_address(text("dest_ip"), &self.to)
            && (port.is_none() || self.port.is_none() || port == self.port.map(u64::from))
    }
}

/// IPv6 has many spellings; Suricata writes all eight groups.
fn same_address(one: &str, other: &str) -> bool {
    match (one.parse::<std::net::IpAddr>(), other.parse::<std::net::IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// A place in the file: events after it are those of the try at hand.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    offset: u64,
}

impl Events {
    /// From the start of the file, which may not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0 }
    }

    /// Skips what is there already.
    pub fn mark(&mut self) {
        self.offset = self.path.metadata().map_or(self.offset, |meta| meta.len());
    }

    /// Waits for a drop event since the mark; nothing if none comes in time. An event with the reason that is hoped for is
    /// preferred over others, because one try may make several.
    pub fn drop_since_mark(&self, wanted: &Wanted, reason: &str) -> Result<Option<Value>> {
        let hoped = self.wait(|event| wanted.holds(event) && event["dropgate"]["reason"] == reason)?;
        Ok(hoped.or(self.drops(wanted)?.pop()))
    }

    /// Waits for an alert of a rule since the mark; nothing if none comes in time.
    pub fn alert_since_mark(&self, sid: u32) -> Result<Option<Value>> {
        self.wait(|event| event["alert"]["signature_id"] == sid)
    }

    /// Drop events since the mark, as far as they are written.
    pub fn drops(&self, wanted: &Wanted) -> Result<Vec<Value>> {
        self.since_mark(|event| wanted.holds(event))
    }

    /// Waits for an event since the mark of which this holds.
    fn wait(&self, holds: impl Fn(&Value) -> bool) -> Result<Option<Value>> {
        let start = Instant::now();
        loop {
            let found = self.since_mark(&holds)?;
            if !found.is_empty() || start.elapsed() > LIMIT {
                return Ok(found.into_iter().next());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn since_mark(&self, holds: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(self.offset))
                .and_then(|_| file.read_to_string(&mut text))
                .with_context(|| format!("cannot read `{}`", self.path.display()))?;
        }
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON in the event file: {line}")))
            .filter(|event| event.as_ref().map_or(true, &holds))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_match_by_address_and_port() {
        let wanted = Wanted { from: "fd00::5".into(), to: "10.0.0.1".into(), port: Some(80) };
        let event = |port: Value| json!({"event_type": "drop", "src_ip": "fd00:0:0:0:0:0:0:5", "dest_ip": "10.0.0.1", "dest_port": port});
        assert!(wanted.holds(&event(json!(80))));
        assert!(wanted.holds(&event(Value::Null)));
        assert!(!wanted.holds(&event(json!(81))));
        assert!(!wanted.holds(&json!({"event_type": "flow"})));
    }
}
