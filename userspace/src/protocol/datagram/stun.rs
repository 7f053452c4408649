//! STUN and TURN: by the magic cookie and exact lengths (RFC 8489), or without the cookie by methods and attributes that
//! RFC 3489 knows.

use super::{
    Answer, Datagrams, Look, each,
    wire::{Bytes, must},
};

const COOKIE: u32 = 0x2112_a442;

/// A message with the cookie tells. A classic one tells if it has attributes; a bare request waits for its answer.
pub fn detect(said: Datagrams<'_>) -> Answer {
    let mut asked: Option<[u8; 16]> = None;
    each(said, |_, datagram| match message(datagram) {
        Some(Message::Modern) => Look::Is(datagram.len()),
        Some(Message::Classic { transaction, attributes }) => {
            if attributes || asked.is_some_and(|before| before == transaction && !request(datagram)) {
                return Look::Is(datagram.len());
            }
            asked = Some(transaction);
            Look::May
        }
        None => Look::Not,
    })
}

enum Message {
    Modern,
    Classic { transaction: [u8; 16], attributes: bool },
}

fn request(datagram: &[u8]) -> bool {
    datagram.first() == Some(&0)
}

fn message(datagram: &[u8]) -> Option<Message> {
    let mut bytes = Bytes::new(datagram);
    let kind = bytes.u16()?;
    // the two top bits tell it from what it shares a port with (RFC 7983)
    must(kind >> 14 == 0)?;
    let length = usize::from(bytes.u16()?);
    let transaction: [u8; 16] = bytes.array()?;
    must(length == bytes.rest.len())?;
    if transaction[..4] == COOKIE.to_be_bytes() {
        // vendors have methods and attributes of their own, and some leave out the padding
        attributes(bytes, 4, |_| true).or_else(|| attributes(bytes, 1, |_| true))?;
        return Some(Message::Modern);
    }
    // binding, shared secret; and the methods of TURN before it was a standard: allocate, send, data, set active
    must(matches!(kind & 0xfeef, 1..=4 | 6))?;
    must(length.is_multiple_of(4))?;
    attributes(bytes, 4, |kind| matches!(kind, 0x0001..=0x0024 | 0x8000..=0x80ff | 0xc000..=0xc0ff))?;
    Some(Message::Classic { transaction, attributes: length > 0 })
}

/// Values are padded to `boundary`; RFC 3489's are multiples of four already.
fn attributes(mut bytes: Bytes<'_>, boundary: usize, known: impl Fn(u16) -> bool) -> Option<()> {
    while !bytes.is_empty() {
        must(known(bytes.u16()?))?;
        let length = usize::from(bytes.u16()?);
        bytes.take(length)?;
        bytes.take(bytes.rest.len().min(length.next_multiple_of(boundary) - length))?;
    }
    Some(())
}
