//! `threshold.config`: limits and suppressions that stand beside the rules.

use std::{collections::BTreeMap, ops::Range};

use super::{address::addresses, keyword::Pairs, mistake::Mistake, variables::Variables};
use crate::{
    codes,
    diagnostic::quoted,
    rule::{Addresses, Rule, Suppress, Threshold, Track},
    text::statements,
};

/// What lines of a `threshold.config` say.
#[derive(Debug, Default)]
pub(super) struct Thresholds(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// 0: all.
    gid: u32,
    sid: u32,
    what: What,
    /// Where it stands in the file.
    at: Range<usize>,
}

#[derive(Debug)]
enum What {
    Limit(Threshold),
    Suppress(Vec<Suppress>),
}

/// A mistake and where in the file.
pub(super) type Misplaced = (Mistake, Range<usize>);

impl Thresholds {
    /// Reads a file.
    pub fn parse(bytes: &[u8], variables: &Variables) -> (Self, Vec<Misplaced>) {
        let mut all = Self::default();
        let mut wrong = Vec::new();
        for line in statements(bytes) {
            let at = line.locate(0..line.text.len());
            match entry(&String::from_utf8_lossy(&line.text), &variables.addresses) {
                Ok((gid, sid, what)) => all.0.push(Entry { gid, sid, what, at }),
                Err(mut mistake) => {
                    if mistake.code.id == codes::VALUE.id || mistake.code.id == codes::CONFLICT.id {
                        mistake.code = &codes::CONFIGURATION;
                    }
                    wrong.push((mistake, at));
                }
            }
        }
        (all, wrong)
    }

    /// Adds them to the rules; those that no rule has are said.
    pub fn apply(&self, rules: &mut [Rule]) -> Vec<Misplaced> {
        let mut unused = Vec::new();
        let by_sid: BTreeMap<u32, usize> = rules.iter().enumerate().map(|(at, rule)| (rule.sid, at)).collect();
        for entry in &self.0 {
            let about =
                |rule: &Rule| (entry.gid == 0 || entry.gid == rule.gid) && (entry.sid == 0 || entry.sid == rule.sid);
            let mut met = false;
            let range = match (entry.sid, by_sid.get(&entry.sid)) {
                (0, _) => 0..rules.len(),
                (_, Some(at)) => *at..at + 1,
                (_, None) => 0..0,
            };
            for rule in rules[range].iter_mut().filter(|rule| about(rule)) {
                met = true;
                match &entry.what {
                    What::Suppress(all) => rule.suppress.extend_from_slice(all),
                    // what a rule says itself counts more
                    What::Limit(_) if rule.threshold.is_some() || rule.detection.is_some() => {}
                    What::Limit(threshold) => rule.threshold = Some(*threshold),
                }
            }
            if !met && entry.sid != 0 {
                let message = format!("there is no rule {}:{}", entry.gid, entry.sid);
                unused.push((Mistake::new(&codes::UNUSED_THRESHOLD, message), entry.at.clone()));
            }
        }
        unused
    }
}

