//! `content` and its modifiers, and what else is asked of a buffer as such.

use super::{Draft, Form, Keyword, Takes, Value, keyword};
use crate::{
    buffer::Buffer,
    codes,
    load::{
        draft::{Fast, List},
        mistake::{Done, Mistake},
        number::number_test,
    },
    rule::{Check, Content, Entropy, EntropyTest, NumberTest, Place, Selected, Size, Value as Number},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("content", Takes::Value, Form::NegatableQuoted, content),
    keyword("uricontent", Takes::Value, Form::NegatableQuoted, uricontent),
    keyword("nocase", Takes::Nothing, Form::Plain, nocase),
    keyword("rawbytes", Takes::Nothing, Form::Plain, rawbytes),
    keyword("offset", Takes::Value, Form::Plain, offset),
    keyword("depth", Takes::Value, Form::Plain, depth),
    keyword("distance", Takes::Value, Form::Plain, distance),
    keyword("within", Takes::Value, Form::Plain, within),
    keyword("startswith", Takes::Nothing, Form::Plain, startswith),
    keyword("endswith", Takes::Nothing, Form::Plain, endswith),
    keyword("fast_pattern", Takes::Perhaps, Form::Plain, fast_pattern),
    keyword("http_uri", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpUri, v.keyword)),
    keyword("http_raw_uri", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpUriRaw, v.keyword)),
    keyword("http_client_body", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpRequestBody, v.keyword)),
    keyword("http_server_body", Takes::Nothing, Form::Plain, |d, v| {
        d.move_content(Buffer::HttpResponseBody, v.keyword)
    }),
    keyword("http_header", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpHeader, v.keyword)),
    keyword("http_raw_header", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpHeaderRaw, v.keyword)),
    keyword("http_method", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpMethod, v.keyword)),
    keyword("http_cookie", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpCookie, v.keyword)),
    keyword("http_stat_code", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpStatCode, v.keyword)),
    keyword("http_stat_msg", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpStatMsg, v.keyword)),
    keyword("http_user_agent", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpUserAgent, v.keyword)),
    keyword("http_host", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpHost, v.keyword)),
    keyword("http_raw_host", Takes::Nothing, Form::Plain, |d, v| d.move_content(Buffer::HttpHostRaw, v.keyword)),
    keyword("pkt_data", Takes::Nothing, Form::Plain, |draft, _| draft.close()),
    keyword("base64_data", Takes::Nothing, Form::Plain, |draft, value| {
        let decoded = |list: &List| list.items.iter().any(|item| matches!(item.check, Check::Base64(_)));
        if !draft.lists.iter().any(decoded) {
            let message = "`base64_data` is what `base64_decode` makes, and there is none before it";
            return Err(Mistake::new(&codes::NO_CONTENT, message).follows());
        }
        draft.select(Selected::Base64, value.keyword, value.span.clone())
    }),
    keyword("bsize", Takes::Value, Form::Plain, bsize),
    keyword("urilen", Takes::Value, Form::Plain, urilen),
    keyword("absent", Takes::Perhaps, Form::Plain, absent),
    keyword("entropy", Takes::Value, Form::Plain, entropy),
];

/// Farthest that a place may be named, bytes.
const FARTHEST: i64 = 1 << 20;

/// The bytes of a content: `|41 42|` is hexadecimal, a backslash takes `;`, `"`, `\` and `:` as they are.
pub(super) fn bytes(value: &Value<'_>) -> Result<Vec<u8>, Mistake> {
    let text = value.word.bytes;
    let mistake = |message: &str, at: usize| {
        let at = value.word.start + at;
        Mistake::new(&codes::CONTENT, message).at(at..at + 1)
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'|' => at = hexadecimal(text, at, &mut bytes).map_err(|(message, at)| mistake(message, at))?,
            b'\\' => {
                match text.get(at + 1) {
                    Some(escaped @ (b';' | b'"' | b'\\' | b':')) => bytes.push(*escaped),
                    _ => {
                        let expected = "`\\;`, `\\\"`, `\\\\` or `\\:`";
                        return Err(mistake("a backslash before what needs none", at).expected(expected));
                    }
                }
                at += 1;
            }
            b'"' => return Err(mistake("a quote inside of a content", at).expected("`\\\"` or `|22|`")),
            other => bytes.push(*other),
        }
        at += 1;
    }
    if bytes.is_empty() {
        return Err(Mistake::new(&codes::CONTENT, "a content of no bytes"));
    }
    Ok(bytes)
}

