//! The fast pattern: of all contents of a rule the one by which it is found.

use crate::{
    buffer::Buffer,
    rule::{Check, Condition, Content, Inspect, Rule, Selected, Value},
};

/// What a rule is found by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fast<'a> {
    /// The condition it stands in, and its place there.
    pub condition: usize,
    pub check: usize,
    pub bytes: &'a [u8],
    pub nocase: bool,
    /// Places where it may end, if the rule says so in numbers.
    pub ends: (u64, u64),
}

/// The fast pattern of a rule: what `fast_pattern` names, else the one that says most, in the buffer that says most. `None`: it
/// has no content that must be there.
pub fn fast(rule: &Rule, of_transaction: bool) -> Option<Fast<'_>> {
    let usable = |condition: usize| {
        let Condition::Inspect(inspect) = &rule.conditions[condition] else { return None };
        let fits = match inspect.selected {
            Selected::Buffer(_) => of_transaction,
            Selected::Payload => !of_transaction && inspect.transforms.is_empty(),
            _ => false,
        };
        (fits && !inspect.checks.iter().any(|check| matches!(check, Check::Absent(_)))).then_some(inspect)
    };
    if let Some(named) = rule.fast_pattern
        && let Some(inspect) = rule.conditions.get(named.condition).and_then(|_| usable(named.condition))
        && let Some(Check::Content(content)) = inspect.checks.get(named.check)
    {
        return choose(content, (named.condition, named.check), named.chop);
    }
    let mut best: Option<((u8, u32, usize), Fast<'_>)> = None;
    for condition in 0..rule.conditions.len() {
        let Some(inspect) = usable(condition) else { continue };
        for (check, content) in contents(inspect) {
            let Some(fast) = choose(content, (condition, check), None) else { continue };
            let worth = (priority(&inspect.selected), strength(&content.bytes), content.bytes.len());
            if best.as_ref().is_none_or(|(than, _)| worth > *than) {
                best = Some((worth, fast));
            }
        }
    }
    best.map(|(_, fast)| fast)
}

fn contents(inspect: &Inspect) -> impl Iterator<Item = (usize, &Content)> {
    inspect.checks.iter().enumerate().filter_map(|(at, check)| match check {
        Check::Content(content) => Some((at, content)),
        _ => None,
    })
}

/// A content as a fast pattern, if it must be there.
fn choose(content: &Content, (condition, check): (usize, usize), chop: Option<(u16, u16)>) -> Option<Fast<'_>> {
    if content.negated || content.bytes.is_empty() {
        return None;
    }
    let fast = Fast { condition, check, bytes: &content.bytes, nocase: content.nocase, ends: (0, u64::MAX) };
    if let Some((offset, length)) = chop {
        let bytes = content.bytes.get(usize::from(offset)..usize::from(offset) + usize::from(length));
        return Some(Fast { bytes: bytes.filter(|bytes| !bytes.is_empty()).unwrap_or(&content.bytes), ..fast });
    }
    let number = |value: Option<Value>| match value {
        None => Some(None),
        Some(Value::Number(number)) => Some(Some(number)),
        Some(Value::Variable(_)) => None,
    };
    let place = &content.place;
    if place.distance.is_some() || place.within.is_some() {
        return Some(fast);
    }
    let len = content.bytes.len() as u64;
    if place.at_start {
        return Some(Fast { ends: (len, len), ..fast });
    }
    let (Some(offset), Some(depth)) = (number(place.offset), number(place.depth)) else { return Some(fast) };
    let offset = u64::try_from(offset.unwrap_or(0)).unwrap_or(0);
    let most = depth.map_or(u64::MAX, |depth| offset.saturating_add(u64::try_from(depth).unwrap_or(0)));
    Some(Fast { ends: (offset.saturating_add(len), most), ..fast })
}

/// Buffers that hold much the same everywhere come last.
const fn priority(selected: &Selected) -> u8 {
    match selected {
        Selected::Buffer(
            Buffer::HttpMethod
            | Buffer::HttpProtocol
            | Buffer::HttpStatCode
            | Buffer::HttpStatMsg
            | Buffer::HttpConnection
            | Buffer::HttpHeaderNames
            | Buffer::HttpStart,
        ) => 1,
        Selected::Buffer(_) => 2,
        _ => 0,
    }
}

/// How much a pattern says: bytes that are rare in text count for more, and the first of each kind for most.
fn strength(bytes: &[u8]) -> u32 {
    let mut seen = [false; 256];
    bytes
        .iter()
        .map(|byte| match byte {
            _ if std::mem::replace(&mut seen[usize::from(*byte)], true) => 1,
            byte if byte.is_ascii_alphabetic() => 3,
            byte if byte.is_ascii_graphic() || matches!(byte, b' ' | 0 | 1 | 0xff) => 4,
            _ => 6,
        })
        .sum()
}
