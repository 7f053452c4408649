//! MQTT 3.1, 3.1.1 and 5. A packet and what acknowledges it are one transaction.

mod message;
#[cfg(test)]
mod tests;

use dropgate_signatures::{protocol::App, subject::Direction, words::words};

use self::message::{
    AUTH, CONNACK, CONNECT, CONNECT_FLAGS, DISCONNECT, Message, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,
    PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE,
};
use super::{
    Exchange, Limits, Parser,
    events::Events,
    facts::{Facts, Plain},
    held::Held,
};
use crate::protocol::wire::Bytes;

/// Of a packet whose `CONNECT` was not seen.
const USUAL_VERSION: u8 = 4;
const FLAGS: &[(&str, u64)] = &[("+retain", 1), ("+dup", 8)];

/// What a transaction waits for.
#[derive(Debug)]
struct Awaited {
    id: u64,
    /// The type of its first packet, and the number that is repeated.
    kind: u8,
    number: Option<u16>,
}

/// One direction's packet, as far as it has come.
#[derive(Debug, Default)]
struct Packet {
    /// The first byte, the length, and the body as far as it is kept.
    kept: Vec<u8>,
    /// Bytes behind those.
    skip: u64,
    closed: bool,
}

/// A parser of one connection.
#[derive(Debug)]
pub struct Mqtt {
    packets: [Packet; 2],
    transactions: Held<Plain>,
    awaited: Vec<Awaited>,
    version: u8,
    connected: bool,
    limits: Limits,
}

impl Mqtt {
    pub fn new(limits: Limits) -> Self {
        Self {
            packets: Default::default(),
            transactions: Held::new(limits.transactions),
            awaited: Vec::new(),
            version: USUAL_VERSION,
            connected: false,
            limits,
        }
    }

    fn packet(&mut self, direction: Direction, first: u8, body: &[u8]) {
        let mut events = Events::default();
        let mut facts = Facts::default();
        let mut message = Message::default();
        let kind = first >> 4;
        if message::read(first, body, self.version, &mut facts, &mut message).is_none() {
            events.note("malformed_traffic");
        }
        if message::quality(first) == 3 {
            events.note("invalid_qos_level");
        }
        self.version = message.version.unwrap_or(self.version);
        let introduced = self.connected || matches!(kind, CONNECT | CONNACK);
        if !introduced {
            events.note("unintroduced_message");
        }
        let acknowledged: &[u8] = match kind {
            CONNACK => &[CONNECT],
            PUBACK | PUBREC | PUBREL | PUBCOMP => &[PUBLISH],
            SUBACK => &[SUBSCRIBE],
            UNSUBACK => &[UNSUBSCRIBE],
            _ => &[],
        };
        if !acknowledged.is_empty() {
            let over = matches!(kind, CONNACK | PUBACK | PUBCOMP | SUBACK | UNSUBACK);
            self.connected |= kind == CONNACK;
            let at = self.awaited.iter().position(|one| acknowledged.contains(&one.kind) && one.number == message.id);
            if let Some(id) = at.map(|at| self.awaited[at].id)
                && let Some(open) = self.transactions.iter_mut().find(|one| one.id == id)
            {
                open.facts.buffers.append(&mut facts.buffers);
                open.facts.numbers.append(&mut facts.numbers);
                open.facts.object.append(&mut facts.object);
                events.names().iter().for_each(|event| _ = open.events.note(event));
                open.revision += 1;
                open.complete |= over;
                if over {
                    self.awaited.retain(|one| one.id != id);
                }
                return;
            }
            events.note(match acknowledged {
                [CONNECT] => "missing_connect",
                [SUBSCRIBE] => "missing_subscribe",
                [UNSUBSCRIBE] => "missing_unsubscribe",
                _ => "missing_publish",
            });
        }
        let mut waits = false;
        match kind {
            CONNECT => {
                if self.connected {
                    events.note("double_connect");
                }
                waits = true;
            }
            PUBLISH if message::quality(first) == 0 => {}
            PUBLISH | SUBSCRIBE | UNSUBSCRIBE => {
                waits = message.id.is_some();
                if !waits {
                    events.note("missing_msg_id");
                }
            }
            CONNACK | PUBACK | PUBREC | PUBREL | PUBCOMP | SUBACK | UNSUBACK | PINGREQ | PINGRESP => {}
            DISCONNECT | AUTH => {}
            _ => _ = events.note("unassigned_msg_type"),
        }
        let number = message.id.filter(|_| kind != CONNECT);
        let awaited = &mut self.awaited;
        self.transactions.add(|id| {
            if waits {
                awaited.push(Awaited { id, kind, number });
            }
            let mut plain = Plain::new(id, App::Mqtt, direction, facts, events);
            // acknowledgements come from the other side
            plain.direction = None;
            plain.complete = !waits;
            plain.names = names;
            plain
        });
        // those that had to make room are awaited no more
        let oldest = self.transactions.iter().next().map_or(0, |one| one.id);
        self.awaited.retain(|one| one.id >= oldest);
    }
}

