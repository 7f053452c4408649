//! Transforms: what is done to a buffer before anything is looked for in it.

use super::{Draft, Form, Keyword, Takes, Value, keyword, pcre::pattern};
use crate::{
    codes,
    engine::verify::compile,
    load::mistake::{Done, Mistake},
    rule::{Base64Mode, Pcre, Transform},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    plain("dotprefix"),
    plain("strip_whitespace"),
    plain("compress_whitespace"),
    plain("to_lowercase"),
    plain("to_uppercase"),
    plain("to_md5"),
    plain("to_sha1"),
    plain("to_sha256"),
    plain("url_decode"),
    plain("header_lowercase"),
    plain("strip_pseudo_headers"),
    plain("domain"),
    plain("tld"),
    keyword("from_base64", Takes::Perhaps, Form::Plain, from_base64),
    keyword("xor", Takes::Value, Form::Quotable, xor),
    keyword("pcrexform", Takes::Value, Form::Quoted, pcrexform),
    keyword("gunzip", Takes::Perhaps, Form::Plain, unpack),
    keyword("zlib_deflate", Takes::Perhaps, Form::Plain, unpack),
    keyword("subslice", Takes::Value, Form::Plain, subslice),
];

/// Most bytes that are unpacked where a rule does not say.
const UNPACKED: u32 = 1024;
/// Most transforms of one buffer.
const MAX_TRANSFORMS: usize = 16;

const fn plain(name: &'static str) -> Keyword {
    keyword(name, Takes::Nothing, Form::Plain, |draft, value| {
        let transform = match value.keyword {
            "dotprefix" => Transform::DotPrefix,
            "strip_whitespace" => Transform::StripWhitespace,
            "compress_whitespace" => Transform::CompressWhitespace,
            "to_lowercase" => Transform::ToLowercase,
            "to_uppercase" => Transform::ToUppercase,
            "to_md5" => Transform::ToMd5,
            "to_sha1" => Transform::ToSha1,
            "to_sha256" => Transform::ToSha256,
            "url_decode" => Transform::UrlDecode,
            "header_lowercase" => Transform::HeaderLowercase,
            "strip_pseudo_headers" => Transform::StripPseudoHeaders,
            "domain" => Transform::Domain,
            _ => Transform::Tld,
        };
        add(draft, value, transform)
    })
}

fn add(draft: &mut Draft<'_>, value: &Value<'_>, transform: Transform) -> Done {
    let Some(sticky) = &mut draft.sticky else {
        let message = format!("`{}` changes a sticky buffer, and none is selected", value.keyword);
        return Err(Mistake::new(&codes::NO_CONTENT, message).follows());
    };
    if sticky.transforms.len() >= MAX_TRANSFORMS {
        return Err(Mistake::new(&codes::TOO_LONG, format!("more than {MAX_TRANSFORMS} transforms of one buffer")));
    }
    if sticky.list.take().is_some() && !sticky.transforms.is_empty() {
        let message = format!("`{}` stands behind what is looked for in `{}`", value.keyword, sticky.keyword);
        let help = "a transform stands directly behind its buffer, which can be selected once more";
        return Err(Mistake::new(&codes::CONFLICT, message).help(help));
    }
    // what was looked for before was looked for in the buffer as it was
    sticky.transforms.push(transform);
    Ok(())
}

fn from_base64(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (mut bytes, mut offset, mut mode) = (0, 0, Base64Mode::Rfc4648);
    for word in value.parts().filter(|word| !word.is_empty()) {
        let wrong = || Mistake::word(word, "`bytes`, `offset` or `mode` and what it is");
        let (name, rest) = word.split_once(char::is_whitespace).ok_or_else(wrong)?;
        let rest = rest.trim();
        match name {
            "bytes" => bytes = rest.parse::<u16>().ok().filter(|bytes| *bytes > 0).ok_or_else(wrong)?.into(),
            "offset" => offset = rest.parse::<u16>().map_err(|_| wrong())?.into(),
            "mode" => {
                mode = match rest.to_ascii_lowercase().as_str() {
                    "rfc4648" => Base64Mode::Rfc4648,
                    "rfc2045" => Base64Mode::Rfc2045,
                    "strict" => Base64Mode::Strict,
                    other => return Err(Mistake::word(other, "`rfc4648`, `rfc2045` or `strict`")),
                }
            }
            _ => return Err(wrong()),
        }
    }
    add(draft, value, Transform::FromBase64 { bytes, offset, mode })
}

fn xor(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let digits: Vec<u32> = value
        .text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()
        .filter(|digits: &Vec<u32>| digits.len().is_multiple_of(2) && !digits.is_empty())
        .ok_or_else(|| Mistake::word(&value.text, "a key in hexadecimal: `\"0a0d\"`"))?;
    let key: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
    add(draft, value, Transform::Xor(key.into()))
}

fn pcrexform(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let expression = pattern(value.word.bytes);
    let wrong = |message: String| Mistake::new(&codes::PCRE, message);
    let pcre = Pcre { pattern: expression.as_str().into(), ..Pcre::default() };
    let regex =
        compile(&pcre, false).map_err(|error| wrong(format!("the expression does not compile: {}", error.message)))?;
    match regex.captures_len() {
        2 => add(draft, value, Transform::Pcre(expression.into())),
        groups => {
            Err(wrong(format!("the expression has {} groups", groups - 1)).expected("one group, which is the result"))
        }
    }
}

fn unpack(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut most = UNPACKED;
    let text = value.text.trim();
    if !text.is_empty() {
        let expected = "`max-size` and a number up to 65535";
        most = text
            .strip_prefix("max-size")
            .and_then(|number| number.trim().parse().ok())
            .filter(|number| (1..=65535).contains(number))
            .ok_or_else(|| Mistake::word(text, expected))?;
    }
    let transform = if value.keyword == "gunzip" { Transform::Gunzip(most) } else { Transform::ZlibDeflate(most) };
    add(draft, value, transform)
}

fn subslice(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let wrong = || Mistake::word(&value.text, "an offset, and perhaps a length");
    let mut numbers = value.parts().map(|part| part.parse::<i32>().ok().filter(|n| n.unsigned_abs() <= 65535));
    let offset = numbers.next().flatten().ok_or_else(wrong)?;
    let length = match numbers.next() {
        Some(length) => length.ok_or_else(wrong)?,
        None => 0,
    };
    if numbers.next().is_some() {
        return Err(Mistake::unsupported("`truncate` of `subslice` is not supported"));
    }
    add(draft, value, Transform::Subslice(offset, length))
}
