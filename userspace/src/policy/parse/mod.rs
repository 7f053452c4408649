//! Text to model: the TOML tree is walked by hand, so that every mistake is found in one run.

mod gateway;
mod heal;
mod inspection;
mod lists;
mod section;
mod service;
mod signatures;
mod tables;
mod value;
mod zone;

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use toml::{Spanned, de::DeTable};

use self::section::Section;
use super::{
    check,
    codes::{self, Code},
    diagnostic::{Diagnostic, Diagnostics, Place, nearest, quoted},
    model::{Addresses, Policy},
    rules,
    source::{Location, Source},
};

/// Largest text, in bytes, in which every syntax mistake is looked for.
const RECOVERABLE: usize = 1 << 20;

/// What a walk has found so far.
pub(super) struct Parser {
    pub source: Arc<Source>,
    pub diagnostics: Diagnostics,
    /// Lists by name, and whether a line used them.
    lists: BTreeMap<String, (Location, bool)>,
    /// Zones that the file has, in file order.
    zones: Vec<String>,
    /// Services so far, in all allowlists.
    services: usize,
    /// The file is no TOML in places: what is missing may stand there.
    broken: bool,
}

/// Reads a policy from text. List files are looked for in `directory`.
///
/// The policy is `None` when some diagnostic is an error.
pub(super) fn parse(mut source: Source, directory: &Path) -> (Option<Policy>, Diagnostics) {
    let original = source.text.clone();
    let (mut tree, mut syntax) = tree(&original);
    let healed = heal_with(&original, syntax.len());
    let mut unclosed = Vec::new();
    if let Some(healed) = &healed {
        (tree, syntax) = self::tree(&healed.text);
        unclosed.clone_from(&healed.unclosed);
        source.set_inserted(healed.inserted.clone());
    }
    let source = Arc::new(source);
    let mut parser = Parser {
        source: Arc::clone(&source),
        diagnostics: Diagnostics::default(),
        lists: BTreeMap::new(),
        zones: Vec::new(),
        services: 0,
        broken: !syntax.is_empty(),
    };
    for (at, message) in unclosed {
        let place = Place::new(&source, source.locate_original(at));
        parser.diagnostics.add(&codes::SYNTAX, || Diagnostic::new(&codes::SYNTAX, place, message));
    }
    for error in &syntax {
        let at = error.span().unwrap_or(0..0);
        let message = error.message().trim().replace('\n', "; ");
        parser.add(&codes::SYNTAX, at, message);
    }
    let policy = parser.policy(tree.get_ref(), tree.span(), directory);
    if let Some(policy) = &policy {
        let complete = parser.diagnostics.errors() == 0;
        check::check(policy, complete, &mut parser.diagnostics);
    }
    if parser.broken || healed.is_some() {
        parser.diagnostics.keep_syntax_errors();
    }
    let sound = parser.diagnostics.errors() == 0;
    (policy.filter(|_| sound), parser.diagnostics)
}

/// The text with its brackets closed, if it then has fewer mistakes than these.
fn heal_with(text: &str, mistakes: usize) -> Option<heal::Healed> {
    if mistakes == 0 || text.len() > RECOVERABLE {
        return None;
    }
    heal::heal(text).filter(|healed| tree(&healed.text).1.len() + healed.unclosed.len() <= mistakes)
}

/// The TOML tree of a text, and what is wrong with it: everything in a file of ordinary size, the first mistake in a
/// larger one, where the parser's memory for millions of mistakes would have no bound worth the name.
fn tree(text: &str) -> (Spanned<DeTable<'_>>, Vec<toml::de::Error>) {
    if text.len() <= RECOVERABLE {
        return DeTable::parse_recoverable(text);
    }
    match DeTable::parse(text) {
        Ok(tree) => (tree, Vec::new()),
        Err(error) => (Spanned::new(0..0, DeTable::new()), vec![error]),
    }
}

