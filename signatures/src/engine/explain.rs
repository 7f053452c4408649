//! Which rules were candidates, and what they failed at.

use super::{FlowState, Outcome, Ruleset, Scratch, Shared};
use crate::{
    rule::{Check, Condition, Inspect, Rule, Selected},
    subject::Subject,
    syntax::{self, Statement, Word},
};

/// A rule that was a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explained {
    /// Its index in [`Ruleset::rules`].
    pub rule: u32,
    pub transaction: Option<u64>,
    /// What did not hold first; `None`: it has matched.
    pub failed: Option<Failed>,
    /// Of a condition about a buffer, the check in it that did not hold, by index; `None`: there is no such buffer, or not yet.
    pub check: Option<u16>,
}

/// What did not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    Protocol,
    /// Something else is spoken, or it is not known yet.
    App,
    /// `flow`: direction, established, fragments.
    Flow,
    Addresses,
    Ports,
    /// One of the rule's conditions, by index.
    Condition(u16),
}

/// What did not hold of a rule, in the rule's own words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// The keyword; of the header `protocol`, `address` or `port`.
    pub keyword: String,
    /// What the rule says there, as it is written: `content:"/admin"`.
    pub says: Option<String>,
    /// The buffer that it is about.
    pub buffer: Option<&'static str>,
    /// There is no such buffer, or not yet.
    pub absent: bool,
}

impl Explained {
    /// What did not hold; `None`: it has matched. `rule` is the one that [`Explained::rule`] names.
    pub fn why(&self, rule: &Rule) -> Option<Why> {
        let plain = |keyword: &str, says| Why { keyword: keyword.to_owned(), says, buffer: None, absent: false };
        Some(match self.failed? {
            Failed::Protocol => plain("protocol", header(rule, |of| [of.protocol])),
            Failed::App => {
                let apps: Vec<&str> = rule.apps.iter().map(|app| app.name()).collect();
                plain("app-layer-protocol", (!apps.is_empty()).then(|| apps.join(" or ")))
            }
            Failed::Flow => {
                let statement = syntax::parse(rule.text.as_bytes()).ok();
                let all = statement.iter().flat_map(|statement| &statement.settings);
                let flow = all.filter(|setting| setting.keyword.text().eq_ignore_ascii_case("flow"));
                let says: Vec<String> =
                    flow.filter_map(|setting| Some(format!("flow:{}", setting.value?.text()))).collect();
                plain("flow", (!says.is_empty()).then(|| says.join("; ")))
            }
            Failed::Addresses => plain("address", header(rule, |of| [of.source, of.arrow, of.destination])),
            Failed::Ports => plain("port", header(rule, |of| [of.source_ports, of.arrow, of.destination_ports])),
            Failed::Condition(at) => {
                let says = rule.option(at, self.check.unwrap_or(0));
                let keyword = says.as_deref().map_or("", |says| says.split(':').next().unwrap_or_default());
                let buffer = match rule.conditions.get(usize::from(at)) {
                    Some(Condition::Inspect(Inspect { selected: Selected::Buffer(buffer), .. })) => Some(buffer.name()),
                    Some(Condition::Inspect(Inspect { selected: Selected::PacketHeader(name), .. })) => Some(*name),
                    _ => None,
                };
                Why { keyword: keyword.to_owned(), buffer, absent: buffer.is_some() && self.check.is_none(), says }
            }
        })
    }
}

/// Words of a rule's header.
fn header<const N: usize>(rule: &Rule, of: impl Fn(Statement<'_>) -> [Word<'_>; N]) -> Option<String> {
    let words = of(syntax::parse(rule.text.as_bytes()).ok()?);
    Some(words.map(|word| word.text().into_owned()).join(" "))
}

/// The check of a condition that the step `furthest` was made of; `None` if the condition is not about a buffer.
pub(super) fn check(rule: &Rule, failed: Failed, furthest: Option<u16>) -> Option<u16> {
    let Failed::Condition(at) = failed else { return None };
    let Condition::Inspect(inspect) = rule.conditions.get(usize::from(at))? else { return None };
    // `absent` is no step
    let steps = inspect.checks.iter().enumerate().filter(|(_, check)| !matches!(check, Check::Absent(_)));
    u16::try_from(steps.map(|(at, _)| at).nth(usize::from(furthest?))?).ok()
}

impl Ruleset {
    /// Does what [`Ruleset::inspect`] does, and tells of every candidate what became of it. Shown a clone of the flow's state and a
    /// [`Shared`] of its own it changes nothing.
    pub fn explain(
        &self,
        subject: &Subject<'_>,
        flow: &mut FlowState,
        shared: &Shared,
        scratch: &mut Scratch,
        out: &mut Outcome,
    ) -> Vec<Explained> {
        scratch.trace = Some(Vec::new());
        self.inspect(subject, flow, shared, scratch, out);
        scratch.trace.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::loaded;

    /// Why the only rule does not match, if a condition and a check of it do not hold.
    fn why(options: &str, failed: Failed, furthest: Option<u16>) -> Why {
        let text = format!("alert tcp $HOME_NET any -> any [80,8080] (msg:\"m\"; {options} sid:1;)");
        let rules = loaded(text.as_bytes()).rules;
        let check = check(&rules[0], failed, furthest);
        let explained = Explained { rule: 0, transaction: None, failed: Some(failed), check };
        explained.why(&rules[0]).unwrap()
    }

    fn says(options: &str, failed: Failed, furthest: Option<u16>) -> (String, String) {
        let Why { keyword, says, .. } = why(options, failed, furthest);
        (keyword, says.unwrap_or_default())
    }

    #[test]
    fn what_failed_is_told_as_it_is_written() {
        let named = |keyword: &str, says: &str| (keyword.to_owned(), says.to_owned());
        assert_eq!(says("", Failed::Protocol, None), named("protocol", "tcp"));
        assert_eq!(says("", Failed::Addresses, None), named("address", "$HOME_NET -> any"));
        assert_eq!(says("", Failed::Ports, None), named("port", "any -> [80,8080]"));
        let options = "flow:established, to_server; dsize:>3; content:\"a|3b|\"; nocase; content:!\"b\"; within:5;";
        assert_eq!(says(options, Failed::Flow, None), named("flow", "flow:established, to_server"));
        assert_eq!(says(options, Failed::Condition(0), None), named("dsize", "dsize:>3"));
        assert_eq!(says(options, Failed::Condition(1), Some(0)), named("content", "content:\"a|3b|\""));
        assert_eq!(says(options, Failed::Condition(1), Some(1)), named("content", "content:!\"b\""));
    }

    #[test]
    fn buffers_are_named() {
        let options = "http.uri; content:\"/a\"; http.host; absent:or_else; content:\"b\"; content:\"c\";";
        let failed = why(options, Failed::Condition(0), Some(0));
        assert_eq!((failed.buffer, failed.absent), (Some("http.uri"), false));
        let failed = why(options, Failed::Condition(1), Some(1));
        assert_eq!((failed.says.as_deref(), failed.buffer), (Some("content:\"c\""), Some("http.host")));
        assert!(why(options, Failed::Condition(0), None).absent);
        assert_eq!(says(options, Failed::App, None).1, "http");
    }
}
