//! HTTP/1 messages (RFC 9112), as far as it takes to tell one from the next: where a head ends, what its first line and its
//! framing fields say, where its body ends.
//!
//! Heads are read strictly: what servers read in different ways (RFC 9112 section 11.2) is an error.

/// Longest head.
const HEAD_MAX: usize = 32 << 10;
/// Longest line of a chunk's size or of a trailer.
const LINE_MAX: usize = 8 << 10;

/// It cannot be read, or in two ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

/// A change that a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upgrade {
    WebSocket,
    /// To HTTP/2, or to anything else.
    Other,
}

/// What a head says about its message.
#[derive(PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// The request line, or the status line.
    pub line: &'a [u8],
    pub body: Body,
    pub upgrade: Option<Upgrade>,
    /// Bytes of the head, the empty line at its end included.
    pub bytes: usize,
}

/// What is still to come of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Body {
    /// Nothing: a head is next.
    #[default]
    Done,
    Bytes(u64),
    /// The line with a chunk's size.
    Size,
    Chunk(u64),
    /// The end of the line behind a chunk.
    ChunkEnd,
    Trailer,
    /// Everything up to the end of the connection.
    Endless,
}

/// Reads a head from its start; `None`: it goes on.
pub fn head(said: &[u8]) -> Result<Option<Head<'_>>, Unreadable> {
    let mut at = 0;
    let mut lines: Vec<&[u8]> = Vec::new();
    loop {
        let rest = said.get(at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return if said.len() > HEAD_MAX { Err(Unreadable) } else { Ok(None) };
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        at += end + 1;
        if at > HEAD_MAX || line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(Unreadable);
        }
        match (line.is_empty(), lines.first()) {
            // RFC 9112 section 2.2: empty lines before a request are ignored
            (true, None) => {}
            (true, Some(first)) => return fields(first, &lines[1..], at).map(Some),
            (false, _) => lines.push(line),
        }
        // HTTP/0.9: a line is all
        if let [first] = lines.as_slice()
            && !first.windows(5).any(|part| part == b"HTTP/")
        {
            return Ok(Some(Head { line: first, body: Body::Done, upgrade: None, bytes: at }));
        }
    }
}

fn fields<'a>(line: &'a [u8], fields: &[&[u8]], bytes: usize) -> Result<Head<'a>, Unreadable> {
    let (mut length, mut chunked, mut upgrade) = (None, None, None);
    let mut folds = false;
    for field in fields {
        if matches!(field.first(), Some(b' ' | b'\t')) {
            // a line that continues the one before it: of no harm where that is of no interest
            if folds { continue } else { return Err(Unreadable) }
        }
        let colon = field.iter().position(|byte| *byte == b':').ok_or(Unreadable)?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return Err(Unreadable);
        }
        folds = false;
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => {
                let found = number(value, 10)?;
                if length.replace(found).is_some_and(|before| before != found) {
                    return Err(Unreadable);
                }
            }
            b"transfer-encoding" => {
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                if chunked.replace(last.trim_ascii().eq_ignore_ascii_case(b"chunked")).is_some() {
                    return Err(Unreadable);
                }
            }
            b"upgrade" => {
                let websocket = value.eq_ignore_ascii_case(b"websocket");
                upgrade = Some(if websocket { Upgrade::WebSocket } else { Upgrade::Other });
            }
            _ => folds = true,
        }
    }
    let body = match (length, chunked) {
        (Some(_), Some(_)) => return Err(Unreadable),
        (None, Some(true)) => Body::Size,
        (None, Some(false)) => Body::Endless,
        (Some(length), None) => Body::Bytes(length),
        (None, None) => Body::Done,
    };
    Ok(Head { line, body, upgrade, bytes })
}

/// A number, and nothing else.
fn number(digits: &[u8], radix: u32) -> Result<u64, Unreadable> {
    let most = if radix == 16 { 15 } else { 18 };
    if digits.is_empty() || digits.len() > most {
        return Err(Unreadable);
    }
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(radix).ok_or(Unreadable)?;
        Ok(number * u64::from(radix) + u64::from(digit))
    })
}

