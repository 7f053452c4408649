//! Control packets of MQTT 3.1, 3.1.1 and 5.

use dropgate_signatures::{buffer::Buffer, words::MQTT_TYPES};
use serde_json::{Map, Value, json};

use crate::{
    app::{facts::Facts, text},
    protocol::wire::Bytes,
};

pub const CONNECT: u8 = 1;
pub const CONNACK: u8 = 2;
pub const PUBLISH: u8 = 3;
pub const PUBACK: u8 = 4;
pub const PUBREC: u8 = 5;
pub const PUBREL: u8 = 6;
pub const PUBCOMP: u8 = 7;
pub const SUBSCRIBE: u8 = 8;
pub const SUBACK: u8 = 9;
pub const UNSUBSCRIBE: u8 = 10;
pub const UNSUBACK: u8 = 11;
pub const PINGREQ: u8 = 12;
pub const PINGRESP: u8 = 13;
pub const DISCONNECT: u8 = 14;
pub const AUTH: u8 = 15;

/// The version with properties and reason codes.
const VERSION_5: u8 = 5;

/// A packet, read.
#[derive(Debug, Default)]
pub struct Message {
    /// What its acknowledgement repeats.
    pub id: Option<u16>,
    /// A `CONNECT`'s.
    pub version: Option<u8>,
}

/// Quality of service, of the first byte.
pub const fn quality(first: u8) -> u8 {
    first >> 1 & 3
}

/// Reads a packet into `facts`. `version`: of the connection. `None`: it is not well formed; what was read stays.
pub fn read(first: u8, body: &[u8], version: u8, facts: &mut Facts, message: &mut Message) -> Option<()> {
    let kind = first >> 4;
    facts.number("mqtt.type", kind);
    facts.number("mqtt.flags", first & 9);
    facts.number("mqtt.qos", quality(first));
    let mut object = Map::new();
    object.insert("qos".to_owned(), json!(quality(first)));
    object.insert("retain".to_owned(), json!(first & 1 == 1));
    object.insert("dup".to_owned(), json!(first >> 3 & 1 == 1));
    let mut reader = Reader { bytes: Bytes::new(body), five: version == VERSION_5, facts, object: &mut object };
    let read = reader.read(kind, first, message);
    let named = MQTT_TYPES.get(usize::from(kind).wrapping_sub(1));
    let name = named.map_or_else(|| "unassigned".to_owned(), |(name, _)| (*name).to_owned());
    facts.number("mqtt.protocol_version", message.version.unwrap_or(version));
    facts.object.insert(name, Value::Object(object));
    read
}

struct Reader<'a, 'f> {
    bytes: Bytes<'a>,
    five: bool,
    facts: &'f mut Facts,
    object: &'f mut Map<String, Value>,
}

