//! Which tests, and which checks of them, say anything about Dropgate. General rules over the lists of [`super::lists`],
//! so that a test that nobody has seen falls on the same side as one like it.

use std::fmt;

use serde_json::Value;

use super::{
    case::Case,
    lists::{ACTIONS, DATASETS, EVENTS, KEYWORDS, MODES, OPTIONS, OUTPUTS, PROTOCOLS, Protocol, TRANSPORTS, When},
    rules::Rule,
    settings::Settings,
    version,
    yaml::{at, is_off, is_on, text},
};

/// Why something is out of scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// It is about another version of Suricata, a feature of its build, or a formerly used form of its events.
    Version,
    /// It runs Suricata's program in a way of its own.
    Command,
    /// There is no capture to be replayed.
    Capture,
    /// The capture has a link type that is not read, or packets within packets.
    Wrapped,
    /// A setting puts Suricata into a mode that Dropgate has not.
    Mode,
    /// A rule has a keyword, an action or a hook that is not on the list of what is understood.
    Rule,
    /// A protocol that is not parsed.
    Protocol,
    /// What is checked is no event: counters, logs, files.
    Output,
    /// What is left of its checks expects nothing.
    Empty,
}

/// A reason, and what it was seen by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason(pub Why, pub String);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Version => "version",
            Self::Command => "command",
            Self::Capture => "capture",
            Self::Wrapped => "wrapped",
            Self::Mode => "mode",
            Self::Rule => "rule",
            Self::Protocol => "protocol",
            Self::Output => "output",
            Self::Empty => "empty",
        })
    }
}

/// What is in scope of a test.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Filters, with their place in the test, from 1.
    pub filters: Vec<(usize, &'a Value)>,
    /// Checks that were left out.
    pub left_out: usize,
}

/// Judges a test; the error is why it is out of scope.
pub fn judge(case: &Case) -> Result<Scope<'_>, Reason> {
    of_test(case)
        .or_else(|| case.unseen.map(|what| Reason(Why::Wrapped, what.to_owned())))
        .or_else(|| case.rules.iter().find_map(of_rule))
        .map_or(Ok(()), Err)?;
    if case.exit_code() != 0 {
        // the rules are refused: nothing else is left to be seen
        let without = || Reason(Why::Command, "exit code without rules".to_owned());
        return if case.rules.is_empty() { Err(without()) } else { Ok(Scope { filters: Vec::new(), left_out: 0 }) };
    }
    let checks = case.test["checks"].as_array().map_or(&[][..], Vec::as_slice).iter().enumerate();
    let kinds = checks.flat_map(|(at, check)| check.as_object().into_iter().flatten().map(move |kind| (at, kind)));
    let (mut filters, mut reasons) = (Vec::new(), Vec::new());
    for (at, (kind, check)) in kinds {
        match of_check(kind, check) {
            None => filters.push((at + 1, check)),
            Some(reason) if reason.0 == Why::Protocol => return Err(reason),
            Some(reason) => reasons.push(reason),
        }
    }
    let expects = filters.iter().any(|(_, filter)| filter["count"] != 0);
    match reasons.first() {
        Some(reason) if filters.is_empty() => Err(reason.clone()),
        Some(Reason(_, seen)) if !expects => Err(Reason(Why::Empty, seen.clone())),
        _ => Ok(Scope { filters, left_out: reasons.len() }),
    }
}

