//! From files to rules: every mistake in one run, and one rule's mistakes leave out that rule alone.

mod address;
mod classes;
mod context;
mod draft;
mod finish;
mod form;
mod header;
mod keyword;
mod list;
mod mistake;
mod number;
mod port;
mod sets;
mod slow;
mod thresholds;
mod variables;

use std::{collections::HashMap, ops::Range, sync::Arc};

pub use self::{
    classes::{Classes, References},
    keyword::{UNSUPPORTED, names as keywords},
    list::ListError,
    variables::{DEFAULT_ADDRESSES, DEFAULT_PORTS, Variables},
};
use self::{
    context::{Context, Interned},
    draft::Draft,
    finish::{Standing, finish},
    header::{Headers, action},
    mistake::Mistake,
};
use crate::{
    codes,
    diagnostic::{Diagnostic, Place, Severity, Source},
    rule::Rule,
    syntax,
    text::{Line, lines},
};

/// Longest rule, bytes.
const MAX_RULE: usize = 64 << 10;
/// Most errors that are shown, and most warnings: outcomes are of all rules.
const MAX_SHOWN: usize = 1000;

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// As diagnostics name it.
    pub name: &'a str,
    pub bytes: &'a [u8],
}

/// Reads a file that a rule names: the name of the rule's file, and what the rule says. The error is for people.
pub type Read<'a> = &'a dyn Fn(&str, &str) -> Result<Vec<u8>, String>;

/// What stands beside the rules.
pub struct Options<'a> {
    pub variables: Variables,
    /// `classification.config`, which adds to the classes that are well known.
    pub classification: Option<File<'a>>,
    /// `reference.config`
    pub references: Option<File<'a>>,
    /// `threshold.config`
    pub thresholds: Option<File<'a>>,
    /// Reads datasets and lists of digests.
    pub read: Read<'a>,
}

/// What came of files of rules.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Those that are sound, in order.
    pub rules: Vec<Rule>,
    /// What came of each rule, in order.
    pub outcomes: Vec<Outcome>,
    /// Mistakes and warnings by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// Rules that are commented out.
    pub disabled: usize,
    /// Where what rules refer to is found.
    pub references: References,
}

/// What came of a rule.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub file: Arc<str>,
    pub line: u32,
    /// 0: it has none that could be read.
    pub sid: u32,
    /// Why it was left out.
    pub refused: Option<Refused>,
}

/// Why a rule was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The keyword that stopped it; of the header: `action`, `protocol`, `address`, `port`, `direction`; of what has not the
    /// form of a rule: `rule`.
    pub keyword: String,
    pub error: String,
}

/// Reads rules.
pub fn load(files: &[File<'_>], options: &Options<'_>) -> Loaded {
    let shared = Interned::default();
    let mut loader = Loader {
        loaded: Loaded::default(),
        headers: Headers::new(&options.variables, &shared),
        known: HashMap::new(),
        replaced: Vec::new(),
        shown: [0; 2],
    };
    let mut classes = Classes::default();
    if let Some(file) = &options.classification {
        loader.configuration(file, classes.extend(file.bytes));
    }
    if let Some(file) = &options.references {
        let wrong = loader.loaded.references.extend(file.bytes);
        loader.configuration(file, wrong);
    }
    for file in files {
        let context = Context { options, classes: &classes, file: shared.name(file.name), shared: &shared };
        loader.file(file, &context);
    }
    loader.leave_out_replaced();
    if let Some(file) = &options.thresholds {
        let (thresholds, wrong) = thresholds::Thresholds::parse(file.bytes, &options.variables);
        let unused = thresholds.apply(&mut loader.loaded.rules);
        loader.misplaced(file, wrong.into_iter().chain(unused));
    }
    loader.done(files)
}

struct Loader<'a> {
    loaded: Loaded,
    headers: Headers<'a>,
    /// By `gid` and `sid`: the index among rules and outcomes.
    known: HashMap<(u32, u32), (usize, usize)>,
    /// Rules that a newer revision took the place of.
    replaced: Vec<usize>,
    /// Errors and warnings so far.
    shown: [usize; 2],
}

/// A mistake and the keyword that it is about.
struct Found {
    keyword: String,
    mistake: Mistake,
    at: Range<usize>,
}

