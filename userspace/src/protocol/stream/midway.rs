//! Protocols whose streams are told by their middle: a chain of messages that says its own lengths, in both directions.

use super::reader::{Lack, Read, Reader, require};
use crate::protocol::{Answer, Direction, Stream};

/// Bytes of a long message that say enough of it.
const ENOUGH: usize = 64;

/// MQTT (version 5, section 2.1): control packets of the kinds that each side may send, past CONNECT.
pub fn mqtt(said: Stream<'_>) -> Answer {
    both(said, |said, direction| {
        let first = said.byte()?;
        let (kind, flags) = (first >> 4, first & 15);
        let client = direction == Direction::ToServer;
        // the lengths that the kind allows
        let lengths = match kind {
            2 if !client && flags == 0 => 2..=usize::MAX,
            // both bits of the quality of service are never set
            3 if flags & 6 != 6 => 3..=usize::MAX,
            4 | 5 | 7 if flags == 0 => 2..=usize::MAX,
            6 if flags == 2 => 2..=usize::MAX,
            8 | 10 if client && flags == 2 => 5..=usize::MAX,
            9 | 11 if !client && flags == 0 => 2..=usize::MAX,
            12 if client && flags == 0 => 0..=0,
            13 if !client && flags == 0 => 0..=0,
            14 if flags == 0 => 0..=usize::MAX,
            _ => return Err(Lack::No),
        };
        let length = varint(said)?;
        require(lengths.contains(&length))?;
        let before = said.at();
        if kind == 3 {
            let name = usize::from(said.u16()?);
            require((1..=length.saturating_sub(2)).contains(&name))?;
            // names of topics: text, without the wildcards of filters
            require(said.take(name)?.iter().all(|byte| !matches!(byte, 0..0x20 | b'+' | b'#' | 0x7f)))?;
        }
        if kind == 2 {
            let (flags, code) = (said.byte()?, said.byte()?);
            // a session is there only where it was agreed to one
            require(flags == 0 || flags == 1 && code == 0)?;
        }
        let (left, there) = (length - (said.at() - before), said.rest().len());
        // what is published may be long
        said.take(if kind == 3 && there >= ENOUGH { left.min(there) } else { left }).map(|_| ())
    })
}

/// A length in seven bits a byte, the lowest first, in at most four of them.
fn varint(said: &mut Reader<'_>) -> Read<usize> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = said.byte()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Lack::No)
}

/// WebSocket (RFC 6455, section 5.2): frames, masked by the client and by nobody else.
pub fn websocket(said: Stream<'_>) -> Answer {
    both(said, |said, direction| {
        let first = said.byte()?;
        let control = first & 8 != 0;
        // the first reserved bit is that of compression (RFC 7692)
        require(first & 0x30 == 0 && matches!(first & 15, 0..=2 | 8..=10) && (!control || first & 0xc0 == 0x80))?;
        let second = said.byte()?;
        let masked = second & 0x80 != 0;
        require(masked == (direction == Direction::ToServer))?;
        // in the shortest form that holds it
        let length = match second & 0x7f {
            126 => usize::from(said.u16()?),
            127 => return Err(Lack::No),
            short => usize::from(short),
        };
        require(length >= 126 || second & 0x7f < 126)?;
        require(!control || length < 126)?;
        said.take(if masked { 4 + length } else { length }).map(|_| ())
    })
}

/// Whether both directions are chains of whole messages, the last one of which may be cut short.
fn both(said: Stream<'_>, message: impl Fn(&mut Reader<'_>, Direction) -> Read<()>) -> Answer {
    let mut whole = [0, 0];
    for (direction, bytes) in [(Direction::ToServer, said.to_server), (Direction::ToClient, said.to_client)] {
        let mut reader = Reader::new(bytes);
        while !reader.rest().is_empty() {
            match message(&mut reader, direction) {
                Ok(()) => whole[direction as usize] = reader.at(),
                Err(Lack::No) => return Answer::No,
                Err(Lack::More) => break,
            }
        }
    }
    if whole.contains(&0) { Answer::More } else { Answer::Yes(Direction::ToServer, whole[0]) }
}
