//! Warnings about rules that are sound: those that cost more than they need to, and those that nothing can match.

use super::{
    draft::{Draft, Item, List, Slot},
    mistake::Mistake,
};
use crate::{
    buffer::Buffer,
    codes,
    protocol::App,
    rule::{Check, Condition, Content, Pcre, Selected},
};

/// A fast pattern of fewer bytes is in most traffic.
const SHORT: usize = 3;

/// What is odd about a rule.
pub(super) fn warnings(draft: &Draft<'_>) -> Vec<Mistake> {
    let mut all = Vec::new();
    never(draft, &mut all);
    fast_pattern(draft, &mut all);
    for list in &draft.lists {
        let contents = positive(list).next().is_some();
        for (item, pcre) in list.items.iter().filter_map(pcre) {
            if !contents && !pcre.negated && is_large(&list.selected) {
                let message = "a regular expression without a content in the same buffer is tried on all of it";
                all.push(Mistake::new(&codes::PCRE_ALONE, message).at(item.span.clone()));
            }
            if nests_unbounded(pcre.pattern.as_bytes()) {
                let message = "unbounded repetitions within each other may try every way to share the bytes";
                let help = "bound the inner one, or make it possessive: `(?:a+)+` as `(?:a++)+`";
                all.push(Mistake::new(&codes::UNBOUNDED, message).help(help).at(item.span.clone()));
            }
        }
    }
    all
}

/// What no parser here tells.
fn never(draft: &Draft<'_>, all: &mut Vec<Mistake>) {
    let unread = |apps: &[App]| !apps.is_empty() && !apps.iter().any(|app| app.is_read());
    let of_app = |slot: &Slot| match slot {
        Slot::List(list) => matches!(draft.lists[*list].selected, Selected::Buffer(_)),
        Slot::Condition(condition, _) => {
            matches!(condition, Condition::Number { .. } | Condition::Test { .. } | Condition::AppEvent(_))
        }
    };
    if let Some(apps) = draft.apps.filter(|apps| unread(apps))
        && draft.slots.iter().any(of_app)
    {
        let names: Vec<String> = apps.iter().map(|app| format!("`{}`", app.name())).collect();
        let message = format!("the rule can never match: {} is told apart here, and not read", names.join(", "));
        all.push(Mistake::new(&codes::NEVER, message));
    }
    let magic = |list: &&List| list.selected == Selected::Buffer(Buffer::FileMagic) && !list.items.is_empty();
    if let Some(item) = draft.lists.iter().find(magic).and_then(|list| list.items.first()) {
        let message = "the rule can never match: the kinds of files are not told apart here";
        all.push(Mistake::new(&codes::NEVER, message).at(item.span.clone()));
    }
}

/// The content that the rule is looked for by, and how much it says.
fn fast_pattern(draft: &Draft<'_>, all: &mut Vec<Mistake>) {
    let chosen = draft.fast_pattern.as_ref();
    let mut longest: Option<(usize, &Item)> = None;
    for list in &draft.lists {
        for (item, content) in list.items.iter().filter_map(content) {
            let named = chosen.is_some_and(|fast| fast.order == item.order);
            let length = match chosen {
                Some(fast) if named => fast.chop.map_or(content.bytes.len(), |(_, length)| length.into()),
                Some(_) => continue,
                None if content.negated => continue,
                None => content.bytes.len(),
            };
            if longest.is_none_or(|(before, _)| length > before) {
                longest = Some((length, item));
            }
        }
    }
    match longest {
        Some((length, item)) if length < SHORT => {
            let message = format!("a fast pattern of {length} bytes is in most traffic");
            let help = "a longer content lets most traffic go without a second look";
            all.push(Mistake::new(&codes::SHORT_FAST_PATTERN, message).help(help).at(item.span.clone()));
        }
        Some(_) => {}
        None => {
            let looks = draft.lists.iter().filter(|list| is_large(&list.selected)).flat_map(|list| &list.items);
            if let Some(item) = looks.min_by_key(|item| item.order) {
                let message = "the rule has no content to look for first: all of its traffic is verified";
                all.push(Mistake::new(&codes::NO_FAST_PATTERN, message).at(item.span.clone()));
            }
        }
    }
}

fn content(item: &Item) -> Option<(&Item, &Content)> {
    match &item.check {
        Check::Content(content) => Some((item, content)),
        _ => None,
    }
}

fn pcre(item: &Item) -> Option<(&Item, &Pcre)> {
    match &item.check {
        Check::Pcre(pcre) => Some((item, pcre)),
        _ => None,
    }
}

fn positive(list: &List) -> impl Iterator<Item = &Content> {
    list.items.iter().filter_map(content).map(|(_, content)| content).filter(|content| !content.negated)
}

