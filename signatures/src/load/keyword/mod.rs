//! Keywords: how each is written, and what it adds to a rule.

mod app;
mod bits;
mod bytes;
mod content;
mod events;
mod files;
mod flow;
mod limits;
mod meta;
mod names;
mod packet;
mod pcre;
mod transforms;

use std::{borrow::Cow, collections::HashMap, ops::Range, sync::LazyLock};

pub(super) use self::{limits::Pairs, packet::protocol_number};
use super::{
    draft::Draft,
    mistake::{Done, Mistake},
};
use crate::{
    buffer::Buffer,
    codes,
    diagnostic::quoted,
    rule::Selected,
    subject::Direction,
    syntax::{Setting, Word},
};

/// A value without its quotes and the exclamation mark before them.
pub(crate) struct Value<'a> {
    /// The keyword, in lower case.
    pub keyword: &'static str,
    pub word: Word<'a>,
    pub text: Cow<'a, str>,
    pub negated: bool,
    /// Where the keyword stands, with its value.
    pub span: Range<usize>,
}

/// Whether there is a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    Perhaps,
    Value,
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// With or without quotes.
    Quotable,
    Quoted,
    /// The same with `!` before it.
    Negatable,
    NegatableQuoted,
}

/// A keyword.
pub(crate) struct Keyword {
    name: &'static str,
    takes: Takes,
    form: Form,
    apply: Apply,
}

type Apply = fn(&mut Draft<'_>, &Value<'_>) -> Done;

const fn keyword(name: &'static str, takes: Takes, form: Form, apply: Apply) -> Keyword {
    Keyword { name, takes, form, apply }
}

static KEYWORDS: LazyLock<HashMap<&'static str, &'static Keyword>> = LazyLock::new(|| {
    let tables = [
        meta::KEYWORDS,
        content::KEYWORDS,
        pcre::KEYWORDS,
        bytes::KEYWORDS,
        transforms::KEYWORDS,
        flow::KEYWORDS,
        bits::KEYWORDS,
        limits::KEYWORDS,
        packet::KEYWORDS,
        events::KEYWORDS,
        files::KEYWORDS,
        app::KEYWORDS,
    ];
    tables.into_iter().flatten().map(|keyword| (keyword.name, keyword)).collect()
});

/// Keywords that Suricata has and Dropgate has not, with what stands in the way.
pub const UNSUPPORTED: &[(&str, &str)] = &[
    ("lua", "scripts are not run"),
    ("luaxform", "scripts are not run"),
    ("config", "rules do not configure anything here"),
    ("replace", "packets are not rewritten"),
    ("asn1", "Suricata 8 has it no more"),
    ("frame", "frames are not offered to rules"),
    ("app-layer-state", "rules do not hook into states"),
    ("geoip", "there is no table of countries"),
    ("iprep", "there is no table of reputations"),
    ("datarep", "there is no table of reputations"),
    ("tcp.session", "rules do not hook into states"),
    ("tls.store", "certificates are not stored"),
    ("flow.elephant", "flows are not told apart by it"),
    ("nfq_set_mark", "packets are not marked"),
    ("exclude_bytes", "it is not known"),
    ("ether.hdr", "link-layer headers are not offered to rules"),
    ("arp.opcode", "ARP is not offered to rules"),
    ("ja4.string", "it is not known"),
    ("unique_on", "it is not known"),
];

/// Whether there is such a keyword, for `requires`.
pub(crate) fn exists(name: &str) -> bool {
    KEYWORDS.contains_key(name) || Buffer::named(name).is_some()
}

/// The name of every keyword that rules may use, sorted.
pub fn names() -> Vec<&'static str> {
    let mut all: Vec<&'static str> = KEYWORDS.keys().copied().collect();
    all.extend(Buffer::ALL.iter().map(|buffer| buffer.name()));
    all.sort_unstable();
    all.dedup();
    all
}

