//! Kerberos over TCP (RFC 4120 sections 5.4, 5.9 and 7.2.2): a length, an application tag, and the protocol version.

use super::{
    ber,
    reader::{Read, Reader, either, require},
};
use crate::protocol::{Answer, Stream};

/// Longest message that is believed: tickets with many groups are far shorter.
const MESSAGE_MAX: usize = 1 << 20;
/// [APPLICATION n], constructed.
const APPLICATION: u8 = 0x60;
const AS_REQ: u8 = 10;
const AS_REP: u8 = 11;
const TGS_REQ: u8 = 12;
const TGS_REP: u8 = 13;
const ERROR: u8 = 30;

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, request, reply)
}

fn request(said: &mut Reader<'_>) -> Read<()> {
    message(said, &[AS_REQ, TGS_REQ], 1)
}

fn reply(said: &mut Reader<'_>) -> Read<()> {
    message(said, &[AS_REP, TGS_REP, ERROR], 0)
}

/// In requests the fields are numbered from 1, in replies from 0.
fn message(said: &mut Reader<'_>, kinds: &[u8], first: u8) -> Read<()> {
    said.literal(&[0])?;
    let length = usize::from(said.byte()?) << 16 | usize::from(said.u16()?);
    require((16..=MESSAGE_MAX).contains(&length))?;
    let since = said.at();
    let tag = said.byte()?;
    let kind = tag.wrapping_sub(APPLICATION);
    require(kinds.contains(&kind))?;
    let inside = ber::length(said)?;
    require(inside == ber::rest(length, since, said)?)?;
    let since = said.at();
    let sequence = ber::tagged(said, 0x30)?;
    require(sequence == ber::rest(inside, since, said)?)?;
    said.literal(&[0xa0 + first, 3, 2, 1, 5])?;
    said.literal(&[0xa1 + first, 3, 2, 1, kind])
}
