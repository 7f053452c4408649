//! `byte_test`, `byte_jump`, `byte_extract`, `byte_math`, `isdataat`, `base64_decode`: numbers in the bytes.

use std::sync::Arc;

use super::{Draft, Form, Keyword, Takes, Value, content::variable, keyword};
use crate::{
    codes,
    load::{
        mistake::{Done, Mistake},
        number::number,
    },
    rule::{
        Base64, ByteExtract, ByteJump, ByteMath, ByteOp, ByteTest, Check, Compare, From, IsDataAt, JumpBase, MathOp,
        Value as Number,
    },
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("byte_test", Takes::Value, Form::Plain, byte_test),
    keyword("byte_jump", Takes::Value, Form::Plain, byte_jump),
    keyword("byte_extract", Takes::Value, Form::Plain, byte_extract),
    keyword("byte_math", Takes::Value, Form::Plain, byte_math),
    keyword("isdataat", Takes::Value, Form::Negatable, isdataat),
    keyword("base64_decode", Takes::Perhaps, Form::Plain, base64_decode),
];

/// Variables of one rule.
const MAX_VARIABLES: usize = 255;

fn unknown(word: &str, keyword: &str) -> Mistake {
    Mistake::word(word, format!("an option of `{keyword}`"))
}

/// A number within bounds, or a variable.
fn value_of(draft: &Draft<'_>, text: &str, least: i64, most: i64) -> Result<Number, Mistake> {
    let text = text.trim();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    match number(digits).and_then(|number| i64::try_from(number).ok()) {
        Some(number) => {
            let number = if negative { -number } else { number };
            if number < least || number > most {
                return Err(Mistake::value(format!("{number} is not between {least} and {most}")));
            }
            Ok(Number::Number(number))
        }
        None if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            Err(Mistake::word(text, "a number or a variable"))
        }
        None => variable(draft, text),
    }
}

fn op(bytes: Number, offset: Number) -> ByteOp {
    ByteOp { bytes, offset, from: From::Start, little_endian: false, string: None, dce: false, bitmask: None }
}

