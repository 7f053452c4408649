//! Memcached over UDP: the frame header of its protocol.txt, and a command, an answer or a binary header behind it.

use super::{
    Answer, Datagrams, Look, each,
    wire::{Bytes, must},
};

const COMMANDS: &[&[u8]] = &[
    b"get ",
    b"gets ",
    b"gat ",
    b"gats ",
    b"set ",
    b"add ",
    b"replace ",
    b"append ",
    b"prepend ",
    b"cas ",
    b"delete ",
    b"incr ",
    b"decr ",
    b"touch ",
    b"stats",
    b"version",
    b"verbosity ",
    b"flush_all",
    b"mg ",
    b"ms ",
    b"md ",
    b"ma ",
];
const ANSWERS: &[&[u8]] = &[
    b"VALUE ",
    b"END\r\n",
    b"STAT ",
    b"STORED\r\n",
    b"NOT_STORED\r\n",
    b"EXISTS\r\n",
    b"NOT_FOUND\r\n",
    b"DELETED\r\n",
    b"TOUCHED\r\n",
    b"VERSION ",
    b"OK\r\n",
    b"ERROR\r\n",
    b"CLIENT_ERROR ",
    b"SERVER_ERROR ",
    b"RESET\r\n",
];

/// The first datagram of a command or an answer tells; later ones of an answer may follow it only.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| match frame(datagram) {
        Some(told) => told,
        None => Look::Not,
    })
}

fn frame(datagram: &[u8]) -> Option<Look> {
    let mut bytes = Bytes::new(datagram);
    let [_request, sequence, total, reserved] = [bytes.u16()?, bytes.u16()?, bytes.u16()?, bytes.u16()?];
    must(total > 0 && sequence < total && reserved == 0 && !bytes.is_empty())?;
    if sequence > 0 {
        return Some(Look::May);
    }
    let text = bytes.rest;
    if let Some(start) = COMMANDS.iter().find(|start| text.starts_with(start)) {
        // a request is one datagram
        must(total == 1)?;
        let line = text.iter().position(|&byte| byte == b'\n')?;
        must(text.get(..line)?.iter().all(|&byte| byte >= b' ' || byte == b'\r' || byte == b'\t'))?;
        return Some(Look::Is(8 + start.len()));
    }
    if let Some(start) = ANSWERS.iter().find(|start| text.starts_with(start)) {
        return Some(Look::Is(8 + start.len()));
    }
    binary(bytes)?;
    Some(Look::Is(8 + 24))
}

/// The header of the binary protocol: its lengths must agree with each other and with the datagram.
fn binary(mut bytes: Bytes<'_>) -> Option<()> {
    let [magic, operation] = bytes.array()?;
    must(matches!(magic, 0x80 | 0x81) && operation <= 0x48)?;
    let key = usize::from(bytes.u16()?);
    let [extras, kind] = bytes.array()?;
    must(kind == 0)?;
    bytes.u16()?;
    let body = usize::try_from(bytes.u32()?).ok()?;
    bytes.take(12)?;
    must(body == bytes.rest.len() && key + usize::from(extras) <= body)
}
