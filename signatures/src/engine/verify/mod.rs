//! Whether the checks of a condition hold of some bytes.
//!
//! Contents that count from the last match are tried at every place where that one stands, in order, as Suricata does. Work is
//! counted in steps: see [`Budget`].

pub(crate) mod base64;
mod expression;
mod needle;
mod number;
mod step;

use std::{collections::HashSet, net::IpAddr};

pub use self::{
    base64::{decode, decode_rfc2045, decode_strict},
    expression::{Expression, Uncompiled, compile},
    step::{Prepared, Steps},
};
use self::{expression::Searched, needle::Needle, number::operand};
use super::shared::Shared;
use crate::rule::{Entropy, From, Place, Size, Value};

/// How what is looked at can grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It stays as it is.
    Whole,
    /// More may come: what more bytes could undo does not hold yet.
    Growing,
    /// Of a stream, so far: it is judged as it stands.
    Open,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Hay<'a> {
    pub bytes: &'a [u8],
    /// Place of its first byte in the stream.
    pub base: u64,
    pub ending: Ending,
}

impl<'a> Hay<'a> {
    /// All there is.
    pub const fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0, ending: Ending::Whole }
    }
}

/// Steps that may still be taken. A step is a check that is tried at one place.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// For the packet.
    pub packet: u32,
    /// For the condition that is verified now.
    rule: u32,
    /// What was asked did not end within it.
    pub limited: bool,
    /// The entropy that was computed last, in bits for each byte.
    pub entropy: Option<f64>,
}

/// Steps for one condition of a rule.
const RULE_STEPS: u32 = 20_000;
/// Steps after which it is remembered what was tried, so that nothing is tried twice.
const UNREMEMBERED: u32 = 256;

impl Budget {
    /// So many steps for a packet.
    pub const fn new(packet: u32) -> Self {
        Self { packet, rule: RULE_STEPS, limited: false, entropy: None }
    }

    const fn step(&mut self) -> bool {
        if self.packet == 0 || self.rule == 0 {
            self.limited = true;
            return false;
        }
        self.packet -= 1;
        self.rule -= 1;
        true
    }
}

/// Answers to a condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Holds,
    /// Not of these bytes; of more of them, who knows.
    NotYet,
    /// Nor of more of them.
    Never,
}

/// What a search has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Yes,
    /// What is in front may stand elsewhere.
    No,
    /// Wherever that stands.
    Never,
}

/// An answer, and if it is [`Answer::NotYet`], what may be known of why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified {
    pub answer: Answer,
    /// Nothing changes before the content of this step has ended in bytes that are not there yet.
    pub missing: Option<u16>,
    /// The last step that was tried: all those in front of it held somewhere.
    pub furthest: u16,
}

/// Asks whether all steps hold. `variables` are the rule's, and are set by it.
pub fn verify(steps: &Steps, hay: Hay<'_>, variables: &mut Vec<u64>, budget: &mut Budget, shared: &Shared) -> Verified {
    budget.rule = RULE_STEPS;
    let mut search = Search::new(steps, hay, variables, budget, shared);
    let answer = match search.from(0, 0) {
        Found::Yes => Answer::Holds,
        _ if hay.ending == Ending::Whole || search.hopeless => Answer::Never,
        _ => Answer::NotYet,
    };
    let furthest = u16::try_from(search.furthest).unwrap_or(u16::MAX);
    Verified { answer, missing: search.missing.and_then(|step| step.try_into().ok()), furthest }
}

struct Search<'a> {
    steps: &'a Steps,
    hay: Hay<'a>,
    variables: &'a mut Vec<u64>,
    budget: &'a mut Budget,
    shared: &'a Shared,
    /// Steps that failed behind an end of a match.
    tried: HashSet<(usize, usize)>,
    /// The bytes end before a place where something that counts from the last match may stand.
    cut: bool,
    /// See [`Verified::missing`].
    missing: Option<usize>,
    /// More bytes change nothing.
    hopeless: bool,
    /// See [`Verified::furthest`].
    furthest: usize,
}