/// Reads from one bar to the next one, whose place it says.
fn hexadecimal(text: &[u8], bar: usize, bytes: &mut Vec<u8>) -> Result<usize, (&'static str, usize)> {
    let mut high = None;
    for (at, byte) in text.iter().enumerate().skip(bar + 1) {
        match (byte, (*byte as char).to_digit(16)) {
            (b'|', _) if high.is_some() => return Err(("half a byte", at - 1)),
            (b'|', _) => return Ok(at),
            (b' ', _) => {}
            (_, None) => return Err(("no hexadecimal digit", at)),
            (_, Some(digit)) => match high.take() {
                None => high = Some(digit),
                Some(high) => bytes.push((high << 4 | digit) as u8),
            },
        }
    }
    Err(("a bar that no other one ends", bar))
}

/// A content that stands for itself.
pub(super) fn plain(bytes: Vec<u8>, negated: bool) -> Content {
    Content { bytes: bytes.into(), nocase: false, negated, place: Place::default() }
}

fn content(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let content = plain(bytes(value)?, value.negated);
    // Suricata lower-cases nothing: what can never be in a buffer of lower case is a mistake of the rule
    draft.check(Check::Content(content), value.span.clone())
}

fn uricontent(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    if draft.sticky.is_some() {
        let help = "select `http.uri` and use `content`";
        return Err(Mistake::new(&codes::CONFLICT, "`uricontent` with a sticky buffer").help(help));
    }
    let content = plain(bytes(value)?, value.negated);
    draft.check_of(Buffer::HttpUri, value.keyword, Check::Content(content), value.span.clone())
}

/// The payload is always looked at as it is; another buffer has no raw bytes.
fn rawbytes(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    if let Some(sticky) = &draft.sticky {
        let message = format!("`rawbytes` is about the payload, and `{}` is selected", sticky.keyword);
        return Err(Mistake::new(&codes::CONFLICT, message));
    }
    draft.last_content(value.keyword).map(drop)
}

fn twice(keyword: &str) -> Mistake {
    Mistake::new(&codes::CONFLICT, format!("`{keyword}` is given twice for one content"))
}

fn nocase(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (content, ..) = draft.last_content(value.keyword)?;
    if std::mem::replace(&mut content.nocase, true) { Err(twice(value.keyword)) } else { Ok(()) }
}

/// A number of bytes, or a variable.
fn place(draft: &Draft<'_>, value: &Value<'_>, least: i64, most: i64) -> Result<Number, Mistake> {
    let text = value.text.trim();
    if let Ok(number) = text.parse::<i64>() {
        if number < least || number > most {
            return Err(Mistake::value(format!("{number} is not between {least} and {most}")));
        }
        return Ok(Number::Number(number));
    }
    variable(draft, text)
}

/// A variable that was defined before.
pub(super) fn variable(draft: &Draft<'_>, name: &str) -> Result<Number, Mistake> {
    draft.variable(name).map(Number::Variable).ok_or_else(|| {
        let message =
            format!("{} is neither a number nor a variable that is defined before", crate::diagnostic::quoted(name));
        Mistake::new(&codes::BYTE_VARIABLE, message)
    })
}

/// Sets one of the places of the last content.
fn set_place(
    draft: &mut Draft<'_>,
    value: &Value<'_>,
    slot: fn(&mut Place) -> &mut Option<Number>,
    number: Number,
) -> Done {
    let relative = matches!(value.keyword, "distance" | "within");
    let fast = draft.fast_pattern.as_ref().map(|fast| (fast.order, fast.only));
    let (content, _, order) = draft.last_content(value.keyword)?;
    if fast.is_some_and(|(of, only)| of == order && (only || content.negated)) {
        let message = format!("`{}` of a content that `fast_pattern` looks for anywhere", value.keyword);
        return Err(Mistake::new(&codes::CONFLICT, message));
    }
    let place = &mut content.place;
    if slot(place).replace(number).is_some() {
        return Err(twice(value.keyword));
    }
    if place.at_start {
        let message = format!("`{}` and `startswith` of one content", value.keyword);
        return Err(Mistake::new(&codes::CONFLICT, message));
    }
    let (absolute, behind) = (place.offset.or(place.depth).is_some(), place.distance.or(place.within).is_some());
    if absolute && behind {
        let others = if relative { "`offset` or `depth`" } else { "`distance` or `within`" };
        let message = format!("`{}` and {others} of one content", value.keyword);
        let help = "a place counts from the start of the buffer or from the last match, not from both";
        return Err(Mistake::new(&codes::CONFLICT, message).help(help));
    }
    if let ("depth" | "within", Number::Number(number)) = (value.keyword, number)
        && number < content.bytes.len() as i64
    {
        let message = format!("the content of {} bytes does not fit in {number}", content.bytes.len());
        return Err(Mistake::new(&codes::IMPOSSIBLE, message));
    }
    Ok(())
}

