//! SIP (RFC 3261): a request line or a status line, and a header that every message has.

use super::{
    Answer, Datagrams, Look, each,
    wire::{Bytes, must},
};

const METHODS: &[&[u8]] = &[
    b"INVITE",
    b"ACK",
    b"BYE",
    b"CANCEL",
    b"OPTIONS",
    b"REGISTER",
    b"PRACK",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"PUBLISH",
    b"INFO",
    b"REFER",
    b"MESSAGE",
    b"UPDATE",
];

/// Longest start line.
const LINE_MAX: usize = 2048;

/// Longest keep-alive.
const KEEP_ALIVE_MAX: usize = 8;

/// A start line tells; keep-alives (RFC 5626, and the zeros some send) may come before it.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| {
        if datagram.len() <= KEEP_ALIVE_MAX && datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | 0)) {
            return Look::May;
        }
        match message(datagram) {
            Some(bytes) => Look::Is(bytes),
            None => Look::Not,
        }
    })
}

/// The bytes up to the end of the first header's name.
fn message(datagram: &[u8]) -> Option<usize> {
    let start = datagram.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let text = datagram.get(start..)?;
    let text = text.get(..LINE_MAX).unwrap_or(text);
    let mut bytes = Bytes::new(text);
    let line = bytes.until(b'\n')?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(status) = line.strip_prefix(b"SIP/2.0 ") {
        must(matches!(
            status,
            [b'1'..=b'6', b'0'..=b'9', b'0'..=b'9'] | [b'1'..=b'6', b'0'..=b'9', b'0'..=b'9', b' ', ..]
        ))?;
    } else {
        let target = line.strip_suffix(b" SIP/2.0")?;
        let method = METHODS.iter().find(|method| target.starts_with(method))?;
        let target = target.get(method.len()..)?.strip_prefix(b" ")?;
        must(!target.is_empty() && !target.contains(&b' '))?;
    }
    let name = bytes.until(b':')?.trim_ascii_end();
    must(!name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-'))?;
    Some(start + text.len() - bytes.rest.len())
}
