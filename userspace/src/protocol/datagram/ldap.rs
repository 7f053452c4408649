//! LDAP without connection (MS-ADTS, "LDAP ping"): one search, and its answer.

use super::{
    Answer, Datagrams, Look, ber, each,
    wire::{Bytes, must},
};

const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;

/// One message tells.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| Look::whole(datagram, messages(datagram)))
}

/// An answer is an entry and the end of the search in one datagram.
fn messages(datagram: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(datagram);
    while !bytes.is_empty() {
        let mut message = ber::tagged(&mut bytes, ber::SEQUENCE)?;
        must(ber::integer(&mut message)? >= 0)?;
        let (tag, contents) = ber::element(&mut message)?;
        let mut operation = Bytes::new(contents);
        match tag {
            SEARCH => {
                ber::tagged(&mut operation, ber::OCTETS)?;
                must(ber::tagged(&mut operation, ber::ENUMERATED)?.rest.len() == 1)?;
                must(ber::tagged(&mut operation, ber::ENUMERATED)?.rest.len() == 1)?;
            }
            ENTRY => {
                ber::tagged(&mut operation, ber::OCTETS)?;
                ber::tagged(&mut operation, ber::SEQUENCE)?;
            }
            DONE => {
                must(ber::tagged(&mut operation, ber::ENUMERATED)?.rest.len() == 1)?;
                ber::tagged(&mut operation, ber::OCTETS)?;
                ber::tagged(&mut operation, ber::OCTETS)?;
            }
            _ => return None,
        }
    }
    Some(())
}