/// Reads the words that all of these keywords share; `false`: it is none of them.
fn shared_word(op: &mut ByteOp, word: &str) -> Result<bool, Mistake> {
    let (name, rest) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
    match (name, rest.trim()) {
        ("relative", "") => op.from = From::LastMatch,
        ("big", "") => op.little_endian = false,
        ("little", "") => op.little_endian = true,
        ("dce", "") => op.dce = true,
        ("string", "") => {
            op.string.get_or_insert(10);
        }
        ("hex", "") => op.string = Some(16),
        ("dec", "") => op.string = Some(10),
        ("oct", "") => op.string = Some(8),
        ("bitmask", mask) => {
            let mask = u64::from_str_radix(mask.trim_start_matches("0x").trim_start_matches("0X"), 16)
                .ok()
                .filter(|mask| *mask != 0 && *mask <= u32::MAX.into())
                .ok_or_else(|| Mistake::word(mask, "a mask of 1 to 4 bytes that is not zero, in hexadecimal"))?;
            op.bitmask = Some(mask);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// What holds of every number that is read.
fn checked(op: &ByteOp, keyword: &str) -> Done {
    let Number::Number(bytes) = op.bytes else { return Ok(()) };
    let most = match op.string {
        Some(10) if keyword == "byte_extract" => 20,
        Some(16) if keyword == "byte_extract" => 14,
        Some(_) => 23,
        None => 8,
    };
    if bytes > most {
        let message = format!("`{keyword}` cannot make a number of {bytes} bytes");
        return Err(Mistake::value(message).expected(format!("at most {most}")));
    }
    // of a text, 0 is as far as its digits go
    if bytes == 0 && op.string.is_none() {
        return Err(Mistake::value("a number of no bytes"));
    }
    if op.dce && op.string.is_some() {
        return Err(Mistake::new(&codes::CONFLICT, "`dce` is about the order of bytes, which a text has not"));
    }
    Ok(())
}

fn split<'v>(value: &'v Value<'_>, least: usize, expected: &str) -> Result<Vec<&'v str>, Mistake> {
    let parts: Vec<&str> = value.parts().collect();
    if parts.len() < least { Err(Mistake::word(&value.text, expected)) } else { Ok(parts) }
}

fn byte_test(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let parts = split(value, 4, "bytes, an operator, a value and an offset")?;
    let bytes = value_of(draft, parts[0], 0, 23)?;
    let (negated, operator) = match parts[1].strip_prefix('!') {
        Some("") => (true, "="),
        Some(operator) => (true, operator.trim()),
        None => (false, parts[1]),
    };
    let compare = match operator {
        "=" => Compare::Equal,
        "<" => Compare::Less,
        ">" => Compare::Greater,
        "<=" => Compare::LessOrEqual,
        ">=" => Compare::GreaterOrEqual,
        "&" => Compare::And,
        "^" => Compare::Xor,
        other => return Err(Mistake::word(other, "`<`, `>`, `=`, `<=`, `>=`, `&` or `^`")),
    };
    // numbers are compared without a sign: what does not fit in 63 bits keeps its bits
    let than = match number(parts[2]) {
        Some(number) => Number::Number(number as i64),
        None => value_of(draft, parts[2], 0, i64::MAX)?,
    };
    let mut op = op(bytes, value_of(draft, parts[3], -65535, 65535)?);
    for word in &parts[4..] {
        if !shared_word(&mut op, word)? {
            return Err(unknown(word, value.keyword));
        }
    }
    checked(&op, value.keyword)?;
    check(draft, op.from, Check::ByteTest(ByteTest { op, compare, negated, value: than }), value)
}

/// `name number`
fn named<'w>(word: &'w str, name: &str) -> Option<&'w str> {
    word.strip_prefix(name)?.strip_prefix(char::is_whitespace).map(str::trim)
}

fn multiplier(text: &str) -> Result<u32, Mistake> {
    let range = "a number from 1 to 65535";
    text.parse().ok().filter(|number| (1..=65535).contains(number)).ok_or_else(|| Mistake::word(text, range))
}

fn byte_jump(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let parts = split(value, 2, "bytes and an offset")?;
    let mut jump = ByteJump {
        op: op(value_of(draft, parts[0], 0, 23)?, value_of(draft, parts[1], -65535, 65535)?),
        multiplier: 1,
        align: false,
        base: JumpBase::Here,
        post_offset: Number::Number(0),
    };
    for word in &parts[2..] {
        if shared_word(&mut jump.op, word)? {
            continue;
        }
        let base = |jump: &mut ByteJump, base| {
            if std::mem::replace(&mut jump.base, base) != JumpBase::Here {
                return Err(Mistake::new(&codes::CONFLICT, "a jump counts from one place"));
            }
            Ok(())
        };
        match *word {
            "align" => jump.align = true,
            "from_beginning" => base(&mut jump, JumpBase::Start)?,
            "from_end" => base(&mut jump, JumpBase::End)?,
            word => match (named(word, "multiplier"), named(word, "post_offset")) {
                (Some(number), _) => jump.multiplier = multiplier(number)?,
                (_, Some(number)) => jump.post_offset = value_of(draft, number, -65535, 65535)?,
                _ => return Err(unknown(word, value.keyword)),
            },
        }
    }
    if jump.op.bytes == Number::Number(0) {
        // nothing is read: the jump is to where its other options say
        if jump.base == JumpBase::Here && jump.post_offset == Number::Number(0) {
            return Err(Mistake::value("a jump of no bytes to where it begins"));
        }
    } else {
        checked(&jump.op, value.keyword)?;
    }
    check(draft, jump.op.from, Check::ByteJump(jump), value)
}

/// Adds it to what is looked for where it counts from.
fn check(draft: &mut Draft<'_>, from: From, check: Check, value: &Value<'_>) -> Done {
    match from {
        From::Start => draft.check(check, value.span.clone()),
        From::LastMatch => draft.check_behind(check, value.span.clone()),
    }
}

/// Defines a variable, or takes one that has the name: it is set anew.
fn define(draft: &mut Draft<'_>, name: &str, from: From) -> Result<u8, Mistake> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(letters) {
        return Err(Mistake::word(name, "the name of a variable"));
    }
    if let Some(index) = draft.variable(name) {
        return Ok(index);
    }
    if draft.variables.len() >= MAX_VARIABLES {
        let message = format!("the rule has more than {MAX_VARIABLES} variables");
        return Err(Mistake::new(&codes::BYTE_VARIABLE, message));
    }
    let behind = draft.last_list().filter(|_| from == From::LastMatch);
    let list = behind.unwrap_or_else(|| draft.list());
    draft.variables.push((Arc::from(name), list));
    Ok((draft.variables.len() - 1) as u8)
}

/// Refuses words that are there twice; `alike` is the part of a word that counts.
fn once<'w>(words: impl Iterator<Item = &'w str>, alike: fn(&str) -> &str) -> Done {
    let mut seen = Vec::new();
    for word in words {
        let word = alike(word);
        if seen.contains(&word) {
            return Err(Mistake::new(&codes::CONFLICT, format!("`{word}` is given twice")));
        }
        seen.push(word);
    }
    Ok(())
}

/// The name of an option, which stands in front of its value.
fn option(word: &str) -> &str {
    word.split_whitespace().next().unwrap_or_default()
}

/// What `byte_extract` alone asks of its options: a base stands behind `string`, and a text has no order of bytes.
fn options_of_extract(words: &[&str]) -> Done {
    let one_of = |word: &str| match option(word) {
        "big" | "little" | "dce" => "an order of bytes",
        "hex" | "dec" | "oct" => "a base",
        _ => "",
    };
    once(words.iter().copied(), option)?;
    let place = |what: &str| words.iter().position(|word| option(word) == what || one_of(word) == what);
    let count = |what: &str| words.iter().filter(|word| one_of(word) == what).count();
    let conflict = |message: &str| Err(Mistake::new(&codes::CONFLICT, message));
    if count("an order of bytes") > 1 || count("a base") > 1 {
        return conflict("one order of bytes and one base at most");
    }
    match (place("string"), place("a base"), place("an order of bytes")) {
        (None, Some(_), _) => conflict("a base of what is no `string`"),
        (Some(string), Some(base), _) if base < string => conflict("a base stands behind `string`"),
        (Some(_), _, Some(_)) => conflict("a `string` has no order of bytes"),
        _ => Ok(()),
    }
}

