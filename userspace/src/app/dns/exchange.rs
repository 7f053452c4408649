//! A message as a transaction: a query is one, and its answer is another.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field, Transaction},
};
use serde_json::{Map, Value, json};

use super::{
    message::{Answer, Data, Message, Name},
    names,
};
use crate::app::{
    Exchange, Record,
    digits::{colons, hex},
    events::Events,
    text,
};

/// One message.
#[derive(Debug)]
pub struct Asked {
    pub id: u64,
    pub app: App,
    pub direction: Direction,
    /// `None`: it has no header.
    pub message: Option<Message>,
    pub events: Events,
}

impl Asked {
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.message.as_ref().map_or(0, Message::footprint)
    }

    fn name(&self, buffer: Buffer, instance: usize) -> Option<&Name> {
        let message = self.message.as_ref()?;
        let query = || message.queries.get(instance).map(|query| &query.name);
        match buffer {
            Buffer::DnsQuery if message.is_response() => None,
            Buffer::DnsQuery | Buffer::DnsQueryName | Buffer::DnsQueriesRrname | Buffer::MdnsQueriesRrname => query(),
            Buffer::DnsAnswerName | Buffer::DnsAnswersRrname | Buffer::MdnsAnswersRrname => {
                of_section(&message.answers, instance)
            }
            Buffer::DnsAuthoritiesRrname | Buffer::MdnsAuthoritiesRrname => of_section(&message.authorities, instance),
            Buffer::DnsAdditionalsRrname | Buffer::MdnsAdditionalsRrname => of_section(&message.additionals, instance),
            Buffer::DnsResponseRrname | Buffer::MdnsResponseRrname if message.is_response() => {
                let names = message.records().flat_map(|one| [Some(&one.name), one.data.name()]);
                names.flatten().nth(instance)
            }
            _ => None,
        }
    }
}

fn of_section(section: &[Answer], instance: usize) -> Option<&Name> {
    section.get(instance).map(|answer| &answer.name)
}

impl Transaction for Asked {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        self.app
    }

    fn revision(&self, direction: Direction) -> u32 {
        u32::from(direction == self.direction)
    }

    fn is_complete(&self, _direction: Direction) -> bool {
        true
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        if direction != self.direction {
            return Field::Absent;
        }
        Field::optional(self.name(buffer, instance).map(|name| &name.text[..]))
    }

    fn number(&self, keyword: &str, direction: Direction, instance: usize) -> Option<u64> {
        let message = self.message.as_ref().filter(|_| direction == self.direction)?;
        match keyword {
            "dns.opcode" if instance == 0 => Some(message.opcode().into()),
            "dns.rcode" if instance == 0 => Some(message.code().into()),
            "dns.rrtype" => {
                let kinds = message.queries.iter().map(|query| query.kind);
                kinds.chain(message.answers.iter().map(|answer| answer.kind)).nth(instance).map(u64::from)
            }
            _ => None,
        }
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

impl Exchange for Asked {
    fn records(&self) -> Vec<Record> {
        let Some(message) = &self.message else { return Vec::new() };
        vec![Record { event_type: self.app.name(), object: object(message, self.id) }]
    }
}

fn object(message: &Message, id: u64) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| _ = object.insert(name.to_owned(), value);
    put("version", json!(3));
    put("type", json!(if message.is_response() { "response" } else { "request" }));
    put("tx_id", json!(id));
    put("id", json!(message.id));
    put("flags", json!(format!("{:x}", message.flags)));
    for (name, bit) in [("qr", 15), ("aa", 10), ("tc", 9), ("rd", 8), ("ra", 7), ("z", 6)] {
        if message.flags >> bit & 1 == 1 {
            put(name, json!(true));
        }
    }
    put("opcode", json!(message.opcode()));
    put("rcode", json!(names::code(message.code())));
    let queries = message.queries.iter().map(|query| {
        let mut object = Map::from_iter([
            ("rrname".to_owned(), text(&query.name.text)),
            ("rrtype".to_owned(), json!(names::kind(query.kind))),
        ]);
        if query.name.truncated {
            object.insert("rrname_truncated".to_owned(), json!(true));
        }
        Value::Object(object)
    });
    if !message.queries.is_empty() {
        put("queries", queries.collect());
    }
    let sections =
        [("answers", &message.answers), ("authorities", &message.authorities), ("additionals", &message.additionals)];
    for (name, section) in sections {
        if !section.is_empty() {
            put(name, section.iter().flat_map(detailed).collect());
        }
    }
    if !message.answers.is_empty() {
        put("grouped", Value::Object(grouped(&message.answers)));
    }
    object
}

/// A record in full; of texts, one each.
fn detailed(answer: &Answer) -> Vec<Value> {
    let mut object = Map::from_iter([
        ("rrname".to_owned(), text(&answer.name.text)),
        ("rrtype".to_owned(), json!(names::kind(answer.kind))),
        ("ttl".to_owned(), json!(answer.ttl)),
    ]);
    if answer.name.truncated {
        object.insert("rrname_truncated".to_owned(), json!(true));
    }
    let values = values(&answer.data);
    if values.is_empty() {
        return vec![Value::Object(object)];
    }
    let key = match &answer.data {
        Data::Authority { .. } => "soa",
        Data::Service { .. } => "srv",
        Data::Fingerprint { .. } => "sshfp",
        Data::Options(_) => "opt",
        _ => "rdata",
    };
    let with = |value| {
        let mut object = object.clone();
        object.insert(key.to_owned(), value);
        Value::Object(object)
    };
    values.into_iter().map(with).collect()
}

/// What is answered, by type.
fn grouped(answers: &[Answer]) -> Map<String, Value> {
    let mut groups = Map::new();
    for answer in answers {
        if matches!(answer.data, Data::Options(_)) {
            continue;
        }
        for value in values(&answer.data) {
            let group = groups.entry(names::kind(answer.kind)).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(group) = group {
                group.push(value);
            }
        }
    }
    groups
}

fn values(data: &Data) -> Vec<Value> {
    vec![match data {
        Data::Address(bytes) => json!(address(bytes)),
        Data::Name(name) => text(&name.text),
        Data::Bytes(bytes) => text(bytes),
        Data::Texts(texts) => return texts.iter().map(|one| text(one)).collect(),
        Data::Authority { primary, mailbox, numbers: [serial, refresh, retry, expire, minimum] } => json!({
            "mname": text(&primary.text),
            "rname": text(&mailbox.text),
            "serial": serial,
            "refresh": refresh,
            "retry": retry,
            "expire": expire,
            "minimum": minimum,
        }),
        Data::Service { priority, weight, port, target } => {
            json!({"priority": priority, "weight": weight, "port": port, "name": text(&target.text)})
        }
        Data::Fingerprint { algorithm, kind, bytes } => {
            json!({"fingerprint": colons(bytes), "algo": algorithm, "type": kind})
        }
        Data::Options(all) => all.iter().map(|(code, value)| json!({"code": code, "data": hex(value)})).collect(),
        Data::Other => return Vec::new(),
    }]
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
