//! The daemon's event file, read as it grows.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use dropgate_lab::wait_until;
use serde_json::Value;

/// How long an event may take from the packet to the file.
const LIMIT: Duration = Duration::from_secs(5);

pub struct Events {
    path: PathBuf,
}

impl Events {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The end of what is written: events after it are those of what is tried next.
    pub fn mark(&self) -> u64 {
        self.path.metadata().map_or(0, |meta| meta.len())
    }

    /// Whole events since a mark.
    pub fn since(&self, mark: u64) -> Vec<Value> {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(mark)).unwrap();
            file.read_to_string(&mut text).unwrap();
        }
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// Waits for a drop event since the mark with these addresses and reason.
    ///
    /// # Panics
    /// None came.
    pub fn dropped(&self, mark: u64, from: &str, to: &str, reason: &str) -> Value {
        self.dropped_where(mark, from, to, reason, |_| true)
    }

    /// The same, for an event for which `wanted` holds besides.
    pub fn dropped_where(
        &self,
        mark: u64,
        from: &str,
        to: &str,
        reason: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let holds = |event: &Value| is_drop(event, from, to) && event["dropgate"]["reason"] == reason && wanted(event);
        let mut found = None;
        let waited = wait_until("a drop event", LIMIT, || {
            found = self.since(mark).into_iter().find(holds);
            Ok(found.is_some())
        });
        let others = || self.since(mark).iter().map(|event| format!("\n{event}")).collect::<String>();
        waited.unwrap_or_else(|_| panic!("{from} to {to}: no such drop event for `{reason}` but{}", others()));
        found.unwrap()
    }

    /// Waits for an alert since the mark for this reason.
    ///
    /// # Panics
    /// None came.
    pub fn alert(&self, mark: u64, reason: &str) -> Value {
        let mut found = None;
        let waited = wait_until("an alert", LIMIT, || {
            let is_alert = |event: &Value| event["event_type"] == "alert" && event["dropgate"]["reason"] == reason;
            found = self.since(mark).into_iter().find(is_alert);
            Ok(found.is_some())
        });
        waited.unwrap_or_else(|_| panic!("no alert for `{reason}`"));
        found.unwrap()
    }

    /// Drop events since the mark with these addresses.
    pub fn drops(&self, mark: u64, from: &str, to: &str) -> Vec<Value> {
        self.since(mark).into_iter().filter(|event| is_drop(event, from, to)).collect()
    }
}

fn is_drop(event: &Value, from: &str, to: &str) -> bool {
    event["event_type"] == "drop" && same(&event["src_ip"], from) && same(&event["dest_ip"], to)
}

/// IPv6 has many spellings.
fn same(field: &Value, address: &str) -> bool {
    let said = field.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    said.is_some() && said == address.parse().ok()
}
