//! `threshold`, `detection_filter`, `tag`: how often a rule speaks.

use super::{Draft, Form, Keyword, Takes, Value, keyword};
use crate::{
    codes,
    load::mistake::{Done, Mistake},
    rule::{Detection, Effect, Threshold, ThresholdKind, Track},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("threshold", Takes::Value, Form::Plain, threshold),
    keyword("detection_filter", Takes::Value, Form::Plain, detection_filter),
    keyword("tag", Takes::Value, Form::Plain, tag),
];

/// `name value` pairs of a threshold, in any order.
#[derive(Default)]
pub(crate) struct Pairs<'v> {
    pub kind: Option<&'v str>,
    pub track: Option<Track>,
    pub count: Option<u32>,
    pub seconds: Option<u32>,
    pub multiplier: Option<u32>,
}

impl<'v> Pairs<'v> {
    /// Reads `name value`, unless it is of another kind.
    pub fn read(&mut self, part: &'v str) -> Result<bool, Mistake> {
        let (name, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let rest = rest.trim();
        let number = || rest.parse::<u32>().map_err(|_| Mistake::word(rest, "a number"));
        let twice = || Mistake::new(&codes::CONFLICT, format!("`{name}` is given twice"));
        match name {
            "type" if self.kind.replace(rest).is_some() => return Err(twice()),
            "track" if self.track.replace(track(rest)?).is_some() => return Err(twice()),
            "count" if self.count.replace(number()?).is_some() => return Err(twice()),
            "seconds" if self.seconds.replace(number()?).is_some() => return Err(twice()),
            "multiplier" if self.multiplier.replace(number()?).is_some() => return Err(twice()),
            "type" | "track" | "count" | "seconds" | "multiplier" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The threshold that they make.
    pub fn threshold(&self) -> Result<Threshold, Mistake> {
        let missing = |what: &str| Mistake::value(format!("`{what}` is missing"));
        let kind = match self.kind.ok_or_else(|| missing("type"))? {
            "limit" => ThresholdKind::Limit,
            "threshold" => ThresholdKind::Threshold,
            "both" => ThresholdKind::Both,
            "backoff" => {
                let multiplier = self.multiplier.filter(|multiplier| *multiplier > 0);
                ThresholdKind::Backoff { multiplier: multiplier.ok_or_else(|| missing("multiplier"))? }
            }
            other => return Err(Mistake::word(other, "`limit`, `threshold`, `both` or `backoff`")),
        };
        let track = self.track.ok_or_else(|| missing("track"))?;
        let count = self.count.ok_or_else(|| missing("count"))?;
        if count == 0 {
            return Err(Mistake::value("`count` is 0"));
        }
        let seconds = match kind {
            ThresholdKind::Backoff { .. } if track != Track::Flow => {
                return Err(Mistake::value("`backoff` counts in flows: `track by_flow`"));
            }
            ThresholdKind::Backoff { .. } => 0,
            _ => self.seconds.filter(|seconds| *seconds > 0).ok_or_else(|| missing("seconds"))?,
        };
        Ok(Threshold { kind, track, count, seconds })
    }
}

fn track(word: &str) -> Result<Track, Mistake> {
    Ok(match word {
        "by_src" => Track::Source,
        "by_dst" => Track::Destination,
        "by_both" => Track::Both,
        "by_rule" => Track::Rule,
        "by_flow" => Track::Flow,
        other => return Err(Mistake::word(other, "`by_src`, `by_dst`, `by_both`, `by_rule` or `by_flow`")),
    })
}

fn pairs<'v>(value: &'v Value<'_>) -> Result<Pairs<'v>, Mistake> {
    let mut pairs = Pairs::default();
    for part in value.parts() {
        if part.starts_with("unique_on") {
            return Err(Mistake::unsupported("`unique_on` is not supported"));
        }
        if !pairs.read(part)? {
            return Err(Mistake::word(part, "`type`, `track`, `count` or `seconds`"));
        }
    }
    Ok(pairs)
}

fn both() -> Mistake {
    Mistake::new(&codes::CONFLICT, "a rule has one `threshold` or `detection_filter`")
}

fn threshold(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let threshold = pairs(value)?.threshold()?;
    if draft.detection.is_some() || draft.threshold.replace(threshold).is_some() { Err(both()) } else { Ok(()) }
}

fn detection_filter(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let pairs = pairs(value)?;
    let missing = |what: &str| Mistake::value(format!("`{what}` is missing"));
    let detection = Detection {
        track: pairs.track.ok_or_else(|| missing("track"))?,
        count: pairs.count.filter(|count| *count > 0).ok_or_else(|| missing("count"))?,
        seconds: pairs.seconds.filter(|seconds| *seconds > 0).ok_or_else(|| missing("seconds"))?,
    };
    if pairs.kind.is_some() {
        return Err(Mistake::word("type", "`track`, `count` and `seconds`"));
    }
    if draft.threshold.is_some() || draft.detection.replace(detection).is_some() { Err(both()) } else { Ok(()) }
}

fn tag(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut parts = value.parts();
    let expected = "`session` or `host`, a number and `packets`, `bytes` or `seconds`";
    let kind = parts.next().unwrap_or_default();
    if !matches!(kind, "session" | "host") {
        return Err(Mistake::word(kind, expected));
    }
    if let Some(count) = parts.next() {
        let unit = parts.next().unwrap_or_default();
        if count.parse::<u32>().is_err() || !matches!(unit, "packets" | "bytes" | "seconds") {
            return Err(Mistake::word(&value.text, expected));
        }
    }
    draft.effects.push(Effect::Tag);
    Ok(())
}
