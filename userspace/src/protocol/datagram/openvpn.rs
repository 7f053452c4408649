//! OpenVPN: the two hard resets that open a session, in clear, signed (tls-auth) or encrypted (tls-crypt).
//!
//! ```text
//! in clear    opcode(1) session(8)                                  acks(1 + 4n [+ 8]) number(4)
//! tls-auth    opcode(1) session(8) hmac(16..=64) count(4) time(4)   acks(1 + 4n [+ 8]) number(4)
//! tls-crypt   opcode(1) session(8) count(4) time(4) hmac(32)        the same, encrypted
//! ```

use super::{
    Answer, Datagrams, Direction, Look, each,
    wire::{Bytes, must},
};

/// Lengths of the HMACs that `--auth` offers.
const HMACS: &[usize] = &[16, 20, 28, 32, 48, 64];
/// Start of 2001, the year of the first release, in seconds since 1970.
const TIME_MIN: u32 = 978_307_200;
/// Clocks of the two sides are no further apart.
const TIME_APART: u32 = 2 * 86_400;

/// How a reset is wrapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrap {
    Clear,
    Signed { hmac: usize, time: u32 },
    Encrypted { time: u32 },
}

struct Reset<'a> {
    from_server: bool,
    session: [u8; 8],
    wrap: Wrap,
    /// The session that it acknowledges, where it can be read.
    acknowledged: Option<&'a [u8]>,
}

/// A client's reset and the server's that answers it tell; where only one side is seen, its reset and what it sends next
/// in the same session.
pub fn detect(said: Datagrams<'_>) -> Answer {
    let mut first: Option<(Direction, Reset<'_>)> = None;
    each(said, |direction, datagram| {
        let next = reset(datagram);
        let Some((opener, opening)) = &first else {
            let Some(next) = next else { return Look::Not };
            first = Some((direction, next));
            return Look::May;
        };
        match next {
            // sent again
            Some(next) if *opener == direction && next.session == opening.session => Look::May,
            Some(next) if *opener != direction && !opening.from_server && answers(opening, &next) => {
                Look::Is(datagram.len())
            }
            None if *opener == direction && follows(&opening.session, datagram) => Look::Is(datagram.len()),
            _ => Look::Not,
        }
    })
}

/// A control packet or an acknowledgement of this session.
fn follows(session: &[u8; 8], datagram: &[u8]) -> bool {
    matches!(datagram, [0x20 | 0x28, named @ ..] if named.len() > 8 && named.starts_with(session))
}

fn answers(asked: &Reset<'_>, reset: &Reset<'_>) -> bool {
    let named = reset.acknowledged.is_none_or(|named| named == asked.session);
    reset.from_server
        && named
        && match (asked.wrap, reset.wrap) {
            (Wrap::Clear, Wrap::Clear) => reset.acknowledged.is_some(),
            (Wrap::Signed { hmac: one, time: then }, Wrap::Signed { hmac: other, time }) => {
                one == other && then.abs_diff(time) < TIME_APART
            }
            (Wrap::Encrypted { time: then }, Wrap::Encrypted { time }) => then.abs_diff(time) < TIME_APART,
            _ => false,
        }
}

fn reset(datagram: &[u8]) -> Option<Reset<'_>> {
    let mut bytes = Bytes::new(datagram);
    // the low three bits are the key's number, 0 in a new session
    let from_server = match bytes.u8()? {
        // hard reset by the client: version 1, 2 and 3
        0x08 | 0x38 | 0x50 => false,
        0x10 | 0x40 => true,
        _ => return None,
    };
    let session = bytes.array()?;
    must(session != [0; 8])?;
    let (wrap, acknowledged) = clear(bytes)
        .map(|named| (Wrap::Clear, named))
        .or_else(|| HMACS.iter().find_map(|&hmac| signed(bytes, hmac)))
        .or_else(|| encrypted(bytes).map(|wrap| (wrap, None)))?;
    Some(Reset { from_server, session, wrap, acknowledged })
}

/// Acknowledgements and the packet's own number, both those of a session's first packets. Inside: the session named.
fn clear(mut bytes: Bytes<'_>) -> Option<Option<&[u8]>> {
    let acknowledged = match bytes.u8()? {
        0 => None,
        1 => {
            must(bytes.u32()? == 0)?;
            Some(bytes.take(8)?)
        }
        _ => return None,
    };
    must(bytes.u32()? == 0 && bytes.is_empty())?;
    Some(acknowledged)
}

fn signed(mut bytes: Bytes<'_>, hmac: usize) -> Option<(Wrap, Option<&[u8]>)> {
    bytes.take(hmac)?;
    let time = replay(&mut bytes)?;
    Some((Wrap::Signed { hmac, time }, clear(bytes)?))
}

fn encrypted(mut bytes: Bytes<'_>) -> Option<Wrap> {
    let time = replay(&mut bytes)?;
    bytes.take(32)?;
    // without and with an acknowledgement; a client may append its wrapped key
    must(bytes.rest.len() >= 5)?;
    Some(Wrap::Encrypted { time })
}

/// Count and time against replays: the count is small in a session's first packets.
fn replay(bytes: &mut Bytes<'_>) -> Option<u32> {
    let count = bytes.u32()?;
    let time = bytes.u32()?;
    must((1..=16).contains(&(count & 0x00ff_ffff)) && time >= TIME_MIN)?;
    Some(time)
}
