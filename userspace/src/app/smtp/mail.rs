//! A mail with its envelope, as rules ask about it and events tell of it.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{
        Data,
        Direction::{self, ToClient, ToServer},
        Field, File, Transaction,
    },
};
use md5::{Digest as _, Md5};

use crate::app::{
    Exchange, Limits, Object, Record,
    digits::hex,
    events::Events,
    files::Tracked,
    lines::Line,
    mime::{Message, addresses},
    text,
};

/// A mail.
#[derive(Debug)]
pub struct Mail {
    pub id: u64,
    helo: Option<Vec<u8>>,
    from: Option<Vec<u8>>,
    to: Vec<Vec<u8>>,
    to_bytes: usize,
    message: Option<Message>,
    /// The client has asked for its message to be taken.
    offered: bool,
    events: Events,
    revision: [u32; 2],
    complete: [bool; 2],
}

impl Mail {
    pub fn new(id: u64, helo: Option<Vec<u8>>) -> Self {
        Self {
            id,
            helo,
            from: None,
            to: Vec::new(),
            to_bytes: 0,
            message: None,
            offered: false,
            events: Events::default(),
            revision: [1; 2],
            complete: [false; 2],
        }
    }

    /// Something was said that belongs to it.
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

    pub fn set_helo(&mut self, helo: Option<Vec<u8>>) {
        self.helo = helo;
        self.changed(ToServer);
    }

    /// Whether it had no sender yet.
    pub fn set_from(&mut self, from: Vec<u8>) -> bool {
        let first = self.from.is_none();
        if first {
            self.from = Some(from);
            self.changed(ToServer);
        }
        first
    }

    /// Takes in a recipient, unless they take up more than `most` bytes by now.
    pub fn add_to(&mut self, to: Vec<u8>, most: usize) {
        self.to_bytes += to.len() + size_of::<Vec<u8>>();
        if self.to_bytes <= most {
            self.to.push(to);
            self.changed(ToServer);
        }
    }

    /// Something was said of it, besides greetings.
    pub const fn has_begun(&self) -> bool {
        self.from.is_some() || !self.to.is_empty() || self.offered
    }

    pub const fn has_message(&self) -> bool {
        self.message.is_some()
    }

    pub fn begin_message(&mut self, limits: Limits) {
        self.message = Some(Message::new(limits));
        self.offered = true;
        self.changed(ToServer);
    }

    /// A line of its message, and whether there was a dot in front of it that is not of the line.
    pub fn line(&mut self, line: Line<'_>, stuffed: bool) {
        self.say(|message| {
            if stuffed {
                message.stuffing(b".");
            }
            message.line(line);
        });
    }

    /// Bytes of its message.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.say(|message| message.hear(bytes));
    }

    /// So many bytes of its message are missing.
    pub fn lost(&mut self, bytes: u64) {
        self.say(|message| message.lost(bytes));
    }

    fn say(&mut self, tell: impl FnOnce(&mut Message)) {
        let Some(message) = &mut self.message else { return };
        tell(message);
        for event in message.take_events() {
            self.notice(event);
        }
        self.changed(ToServer);
    }

    /// The server does not want its message, and the client knows nothing of that yet.
    pub fn refuse(&mut self) {
        self.message = None;
        self.complete[ToServer as usize] = false;
        self.changed(ToServer);
    }

    /// The client says nothing more of it. With `false`, its message is not complete.
    pub fn finish(&mut self, complete: bool) {
        self.say(|message| message.end(complete));
        self.end(ToServer);
    }

    /// A direction says nothing more of it.
    pub fn end(&mut self, direction: Direction) {
        if !std::mem::replace(&mut self.complete[direction as usize], true) {
            self.changed(direction);
        }
    }

    pub fn footprint(&self) -> usize {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::capacity);
        let message = self.message.as_ref().map_or(0, Message::footprint);
        size_of::<Self>() + text(&self.helo) + text(&self.from) + self.to_bytes + message
    }

    /// What is there of a buffer of which there is nothing else: it may come while the client has not finished.
    const fn nothing(&self) -> Field<'static> {
        if self.complete[ToServer as usize] { Field::Absent } else { Field::Pending }
    }

    fn one_of<'a>(&self, values: impl Iterator<Item = &'a [u8]>, instance: usize, complete: bool) -> Field<'a> {
        match values.into_iter().nth(instance) {
            Some(value) => Field::whole(value),
            None if complete => Field::Absent,
            None => self.nothing(),
        }
    }

    /// A header field of its message.
    fn header<'a>(&'a self, name: &'a str, instance: usize) -> Field<'a> {
        match &self.message {
            Some(message) => self.one_of(message.values(name), instance, message.has_header()),
            None => self.nothing(),
        }
    }

    /// A header field of which there is one.
    fn first<'a>(&'a self, name: &'a str, instance: usize) -> Field<'a> {
        if instance == 0 { self.header(name, 0) } else { Field::Absent }
    }

    fn attached(&self) -> &[Tracked] {
        self.message.as_ref().map(Message::files).unwrap_or_default()
    }

    fn contents(&self, instance: usize) -> Field<'_> {
        match self.attached().get(instance) {
            Some(file) if file.is_over() => Field::whole(file.contents()),
            Some(file) => Field::Part(Data { bytes: file.contents().into() }),
            None => self.nothing(),
        }
    }

    fn smtp(&self) -> Record {
        let mut object = Object::new();
        object.put_some("helo", self.helo.as_deref().map(text));
        object.put_some("mail_from", self.from.as_deref().map(text));
        put_list(&mut object, "rcpt_to", self.to.iter().map(Vec::as_slice));
        object.record("smtp")
    }

    /// `email`: Suricata's fields, those of its extended form, and a few that it has for the asking.
    fn email(&self) -> Option<Record> {
        let message = self.message.as_ref()?;
        let single = |object: &mut Object, name, field| object.put_some(name, message.values(field).next().map(text));
        let listed = |object: &mut Object, name| {
            put_list(object, name, addresses(message.values(name).next().unwrap_or_default()));
        };
        let mut object = Object::new();
        put_list(&mut object, "attachment", message.files().iter().map(Tracked::name));
        listed(&mut object, "bcc");
        object.put_some("body_md5", message.body_md5());
        listed(&mut object, "cc");
        single(&mut object, "date", "date");
        single(&mut object, "from", "from");
        single(&mut object, "message_id", "message-id");
        put_list(&mut object, "received", message.values("received"));
        single(&mut object, "reply_to", "reply-to");
        object.put("status", if message.is_over() { "PARSE_DONE" } else { "BODY_STARTED" });
        single(&mut object, "subject", "subject");
        object.put_some("subject_md5", message.values("subject").next().map(|subject| hex(&Md5::digest(subject))));
        listed(&mut object, "to");
        // Suricata tells of the latest one first
        put_list(&mut object, "url", message.urls().iter().rev().map(Vec::as_slice));
        single(&mut object, "user_agent", "user-agent");
        single(&mut object, "x_mailer", "x-mailer");
        Some(object.record("email"))
    }

    fn objects(&self) -> impl Iterator<Item = Record> {
        std::iter::once(self.smtp()).chain(self.email())
    }
}

