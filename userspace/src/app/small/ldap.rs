//! LDAP (RFC 4511): a request and what answers it are one transaction.

use dropgate_signatures::{
    buffer::Buffer,
    subject::Direction,
    words::{LDAP_OPERATIONS, LDAP_RESULTS},
};
use serde_json::{Map, Value, json};

use crate::{
    app::{
        events::Events,
        facts::{Facts, Tie},
        messages::Length,
        text,
    },
    protocol::{
        ber::{ENUMERATED, INTEGER, OCTETS, SEQUENCE, element, integer, tagged},
        wire::Bytes,
    },
};

const SET: u8 = 0x31;
const BOOLEAN: u8 = 1;
/// Longest header of a message: a tag, and a length in its long form.
const HEADER_MAX: usize = 6;

/// Messages are sequences.
pub fn measure(said: &[u8], _: &mut usize) -> Length {
    let mut bytes = Bytes::new(said);
    match bytes.u8() {
        Some(SEQUENCE) => {}
        Some(_) => return Length::Never,
        None => return Length::More,
    }
    let Some(first) = bytes.u8() else { return Length::More };
    let size = usize::from(first & 0x7f);
    if first & 0x80 == 0 {
        return Length::Is(2 + size, 0);
    }
    match bytes.take(size) {
        _ if size == 0 || size > HEADER_MAX - 2 => Length::Never,
        Some(length) => Length::Is(length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)) + 2 + size, 0),
        None => Length::More,
    }
}

pub fn read(_: Direction, said: &[u8], events: &mut Events, _: &mut u32) -> Option<Facts> {
    let mut facts = Facts::default();
    let mut bytes = Bytes::new(said);
    // CLDAP may have several in a datagram; the first one is the question, or the answers come one by one
    let mut responses = Vec::new();
    while !bytes.is_empty() {
        if message(&mut bytes, &mut facts, &mut responses).is_none() {
            events.note("invalid_data");
            break;
        }
    }
    if !responses.is_empty() {
        facts.number("ldap.responses.count", responses.len() as u64);
        facts.tell("responses", responses);
    }
    Some(facts)
}

fn message(bytes: &mut Bytes<'_>, facts: &mut Facts, responses: &mut Vec<Value>) -> Option<()> {
    let mut message = tagged(bytes, SEQUENCE)?;
    let id = integer(&mut message)?;
    let (tag, contents) = element(&mut message)?;
    let number = u64::from(tag & 0x1f);
    let (name, _) = LDAP_OPERATIONS.iter().find(|(_, known)| *known == number && tag & 0xc0 == 0x40)?;
    let mut object = Map::from_iter([("message_id".to_owned(), json!(id)), ("operation".to_owned(), json!(name))]);
    let mut body = Bytes::new(contents);
    let key = id.cast_unsigned();
    let response = name.ends_with("_response") || name.starts_with("search_result");
    let said = if response {
        facts.number("ldap.responses.operation", number);
        let over = !matches!(*name, "search_result_entry" | "search_result_reference" | "intermediate_response");
        facts.tie = Some(Tie::Answers(key, over));
        answer(name, &mut body, facts)
    } else {
        facts.number("ldap.request.operation", number);
        facts.tie = (!matches!(*name, "unbind_request" | "abandon_request")).then_some(Tie::Opens(key));
        request(name, &mut body, facts)
    };
    if let Some(said) = said {
        object.insert((*name).to_owned(), said.into());
    }
    if response {
        responses.push(Value::Object(object));
    } else {
        facts.tell("request", object);
    }
    Some(())
}

/// What of an object is gathered: pairs of names and values.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn octets<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    tagged(bytes, OCTETS).map(|bytes| bytes.rest)
}

