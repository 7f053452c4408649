//! A parser of protocols whose messages stand by themselves: each one is a transaction, or a question with its answers is.

use dropgate_signatures::{protocol::App, subject::Direction};

use super::{
    Exchange, Limits, Parser,
    events::Events,
    facts::{Facts, Names, Plain, Tie},
    held::Held,
};

/// How much of a stream is a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// More must be said to know.
    More,
    /// So many bytes, of which these are none of the message: what stands before it.
    Is(usize, usize),
    /// Nobody knows where the next one begins.
    Never,
}

/// What a message says, or nothing where it is nothing that rules ask about and events tell of. The number is what it
/// remembers of the flow.
pub type Read = fn(Direction, &[u8], &mut Events, &mut u32) -> Option<Facts>;

/// What tells messages on a stream apart. The number is what was said the last time: how far it has looked.
pub type Measure = fn(&[u8], &mut usize) -> Length;

/// Answers of one question.
const ANSWERS_MAX: u32 = 256;

/// A protocol.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub app: App,
    pub read: Read,
    pub names: Names,
    pub measure: Measure,
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Side {
    kept: Vec<u8>,
    looked: usize,
    /// How long the message is that has begun, where that is known.
    known: Option<Length>,
    closed: bool,
}

/// A parser of one flow.
#[derive(Debug)]
pub struct Messages {
    protocol: Protocol,
    /// `None`: datagrams, each of which is a message.
    stream: Option<[Side; 2]>,
    transactions: Held<Plain>,
    remembered: u32,
    ended: [bool; 2],
    most: usize,
}

impl Messages {
    pub fn new(protocol: Protocol, udp: bool, limits: &Limits) -> Self {
        let stream = (!udp).then(Default::default);
        Self {
            protocol,
            stream,
            transactions: Held::new(limits.transactions),
            remembered: 0,
            ended: [false; 2],
            most: limits.header,
        }
    }

    fn message(&mut self, direction: Direction, said: &[u8]) {
        let mut events = Events::default();
        let facts = (self.protocol.read)(direction, said, &mut events, &mut self.remembered);
        if facts.is_none() && events.names().is_empty() {
            return;
        }
        let Protocol { app, names, .. } = self.protocol;
        let facts = facts.unwrap_or_default();
        let open = match facts.tie {
            Some(Tie::Answers(key, over)) => {
                let open = self
                    .transactions
                    .iter_mut()
                    .rfind(|one| !one.complete && one.facts.tie == Some(Tie::Opens(key)) && one.direction.is_none());
                if let Some(open) = open {
                    events.names().iter().for_each(|event| _ = open.events.note(event));
                    if open.revision <= ANSWERS_MAX {
                        open.facts.join(facts);
                    } else {
                        open.events.note("too_many_responses");
                    }
                    open.revision += 1;
                    open.complete = over;
                    return;
                }
                events.note("request_not_found");
                false
            }
            Some(Tie::Opens(_)) => !self.ended[0] || !self.ended[1],
            None => false,
        };
        self.transactions.add(|id| {
            let plain = Plain { names, complete: !open, ..Plain::new(id, app, direction, facts, events) };
            Plain { direction: plain.direction.filter(|_| !open), ..plain }
        });
    }

    /// What of a stream is not a message any more.
    fn confused(&mut self, direction: Direction) {
        let mut events = Events::default();
        events.note(if matches!(self.protocol.app, App::Sip | App::Ldap) { "invalid_data" } else { "malformed_data" });
        let (app, facts) = (self.protocol.app, Facts::default());
        self.transactions.add(|id| Plain::new(id, app, direction, facts, events));
        self.end(direction);
    }
}

impl Parser for Messages {
    fn hear(&mut self, direction: Direction, mut said: &[u8]) {
        let Some(stream) = &mut self.stream else { return self.message(direction, said) };
        let side = &mut stream[direction as usize];
        if side.closed {
            return;
        }
        let Side { mut kept, mut looked, mut known, .. } = std::mem::take(side);
        // where the message begins
        let mut at = 0;
        loop {
            if at >= self.most {
                kept.drain(..at);
                at = 0;
            }
            let room = (self.most - (kept.len() - at).min(self.most)).min(said.len());
            kept.extend_from_slice(&said[..room]);
            said = &said[room..];
            let begun = &kept[at..];
            match known.unwrap_or_else(|| (self.protocol.measure)(begun, &mut looked)) {
                Length::Is(length, before) if length > 0 && length <= begun.len() => {
                    if before < length {
                        self.message(direction, &begun[before..length]);
                    }
                    at += length;
                    (looked, known) = (0, None);
                }
                Length::Never => return self.confused(direction),
                Length::Is(length, _) if length > self.most => return self.confused(direction),
                _ if begun.len() >= self.most => return self.confused(direction),
                length if said.is_empty() => {
                    known = Some(length).filter(|length| matches!(length, Length::Is(..)));
                    break;
                }
                _ => {}
            }
        }
        kept.drain(..at);
        if let Some(stream) = &mut self.stream {
            stream[direction as usize] = Side { kept, looked, known, closed: false };
        }
    }

    fn lost(&mut self, direction: Direction, _bytes: u64) {
        // where the next message begins is not known any more
        self.end(direction);
    }

    fn end(&mut self, direction: Direction) {
        if let Some(stream) = &mut self.stream {
            stream[direction as usize] = Side { closed: true, ..Side::default() };
        }
        self.ended[direction as usize] = true;
        if self.ended == [true; 2] {
            self.transactions.end();
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.transactions.iter().map(|one| one as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        self.transactions.forget(id);
    }

    fn is_opaque(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.iter().all(|side| side.closed))
    }

    fn footprint(&self) -> usize {
        let kept: usize = self.stream.iter().flatten().map(|side| side.kept.capacity()).sum();
        size_of::<Self>() + kept + self.transactions.iter().map(Plain::footprint).sum::<usize>()
    }
}