fn of_test(case: &Case) -> Option<Reason> {
    let out = |why, what: &str| Some(Reason(why, what.to_owned()));
    let test = &case.test;
    if let Some(unmet) = version::unmet(&test["requires"]) {
        return Some(Reason(Why::Version, unmet));
    }
    let skips = test["skip"].as_array().into_iter().flatten();
    if is_on(&test["skip"]) || skips.clone().any(|skip| !skip["uid"].is_null() || version::has(&skip["feature"])) {
        return out(Why::Version, "skip");
    }
    if test["env"].as_object().is_some_and(|env| env.contains_key("SURICATA_EVE_DNS_VERSION")) {
        return out(Why::Version, "an earlier form of events");
    }
    if let Some(key) = ["command", "setup", "pre-check"].into_iter().find(|key| !test[*key].is_null()) {
        return out(Why::Command, key);
    }
    let settings = &case.settings;
    if let Some(argument) = settings.arguments.iter().find(|argument| !is_plain(argument)) {
        return Some(Reason(Why::Command, argument.clone()));
    }
    if let Some(mode) = mode(settings) {
        return out(Why::Mode, mode);
    }
    if case.folder.join("firewall.rules").is_file() {
        return out(Why::Mode, "Suricata's firewall mode");
    }
    let outputs = settings.outputs().unwrap_or_default();
    if let Some((_, mode)) = OUTPUTS.iter().find(|(name, _)| outputs.iter().any(|(output, _)| output == name)) {
        return out(Why::Mode, mode);
    }
    let types = || outputs.iter().flat_map(|(_, output)| output["types"].as_array().into_iter().flatten());
    if types().any(|kind| text(&kind["dns"]["version"]) == "2") {
        return out(Why::Version, "an earlier form of events");
    }
    let option = |(path, what): &(&str, &'static str)| {
        types()
            .flat_map(|kind| kind.as_object().into_iter().flatten())
            .any(|(_, kind)| is_on(at(kind, path)))
            .then_some(*what)
    };
    if let Some(what) = OPTIONS.iter().find_map(option) {
        return out(Why::Output, what);
    }
    if case.capture.is_none() && case.exit_code() == 0 {
        return out(Why::Capture, "none, or several");
    }
    None
}

/// What mode the settings ask for that Dropgate has not.
fn mode(settings: &Settings) -> Option<&'static str> {
    let set = settings.set.iter().map(|(path, value)| (path.clone(), value, true));
    let leaves = settings.leaves().into_iter().map(|(path, value)| (path, value, false));
    set.chain(leaves).find_map(|(path, value, argument)| {
        let counts = |(pattern, when, _): &&(&str, When, &str)| {
            matches(pattern, &path)
                && match when {
                    When::Set => true,
                    When::Argument => argument,
                    When::On => is_on(value),
                    When::Off => is_off(value),
                    When::Not(usual) => !usual.contains(&text(value).as_str()),
                    When::Below(bound) => number(&text(value)).is_some_and(|number| number < *bound),
                }
        };
        MODES.iter().find(counts).map(|(.., what)| *what)
    })
}

/// `64mb`, `4096`.
fn number(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
    let factor = match text[digits.len()..].trim() {
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        _ => 1,
    };
    Some(digits.parse::<u64>().ok()?.saturating_mul(factor))
}

/// Arguments that change nothing, or that are honoured.
fn is_plain(argument: &str) -> bool {
    let plain =
        ["-k", "none", "all", "--simulate-ips", "--runmode", "single", "autofp", "--no-random", "--init-errors-fatal"];
    let beginnings = ["-v", "--runmode=", "--data-dir=", "-k"];
    plain.contains(&argument) || beginnings.iter().any(|start| argument.starts_with(start))
}

/// Whether a name is like a pattern, in which `*` stands for any letters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name
            .strip_prefix(start)
            .is_some_and(|name| (0..=name.len()).any(|from| name.get(from..).is_some_and(|name| matches(rest, name)))),
    }
}

/// Why a rule is out of scope.
fn of_rule(rule: &Rule) -> Option<Reason> {
    if !ACTIONS.contains(&rule.action.as_str()) {
        return Some(Reason(Why::Rule, format!("action `{}`", rule.action)));
    }
    if rule.hook.is_some() {
        return Some(Reason(Why::Rule, "hooks".into()));
    }
    if !TRANSPORTS.contains(&rule.protocol.as_str())
        && let Some(reason) = of_name(&rule.protocol)
    {
        return Some(reason);
    }
    rule.options.iter().find_map(|(name, argument)| of_option(name, argument))
}

