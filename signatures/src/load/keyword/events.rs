//! Events that packets, streams and parsers have: `decode-event`, `stream-event`, `app-layer-event`, and `app-layer-protocol`.

use super::{Draft, Form, Keyword, Takes, Value, keyword, names};
use crate::{
    codes,
    diagnostic::quoted,
    load::{
        draft::Slot,
        mistake::{Done, Mistake},
    },
    protocol::App,
    rule::{Condition, Protocol},
    subject::Direction,
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("decode-event", Takes::Value, Form::Plain, decode),
    keyword("engine-event", Takes::Value, Form::Plain, decode),
    keyword("stream-event", Takes::Value, Form::Plain, stream),
    keyword("app-layer-event", Takes::Value, Form::Plain, app),
    keyword("app-layer-protocol", Takes::Value, Form::Negatable, protocol),
];

fn decode(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    draft.packet_keyword.get_or_insert(value.keyword);
    known(draft, value, names::DECODE, &value.text);
    draft.condition(Condition::Event(draft.context.shared.name(&value.text)))
}

fn stream(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    draft.packet_keyword.get_or_insert(value.keyword);
    known(draft, value, names::STREAM, &value.text);
    let name = draft.context.shared.name(&format!("stream.{}", value.text));
    draft.condition(Condition::Event(name))
}

fn app(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let Some((protocol, event)) = value.text.split_once('.') else {
        known(draft, value, names::FLOW, &value.text);
        return draft.condition(Condition::Event(draft.context.shared.name(&value.text)));
    };
    let app = App::named(protocol).ok_or_else(|| unknown(protocol))?;
    draft.speak(one(app), value.keyword)?;
    let list = names::APP.iter().find(|(name, _)| *name == app.name()).map_or("", |(_, list)| list);
    known(draft, value, list, event);
    draft.condition(Condition::AppEvent(draft.context.shared.name(event)))
}

/// Warns of an event that no list has: the rule can never match.
fn known(draft: &mut Draft<'_>, value: &Value<'_>, list: &str, name: &str) {
    if names::has(list, name) {
        return;
    }
    let warning = Mistake::new(&codes::EVENT, format!("no event is called {}", quoted(name))).at(value.word.span());
    draft.warnings.push(draft.context.shared.suggest(name, || list.split_ascii_whitespace(), warning));
}

fn unknown(protocol: &str) -> Mistake {
    Mistake::new(&codes::PROTOCOL, format!("there is no protocol {}", quoted(protocol)))
}

/// A protocol as a list that lives long enough.
pub(crate) fn one(app: App) -> &'static [App] {
    let at = App::ALL.iter().position(|other| *other == app).unwrap_or_default();
    &App::ALL[at..=at]
}

fn protocol(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (name, mode) = value.text.split_once(',').unwrap_or((&value.text, "direction"));
    let app = App::named(name.trim()).ok_or_else(|| unknown(name.trim()))?;
    if matches!(draft.header.protocol, Protocol::App(_)) || matches!(draft.apps, Some([_])) {
        return Err(Mistake::new(&codes::CONFLICT, "the rule says already what is spoken"));
    }
    let condition = match mode.trim() {
        // what is spoken is known of both directions at once, but for what one end alone speaks
        "final" | "either" => Condition::App(app, value.negated),
        "direction" => Condition::AppBy(None, app, value.negated),
        "to_server" | "toserver" => Condition::AppBy(Some(Direction::ToServer), app, value.negated),
        "to_client" | "toclient" => Condition::AppBy(Some(Direction::ToClient), app, value.negated),
        "original" => Condition::OriginalApp(app, value.negated),
        other => {
            let expected = "`direction`, `final`, `either`, `to_server`, `to_client` or `original`";
            return Err(Mistake::word(other, expected));
        }
    };
    // of one kind there is one protocol that is spoken, or several that are not
    let against = |other: &Condition| match (&condition, other) {
        (Condition::App(a, no), Condition::App(b, other)) => conflict((a, *no), (b, *other)),
        (Condition::AppBy(way, a, no), Condition::AppBy(by, b, other)) => way == by && conflict((a, *no), (b, *other)),
        (Condition::OriginalApp(a, no), Condition::OriginalApp(b, other)) => conflict((a, *no), (b, *other)),
        _ => false,
    };
    if draft.slots.iter().any(|slot| matches!(slot, Slot::Condition(other, _) if against(other))) {
        return Err(Mistake::new(&codes::CONFLICT, "one protocol that is spoken, or several that are not"));
    }
    draft.condition(condition)
}

/// Whether two answers to one question exclude each other, or say the same.
fn conflict((a, a_negated): (&App, bool), (b, b_negated): (&App, bool)) -> bool {
    !a_negated || !b_negated || a == b
}
