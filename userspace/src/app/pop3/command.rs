//! A command with its answer, as rules ask about it and events tell of it.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{
        Direction::{self, ToClient, ToServer},
        Field, Transaction,
    },
};
use serde_json::json;

use crate::app::{Exchange, Object, Record, events::Events, lines::Line, text};

/// Longest command and first line of an answer, with their ends (RFC 2449, section 4).
const COMMAND_MAX: usize = 255;
const ANSWER_MAX: usize = 512;
/// Longest name of a command that is kept.
const NAME_MAX: usize = 16;
/// What Suricata calls the client's side of an AUTH.
const SECRET: &str = "<SASL DATA>";

/// Commands, with the fewest and most words that follow them (RFC 1939, 1734, 2449, 2595, 6856).
const COMMANDS: [(&str, usize, usize); 17] = [
    ("USER", 1, 1),
    ("PASS", 1, usize::MAX),
    ("STAT", 0, 0),
    ("LIST", 0, 1),
    ("RETR", 1, 1),
    ("DELE", 1, 1),
    ("NOOP", 0, 0),
    ("RSET", 0, 0),
    ("QUIT", 0, 0),
    ("TOP", 2, 2),
    ("UIDL", 0, 1),
    ("APOP", 2, 2),
    ("CAPA", 0, 0),
    ("AUTH", 0, 2),
    ("STLS", 0, 0),
    ("UTF8", 0, 0),
    ("LANG", 0, 1),
];

/// An answer.
#[derive(Debug)]
struct Answer {
    granted: bool,
    /// It asks for more instead.
    challenge: bool,
    header: Vec<u8>,
    data: Vec<Vec<u8>>,
    bytes: usize,
}

/// A command.
#[derive(Debug)]
pub struct Command {
    id: u64,
    /// In capitals; `None`: the greeting.
    name: Option<Vec<u8>>,
    words: Vec<Vec<u8>>,
    answer: Option<Answer>,
    events: Events,
    revision: [u32; 2],
    over: bool,
}

impl Command {
    /// What begins with an answer.
    pub fn greeting(id: u64) -> Self {
        Self {
            id,
            name: None,
            words: Vec::new(),
            answer: None,
            events: Events::default(),
            revision: [1; 2],
            over: false,
        }
    }

    /// What begins with this line. `secret`: it is none, but what an AUTH goes on with.
    pub fn asked(id: u64, line: Line<'_>, secret: bool) -> Self {
        let mut command = Self::greeting(id);
        if secret {
            command.name = Some(SECRET.into());
            return command;
        }
        if line.ending.is_empty() || line.bytes.len() + line.ending.len() > COMMAND_MAX {
            command.notice("request_too_long");
        }
        let mut words = line.bytes.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let name = name.get(..NAME_MAX).unwrap_or(name).to_ascii_uppercase();
        command.words = words.map(<[u8]>::to_vec).collect();
        let count = command.words.len();
        match COMMANDS.iter().find(|(known, ..)| known.as_bytes() == name) {
            None => command.notice("unknown_command"),
            Some((_, least, most)) if count < *least || count > *most => command.notice("incorrect_argument_count"),
            Some(_) => {}
        }
        command.name = Some(name);
        command
    }

    fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name.as_bytes())
    }

    /// Something of its answer is still to come.
    pub const fn waits(&self) -> bool {
        !self.over
    }

    const fn changed(&mut self, direction: Direction) {
        let revision = &mut self.revision[direction as usize];
        *revision = revision.wrapping_add(1);
    }

    pub fn notice(&mut self, event: &'static str) {
        if self.events.note(event) {
            self.changed(ToServer);
            self.changed(ToClient);
        }
    }

    /// The first line of its answer; whether there are others, up to a dot.
    pub fn answer(&mut self, line: Line<'_>) -> bool {
        if line.ending.is_empty() || line.bytes.len() + line.ending.len() > ANSWER_MAX {
            self.notice("response_too_long");
        }
        let (status, rest) = ["+OK", "-ERR", "+"]
            .into_iter()
            .find_map(|mark| Some((mark, line.bytes.strip_prefix(mark.as_bytes())?)))
            .unwrap_or(("", line.bytes));
        let granted = status.starts_with('+');
        let header = rest.strip_prefix(b" ").unwrap_or(rest).trim_ascii_end().to_vec();
        let challenge = status == "+";
        self.answer = Some(Answer { granted, challenge, header, data: Vec::new(), bytes: 0 });
        self.changed(ToClient);
        let lists = self.words.is_empty() && (self.is("LIST") || self.is("UIDL") || self.is("LANG"));
        let goes_on = granted && (lists || self.is("RETR") || self.is("TOP") || self.is("CAPA"));
        self.over = !goes_on;
        goes_on
    }

    /// A further line of its answer. `most`: bytes that are remembered; `over`: it is the dot at its end.
    pub fn line(&mut self, line: &[u8], most: usize, over: bool) {
        let is_mail = self.is("RETR");
        if let Some(answer) = self.answer.as_mut().filter(|_| !over && !is_mail) {
            answer.bytes += line.len() + size_of::<Vec<u8>>();
            if answer.bytes <= most {
                answer.data.push(line.strip_prefix(b".").unwrap_or(line).to_vec());
            }
        }
        self.over = over;
        self.changed(ToClient);
    }

    /// The client's next line is no command: the server has sent a challenge (RFC 5034).
    pub fn asks_for_more(&self) -> bool {
        let authenticates = self.is("AUTH") || self.is(SECRET);
        authenticates && self.answer.as_ref().is_some_and(|answer| answer.challenge)
    }

    /// What follows is TLS.
    pub fn begins_tls(&self) -> bool {
        self.is("STLS") && self.answer.as_ref().is_some_and(|answer| answer.granted)
    }

    /// No more of its answer will come.
    pub const fn end(&mut self) {
        if !self.over {
            self.over = true;
            self.changed(ToClient);
        }
    }

    pub fn footprint(&self) -> usize {
        let words: usize = self.words.iter().map(Vec::capacity).sum();
        size_of::<Self>() + words + self.answer.as_ref().map_or(0, |answer| answer.bytes + answer.header.capacity())
    }
}

impl Transaction for Command {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        App::Pop3
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.revision[direction as usize]
    }

    fn is_complete(&self, direction: Direction) -> bool {
        direction == ToServer || self.over
    }

    fn buffer(&self, buffer: Buffer, _direction: Direction, instance: usize) -> Field<'_> {
        match buffer {
            Buffer::Pop3Command if instance == 0 => Field::optional(self.name.as_deref()),
            _ => Field::Absent,
        }
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

impl Exchange for Command {
    fn records(&self) -> Vec<Record> {
        let texts = |values: &[Vec<u8>]| values.iter().map(|value| text(value).into_owned()).collect::<Vec<_>>();
        let mut object = Object::new();
        if let Some(name) = &self.name {
            object.put("request", json!({ "command": text(name), "args": texts(&self.words) }));
        }
        if let Some(answer) = &self.answer {
            let (status, header) = (if answer.granted { "OK" } else { "ERR" }, text(&answer.header));
            let data = texts(&answer.data);
            let answer = json!({ "success": answer.granted, "status": status, "header": header, "data": data });
            object.put("response", answer);
        }
        vec![object.record("pop3")]
    }
}
