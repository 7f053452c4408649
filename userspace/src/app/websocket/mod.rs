//! WebSocket (RFC 6455): each frame is a transaction; the last one of a message has all of its payload, unpacked (RFC 7692).

mod upgraded;

use std::collections::VecDeque;

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field, Transaction},
};

pub use self::upgraded::Upgraded;
use super::{
    Exchange, Limits, Object, Parser, Record,
    body::packed::{Packed, Packing},
    events::Events,
};

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
/// What the end of a packed message leaves out (RFC 7692 section 7.2.2).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// What stands before a payload (section 5.2).
#[derive(Clone, Copy, Debug)]
struct Header {
    flags: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    length: u64,
}

impl Header {
    /// Bytes that a header takes that begins so; `None`: that cannot be told yet.
    fn length(bytes: &[u8]) -> Option<usize> {
        let second = bytes.get(1)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        Some(2 + extended + if second & 0x80 == 0 { 0 } else { 4 })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], mut rest) = bytes.split_first_chunk()?;
        let mut length = u64::from(second & 0x7f);
        if length == 126 {
            let (extended, behind) = rest.split_first_chunk()?;
            (length, rest) = (u16::from_be_bytes(*extended).into(), behind);
        } else if length == 127 {
            let (extended, behind) = rest.split_first_chunk()?;
            (length, rest) = (u64::from_be_bytes(*extended), behind);
        }
        let mask = if second & 0x80 == 0 { None } else { Some(*rest.first_chunk()?) };
        Some(Self { flags: first & 0xf0, opcode: first & 0x0f, mask, length })
    }
}

/// A frame, as rules and events see it.
#[derive(Debug)]
pub struct Message {
    id: u64,
    direction: Direction,
    header: Header,
    payload: Vec<u8>,
    complete: bool,
    revision: u32,
    events: Events,
}

impl Message {
    fn opcode(&self) -> String {
        match self.header.opcode {
            0 => "continuation".to_owned(),
            1 => "text".to_owned(),
            2 => "binary".to_owned(),
            8 => "connection_close".to_owned(),
            9 => "ping".to_owned(),
            10 => "pong".to_owned(),
            other => format!("unknown-{other}"),
        }
    }
}

impl Transaction for Message {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        App::Websocket
    }

    fn revision(&self, direction: Direction) -> u32 {
        if direction == self.direction { self.revision } else { 0 }
    }

    fn is_complete(&self, direction: Direction) -> bool {
        direction != self.direction || self.complete
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        match buffer {
            Buffer::WebsocketPayload if direction == self.direction && instance == 0 => {
                if self.complete {
                    Field::whole(&self.payload)
                } else {
                    Field::Pending
                }
            }
            _ => Field::Absent,
        }
    }

    fn number(&self, keyword: &str, direction: Direction, instance: usize) -> Option<u64> {
        if direction != self.direction || instance > 0 {
            return None;
        }
        match keyword {
            "websocket.opcode" => Some(self.header.opcode.into()),
            "websocket.mask" => self.header.mask.map(|mask| u32::from_be_bytes(mask).into()),
            "websocket.flags" => Some(self.header.flags.into()),
            _ => None,
        }
    }

    fn test(&self, keyword: &str, argument: &str, direction: Direction) -> Option<bool> {
        Some(keyword == "websocket.flags" && direction == self.direction && flags(argument, self.header.flags))
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

/// Whether the flags are as a rule has them: names with `!` for those that are not set, a number, or a mask and what it leaves.
fn flags(test: &str, flags: u8) -> bool {
    let number = |text: &str| match text.trim().strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => text.trim().parse().ok(),
    };
    if let Some(mask) = test.trim().strip_prefix('&') {
        let (mask, left) = mask.split_once('=').unwrap_or((mask, mask));
        return number(mask).zip(number(left)).is_some_and(|(mask, left)| flags & mask == left);
    }
    if let Some(number) = number(test) {
        return flags == number;
    }
    test.split(',').map(str::trim).all(|name| {
        let (name, set) = name.strip_prefix('!').map_or((name, true), |name| (name, false));
        let bit = match name {
            "fin" => FIN,
            "comp" => COMPRESSED,
            _ => return false,
        };
        (flags & bit != 0) == set
    })
}

impl Exchange for Message {
    fn records(&self) -> Vec<Record> {
        let mut object = Object::new();
        object.put("fin", self.header.flags & FIN != 0);
        object.put_some("mask", self.header.mask.map(u32::from_be_bytes));
        object.put("opcode", self.opcode());
        vec![object.record("websocket")]
    }
}