fn of_option(name: &str, argument: &str) -> Option<Reason> {
    if let Some((_, what)) = KEYWORDS.iter().find(|(pattern, _)| matches(pattern, name)) {
        return Some(Reason(Why::Rule, (*what).to_owned()));
    }
    let words = || argument.split(',').filter_map(|word| word.split_whitespace().next());
    if name == "dataset"
        && let Some((_, what)) = DATASETS.iter().find(|(word, _)| words().any(|found| found == *word))
    {
        return Some(Reason(Why::Rule, (*what).to_owned()));
    }
    if matches!(name, "app-layer-protocol" | "app-layer-event") {
        let protocol = argument.trim_start_matches('!').split(['.', ',']).next().unwrap_or_default();
        return of_known(protocol);
    }
    let of = |protocol: &&Protocol| protocol.keywords.iter().any(|start| name.starts_with(start));
    PROTOCOLS.iter().find(of).and_then(unparsed)
}

/// Of a name that must be on the list.
fn of_name(name: &str) -> Option<Reason> {
    let known = PROTOCOLS.iter().find(|protocol| protocol.names.contains(&name));
    known.map_or_else(|| Some(Reason(Why::Protocol, name.to_owned())), unparsed)
}

/// Of a name that may be another one: `failed`, the events of detection itself.
fn of_known(name: &str) -> Option<Reason> {
    PROTOCOLS.iter().find(|protocol| protocol.names.contains(&name)).and_then(unparsed)
}

fn unparsed(protocol: &Protocol) -> Option<Reason> {
    (!protocol.parsed).then(|| Reason(Why::Protocol, protocol.names[0].to_owned()))
}

