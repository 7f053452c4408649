//! A request and its response, as rules and events see them.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field, File, Transaction},
};

use super::{
    buffers,
    line::{RequestLine, ResponseLine},
    message::{Message, Progress},
    record,
    uri::Uri,
};
use crate::app::{Exchange, Record, events::Events};

/// A request and its response.
#[derive(Debug, Default)]
pub struct Pair {
    pub id: u64,
    pub request: Message,
    pub response: Message,
    pub request_line: RequestLine,
    pub response_line: ResponseLine,
    pub uri: Uri,
    /// Of the target, or else of `Host`: lower case, without a port.
    pub host: Option<Vec<u8>>,
    pub port: Option<u16>,
    /// An interim response was seen.
    pub continued: bool,
    events: Events,
}

impl Pair {
    /// The first.
    pub fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    /// One of both.
    pub const fn message(&self, direction: Direction) -> &Message {
        match direction {
            Direction::ToServer => &self.request,
            Direction::ToClient => &self.response,
        }
    }

    /// One of both.
    pub const fn message_mut(&mut self, direction: Direction) -> &mut Message {
        match direction {
            Direction::ToServer => &mut self.request,
            Direction::ToClient => &mut self.response,
        }
    }

    /// The request was HTTP/0.9, which has no fields, and so has its response.
    pub fn is_plain(&self) -> bool {
        self.request_line.target.is_some()
            && self.request_line.protocol.is_none()
            && self.request.headers.list().is_empty()
            && !self.events().contains(&"request_line_missing_protocol")
            && !self.events().contains(&"unable_to_match_response_to_request")
    }

    /// There is something to say of it: a request has begun, or something was noticed.
    pub fn is_known(&self) -> bool {
        self.request.progress != Progress::Nothing || !self.events().is_empty()
    }

    /// Something was noticed.
    pub fn notice(&mut self, event: &'static str) {
        self.events.note(event);
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let lines = self.request_line.line.capacity() * 2 + self.response_line.line.capacity() * 2;
        let parts = lines + self.uri.footprint() + self.host.as_ref().map_or(0, Vec::capacity);
        size_of::<Self>() + parts + self.request.footprint() + self.response.footprint()
    }
}

impl Transaction for Pair {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        App::Http1
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.message(direction).revision
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.message(direction).progress == Progress::Complete
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        buffers::buffer(self, buffer, direction, instance)
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }

    fn file(&self, direction: Direction, instance: usize) -> Option<File<'_>> {
        self.message(direction).files().get(instance).map(super::super::files::Tracked::file)
    }
}

impl Exchange for Pair {
    fn records(&self) -> Vec<Record> {
        let files = |way: Direction| self.message(way).files().iter().map(move |file| file.record(self.id).by(way));
        [record::http(self)].into_iter().chain(Direction::BOTH.into_iter().flat_map(files)).collect()
    }

    fn context(&self) -> Vec<Record> {
        vec![record::http(self)]
    }

    fn beside(&self, record: &Record, all: &[Record]) -> Vec<Record> {
        all.iter().filter(|other| record.event_type == "fileinfo" && other.event_type == "http").cloned().collect()
    }
}
