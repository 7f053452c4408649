//! More packets than can be held, all of which must be: what the inspector moves, and that nothing is lost unseen.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::contender::Setting;
use crate::{
    forward::{self, Sender},
    packet::Own,
    stats::Spread,
};

/// Until the inspector's look at the sockets' own statistics, which it takes twice a second, is one that came after the load.
const SETTLED: Duration = Duration::from_millis(1200);

/// A second of the flood.
#[derive(Clone, Debug, Serialize)]
pub struct Flood {
    /// Million packets a second that came to the gateway, and those that the inspector took and released.
    pub offered: Spread,
    pub released: Spread,
    /// Of those that came, the part that was dropped because as many were held as may be.
    pub by_credits: Spread,
    /// Packets that the kernel dropped at the sockets, and that the inspector could not release: sums.
    pub at_sockets: u64,
    pub lost: u64,
}

/// What was counted in one round.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub offered: f64,
    pub released: f64,
    pub by_credits: f64,
    pub at_sockets: u64,
    pub lost: u64,
}

impl Flood {
    pub fn of(rounds: &[Counted]) -> Self {
        let spread = |figure: fn(&Counted) -> f64| Spread::of(rounds.iter().map(figure).collect());
        Self {
            offered: spread(|counted| counted.offered),
            released: spread(|counted| counted.released),
            by_credits: spread(|counted| counted.by_credits),
            at_sockets: rounds.iter().map(|counted| counted.at_sockets).sum(),
            lost: rounds.iter().map(|counted| counted.lost).sum(),
        }
    }
}

/// A sink in the place of the servers.
pub fn prepare(setting: &Setting) -> Result<Own> {
    let mut own = Own::small()?;
    forward::sink(&setting.lab, &mut own)?;
    Ok(own)
}

/// One round.
pub fn run(setting: &Setting, seconds: u32) -> Result<Counted> {
    let Some(daemon) = &setting.daemon else { anyhow::bail!("the flood of held packets needs a daemon") };
    let before = daemon.status(&setting.lab)?;
    let sender = Sender::start(&setting.lab, &forward::folder().join("held.cfg"))?;
    thread::sleep(Duration::from_secs(seconds.into()));
    drop(sender);
    thread::sleep(SETTLED);
    let after = daemon.status(&setting.lab)?;
    let more = |name: &str| count(&after, name) - count(&before, name);
    let (held, denied) = (more("/inspection/held/packets"), more("/counters/reasons/hold_credits/packets"));
    ensure!(held > 0, "not one packet was held: {after}");
    Ok(Counted {
        offered: (held + denied) as f64 / f64::from(seconds) / 1e6,
        released: more("/inspection/released") as f64 / f64::from(seconds) / 1e6,
        by_credits: denied as f64 / (held + denied) as f64,
        at_sockets: more("/inspection/sockets_dropped"),
        lost: more("/inspection/lost"),
    })
}

/// A counter of the status; what was never counted is not in it.
fn count(status: &Value, path: &str) -> u64 {
    status.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}