impl<'a> Search<'a> {
    fn new(
        steps: &'a Steps,
        hay: Hay<'a>,
        variables: &'a mut Vec<u64>,
        budget: &'a mut Budget,
        shared: &'a Shared,
    ) -> Self {
        let tried = HashSet::new();
        Self { steps, hay, variables, budget, shared, tried, cut: false, missing: None, hopeless: false, furthest: 0 }
    }

    /// The steps from one on, behind the end of the last match. It calls itself at most once for each step.
    fn from(&mut self, mut at: usize, mut last: usize) -> Found {
        let steps = self.steps;
        loop {
            let Some(step) = steps.steps.get(at) else { return Found::Yes };
            self.furthest = self.furthest.max(at);
            if !self.budget.step() {
                return Found::Never;
            }
            let failed = if step.absolute && !steps.variables { Found::Never } else { Found::No };
            let next = match &step.check {
                Prepared::Content { needle, negated: false, place } => {
                    if step.leads {
                        return self.content(at, last, needle, place, failed);
                    }
                    let found = self.region(place, needle, last).and_then(|region| self.first(needle, place, region));
                    if found.is_none() {
                        return self.nowhere(at, last, needle, place, failed);
                    }
                    found
                }
                Prepared::Content { needle, negated: true, place } => {
                    let lacks = self.lacks(needle, place, last);
                    // what must not be there is, and stays; or it may yet come
                    let stands = !lacks && self.region(place, needle, last).is_some();
                    self.hopeless = failed == Found::Never && stands && !place.at_end && self.stays();
                    lacks.then_some(last)
                }
                Prepared::Pcre(expression) => {
                    let start = if expression.rule.relative { last.min(self.hay.bytes.len()) } else { 0 };
                    if step.leads && !expression.rule.negated {
                        return self.expression(at, start, failed);
                    }
                    match expression.search(&self.hay.bytes[start..], 0) {
                        Searched::Found { end, .. } => (!expression.rule.negated).then_some(start + end),
                        Searched::Nothing => (expression.rule.negated && self.stays()).then_some(last),
                        Searched::Limited => {
                            self.budget.limited = true;
                            None
                        }
                    }
                }
                Prepared::ByteTest(test) => {
                    number::test(test, self.hay.bytes, last, self.variables).unwrap_or(false).then_some(last)
                }
                Prepared::ByteJump(jump) => number::jump(jump, self.hay.bytes, last, self.variables)
                    .filter(|_| jump.base != crate::rule::JumpBase::End || self.stays()),
                Prepared::ByteExtract(extract) => {
                    let read = number::extract(extract, self.hay.bytes, last, self.variables);
                    read.map(|(value, end)| self.set(extract.variable, value, end))
                }
                Prepared::ByteMath(math) => {
                    let read = number::math(math, self.hay.bytes, last, self.variables);
                    read.map(|(value, end)| self.set(math.variable, value, end))
                }
                Prepared::IsDataAt(data) => {
                    let place = operand(data.place, self.variables);
                    let len = self.hay.bytes.len() as i64;
                    let there = match data.from {
                        From::Start => place < len,
                        From::LastMatch => place.saturating_add_unsigned(last as u64) <= len,
                    };
                    (there != data.negated && (there || self.stays())).then_some(last)
                }
                Prepared::Size(size) => self.sized(size).then_some(last),
                Prepared::Base64(base64) => {
                    let from = if matches!(base64.from, From::LastMatch) { last } else { 0 } + base64.offset as usize;
                    let encoded = self.hay.bytes.get(from..).unwrap_or_default();
                    let most = if base64.bytes == 0 { encoded.len() } else { base64.bytes as usize };
                    let decoded = base64::decode(&encoded[..encoded.len().min(most)]);
                    (!decoded.is_empty() && self.decoded(&decoded)).then_some(last)
                }
                Prepared::Dataset(dataset) => {
                    (self.stays() && self.shared.dataset(dataset, self.hay.bytes)).then_some(last)
                }
                Prepared::Entropy(Entropy { offset, bytes, test }) => {
                    let of = self.hay.bytes.get(*offset..).unwrap_or_default();
                    let of = if *bytes == 0 { of } else { &of[..of.len().min(*bytes)] };
                    let entropy = self.stays().then(|| entropy(of));
                    self.budget.entropy = entropy.or(self.budget.entropy);
                    entropy.is_some_and(|entropy| test.holds(entropy)).then_some(last)
                }
            };
            let Some(next) = next else {
                (self.cut, self.missing) = (true, None);
                return failed;
            };
            (at, last) = (at + 1, next);
        }
    }