fn byte_extract(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let parts = split(value, 3, "bytes, an offset and a variable")?;
    options_of_extract(&parts[3..])?;
    let (bytes, offset) = (value_of(draft, parts[0], 0, 23)?, value_of(draft, parts[1], -65535, 65535)?);
    let mut op = op(bytes, offset);
    let (mut times, mut align) = (1, 0);
    for word in &parts[3..] {
        if shared_word(&mut op, word)? {
            continue;
        }
        match (named(word, "multiplier"), named(word, "align")) {
            (Some(number), _) => times = multiplier(number)?,
            (_, Some("2")) => align = 2,
            (_, Some("4")) => align = 4,
            (_, Some(other)) => return Err(Mistake::word(other, "2 or 4")),
            _ => return Err(unknown(word, value.keyword)),
        }
    }
    checked(&op, value.keyword)?;
    let variable = define(draft, parts[2], op.from)?;
    check(draft, op.from, Check::ByteExtract(ByteExtract { op, multiplier: times, align, variable }), value)
}

fn byte_math(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (mut bytes, mut offset, mut operator, mut right, mut result) = (None, None, None, None, None);
    let mut op = op(Number::Number(0), Number::Number(0));
    once(value.parts(), option)?;
    for word in value.parts() {
        let (name, rest) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
        let rest = rest.trim();
        match name {
            "bytes" => bytes = Some(value_of(draft, rest, 1, 10)?),
            "offset" => offset = Some(value_of(draft, rest, -65535, 65535)?),
            "oper" => {
                operator = Some(match rest {
                    "+" => MathOp::Add,
                    "-" => MathOp::Subtract,
                    "*" => MathOp::Multiply,
                    "/" => MathOp::Divide,
                    "<<" => MathOp::ShiftLeft,
                    ">>" => MathOp::ShiftRight,
                    other => return Err(Mistake::word(other, "`+`, `-`, `*`, `/`, `<<` or `>>`")),
                });
            }
            "rvalue" => right = Some(value_of(draft, rest, 0, u32::MAX.into())?),
            "result" => result = Some(rest),
            "endian" => match rest {
                "big" => op.little_endian = false,
                "little" => op.little_endian = true,
                other => return Err(Mistake::word(other, "`big` or `little`")),
            },
            "string" if !rest.is_empty() => {
                op.string = Some(match rest {
                    "hex" => 16,
                    "dec" => 10,
                    "oct" => 8,
                    other => return Err(Mistake::word(other, "`hex`, `dec` or `oct`")),
                });
            }
            "relative" | "dce" | "bitmask" if shared_word(&mut op, word)? => {}
            _ => return Err(unknown(word, value.keyword)),
        }
    }
    let (Some(bytes), Some(offset), Some(operator), Some(right), Some(result)) =
        (bytes, offset, operator, right, result)
    else {
        return Err(Mistake::word(&value.text, "`bytes`, `offset`, `oper`, `rvalue` and `result`"));
    };
    if operator == MathOp::Divide && right == Number::Number(0) {
        return Err(Mistake::value("a division by zero"));
    }
    let shift = matches!(operator, MathOp::ShiftLeft | MathOp::ShiftRight);
    if shift && matches!(bytes, Number::Number(5..)) {
        return Err(Mistake::value("what is shifted has 4 bytes at most"));
    }
    op.bytes = bytes;
    op.offset = offset;
    checked(&op, value.keyword)?;
    let variable = define(draft, result, op.from)?;
    check(draft, op.from, Check::ByteMath(ByteMath { op, operator, value: right, variable }), value)
}

fn isdataat(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut parts = value.parts();
    let place = value_of(draft, parts.next().unwrap_or_default(), 0, 65535)?;
    let mut from = From::Start;
    for word in parts {
        match word {
            "relative" => from = From::LastMatch,
            "rawbytes" => {}
            other => return Err(unknown(other, value.keyword)),
        }
    }
    check(draft, from, Check::IsDataAt(IsDataAt { place, from, negated: value.negated }), value)
}

fn base64_decode(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut decode = Base64 { bytes: 0, offset: 0, from: From::Start };
    for word in value.parts().filter(|word| !word.is_empty()) {
        let wrong = || Mistake::word(word, "`bytes` or `offset` and a number, or `relative`");
        match (named(word, "bytes"), named(word, "offset"), word) {
            (Some(number), ..) => {
                decode.bytes = number.parse().ok().filter(|bytes| *bytes > 0).ok_or_else(wrong)?;
            }
            (_, Some(number), _) => decode.offset = number.parse().map_err(|_| wrong())?,
            (.., "relative") => decode.from = From::LastMatch,
            _ => return Err(wrong()),
        }
    }
    check(draft, decode.from, Check::Base64(decode), value)
}
