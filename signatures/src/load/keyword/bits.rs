//! `flowbits`, `flowint`, `xbits`, `hostbits`: what is remembered by one rule and asked by another.

use std::sync::Arc;

use super::{Draft, Form, Keyword, Takes, Value, keyword};
use crate::{
    codes,
    load::{
        draft::Slot,
        mistake::{Done, Mistake},
    },
    rule::{BitAction, BitScope, Bits, Condition, Effect, Flowbits, Flowint, FlowintOp, IntValue},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("flowbits", Takes::Value, Form::Quotable, flowbits),
    keyword("flowint", Takes::Value, Form::Plain, flowint),
    keyword("xbits", Takes::Value, Form::Plain, xbits),
    keyword("hostbits", Takes::Value, Form::Plain, hostbits),
];

/// For how long `xbits` and `hostbits` are remembered where a rule does not say, s.
const XBITS_EXPIRE_S: u32 = 30;
const HOSTBITS_EXPIRE_S: u32 = 300;

fn action(word: &str) -> Result<BitAction, Mistake> {
    Ok(match word {
        "set" => BitAction::Set,
        "unset" => BitAction::Unset,
        "toggle" => BitAction::Toggle,
        "isset" => BitAction::IsSet,
        "isnotset" => BitAction::IsNotSet,
        other => return Err(Mistake::word(other, "`set`, `unset`, `toggle`, `isset` or `isnotset`")),
    })
}

fn asks(action: BitAction) -> bool {
    matches!(action, BitAction::IsSet | BitAction::IsNotSet)
}

fn name(draft: &Draft<'_>, text: &str) -> Result<Arc<str>, Mistake> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(Mistake::word(text, "a name without spaces"));
    }
    Ok(draft.context.shared.name(text))
}

fn flowbits(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (word, names) = value.text.split_once(',').unwrap_or((&value.text, ""));
    if word.trim() == "noalert" {
        if !names.is_empty() {
            return Err(Mistake::word(names, "nothing behind `noalert`"));
        }
        draft.noalert = true;
        return Ok(());
    }
    let action = action(word.trim())?;
    let names: Vec<Arc<str>> = names.split('|').map(|part| name(draft, part.trim())).collect::<Result<_, _>>()?;
    if names.len() > 1 && !asks(action) {
        return Err(Mistake::value("only `isset` and `isnotset` take several names"));
    }
    let bits = Flowbits { action, names };
    if asks(action) {
        let opposite = draft.slots.iter().any(|slot| match slot {
            Slot::Condition(Condition::Flowbits(other), _) => {
                other.action != bits.action && other.names.len() == 1 && other.names == bits.names
            }
            _ => false,
        });
        if opposite {
            return Err(Mistake::new(&codes::IMPOSSIBLE, "a bit that is set and is not"));
        }
        return draft.condition(Condition::Flowbits(bits));
    }
    draft.effects.push(Effect::Flowbits(bits));
    Ok(())
}

fn flowint(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut parts = value.parts();
    let variable = name(draft, parts.next().unwrap_or_default())?;
    let operator = parts.next().unwrap_or_default();
    let operand = parts.next();
    if parts.next().is_some() {
        return Err(Mistake::word(&value.text, "a name, an operator and a number"));
    }
    let number = || match operand {
        None | Some("") => Err(Mistake::word(&value.text, "a number or a name behind the operator")),
        Some(text) => match text.parse() {
            Ok(number) => Ok(IntValue::Number(number)),
            Err(_) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                Err(Mistake::word(text, "a number of 32 bits or a name"))
            }
            Err(_) => name(draft, text).map(IntValue::Variable),
        },
    };
    let op = match operator {
        "=" => FlowintOp::Set(number()?),
        "+" => FlowintOp::Add(number()?),
        "-" => FlowintOp::Subtract(number()?),
        "<" => FlowintOp::Less(number()?),
        "<=" => FlowintOp::LessOrEqual(number()?),
        "==" => FlowintOp::Equal(number()?),
        "!=" => FlowintOp::NotEqual(number()?),
        ">=" => FlowintOp::GreaterOrEqual(number()?),
        ">" => FlowintOp::Greater(number()?),
        "isset" => FlowintOp::IsSet,
        "notset" | "isnotset" => FlowintOp::IsNotSet,
        other => {
            let all = "`=`, `+`, `-`, `<`, `<=`, `==`, `!=`, `>=`, `>`, `isset` or `isnotset`";
            return Err(Mistake::word(other, all));
        }
    };
    let changes = matches!(op, FlowintOp::Set(_) | FlowintOp::Add(_) | FlowintOp::Subtract(_));
    let flowint = Flowint { name: variable, op };
    if !changes {
        return draft.condition(Condition::Flowint(flowint));
    }
    draft.effects.push(Effect::Flowint(flowint));
    Ok(())
}

fn xbits(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut parts = value.parts();
    let word = parts.next().unwrap_or_default();
    if word == "noalert" {
        draft.noalert = true;
        return Ok(());
    }
    let action = action(word)?;
    let name = name(draft, parts.next().unwrap_or_default())?;
    let (mut scope, mut expire_s) = (None, None);
    for part in parts {
        let (what, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        match what {
            "track" => {
                scope = Some(match rest.trim() {
                    "ip_src" => BitScope::Source,
                    "ip_dst" => BitScope::Destination,
                    "ip_pair" => BitScope::Pair,
                    "tx" => BitScope::Transaction,
                    other => return Err(Mistake::word(other, "`ip_src`, `ip_dst`, `ip_pair` or `tx`")),
                });
            }
            "expire" => {
                let seconds = rest.trim().parse().ok().filter(|seconds| *seconds > 0);
                expire_s = Some(seconds.ok_or_else(|| Mistake::word(rest, "a number of seconds"))?);
            }
            other => return Err(Mistake::word(other, "`track` or `expire`")),
        }
    }
    let Some(scope) = scope else {
        return Err(Mistake::word(&value.text, "`track` and whose bits they are"));
    };
    let bits = Bits { action, name, scope, expire_s: expire_s.unwrap_or(XBITS_EXPIRE_S) };
    if asks(action) {
        return draft.condition(Condition::Xbits(bits));
    }
    draft.effects.push(Effect::Xbits(bits));
    Ok(())
}

fn hostbits(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut parts = value.parts();
    let action = action(parts.next().unwrap_or_default())?;
    let name = name(draft, parts.next().unwrap_or_default())?;
    let scope = match parts.next().unwrap_or("src") {
        "src" => BitScope::Source,
        "dst" => BitScope::Destination,
        "both" => BitScope::Both,
        other => return Err(Mistake::word(other, "`src`, `dst` or `both`")),
    };
    if let Some(more) = parts.next() {
        return Err(Mistake::word(more, "nothing behind the direction"));
    }
    let bits = Bits { action, name, scope, expire_s: HOSTBITS_EXPIRE_S };
    if asks(action) {
        return draft.condition(Condition::Hostbits(bits));
    }
    draft.effects.push(Effect::Hostbits(bits));
    Ok(())
}
