//! The rules are pushed anew while requests go through them: whether any fails, how long a push takes, and what memory it leaves.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    cpu,
    inspect::{self, Contender, Setting, WITH_RULES},
    stats::{Spread, Target},
};

/// Pushes, one behind the other.
const PUSHES: usize = 10;

/// Ten pushes under load.
#[derive(Clone, Debug, Serialize)]
pub struct Pushes {
    /// A push, from the command to its answer, s.
    pub push_s: Spread,
    /// Requests a second meanwhile, and those without the answer that was asked for.
    pub requests: f64,
    pub failed: u64,
    /// Memory of the daemon before the first, after the first, after the last, and the most there ever was, MB.
    pub before_mb: f64,
    pub first_mb: f64,
    pub last_mb: f64,
    pub most_mb: f64,
}

/// Runs them.
pub fn run(options: &inspect::Options) -> Result<Pushes> {
    eprintln!("pushes under load");
    let setting = Setting::new(Contender::RulesAlone, &options.dropgate, true, options.rules.as_ref())?;
    let daemon = setting.daemon.as_ref().context("a daemon")?;
    let memory = || -> Result<[f64; 2]> { Ok(cpu::memory(daemon.process())?.map(|bytes| bytes as f64 / 1e6)) };
    let [before_mb, _] = memory()?;
    // how long the load has to last
    let start = Instant::now();
    daemon.apply(&setting.lab)?;
    let [first_mb, _] = memory()?;
    let mut seconds = Vec::with_capacity(PUSHES);
    let most = start.elapsed() * 3 * PUSHES as u32 + Duration::from_secs(2);
    let said = std::thread::scope(|scope| -> Result<_> {
        let load = scope.spawn(|| WITH_RULES[0].run(&setting.lab, most.as_secs() as u32));
        for _ in 0..PUSHES {
            let start = Instant::now();
            daemon.apply(&setting.lab)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        load.join().map_err(|_| anyhow::anyhow!("the load has panicked"))?
    })?;
    let [last_mb, most_mb] = memory()?;
    setting.end()?;
    Ok(Pushes {
        push_s: Spread::of(seconds),
        requests: said.requests / said.seconds,
        failed: said.failed,
        before_mb,
        first_mb,
        last_mb,
        most_mb,
    })
}

impl Pushes {
    pub fn targets(&self) -> [Target; 4] {
        [
            Target::at_most("a push under load", self.push_s.median, 10.0, "s"),
            Target::at_most("requests that failed meanwhile", self.failed as f64, 0.0, "requests"),
            Target::at_most("memory of the daemon", self.before_mb, 500.0, "MB"),
            Target::at_most(
                "memory after ten more pushes / after the first",
                self.last_mb / self.first_mb,
                1.1,
                "times",
            ),
        ]
    }
}