impl Parser {
    fn policy(&mut self, tree: &DeTable<'_>, span: Range<usize>, directory: &Path) -> Option<Policy> {
        let mut top = Section::new("the policy", tree, span);
        let gateway = top.table(self, "gateway");
        let zones = top.table(self, "zone");
        let own = top.table(self, "self");
        let outside = top.table(self, "outside");
        let publish = top.tables(self, "publish", "publish");
        let blocklist = top.table(self, "blocklist");
        let lists = top.table(self, "lists");
        let fragments = top.table(self, "fragments");
        let timeouts = top.table(self, "timeouts");
        let limits = top.table(self, "limits");
        let events = top.table(self, "events");
        let inspection = top.table(self, "inspection");
        let failure = top.table(self, "failure");
        let signatures = top.table(self, "signatures");
        let asks = signatures.as_ref().map(Section::at);
        if gateway.is_none() {
            self.missing(&top, "gateway", "[gateway]\nkind = \"route\"\noutside = [\"wan0\"]");
        }
        top.finish(self);

        let lists = lists.map(|section| self.read_lists(section, directory)).unwrap_or_default();
        let gateway = gateway.map(|section| self.gateway(section));
        self.name_zones(zones.as_ref());
        let zones = zones.map(|section| self.read_zones(section)).unwrap_or_default();
        let self_egress = own.map(|section| self.egress_of(section, "self")).unwrap_or_default();
        let outside_egress = outside.map(|section| self.egress_of(section, "outside")).unwrap_or_default();
        let publish = self.publish(publish);
        let blocklist = blocklist.map(|section| self.blocklist(section)).unwrap_or_default();
        let fragments = fragments.map(|section| self.fragments(section));
        let (fragments, fragments_passed) = fragments.unwrap_or_default();
        let mut signatures = signatures.map(|section| self.signatures(section));
        if let Some(signatures) = &mut signatures {
            let found =
                rules::load(signatures, (&self.source, directory), (gateway.as_ref().and_then(Option::as_ref), &zones));
            self.diagnostics.extend(found);
        }
        let policy = Policy {
            source: Arc::clone(&self.source),
            zones,
            self_egress,
            outside_egress,
            publish,
            blocklist,
            lists,
            fragments,
            fragments_passed,
            timeouts: timeouts.map(|section| self.timeouts(section)).unwrap_or_default(),
            limits: limits.map(|section| self.limits(section)).unwrap_or_default(),
            events: events.map(|section| self.events(section)).unwrap_or_default(),
            inspection: inspection.map(|section| self.inspection(section)),
            failure: failure.map(|section| self.failure(section)).unwrap_or_default(),
            signatures,
            // after everything else, so that a mistake there does not hide others
            gateway: gateway.flatten()?,
        };
        if let (Some(at), None) = (asks, &policy.inspection) {
            let help = "add `[inspection]`".to_owned();
            let message = "signatures, where nothing is inspected";
            self.add_full(&codes::UNINSPECTED, at, message, None, Some(help));
        }
        for (name, (location, used)) in &self.lists {
            if !used {
                let message = format!("no line uses the list {}", quoted(name));
                self.diagnostics.add(&codes::UNUSED_LIST, || {
                    Diagnostic::new(&codes::UNUSED_LIST, Place::new(&self.source, *location), message)
                });
            }
        }
        Some(policy)
    }

    /// Addresses as `to`, `except` and the blocklist name them: a prefix, or a list after an `@`.
    fn addresses(&mut self, text: &str, at: Range<usize>) -> Option<Addresses> {
        let Some(name) = text.strip_prefix('@') else {
            return self.prefix(text, at).map(Addresses::Prefix);
        };
        if let Some((_, used)) = self.lists.get_mut(name) {
            *used = true;
            return Some(Addresses::List(name.to_owned()));
        }
        let near = nearest(name, self.lists.keys().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean {}?", quoted(&format!("@{near}"))),
            None => "name its file in `[lists]`".to_owned(),
        };
        let message = format!("there is no list {}", quoted(name));
        self.add_full(&codes::UNKNOWN_LIST, at, message, None, Some(help));
        None
    }

    fn location(&self, at: Range<usize>) -> Location {
        self.source.locate(at)
    }

    fn add(&mut self, code: &Code, at: Range<usize>, message: impl Into<String>) {
        self.add_full(code, at, message, None, None);
    }

    fn add_expected(&mut self, code: &Code, at: Range<usize>, message: impl Into<String>, expected: impl Into<String>) {
        self.add_full(code, at, message, Some(expected.into()), None);
    }

    fn add_full(
        &mut self,
        code: &Code,
        at: Range<usize>,
        message: impl Into<String>,
        expected: Option<String>,
        help: Option<String>,
    ) {
        let source = &self.source;
        self.diagnostics.add(code, || {
            let place = Place::new(source, source.locate(at));
            Diagnostic { expected, help, ..Diagnostic::new(code, place, message) }
        });
    }

    /// Says that a required key is not there.
    fn missing(&mut self, section: &Section<'_>, key: &str, example: &str) {
        if self.broken {
            return;
        }
        let message = format!("{} lacks `{key}`", section.name());
        let help = format!("for example: {}", example.replace('\n', "; "));
        self.add_full(&codes::MISSING_KEY, section.at(), message, None, Some(help));
    }
}