    /// A content was found nowhere, and is the first that was not.
    fn nowhere(&mut self, at: usize, last: usize, needle: &Needle, place: &Place, failed: Found) -> Found {
        let (_, to) = self.bounds(place, needle, last);
        let len = self.hay.bytes.len() as i64;
        (self.missing, self.hopeless) = (None, false);
        if failed == Found::Never {
            self.hopeless = to <= len && !place.at_end;
            self.missing = (!place.at_end).then_some(at);
            return failed;
        }
        let open = place.within.is_none() && place.depth.is_none() && !place.at_end;
        if open && !self.steps.variables && self.steps.steps[at].behind_contents {
            // behind an earlier place of those in front something may yet come that does not need it once more
            self.missing = (!self.cut).then_some(at);
            return Found::Never;
        }
        self.cut |= to > len || place.at_end;
        failed
    }

    /// A content that others count from, at each of its places.
    fn content(&mut self, at: usize, last: usize, needle: &Needle, place: &Place, failed: Found) -> Found {
        let Some((mut from, to)) = self.region(place, needle, last) else {
            return self.nowhere(at, last, needle, place, failed);
        };
        let remembers = !self.steps.variables;
        let leads_all = failed == Found::Never;
        if leads_all {
            self.cut = false;
        }
        if remembers && self.tried.contains(&(at, last)) {
            return Found::No;
        }
        let mut any = false;
        while let Some(end) = self.first(needle, place, (from, to)) {
            any = true;
            match self.from(at + 1, end) {
                Found::No => {}
                other => return other,
            }
            if !self.budget.step() {
                return Found::Never;
            }
            from = end - needle.len() + 1;
        }
        if remembers && RULE_STEPS - self.budget.rule > UNREMEMBERED {
            self.tried.insert((at, last));
        }
        if !any {
            return self.nowhere(at, last, needle, place, failed);
        }
        let (_, end) = self.bounds(place, needle, last);
        let seen = end <= self.hay.bytes.len() as i64;
        if leads_all {
            // wherever it stands, all of what is behind it was seen: only another place of it can change anything
            self.missing = (!self.cut && !place.at_end).then_some(at);
            self.hopeless = !self.cut && seen && !place.at_end;
        } else {
            self.cut |= !seen;
        }
        failed
    }

    /// An expression that others count from, at each of its places.
    fn expression(&mut self, at: usize, start: usize, failed: Found) -> Found {
        let Prepared::Pcre(expression) = &self.steps.steps[at].check else { return failed };
        let hay = &self.hay.bytes[start..];
        let mut from = 0;
        while from <= hay.len() {
            match expression.search(hay, from) {
                Searched::Found { start: began, end } => {
                    match self.from(at + 1, start + end) {
                        Found::No => {}
                        other => return other,
                    }
                    from = began + 1;
                }
                Searched::Nothing => break,
                Searched::Limited => {
                    self.budget.limited = true;
                    break;
                }
            }
            if !self.budget.step() {
                return Found::Never;
            }
        }
        (self.cut, self.missing) = (true, None);
        failed
    }

    /// Where a content may stand: from and to, in the bytes that there are. `None`: nowhere.
    fn region(&self, place: &Place, needle: &Needle, last: usize) -> Option<(usize, usize)> {
        let (from, to) = self.bounds(place, needle, last);
        let from = usize::try_from(from.max(0)).ok()?;
        let to = usize::try_from(to.min(self.hay.bytes.len() as i64)).ok()?;
        (from <= to && to - from >= needle.len()).then_some((from, to))
    }

