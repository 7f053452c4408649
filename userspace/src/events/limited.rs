//! Rules that hit their limits of work: counted, and told of now and then.

use std::collections::HashMap;

use dropgate_signatures::rule::Rule;

/// A rule is told of once in this time, ns.
const PERIOD_NS: u64 = 60_000_000_000;
/// Rules that are counted, at most: more than policies have.
const MOST: usize = 1 << 18;

/// Rules that have hit their limits, by `gid` and `sid`.
#[derive(Clone, Debug, Default)]
pub struct LimitedRules(HashMap<(u32, u32), Times>);

/// How often a rule has hit them.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    all: u64,
    /// When it was told of last, and how often it had then.
    told: Option<(u64, u64)>,
}

impl LimitedRules {
    /// A rule has hit its limits: how often it has since it was told of last, if it is to be told of now.
    pub fn note(&mut self, rule: &Rule, now_ns: u64) -> Option<u64> {
        if self.0.len() >= MOST && !self.0.contains_key(&(rule.gid, rule.sid)) {
            return None;
        }
        let times = self.0.entry((rule.gid, rule.sid)).or_default();
        times.all += 1;
        let (at, before) = times.told.unwrap_or((0, 0));
        if times.told.is_some() && now_ns.saturating_sub(at) < PERIOD_NS {
            return None;
        }
        times.told = Some((now_ns, times.all));
        Some(times.all - before)
    }

    /// Those that did most often: `gid` and `sid`, and how often.
    pub fn worst(&self, most: usize) -> Vec<((u32, u32), u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(rule, times)| (*rule, times.all)).collect();
        all.sort_unstable_by_key(|(rule, times)| (std::cmp::Reverse(*times), *rule));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::rules;

    #[test]
    fn a_rule_is_told_of_once_a_minute() {
        let rules = rules("alert ip any any -> any any (sid:1;)\nalert ip any any -> any any (sid:2;)\n");
        let mut limited = LimitedRules::default();
        assert_eq!(limited.note(&rules[0], 5), Some(1));
        assert_eq!(limited.note(&rules[0], 5), None);
        assert_eq!(limited.note(&rules[1], 6), Some(1));
        assert_eq!(limited.note(&rules[0], PERIOD_NS + 4), None);
        assert_eq!(limited.note(&rules[0], PERIOD_NS + 5), Some(3));
        assert_eq!(limited.worst(1), [((1, 1), 4)]);
        assert_eq!(limited.worst(9).len(), 2);
    }
}
