//! `pcre`: compiled when it is first needed, bounded in work.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use pcre2::bytes::{Regex, RegexBuilder};

use crate::rule::Pcre;

/// Steps that one call of the matcher may take (`pcre.match-limit` of Suricata is 3500).
const MATCH_LIMIT: u32 = 10_000;
/// Depth of its backtracking.
const DEPTH_LIMIT: u32 = 1_500;

/// An expression.
#[derive(Clone, Debug)]
pub struct Expression {
    pub rule: Pcre,
    compiled: Arc<OnceLock<Option<Regex>>>,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Searched {
    Found {
        start: usize,
        end: usize,
    },
    Nothing,
    /// It took too long.
    Limited,
}

impl Expression {
    /// Not compiled yet.
    pub fn new(rule: &Pcre) -> Self {
        Self { rule: rule.clone(), compiled: Arc::default() }
    }

    /// Without modifiers.
    pub fn plain(pattern: &str) -> Self {
        Self::new(&Pcre { pattern: pattern.into(), ..Pcre::default() })
    }

    /// That it can be compiled was seen when the rule was read.
    fn compiled(&self) -> &Option<Regex> {
        self.compiled.get_or_init(|| compile(&self.rule, true).ok())
    }

    /// Where its first group stands.
    pub fn capture(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let regex = self.compiled().as_ref()?;
        let mut locations = regex.capture_locations();
        regex.captures_read(&mut locations, bytes).ok().flatten()?;
        locations.get(1).map(|(start, end)| start..end)
    }

    /// What its groups hold, as far as the rule names them.
    pub fn captured<'a>(&self, bytes: &'a [u8]) -> Vec<(Arc<str>, &'a [u8])> {
        let Some(regex) = self.compiled() else { return Vec::new() };
        let mut locations = regex.capture_locations();
        if !matches!(regex.captures_read(&mut locations, bytes), Ok(Some(_))) {
            return Vec::new();
        }
        let groups = self.rule.captures.iter().enumerate();
        groups
            .filter_map(|(at, name)| {
                let (start, end) = locations.get(at + 1)?;
                Some((Arc::clone(name), bytes.get(start..end)?))
            })
            .collect()
    }

    /// Looks for it from a place on.
    pub fn search(&self, bytes: &[u8], from: usize) -> Searched {
        let Some(regex) = self.compiled() else { return Searched::Nothing };
        match regex.find_at(bytes, from) {
            Ok(Some(found)) => Searched::Found { start: found.start(), end: found.end() },
            Ok(None) => Searched::Nothing,
            Err(_) => Searched::Limited,
        }
    }
}

/// Why an expression does not compile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uncompiled {
    pub message: String,
    /// Where in its pattern.
    pub offset: Option<usize>,
}

/// Compiles it, to be searched with (`jit`) or to see whether it can be.
///
/// # Errors
/// What is wrong with the pattern.
pub fn compile(rule: &Pcre, jit: bool) -> Result<Regex, Uncompiled> {
    let pattern =
        if rule.dollar_end_only && !rule.multiline { dollars(&rule.pattern) } else { rule.pattern.to_string() };
    // verbs such as `(*UTF8)` stand in front of everything else
    let verbs = verbs(&pattern);
    let (verbs, body) = pattern.split_at(verbs);
    let ungreedy = if rule.ungreedy { "(?U)" } else { "" };
    let limits = format!("(*LIMIT_MATCH={MATCH_LIMIT})(*LIMIT_DEPTH={DEPTH_LIMIT})");
    // a comment ends with its line
    let (opens, closes) = match (rule.anchored, rule.extended) {
        (false, _) => ("", ""),
        (true, true) => ("\\G(?:", "\n)"),
        (true, false) => ("\\G(?:", ")"),
    };
    let front = format!("{limits}{verbs}{opens}{ungreedy}");
    RegexBuilder::new()
        .caseless(rule.caseless)
        .dotall(rule.dotall)
        .multi_line(rule.multiline)
        .extended(rule.extended)
        .jit_if_available(jit)
        .build(&format!("{front}{body}{closes}"))
        .map_err(|error| {
            let message = error.to_string();
            // the message begins with the offset, which is told apart
            let reason = message.rsplit_once(": ").map_or(message.as_str(), |(_, reason)| reason);
            let offset = error.offset().map(|offset| verbs.len() + offset.saturating_sub(front.len()));
            Uncompiled { message: reason.to_owned(), offset }
        })
}