/// What one side says.
#[derive(Debug, Default)]
struct Side {
    header: Vec<u8>,
    /// The frame that is being said, and how many bytes of its payload were.
    frame: Option<(u64, u64)>,
    /// The payloads of the frames of a message that goes on.
    message: Vec<u8>,
    goes_on: bool,
    packed: bool,
}

/// A parser of WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    limits: Limits,
    frames: VecDeque<Message>,
    next: u64,
    sides: [Side; 2],
    lost: bool,
}

impl WebSocket {
    /// A connection of which nothing was said.
    pub fn new(limits: Limits) -> Self {
        Self { limits, frames: VecDeque::new(), next: 0, sides: Default::default(), lost: false }
    }

    /// Bytes of a message that are remembered.
    const fn most(&self) -> usize {
        self.limits.header
    }

    /// What stands before a payload; gives how many bytes were used.
    fn begin(&mut self, direction: Direction, said: &[u8]) -> usize {
        let side = &mut self.sides[direction as usize];
        let wanted = Header::length(&side.header).unwrap_or(2);
        let used = said.len().min(wanted.saturating_sub(side.header.len()));
        side.header.extend_from_slice(&said[..used]);
        if Header::length(&side.header).is_none_or(|length| side.header.len() < length) {
            return used;
        }
        if let Some(header) = Header::read(&side.header) {
            let (id, payload, revision) = (self.next, Vec::new(), 1);
            side.frame = Some((id, 0));
            self.next += 1;
            let events = Events::default();
            self.frames.push_back(Message { id, direction, header, payload, complete: false, revision, events });
            if header.length == 0 {
                self.complete(direction);
            }
        }
        self.sides[direction as usize].header.clear();
        used
    }

    /// A payload; gives how many bytes were used.
    fn payload(&mut self, direction: Direction, said: &[u8], id: u64, known: u64) -> usize {
        let most = self.most();
        let Some(frame) = find(&mut self.frames, id) else {
            // it had to make room
            self.lost = true;
            return said.len();
        };
        let left = frame.header.length - known;
        let used = said.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let room = most.saturating_sub(frame.payload.len());
        if used > room {
            frame.events.note("skip_end_of_payload");
        }
        let mask = frame.header.mask.unwrap_or_default();
        let unmasked = said[..used.min(room)].iter().zip(known..).map(|(byte, at)| byte ^ mask[(at % 4) as usize]);
        frame.payload.extend(unmasked);
        frame.revision += 1;
        self.sides[direction as usize].frame = Some((id, known + used as u64));
        if used as u64 == left {
            self.complete(direction);
        }
        used
    }

    /// A frame is all there.
    fn complete(&mut self, direction: Direction) {
        let most = self.most();
        let side = &mut self.sides[direction as usize];
        let Some((id, _)) = side.frame.take() else { return };
        let Some(frame) = find(&mut self.frames, id) else { return };
        let last = frame.header.flags & FIN != 0;
        let control = frame.header.opcode >= 8;
        frame.complete = true;
        frame.revision += 1;
        if control {
            return;
        }
        if !side.goes_on {
            side.packed = frame.header.flags & COMPRESSED != 0;
        }
        if side.goes_on || !last {
            let room = most.saturating_sub(side.message.len());
            if frame.payload.len() > room {
                frame.events.note("reassembly_limit_reached");
            }
            side.message.extend_from_slice(&frame.payload[..frame.payload.len().min(room)]);
        }
        side.goes_on = !last;
        if !last {
            return;
        }
        if !side.message.is_empty() {
            frame.payload = std::mem::take(&mut side.message);
        }
        if std::mem::take(&mut side.packed) {
            let mut content = Vec::new();
            let mut packed = Packed::new(&[Packing::Raw]);
            packed.push(&frame.payload, &mut content);
            packed.push(TAIL, &mut content);
            content.truncate(most);
            if !content.is_empty() {
                frame.payload = content;
            }
        }
    }
}

fn find(frames: &mut VecDeque<Message>, id: u64) -> Option<&mut Message> {
    let at = frames.binary_search_by_key(&id, |frame| frame.id).ok()?;
    frames.get_mut(at)
}

