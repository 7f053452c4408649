//! A command with its replies, as rules ask about it and events tell of it.

use std::net::IpAddr;

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{
        Direction::{self, ToClient, ToServer},
        Field, Transaction,
    },
};

use super::Transfer;
use crate::app::{Exchange, Object, Record, events::Events, lines::Line, text};

/// Longest name of a command.
const NAME_MAX: usize = 8;

/// A line of a reply.
#[derive(Debug)]
struct Reply {
    /// Of a line that has it in front of a space: the last one of a reply.
    code: Option<[u8; 3]>,
    /// What is behind that, or all of the line.
    text: Vec<u8>,
}

/// A command.
#[derive(Debug)]
pub struct Command {
    id: u64,
    /// In capitals; `None`: nobody asked.
    name: Option<Vec<u8>>,
    argument: Vec<u8>,
    truncated: bool,
    replies: Vec<Reply>,
    reply_bytes: usize,
    reply_truncated: bool,
    /// Port of a data connection, and whether the client waits there.
    port: Option<(u16, bool)>,
    /// It names a host that is not the client.
    bounces: bool,
    events: Events,
    revision: [u32; 2],
    answered: bool,
    over: bool,
}

impl Command {
    /// What begins with a reply.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            name: None,
            argument: Vec::new(),
            truncated: false,
            replies: Vec::new(),
            reply_bytes: 0,
            reply_truncated: false,
            port: None,
            bounces: false,
            events: Events::default(),
            revision: [1; 2],
            answered: false,
            over: false,
        }
    }

    /// What begins with this line, said by `client`. `truncated`: it was longer.
    pub fn asked(id: u64, line: &[u8], truncated: bool, client: Option<IpAddr>) -> Self {
        let (name, argument) = split(line);
        let name = name.get(..NAME_MAX).unwrap_or(name).to_ascii_uppercase();
        let announced = match name.as_slice() {
            b"PORT" => host_port(argument).map(|(host, port)| (Some(IpAddr::from(host)), port)),
            b"EPRT" => extended_port(argument),
            _ => None,
        };
        let host = announced.and_then(|(host, _)| host);
        let mut command = Self {
            name: Some(name),
            argument: argument.to_vec(),
            truncated,
            port: announced.map(|(_, port)| (port, true)),
            bounces: host.zip(client).is_some_and(|(host, client)| host != client),
            ..Self::new(id)
        };
        if truncated {
            command.notice("request_command_too_long");
        }
        command
    }

    fn name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or_default()
    }

    /// The transfer that it asks for, over the connection that was negotiated for it.
    pub fn transfer(&mut self, data: &mut Option<(u16, bool)>) -> Option<Transfer> {
        let named = match self.name() {
            b"RETR" | b"STOR" | b"APPE" => true,
            b"STOU" | b"LIST" | b"NLST" | b"MLSD" => false,
            _ => return None,
        };
        if named && self.argument.is_empty() {
            self.notice("file_without_name");
            return None;
        }
        let Some((port, active)) = data.take() else {
            self.notice("file_before_port");
            return None;
        };
        let name = if named { self.argument.clone() } else { Vec::new() };
        Some(Transfer { port, active, command: self.name().to_vec(), name })
    }

    /// A final reply is still to come.
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

    /// A line of a reply. `most`: bytes of replies that are remembered; `last`: nothing more is to come.
    pub fn reply(&mut self, line: Line<'_>, most: usize, last: bool) {
        if line.ending.is_empty() {
            self.reply_truncated = true;
            self.notice("response_command_too_long");
        }
        let text = line.bytes.trim_ascii_end();
        let (code, text) = match text.split_first_chunk::<3>() {
            Some((code, [b' ', text @ ..])) if code.iter().all(u8::is_ascii_digit) => (Some(*code), text),
            _ => (None, text),
        };
        if let Some(port) = self.passive_port(code, text) {
            self.port = Some((port, false));
        }
        self.reply_bytes += text.len() + size_of::<Reply>();
        if self.reply_bytes <= most {
            self.replies.push(Reply { code, text: text.to_vec() });
        }
        self.answered |= last;
        self.over |= last;
        self.changed(ToClient);
    }

    fn passive_port(&self, code: Option<[u8; 3]>, text: &[u8]) -> Option<u16> {
        match (self.name(), &code?) {
            // not every server has the brackets (RFC 1123, section 4.1.2.6)
            (b"PASV", b"227") => {
                let start = text.iter().position(u8::is_ascii_digit)?;
                host_port(text.get(start..)?).map(|(_, port)| port)
            }
            (b"EPSV", b"229") => {
                let start = text.iter().position(|byte| *byte == b'(')?;
                extended_port(text.get(start + 1..)?).map(|(_, port)| port)
            }
            _ => None,
        }
    }

    /// The data connection that its reply has settled.
    pub fn negotiated(&self, code: Option<[u8; 3]>) -> Option<(u16, bool)> {
        self.port.filter(|_| code.is_some_and(|[class, ..]| class == b'2'))
    }

    /// What follows is TLS.
    pub fn begins_tls(&self, code: Option<[u8; 3]>) -> bool {
        code == Some(*b"234") && self.name() == b"AUTH TLS"
    }

    /// No more replies will come.
    pub const fn end(&mut self) {
        if !self.over {
            self.over = true;
            self.changed(ToClient);
        }
    }

    pub const fn footprint(&self) -> usize {
        size_of::<Self>() + self.argument.capacity() + self.reply_bytes
    }

    fn codes(&self) -> impl Iterator<Item = &[u8; 3]> {
        self.replies.iter().filter_map(|reply| reply.code.as_ref())
    }

    /// What there is of a list.
    fn listed<'a>(&self, value: Option<&'a [u8]>) -> Field<'a> {
        if value.is_none() && !self.over { Field::Pending } else { Field::optional(value) }
    }
}

