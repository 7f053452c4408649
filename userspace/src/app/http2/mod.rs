//! HTTP/2 (RFC 9113): streams are transactions, and so is each frame that belongs to none.

mod frame;
mod side;
mod stream;
#[cfg(test)]
mod tests;
mod upgrade;

use std::collections::VecDeque;

use dropgate_signatures::subject::{Direction, Transaction as _};

pub use self::upgrade::Upgrade;
use self::{
    frame::{Frame, Header, PREFACE},
    side::{Block, Piece, Side},
    stream::Stream,
};
use super::{Exchange, Limits, Parser};

/// Bytes of a frame that are held together: no peer sends longer ones unless the other allows it (section 4.2).
const FRAME: usize = 64 << 10;

/// A parser of HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    limits: Limits,
    streams: VecDeque<Stream>,
    next: u64,
    sides: [Side; 2],
    /// What the client said of its preface; `None`: it is over.
    preface: Option<Vec<u8>>,
    /// The highest streams so far: even and odd ones.
    highest: [u32; 2],
    /// Frames cannot be told apart any more.
    lost: bool,
    /// What belongs to streams that are not there any more.
    spare: Stream,
}

impl Http2 {
    /// A connection of which nothing was said.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            streams: VecDeque::new(),
            next: 0,
            sides: [Side::default(), Side::default()],
            preface: Some(Vec::new()),
            highest: [0, 0],
            lost: false,
            spare: Stream::default(),
        }
    }

    /// The preface, as far as these bytes are it; gives the others.
    fn preface<'a>(&mut self, said: &'a [u8]) -> &'a [u8] {
        let Some(known) = &mut self.preface else { return said };
        let wanted = &PREFACE[known.len()..];
        let length = wanted.iter().zip(said).take_while(|(wanted, byte)| wanted == byte).count();
        known.extend_from_slice(&said[..length]);
        if known.len() < PREFACE.len() && length == said.len() {
            return &[];
        }
        let known = self.preface.take().unwrap_or_default();
        if known.len() < PREFACE.len() {
            let at = self.open(0);
            self.streams[at].notice("invalid_client_magic");
            self.over(at);
            // it begins in the middle, or is none
            self.frames(Direction::ToServer, &known);
        }
        &said[length..]
    }

    fn frames(&mut self, direction: Direction, said: &[u8]) {
        let mut rest = said;
        loop {
            let (used, piece) = self.sides[direction as usize].next(rest, FRAME);
            rest = &rest[used..];
            match piece {
                Piece::None => {}
                Piece::Frame(header, payload) => self.frame(direction, header, &payload),
                Piece::Long(header) => {
                    let at = self.find(header.stream);
                    self.at(at).notice("long_frame_data");
                    self.sides[direction as usize].block = None;
                }
                Piece::Data { header, bytes, last, invalid } => self.data(direction, header, bytes, last, invalid),
            }
            if rest.is_empty() {
                return;
            }
        }
    }

    fn data(&mut self, direction: Direction, header: Header, bytes: &[u8], last: bool, invalid: bool) {
        let limits = self.limits;
        let at = self.find(header.stream);
        let stream = self.at(at);
        if invalid {
            stream.notice("invalid_frame_data");
        }
        if header.stream == 0 {
            stream.notice("data_stream_zero");
        } else if !bytes.is_empty() {
            stream.content(direction, bytes, &limits);
        }
        if last {
            stream.frame(direction, Frame { kind: frame::DATA, ..Frame::default() }, &[]);
            if header.ends_stream() {
                stream.finish(direction, true, &limits);
            }
            self.closed(at, header.stream);
        }
    }

    fn frame(&mut self, direction: Direction, header: Header, payload: &[u8]) {
        let read = frame::read(header, payload);
        let limits = self.limits;
        if header.kind == frame::SETTINGS {
            for (_, size) in read.settings.iter().filter(|(id, _)| *id == frame::TABLE_SIZE) {
                self.sides[direction.opposite() as usize].allow(*size);
            }
        }
        let at = self.find(header.stream);
        let stream = self.at(at);
        if read.invalid {
            stream.notice("invalid_frame_data");
        }
        stream.frame(direction, read.frame, &read.settings);
        if header.kind == frame::RST_STREAM {
            for way in [Direction::ToServer, Direction::ToClient] {
                stream.finish(way, way != direction, &limits);
            }
        }
        let side = &mut self.sides[direction as usize];
        match header.kind {
            frame::HEADERS | frame::PUSH_PROMISE => {
                let ends_stream = header.ends_stream();
                side.block = Some(Block { stream: header.stream, bytes: read.block.to_vec(), ends_stream });
            }
            frame::CONTINUATION => {
                if let Some(block) = &mut side.block {
                    let room = limits.header.saturating_sub(block.bytes.len());
                    block.bytes.extend_from_slice(&read.block[..read.block.len().min(room)]);
                    if read.block.len() > room {
                        self.at(at).notice("reassembly_limit_reached");
                    }
                }
            }
            _ => {}
        }
        if header.ends_headers()
            && let Some(block) = self.sides[direction as usize].block.take()
        {
            let (entries, event) = self.sides[direction as usize].decode(&block.bytes, limits.header);
            let at = if block.stream == header.stream { at } else { self.find(block.stream) };
            let stream = self.at(at);
            if let Some(event) = event {
                stream.notice(event);
            }
            if header.kind != frame::PUSH_PROMISE {
                stream.fields(direction, entries, &limits);
            }
            if block.ends_stream {
                stream.finish(direction, true, &limits);
            }
        }
        self.closed(at, header.stream);
    }

    /// A frame that belongs to no stream is over with itself.
    fn closed(&mut self, at: Option<usize>, stream: u32) {
        if let (Some(at), 0) = (at, stream) {
            self.over(at);
        }
    }

    fn over(&mut self, at: usize) {
        let limits = self.limits;
        for way in [Direction::ToServer, Direction::ToClient] {
            self.streams[at].finish(way, true, &limits);
        }
    }

    /// Where the stream of this number is; `None`: it was there and is not any more.
    fn find(&mut self, number: u32) -> Option<usize> {
        if number == 0 {
            return Some(self.open(0));
        }
        if let Some(at) = self.streams.iter().rposition(|stream| stream.number == number) {
            return Some(at);
        }
        let highest = &mut self.highest[number as usize % 2];
        if number <= *highest {
            return None;
        }
        *highest = number;
        Some(self.open(number))
    }

    fn at(&mut self, at: Option<usize>) -> &mut Stream {
        match at.and_then(|at| self.streams.get_mut(at)) {
            Some(stream) => stream,
            None => {
                self.spare = Stream::default();
                &mut self.spare
            }
        }
    }

    fn open(&mut self, number: u32) -> usize {
        let id = self.next;
        self.next += 1;
        self.streams.push_back(Stream::new(id, number));
        self.streams.len() - 1
    }

    /// Those that are too many make room.
    fn crowd(&mut self) {
        while self.streams.len() > self.limits.transactions.max(1) {
            self.streams.pop_front();
            if let Some(stream) = self.streams.back_mut() {
                stream.notice("too_many_streams");
            }
        }
    }
}