impl Parser for WebSocket {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        while self.frames.len() > self.limits.transactions.max(2) {
            self.frames.pop_front();
        }
        let mut rest = said;
        while !rest.is_empty() && !self.lost {
            let used = match self.sides[direction as usize].frame {
                Some((id, known)) => self.payload(direction, rest, id, known),
                None => self.begin(direction, rest),
            };
            rest = &rest[used..];
        }
    }

    fn lost(&mut self, _direction: Direction, _bytes: u64) {
        // there is no telling where the next frame begins
        self.lost = true;
    }

    fn end(&mut self, direction: Direction) {
        for frame in self.frames.iter_mut().filter(|frame| frame.direction == direction && !frame.complete) {
            frame.complete = true;
            frame.revision += 1;
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.frames.iter().map(|frame| frame as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        if let Ok(at) = self.frames.binary_search_by_key(&id, |frame| frame.id) {
            self.frames.remove(at);
        }
    }

    fn is_opaque(&self) -> bool {
        self.lost
    }

    fn footprint(&self) -> usize {
        let sides: usize = self.sides.iter().map(|side| side.header.capacity() + side.message.capacity()).sum();
        let frames = self.frames.iter().map(|frame| size_of::<Message>() + frame.payload.capacity());
        size_of::<Self>() + sides + frames.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use Direction::{ToClient, ToServer};
    use flate2::{Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(masked | length as u8),
            length => {
                bytes.push(masked | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&mask.unwrap_or_default()[..if mask.is_some() { 4 } else { 0 }]);
        let mask = mask.unwrap_or_default();
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        bytes
    }

    fn seen(parser: &WebSocket) -> Vec<(String, String, Vec<&'static str>)> {
        let payload = |exchange: &dyn Exchange| {
            let way = if exchange.revision(ToServer) > 0 { ToServer } else { ToClient };
            format!("{:?}", exchange.buffer(Buffer::WebsocketPayload, way, 0))
        };
        let told = |exchange: &&dyn Exchange| format!("{:?}", exchange.records());
        parser.transactions().iter().map(|one| (payload(*one), told(one), one.events().to_vec())).collect()
    }

    fn whole(bytes: &[u8]) -> String {
        format!("{:?}", Field::whole(bytes))
    }

    #[test]
    fn frames_are_unmasked_and_put_together() {
        let mut compress = flate2::Compress::new(Compression::default(), false);
        let mut packed = Vec::with_capacity(100);
        compress.compress_vec(b"packed packed packed", &mut packed, FlushCompress::Sync).unwrap();
        packed.truncate(packed.len() - 4);
        let said = [
            frame(0x81, Some([1, 2, 3, 4]), b"hello"),
            frame(0x01, None, b"one "),
            frame(0x89, None, b"ping"),
            frame(0x80, None, b"message"),
            frame(0xc2, None, &packed),
            frame(0x82, None, &[b'x'; 300]),
            frame(0x88, None, b""),
        ]
        .concat();
        let expected: [&[u8]; 7] =
            [b"hello", b"one ", b"ping", b"one message", b"packed packed packed", &[b'x'; 300], b""];
        for step in 1..said.len() {
            let mut parser = WebSocket::new(Limits::default());
            said.chunks(step).for_each(|piece| parser.hear(ToServer, piece));
            let payloads: Vec<_> = seen(&parser).into_iter().map(|(payload, ..)| payload).collect();
            assert_eq!(payloads, expected.map(whole), "in steps of {step}");
        }
        let mut parser = WebSocket::new(Limits::default());
        parser.hear(ToServer, &said);
        let frames = parser.transactions();
        let object = frames[0].records().remove(0).json();
        assert_eq!(object, serde_json::json!({"fin": true, "mask": 0x0102_0304, "opcode": "text"}));
        assert_eq!(frames[0].number("websocket.mask", ToServer, 0), Some(0x0102_0304));
        assert_eq!(frames[2].number("websocket.opcode", ToServer, 0), Some(9));
        assert_eq!(frames[1].test("websocket.flags", "!fin,!comp", ToServer), Some(true));
        assert_eq!(frames[4].test("websocket.flags", "&0x40=0x40", ToServer), Some(true));
        assert_eq!(frames[0].test("websocket.flags", "fin", ToClient), Some(false));
        assert!(frames.iter().all(|frame| frame.is_complete(ToServer) && frame.is_complete(ToClient)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut parser = WebSocket::new(Limits { header: 1000, transactions: 4, ..Limits::default() });
        parser.hear(ToClient, &[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]);
        (0..1000).for_each(|_| parser.hear(ToClient, &[b'x'; 1000]));
        assert_eq!(seen(&parser)[0].2, ["skip_end_of_payload"]);
        (0..100).for_each(|_| parser.hear(ToServer, &frame(0x01, None, &[b'y'; 900])));
        assert!(parser.footprint() < 20_000, "{}", parser.footprint());
    }

    proptest! {
        #[test]
        fn whatever_is_said_nothing_breaks(said: Vec<u8>, step in 1usize..9) {
            let mut parser = WebSocket::new(Limits::default());
            said.chunks(step).for_each(|piece| parser.hear(ToClient, piece));
            let mut whole = WebSocket::new(Limits::default());
            whole.hear(ToClient, &said);
            for parser in [&mut parser, &mut whole] {
                parser.end(ToClient);
            }
            prop_assert_eq!(seen(&parser), seen(&whole));
        }
    }
}