impl Loader<'_> {
    fn file(&mut self, file: &File<'_>, context: &Context<'_>) {
        let mut source = None;
        for line in lines(file.bytes) {
            if line.disabled {
                self.loaded.disabled += 1;
                continue;
            }
            let mut found = Vec::new();
            let (sid, rule) = rule(&line, context, &self.headers, &mut found);
            let outcome = self.loaded.outcomes.len();
            if let Some(rule) = rule {
                self.keep(rule, outcome, &mut found);
            }
            let errors = || found.iter().filter(|found| found.mistake.code.severity == Severity::Error);
            let refused = errors()
                .next()
                .map(|first| Refused { keyword: first.keyword.clone(), error: first.mistake.message.clone() });
            self.loaded.outcomes.push(Outcome { file: Arc::clone(&context.file), line: line.number, sid, refused });
            for found in found {
                self.show(file, &mut source, found.mistake, line.locate(found.at));
            }
        }
    }

    /// Adds a rule, unless there is one of its number that is as new.
    fn keep(&mut self, rule: Rule, outcome: usize, found: &mut Vec<Found>) {
        let key = (rule.gid, rule.sid);
        if let Some(&(index, before)) = self.known.get(&key) {
            let other = &self.loaded.rules[index];
            let place = format!("line {} of `{}`", other.line, other.file);
            let whole = 0..rule.text.len();
            let (newer, older) = (rule.rev, other.rev);
            let (code, message) = if newer > older {
                (
                    &codes::REVISION,
                    format!("revision {newer} of rule {} takes the place of {older} in {place}", rule.sid),
                )
            } else {
                (&codes::DUPLICATE, format!("there is a rule {} already, in {place}", rule.sid))
            };
            found.push(Found { keyword: "sid".into(), mistake: Mistake::new(code, message), at: whole });
            if newer <= older {
                return;
            }
            self.replaced.push(index);
            self.loaded.outcomes[before].refused = Some(Refused {
                keyword: "sid".into(),
                error: format!("revision {newer} in line {} of `{}` takes its place", rule.line, rule.file),
            });
        }
        self.known.insert(key, (self.loaded.rules.len(), outcome));
        self.loaded.rules.push(rule);
    }

    fn show(&mut self, file: &File<'_>, source: &mut Option<Source>, mistake: Mistake, at: Range<usize>) {
        let shown = &mut self.shown[usize::from(mistake.code.severity == Severity::Warning)];
        *shown += 1;
        if *shown > MAX_SHOWN {
            return;
        }
        let source = source.get_or_insert_with(|| Source::new(file.name, text_of(file.bytes)));
        let place = Place::new(source, source.locate(at));
        let mut diagnostic = Diagnostic::new(mistake.code, place, mistake.message);
        diagnostic.expected = mistake.expected;
        diagnostic.help = mistake.help;
        self.loaded.diagnostics.push(diagnostic);
    }

    /// Mistakes of a file that is beside the rules.
    fn misplaced(&mut self, file: &File<'_>, all: impl Iterator<Item = (Mistake, Range<usize>)>) {
        let mut source = None;
        for (mistake, at) in all {
            self.show(file, &mut source, mistake, at);
        }
    }

    fn configuration(&mut self, file: &File<'_>, wrong: Vec<(Range<usize>, &'static str)>) {
        let mistake =
            |expected: &str| Mistake::new(&codes::CONFIGURATION, "the line has no meaning here").expected(expected);
        self.misplaced(file, wrong.into_iter().map(|(at, expected)| (mistake(expected), at)));
    }

    fn leave_out_replaced(&mut self) {
        self.replaced.sort_unstable();
        let mut index = 0;
        self.loaded.rules.retain(|_| {
            index += 1;
            self.replaced.binary_search(&(index - 1)).is_err()
        });
    }

    fn done(mut self, files: &[File<'_>]) -> Loaded {
        let name = files.last().map_or("", |file| file.name);
        for (code, shown) in [&codes::MORE_ERRORS, &codes::MORE_WARNINGS].into_iter().zip(self.shown) {
            if shown > MAX_SHOWN {
                let message = format!("{} more are not shown", shown - MAX_SHOWN);
                self.loaded.diagnostics.push(Diagnostic::new(code, Place::file(name), message));
            }
        }
        self.loaded
    }
}

/// A file as text of the same length: bytes that are no UTF-8 are shown as question marks.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