/// Reads one option of a rule.
pub(crate) fn apply(draft: &mut Draft<'_>, setting: &Setting<'_>) -> Done {
    let written = setting.keyword.text();
    let name = if written.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(written.to_ascii_lowercase())
    } else {
        written
    };
    if let Some(keyword) = KEYWORDS.get(&*name) {
        let value = keyword.value(setting)?;
        return (keyword.apply)(draft, &value);
    }
    if let Some(buffer) = Buffer::named(&name) {
        let toward = match setting.value.as_ref().filter(|value| !value.bytes.is_empty()) {
            None => None,
            Some(value) => Some(match &*value.text() {
                "to_client" => Direction::ToClient,
                "to_server" => Direction::ToServer,
                _ => {
                    let message = format!("`{name}` takes no value");
                    return Err(Mistake::new(&codes::ARGUMENT, message).at(value.span()));
                }
            }),
        };
        draft.select(Selected::Buffer(buffer), &name, setting.keyword.span())?;
        return toward.map_or(Ok(()), |toward| draft.toward(toward));
    }
    let at = setting.keyword.span();
    if let Some((_, why)) = UNSUPPORTED.iter().find(|(known, _)| *known == name) {
        return Err(Mistake::unsupported(format!("`{name}` is not supported: {why}")).at(at));
    }
    let mistake = Mistake::new(&codes::UNKNOWN_KEYWORD, format!("there is no keyword {}", quoted(&name))).at(at);
    Err(draft.context.shared.suggest(&name, names, mistake))
}

impl Keyword {
    fn value<'a>(&self, setting: &Setting<'a>) -> Result<Value<'a>, Mistake> {
        let name = self.name;
        let wrong = |message: String, at: Range<usize>| Err(Mistake::new(&codes::ARGUMENT, message).at(at));
        let keyword = setting.keyword.span();
        let empty = Word { bytes: b"", start: keyword.end };
        let mut word = setting.value.unwrap_or(empty);
        let span = keyword.start..word.span().end.max(keyword.end);
        match self.takes {
            Takes::Nothing if !word.bytes.is_empty() => {
                return wrong(format!("`{name}` takes no value"), word.span());
            }
            Takes::Value if word.bytes.is_empty() => return wrong(format!("`{name}` needs a value"), keyword),
            _ => {}
        }
        let mut negated = false;
        if matches!(self.form, Form::Negatable | Form::NegatableQuoted) && word.bytes.first() == Some(&b'!') {
            negated = true;
            word = word.part(1..word.bytes.len()).trimmed();
        }
        let begins = word.bytes.first() == Some(&b'"');
        let ends = word.bytes.len() > 1 && word.bytes.last() == Some(&b'"');
        match (begins, ends) {
            (true, true) if self.form == Form::Plain => {
                return wrong(format!("the value of `{name}` stands without quotes"), word.span());
            }
            (true, true) => word = word.part(1..word.bytes.len() - 1),
            (true, false) => {
                let at = word.span();
                return Err(Mistake::new(&codes::ARGUMENT, "a quote that does not end")
                    .at(at)
                    .help("a semicolon ends an option inside quotes too: write it as `\\;` or `|3B|`"));
            }
            (false, _) if matches!(self.form, Form::Quoted | Form::NegatableQuoted) && self.takes == Takes::Value => {
                return wrong(format!("the value of `{name}` must stand in double quotes"), word.span());
            }
            (false, _) => {}
        }
        if word.bytes.is_empty() && self.takes == Takes::Value && name != "msg" {
            return wrong(format!("the value of `{name}` is empty"), span);
        }
        Ok(Value { keyword: name, word, text: word.text(), negated, span })
    }
}

impl Value<'_> {
    /// The parts between commas, without spaces around them.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split(',').map(str::trim)
    }

    /// A number that fits.
    pub fn number<T: TryFrom<u64>>(&self, max: u64) -> Result<T, Mistake> {
        let wrong = || Mistake::word(&self.text, format!("a number from 0 to {max}"));
        let number = super::number::number(&self.text).filter(|number| *number <= max).ok_or_else(wrong)?;
        T::try_from(number).map_err(|_| wrong())
    }
}
