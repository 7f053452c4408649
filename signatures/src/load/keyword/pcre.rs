//! `pcre`: the expression, its modifiers, and the buffer that some of those select.

use std::fmt::Write as _;

use super::{Draft, Form, Keyword, Takes, Value, keyword};
use crate::{
    buffer::Buffer,
    codes,
    engine::verify::{Uncompiled, compile},
    load::mistake::{Done, Mistake},
    rule::{Check, Pcre},
};

pub(super) const KEYWORDS: &[Keyword] = &[keyword("pcre", Takes::Value, Form::Negatable, pcre)];

/// The text of a part of a rule, for PCRE2, which is given bytes: those that are no UTF-8 are escaped.
pub(super) fn pattern(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // writing to a `String` cannot fail
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The buffer that a modifier selects.
fn buffer(modifier: u8) -> Option<Buffer> {
    Some(match modifier {
        b'U' => Buffer::HttpUri,
        b'I' => Buffer::HttpUriRaw,
        b'P' => Buffer::HttpRequestBody,
        b'Q' => Buffer::HttpResponseBody,
        b'H' => Buffer::HttpHeader,
        b'D' => Buffer::HttpHeaderRaw,
        b'M' => Buffer::HttpMethod,
        b'C' => Buffer::HttpCookie,
        b'S' => Buffer::HttpStatCode,
        b'Y' => Buffer::HttpStatMsg,
        b'V' => Buffer::HttpUserAgent,
        b'W' => Buffer::HttpHost,
        b'Z' => Buffer::HttpHostRaw,
        _ => return None,
    })
}

/// Whether a letter of upper case is looked for: none behind a backslash, nor in what names a group.
fn has_upper_case(expression: &[u8]) -> bool {
    let (mut at, mut found) = (0, false);
    while let Some(byte) = expression.get(at) {
        match byte {
            b'\\' => at += 1,
            b'(' if expression[at..].starts_with(b"(?P<") || expression[at..].starts_with(b"(?<") => {
                at += memchr::memchr(b'>', &expression[at..]).unwrap_or(0);
            }
            byte => found |= byte.is_ascii_uppercase(),
        }
        at += 1;
    }
    found
}

fn pcre(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let bytes = value.word.bytes;
    let wrong = |message: &str| Mistake::new(&codes::PCRE, message);
    let Some(inner) = bytes.strip_prefix(b"/") else {
        return Err(wrong("an expression stands between slashes").expected("`/expression/modifiers`"));
    };
    let end = memchr::memrchr(b'/', inner).ok_or_else(|| wrong("the slash behind the expression is missing"))?;
    let modifiers_at = value.word.start + end + 2;
    let (expression, modifiers) = (&inner[..end], &inner[end + 1..]);
    if expression.is_empty() {
        return Err(wrong("an expression of no characters matches everything"));
    }
    let mut pcre = Pcre { pattern: pattern(expression).into(), negated: value.negated, ..Pcre::default() };
    let mut selected = None;
    let (flags, captures) = match memchr::memchr(b',', modifiers) {
        Some(comma) => (&modifiers[..comma], &modifiers[comma + 1..]),
        None if modifiers.starts_with(b"flow:") || modifiers.starts_with(b"pkt:") => (&modifiers[..0], modifiers),
        None => (modifiers, &modifiers[..0]),
    };
    for (at, flag) in flags.iter().enumerate() {
        let at = modifiers_at + at..modifiers_at + at + 1;
        match flag {
            b'i' => pcre.caseless = true,
            b's' => pcre.dotall = true,
            b'm' => pcre.multiline = true,
            b'x' => pcre.extended = true,
            b'A' => pcre.anchored = true,
            b'E' => pcre.dollar_end_only = true,
            b'G' => pcre.ungreedy = true,
            b'R' => pcre.relative = true,
            // the payload as it is, and Suricata's own limits: both hold anyway
            b'B' | b'O' => {}
            other => {
                let Some(buffer) = buffer(*other) else {
                    return Err(wrong("a modifier that does not exist")
                        .at(at)
                        .expected("one of `ismxAEGRBO`, or of those that select a buffer: `UIPQHDMCSYVWZ`"));
                };
                if selected.replace(buffer).is_some() {
                    return Err(wrong("a second modifier that selects a buffer").at(at));
                }
            }
        }
    }
    for capture in captures.split(|byte| *byte == b',') {
        let name = String::from_utf8_lossy(capture.trim_ascii());
        if !name.is_empty() {
            if !name.starts_with("flow:") && !name.starts_with("pkt:") {
                return Err(wrong("a capture has a name: `flow:name` or `pkt:name`"));
            }
            pcre.captures.push(name.as_ref().into());
        }
    }
    if selected == Some(Buffer::HttpHost) && !pcre.caseless && has_upper_case(expression) {
        return Err(wrong("`http.host` is in lower case, and the expression is not"));
    }
    compile(&pcre, false).map_err(|Uncompiled { message, offset }| {
        let at = offset.map_or(value.word.start, |offset| value.word.start + 1 + offset);
        let at = at.min(value.word.span().end);
        Mistake::new(&codes::PCRE, format!("the expression does not compile: {message}")).at(at..at)
    })?;
    match selected {
        None => {
            // behind a buffer, what is first counts from its start
            if pcre.relative && draft.sticky.is_none() && !draft.moves_behind() {
                return Err(wrong("`R` counts from a match in the same buffer, and there is none before it"));
            }
            draft.check(Check::Pcre(pcre), value.span.clone())
        }
        Some(buffer) => {
            let other = draft.sticky.as_ref().filter(|sticky| sticky.selected != crate::rule::Selected::Buffer(buffer));
            if let Some(sticky) = other {
                let message = format!("a modifier for `{}` where `{}` is selected", buffer.name(), sticky.keyword);
                return Err(Mistake::new(&codes::CONFLICT, message));
            }
            draft.check_of(buffer, value.keyword, Check::Pcre(pcre), value.span.clone())
        }
    }
}