impl<'a> Reader<'a, '_> {
    fn read(&mut self, kind: u8, first: u8, message: &mut Message) -> Option<()> {
        match kind {
            CONNECT => self.connect(message),
            CONNACK => {
                let flags = self.bytes.u8()?;
                self.tell("session_present", flags & 1 == 1);
                self.facts.number("mqtt.connack.session_present", flags & 1);
                let code = self.bytes.u8()?;
                self.tell("return_code", code);
                self.facts.number("mqtt.reason_code", code);
                self.properties()
            }
            PUBLISH => {
                let topic = self.bytes.vector()?;
                self.facts.buffer(Buffer::MqttPublishTopic, topic);
                self.tell("topic", text(topic));
                if quality(first) > 0 {
                    self.id(message)?;
                }
                self.properties()?;
                let said = self.bytes.rest;
                self.facts.buffer(Buffer::MqttPublishMessage, said);
                self.tell("message", text(said));
                Some(())
            }
            PUBACK | PUBREC | PUBREL | PUBCOMP => {
                self.id(message)?;
                self.reason()
            }
            SUBSCRIBE | UNSUBSCRIBE => self.topics(kind, message),
            SUBACK | UNSUBACK => {
                self.id(message)?;
                self.properties()?;
                let codes = self.bytes.rest;
                if !codes.is_empty() {
                    codes.iter().for_each(|&code| self.facts.number("mqtt.reason_code", code));
                    self.tell(if kind == SUBACK { "qos_granted" } else { "reason_codes" }, json!(codes));
                }
                Some(())
            }
            // as in Suricata, a reason without properties behind it is none
            DISCONNECT if self.five && self.bytes.rest.len() < 2 => {
                self.tell("reason_code", 0);
                self.facts.number("mqtt.reason_code", 0_u8);
                Some(())
            }
            DISCONNECT | AUTH => self.reason(),
            _ => Some(()),
        }
    }

    fn tell(&mut self, name: &str, value: impl Into<Value>) {
        self.object.insert(name.to_owned(), value.into());
    }

    fn id(&mut self, message: &mut Message) -> Option<()> {
        let id = self.bytes.u16()?;
        message.id = Some(id);
        self.tell("message_id", id);
        Some(())
    }

    /// A reason and properties, which version 5 has and may leave out.
    fn reason(&mut self) -> Option<()> {
        if !self.five {
            return Some(());
        }
        let code = if self.bytes.is_empty() { 0 } else { self.bytes.u8()? };
        self.tell("reason_code", code);
        self.facts.number("mqtt.reason_code", code);
        if self.bytes.is_empty() { Some(()) } else { self.properties() }
    }

    fn connect(&mut self, message: &mut Message) -> Option<()> {
        const PASSWORD: u8 = 0x40;
        const USERNAME: u8 = 0x80;
        let protocol = self.bytes.vector()?;
        self.facts.buffer(Buffer::MqttConnectProtocolString, protocol);
        self.tell("protocol_string", text(protocol));
        let version = self.bytes.u8()?;
        message.version = Some(version);
        self.five = version == VERSION_5;
        self.tell("protocol_version", version);
        let flags = self.bytes.u8()?;
        self.facts.number("mqtt.connect.flags", flags);
        let named = CONNECT_FLAGS.iter().map(|(name, bit)| (name[1..].to_owned(), json!(u64::from(flags) & bit != 0)));
        self.tell("flags", named.collect::<Map<_, _>>());
        let _keep_alive = self.bytes.u16()?;
        self.properties()?;
        let client = self.bytes.vector()?;
        self.facts.buffer(Buffer::MqttConnectClientId, client);
        self.tell("client_id", text(client));
        if flags & 4 != 0 {
            let mut will = Map::new();
            let properties = self.read_properties()?;
            let topic = self.bytes.vector()?;
            let said = self.bytes.vector()?;
            self.facts.buffer(Buffer::MqttConnectWillTopic, topic);
            self.facts.buffer(Buffer::MqttConnectWillMessage, said);
            will.insert("topic".to_owned(), text(topic).into());
            will.insert("message".to_owned(), text(said).into());
            if !properties.is_empty() {
                will.insert("properties".to_owned(), properties.into());
            }
            self.tell("will", will);
        }
        let secrets =
            [(USERNAME, Buffer::MqttConnectUsername, "username"), (PASSWORD, Buffer::MqttConnectPassword, "password")];
        for (flag, buffer, name) in secrets {
            if flags & flag != 0 {
                let said = self.bytes.vector()?;
                self.facts.buffer(buffer, said);
                self.tell(name, text(said));
            }
        }
        Some(())
    }

    fn topics(&mut self, kind: u8, message: &mut Message) -> Option<()> {
        self.id(message)?;
        self.properties()?;
        let mut topics = Vec::new();
        while !self.bytes.is_empty() {
            let topic = self.bytes.vector()?;
            if kind == SUBSCRIBE {
                self.facts.buffer(Buffer::MqttSubscribeTopic, topic);
                topics.push(json!({"topic": text(topic), "qos": self.bytes.u8()? & 3}));
            } else {
                self.facts.buffer(Buffer::MqttUnsubscribeTopic, topic);
                topics.push(text(topic).into());
            }
        }
        self.tell("topics", topics);
        Some(())
    }

    fn properties(&mut self) -> Option<()> {
        let properties = self.read_properties()?;
        if !properties.is_empty() {
            self.tell("properties", properties);
        }
        Some(())
    }

    /// Properties, which only version 5 has.
    fn read_properties(&mut self) -> Option<Map<String, Value>> {
        let mut all = Map::new();
        if !self.five {
            return Some(all);
        }
        let length = variable(&mut self.bytes)?;
        let mut bytes = Bytes::new(self.bytes.take(usize::try_from(length).ok()?)?);
        while !bytes.is_empty() {
            let (name, value) = property(&mut bytes)?;
            all.insert(name, value);
        }
        Some(all)
    }
}

/// Names in rules, each behind a `+`: any of them may be set.
pub const CONNECT_FLAGS: &[(&str, u64)] =
    &[("+username", 0x80), ("+password", 0x40), ("+will_retain", 0x20), ("+will", 4), ("+clean_session", 2)];

/// A number of one to four bytes, seven bits each.
pub fn variable(bytes: &mut Bytes<'_>) -> Option<u32> {
    let mut number = 0;
    for place in 0..4 {
        let byte = bytes.u8()?;
        number |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn property(bytes: &mut Bytes<'_>) -> Option<(String, Value)> {
    let kind = variable(bytes)?;
    let name = match kind {
        1 => "payload_format_indicator",
        2 => "message_expiry_interval",
        3 => "content_type",
        8 => "response_topic",
        9 => "correlation_data",
        11 => "subscription_identifier",
        17 => "session_expiry_interval",
        18 => "assigned_client_id",
        19 => "server_keep_alive",
        21 => "authentication_method",
        22 => "authentication_data",
        23 => "request_problem_information",
        24 => "will_delay_interval",
        25 => "request_response_information",
        26 => "response_information",
        28 => "server_reference",
        31 => "reason_string",
        33 => "receive_maximum",
        34 => "topic_alias_maximum",
        35 => "topic_alias",
        36 => "maximum_qos",
        37 => "retain_available",
        38 => return Some((String::from_utf8_lossy(bytes.vector()?).into_owned(), text(bytes.vector()?).into())),
        39 => "maximum_packet_size",
        40 => "wildcard_subscription_available",
        41 => "subscription_identifiers_available",
        42 => "shared_subscription_available",
        _ => return None,
    };
    let value = match kind {
        1 | 23 | 25 | 36 | 37 | 40..=42 => json!(bytes.u8()?),
        19 | 33..=35 => json!(bytes.u16()?),
        2 | 17 | 24 | 39 => json!(bytes.u32()?),
        11 => json!(variable(bytes)?),
        _ => text(bytes.vector()?).into(),
    };
    Some((name.to_owned(), value))
}