fn entry(text: &str, variables: &BTreeMap<String, String>) -> Result<(u32, u32, What), Mistake> {
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if kind == "rate_filter" {
        return Err(Mistake::new(&codes::RATE_FILTER, "`rate_filter` is not supported: actions do not change by rate"));
    }
    if !matches!(kind, "suppress" | "threshold" | "event_filter") {
        return Err(Mistake::word(kind, "`suppress`, `threshold` or `event_filter`"));
    }
    let (mut gid, mut sid, mut address) = (None, None, None);
    let (mut either, mut pairs) = (false, Pairs::default());
    let number = |text: &str| text.parse::<u32>().map_err(|_| Mistake::word(text, "a number"));
    // a list of addresses stands last: it has commas of its own
    let (before, list) = match rest.find("ip ").filter(|at| rest[..*at].ends_with([',', ' '])) {
        Some(at) if kind == "suppress" => (&rest[..at], Some(rest[at + 3..].trim())),
        _ => (rest, None),
    };
    for part in before.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        match (name, value.trim()) {
            ("gen_id", value) => gid = Some(number(value)?),
            ("sig_id", value) => sid = Some(number(value)?),
            ("track", "by_either") => either = true,
            _ if pairs.read(part)? => {}
            _ => return Err(Mistake::word(part, "`gen_id`, `sig_id`, `track` and what belongs to them")),
        }
    }
    if let Some(list) = list {
        address = Some(
            addresses(list, variables)
                .map_err(|error| Mistake::new(&codes::ADDRESS, format!("{}: {error}", quoted(list))))?,
        );
    }
    let (Some(gid), Some(sid)) = (gid, sid) else {
        return Err(Mistake::word(text, "`gen_id` and `sig_id`"));
    };
    if gid == 0 && sid != 0 {
        return Err(Mistake::value("`gen_id 0` is all rules: `sig_id` is 0 as well"));
    }
    if kind != "suppress" {
        return Ok((gid, sid, What::Limit(pairs.threshold()?)));
    }
    let suppress = |track| Suppress { track, addresses: address.clone().unwrap_or_default() };
    let all = match (either, pairs.track, &address) {
        (true, _, Some(_)) => vec![suppress(Some(Track::Source)), suppress(Some(Track::Destination))],
        (false, Some(track @ (Track::Source | Track::Destination)), Some(_)) => vec![suppress(Some(track))],
        (false, None, None) => vec![Suppress { track: None, addresses: Addresses::default() }],
        _ => return Err(Mistake::word(text, "`track by_src`, `by_dst` or `by_either` together with `ip`")),
    };
    Ok((gid, sid, What::Suppress(all)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::ThresholdKind;

    fn parsed(text: &str) -> (Vec<String>, Vec<&'static str>) {
        let (all, wrong) = Thresholds::parse(text.as_bytes(), &Variables::default());
        let shown = |entry: &Entry| match &entry.what {
            What::Limit(limit) => format!("{}:{} {:?}", entry.gid, entry.sid, limit.kind),
            What::Suppress(all) => {
                let tracks: Vec<String> = all
                    .iter()
                    .map(|one| {
                        format!("{:?} {}-{}", one.track, one.addresses.any_of.len(), one.addresses.none_of.len())
                    })
                    .collect();
                format!("{}:{} {}", entry.gid, entry.sid, tracks.join(", "))
            }
        };
        (all.0.iter().map(shown).collect(), wrong.iter().map(|(mistake, _)| mistake.code.id).collect())
    }

    #[test]
    fn lines_are_read() {
        let text = "# comment\nsuppress gen_id 1, sig_id 5\nsuppress gen_id 1, sig_id 5, track by_either, ip [10.0.0.0/8,!10.1.0.0/16]\n\
                    threshold gen_id 1, sig_id 6, \\\n type limit, track by_src, count 1, seconds 60\n\
                    event_filter gen_id 0, sig_id 0, type both, track by_rule, count 2, seconds 5\n\
                    suppress gen_id 1, sig_id 7, track by_dst, ip $EXTERNAL_NET\n";
        let (all, wrong) = parsed(text);
        assert_eq!(wrong, [] as [&str; 0]);
        assert_eq!(
            all,
            [
                "1:5 None 0-0",
                "1:5 Some(Source) 1-1, Some(Destination) 1-1",
                "1:6 Limit",
                "0:0 Both",
                "1:7 Some(Destination) 0-3",
            ]
        );
    }

    #[test]
    fn what_has_no_meaning_is_said() {
        for (text, code) in [
            ("rate_filter gen_id 1, sig_id 2", "DG257"),
            ("supress gen_id 1, sig_id 2", "DG230"),
            ("suppress gen_id 1", "DG230"),
            ("suppress gen_id 0, sig_id 3", "DG230"),
            ("suppress gen_id 1, sig_id 2, track by_src", "DG230"),
            ("suppress gen_id 1, sig_id 2, track by_src, ip 10.0.0.300", "DG204"),
            ("threshold gen_id 1, sig_id 2, type limit, track by_src, count 1", "DG230"),
        ] {
            assert_eq!(parsed(text).1, [code], "{text}");
        }
    }

    #[test]
    fn a_rule_s_own_threshold_counts_more() {
        let text = b"threshold gen_id 1, sig_id 0, type limit, track by_src, count 1, seconds 60\n\
                     suppress gen_id 1, sig_id 99\n";
        let rules = b"alert ip any any -> any any (sid:1;)\n\
                      alert ip any any -> any any (threshold:type both, track by_dst, count 2, seconds 3; sid:2;)";
        let mut loaded = crate::load::tests::loaded(rules);
        let unused = Thresholds::parse(text, &Variables::default()).0.apply(&mut loaded.rules);
        let kinds: Vec<_> = loaded.rules.iter().map(|rule| rule.threshold.unwrap().kind).collect();
        assert_eq!(kinds, [ThresholdKind::Limit, ThresholdKind::Both]);
        assert_eq!(unused.len(), 1);
    }
}
