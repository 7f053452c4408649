//! A stream of HTTP/2, or a frame that belongs to none, as rules and events see them.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Data, Direction, Field, File, Transaction},
};

use super::{
    frame::{self, Frame},
    side::Entry,
};
use crate::app::{
    Exchange, Limits, Object, Record, Told,
    body::packed::Trouble,
    events::Events,
    files::Tracked,
    http::{
        buffers::field_of,
        message::{Message, Progress, packings},
        uri::host_and_port,
    },
    text,
};

/// Frames of a direction that are remembered.
const FRAMES: usize = 256;
/// Settings that are.
const SETTINGS: usize = 64;

/// Bytes of a message of DNS, at most.
const LONGEST_DNS: u64 = 0xffff;

/// What one side says on a stream.
#[derive(Debug, Default)]
pub struct Way {
    pub message: Message,
    pub frames: Vec<Frame>,
    pub settings: Vec<(u16, u32)>,
    pub entries: Vec<Entry>,
    /// Fields of a message were read: others are trailers.
    described: bool,
    /// `HTTP/2 200` and CRLF, or such of a request.
    line: Vec<u8>,
}

impl Way {
    fn field(&self, name: &str) -> Option<&[u8]> {
        self.message.headers.get(name)
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Field(name, value) => Some((&name[..], &value[..])),
            Entry::TableSize(_) => None,
        })
    }
}

/// A stream, or a frame that belongs to none.
#[derive(Debug, Default)]
pub struct Stream {
    pub id: u64,
    pub number: u32,
    pub ways: [Way; 2],
    /// Lower case, without user and port.
    host: Option<Vec<u8>>,
    events: Events,
}

impl Stream {
    pub fn new(id: u64, number: u32) -> Self {
        Self { id, number, ..Self::default() }
    }

    pub fn notice(&mut self, event: &'static str) {
        self.events.note(event);
    }

    /// A frame was said.
    pub fn frame(&mut self, direction: Direction, frame: Frame, settings: &[(u16, u32)]) {
        let way = &mut self.ways[direction as usize];
        way.message.touch();
        if way.frames.len() < FRAMES {
            way.frames.push(frame);
        } else {
            self.events.note("too_many_frames");
        }
        let room = SETTINGS.saturating_sub(way.settings.len());
        way.settings.extend_from_slice(&settings[..settings.len().min(room)]);
    }

    /// A block of fields was said.
    pub fn fields(&mut self, direction: Direction, entries: Vec<Entry>, limits: &Limits) {
        let way = &mut self.ways[direction as usize];
        let informs = way.field(":status").is_some_and(|status| status.starts_with(b"1"));
        if way.described && informs && direction == Direction::ToClient {
            // what came before was no response
            way.message.headers.clear();
            way.described = false;
        }
        for entry in &entries {
            if let Entry::Field(name, value) = entry {
                way.message.headers.add(name, value, &mut |_| ());
            }
        }
        let known: usize = way.fields().map(|(name, value)| name.len() + value.len() + 32).sum();
        if known < limits.header {
            way.entries.extend(entries);
        }
        way.message.touch();
        if std::mem::replace(&mut way.described, true) {
            return;
        }
        match direction {
            Direction::ToServer => self.asked(),
            Direction::ToClient => {
                let status = way.field(":status").unwrap_or_default();
                way.line = [b"HTTP/2 ", status, b"\r\n"].concat();
            }
        }
        let name = self.ways[0].field(":path").unwrap_or_default().to_vec();
        let way = &mut self.ways[direction as usize];
        let (packings, events) = packings(way.field("content-encoding").unwrap_or_default(), limits.layers);
        way.message.expect(limits.body[direction as usize], &packings);
        way.message.is_file(&name, limits);
        way.message.advance(Progress::Body);
        for event in events.into_iter().filter(|event| *event == "too_many_encoding_layers") {
            self.events.note(event);
        }
    }

    /// All fields of a request are there.
    fn asked(&mut self) {
        let way = &mut self.ways[0];
        let [method, path] = [":method", ":path"].map(|name| way.field(name).unwrap_or_default().to_vec());
        way.line = [&method[..], b" ", &path, b" HTTP/2\r\n"].concat();
        let named = [":authority", "host"].map(|name| way.field(name).map(<[u8]>::to_vec));
        let hosts = named.each_ref().map(|value| value.as_deref().map(host));
        if named[0].as_deref().is_some_and(|authority| authority.contains(&b'@')) {
            self.events.note("userinfo_in_uri");
        }
        if let [Some(authority), Some(host)] = &hosts
            && authority != host
        {
            self.events.note("authority_host_mismatch");
        }
        self.host = hosts.into_iter().flatten().next();
    }

