//! WireGuard: message types with three zero bytes, fixed lengths, and indices that the two sides repeat to each other.
//! <https://www.wireguard.com/protocol/>

use super::{
    Answer, Datagrams, Direction, Look, each,
    wire::{Bytes, must},
};

const INITIATION: usize = 148;
const RESPONSE: usize = 92;
const COOKIE: usize = 64;
/// Shortest transport message: header and tag around nothing.
const TRANSPORT_MIN: usize = 32;

/// An initiation without a cookie tells by its zeros; so does an answer that names the initiation's index, and transport
/// messages of a session that was joined late, by two counters in a row.
pub fn detect(said: Datagrams<'_>) -> Answer {
    let mut initiator: Option<[u8; 4]> = None;
    let mut last: Option<(Direction, [u8; 4], u64)> = None;
    each(said, |direction, datagram| {
        let Some(message) = message(datagram) else { return Look::Not };
        match message {
            Message::Initiation { sender, cookie: false } if sender != [0; 4] => return Look::Is(datagram.len()),
            Message::Initiation { sender, .. } => initiator = Some(sender),
            Message::Reply { receiver } => {
                if initiator == Some(receiver) {
                    return Look::Is(datagram.len());
                }
            }
            Message::Transport { receiver, counter } => {
                if last.is_some_and(|(who, index, before)| {
                    who == direction && index == receiver && counter > before && counter - before < 64
                }) {
                    return Look::Is(datagram.len());
                }
                last = Some((direction, receiver, counter));
            }
        }
        Look::May
    })
}

enum Message {
    Initiation { sender: [u8; 4], cookie: bool },
    Reply { receiver: [u8; 4] },
    Transport { receiver: [u8; 4], counter: u64 },
}

fn message(datagram: &[u8]) -> Option<Message> {
    let mut bytes = Bytes::new(datagram);
    let [kind, reserved @ ..] = bytes.array::<4>()?;
    must(reserved == [0; 3])?;
    let index = bytes.array()?;
    match (kind, datagram.len()) {
        (1, INITIATION) => {
            // keys and tags are not zeros
            let (sealed, cookie) = bytes.rest.split_last_chunk::<16>()?;
            must(sealed.chunks(16).all(|part| part.iter().any(|&byte| byte != 0)))?;
            Some(Message::Initiation { sender: index, cookie: *cookie != [0; 16] })
        }
        (2, RESPONSE) => Some(Message::Reply { receiver: bytes.array()? }),
        (3, COOKIE) => Some(Message::Reply { receiver: index }),
        (4, length) if length >= TRANSPORT_MIN && length.is_multiple_of(16) => {
            let counter = u64::from_le_bytes(bytes.array()?);
            must(counter < 1 << 48)?;
            Some(Message::Transport { receiver: index, counter })
        }
        _ => None,
    }
}