fn offset(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number = place(draft, value, 0, 65535)?;
    set_place(draft, value, |place| &mut place.offset, number)
}

fn depth(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number = place(draft, value, 0, 65535)?;
    set_place(draft, value, |place| &mut place.depth, number)
}

fn distance(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number = place(draft, value, -FARTHEST, FARTHEST)?;
    set_place(draft, value, |place| &mut place.distance, number)
}

fn within(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let number = place(draft, value, -FARTHEST, FARTHEST)?;
    set_place(draft, value, |place| &mut place.within, number)
}

fn startswith(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (content, ..) = draft.last_content(value.keyword)?;
    let place = &mut content.place;
    if std::mem::replace(&mut place.at_start, true) {
        return Err(twice(value.keyword));
    }
    if place.offset.or(place.depth).or(place.distance).or(place.within).is_some() {
        let message = "`startswith` with `offset`, `depth`, `distance` or `within` of one content";
        return Err(Mistake::new(&codes::CONFLICT, message));
    }
    Ok(())
}

fn endswith(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (content, ..) = draft.last_content(value.keyword)?;
    if std::mem::replace(&mut content.place.at_end, true) { Err(twice(value.keyword)) } else { Ok(()) }
}

fn fast_pattern(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let conflict = |message: &str| Err(Mistake::new(&codes::CONFLICT, message));
    let set = draft.fast_pattern.is_some();
    let (content, _, order) = draft.last_content(value.keyword)?;
    let place = content.place;
    let placed = place.offset.or(place.depth).or(place.distance).or(place.within).is_some();
    if set {
        return conflict("a rule has one `fast_pattern`");
    }
    if content.negated && placed {
        return conflict("`fast_pattern` of a negated content that stands at a place");
    }
    let mut fast = Fast { order, only: false, chop: None };
    match value.text.trim() {
        "" => {}
        "only" if content.negated || placed => {
            return conflict("`fast_pattern:only` of a content that is negated or stands at a place");
        }
        "only" => fast.only = true,
        chop => {
            let numbers = chop.split_once(',').and_then(|(offset, length)| {
                Some((offset.trim().parse::<u16>().ok()?, length.trim().parse::<u16>().ok()?))
            });
            let Some((offset, length)) = numbers else {
                return Err(Mistake::word(chop, "`only`, or an offset and a length: `0,5`"));
            };
            if length == 0 || usize::from(offset) + usize::from(length) > content.bytes.len() {
                let message = format!("the content has {} bytes", content.bytes.len());
                return Err(Mistake::value(message).expected("an offset and a length within it"));
            }
            fast.chop = Some((offset, length));
        }
    }
    draft.fast_pattern = Some(fast);
    Ok(())
}

/// The size of a buffer that a comparison is about.
fn size(test: NumberTest) -> Result<Size, Mistake> {
    let number = |number: u64| Number::Number(number as i64);
    Ok(match test {
        NumberTest::Equal(than) => Size::Equal(number(than)),
        NumberTest::NotEqual(than) => Size::NotEqual(number(than)),
        NumberTest::Less(than) => Size::Less(number(than)),
        NumberTest::LessOrEqual(than) => Size::LessOrEqual(number(than)),
        NumberTest::Greater(than) => Size::Greater(number(than)),
        NumberTest::GreaterOrEqual(than) => Size::GreaterOrEqual(number(than)),
        NumberTest::Between(low, high) => Size::Between(low, high),
        _ => return Err(Mistake::unsupported("a size is compared by `<`, `>`, `=`, `!` and `<>` alone")),
    })
}

