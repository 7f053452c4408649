//! EVE's `dns` object.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use super::{
    message::{Answer, Data, Message, Query},
    names,
};
use crate::app::{
    Object,
    digits::{colons, hex},
    text,
};

/// What is told of a message, the transaction of this number in its flow.
pub fn object(message: &Message, id: u64) -> Object {
    let mut object = Object::new();
    let flag = |object: &mut Object, name, bit: u8| {
        if message.flags >> bit & 1 == 1 {
            object.put(name, true);
        }
    };
    let section = |object: &mut Object, name, section: &[Answer]| {
        if !section.is_empty() {
            object.put(name, section.iter().flat_map(detailed).collect::<Vec<_>>());
        }
    };
    flag(&mut object, "aa", 10);
    section(&mut object, "additionals", &message.additionals);
    section(&mut object, "answers", &message.answers);
    section(&mut object, "authorities", &message.authorities);
    object.put("flags", format_args!("{:x}", message.flags));
    if !message.answers.is_empty() {
        object.put("grouped", grouped(&message.answers));
    }
    object.put("id", message.id);
    object.put("opcode", message.opcode());
    flag(&mut object, "qr", 15);
    if !message.queries.is_empty() {
        object.put("queries", message.queries.iter().map(asked).collect::<Vec<_>>());
    }
    flag(&mut object, "ra", 7);
    object.put("rcode", names::code(message.code()));
    flag(&mut object, "rd", 8);
    flag(&mut object, "tc", 9);
    object.put("tx_id", id);
    object.put("type", if message.is_response() { "response" } else { "request" });
    object.put("version", 3);
    flag(&mut object, "z", 6);
    object
}

/// A question, or a record in full.
#[derive(Default, Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    opt: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdata: Option<Value<'a>>,
    rrname: Cow<'a, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rrname_truncated: bool,
    rrtype: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soa: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srv: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sshfp: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
}

fn asked(query: &Query) -> Entry<'_> {
    Entry {
        rrname: text(&query.name.text),
        rrname_truncated: query.name.truncated,
        rrtype: names::kind(query.kind),
        ..Entry::default()
    }
}

/// A record in full; of texts, one each.
fn detailed(answer: &Answer) -> Vec<Entry<'_>> {
    let with = |value| {
        let mut entry = Entry {
            rrname: text(&answer.name.text),
            rrname_truncated: answer.name.truncated,
            rrtype: names::kind(answer.kind),
            ttl: Some(answer.ttl),
            ..Entry::default()
        };
        let place = match &answer.data {
            Data::Authority { .. } => &mut entry.soa,
            Data::Service { .. } => &mut entry.srv,
            Data::Fingerprint { .. } => &mut entry.sshfp,
            Data::Options(_) => &mut entry.opt,
            _ => &mut entry.rdata,
        };
        *place = value;
        entry
    };
    match &answer.data {
        Data::Texts(texts) if !texts.is_empty() => texts.iter().map(|one| with(Some(Value::Text(text(one))))).collect(),
        data => vec![with(value(data))],
    }
}

/// What is answered, by type.
fn grouped(answers: &[Answer]) -> BTreeMap<Cow<'static, str>, Vec<Value<'_>>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for answer in answers {
        let group = || names::kind(answer.kind);
        match &answer.data {
            Data::Options(_) => {}
            Data::Texts(texts) if texts.is_empty() => {}
            Data::Texts(texts) => {
                groups.entry(group()).or_default().extend(texts.iter().map(|one| Value::Text(text(one))));
            }
            data => {
                if let Some(value) = value(data) {
                    groups.entry(group()).or_default().push(value);
                }
            }
        }
    }
    groups
}

/// What a record says.
#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Authority {
        expire: u32,
        minimum: u32,
        mname: Cow<'a, str>,
        refresh: u32,
        retry: u32,
        rname: Cow<'a, str>,
        serial: u32,
    },
    Service {
        name: Cow<'a, str>,
        port: u16,
        priority: u16,
        weight: u16,
    },
    Fingerprint {
        algo: u8,
        fingerprint: String,
        r#type: u8,
    },
    Options(Vec<Extra>),
}

/// An option of EDNS.
#[derive(Serialize)]
struct Extra {
    code: u16,
    data: String,
}

/// `None`: texts, of which there may be several, or nothing that is told.
fn value(data: &Data) -> Option<Value<'_>> {
    Some(match data {
        Data::Address(bytes) => Value::Text(address(bytes).into()),
        Data::Name(name) => Value::Text(text(&name.text)),
        Data::Bytes(bytes) => Value::Text(text(bytes)),
        Data::Authority { primary, mailbox, numbers: [serial, refresh, retry, expire, minimum] } => Value::Authority {
            expire: *expire,
            minimum: *minimum,
            mname: text(&primary.text),
            refresh: *refresh,
            retry: *retry,
            rname: text(&mailbox.text),
            serial: *serial,
        },
        Data::Service { priority, weight, port, target } => {
            Value::Service { name: text(&target.text), port: *port, priority: *priority, weight: *weight }
        }
        Data::Fingerprint { algorithm, kind, bytes } => {
            Value::Fingerprint { algo: *algorithm, fingerprint: colons(bytes), r#type: *kind }
        }
        Data::Options(all) => {
            Value::Options(all.iter().map(|(code, value)| Extra { code: *code, data: hex(value) }).collect())
        }
        Data::Texts(_) | Data::Other => return None,
    })
}

/// IPv6 in all its digits.
fn address(bytes: &[u8]) -> String {
    match bytes {
        [a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
        _ if bytes.len() == 16 => {
            let groups: Vec<String> = bytes.as_chunks::<2>().0.iter().map(|[a, b]| format!("{a:02x}{b:02x}")).collect();
            groups.join(":")
        }
        _ => String::new(),
    }
}
