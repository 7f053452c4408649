//! Messages with attachments (RFC 5322, RFC 2045 to 2047), read as they come.
//!
//! A message is a stack of entities: the message itself, the part of it that is being said, a message or parts in that, and so
//! on. Each line belongs to the innermost one, unless it is the boundary of one further out. What an entity with a file name
//! decodes to is a file; messages that are forwarded are looked into, whether they have one or not.

mod decode;
mod header;
#[cfg(test)]
mod tests;
mod url;

use md5::{Digest, Md5};

pub use self::header::{Field, addresses};
use self::{
    decode::{Decoder, Encoding},
    url::Urls,
};
use super::{
    Limits,
    files::Tracked,
    lines::{Line, Lines},
};

/// Longest line that is read as one; longer ones come in pieces.
const LINE_MAX: usize = 4096;
/// Lengths beyond which something is noticed: of a line and of an encoded one (RFC 2045), of a header field's name and value,
/// of a boundary (as Suricata has them).
const LONG_LINE: usize = 998;
const LONG_ENCODED_LINE: usize = 76;
const LONG_NAME: usize = 75;
const LONG_VALUE: usize = 2000;
const LONG_BOUNDARY: usize = 254;
/// Entities inside of each other that are told apart.
const DEPTH_MAX: usize = 8;
/// Files of a message that are kept; what comes behind them is not looked into.
const FILES_MAX: usize = 256;

/// A message.
#[derive(Debug)]
pub struct Message {
    limits: Limits,
    lines: Lines,
    /// Outermost first; never empty.
    entities: Vec<Entity>,
    /// Of the message itself.
    fields: Vec<Field>,
    /// Bytes of header fields so far, of the innermost entity.
    header_bytes: usize,
    files: Vec<Tracked>,
    urls: Urls,
    body: Md5,
    body_md5: Option<String>,
    /// The header of the message is over.
    has_body: bool,
    events: Vec<&'static str>,
    over: bool,
    scratch: Vec<u8>,
}

/// The message, a part, or a message in a part.
#[derive(Debug)]
struct Entity {
    /// Fields, until there is an empty line.
    header: Option<Vec<Field>>,
    /// What stands in front of its parts' headers, with both hyphens.
    boundary: Option<Vec<u8>>,
    decoder: Decoder,
    encoded: bool,
    /// Index of what it decodes to.
    file: Option<usize>,
    /// It is searched for addresses of the web.
    is_text: bool,
}

impl Entity {
    fn new() -> Self {
        let decoder = Decoder::new(Encoding::Identity);
        Self { header: Some(Vec::new()), boundary: None, decoder, encoded: false, file: None, is_text: false }
    }
}