/// A command's name, and what it says of it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    const TLS: &[u8] = b"AUTH TLS";
    let is_tls = line.get(..TLS.len()).is_some_and(|start| start.eq_ignore_ascii_case(TLS));
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (name, rest) = line.split_at(if is_tls { TLS.len() } else { end });
    (name, rest.get(1..).unwrap_or_default())
}

/// `h1,h2,h3,h4,p1,p2`
fn host_port(text: &[u8]) -> Option<([u8; 4], u16)> {
    let text = text.trim_ascii();
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b',').unwrap_or(text.len());
    let mut parts = text.get(..end)?.split(|byte| *byte == b',');
    let mut numbers = [0; 6];
    for number in &mut numbers {
        *number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    }
    let [a, b, c, d, high, low] = numbers;
    parts.next().is_none().then_some(([a, b, c, d], u16::from_be_bytes([high, low])))
}

/// `|family|address|port|`, with any other mark for the bar; the address may be missing.
fn extended_port(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let (bar, rest) = text.trim_ascii().split_first()?;
    let mut parts = rest.split(|byte| byte == bar).map(|part| std::str::from_utf8(part).ok());
    let (_, address, port) = (parts.next()??, parts.next()??, parts.next()??);
    Some((address.parse().ok(), port.parse().ok()?))
}

impl Transaction for Command {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        App::Ftp
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.revision[direction as usize]
    }

    fn is_complete(&self, _direction: Direction) -> bool {
        // where data goes, and how, the reply says
        self.over
    }

    fn buffer(&self, buffer: Buffer, _direction: Direction, instance: usize) -> Field<'_> {
        match (buffer, &self.name) {
            (Buffer::FtpCommand, name) if instance == 0 => Field::optional(name.as_deref()),
            (Buffer::FtpCommandData, Some(_)) if instance == 0 => Field::whole(&self.argument),
            (Buffer::FtpReply, _) => self.listed(self.replies.get(instance).map(|reply| reply.text.as_slice())),
            (Buffer::FtpCompletionCode, _) => self.listed(self.codes().nth(instance).map(|code| code.as_slice())),
            _ => Field::Absent,
        }
    }

    fn number(&self, keyword: &str, _direction: Direction, instance: usize) -> Option<u64> {
        let (port, _) = self.port.filter(|_| keyword == "ftp.dynamic_port" && instance == 0)?;
        Some(port.into())
    }

    fn test(&self, keyword: &str, argument: &str, _direction: Direction) -> Option<bool> {
        let is = |word: &str| argument.trim().eq_ignore_ascii_case(word);
        match (keyword, self.port) {
            ("ftp.mode", Some((_, active))) => Some(active == is("active")),
            ("ftp.mode", None) => self.over.then_some(false),
            ("ftp.reply_received", _) if self.name.is_none() => Some(false),
            ("ftp.reply_received", _) if self.over => {
                Some(self.answered == ["yes", "true", "on", "1"].iter().any(|yes| is(yes)))
            }
            ("ftp.reply_received", _) => None,
            ("ftpbounce", _) => Some(self.bounces),
            _ => Some(false),
        }
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

impl Exchange for Command {
    fn records(&self) -> Vec<Record> {
        let mut object = Object::new();
        object.put_some("command", self.name.as_deref().map(text));
        if !self.argument.is_empty() {
            object.put("command_data", text(&self.argument));
            object.put("command_truncated", self.truncated);
        }
        if self.codes().next().is_some() {
            object.put("completion_code", self.codes().map(|code| text(code)).collect::<Vec<_>>());
        }
        if let Some((port, active)) = self.port {
            object.put("dynamic_port", port);
            object.put("mode", if active { "active" } else { "passive" });
        }
        if !self.replies.is_empty() {
            object.put("reply", self.replies.iter().map(|reply| text(&reply.text)).collect::<Vec<_>>());
        }
        object.put("reply_received", if self.answered { "yes" } else { "no" });
        object.put("reply_truncated", self.reply_truncated);
        vec![object.record("ftp")]
    }
}
