//! What requests and responses have in common: a header section, and a body, which may be a file.

use std::cell::OnceCell;

use super::{
    header::{Header, Headers},
    multipart::Multipart,
};
use crate::app::{
    Limits,
    body::packed::{Packed, Packing, Trouble},
    files::{Kept, Tracked},
};

/// How far a message has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Progress {
    #[default]
    Nothing,
    /// Its first line was said.
    Headers,
    /// All fields but trailers were.
    Body,
    Complete,
}

/// What becomes of a body.
#[derive(Debug, Default)]
enum Target {
    /// It is looked at, but is no file.
    #[default]
    None,
    /// All of it is one.
    File(Box<Tracked>),
    /// It holds some.
    Multipart(Box<Multipart>, Vec<Tracked>),
}

/// A request or a response.
#[derive(Debug, Default)]
pub struct Message {
    pub progress: Progress,
    pub revision: u32,
    pub headers: Headers,
    /// Its length as it was said, with the lines around chunks.
    pub length: u64,
    body: Kept,
    packed: Packed,
    target: Target,
    normal: OnceCell<Normal>,
}

/// Buffers that are put together of all fields.
#[derive(Debug)]
pub struct Normal {
    /// `Name: value` and CRLF, each.
    pub all: Vec<u8>,
    /// The same, cookies left out; `None`: there are none.
    without_cookies: Option<Vec<u8>>,
    /// Each name and CRLF, between two CRLF.
    pub names: Vec<u8>,
    /// Where each field ends in all of them, with its CRLF.
    ends: Vec<usize>,
}

impl Normal {
    fn new(list: &[Header]) -> Self {
        let of = |header: &Header| header.name.len() + header.value.len() + 4;
        let (len, names) = (list.iter().map(of).sum(), list.iter().map(|header| header.name.len() + 2).sum::<usize>());
        let mut all = Vec::with_capacity(len);
        let mut names = Vec::with_capacity(names + 4);
        let mut ends = Vec::with_capacity(list.len());
        let mut cookies = false;
        for header in list {
            cookies |= is_cookie(header);
            put(header, &mut all);
            ends.push(all.len());
        }
        if !list.is_empty() {
            names.extend_from_slice(b"\r\n");
            for header in list {
                names.extend_from_slice(&header.name);
                names.extend_from_slice(b"\r\n");
            }
            names.extend_from_slice(b"\r\n");
        }
        let without_cookies = cookies.then(|| {
            let mut header = Vec::with_capacity(len);
            list.iter().filter(|of| !is_cookie(of)).for_each(|of| put(of, &mut header));
            header
        });
        Self { all, without_cookies, names, ends }
    }

    /// `Name: value` and CRLF each, cookies left out.
    pub fn header(&self) -> &[u8] {
        self.without_cookies.as_ref().unwrap_or(&self.all)
    }

    /// `Name: value` of one.
    pub fn field(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.all[start..end - 2])
    }
}

fn is_cookie(header: &Header) -> bool {
    header.is("cookie") || header.is("set-cookie")
}