/// Whether a buffer holds more than a line.
fn is_large(selected: &Selected) -> bool {
    match selected {
        Selected::Payload | Selected::Base64 => true,
        Selected::PacketHeader(_) | Selected::Address(_) => false,
        Selected::Buffer(buffer) => matches!(
            buffer,
            Buffer::FileData
                | Buffer::HttpRequestBody
                | Buffer::HttpResponseBody
                | Buffer::HttpHeader
                | Buffer::HttpHeaderRaw
                | Buffer::TlsCerts
                | Buffer::WebsocketPayload
                | Buffer::DceStubData
        ),
    }
}

/// Whether a group that may be repeated without bound holds something that may, too, with nothing fixed beside it that would
/// tell one repetition from the next: `(a+)+`, `(?:.*)*`, `(\w*\s*)+`.
fn nests_unbounded(pattern: &[u8]) -> bool {
    // of each open group: whether all of it so far may be repeated, and whether there is anything in it
    let mut groups: Vec<(bool, bool)> = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let (length, closes) = match pattern[at] {
            b'(' => {
                groups.push((true, false));
                at += 1;
                at += group_head(&pattern[at..]);
                continue;
            }
            b')' => (1, true),
            b'\\' => (2, false),
            b'[' => (class(&pattern[at..]), false),
            b'|' | b'^' | b'$' => {
                at += 1;
                continue;
            }
            _ => (1, false),
        };
        at += length;
        let (unbounded, repeated) = quantifier(pattern.get(at..).unwrap_or_default());
        at += repeated;
        let inner = if closes { groups.pop() } else { None };
        if let Some((only, any)) = inner
            && unbounded
            && only
            && any
        {
            return true;
        }
        let loose = unbounded || inner.is_some_and(|(only, any)| only && any);
        if let Some((only, any)) = groups.last_mut() {
            *only &= loose;
            *any = true;
        }
    }
    false
}

/// Length of `?:`, `?=`, `?<name>` and so on.
fn group_head(rest: &[u8]) -> usize {
    match rest {
        [b'?', b'<', b'=' | b'!', ..] => 3,
        [b'?', b'P' | b'<' | b'\'', ..] => memchr::memchr2(b'>', b'\'', &rest[2..]).map_or(rest.len(), |end| end + 3),
        [b'?', ..] => rest.iter().position(|byte| b":=!>|)".contains(byte)).map_or(rest.len(), |at| at + 1),
        _ => 0,
    }
}

/// Length of `[...]`.
fn class(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b']' if at > 1 => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether what stands before may be repeated without bound and given back, and the length of what says so.
fn quantifier(rest: &[u8]) -> (bool, usize) {
    let (unbounded, length) = match rest.first() {
        Some(b'*' | b'+') => (true, 1),
        Some(b'?') => return (false, 1),
        Some(b'{') => match memchr::memchr(b'}', rest) {
            Some(end) => (rest[..end].ends_with(b","), end + 1),
            None => return (false, 0),
        },
        _ => return (false, 0),
    };
    match rest.get(length) {
        // possessive: nothing is given back
        Some(b'+') => (false, length + 1),
        Some(b'?') => (unbounded, length + 1),
        _ => (unbounded, length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::loaded;

    #[test]
    fn nests_are_found() {
        for pattern in ["(a+)+", "(?:.*)*x", r"(\w*\s*)+$", "((a+))*", "(?:[a-z]+){2,}", "(?i:a*)+"] {
            assert!(nests_unbounded(pattern.as_bytes()), "{pattern}");
        }
        for pattern in [
            "a+b+",
            "(a+b)+",
            "(?:a++)+",
            "(abc)*",
            "(a+)?",
            "(a{1,3})+",
            "[(]+[)]*",
            r"\(a+\)+",
            "(a+){2}",
            "()*",
            "(",
        ] {
            assert!(!nests_unbounded(pattern.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn rules_that_cost_or_never_match_are_pointed_out() {
        let rule = |options: &str| format!("alert tcp any any -> any any ({options} sid:1;)\n");
        for (options, expected) in [
            ("content:\"abc\";", &[][..]),
            ("content:\"ab\";", &["DG252"]),
            ("content:\"abcdef\"; fast_pattern:1,2;", &["DG252"]),
            ("content:!\"abc\";", &["DG251"]),
            ("pcre:\"/abc/\";", &["DG251", "DG253"]),
            ("content:\"abc\"; pcre:\"/(a+)+b/\";", &["DG254"]),
            ("http.host; pcre:\"/^abc$/\";", &[]),
            ("flags:S;", &[]),
            ("dcerpc.opnum:3;", &["DG250"]),
            ("file.magic; content:\"executable\";", &["DG250"]),
            ("app-layer-event:http.no_such_event;", &["DG259"]),
            ("classtype:none-such; content:\"abc\";", &["DG255"]),
        ] {
            let loaded = loaded(rule(options).as_bytes());
            let mut codes: Vec<_> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
            codes.sort_unstable();
            assert_eq!(codes, expected, "{options}");
            assert_eq!(loaded.rules.len(), 1, "{options}");
        }
    }
}
