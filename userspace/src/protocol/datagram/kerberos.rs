//! Kerberos 5 (RFC 4120): a message's application tag, its protocol version and its type must agree.

use super::{
    Answer, Datagrams, Look, ber, each,
    wire::{Bytes, must},
};

/// Application tag, constructed.
const APPLICATION: u8 = 0x60;

/// One message tells.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| Look::whole(datagram, message(datagram)))
}

fn message(datagram: &[u8]) -> Option<()> {
    let (&first, _) = datagram.split_first()?;
    let kind = first.checked_sub(APPLICATION)?;
    let mut body = Bytes::new(ber::only(datagram, first)?.rest);
    let mut fields = ber::tagged(&mut body, ber::SEQUENCE)?;
    must(body.is_empty())?;
    // the requests of section 5.4.1 start at context tag 1, everything else at 0
    let start = match kind {
        10 | 12 => 0xa1,
        11 | 13..=15 | 20..=22 | 30 => 0xa0,
        _ => return None,
    };
    must(field(&mut fields, start)? == 5)?;
    must(field(&mut fields, start + 1)? == i64::from(kind))
}

/// An integer behind its context tag.
fn field(fields: &mut Bytes<'_>, tag: u8) -> Option<i64> {
    let mut field = ber::tagged(fields, tag)?;
    let value = ber::integer(&mut field)?;
    must(field.is_empty())?;
    Some(value)
}
