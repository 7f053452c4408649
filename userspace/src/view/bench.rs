//! The real object as a judge.

use std::sync::Arc;

use super::replay::Judge;
use crate::{
    datapath::{Bench, BenchError, Sizes},
    hold::{Allowlist, Announcer},
    inspect::Targets,
    policy::Image,
};
use dropgate_abi::{
    flow::Flow,
    hold::{Held, Settle},
    related::Related,
    walk::Walk,
};

impl Judge for Bench {
    fn judge(&mut self, hook: u8, ifindex: u32, from_ifindex: u32, now_ns: u64, frame: &[u8]) -> anyhow::Result<Walk> {
        Ok(self.run(hook, ifindex, from_ifindex, now_ns, frame)?)
    }

    fn forget(&mut self) -> anyhow::Result<()> {
        Ok(Self::forget(self)?)
    }

    fn replace(&mut self, image: &Image) -> anyhow::Result<()> {
        Ok(self.commit(image, self.generation() + 1)?)
    }

    fn outer(&self) -> Option<Walk> {
        Self::outer(self)
    }

    fn hold(&mut self, walk: &Walk) -> Option<Held> {
        Self::hold(self, walk)
    }

    fn targets(&self) -> Option<Arc<dyn Targets>> {
        Some(Arc::new(Allowlist::new(self.object()).ok()?))
    }

    fn announcer(&self) -> Option<Announcer> {
        Announcer::new(self.object()).ok()
    }

    fn announced(&self, walk: &Walk) -> Option<Related> {
        Some(Self::announced(self).ok()?.of(walk)?.1)
    }

    fn settle(&mut self, request: &Settle) -> anyhow::Result<u32> {
        Ok(Self::settle(self, request)?)
    }

    fn told(&mut self, each: &mut dyn FnMut(&[u8])) {
        Self::told(self, each);
    }

    fn flows(&self) -> Vec<Flow> {
        self.live_flows()
    }
}

/// Loads the programs for a replay or an explanation, attached to nothing.
///
/// # Errors
/// When this process or this kernel cannot.
pub fn open(image: &Image) -> Result<Bench, BenchError> {
    let mut bench = Bench::with_sizes(image, Sizes::for_flows(super::cli::REPLAY_FLOWS))?;
    bench.listen()?;
    Ok(bench)
}