/// Adds a list, unless there is nothing in it.
fn put_list<'a>(object: &mut Object, name: &str, values: impl Iterator<Item = &'a [u8]>) {
    let values: Vec<_> = values.map(text).collect();
    if !values.is_empty() {
        object.put(name, values);
    }
}

impl Transaction for Mail {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        App::Smtp
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.revision[direction as usize]
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.complete[direction as usize]
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        if direction == ToClient {
            return Field::Absent;
        }
        let single = |value: &'_ Option<Vec<u8>>| instance == 0 && value.is_some();
        match buffer {
            Buffer::SmtpHelo if single(&self.helo) => Field::optional(self.helo.as_deref()),
            Buffer::SmtpMailFrom if single(&self.from) => Field::optional(self.from.as_deref()),
            Buffer::SmtpHelo | Buffer::SmtpMailFrom if instance == 0 => self.nothing(),
            Buffer::SmtpRcptTo => self.one_of(self.to.iter().map(Vec::as_slice), instance, self.message.is_some()),
            Buffer::EmailFrom => self.first("from", instance),
            Buffer::EmailTo => self.first("to", instance),
            Buffer::EmailCc => self.first("cc", instance),
            Buffer::EmailSubject => self.first("subject", instance),
            Buffer::EmailDate => self.first("date", instance),
            Buffer::EmailMessageId => self.first("message-id", instance),
            Buffer::EmailXMailer => self.first("x-mailer", instance),
            Buffer::EmailReceived => self.header("received", instance),
            Buffer::EmailUrl => {
                let urls = self.message.as_ref().map(Message::urls).unwrap_or_default();
                self.one_of(urls.iter().map(Vec::as_slice), instance, false)
            }
            Buffer::EmailBodyMd5 if instance == 0 => match self.message.as_ref().and_then(Message::body_md5) {
                Some(digest) => Field::whole(digest.as_bytes()),
                None => self.nothing(),
            },
            Buffer::FileData => self.contents(instance),
            Buffer::FileName => self.one_of(self.attached().iter().map(Tracked::name), instance, false),
            _ => Field::Absent,
        }
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }

    fn file(&self, direction: Direction, instance: usize) -> Option<File<'_>> {
        let file = self.attached().get(instance).filter(|_| direction == ToServer)?;
        Some(file.file())
    }
}

impl Exchange for Mail {
    fn records(&self) -> Vec<Record> {
        let files = self.attached().iter().map(|file| file.record(self.id));
        std::iter::once(self.smtp()).chain(files).collect()
    }

    fn context(&self) -> Vec<Record> {
        let files = self.attached().iter().map(|file| file.record(self.id));
        self.objects().chain(files).collect()
    }

    fn beside(&self, record: &Record, _all: &[Record]) -> Vec<Record> {
        self.objects().filter(|object| object.event_type != record.event_type).collect()
    }
}