fn enumerated(bytes: &mut Bytes<'_>) -> Option<u64> {
    let (tag, contents) = element(bytes)?;
    let short = matches!(tag, ENUMERATED | INTEGER) && contents.len() <= 4;
    short.then(|| contents.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

/// A name in the directory, which rules may ask for.
fn dn(bytes: &[u8], buffer: Buffer, facts: &mut Facts) -> Value {
    facts.buffer(buffer, bytes);
    text(bytes).into()
}

fn request(name: &str, body: &mut Bytes<'_>, facts: &mut Facts) -> Option<Map<String, Value>> {
    const DN: Buffer = Buffer::LdapRequestDn;
    Some(match name {
        "bind_request" => {
            let version = integer(body)?;
            let who = dn(octets(body)?, DN, facts);
            let mut said = object([("version", json!(version)), ("name", who)]);
            // SASL, rather than a password
            if let (0xa3, contents) = element(body)? {
                let mechanism = octets(&mut Bytes::new(contents))?;
                said.insert("sasl".to_owned(), json!({"mechanism": text(mechanism)}));
            }
            said
        }
        "search_request" => {
            let base = dn(octets(body)?, DN, facts);
            let (scope, alias) = (enumerated(body)?, enumerated(body)?);
            let (size, time) = (enumerated(body)?, enumerated(body)?);
            let types = tagged(body, BOOLEAN)?.rest != [0];
            let _filter = element(body)?;
            let mut list = tagged(body, SEQUENCE)?;
            let mut attributes = Vec::new();
            while !list.is_empty() {
                attributes.push(dn(octets(&mut list)?, Buffer::LdapRequestAttributeType, facts));
            }
            object([
                ("base_object", base),
                ("scope", json!(scope)),
                ("deref_alias", json!(alias)),
                ("size_limit", json!(size)),
                ("time_limit", json!(time)),
                ("types_only", json!(types)),
                ("attributes", json!(attributes)),
            ])
        }
        "modify_request" => {
            let what = dn(octets(body)?, DN, facts);
            let mut list = tagged(body, SEQUENCE)?;
            let mut changes = Vec::new();
            while !list.is_empty() {
                let mut change = tagged(&mut list, SEQUENCE)?;
                let operation = match enumerated(&mut change)? {
                    0 => "add",
                    1 => "delete",
                    2 => "replace",
                    _ => "increment",
                };
                let (kind, values) = attribute(&mut change, Buffer::LdapRequestAttributeType, facts)?;
                let modification = json!({"attribute_type": kind, "attribute_values": values});
                changes.push(json!({"operation": operation, "modification": modification}));
            }
            object([("object", what), ("changes", json!(changes))])
        }
        "add_request" => {
            let entry = dn(octets(body)?, DN, facts);
            let mut list = tagged(body, SEQUENCE)?;
            let mut attributes = Vec::new();
            while !list.is_empty() {
                let (kind, values) = attribute(&mut list, Buffer::LdapRequestAttributeType, facts)?;
                attributes.push(json!({"name": kind, "values": values}));
            }
            object([("entry", entry), ("attributes", json!(attributes))])
        }
        "del_request" => object([("dn", dn(body.rest, DN, facts))]),
        "mod_dn_request" => {
            let entry = dn(octets(body)?, DN, facts);
            let new = text(octets(body)?).into();
            let delete = tagged(body, BOOLEAN)?.rest != [0];
            object([("entry", entry), ("new_rdn", new), ("delete_old_rdn", json!(delete))])
        }
        "compare_request" => {
            let entry = dn(octets(body)?, DN, facts);
            let mut pair = tagged(body, SEQUENCE)?;
            let kind = dn(octets(&mut pair)?, Buffer::LdapRequestAttributeType, facts);
            let assertion = json!({"description": kind, "value": text(octets(&mut pair)?)});
            object([("entry", entry), ("attribute_value_assertion", assertion)])
        }
        "abandon_request" => {
            let which = body.rest.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
            object([("message_id", json!(which))])
        }
        "extended_request" => object([("name", text(tagged(body, 0x80)?.rest).into())]),
        _ => return None,
    })
}

/// An attribute's type and values.
fn attribute(list: &mut Bytes<'_>, buffer: Buffer, facts: &mut Facts) -> Option<(Value, Vec<Value>)> {
    let mut pair = tagged(list, SEQUENCE)?;
    let kind = dn(octets(&mut pair)?, buffer, facts);
    let mut set = tagged(&mut pair, SET)?;
    let mut values = Vec::new();
    while !set.is_empty() {
        values.push(text(octets(&mut set)?).into());
    }
    Some((kind, values))
}

fn answer(name: &str, body: &mut Bytes<'_>, facts: &mut Facts) -> Option<Map<String, Value>> {
    match name {
        "search_result_entry" => {
            let base = dn(octets(body)?, Buffer::LdapResponsesDn, facts);
            let mut list = tagged(body, SEQUENCE)?;
            let mut attributes = Vec::new();
            while !list.is_empty() {
                let (kind, values) = attribute(&mut list, Buffer::LdapResponsesAttributeType, facts)?;
                attributes.push(json!({"type": kind, "values": values}));
            }
            return Some(object([("base_object", base), ("attributes", json!(attributes))]));
        }
        "search_result_reference" => {
            let mut uris = Vec::new();
            while !body.is_empty() {
                uris.push(text(octets(body)?));
            }
            return Some(object([("uris", json!(uris))]));
        }
        "intermediate_response" => return None,
        _ => {}
    }
    let code = enumerated(body)?;
    facts.number("ldap.responses.result_code", code);
    let result = LDAP_RESULTS.iter().find(|(_, known)| *known == code);
    let result = result.map_or_else(|| format!("unknown({code})"), |(name, _)| (*name).to_owned());
    let matched = dn(octets(body)?, Buffer::LdapResponsesDn, facts);
    let message = dn(octets(body)?, Buffer::LdapResponsesMessage, facts);
    let mut said = object([("result_code", json!(result)), ("matched_dn", matched), ("message", message)]);
    while name == "extended_response" && !body.is_empty() {
        if let (0x8a, named) = element(body)? {
            said.insert("name".to_owned(), text(named).into());
        }
    }
    Some(said)
}
