//! OpenVPN over TCP: a length, then the reset with which a session starts.

use super::reader::{Lack, Read, Reader, read, require};
use crate::protocol::{Answer, Direction, Stream};

/// Opcode in the upper five bits, key 0.
const CLIENT_RESET_2: u8 = 7 << 3;
const SERVER_RESET_2: u8 = 8 << 3;
const CLIENT_RESET_3: u8 = 10 << 3;
/// Opcode, session, number of acknowledgements, packet number.
const PLAIN: u16 = 1 + 8 + 1 + 4;
/// Packet number and time, with which what is authenticated cannot be said again.
const REPLAY: u16 = 8;
/// Authentication codes: MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const CODES: [u16; 6] = [16, 20, 28, 32, 48, 64];
/// Longest reset with a wrapped key (tls-crypt-v2).
const WRAPPED_MAX: u16 = 1400;

pub fn detect(said: Stream<'_>) -> Answer {
    let asked = read(said.to_server, reset);
    if asked == Err(Lack::No) {
        return Answer::No;
    }
    match (asked, read(said.to_client, answer)) {
        (_, Err(Lack::No)) => Answer::No,
        (Ok(bytes), _) => Answer::Yes(Direction::ToServer, bytes),
        (_, Ok(bytes)) => Answer::Yes(Direction::ToClient, bytes),
        _ => Answer::More,
    }
}

fn reset(said: &mut Reader<'_>) -> Read<()> {
    let length = said.u16()?;
    require((PLAIN..=WRAPPED_MAX).contains(&length))?;
    let code = said.byte_that(|code| code == CLIENT_RESET_2 || code == CLIENT_RESET_3)?;
    match code {
        CLIENT_RESET_3 => require(length > PLAIN + REPLAY + 32)?,
        _ => require(length == PLAIN || CODES.contains(&(length.wrapping_sub(PLAIN + REPLAY))))?,
    }
    said.take(8)?;
    if length == PLAIN {
        return said.literal(&[0; 5]);
    }
    // tls-crypt has the packet number before the code, tls-auth behind it; a session starts with 1, and the highest bits
    // say that the client can go on without state
    let mut crypt = *said;
    if [1, 0x0f00_0001].contains(&crypt.u32()?) {
        crypt.take(4)?;
        *said = crypt;
        return Ok(());
    }
    require(code == CLIENT_RESET_2)?;
    said.take(usize::from(length - PLAIN - REPLAY))?;
    said.literal(&[0, 0, 0, 1])?;
    said.take(4)?;
    said.literal(&[0; 5])
}

/// The server acknowledges the client's reset in its own.
fn answer(said: &mut Reader<'_>) -> Read<()> {
    let length = said.u16()?;
    require((PLAIN..=WRAPPED_MAX).contains(&length))?;
    said.literal(&[SERVER_RESET_2])?;
    said.take(8)?;
    if length == PLAIN + 4 + 8 {
        said.literal(&[1, 0, 0, 0, 0])?;
        said.take(8)?;
        return said.literal(&[0; 4]);
    }
    Err(Lack::More)
}
