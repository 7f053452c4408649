//! What is said about a rule: names, numbers, references.

use super::{Draft, Form, Keyword, Takes, Value, keyword};
use crate::{
    codes,
    diagnostic::quoted,
    load::mistake::{Done, Mistake},
    rule::{Effect, Target},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("msg", Takes::Value, Form::Quoted, message),
    keyword("sid", Takes::Value, Form::Plain, sid),
    keyword("gid", Takes::Value, Form::Plain, gid),
    keyword("rev", Takes::Value, Form::Plain, rev),
    keyword("classtype", Takes::Value, Form::Quotable, classtype),
    keyword("priority", Takes::Value, Form::Plain, priority),
    keyword("reference", Takes::Value, Form::Quotable, reference),
    keyword("metadata", Takes::Value, Form::Quotable, metadata),
    keyword("target", Takes::Value, Form::Plain, target),
    keyword("noalert", Takes::Nothing, Form::Plain, noalert),
    keyword("alert", Takes::Nothing, Form::Plain, alert),
    keyword("requires", Takes::Value, Form::Plain, requires),
    keyword("bypass", Takes::Nothing, Form::Plain, bypass),
    keyword("prefilter", Takes::Nothing, Form::Plain, prefilter),
];

/// The version of Suricata whose language this is.
const VERSION: (u32, u32, u32) = (8, 0, 3);
/// What rules may require of an engine, and find here.
const FEATURES: &[&str] = &["output::file-store", "ja3", "ja4"];

fn once<T>(slot: &mut Option<T>, value: T, keyword: &str) -> Done {
    if slot.replace(value).is_some() {
        return Err(Mistake::new(&codes::CONFLICT, format!("`{keyword}` is given twice")));
    }
    Ok(())
}

/// Without the backslashes before `;`, `"`, `\` and `:`.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match characters.peek() {
            Some(';' | '"' | '\\' | ':') if character == '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain
}

fn message(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    once(&mut draft.message, unescaped(&value.text).into(), "msg")
}

fn sid(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number: u32 = value.number(u32::MAX.into())?;
    if number == 0 {
        return Err(Mistake::value("0 is no `sid`"));
    }
    once(&mut draft.sid, number, "sid")
}

fn gid(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number = value.number(u32::MAX.into())?;
    once(&mut draft.gid, number, "gid")
}

fn rev(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number = value.number(u32::MAX.into())?;
    once(&mut draft.rev, number, "rev")
}

fn classtype(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let classes = draft.context.classes;
    if !classes.knows(&value.text) {
        let message = format!("no classification defines {}", quoted(&value.text));
        draft.warnings.push(Mistake::new(&codes::CLASS, message).at(value.word.span()));
    }
    let class = classes.class(&value.text);
    // Suricata keeps the last one
    draft.class = Some(class);
    Ok(())
}

fn priority(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number = value.number(255)?;
    once(&mut draft.priority, number, "priority")
}

fn reference(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (system, rest) = value
        .text
        .split_once(',')
        .ok_or_else(|| Mistake::word(&value.text, "a system and what it is called there: `cve,2021-44228`"))?;
    let shared = draft.context.shared;
    let system = shared.name(&system.trim().to_ascii_lowercase());
    draft.references.push((system, unescaped(rest.trim()).into()));
    Ok(())
}

fn metadata(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let shared = draft.context.shared;
    for part in value.parts().filter(|part| !part.is_empty()) {
        let (key, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        draft.metadata.push((shared.name(key), shared.name(rest.trim())));
    }
    Ok(())
}

fn target(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let target = match &*value.text {
        "src_ip" => Target::Source,
        "dest_ip" => Target::Destination,
        other => return Err(Mistake::word(other, "`src_ip` or `dest_ip`")),
    };
    once(&mut draft.target, target, "target")
}

fn noalert(draft: &mut Draft<'_>, _: &Value<'_>) -> Done {
    draft.noalert = true;
    Ok(())
}

fn alert(draft: &mut Draft<'_>, _: &Value<'_>) -> Done {
    draft.noalert = false;
    Ok(())
}

/// What is looked for first is chosen here; what the keyword says must make sense all the same.
fn prefilter(draft: &mut Draft<'_>, _: &Value<'_>) -> Done {
    if draft.slots.is_empty() {
        return Err(Mistake::new(&codes::NO_CONTENT, "`prefilter` is about a condition, and there is none before it"));
    }
    if std::mem::replace(&mut draft.prefilter, true) {
        return Err(Mistake::new(&codes::CONFLICT, "`prefilter` is given twice"));
    }
    Ok(())
}

fn bypass(draft: &mut Draft<'_>, _: &Value<'_>) -> Done {
    draft.effects.push(Effect::Bypass);
    Ok(())
}

/// `requires`: a rule for other engines is left out without being wrong.
fn requires(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    for part in value.parts() {
        let (what, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let rest = rest.trim();
        let met = match what {
            "version" => version_met(rest)
                .ok_or_else(|| Mistake::word(rest, "an operator and a version: `>= 8.0.0`, several with `|`"))?,
            "feature" => FEATURES.contains(&rest),
            "keyword" => super::exists(rest),
            // what is not known may be required by a later version
            _ => false,
        };
        if !met {
            draft.unmet.get_or_insert_with(|| format!("the rule requires {part}"));
        }
    }
    Ok(())
}

/// Whether any alternative, all of whose comparisons hold, is met.
fn version_met(text: &str) -> Option<bool> {
    let mut any = false;
    for alternative in text.split('|') {
        let mut all = true;
        let mut rest = alternative.trim();
        while !rest.is_empty() {
            let digits = rest.find(|character: char| character.is_ascii_digit())?;
            let (operator, behind) = rest.split_at(digits);
            let end = behind.find(|c: char| c.is_whitespace() || "<>=".contains(c)).unwrap_or(behind.len());
            let version = version(&behind[..end])?;
            all &= match operator.trim() {
                ">=" => VERSION >= version,
                ">" => VERSION > version,
                "<" => VERSION < version,
                "<=" => VERSION <= version,
                _ => return None,
            };
            rest = behind[end..].trim();
        }
        any |= all;
    }
    Some(any)
}

fn version(text: &str) -> Option<(u32, u32, u32)> {
    let plain = text.split('-').next()?;
    let mut parts = plain.split('.').map(str::parse::<u32>);
    let mut next = || parts.next().unwrap_or(Ok(0)).ok();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        for (text, met) in [
            (">= 8", true),
            (">= 8.0.0", true),
            ("<8", false),
            (">= 7.0.3 < 8", false),
            (">= 7.0.3 < 8 | >= 8.0.1", true),
            (">= 8.1", false),
            ("> 9.0.0-beta1", false),
        ] {
            assert_eq!(version_met(text), Some(met), "{text}");
        }
        for text in ["8", "= 8", ">= x", ">="] {
            assert_eq!(version_met(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_are_taken_off() {
        assert_eq!(unescaped(r#"a\; \"b\" \\ \: \n"#), r#"a; "b" \ : \n"#);
    }
}