fn put(header: &Header, out: &mut Vec<u8>) {
    for part in [&header.name[..], b": ", &header.value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

impl Message {
    /// It has come so far.
    pub fn advance(&mut self, progress: Progress) {
        self.progress = self.progress.max(progress);
        self.touch();
    }

    /// Something has changed.
    pub fn touch(&mut self) {
        self.revision += 1;
        self.normal.take();
    }

    /// A body follows, packed in these ways; `keep` bytes of it are remembered.
    pub fn expect(&mut self, keep: usize, packings: &[Packing]) {
        self.body = Kept::new(keep);
        self.packed = Packed::new(packings);
    }

    /// The body is not packed, whatever was said.
    pub fn take_plain(&mut self, keep: usize) {
        if self.body.size() == 0 {
            self.body = Kept::new(keep);
        }
        self.packed = Packed::default();
    }

    /// The body is a file of this name.
    pub fn is_file(&mut self, name: &[u8], limits: &Limits) {
        self.target = Target::File(Box::new(Tracked::new(name, 0).digested(limits.digests)));
    }

    /// That file is this part of a larger one: first and last byte.
    pub fn is_part(&mut self, first: u64, last: u64) {
        if let Target::File(file) = &mut self.target {
            file.is_part(first, last);
        }
    }

    /// The body is multipart.
    pub fn is_multipart(&mut self, multipart: Multipart) {
        self.target = Target::Multipart(Box::new(multipart), Vec::new());
    }

    /// The next bytes of the body, out of their chunks. Gives what has gone wrong with it, once.
    pub fn push(&mut self, bytes: &[u8], limits: &Limits) -> Option<Trouble> {
        self.length += bytes.len() as u64;
        if self.packed.is_plain() {
            self.content(bytes, limits);
            return None;
        }
        let before = self.packed.trouble;
        let mut content = Vec::new();
        self.packed.push(bytes, &mut content);
        self.content(&content, limits);
        self.packed.trouble.filter(|_| before.is_none())
    }

    fn content(&mut self, bytes: &[u8], limits: &Limits) {
        if bytes.is_empty() {
            return;
        }
        self.body.push(bytes);
        match &mut self.target {
            Target::None => {}
            Target::File(file) => file.push(bytes),
            Target::Multipart(multipart, files) => multipart.push(bytes, files, limits.body[0]),
        }
        // the fields are what they were
        self.revision += 1;
    }

    /// So many bytes of the body were never seen.
    pub fn lose(&mut self, bytes: u64) {
        self.length += bytes;
        self.packed.lose();
        match &mut self.target {
            Target::None => {}
            Target::File(file) => file.lost(bytes),
            Target::Multipart(_, files) => {
                if let Some(file) = files.last_mut() {
                    file.lost(bytes);
                }
            }
        }
        self.touch();
    }

    /// The message is over. `whole`: all of its body was said. Gives what has gone wrong with the body, once.
    pub fn finish(&mut self, whole: bool, limits: &Limits) -> Option<Trouble> {
        let mut trouble = None;
        if !self.packed.is_plain() {
            let before = self.packed.trouble;
            let mut content = Vec::new();
            self.packed.finish(&mut content);
            self.content(&content, limits);
            trouble = self.packed.trouble.filter(|_| before.is_none());
            self.packed = Packed::default();
        }
        let end = |file: &mut Tracked| if whole { file.close() } else { file.truncate() };
        match &mut self.target {
            Target::None => {}
            Target::File(file) => end(file),
            Target::Multipart(multipart, files) => {
                multipart.finish(files);
                files.iter_mut().for_each(end);
            }
        }
        self.advance(Progress::Complete);
        trouble
    }

    /// The body, unpacked, as far as it is remembered.
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }

    /// The files that it holds.
    pub fn files(&self) -> &[Tracked] {
        match &self.target {
            Target::None => &[],
            // a body of no bytes is no file
            Target::File(file) if file.file().size == 0 => &[],
            Target::File(file) => std::slice::from_ref(file),
            Target::Multipart(_, files) => files,
        }
    }

    /// What is remembered of a file.
    pub fn contents(&self, instance: usize) -> Option<(&[u8], bool)> {
        let file = self.files().get(instance)?;
        let contents = if matches!(self.target, Target::File(_)) { self.body() } else { file.contents() };
        Some((contents, file.is_over()))
    }

    /// What was noticed of a multipart body.
    pub fn noticed(&self) -> &[&'static str] {
        match &self.target {
            Target::Multipart(multipart, _) => &multipart.events,
            _ => &[],
        }
    }

    /// All fields, put together.
    pub fn normal(&self) -> &Normal {
        self.normal.get_or_init(|| Normal::new(self.headers.list()))
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let target = match &self.target {
            Target::None => 0,
            Target::File(file) => file.footprint(),
            Target::Multipart(multipart, files) => {
                multipart.footprint() + files.iter().map(Tracked::footprint).sum::<usize>()
            }
        };
        let normal = self.normal.get().map_or(0, |normal| 3 * normal.all.capacity());
        self.headers.footprint() + self.body.footprint() + self.packed.footprint() + target + normal
    }
}

/// How a body is packed, by its `Content-Encoding`, one after the other; and what is to be noticed about that.
pub fn packings(value: &[u8], most: usize) -> (Vec<Packing>, Vec<&'static str>) {
    let mut packings = Vec::new();
    let mut events = Vec::new();
    let value: Vec<u8> = value.iter().copied().filter(|byte| *byte != 0).collect();
    let codings = value.split(|byte| matches!(byte, b',' | b' ')).filter(|coding| !coding.is_empty());
    for (at, coding) in codings.enumerate() {
        if at >= most {
            events.push("too_many_encoding_layers");
            break;
        }
        let coding = coding.to_ascii_lowercase();
        let contains = |name: &[u8]| memchr::memmem::find(&coding, name).is_some();
        match &coding[..] {
            b"gzip" | b"x-gzip" | b"deflate" | b"x-deflate" => packings.push(Packing::Deflate),
            b"br" => packings.push(Packing::Brotli),
            b"inflate" | b"none" => {}
            _ if contains(b"gzip") || contains(b"deflate") => {
                events.push("abnormal_ce_header");
                packings.push(Packing::Deflate);
            }
            _ => events.push("abnormal_ce_header"),
        }
    }
    (packings, events)
}
