//! NTP (RFC 5905), its control messages (RFC 9327) and ntpd's private ones.
//!
//! The format has no cookie: every field that has a range is held to it.

use super::{
    Answer, Datagrams, Look, each,
    wire::{Bytes, must},
};

/// Largest root delay and dispersion: 16 s, beyond which a server is unfit (RFC 5905, MAXDISP), in units of 2^-16 s.
const DISTANCE_MAX: u32 = 16 << 16;
/// Start of 1990 in NTP's seconds: timestamps are set to the present, even before the clock is.
const SECONDS_MIN: u32 = 2_840_140_800;
/// Era 1 begins in 2036; a clock is not beyond 2060.
const SECONDS_NEXT_MAX: u32 = 757_382_400;

/// One message tells.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| Look::whole(datagram, message(datagram)))
}

fn message(datagram: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(datagram);
    let first = bytes.u8()?;
    let version = first >> 3 & 7;
    let mode = first & 7;
    must((1..=4).contains(&version))?;
    match mode {
        1..=5 => clock(bytes, version, mode),
        6 => control(bytes),
        7 => private(bytes, first),
        _ => None,
    }
}

fn clock(mut bytes: Bytes<'_>, version: u8, mode: u8) -> Option<()> {
    let stratum = bytes.u8()?;
    let [poll, precision] = bytes.array()?.map(u8::cast_signed);
    must(stratum <= 16 && (-10..=17).contains(&poll) && (-32..=32).contains(&precision))?;
    must(bytes.u32()? <= DISTANCE_MAX && bytes.u32()? <= DISTANCE_MAX)?;
    let _reference = bytes.u32()?;
    let [_set, _origin, received, sent]: [Option<(u32, u32)>; 4] =
        std::array::from_fn(|_| Some((bytes.u32()?, bytes.u32()?)));
    let (received, sent) = (received?, sent?);
    if mode == 4 || mode == 5 {
        present(sent.0)?;
        // a broadcast answers nobody; a server has received before it sent
        must(mode == 5 || received.0.abs_diff(sent.0) < 60)?;
    }
    // nothing, a MAC, or extension fields with or without one
    let rest = bytes.rest.len();
    must(match version {
        4 => rest == 0 || (rest.is_multiple_of(4) && extensions(bytes)),
        _ => matches!(rest, 0 | 12 | 20 | 24),
    })
}

fn present(seconds: u32) -> Option<()> {
    must(!(SECONDS_NEXT_MAX..SECONDS_MIN).contains(&seconds))
}

fn extensions(mut bytes: Bytes<'_>) -> bool {
    loop {
        // crypto-NAK, MD5 and SHA-1 MACs with their key's number (RFC 7822 section 7.5.1.4)
        if matches!(bytes.rest.len(), 0 | 4 | 20 | 24) {
            return true;
        }
        let field = |bytes: &mut Bytes<'_>| {
            bytes.u16()?;
            let length = usize::from(bytes.u16()?);
            must(length >= 16 && length.is_multiple_of(4))?;
            bytes.take(length - 4).map(|_| ())
        };
        if field(&mut bytes).is_none() {
            return false;
        }
    }
}

fn control(mut bytes: Bytes<'_>) -> Option<()> {
    let operation = bytes.u8()?;
    // read and write status and variables, and the few that ntpd has on top
    must(matches!(operation & 0x1f, 1..=12 | 31))?;
    let _sequence = bytes.u16()?;
    let status = bytes.u16()?;
    let _association = bytes.u16()?;
    let [offset, count] = [bytes.u16()?, bytes.u16()?];
    // a request has no status
    must(operation & 0x80 != 0 || (status == 0 && offset == 0))?;
    let padded = usize::from(count).next_multiple_of(4);
    let after = bytes.rest.len().checked_sub(padded)?;
    must(count <= 480 && matches!(after, 0 | 20 | 24))
}

fn private(mut bytes: Bytes<'_>, first: u8) -> Option<()> {
    let sequence = bytes.u8()?;
    let [implementation, request] = bytes.array()?;
    must(matches!(implementation, 0 | 2 | 3) && request <= 46)?;
    let count = bytes.u16()?;
    let size = bytes.u16()?;
    // the error is in the upper bits of the count, zeros in those of the size
    must(size >> 12 == 0 && size <= 500)?;
    let items = usize::from(count & 0x0fff) * usize::from(size);
    let response = first & 0x80 != 0;
    if response {
        must(items == bytes.rest.len())
    } else {
        must(sequence & 0x7f == 0 && count >> 12 == 0 && items <= bytes.rest.len())?;
        // padded with zeros, up to a MAC
        must(bytes.rest.len() <= 192 && bytes.rest.get(items..)?.iter().all(|&byte| byte == 0))
    }
}
