//! How often Dropgate and nDPI say the same of a flow, by protocol.

use std::{collections::BTreeMap, fmt};

/// A share, by protocol.
#[derive(Default)]
pub struct Shares(BTreeMap<&'static str, Share>);

#[derive(Clone, Copy, Default)]
struct Share {
    all: u32,
    good: u32,
    /// Of those that are not good: nothing was said.
    silent: u32,
}

impl Shares {
    /// Counts a flow.
    pub fn add(&mut self, protocol: &'static str, good: bool, silent: bool) {
        let share = self.0.entry(protocol).or_default();
        share.all += 1;
        share.good += u32::from(good);
        share.silent += u32::from(!good && silent);
    }

    /// The mean over protocols, each of which counts as one; 1 where there is none.
    pub fn mean(&self) -> f64 {
        if self.0.is_empty() {
            return 1.0;
        }
        self.0.values().map(|share| f64::from(share.good) / f64::from(share.all)).sum::<f64>() / self.0.len() as f64
    }

    /// Good ones of all, whatever the protocol.
    pub fn total(&self) -> (u32, u32) {
        self.0.values().fold((0, 0), |(good, all), share| (good + share.good, all + share.all))
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:12} {:>7} {:>7} {:>7} {:>7} {:>8}", "protocol", "flows", "yes", "other", "silent", "share")?;
        for (protocol, Share { all, good, silent }) in &self.0 {
            let share = 100.0 * f64::from(*good) / f64::from(*all);
            writeln!(f, "{protocol:12} {all:7} {good:7} {:7} {silent:7} {share:7.1}%", all - good - silent)?;
        }
        writeln!(f, "{:44} {:7.2}%", format!("mean over {} protocols", self.0.len()), 100.0 * self.mean())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_counts_as_one() {
        let mut shares = Shares::default();
        assert!((shares.mean() - 1.0).abs() < 1e-9);
        for _ in 0..9 {
            shares.add("tls", true, false);
        }
        shares.add("ssh", false, true);
        assert!((shares.mean() - 0.5).abs() < 1e-9);
        assert_eq!(shares.total(), (9, 10));
    }
}