fn names(keyword: &str) -> &'static [(&'static str, u64)] {
    match keyword {
        "mqtt.flags" => FLAGS,
        "mqtt.connect.flags" => CONNECT_FLAGS,
        other => words(other),
    }
}

impl Parser for Mqtt {
    fn hear(&mut self, direction: Direction, mut said: &[u8]) {
        let way = direction as usize;
        while !said.is_empty() && !self.packets[way].closed {
            let packet = &mut self.packets[way];
            let mut head = Bytes::new(packet.kept.get(1..).unwrap_or_default());
            let Some(length) = message::variable(&mut head) else {
                if packet.kept.len() > 4 {
                    // five bytes of length: nothing behind it has a place that is known
                    self.packet(direction, 0, &[]);
                    self.close(direction);
                    return;
                }
                packet.kept.push(said[0]);
                said = &said[1..];
                self.finish(direction);
                continue;
            };
            let whole = packet.kept.len() - head.rest.len() + length as usize;
            let room = whole.min(self.limits.header).saturating_sub(packet.kept.len());
            let (part, rest) = said.split_at(room.min(said.len()));
            packet.kept.extend_from_slice(part);
            said = rest;
            if room == part.len() {
                let beyond = (whole as u64).saturating_sub(packet.kept.len() as u64) - packet.skip;
                let skipped = beyond.min(said.len() as u64);
                packet.skip += skipped;
                said = &said[skipped as usize..];
            }
            self.finish(direction);
        }
    }

    fn lost(&mut self, direction: Direction, _bytes: u64) {
        // where the next packet begins is not known any more
        self.close(direction);
    }

    fn end(&mut self, direction: Direction) {
        self.close(direction);
        if self.packets.iter().all(|packet| packet.closed) {
            self.transactions.end();
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.transactions.iter().map(|one| one as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        self.transactions.forget(id);
        self.awaited.retain(|one| one.id != id);
    }

    fn is_opaque(&self) -> bool {
        self.packets.iter().all(|packet| packet.closed)
    }

    fn footprint(&self) -> usize {
        let kept: usize = self.packets.iter().map(|packet| packet.kept.capacity()).sum();
        size_of::<Self>() + kept + self.transactions.iter().map(Plain::footprint).sum::<usize>()
    }
}

impl Mqtt {
    /// Takes the packet that has come, if all of it has.
    fn finish(&mut self, direction: Direction) {
        let packet = &mut self.packets[direction as usize];
        let mut head = Bytes::new(packet.kept.get(1..).unwrap_or_default());
        let Some(length) = message::variable(&mut head) else { return };
        if head.rest.len() as u64 + packet.skip < u64::from(length) {
            return;
        }
        let kept = std::mem::take(&mut packet.kept);
        packet.skip = 0;
        let at = kept.len() - Bytes::new(kept.get(1..).unwrap_or_default()).rest.len();
        let mut body = Bytes::new(kept.get(at..).unwrap_or_default());
        message::variable(&mut body);
        self.packet(direction, kept[0], body.rest);
    }

    fn close(&mut self, direction: Direction) {
        let packet = &mut self.packets[direction as usize];
        packet.closed = true;
        packet.kept = Vec::new();
    }
}
