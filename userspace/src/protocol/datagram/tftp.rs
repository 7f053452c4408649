//! TFTP (RFC 1350, options RFC 2347): a request by its file name and mode; a transfer, which has a port of its own, by a
//! block and its acknowledgement.

use super::{
    Answer, Datagrams, Direction, Look, each,
    wire::{Bytes, must},
};

enum Message {
    Request,
    Data(u16),
    Acknowledgement(u16),
    Options,
    Error,
}

/// A request tells; so do data or options that the other side acknowledges.
pub fn detect(said: Datagrams<'_>) -> Answer {
    let mut sent: Option<(Direction, u16)> = None;
    each(said, |direction, datagram| {
        let Some(message) = message(datagram) else { return Look::Not };
        match message {
            Message::Request => return Look::Is(datagram.len()),
            Message::Data(block) => sent = Some((direction, block)),
            Message::Options => sent = Some((direction, 0)),
            Message::Acknowledgement(block) => {
                if sent.is_some_and(|(sender, last)| sender != direction && last == block) {
                    return Look::Is(datagram.len());
                }
            }
            Message::Error => {}
        }
        Look::May
    })
}

fn message(datagram: &[u8]) -> Option<Message> {
    /// Blocks of more than this would have to be fragmented everywhere (RFC 2348 allows them).
    const BLOCK_MAX: usize = 65464;
    let mut bytes = Bytes::new(datagram);
    match bytes.u16()? {
        1 | 2 => {
            text(bytes.until(0)?)?;
            let mode = bytes.until(0)?;
            must([&b"octet"[..], b"netascii", b"mail"].iter().any(|known| known.eq_ignore_ascii_case(mode)))?;
            options(bytes)?;
            Some(Message::Request)
        }
        3 => {
            let block = bytes.u16()?;
            must(bytes.rest.len() <= BLOCK_MAX)?;
            Some(Message::Data(block))
        }
        4 => {
            let block = bytes.u16()?;
            must(bytes.is_empty())?;
            Some(Message::Acknowledgement(block))
        }
        5 => {
            must(bytes.u16()? <= 8)?;
            let reason = bytes.until(0)?;
            must(bytes.is_empty() && reason.iter().all(|byte| byte.is_ascii()))?;
            Some(Message::Error)
        }
        6 => {
            must(!bytes.is_empty())?;
            options(bytes)?;
            Some(Message::Options)
        }
        _ => None,
    }
}

/// Pairs of a name and a value.
fn options(mut bytes: Bytes<'_>) -> Option<()> {
    while !bytes.is_empty() {
        text(bytes.until(0)?)?;
        text(bytes.until(0)?)?;
    }
    Some(())
}

fn text(bytes: &[u8]) -> Option<()> {
    must(!bytes.is_empty() && bytes.iter().all(|&byte| byte >= b' ' && byte != 0x7f))
}