impl Body {
    /// Takes what belongs to the message; whether its end was reached.
    pub fn skip(&mut self, said: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let mut at = 0;
        let ended = loop {
            let rest = said.get(at..).unwrap_or_default();
            match self {
                Self::Done | Self::Bytes(0) => {
                    *self = Self::Done;
                    break true;
                }
                Self::Endless => {
                    at = said.len();
                    break false;
                }
                Self::Bytes(left) | Self::Chunk(left) => {
                    let taken = (*left).min(rest.len() as u64);
                    at += taken as usize;
                    *left -= taken;
                    match self {
                        Self::Chunk(0) => *self = Self::ChunkEnd,
                        Self::Bytes(0) => {}
                        _ => break false,
                    }
                }
                Self::Size | Self::ChunkEnd | Self::Trailer => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        if rest.len() > LINE_MAX {
                            return Err(Unreadable);
                        }
                        break false;
                    };
                    let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
                    at += end + 1;
                    *self = match (&*self, line) {
                        (Self::ChunkEnd, []) => Self::Size,
                        (Self::ChunkEnd, _) => return Err(Unreadable),
                        (Self::Trailer, []) => Self::Done,
                        (Self::Trailer, _) => Self::Trailer,
                        (_, line) => {
                            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
                            match number(size.trim_ascii_end(), 16)? {
                                0 => Self::Trailer,
                                size => Self::Chunk(size),
                            }
                        }
                    };
                }
            }
        };
        said.drain(..at);
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let text = b"\r\nPOST http://x/ HTTP/1.1\r\nHost: x\n folded\r\nContent-Length: 12\r\nUpgrade: h2c\r\n\r\nbody";
        let found = head(text).unwrap().unwrap();
        assert_eq!(found.line, b"POST http://x/ HTTP/1.1");
        assert_eq!((found.body, found.upgrade), (Body::Bytes(12), Some(Upgrade::Other)));
        assert_eq!(&text[found.bytes..], b"body");
        for cut in 0..found.bytes {
            assert_eq!(head(&text[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(head(b"GET /\r\n").unwrap().unwrap().line, b"GET /");
    }

    #[test]
    fn heads_that_can_be_read_in_two_ways() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: ",
            "Content-Length: 99999999999999999999",
            "Content-Length : 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding:\r\n chunked",
            "Content-Length: 1\r\n 2",
            " Host: x",
            "Host",
            ": x",
            "Ho\0st: x",
            "Host: a\rTransfer-Encoding: chunked",
        ] {
            let text = format!("GET http://x/ HTTP/1.1\r\n{fields}\r\n\r\n");
            assert_eq!(head(text.as_bytes()), Err(Unreadable), "{fields:?}");
        }
        assert_eq!(head(&[b'a'; HEAD_MAX + 1]), Err(Unreadable));
    }

    /// Split at every place, the end is found where it is.
    #[test]
    fn bodies() {
        let chunks = b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nTrailer: x\r\n\r\nNEXT".as_slice();
        let length = b"0123456789NEXT".as_slice();
        for (start, text) in [(Body::Size, chunks), (Body::Bytes(10), length), (Body::Done, b"NEXT")] {
            for cut in 0..text.len() {
                let (mut body, mut said) = (start, text[..cut].to_vec());
                let ended = body.skip(&mut said).unwrap();
                assert_eq!(ended, cut >= text.len() - 4, "{cut}");
                said.extend(&text[cut..]);
                assert!(body.skip(&mut said).unwrap());
                assert_eq!((body, said.as_slice()), (Body::Done, b"NEXT".as_slice()), "{cut}");
            }
        }
        let mut said = b"anything at all".to_vec();
        assert_eq!(Body::Endless.skip(&mut said), Ok(false));
        assert!(said.is_empty());
        for wrong in ["-1\r\n", "5\r\nhelloX\r\n", "\r\n", "fffffffffffffffff\r\n", "5 5\r\n"] {
            assert_eq!(Body::Size.skip(&mut wrong.as_bytes().to_vec()), Err(Unreadable), "{wrong:?}");
        }
    }
}