fn bsize(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    if draft.sticky.is_none() {
        let message = "`bsize` is about a sticky buffer, and none is selected";
        return Err(Mistake::new(&codes::NO_CONTENT, message).follows());
    }
    let operator = value.text.len() - value.text.trim_start_matches(['<', '>', '=', '!', ' ']).len();
    let name = value.text[operator..].trim();
    let size = match draft.variable(name).map(Number::Variable) {
        Some(variable) => match value.text[..operator].trim() {
            "" | "=" => Size::Equal(variable),
            "!" | "!=" => Size::NotEqual(variable),
            "<" => Size::Less(variable),
            "<=" => Size::LessOrEqual(variable),
            ">" => Size::Greater(variable),
            ">=" => Size::GreaterOrEqual(variable),
            other => return Err(Mistake::word(other, "an operator")),
        },
        None => size(number_test(&value.text, i64::MAX as u64, &|_| None).map_err(Mistake::value)?)?,
    };
    draft.check(Check::Size(size), value.span.clone())
}

fn urilen(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (test, which) = value.text.split_once(',').map_or((&*value.text, "norm"), |(test, which)| (test, which.trim()));
    let buffer = match which {
        "norm" => Buffer::HttpUri,
        "raw" => Buffer::HttpUriRaw,
        other => return Err(Mistake::word(other, "`norm` or `raw`")),
    };
    let size = size(number_test(test, u16::MAX.into(), &|_| None).map_err(Mistake::value)?)?;
    draft.check_of(buffer, value.keyword, Check::Size(size), value.span.clone())
}

fn absent(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let or_else = match value.text.trim() {
        "" => false,
        "or_else" => true,
        other => return Err(Mistake::word(other, "nothing or `or_else`")),
    };
    let selected = draft.sticky.as_ref().filter(|sticky| sticky.list.is_none());
    if selected.is_none() {
        let message = "`absent` stands directly behind the buffer that it is about";
        return Err(Mistake::new(&codes::CONFLICT, message).follows());
    }
    draft.check(Check::Absent(or_else), value.span.clone())
}

fn entropy(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (mut offset, mut bytes, mut test) = (0, 0, None);
    for part in value.parts().filter(|part| !part.is_empty()) {
        let (what, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let count = || rest.trim().parse::<u16>().map_err(|_| Mistake::word(rest, "a number from 0 to 65535"));
        match what {
            "offset" => offset = count()?.into(),
            "bytes" => bytes = count()?.into(),
            "value" => test = Some(entropy_test(rest.trim())?),
            other => return Err(Mistake::word(other, "`bytes`, `offset` or `value`")),
        }
    }
    let test = test.ok_or_else(|| Mistake::word(&value.text, "`value` and a comparison"))?;
    draft.check(Check::Entropy(Entropy { offset, bytes, test }), value.span.clone())
}

fn entropy_test(text: &str) -> Result<EntropyTest, Mistake> {
    let digits = text.trim_start_matches(['<', '>', '=', '!', ' ']);
    let operator = text[..text.len() - digits.len()].trim();
    let bits = |text: &str| {
        let number = text.trim().parse::<f64>().ok().filter(|number| (0.0..=8.0).contains(number));
        number.ok_or_else(|| Mistake::word(text, "a number from 0 to 8"))
    };
    let range = digits.split_once("<>").or_else(|| digits.split_once('-'));
    if let Some((low, high)) = range {
        let (low, high) = (bits(low)?, bits(high)?);
        return match operator {
            _ if low >= high => Err(Mistake::word(digits, "a smaller and a larger number")),
            "" => Ok(EntropyTest::Between(low, high)),
            "!" => Ok(EntropyTest::NotBetween(low, high)),
            other => Err(Mistake::word(other, "nothing or `!`")),
        };
    }
    let than = bits(digits)?;
    Ok(match operator {
        "" | "=" => EntropyTest::Equal(than),
        "!" | "!=" => EntropyTest::NotEqual(than),
        "<" => EntropyTest::Less(than),
        "<=" => EntropyTest::LessOrEqual(than),
        ">" => EntropyTest::Greater(than),
        ">=" => EntropyTest::GreaterOrEqual(than),
        other => return Err(Mistake::word(other, "an operator")),
    })
}