    /// Content was said.
    pub fn content(&mut self, direction: Direction, bytes: &[u8], limits: &Limits) {
        let way = &mut self.ways[direction as usize];
        let trouble = way.message.push(bytes, limits);
        if way.message.length > LONGEST_DNS && way.field("content-type").is_some_and(is_dns) {
            self.events.note(match direction {
                Direction::ToServer => "dns_request_too_long",
                Direction::ToClient => "dns_response_too_long",
            });
        }
        self.trouble(trouble);
    }

    /// A direction is over.
    pub fn finish(&mut self, direction: Direction, whole: bool, limits: &Limits) {
        let message = &mut self.ways[direction as usize].message;
        if message.progress == Progress::Complete {
            return;
        }
        let trouble = message.finish(whole, limits);
        self.trouble(trouble);
    }

    fn trouble(&mut self, trouble: Option<Trouble>) {
        match trouble {
            Some(Trouble::Broken) => _ = self.events.note("failed_decompression"),
            Some(Trouble::Bomb) => _ = self.events.note("compression_bomb"),
            None => {}
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let way = |way: &Way| {
            let fields: usize = way.fields().map(|(name, value)| name.len() + value.len() + size_of::<Entry>()).sum();
            let frames = way.frames.capacity() * size_of::<Frame>() + way.settings.capacity() * 8;
            way.message.footprint() + frames + fields + way.line.capacity()
        };
        size_of::<Self>() + self.ways.iter().map(way).sum::<usize>()
    }
}

/// Whether content is a message of DNS (RFC 8484 section 6).
fn is_dns(kind: &[u8]) -> bool {
    kind.split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/dns-message")
}

/// A host's name without user and port.
fn host(authority: &[u8]) -> Vec<u8> {
    let start = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
    host_and_port(&authority[start..]).0.to_ascii_lowercase()
}

impl Transaction for Stream {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        App::Http2
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.ways[direction as usize].message.revision
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.ways[direction as usize].message.progress == Progress::Complete
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        if !buffer.way().is(direction) {
            return Field::Absent;
        }
        let way = &self.ways[direction as usize];
        let message = &way.message;
        let complete = message.progress == Progress::Complete;
        let later = || if complete { Field::Absent } else { Field::Pending };
        let part = |bytes: &'_ [u8], whole: bool| -> Field<'_> {
            let data = Data { bytes: bytes.to_vec().into() };
            if whole { Field::Whole(data) } else { Field::Part(data) }
        };
        match buffer {
            Buffer::FileData | Buffer::HttpRequestBody | Buffer::HttpResponseBody => match message.contents(instance) {
                Some((contents, over)) => {
                    let data = Data { bytes: contents.into() };
                    return if over { Field::Whole(data) } else { Field::Part(data) };
                }
                None => return later(),
            },
            Buffer::FileName => {
                return message.files().get(instance).map_or_else(later, |file| Field::whole(file.name()));
            }
            _ if !way.described => return later(),
            Buffer::Http2HeaderName => return Field::optional(way.fields().nth(instance).map(|(name, _)| name)),
            Buffer::HttpRequestHeader | Buffer::HttpResponseHeader => {
                let field = way.fields().nth(instance).map(|(name, value)| [name, b": ", value].concat());
                return field.map_or(Field::Absent, |field| part(&field, true));
            }
            _ if instance > 0 => return Field::Absent,
            Buffer::HttpHeader | Buffer::HttpHeaderRaw => {
                let fields: Vec<u8> =
                    way.fields().flat_map(|(name, value)| [name, b": ", value, b"\r\n"].concat()).collect();
                return part(&fields, true);
            }
            Buffer::HttpHeaderNames => {
                let names: Vec<u8> = way.fields().flat_map(|(name, _)| [name, b"\r\n"].concat()).collect();
                return part(&[b"\r\n", &names[..], b"\r\n"].concat(), true);
            }
            _ => {}
        }
        let name = match buffer {
            Buffer::HttpMethod => ":method",
            Buffer::HttpUri | Buffer::HttpUriRaw => ":path",
            Buffer::HttpStatCode => ":status",
            Buffer::HttpRequestLine | Buffer::HttpResponseLine => return Field::whole(&way.line),
            Buffer::HttpProtocol => return Field::whole(b"HTTP/2"),
            Buffer::HttpStatMsg => return Field::whole(b""),
            Buffer::HttpHost => return Field::optional(self.host.as_deref()),
            Buffer::HttpHostRaw => return Field::optional(way.field(":authority").or_else(|| way.field("host"))),
            other => match field_of(other, direction) {
                Some(name) => name,
                None => return Field::Absent,
            },
        };
        Field::optional(way.field(name))
    }