impl Parser for Http2 {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        if self.lost || said.is_empty() {
            return;
        }
        self.crowd();
        let said = if direction == Direction::ToServer { self.preface(said) } else { said };
        if !said.is_empty() {
            self.frames(direction, said);
        }
    }

    fn follows(&mut self, asked: &Upgrade) {
        let limits = self.limits;
        let (header, settings) = asked.settings();
        self.frame(Direction::ToServer, header, settings);
        if let Some(at) = self.find(1) {
            let stream = &mut self.streams[at];
            stream.fields(Direction::ToServer, asked.entries(), &limits);
            stream.finish(Direction::ToServer, true, &limits);
        }
    }

    fn lost(&mut self, direction: Direction, bytes: u64) {
        let content = usize::try_from(bytes).ok().and_then(|bytes| self.sides[direction as usize].lose(bytes));
        match content {
            Some(number) => {
                let at = self.find(number);
                self.at(at).ways[direction as usize].message.lose(bytes);
            }
            None => self.lost = true,
        }
    }

    fn end(&mut self, direction: Direction) {
        let limits = self.limits;
        for stream in &mut self.streams {
            stream.finish(direction, false, &limits);
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.streams.iter().map(|stream| stream as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        if let Ok(at) = self.streams.binary_search_by_key(&id, |stream| stream.id()) {
            self.streams.remove(at);
        }
    }

    fn is_opaque(&self) -> bool {
        self.lost
    }

    fn footprint(&self) -> usize {
        let sides: usize = self.sides.iter().map(Side::footprint).sum();
        size_of::<Self>() + sides + self.streams.iter().map(Stream::footprint).sum::<usize>()
    }
}