/// Why a check is out of scope.
fn of_check(kind: &str, check: &Value) -> Option<Reason> {
    if kind != "filter" {
        return Some(Reason(Why::Output, kind.to_owned()));
    }
    if !matches!(check["filename"].as_str(), None | Some("eve.json")) {
        return Some(Reason(Why::Output, text(&check["filename"])));
    }
    if let Some(unmet) = version::unmet(&check["requires"]).or_else(|| version::unmet(&version::inline(check))) {
        return Some(Reason(Why::Version, unmet));
    }
    let matched = &check["match"];
    if let Some(event) = matched["event_type"].as_str()
        && !EVENTS.contains(&event)
    {
        let known = PROTOCOLS.iter().find(|protocol| protocol.events.contains(&event));
        match known.map(unparsed) {
            None => return Some(Reason(Why::Output, event.to_owned())),
            Some(Some(reason)) => return Some(reason),
            Some(None) => {}
        }
    }
    if let Some(reason) =
        ["app_proto", "app_proto_ts", "app_proto_tc"].iter().find_map(|key| of_known(matched[*key].as_str()?))
    {
        return Some(reason);
    }
    let keys = matched.as_object().into_iter().flatten();
    let mut heads = keys.map(|(key, value)| if key.contains("has-key") { text(value) } else { key.clone() });
    heads.find_map(|key| {
        let head = key.split(['.', '[']).next().unwrap_or_default().to_owned();
        PROTOCOLS.iter().find(|protocol| protocol.events.contains(&head.as_str())).and_then(unparsed)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::rules, *};

    fn case(test: Value, text: &str, file: Value) -> Case {
        let settings = Settings { file, ..Settings::default() };
        let rules = rules::read(text);
        let capture = Some("a.pcap".into());
        Case { name: "a/b".into(), folder: "a".into(), test, settings, capture, unseen: None, rules_file: None, rules }
    }

    const ALERT: &str = "alert http any any -> any any (content:\"a\"; sid:1;)\n";

    fn why(test: &Value, text: &str, file: &Value) -> Option<Why> {
        judge(&case(test.clone(), text, file.clone())).err().map(|Reason(why, _)| why)
    }

    fn alert() -> Value {
        json!({"checks": [{"filter": {"count": 1, "match": {"event_type": "alert", "alert.signature_id": 1}}}]})
    }

    #[test]
    fn rules_that_are_out_take_their_test_with_them() {
        let tables = [
            ("", None),
            ("alert tcp any any -> any any (lua:a.lua; sid:2;)", Some(Why::Rule)),
            ("alert tcp any any -> any any (frame:http.request; sid:2;)", Some(Why::Rule)),
            ("config tcp any any -> any any (config:x; sid:2;)", Some(Why::Rule)),
            ("alert tls:client_hello_done any any -> any any (sid:2;)", Some(Why::Rule)),
            ("alert dnp3 any any -> any any (sid:2;)", Some(Why::Protocol)),
            ("alert tcp any any -> any any (smb.share; content:\"a\"; sid:2;)", Some(Why::Protocol)),
            ("alert tcp any any -> any any (app-layer-event:modbus.x; sid:2;)", Some(Why::Protocol)),
            ("alert tcp any any -> any any (app-layer-protocol:!failed; sid:2;)", None),
            ("alert tcp any any -> any any (dataset:isset,a,type ip,load a.json,format json; sid:2;)", Some(Why::Rule)),
            ("alert tcp any any -> any any (msg:\"lua;frame\"; sid:2;)", None),
        ];
        for (rule, expected) in tables {
            assert_eq!(why(&alert(), &format!("{ALERT}{rule}\n"), &Value::Null), expected, "{rule}");
        }
    }

    #[test]
    fn settings_that_are_modes() {
        let tables = [
            (json!({"stream": {"memcap": "64mb", "async-oneside": "no"}}), None),
            (json!({"stream": {"memcap": "100"}}), Some(Why::Mode)),
            (json!({"stream": {"midstream-policy": "drop-flow"}}), Some(Why::Mode)),
            (json!({"exception-policy": "auto"}), None),
            (json!({"app-layer": {"protocols": {"http2": {"enabled": "no"}}}}), Some(Why::Mode)),
            (json!({"app-layer": {"protocols": {"http2": {"enabled": "yes"}}}}), None),
            (json!({"outputs": [{"lua": {"enabled": true}}]}), Some(Why::Mode)),
            (
                json!({"outputs": [{"eve-log": {"enabled": true, "types": ["flow", {"dns": {"version": 2}}]}}]}),
                Some(Why::Version),
            ),
        ];
        for (file, expected) in tables {
            assert_eq!(why(&alert(), ALERT, &file), expected, "{file}");
        }
    }

    #[test]
    fn checks_are_left_out_one_by_one() {
        let mut test = alert();
        let checks = test["checks"].as_array_mut().unwrap();
        checks.push(json!({"stats": {"decoder.pkts": 1}}));
        checks.push(json!({"filter": {"count": 1, "match": {"event_type": "alert"}, "requires": {"lt-version": 8}}}));
        let judged = case(test.clone(), ALERT, Value::Null);
        let scope = judge(&judged).unwrap();
        assert_eq!((scope.filters.len(), scope.left_out), (1, 2));
        assert_eq!(scope.filters[0].0, 1);
        let filter = |count: u32, event: &str| json!({"filter": {"count": count, "match": {"event_type": event}}});
        test["checks"] = json!([filter(0, "alert"), {"shell": {"args": "true"}}]);
        assert_eq!(why(&test, ALERT, &Value::Null), Some(Why::Empty), "what is left expects nothing");
        test["checks"] = json!([filter(0, "alert")]);
        assert_eq!(why(&test, ALERT, &Value::Null), None, "nothing was left out");
        test["checks"] = json!([filter(1, "alert"), filter(1, "modbus")]);
        assert_eq!(why(&test, ALERT, &Value::Null), Some(Why::Protocol));
    }
}