impl Message {
    /// A message of which nothing was said.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lines: Lines::new(LINE_MAX),
            entities: vec![Entity::new()],
            fields: Vec::new(),
            header_bytes: 0,
            files: Vec::new(),
            urls: Urls::default(),
            body: Md5::new(),
            body_md5: None,
            has_body: false,
            events: Vec::new(),
            over: false,
            scratch: Vec::new(),
        }
    }

    /// More of it.
    pub fn hear(&mut self, mut said: &[u8]) {
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(LINE_MAX));
        while let Some(line) = lines.next(&mut said) {
            self.line(line);
        }
        self.lines = lines;
    }

    /// It is over: with `false`, before its end.
    pub fn end(&mut self, complete: bool) {
        if self.over {
            return;
        }
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(LINE_MAX));
        if let Some(line) = lines.rest() {
            self.line(line);
        }
        if self.entities.last().is_some_and(|entity| entity.header.is_some()) {
            self.header_ends();
        }
        self.close(0, complete);
        self.over = true;
        if self.has_body && complete {
            let digest = std::mem::take(&mut self.body).finalize();
            self.body_md5 = Some(digest.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }

    /// So many bytes of it are missing.
    pub fn lost(&mut self, bytes: u64) {
        self.lines.reset();
        for file in self.files.iter_mut().filter(|file| !file.is_over()) {
            file.lost(bytes);
        }
    }

    /// Its header fields.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The values of those of a name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |field| field.is(name)).map(|field| field.value.as_slice())
    }

    /// Nothing is added to its header fields any more.
    pub const fn has_header(&self) -> bool {
        self.has_body || self.over
    }

    /// It is over.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// What is attached, in order.
    pub fn files(&self) -> &[Tracked] {
        &self.files
    }

    /// Addresses of the web in its text, in order.
    pub fn urls(&self) -> &[Vec<u8>] {
        self.urls.found()
    }

    /// MD5 of its body as it was said, in hexadecimal, once it is over. As Suricata has it, stuffing is part of that.
    pub fn body_md5(&self) -> Option<&str> {
        self.body_md5.as_deref()
    }

    /// What was noticed since the last time that this was asked.
    pub fn take_events(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.events)
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let files: usize = self.files.iter().map(Tracked::footprint).sum();
        self.fields.iter().map(Field::footprint).sum::<usize>()
            + self.header_bytes
            + files
            + self.urls.footprint()
            + self.lines.footprint()
            + size_of::<Self>()
    }

    /// What stands in front of its next line, and is none of it: only the digest of its body has that.
    pub fn stuffing(&mut self, bytes: &[u8]) {
        if self.has_body {
            self.body.update(bytes);
        }
    }

    /// A line of it, where lines are told apart already.
    pub fn line(&mut self, line: Line<'_>) {
        if line.bytes.len() > LONG_LINE || !line.starts {
            self.notice("mime_long_line");
        }
        if self.has_body {
            self.body.update(line.bytes);
            self.body.update(line.ending);
        }
        if line.starts
            && line.bytes.starts_with(b"--")
            && let Some((depth, last)) = self.boundary(line.bytes)
        {
            self.close(depth + 1, true);
            if !last && self.entities.len() <= DEPTH_MAX {
                self.entities.push(Entity::new());
            }
            return;
        }
        let in_header = self.entities.last().is_some_and(|entity| entity.header.is_some());
        let innermost = self.entities.len().saturating_sub(1);
        for index in 0..=innermost {
            if index < innermost || !in_header {
                self.content(index, line);
            }
        }
        if in_header {
            self.header(line);
        }
    }

    /// Whose boundary a line is, and whether no part follows it.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.trim_ascii_end();
        self.entities.iter().enumerate().rev().find_map(|(depth, entity)| {
            match line.strip_prefix(entity.boundary.as_deref()?)? {
                b"" => Some((depth, false)),
                b"--" => Some((depth, true)),
                _ => None,
            }
        })
    }

    /// Ends entities from a depth on.
    fn close(&mut self, depth: usize, complete: bool) {
        while self.entities.len() > depth {
            let Some(entity) = self.entities.pop() else { break };
            if entity.is_text {
                self.urls.end();
            }
            if let Some(file) = entity.file.and_then(|file| self.files.get_mut(file)) {
                if complete { file.close() } else { file.truncate() }
            }
        }
    }

    fn header(&mut self, line: Line<'_>) {
        if line.is_whole() && line.bytes.is_empty() {
            return self.header_ends();
        }
        self.header_bytes += line.bytes.len();
        let room = self.header_bytes <= self.limits.header;
        let Some(fields) = self.entities.last_mut().and_then(|entity| entity.header.as_mut()) else { return };
        let folded = matches!(line.bytes, [b' ' | b'\t', ..]);
        let mut events = [None; 2];
        match fields.last_mut() {
            _ if !room => events[0] = Some("mime_long_header_value"),
            Some(field) if folded || !line.starts => {
                let more = if line.starts { line.bytes.get(1..).unwrap_or_default() } else { line.bytes };
                field.value.extend_from_slice(more);
                events[0] = (field.value.len() > LONG_VALUE).then_some("mime_long_header_value");
            }
            _ => {
                let Some(field) = Field::read(line.bytes) else { return };
                events[0] = (field.value.len() > LONG_VALUE).then_some("mime_long_header_value");
                events[1] = (field.name.len() > LONG_NAME).then_some("mime_long_header_name");
                fields.push(field);
            }
        }
        events.into_iter().flatten().for_each(|event| self.notice(event));
    }

    /// What the header of the innermost entity says of what follows.
    fn header_ends(&mut self) {
        let is_main = self.entities.len() == 1;
        let Some(mut entity) = self.entities.pop() else { return };
        let fields = entity.header.take().unwrap_or_default();
        self.header_bytes = 0;
        let field = |name: &str| fields.iter().find(|field| field.is(name));
        let kind = field("content-type");
        let main = kind.map(Field::main).unwrap_or_default().to_ascii_lowercase();
        let encoding =
            field("content-transfer-encoding").map(|field| Encoding::named(&field.value)).unwrap_or_default();
        let name = field("content-disposition")
            .and_then(|field| field.file_name("filename"))
            .or_else(|| kind.and_then(|kind| kind.file_name("name")));
        let holds_message = main == b"message/rfc822" && self.entities.len() < DEPTH_MAX;
        let boundary = kind.filter(|_| main.starts_with(b"multipart/")).and_then(|kind| kind.parameter("boundary"));

        entity.decoder = Decoder::new(encoding);
        entity.encoded = encoding != Encoding::Identity;
        let has_text = name.is_some() || main.is_empty() || main.starts_with(b"text/");
        entity.is_text = has_text && !holds_message && boundary.is_none();
        if let Some(boundary) = boundary {
            if boundary.len() > LONG_BOUNDARY {
                self.notice("mime_long_boundary");
            }
            entity.boundary = Some([b"--", boundary.as_slice()].concat());
        }
        if let Some((name, long)) = name {
            if long {
                self.notice("mime_long_filename");
            }
            if self.files.len() < FILES_MAX {
                entity.file = Some(self.files.len());
                self.files.push(Tracked::new(&name, self.limits.body[0]));
            }
        }
        self.entities.push(entity);
        if is_main {
            self.fields = fields;
            self.has_body = true;
        }
        if holds_message {
            self.entities.push(Entity::new());
        }
    }

    /// A line of an entity's body.
    fn content(&mut self, index: usize, line: Line<'_>) {
        let Some(entity) = self.entities.get_mut(index) else { return };
        let file = entity.file.and_then(|file| self.files.get_mut(file));
        if file.is_none() && !entity.is_text {
            return;
        }
        let long = entity.encoded && line.bytes.len() > LONG_ENCODED_LINE;
        self.scratch.clear();
        let sound = entity.decoder.line(line, &mut self.scratch);
        let unsound = match entity.decoder {
            Decoder::Base64(_) => "mime_invalid_base64",
            _ => "mime_invalid_qp",
        };
        if entity.is_text {
            self.urls.text(&self.scratch);
        }
        if let Some(file) = file {
            file.push(&self.scratch);
        }
        if long {
            self.notice("mime_long_enc_line");
        }
        if !sound {
            self.notice(unsound);
        }
    }

    fn notice(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }
}