/// How long the verbs at the beginning are.
fn verbs(pattern: &str) -> usize {
    let mut at = 0;
    while pattern[at..].starts_with("(*") && pattern[at + 2..].starts_with(|letter: char| letter.is_ascii_uppercase()) {
        let Some(end) = pattern[at..].find(')') else { break };
        at += end + 1;
    }
    at
}

/// `E`: a dollar stands for the very end, not for a line feed in front of it.
fn dollars(pattern: &str) -> String {
    let (mut out, mut escaped, mut class) = (String::with_capacity(pattern.len()), false, false);
    for letter in pattern.chars() {
        match letter {
            '$' if !escaped && !class => out.push_str("\\z"),
            _ => out.push(letter),
        }
        class = !escaped && (letter == '[' || class && letter != ']') || escaped && class;
        escaped = !escaped && letter == '\\';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str) -> Pcre {
        Expression::plain(pattern).rule
    }

    fn found(rule: &Pcre, bytes: &[u8]) -> Option<(usize, usize)> {
        match Expression::new(rule).search(bytes, 0) {
            Searched::Found { start, end } => Some((start, end)),
            _ => None,
        }
    }

    #[test]
    fn modifiers() {
        assert_eq!(found(&rule("b+"), b"abbc"), Some((1, 3)));
        assert_eq!(found(&rule("B"), b"abc"), None);
        assert_eq!(found(&Pcre { caseless: true, ..rule("B") }, b"abc"), Some((1, 2)));
        assert_eq!(found(&Pcre { anchored: true, ..rule("b|a") }, b"ab"), Some((0, 1)));
        assert_eq!(found(&Pcre { anchored: true, ..rule("b") }, b"ab"), None);
        assert_eq!(found(&Pcre { anchored: true, extended: true, ..rule("a # comment") }, b"ab"), Some((0, 1)));
        assert_eq!(found(&Pcre { ungreedy: true, ..rule("b+") }, b"abbc"), Some((1, 2)));
        assert_eq!(found(&rule("c$"), b"abc\n"), Some((2, 3)));
        assert_eq!(found(&Pcre { dollar_end_only: true, ..rule("c$") }, b"abc\n"), None);
        assert_eq!(found(&Pcre { dollar_end_only: true, ..rule("[$]\\$$") }, b"$$"), Some((0, 2)));
        assert_eq!(found(&rule(r"(?<=a)b(?=c)"), b"abc"), Some((1, 2)));
        assert_eq!(found(&rule(r"(.)\1"), &[0xff, 0xff]), Some((0, 2)));
    }

    #[test]
    fn groups_are_named() {
        let names = ["flow:key", "pkt:value"].map(Arc::from);
        let expression = Expression::new(&Pcre { captures: names.to_vec(), ..rule(r"(\w+)=(\d*)(;)") });
        let [key, value] = names;
        assert_eq!(expression.captured(b"a x=12;"), [(key.clone(), &b"x"[..]), (value.clone(), b"12")]);
        assert_eq!(expression.captured(b"x=;"), [(key, &b"x"[..]), (value, b"")]);
        assert_eq!(expression.captured(b"x=1"), []);
    }

    #[test]
    fn work_is_bounded() {
        let bytes = vec![b'a'; 4096];
        assert_eq!(Expression::new(&rule("(?:a+)+[bc]")).search(&bytes, 0), Searched::Limited);
    }
}
