//! Keywords of files, and of sets that other files hold.

use super::{
    Draft, Form, Keyword, Takes, Value,
    content::{bytes, plain},
    keyword,
};
use crate::{
    buffer::Buffer,
    load::{
        mistake::{Done, Mistake},
        number::number_test,
        sets,
    },
    rule::{Check, Condition, Dataset, SetAction, SetKind},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("filename", Takes::Value, Form::Negatable, name),
    keyword("fileext", Takes::Value, Form::Negatable, extension),
    keyword("filemagic", Takes::Value, Form::Negatable, name),
    keyword("filesize", Takes::Value, Form::Plain, size),
    keyword("filestore", Takes::Perhaps, Form::Plain, |draft, value| {
        draft.speak(Buffer::FileData.apps(), value.keyword)?;
        draft.condition(Condition::FileStore)
    }),
    keyword("filemd5", Takes::Value, Form::Negatable, digests),
    keyword("filesha1", Takes::Value, Form::Negatable, digests),
    keyword("filesha256", Takes::Value, Form::Negatable, digests),
    keyword("dataset", Takes::Value, Form::Plain, dataset),
];

/// `filename`, `filemagic`: a content of that buffer, whatever its case.
fn name(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let buffer = if value.keyword == "filename" { Buffer::FileName } else { Buffer::FileMagic };
    let mut content = plain(bytes(value)?, value.negated);
    content.nocase = true;
    draft.check_of(buffer, value.keyword, Check::Content(content), value.span.clone())
}

fn extension(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let text = String::from_utf8_lossy(&bytes(value)?).to_ascii_lowercase();
    draft.speak(Buffer::FileName.apps(), value.keyword)?;
    draft.condition(Condition::FileExtension(text.trim_start_matches('.').into(), value.negated))
}

fn size(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let test = number_test(&value.text, u64::MAX, &|_| None).map_err(Mistake::value)?;
    draft.speak(Buffer::FileData.apps(), value.keyword)?;
    draft.condition(Condition::FileSize(test))
}

fn digests(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let length = match value.keyword {
        "filemd5" => 16,
        "filesha1" => 20,
        _ => 32,
    };
    let context = draft.context;
    let digests = context.shared.sets.borrow_mut().digests(context, &value.text, length)?;
    draft.speak(Buffer::FileData.apps(), value.keyword)?;
    draft.condition(Condition::FileHash(digests, value.negated))
}

fn dataset(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut parts = value.parts();
    let action = match parts.next().unwrap_or_default() {
        "isset" => SetAction::IsSet,
        "isnotset" => SetAction::IsNotSet,
        "set" => SetAction::Set,
        "unset" => SetAction::Unset,
        other => return Err(Mistake::word(other, "`isset`, `isnotset`, `set` or `unset`")),
    };
    let name = parts.next().unwrap_or_default();
    if name.is_empty() || name.len() > 63 || name.contains(char::is_whitespace) {
        return Err(Mistake::word(name, "a name of at most 63 characters without spaces"));
    }
    let (mut kind, mut load) = (None, None);
    for part in parts {
        let (what, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let rest = rest.trim();
        match what {
            "type" => {
                kind = Some(match rest {
                    "string" => SetKind::String,
                    "md5" => SetKind::Md5,
                    "sha256" => SetKind::Sha256,
                    "ip" | "ipv6" => SetKind::Ip,
                    "ipv4" => SetKind::Ipv4,
                    other => {
                        return Err(Mistake::word(other, "`string`, `md5`, `sha256`, `ipv4`, `ipv6` or `ip`"));
                    }
                });
            }
            "load" => load = Some((rest, true)),
            // what is saved there is a start that may be missing
            "state" => load = Some((rest, false)),
            "save" | "memcap" | "hashsize" => {}
            "format" if rest == "csv" => {}
            "format" | "context_key" | "value_key" | "array_key" | "remove_key" => {
                return Err(Mistake::unsupported("datasets in JSON are not supported"));
            }
            other => {
                return Err(Mistake::word(other, "`type`, `load`, `state`, `save`, `memcap` or `hashsize`"));
            }
        }
    }
    if draft.sticky.is_none() {
        let message = "`dataset` looks a sticky buffer up, and none is selected";
        return Err(Mistake::new(&crate::codes::NO_CONTENT, message).follows());
    }
    let context = draft.context;
    let (kind, initial) = context.shared.sets.borrow_mut().set(context, &sets::Named { name, kind, load })?;
    let set = Dataset { action, name: context.shared.name(name), kind, initial };
    draft.check(Check::Dataset(set), value.span.clone())
}
