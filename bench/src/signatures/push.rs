//! The rules are pushed anew while requests go through them: whether any fails, how long a push takes, and what memory it leaves.

use std::{
    thread,
    time::{Duration, Instant},
};

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
    /// Memory of the daemon's own before the first, after one, and after ten more once what was replaced is forgotten, MB; and the
    /// most that was seen.
    pub before_mb: f64,
    pub first_mb: f64,
    pub last_mb: f64,
    pub most_mb: f64,
    /// With what it has mapped of the kernel's tables, before the first, MB.
    pub mapped_mb: f64,
}

/// Until rules that were replaced are forgotten, and their memory is given back.
const FORGOTTEN: Duration = Duration::from_secs(8);

/// Runs them.
pub fn run(options: &inspect::Options) -> Result<Pushes> {
    eprintln!("pushes under load");
    let setting = Setting::new(Contender::RulesAlone, &options.dropgate, true, options.rules.as_ref())?;
    let daemon = setting.daemon.as_ref().context("a daemon")?;
    let memory = || -> Result<[f64; 2]> { Ok(cpu::memory(daemon.process())?.map(|bytes| bytes as f64 / 1e6)) };
    daemon.status(&setting.lab)?;
    let [before_mb, mapped_mb] = memory()?;
    // how long the load has to last
    let start = Instant::now();
    daemon.apply(&setting.lab)?;
    let took = start.elapsed();
    thread::sleep(FORGOTTEN);
    let [first_mb, _] = memory()?;
    let mut most_mb = first_mb;
    let mut seconds = Vec::with_capacity(PUSHES);
    let most = took * 3 * PUSHES as u32 + Duration::from_secs(2);
    let said = thread::scope(|scope| -> Result<_> {
        let load = scope.spawn(|| WITH_RULES[0].run(&setting.lab, most.as_secs() as u32));
        for _ in 0..PUSHES {
            let start = Instant::now();
            daemon.apply(&setting.lab)?;
            seconds.push(start.elapsed().as_secs_f64());
            most_mb = most_mb.max(memory()?[0]);
        }
        load.join().map_err(|_| anyhow::anyhow!("the load has panicked"))?
    })?;
    thread::sleep(FORGOTTEN);
    let [last_mb, _] = memory()?;
    setting.end()?;
    Ok(Pushes {
        push_s: Spread::of(seconds),
        requests: said.requests / said.seconds,
        failed: said.failed,
        before_mb,
        first_mb,
        last_mb,
        most_mb,
        mapped_mb,
    })
}

impl Pushes {
    pub fn targets(&self) -> [Target; 4] {
        [
            Target::at_most("a push under load", self.push_s.median, 10.0, "s"),
            Target::at_most("requests that failed meanwhile", self.failed as f64, 0.0, "requests"),
            Target::at_most("memory of the daemon, tables of the kernel apart", self.before_mb, 500.0, "MB"),
            Target::at_most(
                "memory after ten more pushes / after the first",
                self.last_mb / self.first_mb,
                1.1,
                "times",
            ),
        ]
    }
}
