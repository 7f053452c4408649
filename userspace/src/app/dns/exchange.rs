//! A message as a transaction: a query is one, and its answer is another.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field, Transaction},
};

use super::{
    message::{Answer, Message, Name},
    told,
};
use crate::app::{Exchange, Record, events::Events};

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
        let by = if message.is_response() { Direction::ToClient } else { Direction::ToServer };
        vec![told::object(message, self.id).record(self.app.name()).by(by)]
    }
}
