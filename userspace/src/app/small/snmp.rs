//! SNMP 1, 2c and 3 (RFC 1157, RFC 3416, RFC 3412).

use dropgate_signatures::{buffer::Buffer, subject::Direction, words::SNMP_TYPES};
use std::net::Ipv4Addr;

use crate::{
    app::{events::Events, facts::Facts, text},
    protocol::{
        ber::{INTEGER, OBJECT, OCTETS, SEQUENCE, element, integer, only, tagged},
        wire::Bytes,
    },
};

const IP_ADDRESS: u8 = 0x40;
/// Variables that are told of.
const VARIABLES_MAX: usize = 256;

pub fn read(_: Direction, said: &[u8], events: &mut Events, _: &mut u32) -> Option<Facts> {
    let mut facts = Facts::default();
    if message(said, &mut facts, events).is_none() {
        events.note("malformed_data");
    }
    Some(facts)
}

fn message(said: &[u8], facts: &mut Facts, events: &mut Events) -> Option<()> {
    let mut bytes = only(said, SEQUENCE)?;
    let version = match integer(&mut bytes)? {
        0 => 1,
        1 => 2,
        3 => 3,
        other => u64::try_from(other).ok()?,
    };
    facts.number("snmp.version", version);
    facts.tell("version", version);
    if version < 3 {
        let community = tagged(&mut bytes, OCTETS)?.rest;
        facts.buffer(Buffer::SnmpCommunity, community);
        facts.tell("community", text(community));
        return data(&mut bytes, facts);
    }
    let mut head = tagged(&mut bytes, SEQUENCE)?;
    let (_id, _most) = (integer(&mut head)?, integer(&mut head)?);
    let flags = *tagged(&mut head, OCTETS)?.rest.first()?;
    let model = integer(&mut head)?;
    let security = tagged(&mut bytes, OCTETS)?;
    if model == 3 {
        let mut usm = only(security.rest, SEQUENCE)?;
        let (_engine, _boots, _time) = (element(&mut usm)?, integer(&mut usm)?, integer(&mut usm)?);
        let user = tagged(&mut usm, OCTETS)?.rest;
        facts.buffer(Buffer::SnmpUsm, user);
        facts.tell("usm", text(user));
    } else {
        events.note("unknown_security_model");
    }
    if flags & 2 != 0 {
        facts.tell("pdu_type", "encrypted");
        return Some(());
    }
    let mut scoped = tagged(&mut bytes, SEQUENCE)?;
    let (_engine, _name) = (tagged(&mut scoped, OCTETS)?, tagged(&mut scoped, OCTETS)?);
    data(&mut scoped, facts)
}

fn data(bytes: &mut Bytes<'_>, facts: &mut Facts) -> Option<()> {
    let (tag, contents) = element(bytes)?;
    let kind = tag.checked_sub(0xa0)?;
    let (name, _) = SNMP_TYPES.get(usize::from(kind))?;
    facts.number("snmp.pdu_type", kind);
    facts.tell("pdu_type", *name);
    let mut bytes = Bytes::new(contents);
    if *name == "trap_v1" {
        let enterprise = object_id(tagged(&mut bytes, OBJECT)?.rest)?;
        facts.buffer(Buffer::SnmpTrapOid, enterprise.as_bytes());
        facts.tell("trap_oid", enterprise);
        let agent: [u8; 4] = tagged(&mut bytes, IP_ADDRESS)?.rest.try_into().ok()?;
        let agent = Ipv4Addr::from(agent).to_string();
        facts.buffer(Buffer::SnmpTrapAddress, agent.as_bytes());
        facts.tell("trap_address", agent);
        let (_generic, _specific, _time) = (integer(&mut bytes)?, integer(&mut bytes)?, element(&mut bytes)?);
    } else {
        // request id, error or repetitions
        for _ in 0..3 {
            tagged(&mut bytes, INTEGER)?;
        }
    }
    let mut variables = tagged(&mut bytes, SEQUENCE)?;
    let mut names = Vec::new();
    while !variables.is_empty() && names.len() < VARIABLES_MAX {
        let mut variable = tagged(&mut variables, SEQUENCE)?;
        names.push(object_id(tagged(&mut variable, OBJECT)?.rest)?);
    }
    if !names.is_empty() {
        facts.tell("vars", names);
    }
    Some(())
}

/// `1.3.6.1`
fn object_id(bytes: &[u8]) -> Option<String> {
    let (&last, _) = bytes.split_last()?;
    let mut numbers: Vec<u64> = Vec::with_capacity(bytes.len() + 1);
    let mut number = 0u64;
    for &byte in bytes {
        number = number.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                numbers.extend([(number / 40).min(2), number - 40 * (number / 40).min(2)]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    (last & 0x80 == 0).then(|| texts.join("."))
}
