//! `flow` and what is known of a flow.

use super::{Draft, Form, Keyword, Takes, Value, keyword};
use crate::{
    codes,
    load::{
        mistake::{Done, Mistake},
        number::number_test,
    },
    rule::{Condition, FlowKeyword, Number, NumberTest, PacketTest, StreamSide},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("flow", Takes::Value, Form::Plain, flow),
    keyword("stream_size", Takes::Value, Form::Plain, stream_size),
    keyword("flow.age", Takes::Value, Form::Plain, |draft, value| {
        let test = test(&value.text, u32::MAX.into())?;
        draft.condition(Condition::Packet(PacketTest::Number(Number::FlowAge, test)))
    }),
    keyword("flow.pkts", Takes::Value, Form::Plain, counted),
    keyword("flow.bytes", Takes::Value, Form::Plain, counted),
    keyword("flow.pkts_toserver", Takes::Value, Form::Plain, counted),
    keyword("flow.pkts_toclient", Takes::Value, Form::Plain, counted),
    keyword("flow.bytes_toserver", Takes::Value, Form::Plain, counted),
    keyword("flow.bytes_toclient", Takes::Value, Form::Plain, counted),
];

fn test(text: &str, max: u64) -> Result<NumberTest, Mistake> {
    number_test(text, max, &|_| None).map_err(Mistake::value)
}

const WORDS: &str = "`to_server`, `to_client`, `established`, `not_established`, `stateless`, `only_stream`, `no_stream`, \
                     `only_frag` or `no_frag`";

fn flow(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let mut flow = FlowKeyword::default();
    for word in value.parts() {
        let slot = match word.to_ascii_lowercase().as_str() {
            "to_server" | "from_client" => &mut flow.to_server,
            "to_client" | "from_server" => &mut flow.to_client,
            "established" => &mut flow.established,
            "not_established" => &mut flow.not_established,
            "stateless" => &mut flow.stateless,
            "only_stream" => &mut flow.only_stream,
            "no_stream" => &mut flow.no_stream,
            "only_frag" => &mut flow.only_fragments,
            "no_frag" => &mut flow.no_fragments,
            _ => return Err(Mistake::word(word, WORDS)),
        };
        if std::mem::replace(slot, true) {
            return Err(Mistake::new(&codes::CONFLICT, format!("`{word}` says again what was said")));
        }
    }
    let states = u8::from(flow.established) + u8::from(flow.not_established) + u8::from(flow.stateless);
    let pairs = [
        (flow.to_server && flow.to_client, "a flow has one direction at a time"),
        (states > 1, "`established`, `not_established` and `stateless` exclude each other"),
        (flow.only_stream && flow.no_stream, "`only_stream` and `no_stream` exclude each other"),
        (flow.only_fragments && flow.no_fragments, "`only_frag` and `no_frag` exclude each other"),
    ];
    if let Some((_, message)) = pairs.iter().find(|(is, _)| *is) {
        return Err(Mistake::new(&codes::CONFLICT, *message));
    }
    if draft.flow.replace(flow).is_some() {
        return Err(Mistake::new(&codes::CONFLICT, "`flow` is given twice"));
    }
    Ok(())
}

fn stream_size(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let expected = "a side, an operator and a number: `server,<,1000`";
    let parts: Vec<&str> = value.parts().collect();
    let [side, rest @ ..] = &*parts else { return Err(Mistake::word(&value.text, expected)) };
    let who = match *side {
        "server" => StreamSide::Server,
        "client" => StreamSide::Client,
        "both" => StreamSide::Both,
        "either" => StreamSide::Either,
        other => return Err(Mistake::word(other, "`server`, `client`, `both` or `either`")),
    };
    if rest.is_empty() || rest.len() > 2 {
        return Err(Mistake::word(&value.text, expected));
    }
    let test = test(&rest.concat(), u32::MAX.into())?;
    draft.condition(Condition::Packet(PacketTest::StreamSize { who, test }))
}

fn counted(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (name, side, rest) = match value.keyword.split_once('_') {
        Some((name, side)) => (name, side, &*value.text),
        None => {
            let (side, rest) = value
                .text
                .split_once(',')
                .ok_or_else(|| Mistake::word(&value.text, "a side and a number: `toserver,>10`"))?;
            (value.keyword, side.trim(), rest)
        }
    };
    let number = match (name, side) {
        ("flow.pkts", "toserver") => Number::FlowPacketsToServer,
        ("flow.pkts", "toclient") => Number::FlowPacketsToClient,
        ("flow.pkts", "either") => Number::FlowPacketsEither,
        ("flow.bytes", "toserver") => Number::FlowBytesToServer,
        ("flow.bytes", "toclient") => Number::FlowBytesToClient,
        ("flow.bytes", "either") => Number::FlowBytesEither,
        (_, other) => return Err(Mistake::word(other, "`toserver`, `toclient` or `either`")),
    };
    let test = test(rest, i64::MAX as u64)?;
    draft.condition(Condition::Packet(PacketTest::Number(number, test)))
}
