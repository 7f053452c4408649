//! SNMP: version 1 (RFC 1157), 2c (RFC 3416) and 3 (RFC 3412), by the whole of its BER structure.

use super::{
    Answer, Datagrams, Look, ber, each,
    wire::{Bytes, must},
};

const TRAP_V1: u8 = 0xa4;

/// One message tells.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| Look::whole(datagram, message(datagram)))
}

fn message(datagram: &[u8]) -> Option<()> {
    let mut message = ber::only(datagram, ber::SEQUENCE)?;
    match ber::integer(&mut message)? {
        0 | 1 => {
            ber::tagged(&mut message, ber::OCTETS)?;
            pdu(&mut message)?;
        }
        3 => {
            let mut header = ber::tagged(&mut message, ber::SEQUENCE)?;
            ber::integer(&mut header)?;
            // a sender takes at least 484 bytes
            must(ber::integer(&mut header)? >= 484)?;
            must(ber::tagged(&mut header, ber::OCTETS)?.rest.len() == 1)?;
            must(ber::integer(&mut header)? >= 1)?;
            must(header.is_empty())?;
            ber::tagged(&mut message, ber::OCTETS)?;
            let (tag, _) = ber::element(&mut message)?;
            // in the clear, or encrypted
            must(tag == ber::SEQUENCE || tag == ber::OCTETS)?;
        }
        _ => return None,
    }
    must(message.is_empty())
}

fn pdu(message: &mut Bytes<'_>) -> Option<()> {
    let (tag, contents) = ber::element(message)?;
    must((0xa0..=0xa8).contains(&tag))?;
    let mut pdu = Bytes::new(contents);
    if tag == TRAP_V1 {
        ber::tagged(&mut pdu, ber::OBJECT)?;
        // agent address (application 0), generic and specific trap, time (application 3)
        must(ber::tagged(&mut pdu, 0x40)?.rest.len() == 4)?;
        ber::integer(&mut pdu)?;
        ber::integer(&mut pdu)?;
        ber::tagged(&mut pdu, 0x43)?;
    } else {
        for _ in 0..3 {
            ber::integer(&mut pdu)?;
        }
    }
    let mut bindings = ber::tagged(&mut pdu, ber::SEQUENCE)?;
    must(pdu.is_empty())?;
    while !bindings.is_empty() {
        let mut binding = ber::tagged(&mut bindings, ber::SEQUENCE)?;
        ber::tagged(&mut binding, ber::OBJECT)?;
        ber::element(&mut binding)?;
        must(binding.is_empty())?;
    }
    Some(())
}
