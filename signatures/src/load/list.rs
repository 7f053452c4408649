//! Lists of addresses and of ports have one grammar: `[a, !b, [c, d], !$NAME]`.

use std::{borrow::Cow, collections::BTreeMap};

/// Lists within lists, variables in variables: more than that leads nowhere.
const MAX_DEPTH: usize = 32;
/// Elements of one list, with those of its variables.
const MAX_ELEMENTS: usize = 100_000;

/// Why a list has no meaning.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListError {
    #[error("`{0}` is not defined")]
    Undefined(String),
    #[error("lists and variables are more than {MAX_DEPTH} deep in one another: a variable may lead back to itself")]
    Depth,
    #[error("the list has more than {MAX_ELEMENTS} elements")]
    Elements,
    #[error("the brackets of a list do not match")]
    Brackets,
    #[error("an element of a list is empty")]
    Empty,
    #[error("what is negated is negated again")]
    Twice,
    #[error("`!any` is nothing")]
    NotAny,
    #[error("{0}")]
    Element(String),
    #[error("nothing is left of the list without what it excludes")]
    NothingLeft,
}

/// Walks a list: `element` is told of each, and whether it is negated; a negation of a list turns those in it over.
pub fn walk(
    text: &str,
    variables: &BTreeMap<String, String>,
    element: &mut dyn FnMut(&str, bool) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let mut left = MAX_ELEMENTS;
    one(text, false, variables, 0, &mut left, element)
}

fn one(
    text: &str,
    negated: bool,
    variables: &BTreeMap<String, String>,
    depth: usize,
    left: &mut usize,
    element: &mut dyn FnMut(&str, bool) -> Result<(), ListError>,
) -> Result<(), ListError> {
    if depth > MAX_DEPTH {
        return Err(ListError::Depth);
    }
    *left = left.checked_sub(1).ok_or(ListError::Elements)?;
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('!') {
        if rest.trim_start().starts_with('!') {
            return Err(ListError::Twice);
        }
        return one(rest, !negated, variables, depth + 1, left, element);
    }
    if let Some(name) = text.strip_prefix('$') {
        let value = variables.get(name).ok_or_else(|| ListError::Undefined(text.to_owned()))?;
        return one(value, negated, variables, depth + 1, left, element);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(ListError::Brackets)?;
        for part in split(inner)? {
            one(part, negated, variables, depth + 1, left, element)?;
        }
        return Ok(());
    }
    // a variable may be a list without brackets
    if depth > 0 && text.contains(',') {
        for part in split(text)? {
            one(part, negated, variables, depth + 1, left, element)?;
        }
        return Ok(());
    }
    match text {
        "" => Err(ListError::Empty),
        _ if text.contains(['[', ']', ',']) => Err(ListError::Brackets),
        "any" | "Any" | "ANY" if negated => Err(ListError::NotAny),
        _ => element(text, negated),
    }
}

/// The parts of a list between commas that are in no brackets.
fn split(text: &str) -> Result<Vec<&str>, ListError> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.checked_sub(1).ok_or(ListError::Brackets)?,
            b',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(ListError::Brackets);
    }
    parts.push(&text[from..]);
    Ok(parts)
}

/// A word for diagnostics.
pub fn shown(text: &str) -> Cow<'static, str> {
    crate::diagnostic::quoted(text).into()
}
