//! DTLS 1.0, 1.2 (RFC 6347) and 1.3 (RFC 9147): records that fill the datagram, a handshake message in the first one.

use super::{
    Answer, Datagrams, Direction, Look, each,
    wire::{Bytes, must},
};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// Longest record: its contents, and what encryption may add.
const RECORD_MAX: usize = (1 << 14) + 2048;

/// A handshake in the clear tells, and so do encrypted records that fill the datagram, of a session that was joined late;
/// of others a side must have sent two datagrams with rising numbers.
pub fn detect(said: Datagrams<'_>) -> Answer {
    let mut last: [Option<(u16, u64)>; 2] = [None; 2];
    each(said, |direction, datagram| match records(datagram) {
        Some(Records::Handshake(bytes)) => Look::Is(bytes),
        Some(Records::Numbered(number)) => {
            let side = &mut last[usize::from(direction == Direction::ToClient)];
            let rising = side.is_some_and(|before| before < number);
            *side = Some(number);
            let (epoch, _) = number;
            if rising || epoch > 0 { Look::Is(datagram.len()) } else { Look::May }
        }
        None => Look::Not,
    })
}

/// Whether a datagram is made of records, where another protocol has said that they may come.
pub fn is_records(datagram: &[u8]) -> bool {
    records(datagram).is_some()
}

enum Records {
    /// A handshake message, told by this many bytes.
    Handshake(usize),
    /// Something else: epoch and sequence number of the last record.
    Numbered((u16, u64)),
}

fn records(datagram: &[u8]) -> Option<Records> {
    let mut bytes = Bytes::new(datagram);
    let mut numbered = (0, 0);
    let mut told = None;
    while !bytes.is_empty() {
        // after the first record, the unified header of DTLS 1.3
        if told.is_some() && bytes.rest.first()? >> 5 == 1 {
            break;
        }
        let kind = bytes.u8()?;
        must(matches!(kind, 20..=26))?;
        version(bytes.u16()?)?;
        let epoch = bytes.u16()?;
        let sequence = u64::from(bytes.u16()?) << 32 | u64::from(bytes.u32()?);
        let contents = bytes.vector()?;
        must(!contents.is_empty() && contents.len() <= RECORD_MAX)?;
        // nobody begins with a number this high
        must(sequence < 1 << 40)?;
        numbered = (epoch, sequence);
        if epoch == 0 {
            match kind {
                HANDSHAKE => {
                    handshake(contents)?;
                    told.get_or_insert(datagram.len() - bytes.rest.len());
                }
                ALERT => must(matches!(contents, [1 | 2, _]))?,
                // only what is encrypted may follow the handshake
                DATA => return None,
                _ => {}
            }
        }
    }
    Some(told.map_or(Records::Numbered(numbered), Records::Handshake))
}

/// 1.0, 1.2, and what OpenSSL spoke before either.
fn version(value: u16) -> Option<()> {
    must(matches!(value, 0xfeff | 0xfefd | 0x0100))
}

/// Messages or one fragment, as RFC 6347 section 4.2.2 draws them.
fn handshake(contents: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(contents);
    while !bytes.is_empty() {
        let kind = bytes.u8()?;
        must(matches!(kind, 0..=4 | 8 | 11..=16 | 20..=26))?;
        let length = bytes.u24()?;
        let _sequence = bytes.u16()?;
        let offset = bytes.u24()?;
        let size = bytes.u24()?;
        must(length < 1 << 17 && offset.checked_add(size)? <= length)?;
        let body = bytes.take(usize::try_from(size).ok()?)?;
        if offset == 0 {
            match kind {
                1 => client_hello(body, size == length)?,
                2 | 3 => version(Bytes::new(body).u16()?)?,
                _ => {}
            }
        }
    }
    Some(())
}

/// As much as is there of it, if it is a fragment.
fn client_hello(body: &[u8], whole: bool) -> Option<()> {
    let mut bytes = Bytes::new(body);
    version(bytes.u16()?)?;
    bytes.take(32)?;
    must(bytes.short_vector()?.len() <= 32)?;
    let rest = |mut bytes: Bytes<'_>| {
        bytes.short_vector()?;
        let suites = bytes.vector()?;
        must(!suites.is_empty() && suites.len().is_multiple_of(2))?;
        let compressions = bytes.short_vector()?;
        must(!compressions.is_empty())?;
        if !bytes.is_empty() {
            bytes.vector()?;
        }
        must(bytes.is_empty())
    };
    if whole { rest(bytes) } else { Some(()) }
}