    /// The same, as the rule says it.
    fn bounds(&self, place: &Place, needle: &Needle, last: usize) -> (i64, i64) {
        let value = |value: Value| operand(value, self.variables);
        let offset = place.offset.map_or(0, value);
        if place.distance.is_some() || place.within.is_some() {
            let from = place.distance.map_or(0, value).saturating_add_unsigned(last as u64);
            let to = place.within.map_or(i64::MAX, |within| from.saturating_add(value(within)));
            return (from.max(offset), place.depth.map_or(to, |depth| to.min(offset.saturating_add(value(depth)))));
        }
        let base = i64::try_from(self.hay.base).unwrap_or(i64::MAX);
        let (offset, depth) =
            if place.at_start { (0, Some(needle.len() as i64)) } else { (offset, place.depth.map(value)) };
        let to = depth.map_or(i64::MAX, |depth| offset.saturating_add(depth).saturating_sub(base));
        (offset.saturating_sub(base), to)
    }

    /// Where it ends first.
    fn first(&self, needle: &Needle, place: &Place, (from, to): (usize, usize)) -> Option<usize> {
        let region = self.hay.bytes.get(from..to)?;
        if place.at_end {
            let at = region.len().checked_sub(needle.len())?;
            return (to == self.hay.bytes.len() && self.stays() && needle.begins(&region[at..])).then_some(to);
        }
        if region.len() == needle.len() {
            return needle.begins(region).then_some(to);
        }
        needle.find(region).map(|at| from + at + needle.len())
    }

    /// Whether a content does not stand where it must not.
    fn lacks(&self, needle: &Needle, place: &Place, last: usize) -> bool {
        let (_, to) = self.bounds(place, needle, last);
        if self.hay.ending == Ending::Growing && (place.at_end || to > self.hay.bytes.len() as i64) {
            return false;
        }
        let region = self.region(place, needle, last);
        region.and_then(|region| self.first(needle, place, region)).is_none()
    }

    /// Whether what there is not will not come.
    fn stays(&self) -> bool {
        self.hay.ending != Ending::Growing
    }

    fn set(&mut self, variable: u8, value: u64, end: usize) -> usize {
        let variable = usize::from(variable);
        if self.variables.len() <= variable {
            self.variables.resize(variable + 1, 0);
        }
        self.variables[variable] = value;
        end
    }

    fn sized(&self, size: &Size) -> bool {
        let len = self.hay.bytes.len() as i64;
        let value = |value: &Value| operand(*value, self.variables);
        let holds = match size {
            Size::Equal(than) => len == value(than),
            Size::NotEqual(than) => len != value(than),
            Size::Less(than) => len < value(than),
            Size::LessOrEqual(than) => len <= value(than),
            Size::Greater(than) => len > value(than),
            Size::GreaterOrEqual(than) => len >= value(than),
            Size::Between(low, high) => len.cast_unsigned() > *low && len.cast_unsigned() < *high,
        };
        holds && (self.stays() || matches!(size, Size::Greater(_) | Size::GreaterOrEqual(_)))
    }

    /// Whether what `base64_data` asks holds of what was decoded.
    fn decoded(&mut self, bytes: &[u8]) -> bool {
        let Some(steps) = &self.steps.decoded else { return true };
        let hay = Hay { bytes, base: 0, ending: self.hay.ending };
        let (variables, budget) = (&mut *self.variables, &mut *self.budget);
        Search::new(steps, hay, variables, budget, self.shared).from(0, 0) == Found::Yes
    }
}

/// Shannon's entropy, in bits for each byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let len = bytes.len().max(1) as f64;
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / len).map(|p| -p * p.log2()).sum()
}

/// An address as datasets hold it.
pub fn address(bytes: &[u8]) -> Option<[u8; 16]> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => std::str::from_utf8(bytes).ok()?.parse().ok()?,
    };
    Some(match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    })
}

#[cfg(test)]
mod tests;