/// Reads a rule: its number if it has one, and the rule if nothing is wrong with it.
fn rule(line: &Line<'_>, context: &Context<'_>, headers: &Headers<'_>, found: &mut Vec<Found>) -> (u32, Option<Rule>) {
    let text = &*line.text;
    let mut add = |keyword: &str, mistake: Mistake, default: Range<usize>| {
        let at = mistake.at.clone().unwrap_or(default);
        if !mistake.follows || found.is_empty() {
            found.push(Found { keyword: keyword.to_owned(), mistake, at });
        }
    };
    if text.len() > MAX_RULE {
        let mistake = Mistake::new(&codes::TOO_LONG, format!("the rule is longer than {MAX_RULE} bytes"));
        add("rule", mistake, 0..text.len().min(1));
        return (sid_of(&text[..MAX_RULE]), None);
    }
    let statement = match syntax::parse(text) {
        Ok(statement) => statement,
        Err(wrong) => {
            add("rule", Mistake::new(&codes::SHAPE, wrong.message).expected(wrong.expected), wrong.at);
            return (sid_of(text), None);
        }
    };
    for wrong in &statement.wrong {
        add("rule", Mistake::new(&codes::SHAPE, wrong.message).expected(wrong.expected), wrong.at.clone());
    }
    let action = action(&statement.action).map_err(|mistake| add("action", mistake, 0..0)).ok();
    let header = headers.header(&statement).map_err(|all| {
        for (part, mistake) in all {
            add(part, mistake, 0..0);
        }
    });
    let fallback = crate::rule::Header::any();
    let mut draft = Draft::new(context, header.as_ref().unwrap_or(&fallback));
    for (number, setting) in statement.settings.iter().enumerate() {
        draft.setting = u16::try_from(number).unwrap_or(u16::MAX);
        if let Err(mistake) = keyword::apply(&mut draft, setting) {
            let at = setting.value.filter(|value| !value.bytes.is_empty()).unwrap_or(setting.keyword).span();
            add(&setting.keyword.text().to_ascii_lowercase(), mistake, at);
        }
    }
    let sid = draft.sid.unwrap_or(0);
    if let Some(unmet) = draft.unmet.take() {
        // it is for another engine: whatever else is wrong with it need not concern anyone
        found.clear();
        let mistake = Mistake::new(&codes::UNSUPPORTED, unmet);
        let at = statement.settings.iter().find(|setting| setting.keyword.text().eq_ignore_ascii_case("requires"));
        let at = at.map_or(0..0, |setting| setting.keyword.span());
        found.push(Found { keyword: "requires".to_owned(), mistake, at });
        return (sid, None);
    }
    let mut warnings = std::mem::take(&mut draft.warnings);
    warnings.extend(slow::warnings(&draft));
    let standing = Standing {
        file: Arc::clone(&context.file),
        line: line.number,
        text: String::from_utf8_lossy(text).into(),
        action: action.unwrap_or(crate::rule::Action::Alert),
    };
    let place_of = |keyword: &str| {
        let named = |setting: &&syntax::Setting<'_>| setting.keyword.text().eq_ignore_ascii_case(keyword);
        statement.settings.iter().rev().find(named).map_or(0..statement.action.bytes.len(), |setting| {
            setting.keyword.start..setting.value.unwrap_or(setting.keyword).span().end
        })
    };
    match finish(draft, standing) {
        Err(wrong) => {
            for (keyword, mistake) in wrong {
                add(keyword, mistake, place_of(keyword));
            }
            (sid, None)
        }
        Ok(_) if !found.is_empty() => (sid, None),
        Ok(rule) => {
            let whole = statement.action.span().start..text.len();
            let warnings = warnings.into_iter().map(|mistake| {
                let at = mistake.at.clone().unwrap_or_else(|| whole.clone());
                Found { keyword: String::new(), mistake, at }
            });
            found.extend(warnings);
            (sid, Some(rule))
        }
    }
}

/// The number of what could not be taken apart.
fn sid_of(text: &[u8]) -> u32 {
    let find = |at: usize| {
        let rest = text[at + 3..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    };
    memchr::memmem::find_iter(text, b"sid").find_map(find).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rules of a file, with everything beside them as it is by default.
    pub(crate) fn loaded(bytes: &[u8]) -> Loaded {
        let none = |_: &str, file: &str| Err(format!("there is no `{file}`"));
        let options = Options {
            variables: Variables::default(),
            classification: None,
            references: None,
            thresholds: None,
            read: &none,
        };
        load(&[File { name: "test.rules", bytes }], &options)
    }
}