    fn number(&self, keyword: &str, direction: Direction, instance: usize) -> Option<u64> {
        let way = &self.ways[direction as usize];
        let frames = way.frames.iter();
        match keyword {
            "http2.frametype" => frames.map(|frame| u64::from(frame.kind)).nth(instance),
            "http2.errorcode" => frames.filter_map(|frame| frame.error).map(u64::from).nth(instance),
            "http2.priority" => frames.filter_map(|frame| frame.priority).map(u64::from).nth(instance),
            "http2.window" => frames.filter_map(|frame| frame.window).map(u64::from).nth(instance),
            "http2.size_update" => {
                let size = |entry: &Entry| if let Entry::TableSize(size) = entry { Some(*size) } else { None };
                way.entries.iter().filter_map(size).nth(instance)
            }
            _ => None,
        }
    }

    fn test(&self, keyword: &str, argument: &str, direction: Direction) -> Option<bool> {
        let way = &self.ways[direction as usize];
        match keyword {
            "http2.settings" if frame::holds(argument, &way.settings) => Some(true),
            "http2.settings" if way.message.progress != Progress::Complete => None,
            _ => Some(false),
        }
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }

    fn file(&self, direction: Direction, instance: usize) -> Option<File<'_>> {
        self.ways[direction as usize].message.files().get(instance).map(Tracked::file)
    }
}

impl Exchange for Stream {
    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        // windows alone are told to nobody
        let told = |way: &Way| {
            let frame = |frame: &Frame| frame.error.is_some() || frame.priority.is_some();
            way.described || !way.settings.is_empty() || way.frames.iter().any(frame)
        };
        if self.ways.iter().any(told) {
            records.extend(self.context());
        }
        for (by, way) in Direction::BOTH.into_iter().zip(&self.ways) {
            records.extend(way.message.files().iter().map(|file| file.record(self.id).by(by)));
        }
        records
    }

    fn context(&self) -> Vec<Record> {
        let [request, response] = &self.ways;
        let number = |bytes: Option<&[u8]>| std::str::from_utf8(bytes?).ok()?.parse::<u64>().ok();
        let fields = |way: &Way| (!way.entries.is_empty()).then(|| way.entries.iter().map(entry).collect::<Vec<_>>());
        let mut object = Object::new();
        object.put_some("hostname", request.field("host").or_else(|| request.field(":authority")).map(text));
        let mut http2 = Object::new();
        http2.put("request", frames(request));
        http2.put("response", frames(response));
        http2.put("stream_id", self.number);
        object.put("http2", http2.told());
        object.put_some("http_method", request.field(":method").map(text));
        object.put_some("http_user_agent", request.field("user-agent").map(text));
        let length = response.field("content-length").or_else(|| request.field("content-length"));
        object.put_some("length", number(length));
        object.put_some("request_headers", fields(request));
        object.put_some("response_headers", fields(response));
        object.put_some("status", number(response.field(":status")));
        object.put_some("url", request.field(":path").map(text));
        object.put("version", "2");
        vec![object.record("http")]
    }

    fn beside(&self, record: &Record, _all: &[Record]) -> Vec<Record> {
        // also of a stream of which nothing else is told
        if record.event_type == "fileinfo" { self.context() } else { Vec::new() }
    }
}

fn entry(entry: &Entry) -> Told {
    let mut object = Object::new();
    match entry {
        Entry::Field(name, value) => {
            object.put("name", text(name));
            object.put("value", text(value));
        }
        Entry::TableSize(size) => object.put("table_size_update", size),
    }
    object.told()
}

/// What is told of the frames of a direction.
fn frames(way: &Way) -> Told {
    let errors: Vec<u32> = way.frames.iter().filter_map(|frame| frame.error).collect();
    let priorities: Vec<u8> = way.frames.iter().filter_map(|frame| frame.priority).collect();
    let mut object = Object::new();
    let error = |error: &u32| frame::error_name(*error).map_or_else(|| error.to_string(), str::to_owned);
    object.put_some("error_code", errors.first().map(error));
    let several = [("error_code", errors.len()), ("priority", priorities.len())];
    object.put_some("has_multiple", several.iter().find(|(_, count)| *count > 1).map(|(name, _)| name));
    object.put_some("priority", priorities.first());
    if !way.settings.is_empty() {
        let setting = |(id, value): &(u16, u32)| {
            let name = frame::setting_name(*id).map_or_else(|| format!("SETTINGS{id}"), str::to_owned);
            serde_json::json!({"settings_id": name, "settings_value": value})
        };
        object.put("settings", way.settings.iter().map(setting).collect::<Vec<_>>());
    }
    object.told()
}
