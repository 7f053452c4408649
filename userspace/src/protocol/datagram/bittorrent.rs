//! BitTorrent over UDP: its distributed hash table (BEP 5), uTP (BEP 29), trackers (BEP 15) and local discovery (BEP 14).

use super::{
    Answer, Datagrams, Direction, Look, each,
    wire::{Bytes, must},
};

/// Packets of one direction that agree, in a uTP session that was joined late.
const AGREEING: u8 = 3;

/// A message of the table, a tracker's or of local discovery tells; uTP by a SYN and what acknowledges it, or by a few
/// packets in a row.
pub fn detect(said: Datagrams<'_>) -> Answer {
    let mut opened: Option<(Direction, Packet)> = None;
    let mut last: [Option<(Packet, u8)>; 2] = [None; 2];
    each(said, |direction, datagram| {
        if table(datagram).is_some() || tracker(datagram).is_some() || datagram.starts_with(b"BT-SEARCH * HTTP/1.1\r\n")
        {
            return Look::Is(datagram.len());
        }
        let Some(packet) = packet(datagram) else { return Look::Not };
        if packet.kind == SYN {
            opened = Some((direction, packet));
            return Look::May;
        }
        if let Some((opener, syn)) = opened
            && opener != direction
            && packet.connection == syn.connection
            && packet.acknowledged == syn.sequence
        {
            return Look::Is(datagram.len());
        }
        let side = &mut last[usize::from(direction == Direction::ToClient)];
        let agreeing = match *side {
            Some((before, agreeing)) if packet.follows(&before) => agreeing + 1,
            _ => 1,
        };
        *side = Some((packet, agreeing));
        if agreeing >= AGREEING { Look::Is(datagram.len()) } else { Look::May }
    })
}

/// "connect" to a tracker, which starts with a number of its own.
fn tracker(datagram: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(datagram);
    must(bytes.array()? == 0x0417_2710_1980_u64.to_be_bytes() && bytes.u32()? == 0)?;
    bytes.u32()?;
    must(bytes.is_empty())
}

const DATA: u8 = 0;
const SYN: u8 = 4;

#[derive(Clone, Copy)]
struct Packet {
    kind: u8,
    connection: u16,
    /// Microseconds.
    sent: u32,
    sequence: u16,
    acknowledged: u16,
}

impl Packet {
    /// Later in the same session, by no more than a flow loses and a minute.
    fn follows(&self, before: &Self) -> bool {
        const STEP_MAX: u16 = 64;
        const MICROSECONDS_MAX: u32 = 60_000_000;
        let (sequence, acknowledged) =
            (self.sequence.wrapping_sub(before.sequence), self.acknowledged.wrapping_sub(before.acknowledged));
        self.connection == before.connection
            && (1..MICROSECONDS_MAX).contains(&self.sent.wrapping_sub(before.sent))
            && sequence <= STEP_MAX
            && acknowledged <= STEP_MAX
            && sequence + acknowledged > 0
    }
}

fn packet(datagram: &[u8]) -> Option<Packet> {
    let mut bytes = Bytes::new(datagram);
    let first = bytes.u8()?;
    let kind = first >> 4;
    must(first & 15 == 1 && kind <= SYN)?;
    let mut extension = bytes.u8()?;
    let connection = bytes.u16()?;
    let sent = bytes.u32()?;
    let _difference = bytes.u32()?;
    let _window = bytes.u32()?;
    let sequence = bytes.u16()?;
    let acknowledged = bytes.u16()?;
    // selective acknowledgements and two others; each is followed by the next one's kind
    while extension != 0 {
        must(extension <= 3)?;
        extension = bytes.u8()?;
        must(bytes.short_vector()?.len() <= 64)?;
    }
    // only data has any
    must(kind == DATA || bytes.is_empty())?;
    Some(Packet { kind, connection, sent, sequence, acknowledged })
}

/// Nesting of lists and dictionaries.
const DEPTH_MAX: u8 = 8;

/// A query, an answer or an error: a dictionary with a transaction `t` and a kind `y`.
fn table(datagram: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(datagram);
    must(bytes.u8()? == b'd')?;
    let (mut transaction, mut kind) = (false, false);
    while bytes.rest.first()? != &b'e' {
        let key = text(&mut bytes)?;
        match key {
            b"t" => {
                text(&mut bytes)?;
                transaction = true;
            }
            b"y" => {
                must(matches!(text(&mut bytes)?, b"q" | b"r" | b"e"))?;
                kind = true;
            }
            _ => value(&mut bytes, DEPTH_MAX)?,
        }
    }
    must(transaction && kind && bytes.rest.len() == 1)
}

fn value(bytes: &mut Bytes<'_>, depth: u8) -> Option<()> {
    let deeper = depth.checked_sub(1)?;
    match bytes.rest.first()? {
        b'i' => {
            bytes.u8()?;
            let digits = bytes.until(b'e')?;
            let digits = digits.strip_prefix(b"-").unwrap_or(digits);
            must(!digits.is_empty() && digits.len() <= 20 && digits.iter().all(u8::is_ascii_digit))
        }
        b'l' => {
            bytes.u8()?;
            while bytes.rest.first()? != &b'e' {
                value(bytes, deeper)?;
            }
            bytes.u8().map(|_| ())
        }
        b'd' => {
            bytes.u8()?;
            while bytes.rest.first()? != &b'e' {
                text(bytes)?;
                value(bytes, deeper)?;
            }
            bytes.u8().map(|_| ())
        }
        _ => text(bytes).map(|_| ()),
    }
}

fn text<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let digits = bytes.rest.iter().take(6).position(|&byte| byte == b':')?;
    let digits = bytes.take(digits)?;
    bytes.u8()?;
    must(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))?;
    bytes.take(digits.iter().fold(0, |sum, &digit| sum * 10 + usize::from(digit - b'0')))
}
