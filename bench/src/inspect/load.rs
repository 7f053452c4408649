//! What is sent through the gateway: HTTP, by wrk in zone `office` to nginx on the outside.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dropgate_lab::{Gateway, address::SERVER, run};
use serde::Deserialize;

use crate::{cpu, forward::folder};

/// What wrk may take beyond the time it was told.
const GRACE: Duration = Duration::from_secs(15);

/// One load.
#[derive(Debug)]
pub struct Load {
    pub name: &'static str,
    pub unit: &'static str,
    /// What the figure is, of what wrk says.
    pub figure: fn(&Said) -> f64,
    /// What CPU time is counted by: requests or, where one has no end, MB.
    pub done: fn(&Said) -> f64,
    connections: &'static str,
    page: &'static str,
    tls: bool,
    /// Every request has a connection of its own.
    close: bool,
    /// Between two requests of a connection, on average.
    pause_ms: Option<&'static str>,
}

const KEEP_ALIVE: Load = Load {
    name: "keep-alive",
    unit: "requests/s",
    figure: |said| said.requests / said.seconds,
    done: requests,
    connections: "16",
    page: "",
    tls: false,
    close: false,
    pause_ms: None,
};

const NEW_CONNECTIONS: Load = Load { name: "new connections", unit: "connections/s", close: true, ..KEEP_ALIVE };

const BULK: Load = Load {
    name: "one bulk flow",
    unit: "MB/s",
    figure: |said| said.bytes / said.seconds / 1e6,
    done: megabytes,
    connections: "1",
    page: "big",
    ..KEEP_ALIVE
};

const LATENCY: Load = Load {
    name: "latency, keep-alive",
    unit: "us at the 99th percentile",
    figure: |said| said.p99_us,
    connections: "8",
    pause_ms: Some("4"),
    ..KEEP_ALIVE
};

/// In the order they run.
pub const LOADS: [Load; 5] = [
    KEEP_ALIVE,
    NEW_CONNECTIONS,
    BULK,
    LATENCY,
    Load { name: "latency, new connections", close: true, pause_ms: Some("8"), ..LATENCY },
];

/// Those of a gateway with rules.
pub const WITH_RULES: [Load; 4] =
    [KEEP_ALIVE, NEW_CONNECTIONS, Load { name: "one bulk flow of TLS", tls: true, ..BULK }, BULK];

fn requests(said: &Said) -> f64 {
    said.requests
}

fn megabytes(said: &Said) -> f64 {
    said.bytes / 1e6
}

/// The last line of `wrk.lua`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Said {
    pub seconds: f64,
    pub requests: f64,
    pub bytes: f64,
    /// Requests without an answer, or with another one than was asked for.
    pub failed: u64,
    pub median_us: f64,
    pub p99_us: f64,
    /// CPU time of client, gateway and server meanwhile, us.
    #[serde(skip)]
    pub cpu_us: f64,
}

impl Load {
    /// Runs it for whole seconds.
    pub fn run(&self, lab: &Gateway, seconds: u32) -> Result<Said> {
        let mut wrk = lab.office.command("wrk");
        wrk.args(["-t", "1", "-c", self.connections, "-d", &format!("{seconds}s"), "-s"]).arg(folder().join("wrk.lua"));
        if self.close {
            wrk.args(["-H", "Connection: close"]);
        }
        if let Some(pause) = self.pause_ms {
            wrk.env("PAUSE_MS", pause);
        }
        let scheme = if self.tls { "https" } else { "http" };
        wrk.arg(format!("{scheme}://{SERVER}/{}", self.page));
        let before = cpu::within(&lab.all())?;
        let finished = run(&mut wrk, Duration::from_secs(seconds.into()) + GRACE).context("wrk")?;
        ensure!(finished.success(), "`wrk` failed: {}{}", finished.stdout, finished.stderr);
        let last = finished.stdout.lines().last().unwrap_or_default();
        let said: Said = serde_json::from_str(last).with_context(|| format!("what `wrk` said last: `{last}`"))?;
        Ok(Said { cpu_us: cpu::within(&lab.all())?.saturating_sub(before) as f64 / 1e3, ..said })
    }
}
