//! RTP and RTCP (RFC 3550). Few bits are fixed, so packets must agree with each other: the same source, numbers that rise
//! by little, time that does not run away.

use super::{
    Answer, Datagrams, Direction, Look, each,
    wire::{Bytes, must},
};

/// Packets of one direction that agree before it is believed.
const AGREEING: u8 = 3;
/// Largest step in sequence numbers: what a flow may lose on its way.
const STEP_MAX: u16 = 16;
/// Largest step in time: 20 s at 90 kHz.
const TIME_MAX: u32 = 20 * 90_000;

/// One side of a session so far.
#[derive(Clone, Copy, Default)]
struct Side {
    /// The last packet, and how many have agreed.
    media: Option<(Media, u8)>,
    report: Option<u32>,
}

#[derive(Clone, Copy)]
struct Media {
    source: u32,
    kind: u8,
    sequence: u16,
    time: u32,
}

/// Media tells when packets of a direction agree; control when a compound packet is whole, or when two reports do.
pub fn detect(said: Datagrams<'_>) -> Answer {
    session(said, false)
}

/// As [`detect`], of packets in the frames of RFC 4571, whose lengths agree with them. Some senders choose no number there.
pub fn framed(said: Datagrams<'_>) -> Answer {
    session(said, true)
}

fn session(said: Datagrams<'_>, nameless: bool) -> Answer {
    let mut sides = [Side::default(); 2];
    each(said, |direction, datagram| {
        let side = &mut sides[usize::from(direction == Direction::ToClient)];
        match datagram.get(1) {
            Some(200..=207) => control(datagram, side),
            _ => media(datagram, nameless).map_or(Look::Not, |packet| agree(packet, side)),
        }
    })
}

/// Media alone tells: where reports say nothing new, and other packets share the port (RFC 7983, RFC 5761 section 4).
pub fn is_media(said: Datagrams<'_>) -> bool {
    let mut sides = [Side::default(); 2];
    let told = each(said, |direction, datagram| match datagram {
        [128..=191, 0..=191 | 224.., ..] => {
            let side = &mut sides[usize::from(direction == Direction::ToClient)];
            media(datagram, false).map_or(Look::May, |packet| agree(packet, side))
        }
        _ => Look::May,
    });
    matches!(told, Answer::Yes(..))
}

/// Whether a packet of media may begin like this: with one source and no padding, as one does that is sent by TCP.
pub fn may_begin(packet: &[u8]) -> bool {
    match packet {
        [] => true,
        [flags] => is_plain(*flags),
        [flags, kind, ..] => is_plain(*flags) && is_kind(kind & 0x7f),
    }
}

/// Version 2, with or without an extension.
const fn is_plain(flags: u8) -> bool {
    matches!(flags, 0x80 | 0x90)
}

/// Assigned and dynamic types (RFC 3551); what RTCP would be mistaken for lies between.
const fn is_kind(kind: u8) -> bool {
    matches!(kind, 0..=34 | 77..=127)
}

/// `nameless`: its source may be 0, where its type is an assigned one.
fn media(datagram: &[u8], nameless: bool) -> Option<Media> {
    let mut bytes = Bytes::new(datagram);
    let [flags, kind] = bytes.array()?;
    must(flags >> 6 == 2)?;
    let kind = kind & 0x7f;
    must(is_kind(kind))?;
    let sequence = bytes.u16()?;
    let time = bytes.u32()?;
    let source = bytes.u32()?;
    must((source != 0 || nameless && kind <= 34) && source != u32::MAX)?;
    bytes.take(usize::from(flags & 15) * 4)?;
    if flags & 0x10 != 0 {
        bytes.u16()?;
        let words = usize::from(bytes.u16()?);
        bytes.take(words * 4)?;
    }
    if flags & 0x20 != 0 {
        let padding = usize::from(*bytes.rest.last()?);
        must((1..=bytes.rest.len()).contains(&padding))?;
    }
    Some(Media { source, kind, sequence, time })
}

fn agree(packet: Media, side: &mut Side) -> Look {
    let Some((last, agreed)) = side.media else {
        side.media = Some((packet, 1));
        return Look::May;
    };
    let step = packet.sequence.wrapping_sub(last.sequence);
    // sent twice, or overtaken by one other
    if step == 0 || step == u16::MAX {
        return if packet.source == last.source { Look::May } else { Look::Not };
    }
    let time = packet.time.wrapping_sub(last.time);
    let agrees =
        packet.source == last.source && step <= STEP_MAX && (time <= TIME_MAX || time.wrapping_neg() <= TIME_MAX);
    // a picture's packets have one time, a voice's rise; one that changes its type in between is rare
    if !agrees || (packet.kind != last.kind && time == 0) {
        return Look::Not;
    }
    side.media = Some((packet, agreed + 1));
    if agreed + 1 >= AGREEING { Look::Is(12) } else { Look::May }
}

fn control(datagram: &[u8], side: &mut Side) -> Look {
    match compound(datagram) {
        Some((_, packets)) if packets >= 2 => Look::Is(datagram.len()),
        Some((source, _)) => again(source, side, datagram),
        // encrypted (RFC 3711): only the first header is in clear
        None => match secured(datagram) {
            Some(source) => again(source, side, datagram),
            None => Look::Not,
        },
    }
}

fn again(source: u32, side: &mut Side, datagram: &[u8]) -> Look {
    let before = side.report.replace(source);
    match before {
        Some(before) if before == source => Look::Is(datagram.len()),
        Some(_) => Look::Not,
        None => Look::May,
    }
}

/// Packets that fill the datagram: the first one's source, and how many.
fn compound(datagram: &[u8]) -> Option<(u32, usize)> {
    let mut bytes = Bytes::new(datagram);
    let mut source = None;
    let mut packets = 0;
    while !bytes.is_empty() {
        let [flags, kind] = bytes.array()?;
        must(flags >> 6 == 2 && matches!(kind, 200..=207))?;
        let mut body = Bytes::new(bytes.words()?);
        let count = usize::from(flags & 31);
        let fixed = match kind {
            200 => 24 + 24 * count,
            201 => 4 + 24 * count,
            203 => 4 * count,
            202 => 4 * count,
            _ => 8,
        };
        must(body.rest.len() >= fixed)?;
        if source.is_none() {
            source = Some(body.u32()?);
        }
        packets += 1;
    }
    Some((source?, packets))
}

fn secured(datagram: &[u8]) -> Option<u32> {
    let mut bytes = Bytes::new(datagram);
    let [flags, kind] = bytes.array()?;
    must(flags >> 6 == 2 && matches!(kind, 200 | 201 | 205 | 206))?;
    let words = usize::from(bytes.u16()?);
    // behind the packets: the index and a tag
    must(words >= 1 && words * 4 + 8 <= bytes.rest.len() + 4)?;
    let source = bytes.u32()?;
    must(source != 0)?;
    Some(source)
}
